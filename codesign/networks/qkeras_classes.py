"""What QKeras' quantizers say, and what its layers and this package's own are in a `Network`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import qkeras

from codesign.core.fixed_point import FLOAT32_BITS, FixedPoint
from codesign.core.precision_map import LayerPrecision
from codesign.errors import ConversionError
from codesign.networks.build import HARDWARE_LAYERS, format_of
from codesign.networks.description import LayerSpec
from codesign.networks.hardware_layers import DepthwiseConv1D
from codesign.networks.keras_classes import (
    LayerReader,
    array,
    check_recurrent,
    conv_reader,
    global_pool_reader,
    only,
    only_last_axis,
    pool_reader,
    read_dense,
    separable_reader,
)
from codesign.networks.keras_graph import Call

if TYPE_CHECKING:
    from codesign.networks.keras_reader import Reader

_ROUNDED_CONSTANTS = 18  # bits; a side of a DSP's multiplier
_WIDEST_READ = 20  # bits; an activation is computed for every value of as many
_MOST_STEPS = 64
_LEVELS = "use quantized_bits or quantized_relu"


@dataclass(frozen=True)
class Instead:
    """A layer whose hardware computes other numbers than QKeras, on purpose: what it stands for.

    Parameters
    ----------
    source
        The layer that the user's one reads.
    what
        Its class.
    made
        Makes a layer of a name that computes what the user's does.
    why
        In a few words.
    """

    source: str
    what: str
    made: Callable[[str], keras.layers.Layer] = field(repr=False)
    why: str

    @classmethod
    def of_activation(cls, source: str, quantizer: Any, why: str) -> Instead:
        """A quantizer of QKeras."""
        return cls(
            source, type(quantizer).__name__, lambda name: qkeras.QActivation(quantizer, name=name), why
        )


def is_quantizer(activation: Any) -> bool:
    """Whether an activation is one of QKeras' quantizers."""
    return type(activation).__module__.split(".")[0] == "qkeras"


def read_quantizer(reader: Reader, quantizer: Any, source: str, call: Call, *, alone: bool) -> str:
    """Add the point where a QKeras activation rounds; returns the name of its output's layer."""
    what = type(quantizer).__name__
    read = _ACTIVATIONS.get(what)
    if read is None:
        raise ConversionError(
            f"layer {call.name!r}: the activation {what} is not supported; "
            + _INSTEAD.get(what, "use quantized_relu or quantized_bits")
        )
    suffix = {"quantized_relu": "relu", "quantized_bits": "out"}.get(what, what)
    try:
        return read(reader, quantizer, source, call.name if alone else f"{call.name}_{suffix}")
    except ConversionError as fault:
        raise ConversionError(f"layer {call.name!r}: {fault}") from None


def _rounded(reader: Reader, quantizer: Any, source: str, name: str) -> str:
    """A format, of what is not negative alone or of all values."""
    kind = "relu" if type(quantizer).__name__ == "quantized_relu" else "linear"
    return _point(reader, name, kind, source, format_of(quantizer))


def _smooth(reader: Reader, quantizer: Any, source: str, name: str) -> str:
    """QKeras' tanh and sigmoid: by default lines between two limits, which are exact; else hls4ml's tables."""
    what = type(quantizer).__name__
    tanh, bits = what == "quantized_tanh", int(quantizer.bits)
    if quantizer.symmetric and not tanh:
        raise ConversionError(
            "quantized_sigmoid with symmetric=True ends one step above 0, as no fixed-point format does; "
            "use symmetric=False"
        )
    result = FixedPoint(
        bits, int(tanh), tanh, "RND_CONV", "SAT_SYM" if tanh and quantizer.symmetric else "SAT"
    )
    line = _LINES.get(getattr(qkeras.quantizers._sigmoid, "__name__", ""))
    if quantizer.use_real_tanh if tanh else (quantizer.use_real_sigmoid or line is None):
        kind = "tanh" if tanh else "sigmoid"
        reader.instead[name] = Instead.of_activation(
            source, quantizer, f"hls4ml looks {kind} up in a table of 1024 entries"
        )
        return _point(reader, name, kind, source, result)
    if line is None:
        raise ConversionError(
            f"{what} of QKeras' internal sigmoid 'real' has no C++ in hls4ml; use_real_tanh=True"
        )
    factor, term = (2 * line, 0.0) if tanh else (line, 0.5)
    source = _scaled(reader, f"{name}_line", source, factor, term)
    return _point(reader, name, "linear" if tanh else "relu", source, result)


def _binary(reader: Reader, quantizer: Any, source: str, name: str) -> str:
    """The sign, 1 for zero."""
    factor = _constant_scale(reader, quantizer, source, name)
    step = _step(reader, name, source, 0.0)
    return (
        _scaled(reader, name, step, factor, 0.0)
        if quantizer.use_01
        else _scaled(reader, name, step, 2 * factor, -factor)
    )


def _ternary(reader: Reader, quantizer: Any, source: str, name: str) -> str:
    """The sign of what is beyond a threshold."""
    factor = _constant_scale(reader, quantizer, source, name)
    threshold = quantizer.default_threshold if quantizer.threshold is None else quantizer.threshold
    steps = [
        _step(reader, f"{name}_{side}", source, threshold, sign)
        for side, sign in (("above", 1.0), ("below", -1.0))
    ]
    difference = reader.add(f"{name}_difference", "subtract", tuple(steps))
    return _scaled(reader, name, difference, factor, 0.0, always=True)


def _step(reader: Reader, name: str, source: str, threshold: float, sign: float = 1.0) -> str:
    """1 where `sign * x` has reached a threshold, else 0: on the grid of `x` a rectifier that saturates after one step."""
    exact = reader.exact_format(source)
    if exact is None:
        raise ConversionError("what it compares has no format; put a QActivation before it")
    # in steps of the grid, the first value that QKeras, in float32, finds beyond the threshold
    per_one = 2.0**exact.fractional_bits
    first = float(np.ceil(float(np.float32(threshold)) * per_one))
    line = _scaled(reader, f"{name}_line", source, sign * per_one, 1.0 - first)
    return _point(reader, f"{name}_step", "relu", line, _BIT)


def _staircase(reader: Reader, quantizer: Any, source: str, name: str) -> str:
    """Any function of one value with few levels: the sum of its steps, found by computing it for every value that it can read."""
    what, exact = type(quantizer).__name__, reader.exact_format(source)
    if isinstance(getattr(quantizer, "alpha", None), str):
        raise ConversionError(
            f"{what} with alpha={quantizer.alpha!r} scales by the values of the batch it is given; give alpha a number"
        )
    if exact is None or exact.width > _WIDEST_READ:
        held = "values without a format" if exact is None else f"values of {exact.width} bits"
        raise ConversionError(
            f"{what} reads {held}, too many to find its levels; put a QActivation(quantized_bits(...)) of at most "
            f"{_WIDEST_READ} bits before it"
        )
    least, most = exact.code_limits
    codes = np.arange(least, most + 1)
    levels = array(quantizer(keras.ops.convert_to_tensor((codes * exact.step).astype(np.float32)))).astype(
        np.float64
    )
    result, places = FixedPoint.narrowest(np.unique(levels)), np.flatnonzero(np.diff(levels)) + 1
    if result is None:
        raise ConversionError(
            f"the levels of {what} are of no format of {FLOAT32_BITS} bits, and hls4ml 1.3 has no C++ of it; {_LEVELS}, or "
            "quantized_tanh, which flattens too"
        )
    if len(places) > _MOST_STEPS:
        raise ConversionError(
            f"{what} has {len(places)} steps on values of {exact}; hls4ml 1.3 has no C++ of it, and at most {_MOST_STEPS} are "
            f"built of rectifiers: {_LEVELS}"
        )
    shape = reader.shape(source)
    size, count = int(np.prod(shape)), max(len(places), 1)
    row = reader.add(f"{name}_row", "reshape", (source,), {"target_shape": [1, size]})
    copies = reader.add(f"{name}_copies", "upsampling1d", (row,), {"size": [count]})
    turned = reader.add(f"{name}_turned", "permute", (copies,), {"dims": [2, 1]})
    first = codes[places] if len(places) else codes[:1]
    # in steps of the grid, 1 at the first value of a level and more behind it
    lines = {"kernel": np.full(count, 2.0**exact.fractional_bits), "bias": 1.0 - first}
    line = with_exact_formats(reader, f"{name}_line", "scale", turned, lines)
    reached = _point(reader, f"{name}_steps", "relu", line, _BIT)
    rises = np.diff(levels)[places - 1] if len(places) else np.zeros(1)
    heights = {"kernel": rises[:, None], "bias": levels[:1]}
    total = with_exact_formats(reader, f"{name}_sum", "dense", reached, heights)
    level = _point(reader, f"{name}_level", "linear", total, result)
    return reader.add(name, "reshape", (level,), {"target_shape": list(shape)})


def with_exact_formats(
    reader: Reader, name: str, kind: str, source: str, weights: Mapping[str, np.ndarray]
) -> str:
    """Add a layer whose constants have formats that hold them."""
    formats = {key: _exact_format(values, name) for key, values in weights.items()}
    name = reader.add(name, kind, (source,), {}, weights)
    reader.formats[name] = LayerPrecision(formats["kernel"], formats.get("bias"))
    return name


def _constant_scale(reader: Reader, quantizer: Any, source: str, name: str) -> float:
    what, alpha = type(quantizer).__name__, quantizer.alpha
    if isinstance(alpha, str):
        raise ConversionError(
            f"{what} with alpha={alpha!r} scales by the values of the batch it is given; give alpha a number"
        )
    if quantizer.use_stochastic_rounding:
        raise ConversionError(f"{what} with use_stochastic_rounding is random; leave it out")
    if alpha is None:
        reader.instead[name] = Instead.of_activation(
            source, quantizer, f"QKeras' {what} without alpha is off its levels by float32 noise"
        )
        return 1.0
    values = np.unique(np.asarray(alpha, dtype=np.float32))
    if values.size != 1 or values[0] == 0:
        raise ConversionError(f"{what} with several scales or 0 is not supported; give alpha one number")
    return float(values[0])


def _point(reader: Reader, name: str, kind: str, source: str, result: FixedPoint) -> str:
    name = reader.add(name, kind, (source,))
    reader.formats[name] = LayerPrecision(result=result)
    return name


def _scaled(
    reader: Reader, name: str, source: str, factor: float, term: float, *, always: bool = False
) -> str:
    """Every value times a constant plus a constant, both exact; by default nothing for 1 and 0."""
    if factor == 1 and term == 0 and not always:
        return source
    channels = reader.shape(source)[-1]
    weights = {"kernel": np.full(channels, factor)} | ({"bias": np.full(channels, term)} if term else {})
    return with_exact_formats(reader, name, "scale", source, weights)


def _exact_format(values: np.ndarray, what: str) -> FixedPoint:
    precision = FixedPoint.narrowest(values)
    if precision is None:
        raise ConversionError(
            f"the constants of {what!r} are of no format of {FLOAT32_BITS} bits; use powers of two"
        )
    return precision


_BIT = FixedPoint(1, 1, False, "RND_CONV", "SAT")
_LINES = {"hard_sigmoid": 0.5, "smooth_sigmoid": 0.1875}
"""The slopes of what QKeras takes for a sigmoid (`set_internal_sigmoid`)."""

_ACTIVATIONS: Mapping[str, Callable[[Reader, Any, str, str], str]] = {
    "quantized_bits": _rounded,
    "quantized_relu": _rounded,
    "quantized_linear": _rounded,
    "quantized_tanh": _smooth,
    "quantized_sigmoid": _smooth,
    "binary": _binary,
    "ternary": _ternary,
    "quantized_po2": _staircase,
    "quantized_relu_po2": _staircase,
    "quantized_ulaw": _staircase,
    "quantized_hswish": _staircase,
}
_INSTEAD: Mapping[str, str] = {
    "stochastic_binary": "it is random; use binary",
    "stochastic_ternary": "it is random; use ternary",
    "bernoulli": "it is random; use binary",
}


def weight_formats(
    layer: Any, weights: Mapping[str, np.ndarray], name: str
) -> tuple[dict[str, np.ndarray], LayerPrecision | None]:
    """The weights that a QKeras layer computes with, and their formats; ``None`` for a layer without quantizers."""
    kernel = getattr(layer, "depthwise_quantizer_internal", None) or getattr(
        layer, "kernel_quantizer_internal", None
    )
    if kernel is None:
        return dict(weights), None
    return _formats_of(
        weights, {"kernel": kernel, "bias": getattr(layer, "bias_quantizer_internal", None)}, name
    )


def separable_parts(
    layer: Any, name: str
) -> tuple[
    tuple[dict[str, np.ndarray], LayerPrecision | None], tuple[dict[str, np.ndarray], LayerPrecision | None]
]:
    """Weights and formats of the depthwise and of the pointwise part of a separable convolution."""
    first = {"kernel": array(layer.depthwise_kernel)}
    second = {"kernel": array(layer.pointwise_kernel)}
    if layer.use_bias:
        second["bias"] = array(layer.bias)
    if not hasattr(layer, "pointwise_quantizer_internal"):
        return (first, None), (second, None)
    quantizers = {"kernel": layer.pointwise_quantizer_internal, "bias": layer.bias_quantizer_internal}
    return (
        _formats_of(first, {"kernel": layer.depthwise_quantizer_internal}, name),
        _formats_of(second, quantizers, name),
    )


def _formats_of(
    weights: Mapping[str, np.ndarray], quantizers: Mapping[str, Any], name: str
) -> tuple[dict[str, np.ndarray], LayerPrecision]:
    weights, formats = dict(weights), {}
    for key, quantizer in quantizers.items():
        if key in weights and quantizer is not None:
            try:
                formats[key], weights[key] = _format_of(quantizer, weights[key])
            except ConversionError as fault:
                raise ConversionError(f"layer {name!r}: {fault}") from None
    return weights, LayerPrecision(formats.get("kernel"), formats.get("bias"))


def _format_of(quantizer: Any, values: np.ndarray) -> tuple[FixedPoint, np.ndarray]:
    """The format of a weight quantizer; of one that is no format, the narrowest that holds its values, and these.

    Powers of two, signs, ternary values and scales that are powers of two are values of some fixed-point format.
    """
    try:
        return FixedPoint.from_qkeras(quantizer), values
    except ConversionError as fault:
        quantized = array(quantizer(keras.ops.convert_to_tensor(values))).astype(np.float64)
        again = array(quantizer(keras.ops.convert_to_tensor(values))).astype(np.float64)
        precision = FixedPoint.narrowest(quantized) if np.array_equal(quantized, again) else None
        if precision is None:
            raise ConversionError(f"{fault}; its values are of no format of {FLOAT32_BITS} bits") from None
        return precision, quantized.astype(np.float32)


def constant_formats(layer: LayerSpec) -> tuple[LayerPrecision, bool]:
    """Formats for what a `scale` without a quantizer multiplies by and adds, and whether they hold it exactly."""
    values = {key: array.astype(np.float64) for key, array in layer.weights.items()}
    exact = {key: FixedPoint.narrowest(array) for key, array in values.items()}
    formats = {key: found or _nearest(values[key]) for key, found in exact.items()}
    return LayerPrecision(formats["kernel"], formats.get("bias")), None not in exact.values()


def without_quantizer(call: Call | None, source: str) -> Instead | None:
    """What a layer of float32 constants computes, beside the rounded ones; ``None`` if it is no normalisation and no factor."""
    if call is None or type(call.layer) not in (keras.layers.BatchNormalization, keras.layers.Rescaling):
        return None
    layer: Any = call.layer
    shape = call.input_shapes[0]

    def made(name: str) -> keras.layers.Layer:
        own = type(layer).from_config({**layer.get_config(), "name": name})
        own.build((None, *shape))
        own.set_weights(layer.get_weights())
        return own

    why = f"it has no quantizer, and its constants are rounded to {_ROUNDED_CONSTANTS} bits"
    return Instead(source, type(layer).__name__, made, why)


def _nearest(values: np.ndarray) -> FixedPoint:
    """The signed format of as many bits as rounded constants have that reaches the largest of some values."""
    integer_bits = int(np.frexp(np.abs(values).max())[1]) + 1
    return FixedPoint(_ROUNDED_CONSTANTS, integer_bits, True, "RND_CONV", "SAT")


def _qactivation(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    activation = call.layer.activation
    quantizer = getattr(call.layer, "quantizer", None) or activation
    if isinstance(quantizer, str):
        quantizer = qkeras.get_quantizer(quantizer)
    return reader.activated(quantizer, inputs[0], call, alone=True)


def _folded(read: LayerReader) -> LayerReader:
    """A layer with a normalisation inside, which QKeras folds at inference before it quantizes."""

    def reader_of(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        norm = call.layer.batchnorm
        only_last_axis(call, norm.axis)
        if not (norm.scale and norm.center):
            raise ConversionError(
                f"layer {call.name!r} normalises without scale or center, which QKeras itself cannot compute; use both"
            )
        return read(reader, call, inputs)

    return reader_of


def _normalized(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    """A normalisation whose constants QKeras quantizes: a factor and a term, where some format holds them."""
    layer = call.layer
    only_last_axis(call, layer.axis)

    def own(name: str, quantizer: str, default: float) -> Any:
        value = getattr(layer, name)
        if value is None:
            return keras.ops.full_like(layer.moving_mean, default)
        quantize = getattr(layer, f"{quantizer}_quantizer_internal")
        return (
            keras.ops.convert_to_tensor(value)
            if quantize is None
            else quantize(keras.ops.convert_to_tensor(value))
        )

    gamma, beta = own("gamma", "gamma", 1.0), own("beta", "beta", 0.0)
    mean, variance = own("moving_mean", "mean", 0.0), own("moving_variance", "variance", 1.0)
    factor = 1 / keras.ops.sqrt(variance + layer.epsilon) * gamma
    if layer.inverse_quantizer_internal is not None:
        factor = layer.inverse_quantizer_internal(factor)
    weights = {"kernel": array(factor), "bias": array(beta - mean * factor)}
    by_factor, by_term = (FixedPoint.narrowest(values) for values in weights.values())
    if by_factor is None or by_term is None:
        raise ConversionError(
            f"layer {call.name!r}: its factor gamma / sqrt(variance + epsilon) or its term is of no format of "
            f"{FLOAT32_BITS} bits; give it an inverse_quantizer=quantized_bits(...) and a mean_quantizer, or use "
            "QDenseBatchnorm or QConv2DBatchnorm"
        )
    name = reader.add(call.name, "scale", inputs, {}, weights)
    reader.formats[name] = LayerPrecision(by_factor, by_term)
    return name


def _average(everything: bool) -> LayerReader:
    """An average; with a quantizer of its factor a sum times that constant, as a depthwise convolution has it."""
    plain: LayerReader = (global_pool_reader if everything else pool_reader)("average_pool2d")

    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        layer = call.layer
        if layer.average_quantizer is None:
            return plain(reader, call, inputs)
        only(call, data_format="channels_last", padding="valid")
        *size, channels = (int(n) for n in call.input_shapes[0])
        window = size if everything else [int(n) for n in layer.pool_size]
        strides = window if everything else [int(n) for n in layer.strides]
        factor = np.full((*window, channels, 1), 1 / np.prod(window), dtype=np.float32)
        weights, formats = _formats_of(
            {"kernel": factor}, {"kernel": layer.average_quantizer_internal}, call.name
        )
        config = {"strides": strides, "padding": "valid"}
        name = reader.add(call.name, "depthwise_conv2d", inputs, config, weights)
        reader.formats[name] = formats
        if everything and len(call.output_shapes[0]) == 1:
            return reader.add(f"{call.name}_vector", "flatten", (name,))
        return name

    return read


def _hardware(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    """A layer of this package's own students."""
    if isinstance(call.layer, keras.layers.RNN):
        check_recurrent(call)
    found = call.layer.described()
    weights = {key: array(values) for key, values in found.weights.items()}
    name = reader.add(call.name, found.kind, inputs, found.config, weights)
    if found.formats is not None:
        reader.formats[name] = found.formats
    return name


def _without(*dropped: str) -> Any:
    """A `from_config` that leaves out what QKeras 1.2 writes into a configuration and then does not take."""

    def from_config(made: Any, config: dict[str, Any]) -> Any:
        return made(**{key: value for key, value in config.items() if key not in dropped})

    return classmethod(from_config)


# QKeras 1.2 does not register it, so that no file with one could be loaded
keras.saving.get_custom_objects().setdefault("QDenseBatchnorm", qkeras.QDenseBatchnorm)
qkeras.QDenseBatchnorm.from_config = _without("synchronized", "renorm", "renorm_clipping", "renorm_momentum")
qkeras.quantized_hswish.from_config = _without("keep_negative", "post_training_scale")

CLASSES: Mapping[type, LayerReader] = {
    qkeras.QDense: read_dense,
    qkeras.QConv1D: conv_reader("conv1d"),
    qkeras.QConv2D: conv_reader("conv2d"),
    qkeras.QDepthwiseConv2D: conv_reader("depthwise_conv2d"),
    qkeras.QActivation: _qactivation,
    qkeras.QSeparableConv1D: separable_reader(1),
    qkeras.QSeparableConv2D: separable_reader(2),
    qkeras.QDenseBatchnorm: _folded(read_dense),
    qkeras.QConv2DBatchnorm: _folded(conv_reader("conv2d")),
    qkeras.QDepthwiseConv2DBatchnorm: _folded(conv_reader("depthwise_conv2d")),
    qkeras.QBatchNormalization: _normalized,
    qkeras.QAveragePooling2D: _average(False),
    qkeras.QGlobalAveragePooling2D: _average(True),
    **dict.fromkeys(HARDWARE_LAYERS, _hardware),
    DepthwiseConv1D: conv_reader("depthwise_conv1d"),
}
"""How each class of QKeras and of this package is read."""
