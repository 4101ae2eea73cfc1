"""Losses on features: hints, attention transfer, relations between samples.

The teacher's side is an array that was computed once (`codesign.training.features`); no teacher runs here, and no
gradient flows into it. `keras.distillation.FeatureDistillation` compares a pair of layers too, but its `Distiller`
runs the teacher anew on every batch, and it has no regressor, attention or relations.
"""

from __future__ import annotations

from typing import Any

from keras import ops

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
