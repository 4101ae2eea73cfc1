"""Hessian traces of any loss by Hutchinson's estimator, layer by layer, with standard errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from codesign.compression.sensitivity import HessianTrace, TensorName, tensor_format, with_width
from codesign.core.precision_map import PrecisionMap, Tensor
from codesign.core.progress import SILENT, Progress
from codesign.cost import INPUT
from codesign.errors import DataError, SettingsError, TrainingError

Loss = Callable[[Any, Any], Any]
"""`loss(y, outputs)`: a scalar, or one value for each sample, whose mean is taken. A `keras.Loss` is one."""

_AT_ONCE = 16  # probes in one call of the compiled function
_BEFORE_STOPPING = 32  # probes before a standard error is believed


def hessian_traces(
    model: keras.Model,
    loss: Loss,
    x: np.ndarray,
    y: np.ndarray,
    *,
    samples: int = 256,
    seed: int = 0,
    batch_size: int = 1024,
    relative_error: float | None = None,
    tensor: Tensor = "weight",
    layers: Sequence[str] | None = None,
    progress: Progress = SILENT,
) -> tuple[HessianTrace, ...]:
    """Estimate the trace of each layer's block of the Hessian of the mean loss over `x`, `y`.

    With random vectors `v` of +1 and -1 (Rademacher), the mean of `v^T H v` is the trace of `H`, and its spread comes
    from the off-diagonal entries alone. Each layer has vectors and Hessian-vector products of its own, so that
    other layers add no spread. Weights that are exactly zero (pruned) stay out: no number format moves them.

    Parameters
    ----------
    model
        A built float Keras model (a quantized one has no second derivatives); not changed, in inference mode.
    loss
        `loss(y, outputs)`, for example a `keras.losses.Loss` or `codesign.training.losses.DistillationLoss`.
    x
        Inputs, shape `(n_samples, ...)`.
    y
        Targets as `loss` takes them, shape `(n_samples, ...)`.
    samples
        The largest number of random vectors, at least 2.
    seed
        Of the random vectors.
    batch_size
        Samples in memory at once; no effect on the estimate for weights but rounding.
    relative_error
        Stop when every layer's standard error is at most this fraction of its trace; ``None`` uses all samples.
    tensor
        `weight` for kernels; `result` for the outputs of `layers`, where the trace is that of one sample's loss,
        averaged over samples.
    layers
        Names; ``None`` takes every layer with a kernel, and must be given for `result`. There `codesign.cost.INPUT`
        stands for the network's input.

    Returns
    -------
    tuple of HessianTrace
        In the order of `layers`, or the model's.

    Raises
    ------
    TrainingError
        If the loss or a product is not finite; names the batch.
    DataError
        For no samples or `x` and `y` of different lengths.
    SettingsError
        For a layer that does not exist or has no kernel, or numbers out of range.

    Notes
    -----
    Hutchinson (1989); Dong et al. (HAWQ-V2), arXiv:1911.03852.
    """
    _check(x, y, samples, batch_size, relative_error)
    x, y = np.asarray(x), np.asarray(y)
    probe = _Probe(model, loss, tensor, _names(model, tensor, layers), x, y)
    rng = np.random.default_rng(seed)
    forms = np.empty((0, len(probe.names)))
    while len(forms) < samples:
        count = min(_AT_ONCE, samples - len(forms))
        forms = np.concatenate([forms, probe.forms(x, y, batch_size, count, rng)])
        progress.step("Hessian traces", len(forms), samples)
        if relative_error is not None and _settled(forms, relative_error):
            break
    errors = forms.std(axis=0, ddof=1) / np.sqrt(len(forms))
    return tuple(
        HessianTrace(name, tensor, float(mean), float(error), len(forms), n_values)
        for name, mean, error, n_values in zip(
            probe.names, forms.mean(axis=0), errors, probe.n_values(), strict=True
        )
    )


def activation_errors(
    model: keras.Model,
    x: np.ndarray,
    precision: PrecisionMap,
    widths: Sequence[int],
    layers: Sequence[str],
    *,
    batch_size: int = 1024,
) -> dict[TensorName, dict[int, float]]:
    """`||Q(a) - a||^2` of the outputs of layers at each width, averaged over samples.

    Parameters
    ----------
    model
        A built float Keras model.
    x
        Inputs, shape `(n_samples, ...)`.
    precision
        Gives integer bits and modes of each `result`.
    widths
        In bits.
    layers
        Names of layers, or `codesign.cost.INPUT`.
    batch_size
        Samples in memory at once.

    Raises
    ------
    SettingsError
        For a layer that the model does not have or the map has no `result` format for.
    """
    outputs = _with_results(model, _names(model, "result", layers))
    formats = [tensor_format(precision, (layer, "result")) for layer in layers]
    totals = np.zeros((len(layers), len(widths)))
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size]
        _, results = outputs(keras.ops.convert_to_tensor(batch, dtype=model.compute_dtype))
        for row, (base, result) in enumerate(zip(formats, results, strict=True)):
            values = np.asarray(keras.ops.convert_to_numpy(result), dtype=np.float64)
            for column, width in enumerate(widths):
                totals[row, column] += np.square(with_width(base, width).quantize(values) - values).sum()
    return {
        (layer, "result"): dict(zip(widths, map(float, row / len(x)), strict=True))
        for layer, row in zip(layers, totals, strict=True)
    }


def _settled(forms: np.ndarray, relative_error: float) -> bool:
    errors = forms.std(axis=0, ddof=1) / np.sqrt(len(forms))
    return len(forms) >= _BEFORE_STOPPING and bool((errors <= relative_error * abs(forms.mean(axis=0))).all())


def _names(model: keras.Model, tensor: Tensor, layers: Sequence[str] | None) -> tuple[str, ...]:
    if tensor not in ("weight", "result"):
        raise SettingsError(f"tensor must be 'weight' or 'result', not {tensor!r}")
    if tensor == "result":
        known = [INPUT, *(layer.name for layer in model.layers)]
        if layers is None:
            raise SettingsError("layers must name the layers whose results are meant, not None")
    else:
        known = [layer.name for layer in model.layers if _kernel_of(layer) is not None]
    names = tuple(known if layers is None else layers)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        what = "a kernel" if tensor == "weight" else "a result"
        raise SettingsError(
            f"layers: {', '.join(unknown) or 'none'} {'is' if len(unknown) < 2 else 'are'} no layer with {what}; "
            f"the model {model.name!r} has {', '.join(known) or 'none'}"
        )
    return names


def _check(x: np.ndarray, y: np.ndarray, samples: int, batch_size: int, relative_error: float | None) -> None:
    if len(x) == 0 or len(x) != len(y):
        raise DataError(
            f"x and y must have the same number of samples, at least one, not {len(x)} and {len(y)}"
        )
    faults = []
    if samples < 2:
        faults.append(f"samples: must be at least 2, not {samples}")
    if batch_size < 1:
        faults.append(f"batch_size: must be at least 1, not {batch_size}")
    if relative_error is not None and not relative_error > 0:
        faults.append(f"relative_error: must be above 0, not {relative_error}")
    if faults:
        raise SettingsError(faults)


def _kernel_of(layer: Any) -> Any:
    """A layer's kernel variable, ``None`` if it has none."""
    return layer.depthwise_kernel if hasattr(layer, "depthwise_kernel") else getattr(layer, "kernel", None)


def _with_results(model: keras.Model, names: Sequence[str]) -> Callable[[Any], tuple[Any, list[Any]]]:
    """The model as a function of a batch that also gives the named layers' outputs (`INPUT`: the batch)."""
    hidden = {name: model.get_layer(name).output for name in names if name != INPUT}
    extended = keras.Model(model.inputs[0], {"": model.outputs[0], **hidden})

    def call(x: Any) -> tuple[Any, list[Any]]:
        tensors = extended(x, training=False)
        return tensors[""], [x if name == INPUT else tensors[name] for name in names]

    return call


class _Probe:
    """The quadratic forms of one model and loss, compiled once for batches of any size.

    Parameters
    ----------
    model, loss
        See `hessian_traces`.
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
        self.kernels = [_kernel_of(model.get_layer(name)) for name in names] if tensor == "weight" else []
        self.outputs = _with_results(model, names if tensor == "result" else ())
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
