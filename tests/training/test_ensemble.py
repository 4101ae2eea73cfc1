"""Ensembles: the mean is the mean of the soft targets, members are the networks that their seeds make."""

from typing import Any

import keras
import numpy as np
import pytest
from learning_tasks import clouds, dense
from scipy.special import expit, softmax

from codesign.errors import DataError, SettingsError
from codesign.settings import TeacherSettings
from codesign.training.cache import OutputCache
from codesign.training.ensemble import load_ensemble, mean_logits, train_ensemble
from codesign.training.teacher import train_teacher

RNG = np.random.default_rng(2)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("n_outputs", [2, 5])
def test_arithmetic_mean_of_the_soft_targets(temperature, n_outputs):
    members = RNG.normal(0, 4, (3, 20, n_outputs))
    soft = softmax(members / temperature, axis=-1).mean(axis=0)
    found = mean_logits(members, "arithmetic", temperature)
    np.testing.assert_allclose(softmax(found / temperature, axis=-1), soft, rtol=1e-5)
    np.testing.assert_allclose(np.exp(found / temperature).sum(axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_geometric_mean_is_the_same_at_every_temperature(temperature):
    members = RNG.normal(0, 4, (3, 20, 5))
    soft = np.exp(np.log(softmax(members / temperature, axis=-1)).mean(axis=0))
    found = mean_logits(members, "geometric")
    np.testing.assert_allclose(
        softmax(found / temperature, axis=-1), soft / soft.sum(-1, keepdims=True), rtol=1e-5
    )


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_one_output_is_averaged_as_a_probability(temperature):
    members = RNG.normal(0, 4, (4, 30, 1))
    found = mean_logits(members, "arithmetic", temperature)
    np.testing.assert_allclose(
        expit(found / temperature), expit(members / temperature).mean(axis=0), rtol=1e-5
    )


def test_means_of_sure_members_are_finite():
    sure = np.array([[[900.0, -900.0]], [[-900.0, 900.0]]])
    np.testing.assert_allclose(softmax(mean_logits(sure, "arithmetic"), axis=-1), [[0.5, 0.5]])
    np.testing.assert_allclose(mean_logits(sure[:, :, :1], "arithmetic"), [[0.0]])


def test_equal_members_are_their_own_mean():
    member = RNG.normal(0, 2, (1, 10, 3)).repeat(4, axis=0)
    for mean in ("arithmetic", "geometric"):
        soft = softmax(mean_logits(member, mean, 2.0) / 2.0, axis=-1)
        np.testing.assert_allclose(soft, softmax(member[0] / 2.0, axis=-1), rtol=1e-5)


LEARN: dict[str, Any] = {"epochs": 6, "learning_rate": 0.05, "batch_size": 16}
"""What a member needs to know more of the clouds than a guess."""


@pytest.fixture(scope="module")
def data():
    return clouds(n=180)


@pytest.fixture(scope="module")
def trained(data):
    settings = TeacherSettings(kind="ensemble", members=2, **LEARN, workers=1)
    return train_ensemble(dense(data, 6), data, settings, seed=4)


def test_members_are_what_their_seeds_train(data, trained):
    second = train_teacher(dense(data, 6), data, TeacherSettings(**LEARN), seed=5)
    np.testing.assert_array_equal(trained.member_logits["test"][1], second.test_logits)
    assert not np.array_equal(trained.member_logits["test"][0], second.test_logits)


def test_the_teacher_is_the_mean_of_its_members(data, trained):
    np.testing.assert_array_equal(
        trained.validation_logits, mean_logits(trained.member_logits["validation"], "arithmetic")
    )
    np.testing.assert_allclose(trained.predict_logits(data.x_test), trained.test_logits, atol=1e-5)
    at_4 = trained.tempered(4.0)
    np.testing.assert_array_equal(
        at_4.train_logits, mean_logits(trained.member_logits["train"], "arithmetic", 4.0)
    )
    np.testing.assert_array_equal(at_4.tempered(1.0).train_logits, trained.train_logits)
    assert trained.model is None
    assert len(trained.record.metrics["member_test_accuracy"]) == len(trained.member_histories) == 2


def test_files_make_the_same_ensemble_and_their_logits_are_kept(data, trained, tmp_path):
    paths = [tmp_path / f"member{number}.keras" for number in range(2)]
    for member, path in zip(trained.members, paths, strict=True):
        member.save(path)
    cache = OutputCache(tmp_path / "cache")
    again = load_ensemble(paths, data, cache=cache)
    np.testing.assert_allclose(again.test_logits, trained.test_logits, atol=1e-6)
    kept = sorted((tmp_path / "cache").iterdir())
    assert len(kept) == 2
    times = [path.stat().st_mtime_ns for path in kept]
    load_ensemble(paths, data, cache=cache)
    assert [path.stat().st_mtime_ns for path in kept] == times


def test_refuses_members_that_do_not_fit(data, trained, tmp_path):
    missing = tmp_path / "no.keras"
    good = tmp_path / "good.keras"
    trained.members[0].save(good)
    with pytest.raises(
        DataError, match=rf"^the teacher {missing} does not exist; give a trained \.keras or \.h5 file$"
    ):
        load_ensemble([good, missing], data)
    corrupt = tmp_path / "corrupt.keras"
    corrupt.write_bytes(good.read_bytes()[:200])
    with pytest.raises(DataError, match=rf"^the teacher {corrupt} is no .keras file"):
        load_ensemble([good, corrupt], data)
    other = tmp_path / "other.keras"
    dense(data, 3, outputs=4).save(other)
    with pytest.raises(
        DataError,
        match=rf"^the teacher {other}: the output shape is \(4,\), but the data have 3 classes; end with Dense\(3\)$",
    ):
        load_ensemble([good, other], data)
    with pytest.raises(
        SettingsError, match=r"^teacher\.files: an ensemble needs at least two members, not 1$"
    ):
        load_ensemble([good], data)


def test_refuses_members_of_different_outputs():
    data = clouds(n_classes=2, n=60)
    one, two = dense(data, 3, outputs=1, name="one"), dense(data, 3, outputs=2, name="two")
    with pytest.raises(
        DataError,
        match=r"^the teacher 'two' has 2 outputs but the teacher 'one' has 1; the members of an ensemble need the same "
        r"outputs$",
    ):
        train_ensemble([one, two], data, TeacherSettings(kind="ensemble", epochs=1))


def test_a_member_of_another_input_shape_is_refused(data):
    wrong = keras.Sequential([keras.Input((7,)), keras.layers.Dense(3)], name="wrong")
    with pytest.raises(
        DataError,
        match=r"^the teacher 'wrong': the input shape is \(7,\), but the data's samples have shape \(5,\)$",
    ):
        train_ensemble([dense(data, 3), wrong], data, TeacherSettings(kind="ensemble", epochs=1))
