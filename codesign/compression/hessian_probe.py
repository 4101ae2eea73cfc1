"""Quadratic forms `v^T H v` of a loss, layer by layer, by differentiating twice with TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from codesign.core.precision_map import Tensor
from codesign.cost import INPUT
from codesign.errors import TrainingError

Loss = Callable[[Any, Any], Any]
"""`loss(y, outputs)`: a scalar, or one value for each sample, whose mean is taken. A `keras.Loss` is one."""


def kernel_of(layer: Any) -> Any:
    """A layer's kernel variable, ``None`` if it has none."""
    return layer.depthwise_kernel if hasattr(layer, "depthwise_kernel") else getattr(layer, "kernel", None)


def with_results(model: keras.Model, names: Sequence[str]) -> Callable[[Any], tuple[Any, list[Any]]]:
    """The model as a function of a batch that also gives the named layers' outputs (`INPUT`: the batch)."""
    hidden = {name: model.get_layer(name).output for name in names if name != INPUT}
    extended = keras.Model(model.inputs[0], {"": model.outputs[0], **hidden})

    def call(x: Any) -> tuple[Any, list[Any]]:
        tensors = extended(x, training=False)
        return tensors[""], [x if name == INPUT else tensors[name] for name in names]

    return call


class Probe:
    """The quadratic forms of one model and loss, compiled once for batches of any size.

    Parameters
    ----------
    model, loss
        See `codesign.compression.hessian.hessian_traces`.
    tensor
        `weight` or `result`.
    names
        The layers.
    x, y
        All samples; here only their shapes and types count.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: Loss,
        tensor: Tensor,
        names: Sequence[str],
        x: np.ndarray,
        y: np.ndarray,
    ) -> None:
        import tensorflow as tf

        self.names, self.tensor, self.loss, self.dtype = tuple(names), tensor, loss, model.compute_dtype
        self.kernels = [kernel_of(model.get_layer(name)) for name in names] if tensor == "weight" else []
        self.outputs = with_results(model, names if tensor == "result" else ())
        self.shapes = [
            x.shape[1:] if name == INPUT else tuple(model.get_layer(name).output.shape[1:]) for name in names
        ]
        if tensor == "weight":
            self.masks = [keras.ops.convert_to_numpy(kernel) != 0 for kernel in self.kernels]
            signs = [tf.TensorSpec((None, *mask.shape), tf.int8) for mask in self.masks]
        else:
            signs = [tf.TensorSpec((None, None, *shape), tf.int8) for shape in self.shapes]
        samples = [
            tf.TensorSpec((None, *x.shape[1:]), self.dtype),
            tf.TensorSpec((None, *y.shape[1:]), y.dtype),
        ]
        self.compiled = tf.function(self._forms, input_signature=[*samples, signs], autograph=False)

    def n_values(self) -> list[int]:
        """How many values of each tensor the vectors move."""
        if self.tensor == "weight":
            return [int(mask.sum()) for mask in self.masks]
        return [int(np.prod(shape)) for shape in self.shapes]

    def forms(
        self, x: np.ndarray, y: np.ndarray, batch_size: int, count: int, rng: np.random.Generator
    ) -> np.ndarray:
        """`v^T H v` of the mean loss over all samples, for `count` random vectors of +1 and -1.

        Returns
        -------
        np.ndarray
            float64 of shape `(count, n_layers)`.

        Raises
        ------
        TrainingError
            If a loss or a form is not finite; names the batch.
        """
        total = np.zeros((count, len(self.names)))
        vectors: list[np.ndarray] = []
        for index, start in enumerate(range(0, len(x), batch_size)):
            batch_x, batch_y = x[start : start + batch_size], y[start : start + batch_size]
            if self.tensor == "result" or not vectors:  # one sample's outputs are nobody else's
                vectors = list(self._vectors(len(batch_x), count, rng))
            loss, forms = self.compiled(batch_x.astype(self.dtype, copy=False), batch_y, vectors)
            where = f"batch {index} (samples {start} to {start + len(batch_x) - 1})"
            self._check(float(loss), forms.numpy(), where)
            total += len(batch_x) / len(x) * forms.numpy()
        return total

    def _check(self, loss: float, forms: np.ndarray, where: str) -> None:
        if not np.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} on {where}, so it has no Hessian there; "
                "look for NaN in the data and for weights that diverged"
            )
        finite = np.isfinite(forms).all(axis=0)
        if not finite.all():
            raise TrainingError(
                f"the second derivative for the {self.tensor} of {self.names[int(np.argmin(finite))]!r} is not finite "
                f"on {where}; use a loss that is smooth there"
            )

    def _vectors(self, n_samples: int, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Random signs, int8 of shape `(count, *tensor)` for each tensor; 0 where a weight is zero."""
        if self.tensor == "weight":
            yield from (_signs(rng, (count, *mask.shape)) * mask for mask in self.masks)
        else:
            yield from (_signs(rng, (count, n_samples, *shape)) for shape in self.shapes)

    def _forms(self, x: Any, y: Any, vectors: list[Any]) -> tuple[Any, Any]:
        import tensorflow as tf

        def one(signs: list[Any]) -> Any:
            with tf.GradientTape(persistent=True) as outer:
                outer.watch(x)
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    value, tensors = self._loss(x, y)
                gradients = inner.gradient(value, tensors, unconnected_gradients="zero")
                signs = [
                    tf.cast(sign, gradient.dtype) for sign, gradient in zip(signs, gradients, strict=True)
                ]
                slopes = [tf.reduce_sum(g * v) for g, v in zip(gradients, signs, strict=True)]
            products = [
                outer.gradient(slope, tensor, unconnected_gradients="zero")
                for slope, tensor in zip(slopes, tensors, strict=True)
            ]
            return tf.stack([tf.reduce_sum(p * v) for p, v in zip(products, signs, strict=True)])

        forms = tf.map_fn(one, vectors, fn_output_signature=tf.as_dtype(self.dtype))
        return self._loss(x, y)[0], forms

    def _loss(self, x: Any, y: Any) -> tuple[Any, list[Any]]:
        outputs, results = self.outputs(x)
        value = keras.ops.mean(self.loss(y, outputs))
        return value, results if self.tensor == "result" else [kernel.value for kernel in self.kernels]


def _signs(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 2 * rng.integers(0, 2, size=shape, dtype=np.int8) - np.int8(1)
