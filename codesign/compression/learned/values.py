"""A network with trainable widths: the values that hardware computes, gradients of values and widths, and a price.

The gradient of a fractional width is that of the quantization error (Sun et al., arXiv:2405.00645, section III):
`q(w, f) = round(w 2^f) / 2^f` has `dq/dw = 1` and `dq/df = ln 2 (w - q)`. The price of a weight is its bits times those of
what it multiplies; its gradient is that of `log2(1 + s |w| 2^f)`, so that it draws at the weight as well as at its
width, also below the first bit: a weight goes to zero unless the loss holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from codesign.core.fixed_point import FLOAT32_BITS
from codesign.core.layers import Shape
from codesign.core.text_table import counted
from codesign.data.scaling import reach
from codesign.errors import SettingsError
from codesign.networks.build import build_float
from codesign.networks.description import LayerSpec, Network
from codesign.networks.joined import each_output_of

Tensors = dict[str, Any]
"""Tensors by `layer/name`: `kernel`, `bias`, `gain`, `mean`, `variance`; `fraction`, the bits behind the binary point of weights
or inputs; of a point `bits`, the width of all its units without a sign, and `integers`, each unit's bits before the binary
point."""

EPSILON = 1e-3
"""Added to a variance before its root, as Keras' normalisation does."""

LEARNABLE = ("input", "dense", "conv1d", "conv2d", "relu", "linear", "flatten", "max_pool1d", "max_pool2d")
"""What widths can be learned for."""

_LN2 = float(np.log(2.0))
_LOOKED_AT = 65_536
"""Samples that tell the inputs' range."""
_SHARPNESS = 10.0
_FIRST_FRACTION, _FIRST_BITS = 3.0, 6.0
_APART = 4.0
"""Bits by which the integer bits of a point's units may be below those of the widest: a unit that is nearly always zero would
saturate at next to nothing when it comes to life."""
_TO_COME = 0.2
"""Of a bit, how much a unit may grow until the next survey."""
_RAREST = 1e-3
"""The part of the samples whose results may saturate: a single event would give the whole layer another bit."""
LEAST_FRACTION, _MOST_FRACTION = -8.0, 10.0
_LEAST_BITS = 1.0
_A_ROUNDING = 2.0
"""LUTs of rectifying, rounding and limiting one bit of a result, about."""


@dataclass
class Computed:
    """What a pass through the network gives.

    Parameters
    ----------
    logits
        float32, shape `(n_samples, n_outputs)`.
    prices
        By weight layer, a scalar each: bits of weights times bits of inputs, and the rounding of the results.
    ranges
        Of a survey: the integer bits that hold each unit of a point but for the rarest of a thousand samples, shape
        `(n_units,)`.
    statistics
        Means and variances of the normalised layers in this batch.
    """

    logits: Any = None
    prices: Tensors = field(default_factory=dict)
    ranges: Tensors = field(default_factory=dict)
    statistics: Tensors = field(default_factory=dict)


@dataclass
class _Wires:
    """A tensor on its way: values, and by unit its fractional bits, its bits and its limits."""

    values: Any
    fraction: Any
    bits: Any
    low: Any
    high: Any

    def repeated(self, count: int, values: Any) -> _Wires:
        """Each unit so many times, after a flattening."""
        parts = (tf.tile(part, [count]) for part in (self.fraction, self.bits, self.low, self.high))
        return _Wires(values, *parts)


class LearnableNetwork:
    """The computation of a prepared network (see `codesign.networks.prepare`) with widths that are trained.

    Parameters
    ----------
    network
        Of `LEARNABLE`, one after another.
    x
        Train inputs, `(n_samples, *input_shape)`: what nearly all of them are within gives the inputs' integer bits, and some
        of them the normalisations that the training begins with.
    digits
        Whether a weight's price counts its signed digits, not its bits.
    alike
        Whether all units of a point have the integer bits of the widest.

    Raises
    ------
    SettingsError
        For a network of other layers, or with branches; all of them named.
    """

    def __init__(self, network: Network, x: np.ndarray, *, digits: bool = False, alike: bool = False) -> None:
        check_learnable(network)
        self.digits, self.alike = digits, alike
        self.network = network
        self.shapes: dict[str, Shape] = network.shapes()
        self.signed = bool(x.min() < 0)
        # what is rarer saturates, and costs every adder nothing
        within = reach(x[:_LOOKED_AT].reshape(-1, x.shape[-1])).max()
        self.input_bits = int(np.ceil(np.log2(max(float(within), 1e-6))))
        self.normalised = tuple(layer.name for layer in network.weight_layers if "bias" in layer.weights)
        self._begin = x[:4096]

    def begin(self) -> tuple[Tensors, Tensors]:
        """The parameters of the network as it is given, and the statistics of its normalisations."""
        params: dict[str, Any] = {f"{self.network.layers[0].name}/fraction": np.float32(_FIRST_FRACTION)}
        statistics: dict[str, np.ndarray] = {}
        sums = self._sums()
        for layer in self.network.layers:
            name = layer.name
            if layer.row.role == "product":
                params |= {f"{name}/{key}": values for key, values in layer.weights.items()}
                params[f"{name}/fraction"] = np.full_like(layer.weights["kernel"], _FIRST_FRACTION)
            if layer.row.role == "point":
                params[f"{name}/bits"] = np.float32(_FIRST_BITS)
            if name in self.normalised:
                axes = tuple(range(sums[name].ndim - 1))
                products = sums[name] - layer.weights["bias"]
                mean, variance = products.mean(axes), products.var(axes)
                params[f"{name}/gain"] = np.sqrt(variance + EPSILON)
                params[f"{name}/bias"] = layer.weights["bias"] + mean
                statistics |= {f"{name}/mean": mean, f"{name}/variance": variance}
        return _tensors(params), _tensors(statistics)

    def _sums(self) -> dict[str, np.ndarray]:
        """What the weight layers put out, on some of the data."""
        import keras

        model = build_float(self.network)
        names = list(self.normalised)
        if not names:
            return {}
        outputs = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
        return dict(zip(names, each_output_of(outputs, self._begin), strict=True))

    def compute(
        self,
        params: Mapping[str, Any],
        statistics: Mapping[str, Any],
        ranges: Mapping[str, Any] | None,
        x: Any,
        *,
        train: bool = False,
    ) -> Computed:
        """Run samples through the network.

        Parameters
        ----------
        params
            Trained values. A layer without a `gain` is not normalised.
        statistics
            Means and variances of the normalisations; not read with `train`.
        ranges
            The integer bits of each point's units; ``None``, a survey, finds them from the samples.
        x
            float32, `(n_samples, *input_shape)`.
        train
            Normalise by the batch, and give its statistics.
        """
        result = Computed()
        wires: dict[str, _Wires] = {}
        for layer in self.network.layers:
            if layer.row.role == "input":
                wires[layer.name] = self._input(params[f"{layer.name}/fraction"], x)
                continue
            source = wires[layer.inputs[0]]
            if layer.row.role == "product":
                wires[layer.name] = self._product(layer, params, statistics, source, train, result)
            elif layer.row.role == "point":
                wires[layer.name] = self._point(layer, params, ranges, source, result)
            else:
                wires[layer.name] = self._moved(layer, source)
        result.logits = wires[self.network.output_names[0]].values
        return result

    def _input(self, width: Any, x: Any) -> _Wires:
        fraction = _whole(width)
        step = _power(-tf.stop_gradient(fraction))
        most = float(2.0**self.input_bits)
        lowest, highest = (-most if self.signed else 0.0), most - step
        on_grid = tf.clip_by_value(tf.round(x / step) * step, lowest, highest)
        values = on_grid + _LN2 * tf.stop_gradient(x - on_grid) * (fraction - tf.stop_gradient(fraction))
        each = tf.ones([self.shapes[self.network.layers[0].name][-1]])
        bits = each * tf.maximum(fraction + self.input_bits + self.signed, 0.0)
        return _Wires(values, each * fraction, bits, each * lowest, each * highest)

    def _product(
        self,
        layer: LayerSpec,
        params: Mapping[str, Any],
        statistics: Mapping[str, Any],
        source: _Wires,
        train: bool,
        result: Computed,
    ) -> _Wires:
        name = layer.name
        kernel = params[f"{name}/kernel"]
        without = f"{name}/bias" not in params
        bias = tf.zeros([kernel.shape[-1]]) if without else params[f"{name}/bias"]
        if f"{name}/gain" in params:
            if train:
                products = _multiplied(layer, source.values, kernel)
                axes = list(range(len(products.shape) - 1))
                mean, variance = tf.reduce_mean(products, axes), tf.math.reduce_variance(products, axes)
                result.statistics |= {f"{name}/mean": mean, f"{name}/variance": variance}
            else:
                mean, variance = statistics[f"{name}/mean"], statistics[f"{name}/variance"]
            kernel, bias = fused(kernel, bias, params[f"{name}/gain"], mean, variance)
        fraction = _whole(params[f"{name}/fraction"])
        values = _quantized(kernel, fraction)
        rows = values.shape[-2]
        by_row = [*([1] * (len(values.shape) - 2)), rows, 1]
        positions = float(np.prod(self.shapes[name][:-1])) if len(self.shapes[name]) > 1 else 1.0
        result.prices[name] = positions * tf.reduce_sum(
            _bits(kernel, values, fraction, self.digits) * tf.reshape(source.bits, by_row)
        )
        step = _power(-sum_fraction(values, fraction, tf.reshape(source.fraction, by_row)))
        ends = name == self.network.output_names[0]
        if ends or without:
            on_grid = tf.round(bias / step) * step
        else:
            # between two values of the sums' grid no sum lies half-way between two results: rounding is free
            on_grid = (tf.floor(bias / step) + 0.5) * step
            # a unit of its bias alone is a constant, which the biases of the next layer hold as well
            on_grid = tf.where(tf.reduce_any(values != 0, list(range(len(values.shape) - 1))), on_grid, 0.0)
        bias = bias + tf.stop_gradient(on_grid - bias)
        flat = tf.stop_gradient(tf.reshape(values, [-1, values.shape[-1]]))
        times = flat.shape[0] // rows
        low, high = (tf.tile(tf.stop_gradient(end), [times]) for end in (source.low, source.high))
        up, down = tf.maximum(flat, 0.0), tf.minimum(flat, 0.0)
        fixed = tf.stop_gradient(bias)
        highest = tf.linalg.matvec(up, high, transpose_a=True) + tf.linalg.matvec(down, low, transpose_a=True)
        lowest = tf.linalg.matvec(up, low, transpose_a=True) + tf.linalg.matvec(down, high, transpose_a=True)
        none = tf.zeros_like(fixed)
        return _Wires(
            _multiplied(layer, source.values, values) + bias, none, none, lowest + fixed, highest + fixed
        )

    def _point(
        self,
        layer: LayerSpec,
        params: Mapping[str, Any],
        ranges: Mapping[str, Any] | None,
        source: _Wires,
        result: Computed,
    ) -> _Wires:
        name, signed = layer.name, layer.row.signed
        x = source.values if signed else tf.nn.relu(source.values)
        if ranges is None:
            result.ranges[f"{name}/integers"] = self._holding(x)
        integers = (result.ranges if ranges is None else ranges)[f"{name}/integers"]
        width = _whole(params[f"{name}/bits"])
        fraction = width - integers
        step, most = _power(-tf.stop_gradient(fraction)), _power(tf.stop_gradient(width)) - 1
        codes = tf.round(x / step)
        least = -most - 1 if signed else tf.zeros_like(most)
        inside = tf.cast((codes <= most) & (codes >= least), tf.float32)
        values = tf.stop_gradient(tf.clip_by_value(codes, least, most) * step)
        values = (
            values
            + inside * (x - tf.stop_gradient(x))
            + _LN2 * inside * tf.stop_gradient(x - values) * (fraction - tf.stop_gradient(fraction))
        )
        low, high = (tf.clip_by_value(tf.round(end / step), least, most) for end in (source.low, source.high))
        widest = tf.maximum(high, -low - 1)
        whole_bits = _bits_of(widest) - tf.stop_gradient(fraction) + float(signed)
        bits = tf.where(high > low, whole_bits + fraction, 0.0 * fraction)
        before = layer.inputs[0]
        while self.network[before].row.role != "product":
            before = self.network[before].inputs[0]
        positions = float(np.prod(self.shapes[name][:-1])) if len(self.shapes[name]) > 1 else 1.0
        result.prices[before] += _A_ROUNDING * positions * tf.reduce_sum(bits)
        return _Wires(values, fraction, bits, low * step, high * step)

    def _moved(self, layer: LayerSpec, source: _Wires) -> _Wires:
        if layer.kind == "flatten":
            size = int(np.prod(self.shapes[layer.name]))
            return source.repeated(size // int(source.bits.shape[0]), tf.reshape(source.values, [-1, size]))
        pooled = tf.nn.max_pool(
            source.values, layer.config["pool_size"], layer.config["strides"], layer.config["padding"].upper()
        )
        return _Wires(pooled, source.fraction, source.bits, source.low, source.high)

    def _holding(self, x: Any) -> Any:
        """The integer bits that hold each unit, shape `(n_units,)`; those next to nothing get more."""
        most = tf.maximum(_nearly_greatest(x), 2.0**LEAST_FRACTION)
        integers = tf.math.ceil(tf.math.log(most) / _LN2 + _TO_COME)
        widest = tf.reduce_max(integers)
        return tf.maximum(integers, widest if self.alike else widest - _APART)

    def snapshot(self, params: Mapping[str, Any], statistics: Mapping[str, Any]) -> Tensors:
        """The parameters with every normalisation folded into its kernel and bias, and whole widths."""
        found = {
            key: tf.round(value) if key.endswith(("/fraction", "/bits")) else value
            for key, value in params.items()
        }
        for name in self.normalised:
            found[f"{name}/kernel"], found[f"{name}/bias"] = fused(
                found[f"{name}/kernel"],
                found[f"{name}/bias"],
                found.pop(f"{name}/gain"),
                statistics[f"{name}/mean"],
                statistics[f"{name}/variance"],
            )
        return found


def check_learnable(network: Network) -> None:
    """Raise `SettingsError` for layers whose widths cannot be learned, all of them named."""
    wrong = [f"{layer.name} ({layer.kind})" for layer in network.layers if layer.kind not in LEARNABLE]
    if len(network.inputs) > 1 or len(network.outputs) > 1:
        wrong.append(f"{counted(len(network.inputs), 'input')} and {counted(len(network.outputs), 'output')}")
    wrong += [
        f"{layer.name} ({layer.kind} with padding)"
        for layer in network.layers
        if layer.kind.startswith("max_pool") and layer.config["padding"] == "same"
    ]
    wrong += [
        f"{layer.name} (read by {len(network.consumers(layer.name))} layers)"
        for layer in network.layers
        if len(network.consumers(layer.name)) > 1
    ]
    if wrong:
        raise SettingsError(
            f"quantization.method: learned takes chains of {', '.join(LEARNABLE[1:])}, and the student has "
            f"{', '.join(wrong)}; use the method scan"
        )


def clip_widths(params: Tensors) -> Tensors:
    """Keep the widths where float32 computes exactly."""
    least = {"fraction": LEAST_FRACTION, "bits": _LEAST_BITS}
    return {
        key: tf.clip_by_value(value, least[kind], _MOST_FRACTION)
        if (kind := key.rpartition("/")[2]) in least
        else value
        for key, value in params.items()
    }


def fused(kernel: Any, bias: Any, gain: Any, mean: Any, variance: Any) -> tuple[Any, Any]:
    """Kernel and bias that compute what the layer and its normalisation do."""
    scale = gain * tf.math.rsqrt(variance + EPSILON)
    return kernel * scale, bias - mean * scale


def sum_fraction(values: Any, fraction: Any, inputs: Any) -> Any:
    """The fractional bits of each output's sum of products, shape `(n_outputs,)`; those of live weights count."""
    bits = tf.where(tf.stop_gradient(values) != 0, tf.stop_gradient(fraction + inputs), LEAST_FRACTION)
    return tf.reduce_max(tf.maximum(bits, LEAST_FRACTION), list(range(len(values.shape) - 1)))


def _multiplied(layer: LayerSpec, x: Any, kernel: Any) -> Any:
    if layer.kind == "dense":
        return tf.linalg.matmul(x, kernel) if len(x.shape) == 2 else tf.tensordot(x, kernel, 1)
    padding, strides = layer.config["padding"].upper(), list(layer.config["strides"])
    return tf.nn.convolution(x, kernel, strides=strides, padding=padding)


def _nearly_greatest(x: Any) -> Any:
    """What the magnitudes of each unit are within but for the rarest samples, shape `(n_units,)`."""
    each = tf.reduce_max(tf.abs(tf.stop_gradient(x)), list(range(1, len(x.shape) - 1)))
    rarest = int(_RAREST * int(each.shape[0]))
    left = tf.fill([each.shape[-1]], rarest)
    # a few times the greatest, as sorting takes longer than training
    for _ in range(rarest):
        top = each == tf.reduce_max(each, 0)
        count = tf.reduce_sum(tf.cast(top, tf.int32), 0)
        each = tf.where(top & (count <= left), 0.0, each)
        left = tf.where(count <= left, left - count, 0)
    return tf.reduce_max(each, 0)


def _bits_of(code: Any) -> Any:
    """The bits of a whole number that is not negative."""
    return tf.math.ceil(tf.math.log(code + 1) / _LN2 - 1e-4)


def _whole(width: Any) -> Any:
    """The width rounded, with the gradient of the width."""
    return width + tf.stop_gradient(tf.round(width) - width)


def _power(exponent: Any) -> Any:
    """2 to whole numbers, exactly: compilers approximate powers. Without a gradient."""
    biased = tf.cast(tf.round(exponent), tf.int32) + 127
    return tf.bitcast(tf.bitwise.left_shift(biased, tf.fill(tf.shape(biased), 23)), tf.float32)


def _quantized(kernel: Any, fraction: Any) -> Any:
    step = _power(-tf.stop_gradient(fraction))
    values = tf.stop_gradient(tf.round(kernel / step) * step)
    error = tf.stop_gradient(kernel) - values
    return (
        values + (kernel - tf.stop_gradient(kernel)) + _LN2 * error * (fraction - tf.stop_gradient(fraction))
    )


def tied(slopes: Mapping[str, Any], weights: str) -> Tensors:
    """Gradients by which weights that share a width move it as one (`LearnedSettings.weight_widths`)."""
    found = dict(slopes)
    for key, slope in slopes.items():
        dimensions = list(range(slope.shape.rank))
        shared = {"element": [], "channel": dimensions[:-1], "tensor": dimensions}[weights]
        if key.endswith("/fraction") and shared:
            found[key] = tf.zeros_like(slope) + tf.reduce_mean(slope, shared, keepdims=True)
    return found


def _bits(kernel: Any, values: Any, fraction: Any, digits: bool = False) -> Any:
    """The bits (or signed digits) of each weight's magnitude, 0 for zero, with the gradient of the price."""
    size = tf.stop_gradient(tf.abs(values) * _power(fraction))
    if digits:
        whole = tf.cast(tf.minimum(size, 2.0**FLOAT32_BITS), tf.int32)
        bits = tf.cast(tf.raw_ops.PopulationCount(x=tf.bitwise.bitwise_xor(whole, 3 * whole)), tf.float32)
    else:
        bits = tf.where(size > 0, tf.floor(tf.math.log(tf.maximum(size, 1.0)) / _LN2 + 1e-4) + 1, 0.0)
    smooth = tf.math.log(1 + _SHARPNESS * tf.abs(kernel) * tf.exp(_LN2 * fraction)) / _LN2
    return smooth + tf.stop_gradient(bits - smooth)


def _tensors(arrays: Mapping[str, np.ndarray]) -> Tensors:
    return {name: tf.constant(values, tf.float32) for name, values in arrays.items()}
