"""Hinton's distillation loss against numbers made by hand in float64, and its gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.training.losses import DistillationLoss, hard_loss, pack_targets, packed_accuracy, soft_loss

FINITE = st.floats(-20, 20, width=32)


def softmax(z: np.ndarray) -> np.ndarray:
    z = z.astype(np.float64) - z.max(axis=-1, keepdims=True)
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)


def by_hand(
    labels: np.ndarray, teacher: np.ndarray, student: np.ndarray, alpha: float, temperature: float
) -> np.ndarray:
    """The formula of the paper, term by term."""
    nll = -np.log(softmax(student)[np.arange(len(labels)), labels])
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    kl = (p * (np.log(p) - np.log(q))).sum(axis=1)
    return alpha * nll + (1 - alpha) * temperature**2 * kl


def test_three_numbers_that_anyone_can_check() -> None:
    # teacher certain of nothing, student two to one for class 0: p = (1/2, 1/2), q = (2/3, 1/3)
    teacher, student = np.zeros((1, 2), np.float32), np.log(np.array([[2.0, 1.0]], np.float32))
    labels = np.array([1])
    assert float(hard_loss(labels, student)[0]) == pytest.approx(np.log(3), rel=1e-6)
    kl = 0.5 * np.log(0.5 / (2 / 3)) + 0.5 * np.log(0.5 / (1 / 3))
    assert float(soft_loss(teacher, student, 1.0)[0]) == pytest.approx(kl, rel=1e-5)
    loss = DistillationLoss(alpha=0.25, temperature=1.0)(pack_targets(labels, teacher), student)
    assert float(loss) == pytest.approx(0.25 * np.log(3) + 0.75 * kl, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0, 20.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_loss_is_the_formula_of_the_paper(alpha: float, temperature: float) -> None:
    random = np.random.default_rng(0)
    teacher, student = random.normal(0, 3, (2, 50, 5)).astype(np.float32)
    labels = random.integers(0, 5, 50)
    loss = DistillationLoss(alpha, temperature).call(pack_targets(labels, teacher), tf.constant(student))
    np.testing.assert_allclose(
        loss, by_hand(labels, teacher, student, alpha, temperature), rtol=2e-4, atol=2e-4
    )


def gradient(function: object, logits: np.ndarray) -> np.ndarray:
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(function(variable))  # type: ignore[operator]
    return np.asarray(tape.gradient(loss, variable))


@pytest.mark.parametrize("temperature", [0.7, 1.0, 4.0, 30.0])
def test_the_factor_keeps_the_gradient_of_its_size(temperature: float) -> None:
    random = np.random.default_rng(1)
    teacher, student = random.normal(0, 2, (2, 20, 4)).astype(np.float32)
    # d/dz of T^2 KL = T (q - p): without the factor it would fall as 1 / T
    expected = temperature * (softmax(student / temperature) - softmax(teacher / temperature))
    found = gradient(lambda z: soft_loss(tf.constant(teacher), z, temperature), student)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_at_high_temperature_the_gradient_is_that_of_matching_logits() -> None:
    # Hinton et al., section 2.1: (z - v) / N for zero-meaned logits
    random = np.random.default_rng(2)
    teacher, student = random.normal(0, 1, (2, 30, 6)).astype(np.float32)
    teacher -= teacher.mean(axis=1, keepdims=True)
    student -= student.mean(axis=1, keepdims=True)
    found = gradient(lambda z: soft_loss(tf.constant(teacher), z, 300.0), student)
    np.testing.assert_allclose(found, (student - teacher) / 6, atol=5e-3)


@settings(max_examples=50)
@given(st.lists(FINITE, min_size=3, max_size=3), st.lists(FINITE, min_size=3, max_size=3), st.floats(0.5, 20))
def test_soft_targets_cost_nothing_only_where_they_are_met(
    teacher: list, student: list, temperature: float
) -> None:
    teacher, student = (np.array([z], np.float32) for z in (teacher, student))
    loss = float(soft_loss(teacher, student, temperature)[0])
    assert loss >= -1e-3 * temperature**2
    assert abs(float(soft_loss(student, student, temperature)[0])) <= 1e-4 * temperature**2
    # a constant added to all logits changes nothing
    shifted = float(soft_loss(teacher + np.float32(2), student - np.float32(3), temperature)[0])
    assert shifted == pytest.approx(loss, abs=2e-3 * temperature**2 + 1e-3 * abs(loss))


@pytest.mark.parametrize("temperature", [1.0, 5.0])
def test_one_output_is_the_logit_of_class_one(temperature: float) -> None:
    random = np.random.default_rng(3)
    teacher, student = random.normal(0, 2, (2, 40, 1)).astype(np.float32)
    labels = random.integers(0, 2, 40)
    pairs = [np.concatenate([np.zeros_like(z), z], axis=1) for z in (teacher, student)]
    one = DistillationLoss(0.4, temperature).call(pack_targets(labels, teacher), tf.constant(student))
    np.testing.assert_allclose(one, by_hand(labels, *pairs, 0.4, temperature), rtol=1e-3, atol=1e-4)


def test_alpha_one_needs_no_teacher() -> None:
    labels, student = np.array([0, 2]), np.array([[1, 2, 3], [3, 2, 1]], np.float32)
    loss = DistillationLoss(alpha=1.0).call(pack_targets(labels), tf.constant(student))
    np.testing.assert_allclose(loss, hard_loss(labels, student), rtol=1e-6)


def test_targets_are_packed_label_first() -> None:
    logits = np.arange(6, dtype=np.float64).reshape(2, 3)
    packed = pack_targets(np.array([2, 1]), logits)
    assert packed.dtype == np.float32
    assert packed.tolist() == [[2, 0, 1, 2], [1, 3, 4, 5]]
    assert pack_targets(np.array([2, 1])).tolist() == [[2], [1]]


def test_many_classes_survive_packing_as_floats() -> None:
    labels = np.arange(70_000)
    assert np.array_equal(pack_targets(labels)[:, 0].astype(np.int64), labels)


def test_accuracy_of_packed_targets() -> None:
    targets = pack_targets(np.array([0, 1, 2, 0]), np.zeros((4, 3)))
    logits = np.array([[3, 1, 1], [0, 0, 1], [0, 1, 2], [1, 1, 0]], np.float32)
    assert np.asarray(packed_accuracy(targets, tf.constant(logits))).tolist() == [1, 0, 1, 1]
    one = pack_targets(np.array([0, 1, 0]))
    assert np.asarray(packed_accuracy(one, tf.constant([[-1.0], [2.0], [0.5]]))).tolist() == [1, 1, 0]


def test_the_loss_can_be_kept_with_a_model() -> None:
    loss = DistillationLoss(0.2, 4.0)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert (again.alpha, again.temperature, again.name) == (0.2, 4.0, "distillation")
