"""Further losses against values worked out by hand in plain NumPy, and their gradients against finite differences."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from codesign.errors import SettingsError
from codesign.training.losses import (
    ANGLE_SAMPLES,
    DistillationLoss,
    angle_loss,
    attention_loss,
    attention_map,
    decoupled_loss,
    distance_loss,
    hard_labels_loss,
    hint_loss,
    logits_loss,
    pack_targets,
    soft_labels_loss,
    soft_loss,
)
from codesign.training.losses_combined import CombinedLoss, Term, pack_combined
from codesign.training.objectives import Labels

RNG = np.random.default_rng(5)
LABELS = np.array([0, 2, 1, 2])
TEACHER = RNG.normal(0, 2, (4, 3))
STUDENT = RNG.normal(0, 2, (4, 3))


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def kl(p, q):
    return (p * np.log(p / q)).sum(-1)


def huber(x):
    return np.where(np.abs(x) <= 1, x**2 / 2, np.abs(x) - 0.5)


def as64(values):
    return tf.constant(values, tf.float64)


def gradient_error(function, x):
    """The largest difference between the gradient of the summed loss and central differences, in float64."""
    x = np.asarray(x, dtype=np.float64)
    with tf.GradientTape() as tape:
        variable = tf.Variable(x)
        total = tf.reduce_sum(function(variable))
    gradient = tf.convert_to_tensor(tape.gradient(total, variable)).numpy()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
    numeric = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = 1e-6
        up, down = (float(tf.reduce_sum(function(as64(x + sign * step)))) for sign in (1, -1))
        numeric[index] = (up - down) / 2e-6
    return np.abs(gradient - numeric).max()


def decoupled_by_hand(label, t, s, temperature, a, b):
    p, q = softmax(t / temperature), softmax(s / temperature)
    others = np.arange(len(t)) != label
    target = kl(np.array([p[label], 1 - p[label]]), np.array([q[label], 1 - q[label]]))
    other = kl(p[others] / p[others].sum(), q[others] / q[others].sum())
    return temperature**2 * (a * target + b * other)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_decoupled_by_hand(temperature):
    found = decoupled_loss(LABELS, as64(TEACHER), as64(STUDENT), temperature, 1.5, 6.0)
    expected = [
        decoupled_by_hand(label, t, s, temperature, 1.5, 6.0)
        for label, t, s in zip(LABELS, TEACHER, STUDENT, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_decoupled_with_the_weights_of_equation_6_is_hintons_loss():
    p_label = softmax(TEACHER / 2)[np.arange(4), LABELS]
    hinton = soft_loss(as64(TEACHER), as64(STUDENT), 2.0)
    rebuilt = [
        decoupled_loss(LABELS[i : i + 1], as64(TEACHER[i : i + 1]), as64(STUDENT[i : i + 1]), 2.0, 1, 1 - p)[
            0
        ]
        for i, p in enumerate(p_label)
    ]
    np.testing.assert_allclose(rebuilt, hinton, rtol=1e-9)


def test_decoupled_of_one_output_is_the_weighted_target_part():
    teacher, student = as64([[1.0], [-2.0]]), as64([[0.5], [0.3]])
    found = decoupled_loss(np.array([1, 0]), teacher, student, 3.0, 2.0, 100.0)
    np.testing.assert_allclose(found, 2.0 * soft_loss(teacher, student, 3.0).numpy(), rtol=1e-9)


def test_decoupled_is_finite_for_a_teacher_that_is_sure():
    sure = np.array([[300.0, 0.0, -300.0]], np.float32)
    loss = decoupled_loss(np.array([0]), tf.constant(sure), tf.constant(-sure), 1.0)
    assert np.isfinite(loss.numpy()).all()


def test_logits_loss_is_twice_the_limit_of_hintons_loss():
    centred_t, centred_s = (z - z.mean(-1, keepdims=True) for z in (TEACHER, STUDENT))
    np.testing.assert_allclose(logits_loss(TEACHER, STUDENT), ((TEACHER - STUDENT) ** 2).mean(-1))
    at_high_temperature = soft_loss(as64(centred_t), as64(centred_s), 1e4)
    np.testing.assert_allclose(2 * at_high_temperature.numpy(), logits_loss(centred_t, centred_s), rtol=1e-3)


def test_sigmoid_forms_by_hand():
    labels = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]])
    p = sigmoid(STUDENT)
    cross_entropy = -(labels * np.log(p) + (1 - labels) * np.log(1 - p)).mean(-1)
    np.testing.assert_allclose(hard_labels_loss(labels, as64(STUDENT)), cross_entropy, rtol=1e-9)
    p, q = sigmoid(TEACHER / 3), sigmoid(STUDENT / 3)
    bernoulli = 9 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean(-1)
    np.testing.assert_allclose(soft_labels_loss(as64(TEACHER), as64(STUDENT), 3.0), bernoulli, rtol=1e-9)


def test_sigmoid_form_of_one_output_is_the_binary_soft_loss():
    teacher, student = as64(TEACHER[:, :1]), as64(STUDENT[:, :1])
    np.testing.assert_allclose(
        soft_labels_loss(teacher, student, 2.0), soft_loss(teacher, student, 2.0), rtol=1e-9
    )


def test_hint_by_hand():
    np.testing.assert_allclose(hint_loss(np.array([[1.0, 2.0]]), np.array([[0.0, 5.0]])), [0.5 * (1 + 9) / 2])


def test_attention_by_hand():
    features = np.zeros((1, 1, 2, 3))
    features[0, 0, 0], features[0, 0, 1] = [1, 2, 2], [0, 0, 4]
    np.testing.assert_allclose(attention_map(features), [[9.0, 16.0]])
    unit_t, unit_s = np.array([9, 16]) / np.hypot(9, 16), np.array([1, 0])
    found = attention_loss(np.array([[9.0, 16.0]]), np.array([[2.0, 0.0]]))
    np.testing.assert_allclose(found, [0.5 * ((unit_t - unit_s) ** 2).sum()])


def test_attention_does_not_see_how_strong_a_map_is():
    maps = np.abs(RNG.normal(size=(3, 6)))
    np.testing.assert_allclose(attention_loss(maps, 7.0 * maps), np.zeros(3), atol=1e-12)


def test_distances_by_hand():
    teacher = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 8.0]])
    student = np.array([[0.0], [1.0], [9.0]])
    pairs = list(itertools.permutations(range(3), 2))
    d_t, d_s = (np.array([np.linalg.norm(x[i] - x[j]) for i, j in pairs]) for x in (teacher, student))
    expected = huber(d_t / d_t.mean() - d_s / d_s.mean()).mean()
    np.testing.assert_allclose(distance_loss(teacher, student), expected, rtol=1e-9)


def test_angles_by_hand():
    teacher, student = RNG.normal(size=(5, 4)), RNG.normal(size=(5, 2))

    def cosine(x, i, j, k):
        a, b = x[i] - x[j], x[k] - x[j]
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    triplets = itertools.permutations(range(5), 3)
    expected = np.mean([huber(cosine(teacher, *t) - cosine(student, *t)) for t in triplets])
    np.testing.assert_allclose(angle_loss(teacher, student), expected, rtol=1e-9)


def test_relations_do_not_see_scale_shift_and_rotation():
    teacher = RNG.normal(size=(6, 3))
    rotation, _ = np.linalg.qr(RNG.normal(size=(3, 3)))
    moved = 5.0 * teacher @ rotation + 2.0
    assert float(distance_loss(teacher, moved)) == pytest.approx(0, abs=1e-12)
    assert float(angle_loss(teacher, moved)) == pytest.approx(0, abs=1e-12)
    assert float(distance_loss(teacher, moved**2)) > 1e-3


@pytest.mark.parametrize("loss", [distance_loss, angle_loss])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_relations_of_few_or_equal_samples_are_finite(loss, n):
    x = tf.Variable(np.ones((n, 4), np.float32))
    with tf.GradientTape() as tape:
        value = loss(tf.constant(RNG.normal(size=(n, 3)), tf.float32), x)
    gradient = tape.gradient(value, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    assert np.isfinite(float(value))
    assert np.isfinite(gradient.numpy()).all()


def test_angles_of_a_large_batch_are_those_of_its_first_samples():
    teacher, student = RNG.normal(size=(ANGLE_SAMPLES + 9, 3)), RNG.normal(size=(ANGLE_SAMPLES + 9, 2))
    first = angle_loss(teacher[:ANGLE_SAMPLES], student[:ANGLE_SAMPLES])
    np.testing.assert_allclose(angle_loss(teacher, student), first)


@pytest.mark.parametrize(
    "function",
    [
        lambda z: decoupled_loss(LABELS, as64(TEACHER), z, 2.0, 1.0, 8.0),
        lambda z: logits_loss(as64(TEACHER), z),
        lambda z: hard_labels_loss(np.eye(3)[LABELS], z),
        lambda z: soft_labels_loss(as64(TEACHER), z, 2.0),
        lambda z: hint_loss(as64(TEACHER), z),
        lambda z: attention_loss(as64(TEACHER**2), z**2),
        lambda z: distance_loss(as64(TEACHER), z),
        lambda z: angle_loss(as64(TEACHER), z),
    ],
    ids=["decoupled", "logits", "hard labels", "soft labels", "hint", "attention", "distance", "angle"],
)
def test_gradients(function):
    assert gradient_error(function, STUDENT) < 1e-6


class TestCombinedLoss:
    def test_without_terms_it_is_the_distillation_loss(self):
        packed = pack_targets(LABELS, TEACHER)
        np.testing.assert_array_equal(packed, pack_combined(LABELS, TEACHER))
        one, other = CombinedLoss(0.3, 2.0, 3), DistillationLoss(0.3, 2.0)
        np.testing.assert_allclose(
            one(packed, STUDENT.astype(np.float32)), other(packed, STUDENT.astype(np.float32)), rtol=1e-6
        )

    def test_terms_add_up_with_their_weights_and_read_their_own_columns(self):
        hint_t, hint_s = RNG.normal(size=(4, 2, 2)), RNG.normal(size=(4, 2, 2))
        angle_t, angle_s = RNG.normal(size=(4, 5)), RNG.normal(size=(4, 2))
        terms = (
            Term("hint", 3.0, 4, 4),
            Term("distance", 7.0),
            Term("angle", 2.0, 5, 2),
            Term("logits", 0.1),
        )
        loss = CombinedLoss(0.4, 2.0, 3, form="decoupled", terms=terms, target_weight=1.0, other_weight=2.0)
        targets = pack_combined(LABELS, TEACHER, [hint_t, angle_t])
        outputs = np.concatenate([STUDENT, hint_s.reshape(4, 4), angle_s], axis=1)
        hard = -np.log(softmax(STUDENT)[np.arange(4), LABELS])
        expected = (
            0.4 * hard
            + 0.6 * decoupled_loss(LABELS, as64(TEACHER), as64(STUDENT), 2.0, 1.0, 2.0).numpy()
            + 3.0 * hint_loss(hint_t.reshape(4, 4), hint_s.reshape(4, 4)).numpy()
            + 7.0 * float(distance_loss(TEACHER, STUDENT))
            + 2.0 * float(angle_loss(angle_t, angle_s))
            + 0.1 * logits_loss(TEACHER, STUDENT).numpy()
        )
        found = loss.call(tf.constant(targets), tf.constant(outputs, tf.float32))
        np.testing.assert_allclose(found, expected, rtol=1e-4)

    def test_several_labels_at_once(self):
        labels = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]])
        loss = CombinedLoss(0.5, 2.0, Labels(3))
        targets = pack_combined(labels, TEACHER)
        assert targets.shape == (4, 6)
        expected = 0.5 * (hard_labels_loss(labels, as64(STUDENT)) + soft_labels_loss(TEACHER, STUDENT, 2.0))
        found = loss.call(tf.constant(targets), tf.constant(STUDENT, tf.float32))
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_accuracy_ignores_the_features_beside_the_logits(self):
        loss = CombinedLoss(0.5, 2.0, 3, terms=[Term("hint", 1.0, 1, 1)])
        outputs = np.concatenate([STUDENT, np.full((4, 1), 1e6)], axis=1)
        targets = pack_combined(LABELS, TEACHER, [np.zeros((4, 1))])
        np.testing.assert_array_equal(loss.packed_accuracy(targets, outputs), STUDENT.argmax(1) == LABELS)

    def test_terms_alone(self):
        loss = CombinedLoss(0.3, 2.0, 3, terms=[Term("logits", 2.0)], base_weight=0.0)
        found = loss.call(pack_combined(LABELS, TEACHER), tf.constant(STUDENT, tf.float32))
        np.testing.assert_allclose(found, 2 * logits_loss(TEACHER, STUDENT), rtol=1e-5)

    def test_goes_through_its_configuration(self):
        loss = CombinedLoss(0.3, 2.0, Labels(3), form="logits", terms=[Term("hint", 2.0, 4, 4)])
        again = keras.losses.deserialize(keras.losses.serialize(loss))
        assert again.get_config() == loss.get_config()
        assert again.terms == loss.terms

    def test_refuses_what_has_no_meaning(self):
        with pytest.raises(
            SettingsError,
            match=r"^form: must be one of soft, decoupled, logits, bounded, hint, attention, distance, angle, "
            r"not 'hints'$",
        ):
            Term("hints")
        with pytest.raises(
            SettingsError,
            match=r"^hint: teacher's and student's features must be of the same size above 0, not 3 and 4$",
        ):
            Term("hint", 1.0, 3, 4)
        with pytest.raises(
            SettingsError,
            match=r"^distillation.form: 'decoupled' is not for labels; choose one of soft, logits$",
        ):
            CombinedLoss(0.3, 2.0, Labels(3), form="decoupled")
