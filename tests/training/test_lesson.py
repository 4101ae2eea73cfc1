"""Lessons: what the student's loss is made of, where features come from, and what cannot be compared."""

import keras
import numpy as np
import pytest
from learning_tasks import clouds, convolutional, dense, images

from codesign.data.split import PARTS
from codesign.errors import DataError, SettingsError
from codesign.networks.build import build_float
from codesign.networks.logits import predict_logits
from codesign.networks.read_keras import read_keras
from codesign.settings import DistillationSettings, TermSettings, TrainingSettings
from codesign.training.cache import OutputCache
from codesign.training.distill import distill_student
from codesign.training.features import features_of, least_squares
from codesign.training.lesson import make_lesson
from codesign.training.losses import DistillationLoss, attention_map, hint_loss
from codesign.training.teacher import Teacher, teacher_of


def teacher_for(model, data, cache=None):
    """An untrained network as the teacher: what it knows does not matter here."""
    return teacher_of(model, data, cache=cache)


@pytest.fixture(scope="module")
def data():
    return clouds(n=120)


@pytest.fixture(scope="module")
def teacher(data):
    return teacher_for(dense(data, 7, 6, name="big"), data)


def with_terms(*terms, **options):
    return DistillationSettings(terms=tuple(TermSettings(**term) for term in terms), **options)


def test_soft_targets_alone_need_nothing_beside_the_student(data, teacher):
    student = dense(data, 3)
    lesson = make_lesson(student, teacher, data, DistillationSettings())
    assert lesson.model is student
    assert isinstance(lesson.loss, DistillationLoss)
    np.testing.assert_array_equal(lesson.train[1][:, 1:], teacher.train_logits)
    np.testing.assert_array_equal(lesson.validation[1][:, 0], data.y_validation)


def test_the_loss_compares_the_layers_that_the_terms_name(data, teacher):
    student = dense(data, 4)
    settings = with_terms(
        {"form": "hint", "weight": 2.0, "teacher_layer": "fc2", "student_layer": "fc1"},
        {"form": "distance", "weight": 3.0, "teacher_layer": "fc1", "student_layer": "fc1"},
        {"form": "angle"},
        alpha=0.0,
        form="logits",
    )
    lesson = make_lesson(student, teacher, data, settings)
    fc1, fc2 = (features_of(teacher.model, name, data.x_train) for name in ("fc1", "fc2"))
    assert lesson.train[1].shape[1] == 1 + 3 + 6 + 7
    np.testing.assert_allclose(lesson.train[1][:, 4:10], fc2, atol=1e-6)
    np.testing.assert_allclose(lesson.train[1][:, 10:], fc1, atol=1e-6)
    outputs = predict_logits(lesson.model, data.x_train)
    ours = features_of(student, "fc1", data.x_train)
    assert (ours >= 0).all()  # after the ReLU
    np.testing.assert_allclose(outputs[:, :3], predict_logits(student, data.x_train), atol=1e-6)
    kernel, bias = lesson.model.get_layer("term_0_regressor").get_weights()
    np.testing.assert_allclose(outputs[:, 3:9], ours @ kernel + bias, atol=1e-5)
    np.testing.assert_allclose(outputs[:, 9:], ours, atol=1e-6)
    by_hand = hint_loss(fc2, ours @ kernel + bias)
    without = make_lesson(student, teacher, data, settings.model_copy(update={"terms": settings.terms[1:]}))
    whole = lesson.loss.call(lesson.train[1], outputs)
    rest = without.loss.call(without.train[1], predict_logits(without.model, data.x_train))
    np.testing.assert_allclose(whole - rest, 2.0 * by_hand, rtol=1e-3, atol=1e-4)


def test_hints_alone_leave_the_logits_out(data, teacher):
    settings = with_terms(
        {"form": "hint", "teacher_layer": "fc1", "student_layer": "fc1"}, {"form": "logits"}
    )
    lesson = make_lesson(dense(data, 4), teacher, data, settings, hints_only=True)
    assert lesson.loss.base_weight == 0
    assert [term.form for term in lesson.loss.terms] == ["hint"]


def test_layers_keep_their_names_when_the_network_is_built_from_its_description(data, teacher):
    """Keras' `fc1` ends with its ReLU; the network has that as a layer of its own."""
    student = dense(data, 4)
    built = build_float(read_keras(student))
    settings = with_terms({"form": "distance", "teacher_layer": "fc1", "student_layer": "fc1"})
    for model in (student, built):
        outputs = predict_logits(make_lesson(model, teacher, data, settings).model, data.x_train)
        np.testing.assert_allclose(outputs[:, 3:], features_of(student, "fc1", data.x_train), atol=1e-6)


def test_features_are_kept_on_disk_and_not_computed_again(data, tmp_path):
    cache = OutputCache(tmp_path)
    model = dense(data, 7, name="big")
    teacher = teacher_for(model, data, cache)
    settings = with_terms({"form": "distance", "teacher_layer": "fc1", "student_layer": "fc1"})
    first = make_lesson(dense(data, 4), teacher, data, settings).train[1]
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == 2  # logits, features of fc1
    again = make_lesson(dense(data, 4), teacher_for(model, data, cache), data, settings).train[1]
    np.testing.assert_array_equal(first, again)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept


def test_attention_and_hints_of_feature_maps():
    data = images(n=60)
    teacher = teacher_for(convolutional(data, 4, 5, name="big"), data)
    settings = with_terms(
        {"form": "attention", "teacher_layer": "relu1", "student_layer": "relu1"},
        {"form": "hint", "teacher_layer": "pool", "student_layer": "relu1"},
    )
    student = convolutional(data, 2)
    lesson = make_lesson(student, teacher, data, settings)
    assert lesson.model.get_layer("term_1_regressor").kernel.shape == (4, 4, 2, 5)  # 6 - 3 + 1
    outputs = predict_logits(lesson.model, data.x_train)
    map_ = attention_map(features_of(student, "relu1", data.x_train))
    np.testing.assert_allclose(outputs[:, 3:39], map_, rtol=1e-4, atol=1e-5)
    assert lesson.train[1].shape[1] == 1 + 3 + 36 + 3 * 3 * 5


def hint_terms(lesson, x):
    outputs = predict_logits(lesson.model, x)
    targets = lesson.train[1]
    return np.mean((targets[: len(x), 4:] - outputs[:, 3:]) ** 2)


def test_the_regressor_begins_at_the_least_squares(data, teacher):
    settings = with_terms({"form": "hint", "teacher_layer": "fc2", "student_layer": "fc1"})
    student = dense(data, 4)
    at_random = make_lesson(student, teacher, data, settings, hints_only=True)
    lesson = make_lesson(student, teacher, data, settings)
    ours = features_of(student, "fc1", data.x_train)
    rows = np.concatenate([ours, np.ones((len(ours), 1))], axis=1)
    fc2 = features_of(teacher.model, "fc2", data.x_train)
    left = np.linalg.lstsq(rows, fc2, rcond=None)[1].sum() / fc2.size
    assert hint_terms(lesson, data.x_train) == pytest.approx(left, rel=1e-3)
    assert hint_terms(at_random, data.x_train) > 2 * left
    # what the hints taught is not undone when a later stage makes its own lesson
    at_random.fit(TrainingSettings(epochs=30, learning_rate=0.02))
    learnt = hint_terms(at_random, data.x_train)
    assert hint_terms(make_lesson(student, teacher, data, settings), data.x_train) <= learnt


def test_a_convolution_of_hints_begins_at_the_least_squares():
    data = images(n=60)
    rng = np.random.default_rng(4)
    layer = keras.layers.Conv2D(3, (4, 2))
    features = rng.normal(size=(20, 6, 5, 2)).astype(np.float32)
    hints = np.asarray(layer(features))
    wanted = layer.get_weights()
    layer.set_weights([np.zeros_like(array) for array in wanted])
    least_squares(layer, features, hints)
    for ours, theirs in zip(layer.get_weights(), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    # and through a lesson: a teacher that is the student has hints that a regressor hits
    model = convolutional(data, 2)
    settings = with_terms({"form": "hint", "teacher_layer": "relu1", "student_layer": "relu1"})
    lesson = make_lesson(model, teacher_for(model, data), data, settings)
    assert hint_terms(lesson, data.x_train) < 1e-8


class TestRefusals:
    def refused(self, data, teacher, student, term):
        with pytest.raises(DataError) as caught:
            make_lesson(student, teacher, data, with_terms(term))
        return str(caught.value)

    def test_layers_that_do_not_exist(self, data, teacher):
        term = {"form": "hint", "teacher_layer": "fc9", "student_layer": "fc1"}
        assert self.refused(data, teacher, dense(data, 4), term) == (
            "the teacher has no layer 'fc9' to take features from; its layers are fc1, fc2, logits"
        )
        term = {"form": "hint", "teacher_layer": "fc1", "student_layer": "fc2"}
        assert self.refused(data, teacher, dense(data, 4), term) == (
            "the student has no layer 'fc2' to take features from; its layers are fc1, logits"
        )

    def test_attention_of_vectors(self, data, teacher):
        term = {"form": "attention", "teacher_layer": "fc1", "student_layer": "fc1"}
        assert self.refused(data, teacher, dense(data, 7), term) == (
            "attention: the teacher's layer 'fc1' has shape (7,) and the student's 'fc1' (7,); choose feature maps "
            "(positions..., channels) of the same positions"
        )

    def test_a_hint_larger_than_the_guided_layer(self):
        data = images(n=60)
        teacher = teacher_for(convolutional(data, 4), data)
        term = {"form": "hint", "teacher_layer": "relu1", "student_layer": "pool"}
        assert self.refused(data, teacher, convolutional(data, 2), term) == (
            "hint: the teacher's layer 'relu1' has shape (6, 6, 4), larger than the student's 'pool' (3, 3, 2); choose "
            "a student layer of at least its positions"
        )

    def test_a_teacher_without_layers(self, data, teacher):
        logits = [getattr(teacher, f"{part}_logits") for part in PARTS]
        only_logits = Teacher(None, *logits, None, teacher.record)
        term = {"form": "hint", "teacher_layer": "fc1", "student_layer": "fc1"}
        assert self.refused(data, only_logits, dense(data, 4), term) == (
            "hint: the teacher has no layer 'fc1': only its logits are known; use a single network as the teacher, or "
            "terms without layers"
        )

    def test_numbers_that_are_still_to_be_chosen(self, data, teacher):
        with pytest.raises(
            SettingsError,
            match=r"^distillation\.alpha: is still to be chosen \(null\); let distill_student choose it, or "
            r"choose_distillation, and use the settings that it returns$",
        ):
            make_lesson(dense(data, 4), teacher, data, DistillationSettings(alpha=None))


def test_students_learn_with_terms_after_a_stage_of_hints(data, teacher):
    settings = with_terms(
        {"form": "hint", "teacher_layer": "fc2", "student_layer": "fc1", "weight": 5.0},
        {"form": "angle", "weight": 2.0},
        epochs=1,
        hint_epochs=1,
        form="decoupled",
    )
    model = dense(data, 4)
    before = [array.copy() for array in model.get_weights()]
    student = distill_student(model, teacher, data, settings, seed=1)
    assert [layer.name for layer in student.network.layers] == ["features", "fc1", "fc1_relu", "logits"]
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert np.isfinite(student.history.loss).all()
    assert isinstance(student.model(), keras.Model)
    assert set(student.early) == {"initial", "early"}
    assert student.early["early"].digest != student.early["initial"].digest
