"""A teacher of another task with as many outputs: refused where it can be known, else said."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from codesign.core.task import Binary, Classification, MultiLabel
from codesign.data import Dataset
from codesign.data.load import dataset_from_arrays
from codesign.errors import DataError
from codesign.networks.logits import are_probabilities, predict_logits
from codesign.training.logits_teacher import load_logits
from codesign.training.score_teacher import score_scaling
from codesign.training.teacher import as_teacher, load_teacher

_random = np.random.default_rng(3)
X = _random.normal(size=(400, 3)).astype(np.float32)
CLASSES = X.argmax(axis=1)


def linear(kernel: np.ndarray, bias: float = 0.0, end: str = "linear") -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(kernel.shape[1], end)], name="given")
    model.set_weights([kernel, np.full(kernel.shape[1], bias)])
    return model


def of(y: np.ndarray, task: str) -> Dataset:
    return dataset_from_arrays(X, y, task=task, scaling="none")  # type: ignore[arg-type]


def notes(model: keras.Model, dataset: Dataset) -> list[str]:
    return list(as_teacher(model, dataset).record.metrics.get("notes", []))


def test_logits_that_cost_more_than_the_frequencies_are_doubted(caplog: pytest.LogCaptureFixture) -> None:
    dataset = of(CLASSES, "classification")
    assert notes(linear(4 * np.eye(3)), dataset) == []
    tilted = 900 * (np.eye(3) + 0.5 * np.ones((3, 1)) * [[1, -1, 0]])  # the values of something else
    (note,) = notes(linear(tilted), dataset)
    assert note.startswith("the outputs of the teacher 'given', taken as logits, cost ")
    assert "a guess by the frequencies alone 1.1: a network of another task" in note
    assert note in caplog.text


def test_a_regression_of_0_and_1_is_no_logit() -> None:
    y = (X[:, 0] > 0).astype(int)
    dataset = of(y, "binary")
    assert notes(linear(np.array([[6.0], [0.0], [0.0]])), dataset) == []
    (note,) = notes(linear(np.array([[0.4], [0.0], [0.0]]), 0.5), dataset)
    assert " with accuracy 0.9" in note
    assert "and at 0, as logits, with" in note
    assert "such as a regression of 0 and 1" in note


def test_the_cost_of_a_guess_is_the_entropy() -> None:
    targets = np.array([0, 1, 1, 2])
    shares = np.log([0.25, 0.5, 0.25])[None].repeat(4, axis=0)
    own, guess = Classification(("a", "b", "c")).log_loss(targets, shares)  # type: ignore[misc]
    assert own == pytest.approx(guess) == pytest.approx(1.5 * np.log(2))
    own, guess = Binary(("a", "b")).log_loss(np.array([0, 1, 1, 1]), np.full((4, 1), np.log(3.0)))  # type: ignore[misc]
    assert own == pytest.approx(guess)
    labels = np.array([[0, 1], [1, 1], [0, 1], [1, 0]])
    own, guess = MultiLabel(("a", "b")).log_loss(labels, np.array([[0.0, np.log(3.0)]] * 4))  # type: ignore[misc]
    assert own == pytest.approx(guess)


def test_a_softmax_does_not_tell_labels_that_may_all_hold() -> None:
    dataset = of((X > 0).astype(int), "multi_label")
    assert notes(linear(4 * np.eye(3), end="sigmoid"), dataset) == []
    expected = (
        "ends in a softmax, which chooses one of several classes, but of the data's 3 labels any may hold"
    )
    with pytest.raises(DataError, match=expected):
        as_teacher(linear(4 * np.eye(3), end="softmax"), dataset)


def test_a_softmax_of_one_output_is_refused() -> None:
    with pytest.raises(DataError, match="ends in a softmax of one output, which is 1 whatever it reads"):
        as_teacher(linear(np.ones((3, 1)), end="softmax"), of((X[:, 0] > 0).astype(int), "binary"))


@pytest.mark.parametrize("values", ["a classifier's logits", "other values", "a reconstruction"])
def test_a_regression_refuses_a_teacher_of_other_values(values: str) -> None:
    targets = np.stack([X[:, 0] ** 2, np.abs(X[:, 1]), X[:, 2] ** 3], axis=1)
    dataset = of(targets, "regression")
    kernel = {
        "a classifier's logits": 4 * np.eye(3),
        "other values": 9 * np.ones((3, 3)),
        "a reconstruction": np.eye(3),
    }
    with pytest.raises(
        DataError, match="it was trained for other targets, another order of them, or another task"
    ):
        as_teacher(linear(-kernel[values]), dataset)
    with pytest.raises(
        DataError, match="ends in a softmax, which is left out in hardware, but the outputs of the task"
    ):
        as_teacher(linear(kernel[values], end="softmax"), dataset)


def scores() -> Dataset:
    images = _random.uniform(0, 1, (300, 1)) * np.ones((1, 3)) + _random.normal(0, 0.02, (300, 3))
    anomalous = np.arange(300) % 5 == 0
    images[anomalous] = _random.uniform(0, 1, (anomalous.sum(), 3))
    return dataset_from_arrays(images, anomalous.astype(int), task="score", scaling="none")


def test_an_autoencoder_that_ends_in_a_sigmoid_keeps_it(tmp_path: Path) -> None:
    """Its outputs are values between 0 and 1 that no hardware computes: without the sigmoid the score would be another."""
    dataset = scores()
    mean = linear(4 * np.ones((3, 3)) / 3, -2.0, "sigmoid")  # about the mean of the three
    mean.save(tmp_path / "autoencoder.keras")
    teacher = load_teacher(tmp_path / "autoencoder.keras", dataset)
    x = dataset.x_test
    error = np.log(np.square(mean.predict(x, verbose=0) - x).mean(axis=1))
    scaling = score_scaling(teacher.model)
    expected = (error - scaling["score_offset"]) / scaling["score_divisor"]
    np.testing.assert_allclose(teacher.test_logits[:, 0], expected, atol=1e-4)


@pytest.mark.parametrize("end", ["softmax", "linear"])
def test_a_classifier_of_as_many_classes_as_features_is_no_autoencoder(end: str) -> None:
    kernel = 5 * (np.eye(3) - 1 / 3)
    with pytest.raises(
        DataError, match="it is no autoencoder of them, or was trained on features of another scaling"
    ):
        as_teacher(linear(-kernel, end=end), scores())


def test_arrays_of_probabilities_are_refused_whatever_they_sum_to(tmp_path: Path) -> None:
    dataset = of((X > 0).astype(int), "multi_label")
    parts = {part: 1 / (1 + np.exp(-4 * dataset.part(part)[0])) for part in ("train", "validation", "test")}
    np.savez(tmp_path / "p.npz", **parts)
    with pytest.raises(
        DataError,
        match=r"every value is in 0 to 1, so these are probabilities; give logits \(the logarithm of p /",
    ):
        load_logits(tmp_path / "p.npz", dataset)
    assert not are_probabilities(np.zeros((4, 3)))
    assert not are_probabilities(predict_logits(linear(np.eye(3)), X))
