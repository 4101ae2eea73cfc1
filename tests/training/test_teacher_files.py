"""Every kind of teacher is made from its settings, kept as files and read back the same."""

import numpy as np
import pytest
from learning_tasks import clouds, dense

from codesign.core.record import Record
from codesign.data.split import PARTS
from codesign.settings import TeacherSettings
from codesign.training import teacher_files
from codesign.training.cache import OutputCache
from codesign.training.ensemble import EnsembleTeacher, mean_logits
from codesign.training.specialists import Specialist, SpecialistTeacher, specialist_job
from codesign.training.teacher import Teacher, all_logits, teacher_of
from codesign.training.teacher_files import make_teacher, read_teacher, save_teacher


@pytest.fixture(scope="module")
def data():
    return clouds(n=90)


def again(teacher, folder, settings):
    save_teacher(teacher, folder)
    found = read_teacher(folder, settings, teacher.history, teacher.record)
    assert type(found) is type(teacher)
    assert found.record is teacher.record
    for part in PARTS:
        np.testing.assert_array_equal(getattr(found, f"{part}_logits"), getattr(teacher, f"{part}_logits"))
    return found


def test_a_single_network(data, tmp_path):
    settings = TeacherSettings()
    teacher = teacher_of(dense(data, 4), data)
    found = again(teacher, tmp_path, settings)
    np.testing.assert_array_equal(all_logits(found.model, data)["test"], teacher.test_logits)


def test_an_ensemble_keeps_its_members_and_their_temperature(data, tmp_path):
    settings = TeacherSettings(kind="ensemble", mean="geometric")
    members = tuple(dense(data, 2) for _ in range(11))
    rng = np.random.default_rng(0)
    logits = {part: rng.normal(size=(11, len(data.part(part)[0]), 3)).astype(np.float32) for part in PARTS}
    means = [mean_logits(logits[part], "geometric") for part in PARTS]
    record = Record("teacher", {}, 0, {}, "0", {}, 0.0)
    teacher = EnsembleTeacher(None, *means, None, record, None, members, logits, "geometric")
    found = again(teacher, tmp_path, settings)
    np.testing.assert_array_equal(found.tempered(3.0).train_logits, teacher.tempered(3.0).train_logits)
    # eleven members: their order is that of numbers, not of names
    for one, other in zip(found.members, members, strict=True):
        np.testing.assert_array_equal(one.get_weights()[0], other.get_weights()[0])


def test_specialists(data, tmp_path):
    generalist = dense(data, 4)
    job, shift = specialist_job(generalist, (0, 1), data, TeacherSettings(), 0)
    record = Record("teacher", {}, 0, {}, "0", {}, 0.0)
    logits = [all_logits(generalist, data)[part] for part in PARTS]
    teacher = SpecialistTeacher(
        None, *logits, None, record, None, generalist, (Specialist((0, 1), job.model, shift),)
    )
    found = again(teacher, tmp_path, TeacherSettings(kind="specialists"))
    np.testing.assert_array_equal(found.predict_logits(data.x_test), teacher.predict_logits(data.x_test))


def test_the_settings_decide_what_is_made(data, tmp_path, monkeypatch):
    made = []
    record = Record("teacher", {}, 0, {}, "0", {}, 0.0)
    teacher = Teacher(None, *[np.zeros((2, 3))] * 3, None, record)
    for name in (
        "train_teacher",
        "train_ensemble",
        "train_specialists",
        "load_teacher",
        "load_ensemble",
        "load_logits",
    ):
        monkeypatch.setattr(
            teacher_files,
            name,
            lambda *given, name=name, **_: made.append((name, given[0])) or teacher,
        )
    kinds = [
        TeacherSettings(),
        TeacherSettings(kind="ensemble"),
        TeacherSettings(kind="specialists"),
        TeacherSettings(file="a.keras"),
        TeacherSettings(kind="ensemble", files=("a.keras", "b.keras")),
        TeacherSettings(kind="logits", file="z.npy"),
    ]
    cache = OutputCache(tmp_path)
    for settings in kinds:
        make_teacher(settings, data, tmp_path, lambda: "built", cache=cache)
    assert made == [
        ("train_teacher", "built"),
        ("train_ensemble", "built"),
        ("train_specialists", "built"),
        ("load_teacher", tmp_path / "a.keras"),
        ("load_ensemble", [tmp_path / "a.keras", tmp_path / "b.keras"]),
        ("load_logits", tmp_path / "z.npy"),
    ]
    assert make_teacher(TeacherSettings(), data, tmp_path, lambda: "built", cache=cache).cache is cache
