"""Losses on logits and on features (hints, attention transfer, relations), with the teacher's side packed beside the labels.

`keras.distillation.Distiller` is not used: it runs the teacher anew on every batch of every epoch, freezes the
caller's teacher as a side effect, needs a training step of its own, and has no regressor, attention or relations. Here the
teacher's logits and features (`codesign.training.features`) are computed once and travel as part of the targets, so that
the plain training loop distils and no gradient flows into them.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


def pack_targets(labels: np.ndarray, teacher_logits: np.ndarray | None = None) -> np.ndarray:
    """Targets for the losses here: float32 of shape `(n_samples, n_columns + n_outputs)`, the label first.

    Parameters
    ----------
    labels
        Class indices of shape `(n_samples,)`, or targets of shape `(n_samples, n_columns)`.
    teacher_logits
        Shape `(n_samples, n_outputs)`; left out for training without a teacher.
    """
    columns = np.asarray(labels, dtype=np.float32).reshape(len(labels), -1)
    return (
        columns
        if teacher_logits is None
        else np.concatenate([columns, teacher_logits.astype(np.float32)], axis=1)
    )


def hard_loss(labels: Any, logits: Any) -> Any:
    """Negative log likelihood of the labels, shape `(n,)`; one output is the logit of class 1."""
    if logits.shape[-1] == 1:
        return ops.binary_crossentropy(ops.cast(labels, logits.dtype)[:, None], logits, from_logits=True)[
            :, 0
        ]
    return ops.sparse_categorical_crossentropy(ops.cast(labels, "int32"), logits, from_logits=True)


def soft_loss(teacher_logits: Any, logits: Any, temperature: float) -> Any:
    """Hinton's soft-target loss `T^2 KL(p_T || q_T)`, shape `(n,)` (arXiv:1503.02531, section 2).

    The factor keeps its gradient of the size of the hard loss's when the temperature changes. With one output the
    two Bernoulli distributions of the tempered logits are compared.
    """
    if logits.shape[-1] == 1:
        teacher_logits = ops.concatenate([ops.zeros_like(teacher_logits), teacher_logits], axis=-1)
        logits = ops.concatenate([ops.zeros_like(logits), logits], axis=-1)
    z_p, z_q = teacher_logits / temperature, logits / temperature
    # sum of p (log p - log q) with the normalisers taken out of the sum: less to compute in every step
    kl = (
        ops.sum(ops.softmax(z_p) * (z_p - z_q), axis=-1)
        - ops.logsumexp(z_p, axis=-1)
        + ops.logsumexp(z_q, axis=-1)
    )
    return temperature**2 * kl


@keras.saving.register_keras_serializable("codesign")
class DistillationLoss(keras.losses.Loss):
    """`alpha * L_NLL + (1 - alpha) * L_KD` on packed targets (see `pack_targets`).

    Parameters
    ----------
    alpha
        The weight of the hard-label loss; 1 needs no teacher.
    temperature
        The temperature of the soft targets.
    """

    def __init__(self, alpha: float = 1.0, temperature: float = 1.0, name: str = "distillation") -> None:
        super().__init__(name=name)
        self.alpha = alpha
        self.temperature = temperature

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample."""
        loss = 0.0
        if self.alpha > 0:
            loss = self.alpha * hard_loss(y_true[:, 0], y_pred)
        if self.alpha < 1:
            loss = loss + (1 - self.alpha) * soft_loss(y_true[:, 1:], y_pred, self.temperature)
        return loss

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {"alpha": self.alpha, "temperature": self.temperature, "name": self.name}


def packed_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Whether the predicted class is the label, shape `(n,)`, on packed targets."""
    labels = ops.cast(y_true[:, 0], "int32")
    predicted = (
        ops.cast(y_pred[:, 0] > 0, "int32")
        if y_pred.shape[-1] == 1
        else ops.cast(ops.argmax(y_pred, -1), "int32")
    )
    return ops.cast(ops.equal(labels, predicted), "float32")


def logits_loss(teacher_logits: Any, logits: Any) -> Any:
    """Mean squared difference of the logits, shape `(n,)`: logits matching (Ba and Caruana, arXiv:1312.6184, eq. 1).

    Hinton's loss tends to half of it, up to the logits' means, as the temperature grows (arXiv:1503.02531, eq. 4).
    """
    return ops.mean(ops.square(logits - teacher_logits), axis=-1)


def decoupled_loss(
    labels: Any,
    teacher_logits: Any,
    logits: Any,
    temperature: float,
    target_weight: float = 1.0,
    other_weight: float = 8.0,
) -> Any:
    """Decoupled distillation `T^2 (a TCKD + b NCKD)`, shape `(n,)` (Zhao et al., arXiv:2203.08679, eq. 7).

    TCKD compares the probabilities of the label's class against all others, NCKD the distributions among the others.
    Hinton's loss is `TCKD + (1 - p_label) NCKD` (eq. 6): a confident teacher hides what it knows of the other classes,
    and the constant `b` uncovers it.

    Parameters
    ----------
    labels
        Class indices, shape `(n,)`.
    teacher_logits, logits
        Shape `(n, n_outputs)`; with one output only TCKD is left, for there is one other class.
    temperature
        Of both softmaxes.
    target_weight, other_weight
        `a` and `b`.
    """
    if logits.shape[-1] == 1:
        return target_weight * soft_loss(teacher_logits, logits, temperature)
    n_outputs = logits.shape[-1]
    target = ops.cast(ops.one_hot(ops.cast(labels, "int32"), n_outputs), "bool")
    log_p = ops.log_softmax(teacher_logits / temperature)
    log_q = ops.log_softmax(logits / temperature)
    target_kl = ops.sum(
        _split(log_p, target, ops.exp) * (_split(log_p, target) - _split(log_q, target)), axis=-1
    )
    log_p, log_q = (
        _among_others(teacher_logits / temperature, target),
        _among_others(logits / temperature, target),
    )
    # the masked entries are equal on both sides and count nothing
    other_kl = ops.sum(ops.where(target, 0.0, ops.exp(log_p) * (log_p - log_q)), axis=-1)
    return temperature**2 * (target_weight * target_kl + other_weight * other_kl)


def hard_labels_loss(labels: Any, logits: Any) -> Any:
    """Binary cross entropy of independent labels, mean over the outputs, shape `(n,)`.

    Parameters
    ----------
    labels
        0 or 1, shape `(n, n_outputs)`.
    logits
        Shape `(n, n_outputs)`.
    """
    # -y log s(z) - (1 - y) log s(-z), without the overflow of either
    labels = ops.cast(labels, logits.dtype)
    return ops.mean(ops.softplus(logits) - labels * logits, axis=-1)


def soft_labels_loss(teacher_logits: Any, logits: Any, temperature: float) -> Any:
    """`T^2` times the mean over the outputs of the Bernoulli divergences `KL(p_T || q_T)`, shape `(n,)`.

    The sigmoid form of `codesign.training.losses.soft_loss`, to which it is equal for one output.
    """
    z_p, z_q = teacher_logits / temperature, logits / temperature
    p = ops.sigmoid(z_p)
    # log s(z) = -softplus(-z); the entropies share p, so only differences of softplus are left
    kl = p * (ops.softplus(-z_q) - ops.softplus(-z_p)) + (1 - p) * (ops.softplus(z_q) - ops.softplus(z_p))
    return temperature**2 * ops.mean(kl, axis=-1)


def _split(log_p: Any, target: Any, function: Any = None) -> Any:
    """Log probabilities of the label's class and of all others together, shape `(n, 2)`."""
    minus_infinity = ops.full_like(log_p, -1e30)
    own = ops.logsumexp(ops.where(target, log_p, minus_infinity), axis=-1)
    others = ops.logsumexp(ops.where(target, minus_infinity, log_p), axis=-1)
    both = ops.stack([own, others], axis=-1)
    return both if function is None else function(both)


def _among_others(logits: Any, target: Any) -> Any:
    """Log softmax over the classes that are not the label's; the label's own entry means nothing."""
    return ops.log_softmax(ops.where(target, ops.full_like(logits, -1e30), logits))


DISTANCE_SAMPLES = 1024
"""Samples of a batch whose distances are compared at most: the matrix has their square."""

ANGLE_SAMPLES = 64
"""Samples of a batch whose angles are compared at most: the tensor has their cube. A batch is shuffled, so that its
first samples are a random choice."""

_SMALL = 1e-12  # a squared length below it counts as zero, where a square root has no gradient


def hint_loss(hint: Any, regressed: Any) -> Any:
    """Half the mean squared difference of a hint and the student's regressed features, shape `(n,)`.

    Romero et al. (FitNets), arXiv:1412.6550, eq. 3, with the mean in place of the sum over the features, so that the
    weight does not depend on the layer's width.

    Parameters
    ----------
    hint, regressed
        Shape `(n, n_features)`.
    """
    return 0.5 * ops.mean(ops.square(hint - regressed), axis=-1)


def attention_map(features: Any) -> Any:
    """Where a layer is active: the sum over channels of squares, shape `(n, n_positions)`.

    Zagoruyko and Komodakis, arXiv:1612.03928, section 3.1 (`F_sum^2`). Works on NumPy arrays and tensors.

    Parameters
    ----------
    features
        `(n, *positions, n_channels)`.
    """
    summed = ops.sum(ops.square(features), axis=-1)
    return ops.reshape(summed, (-1, _size(summed.shape[1:])))


def attention_loss(teacher_map: Any, student_map: Any) -> Any:
    """Half the squared distance of the normalised attention maps, shape `(n,)` (arXiv:1612.03928, eq. 2).

    The distance is squared, as in the authors' implementation: its root has no gradient where the maps agree.

    Parameters
    ----------
    teacher_map, student_map
        As `attention_map` gives them, shape `(n, n_positions)`.
    """
    return 0.5 * ops.sum(ops.square(_normalised(teacher_map) - _normalised(student_map)), axis=-1)


def distance_loss(teacher: Any, student: Any) -> Any:
    """Relational distillation of distances: a scalar for the batch (Park et al., arXiv:1904.05068, eq. 5 to 7).

    The distance of each pair is divided by the mean distance over the batch, and the Huber loss of the difference
    between teacher and student is averaged over all pairs.

    Parameters
    ----------
    teacher, student
        Any features or logits, shapes `(n, n_teacher)` and `(n, n_student)`.
    """
    teacher, student = teacher[:DISTANCE_SAMPLES], student[:DISTANCE_SAMPLES]
    huber = _huber(_relative_distances(teacher) - _relative_distances(student))
    return ops.sum(huber) / _count(teacher, 2)


def angle_loss(teacher: Any, student: Any) -> Any:
    """Relational distillation of angles: a scalar for the batch (arXiv:1904.05068, eq. 8 to 9).

    The Huber loss of the differences between the cosines of the angle at `j` from `i` to `k`, averaged over all
    triplets of different samples.

    Parameters
    ----------
    teacher, student
        Any features or logits, shapes `(n, n_teacher)` and `(n, n_student)`.
    """
    teacher, student = teacher[:ANGLE_SAMPLES], student[:ANGLE_SAMPLES]
    huber = _huber(_cosines(teacher) - _cosines(student))
    n = ops.shape(teacher)[0]
    # a direction and itself (i = k) have the cosine 1 on both sides, up to samples that coincide on one of them
    different = 1 - ops.eye(n, dtype=student.dtype)
    return ops.sum(huber * different[None, :, :]) / _count(teacher, 3)


def _size(shape: Any) -> int:
    size = 1
    for length in shape:
        size *= int(length)
    return size


def _normalised(values: Any) -> Any:
    length = ops.sqrt(ops.maximum(ops.sum(ops.square(values), axis=-1, keepdims=True), _SMALL))
    return values / length


def _relative_distances(values: Any) -> Any:
    """Distances of all pairs over their mean, shape `(n, n)`."""
    squares = ops.sum(ops.square(values), axis=-1)
    squared = squares[:, None] + squares[None, :] - 2 * ops.matmul(values, ops.transpose(values))
    apart = squared > _SMALL
    distances = ops.where(apart, ops.sqrt(ops.where(apart, squared, 1.0)), 0.0)
    different = 1 - ops.eye(ops.shape(values)[0], dtype=values.dtype)
    distances = distances * different
    mean = ops.sum(distances) / _count(values, 2)
    return distances / ops.maximum(mean, _SMALL)


def _cosines(values: Any) -> Any:
    """`[j, i, k]`: the cosine at `j` between the directions to `i` and to `k`; zero where samples coincide."""
    directions = values[None, :, :] - values[:, None, :]
    squared = ops.sum(ops.square(directions), axis=-1, keepdims=True)
    apart = squared > _SMALL
    unit = ops.where(apart, directions / ops.sqrt(ops.where(apart, squared, 1.0)), 0.0)
    return ops.matmul(unit, ops.transpose(unit, (0, 2, 1)))


def _count(values: Any, different: int) -> Any:
    """The number of ordered choices of `different` samples, at least 1."""
    n = ops.cast(ops.shape(values)[0], values.dtype)
    product = n
    for taken in range(1, different):
        product = product * (n - taken)
    return ops.maximum(product, 1.0)


def _huber(difference: Any) -> Any:
    size = ops.abs(difference)
    return ops.where(size <= 1.0, 0.5 * ops.square(size), size - 0.5)
