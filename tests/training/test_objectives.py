"""The losses of tasks: values against NumPy, curvature against derivatives of the loss, and their round trip."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from codesign.core.task import (
    Binary,
    Classification,
    Head,
    Heads,
    MultiLabel,
    Reconstruction,
    Regression,
    Score,
    Task,
)
from codesign.errors import SettingsError
from codesign.settings import DistillationSettings
from codesign.training.losses_combined import distillation_loss, pack_combined
from codesign.training.objectives import Following, Several, Values, objective_from_json, objective_of

RANDOM = np.random.default_rng(0)
N = 6
CLASSES, PT = Classification(("e", "mu", "tau")), Regression(("pt", "eta"))
HUBER = Regression(("pt", "eta"), loss="huber")
TASKS: list[Task] = [
    CLASSES,
    Binary(("b", "s")),
    MultiLabel(("a", "b", "c")),
    PT,
    HUBER,
    Reconstruction(("a", "b"), labelled=True),
    Score(),
    Heads(heads=(Head("kind", CLASSES, 2.0), Head("p", HUBER, 0.5), Head("flags", MultiLabel(("x", "y"))))),
]


def targets_of(task: Task) -> np.ndarray:
    if isinstance(task, Heads):
        return np.concatenate([head.task.columns(targets_of(head.task)) for head in task.heads], axis=1)
    if isinstance(task, MultiLabel):
        return RANDOM.integers(0, 2, (N, len(task.names)))
    if isinstance(task, Regression):
        values = RANDOM.normal(size=(N, task.n_columns)).astype(np.float32)
        if isinstance(task, Reconstruction) and task.labelled:
            values[:, -1] = np.arange(N) % 2
        return values
    return RANDOM.integers(0, len(task.names), N)


def tensors(*arrays: np.ndarray) -> list[tf.Tensor]:
    return [tf.constant(array, tf.float64) for array in arrays]


def outputs_of(task: Task) -> np.ndarray:
    return 2 * RANDOM.normal(size=(N, task.n_outputs))


def test_squared_and_huber_agree_below_one_and_huber_grows_linearly() -> None:
    wanted = np.zeros((3, 1))
    outputs = np.array([[0.5], [1.0], [4.0]])
    squared, huber = objective_of(Regression(("pt",))), objective_of(Regression(("pt",), loss="huber"))
    np.testing.assert_allclose(squared.hard(*tensors(wanted, outputs)), [0.25, 1.0, 16.0])
    np.testing.assert_allclose(huber.hard(*tensors(wanted, outputs)), [0.25, 1.0, 7.0])


def test_the_bounded_loss_leaves_alone_who_beats_the_teacher() -> None:
    targets, teacher = np.zeros((4, 1)), np.full((4, 1), 0.5)
    outputs = np.array([[0.4], [0.6], [0.49], [-0.2]])
    free, strict = Following("bounded"), Following("bounded", margin=0.02)
    objective = Values(1)
    np.testing.assert_allclose(objective.known(*tensors(targets, teacher, outputs), free), [0, 0.36, 0, 0])
    # 0.16 is better by more than the margin, 0.2401 is not
    np.testing.assert_allclose(
        objective.known(*tensors(targets, teacher, outputs), strict), [0, 0.36, 0.2401, 0]
    )


def test_anomalous_samples_are_not_reconstructed_and_a_score_has_no_targets() -> None:
    task = Reconstruction(("a", "b"), labelled=True)
    targets = np.array([[1.0, 2.0, 0.0], [1.0, 2.0, 1.0]])
    outputs = np.zeros((2, 2))
    objective = objective_of(task)
    np.testing.assert_allclose(objective.hard(*tensors(targets, outputs)), [2.5, 0])
    np.testing.assert_allclose(
        objective.known(*tensors(targets, outputs + 1, outputs), Following()), [1.0, 0]
    )
    score = objective_of(Score())
    np.testing.assert_allclose(score.hard(*tensors(np.ones((2, 1)), np.ones((2, 1)))), [0, 0])


def test_heads_add_up_by_their_weights() -> None:
    task = Heads(heads=(Head("kind", CLASSES, 2.0), Head("p", PT, 0.5)))
    targets, teacher, outputs = targets_of(task), outputs_of(task), outputs_of(task)
    whole, kind, p = objective_of(task), objective_of(CLASSES), objective_of(PT)
    t, k, o = tensors(targets, teacher, outputs)
    expected = 2.0 * kind.hard(t[:, :1], o[:, :3]) + 0.5 * p.hard(t[:, 1:], o[:, 3:])
    np.testing.assert_allclose(whole.hard(t, o), expected)
    how = Following("bounded", 3.0)  # classes have no such form: they follow soft targets
    expected = 2.0 * kind.divergence(k[:, :3], o[:, :3], 3.0) + 0.5 * p.known(
        t[:, 1:], k[:, 3:], o[:, 3:], how
    )
    np.testing.assert_allclose(whole.known(t, k, o, how), expected)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_a_teacher_that_is_followed_exactly_leaves_no_loss_and_no_slope(task: Task) -> None:
    objective, teacher = objective_of(task), outputs_of(task)
    outputs = tf.Variable(teacher)
    with tf.GradientTape() as tape:
        divergence = objective.divergence(*tensors(teacher), outputs, 2.0)
    np.testing.assert_allclose(divergence, 0, atol=1e-12)
    np.testing.assert_allclose(tape.gradient(divergence, outputs), 0, atol=1e-12)
    assert (
        (objective.divergence(*tensors(teacher, teacher + RANDOM.normal(size=teacher.shape)), 2.0) > 0)
        .numpy()
        .all()
    )


@pytest.mark.parametrize(
    "task", [one for one in TASKS if "huber" not in json.dumps(one.to_json())], ids=lambda task: task.kind
)
def test_curvature_is_the_hessian_of_following_a_teacher(task: Task) -> None:
    objective, outputs = objective_of(task), outputs_of(task)
    point = tf.Variable(outputs)
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            loss = tf.reduce_sum(objective.divergence(*tensors(outputs), point, 1.0))
        slope = inner.gradient(loss, point)
    full = np.asarray(outer.jacobian(slope, point))
    hessian = np.stack([np.diag(full[row, :, row, :]) for row in range(N)])
    with tf.GradientTape() as tape:
        values, weights = objective.curvature(point, 1.0)
    jacobian = np.asarray(tape.jacobian(values, point))
    found = np.stack(
        [(np.asarray(weights)[row, :, None] * jacobian[row, :, row, :] ** 2).sum(0) for row in range(N)]
    )
    np.testing.assert_allclose(found, hessian, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_a_loss_and_an_objective_go_through_their_configuration(task: Task) -> None:
    objective = objective_of(task)
    assert objective_from_json(json.loads(json.dumps(objective.to_json()))) == objective
    settings = DistillationSettings(temperature=2.0, alpha=0.3, form="logits")
    loss = distillation_loss(task, task.n_outputs, settings)
    again = type(loss).from_config(json.loads(json.dumps(loss.get_config())))
    targets, teacher, outputs = targets_of(task), outputs_of(task), outputs_of(task)
    packed = pack_combined(targets, teacher)
    assert packed.shape == (N, task.n_columns + task.n_outputs)
    made = [
        np.asarray(one.call(tf.constant(packed), tf.constant(outputs, tf.float32))) for one in (loss, again)
    ]
    np.testing.assert_array_equal(*made)
    assert np.isfinite(made[0]).all()


def test_targets_go_to_columns_and_back() -> None:
    for task in TASKS:
        targets = targets_of(task)
        columns = task.columns(targets)
        assert columns.dtype == np.float32
        assert columns.shape == (N, task.n_columns)
        np.testing.assert_array_equal(task.of_columns(columns), targets)


@pytest.mark.parametrize(
    ("task", "form", "others"),
    [(PT, "decoupled", "soft, logits, bounded"), (CLASSES, "bounded", "soft, decoupled, logits")],
    ids=["values", "classes"],
)
def test_a_form_that_a_task_lacks_is_refused(task: Task, form: str, others: str) -> None:
    settings = DistillationSettings.model_validate({"form": form})
    with pytest.raises(
        SettingsError, match=rf"^distillation.form: '{form}' is not for .*; choose one of {others}$"
    ):
        distillation_loss(task, task.n_outputs, settings)


def test_an_ensemble_says_the_mean_of_values_and_of_each_label_by_itself() -> None:
    outputs = RANDOM.normal(size=(3, N, 2))
    np.testing.assert_allclose(objective_of(PT).mean(outputs, None), outputs.mean(0), rtol=1e-6)
    task = MultiLabel(("a", "b"))
    seen: list[np.ndarray] = []
    found = objective_of(task).mean(outputs, lambda one: seen.append(one) or one.mean(0))
    assert [one.shape for one in seen] == [(3, N, 1)] * 2
    np.testing.assert_allclose(found, outputs.mean(0))
    assert isinstance(objective_of(TASKS[-1]), Several)
