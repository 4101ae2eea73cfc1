"""What QKeras' quantizers say, and what its layers and this package's own are in a `Network`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import qkeras

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision
from codesign.errors import ConversionError
from codesign.networks import hardware_layers
from codesign.networks.hardware_recurrent import FixedGRU
from codesign.networks.keras_classes import (
    LayerReader,
    array,
    conv_reader,
    global_pool_reader,
    pool_reader,
    read_dense,
    read_gru,
)
from codesign.networks.keras_graph import Call

if TYPE_CHECKING:
    from codesign.networks.keras_reader import Reader

_WIDEST_VALUES = 24  # bits; float32 holds as many


def is_quantizer(activation: Any) -> bool:
    """Whether an activation is one of QKeras' quantizers."""
    return type(activation).__module__.split(".")[0] == "qkeras"


def read_quantizer(reader: Reader, quantizer: Any, source: str, call: Call, *, alone: bool) -> str:
    """Add the point where a QKeras activation rounds; returns its name."""
    what = type(quantizer).__name__
    if what not in ("quantized_bits", "quantized_relu"):
        raise ConversionError(
            f"layer {call.name!r}: the activation {what} is not supported; use quantized_relu or quantized_bits"
        )
    kind, suffix = ("relu", "relu") if what == "quantized_relu" else ("linear", "out")
    try:
        precision = FixedPoint.from_qkeras(quantizer)
    except ConversionError as fault:
        raise ConversionError(f"layer {call.name!r}: {fault}") from None
    name = reader.add(call.name if alone else f"{call.name}_{suffix}", kind, (source,))
    reader.formats[name] = LayerPrecision(result=precision)
    return name


def weight_formats(
    layer: Any, weights: Mapping[str, np.ndarray], name: str
) -> tuple[dict[str, np.ndarray], LayerPrecision | None]:
    """The weights that a QKeras layer computes with, and their formats; ``None`` for a layer without quantizers."""
    kernel = getattr(layer, "depthwise_quantizer_internal", None) or getattr(
        layer, "kernel_quantizer_internal", None
    )
    weights = dict(weights)
    if kernel is None:
        return weights, None
    formats = {}
    for key, quantizer in (("kernel", kernel), ("bias", getattr(layer, "bias_quantizer_internal", None))):
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
        precision = _narrowest(quantized) if np.array_equal(quantized, again) else None
        if precision is None:
            raise ConversionError(f"{fault}; its values are of no format of {_WIDEST_VALUES} bits") from None
        return precision, quantized.astype(np.float32)


def _narrowest(values: np.ndarray) -> FixedPoint | None:
    """The narrowest signed format that holds some values exactly; ``None`` if it is too wide."""
    if not np.isfinite(values).all():
        return None
    used = values[values != 0]
    if not used.size:
        return FixedPoint(2, 1, True, "RND_CONV", "SAT")
    mantissa, exponent = np.frexp(used)
    whole = np.round(mantissa * 2.0**53).astype(np.int64)
    trailing = np.log2((whole & -whole).astype(np.float64)).astype(int)
    fraction = int((53 - trailing - exponent).max())
    largest = int(exponent.max())
    for integer_bits in (largest, largest + 1, largest + 2):
        width = integer_bits + fraction
        if 1 < width <= _WIDEST_VALUES:
            precision = FixedPoint(width, integer_bits, True, "RND_CONV", "SAT")
            if precision.is_representable(values).all():
                return precision
    return None


def _qactivation(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    activation = call.layer.activation
    quantizer = getattr(call.layer, "quantizer", None) or activation
    if isinstance(quantizer, str):
        quantizer = qkeras.get_quantizer(quantizer)
    return reader.activated(quantizer, inputs[0], call, alone=True)


def _hardware_scale(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    layer = call.layer
    weights = {"kernel": array(layer.kernel)}
    if layer.bias is not None:
        weights["bias"] = array(layer.bias)
    name = reader.add(call.name, "scale", inputs, {}, weights)
    if layer.weight is not None:
        bias = FixedPoint.parse(layer.bias_format) if layer.bias_format else None
        reader.formats[name] = LayerPrecision(FixedPoint.parse(layer.weight), bias)
    return name


def _hardware_gru(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    name = read_gru(reader, call, inputs)
    formats = [FixedPoint.parse(getattr(call.layer, text)) for text in ("weight", "accum", "result")]
    reader.formats[name] = LayerPrecision(weight=formats[0], accum=formats[1], result=formats[2])
    return name


def _hardware_lookup(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    layer = call.layer
    config = {"alpha": layer.alpha} if layer.function == "elu" else {}
    name = reader.add(call.name, layer.function, inputs, config)
    parameter = FixedPoint.parse(layer.parameter) if layer.parameter else None
    reader.formats[name] = LayerPrecision(weight=parameter, result=FixedPoint.parse(layer.result))
    return name


def _hardware_slope(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    layer = call.layer
    if layer.slope is None:
        name = reader.add(call.name, "prelu", inputs, {}, {"alpha": array(layer.alpha)})
    else:
        name = reader.add(call.name, "leaky_relu", inputs, {"negative_slope": layer.slope})
    formats = FixedPoint.parse(layer.parameter), FixedPoint.parse(layer.result)
    reader.formats[name] = LayerPrecision(weight=formats[0], result=formats[1])
    return name


def _hardware_average(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    layer = call.layer
    config = {"pool_size": list(layer.pool_size), "strides": list(layer.strides), "padding": layer.padding}
    return reader.add(call.name, f"average_pool{len(layer.pool_size)}d", inputs, config)


CLASSES: Mapping[type, LayerReader] = {
    qkeras.QDense: read_dense,
    qkeras.QConv1D: conv_reader("conv1d"),
    qkeras.QConv2D: conv_reader("conv2d"),
    qkeras.QDepthwiseConv2D: conv_reader("depthwise_conv2d"),
    qkeras.QActivation: _qactivation,
    qkeras.QAveragePooling2D: pool_reader("average_pool2d"),
    qkeras.QGlobalAveragePooling2D: global_pool_reader("average_pool2d"),
    hardware_layers.Scale: _hardware_scale,
    FixedGRU: _hardware_gru,
    hardware_layers.FixedLookup: _hardware_lookup,
    hardware_layers.FixedSlope: _hardware_slope,
    hardware_layers.FixedAverage: _hardware_average,
    hardware_layers.DepthwiseConv1D: conv_reader("depthwise_conv1d"),
}
"""How each class of QKeras and of this package is read."""
