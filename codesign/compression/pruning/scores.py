"""How much each weight matters: its magnitude, or its saliency by first-order Taylor or by the Hessian's diagonal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from codesign.networks.build import kernel_variable
from codesign.training.objectives import Objective

Scores = dict[str, np.ndarray]
"""By layer, in the kernel's shape: how much each weight matters, 0 or more."""

Masks = dict[str, np.ndarray]
"""By layer, float32 in the kernel's shape: 1 keeps, 0 removes."""

Products = dict[str, np.ndarray]
"""By layer, `(n_batches, *kernel.shape)`: what the loss would lose to first order without each weight."""

_BATCH = 32
_JACOBIAN_BATCH = 16


def magnitudes(model: keras.Model, names: Sequence[str]) -> dict[str, np.ndarray]:
    """`|w|` of the named layers' kernels."""
    return {name: np.abs(kernel) for name, kernel in kernels_of(model, names).items()}


def kernels_of(model: keras.Model, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The named layers' kernels, float32."""
    return {name: ops.convert_to_numpy(kernel_variable(model.get_layer(name))) for name in names}


class TaylorScores:
    """First-order saliency: `|g w|` with the gradient of small batches, averaged over them.

    Removing a weight changes the loss by `-g w` to first order (Molchanov et al., arXiv:1611.06440, eq. 4 to 6, and
    arXiv:1906.10771, eq. 8, for weights and groups of them). At the end of a training the gradient over all samples is
    near zero; the batches are small so that what single samples ask for is not averaged away.

    Parameters
    ----------
    model
        Its output is what `loss` takes; in inference mode here.
    names
        Layers with kernels.
    loss
        On packed targets.
    x, targets
        Samples, of which whole batches of 32 are used (all of fewer than 32).
    """

    def __init__(
        self, model: keras.Model, names: Sequence[str], loss: Any, x: np.ndarray, targets: np.ndarray
    ) -> None:
        import tensorflow as tf

        self.model, self.names = model, list(names)
        size = min(_BATCH, len(x))
        self.batches = [(x[i : i + size], targets[i : i + size]) for i in range(0, len(x) - size + 1, size)]
        kernels = [kernel_variable(model.get_layer(name)).value for name in self.names]

        @tf.function
        def gradients(inputs: Any, wanted: Any) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(kernels)
                value = tf.reduce_mean(loss(wanted, model(inputs, training=False)))
            return tape.gradient(value, kernels)

        self._gradients = gradients

    def products(self) -> Products:
        """`g w` of every batch."""
        kernels = kernels_of(self.model, self.names)
        per_batch = [self._gradients(x, targets) for x, targets in self.batches]
        return {
            name: np.stack([np.asarray(one[index]) for one in per_batch]) * kernels[name]
            for index, name in enumerate(self.names)
        }

    def __call__(self) -> dict[str, np.ndarray]:
        """The score of each weight, by layer, in the kernel's shape."""
        return {name: np.abs(values).mean(axis=0) for name, values in self.products().items()}


class HessianScores:
    """Second-order saliency `h w^2 / 2` with the diagonal `h` of the Hessian.

    LeCun et al., Optimal Brain Damage, 1989, eq. 5.

    `h` is the diagonal of the Gauss-Newton matrix of the loss, which is never negative and is the Hessian's where the outputs
    are linear in the weights. Of the cross entropy it is the mean over samples of `sum_k p_k (d log p_k / d w)^2` with the
    probabilities `p` that the network predicts, of squared differences that of the outputs' squared derivatives
    (`codesign.training.objectives.Objective.curvature`). It needs no labels and is computed exactly, not sampled.

    Parameters
    ----------
    model
        Ends at its logits; in inference mode here.
    names
        Layers with kernels.
    x
        Samples.
    objective
        Of the outputs, which come first among the model's; a number of them stands for those of classes.
    temperature
        Of the predictions: `p` and `log p` are those of the logits divided by it. A network that is sure of every
        sample has no curvature at 1.
    """

    def __init__(
        self,
        model: keras.Model,
        names: Sequence[str],
        x: np.ndarray,
        objective: Objective | int,
        temperature: float = 1.0,
    ) -> None:
        import tensorflow as tf

        objective = Objective(objective) if isinstance(objective, int) else objective
        self.model, self.names, self.x = model, list(names), x
        kernels = [kernel_variable(model.get_layer(name)).value for name in self.names]

        @tf.function(reduce_retracing=True)
        def squares(inputs: Any) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(kernels)
                outputs = model(inputs, training=False)[:, : objective.n_outputs]
                values, p = objective.curvature(outputs, temperature)
            found = []
            for jacobian in tape.jacobian(values, kernels):
                weights = tf.reshape(
                    p, tf.concat([tf.shape(p), tf.ones(len(jacobian.shape) - 2, tf.int32)], 0)
                )
                found.append(tf.reduce_sum(weights * tf.square(jacobian), axis=[0, 1]))
            return found

        self._squares = squares

    def diagonal(self) -> dict[str, np.ndarray]:
        """`h` by layer, in the kernel's shape."""
        total: list[np.ndarray] | None = None
        for start in range(0, len(self.x), _JACOBIAN_BATCH):
            part = [
                np.asarray(one, np.float64) for one in self._squares(self.x[start : start + _JACOBIAN_BATCH])
            ]
            total = part if total is None else [a + b for a, b in zip(total, part, strict=True)]
        assert total is not None
        return {name: one / len(self.x) for name, one in zip(self.names, total, strict=True)}

    def __call__(self) -> dict[str, np.ndarray]:
        """The score of each weight, by layer, in the kernel's shape."""
        kernels = kernels_of(self.model, self.names)
        return {name: 0.5 * h * kernels[name] ** 2 for name, h in self.diagonal().items()}


def unit_sums(values: Mapping[str, np.ndarray], units: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Values summed over the weights of each unit.

    Parameters
    ----------
    values
        By layer, in the kernel's shape, or with leading axes before it.
    units
        By layer, in the kernel's shape: the number of the unit that each weight belongs to, from 0.
    """
    sums = {}
    for name, unit in units.items():
        flat = values[name].reshape(-1, unit.size)
        count = int(unit.max()) + 1
        summed = np.stack([np.bincount(unit.ravel(), row, count) for row in flat])
        sums[name] = summed.reshape(*values[name].shape[: values[name].ndim - unit.ndim], count)
    return sums
