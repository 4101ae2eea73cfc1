"""What each Keras and QKeras layer is in a `Network`: one function a class."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import activations, layers

from codesign.core.fixed_point import FixedPoint
from codesign.core.layers import supported
from codesign.core.precision_map import LayerPrecision
from codesign.errors import ConversionError
from codesign.networks import hardware_layers
from codesign.networks.description import LayerSpec, Network
from codesign.networks.hardware_recurrent import FixedGRU
from codesign.networks.keras_arguments import unexpected
from codesign.networks.keras_graph import Call, KerasGraph

_RESERVED = (
    "input",
    "features",
    "signed",
    "unsigned",
    "register",
    "template",
    "class",
    "namespace",
    "typedef",
)
_WIDEST_VALUES = 24  # bits; float32 holds as many

_FUNCTIONS: Mapping[Any, tuple[str, Mapping[str, float]]] = {
    activations.relu: ("relu", {}),
    activations.tanh: ("tanh", {}),
    activations.sigmoid: ("sigmoid", {}),
    activations.softplus: ("softplus", {}),
    activations.softsign: ("softsign", {}),
    activations.selu: ("selu", {}),
    activations.elu: ("elu", {"alpha": 1.0}),
    activations.leaky_relu: ("leaky_relu", {"negative_slope": 0.2}),
}
"""Keras' own activations, known by the function itself."""

_CLIPPED: Mapping[Any, tuple[float, float, float, float]] = {
    activations.relu6: (1.0, 0.0, 0.0, 6.0),
    activations.hard_sigmoid: (1 / 6, 0.5, 0.0, 1.0),
    activations.hard_tanh: (1.0, 0.0, -1.0, 1.0),
}
"""Activations that are a line between two limits: factor and term of the line, lower and upper limit."""

_INSTEAD = (
    "use relu, tanh, sigmoid, softplus, softsign, elu, selu, leaky_relu, relu6, hard_sigmoid or hard_tanh"
)

PROBABILITIES = (activations.softmax, activations.sigmoid)


class Reader:
    """Collects the layers of a model and every fault.

    Attributes
    ----------
    layers
        What was read, by name.
    of
        The layer that makes each tensor of the graph.
    formats
        What QKeras' quantizers say, by layer.
    dropped
        The function that was left out at the end: ``softmax``, ``sigmoid`` or ``None``.
    faults
        Sentences.
    """

    def __init__(self, graph: KerasGraph) -> None:
        self.graph = graph
        self.layers: dict[str, LayerSpec] = {}
        self.of: dict[int, str] = {}
        self.formats: dict[str, LayerPrecision] = {}
        self.dropped: str | None = None
        self.faults: list[str] = []

    def read(self, call: Call) -> None:
        """Read one call; a fault is noted, and reading goes on behind it."""
        inputs = tuple(self.of[number] for number in call.inputs)
        try:
            self.of[call.outputs[0]] = self._read(call, inputs)
        except ConversionError as fault:
            self.faults.append(str(fault))
            self.of[call.outputs[0]] = inputs[0] if inputs else "?"

    def _read(self, call: Call, inputs: tuple[str, ...]) -> str:
        layer, what = call.layer, type(call.layer).__name__
        if len(call.outputs) != 1:
            raise ConversionError(
                f"layer {call.name!r} ({what}) has {len(call.outputs)} outputs; only one is supported"
            )
        if type(layer) in _NOTHING and call.input_shapes == call.output_shapes and not call.constants:
            return inputs[0]
        _reader_of(call)
        if call.constants:
            name, value = next(iter(call.constants.items()))
            if any(isinstance(part, keras.KerasTensor) for part in keras.tree.flatten(value)):
                raise ConversionError(
                    f"layer {call.name!r} ({what}) is given a tensor as {name}, which is not supported; call it "
                    "with its input alone"
                )
            raise ConversionError(
                f"layer {call.name!r} ({what}) is called with {name}={_short(value)}, which cannot be read; "
                "call it with tensors of the graph alone, or put constants into a layer (Rescaling, Dense)"
            )
        return self._known(call, inputs)

    def _known(self, call: Call, inputs: tuple[str, ...]) -> str:
        layer = call.layer
        read = _reader_of(call)
        for name, value, only in unexpected(layer):
            raise ConversionError(
                f"layer {call.name!r} has {name}={_short(value)}; only {name}={only!r} is supported"
            )
        for shape in (*call.input_shapes, *call.output_shapes):
            if any(size is None for size in shape):
                raise ConversionError(
                    f"layer {call.name!r} has the shape {shape}; give the network's input a fixed shape"
                )
        for variable in layer.variables if isinstance(layer, keras.Layer) else ():
            values = np.asarray(keras.ops.convert_to_numpy(variable))
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ConversionError(
                    f"layer {call.name!r} has values in {variable.name} that are not finite; "
                    "train it again, or give a file of a training that went well"
                )
        source = read(self, call, inputs)
        return source if not _has_activation(layer) else self.activated(layer.activation, source, call)

    def add(
        self,
        name: str,
        kind: str,
        inputs: tuple[str, ...],
        config: Mapping[str, Any] | None = None,
        weights: Mapping[str, np.ndarray] | None = None,
    ) -> str:
        """Add a layer under a name that C++ and hls4ml accept and nothing else has; returns that name."""
        name = self._free(name)
        self.layers[name] = LayerSpec(name, kind, inputs, config or {}, weights or {})
        return name

    def _free(self, name: str) -> str:
        name = identifier(name)
        taken = {other.lower() for other in self.layers}
        free, number = name, 2
        while free.lower() in taken:
            free, number = f"{name}_{number}", number + 1
        return free

    def activated(self, activation: Any, source: str, call: Call, *, alone: bool = False) -> str:
        """Add what an activation does, known by the object itself; returns the name of its output's layer."""
        name = call.name if alone else f"{call.name}_{getattr(activation, '__name__', 'act')}"
        if activation is None or activation is activations.linear:
            return source
        if isinstance(activation, keras.Layer) and type(activation) in _READERS:
            inside = replace(call, layer=activation, name=name, input_shapes=call.output_shapes)
            return self._known(inside, (source,))
        if _is_quantizer(activation):
            return self.quantized(activation, source, call, alone=alone)
        if activation in PROBABILITIES and call.outputs == self.graph.outputs:
            self.dropped = activation.__name__
            return source
        if activation in _FUNCTIONS:
            kind, config = _FUNCTIONS[activation]
            return self.add(name, kind, (source,), config)
        if activation in _CLIPPED:
            factor, term, low, high = _CLIPPED[activation]
            return self.clipped(name, source, call, low, high, factor, term)
        shown = getattr(activation, "__name__", None) or _short(activation)
        if activation in PROBABILITIES:
            raise ConversionError(
                f"layer {call.name!r} has the activation {shown!r} in the middle of the network; {_INSTEAD}"
            )
        raise ConversionError(
            f"layer {call.name!r} has the activation {shown} ({type(activation).__name__}), which is not supported; "
            f"{_INSTEAD}"
        )

    def clipped(
        self,
        name: str,
        source: str,
        call: Call,
        low: float,
        high: float,
        factor: float = 1.0,
        term: float = 0.0,
    ) -> str:
        """A line between two limits: `relu(y - low) - relu(y - high) + low` with `y = factor x + term`."""
        channels = call.output_shapes[0][-1]

        def line(suffix: str, of: str, scale: float, shift: float) -> str:
            if scale == 1 and shift == 0:
                return of
            weights = {"kernel": np.full(channels, scale), "bias": np.full(channels, shift)}
            return self.add(f"{name}_{suffix}", "scale", (of,), {}, weights)

        above = self.add(f"{name}_low", "relu", (line("above", source, factor, term - low),))
        beyond = self.add(f"{name}_high", "relu", (line("beyond", source, factor, term - high),))
        between = self.add(name, "subtract", (above, beyond))
        return line("shifted", between, 1.0, low)

    def quantized(self, quantizer: Any, source: str, call: Call, *, alone: bool = False) -> str:
        """Add the point where a QKeras activation rounds."""
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
        name = self.add(call.name if alone else f"{call.name}_{suffix}", kind, (source,))
        self.formats[name] = LayerPrecision(result=precision)
        return name

    def with_formats(self, layer: Any, weights: dict[str, np.ndarray], call: Call) -> dict[str, np.ndarray]:
        """The weights of a QKeras layer, and their formats noted."""
        kernel = getattr(layer, "depthwise_quantizer_internal", None) or getattr(
            layer, "kernel_quantizer_internal", None
        )
        if kernel is None:
            return weights
        weights = dict(weights)
        formats = {}
        for key, quantizer in (("kernel", kernel), ("bias", getattr(layer, "bias_quantizer_internal", None))):
            if key in weights and quantizer is not None:
                try:
                    formats[key], weights[key] = _format_of(quantizer, weights[key])
                except ConversionError as fault:
                    raise ConversionError(f"layer {call.name!r}: {fault}") from None
        self.formats[self._free(call.name)] = LayerPrecision(formats.get("kernel"), formats.get("bias"))
        return weights

    def network(self, name: str) -> Network:
        """The layers that the output needs, inputs before users, the output last."""
        order: dict[str, LayerSpec] = {}

        def visit(layer: str) -> None:
            if layer not in order:
                for source in self.layers[layer].inputs:
                    visit(source)
                order[layer] = self.layers[layer]

        visit(self.of[self.graph.inputs[0]])
        visit(self.of[self.graph.outputs[0]])
        network = Network(tuple(order.values()), name)
        if not any(layer.weights for layer in network.layers):
            raise ConversionError(
                f"the model {name!r} has no layer that multiplies by weights; nothing is to be built"
            )
        if not any(layer.row.role in ("product", "norm") for layer in network.layers):
            kinds = ", ".join(layer.kind for layer in network.layers if layer.weights)
            raise ConversionError(
                f"the model {name!r} has weights in {kinds} alone; end it with a Dense layer, whose formats and costs are counted"
            )
        return network


def _reader_of(call: Call) -> Callable[[Reader, Call, tuple[str, ...]], str]:
    """The function that reads a call; `ConversionError` says what its layer is, if there is none."""
    layer = call.layer
    named = "" if isinstance(layer, keras.Layer) else type(layer).__name__
    read = _READERS.get(type(layer)) or _OPERATIONS.get(named)
    if read is None:
        raise ConversionError(_unknown(call))
    return read


def identifier(name: str) -> str:
    """A layer name that C++ and hls4ml accept.

    hls4ml gives layers whose name is a part of the word "input" another name, without their types.
    """
    name = re.sub(r"[^0-9A-Za-z_]", "_", name)
    name = name if re.match(r"[A-Za-z_]", name) else f"layer_{name}"
    if name in "input" or name.lower() in _RESERVED or keyword.iskeyword(name):
        return f"{name}_layer"
    return name


def _unknown(call: Call) -> str:
    layer, what = call.layer, type(call.layer).__name__
    base = next((known for known in type(layer).__mro__[1:] if known in _READERS), None)
    if base is not None and what not in _HINTS:
        return (
            f"layer {call.name!r} is a {what} of {type(layer).__module__}, made from {base.__name__}: what it computes cannot "
            f"be known; use {base.__name__} itself"
        )
    if not isinstance(layer, keras.Layer):
        return f"the graph has the operation {what} ({call.name}), which is not supported; use a layer instead: {supported()}"
    hint = _HINTS.get(what)
    return f"layer {call.name!r} is a {what}, which is not supported; " + (
        hint or f"supported are {supported()}"
    )


_HINTS: Mapping[str, str] = {
    "LayerNormalization": "hls4ml 1.3 has it for one axis of two only; use BatchNormalization",
    "GroupNormalization": "hls4ml 1.3 has none; use BatchNormalization",
    "UnitNormalization": "hls4ml 1.3 has none; use BatchNormalization",
    "MultiHeadAttention": "hls4ml 1.3 has none; use Dense per particle and GlobalAveragePooling1D",
    "Attention": "hls4ml 1.3 has none; use Dense per particle and GlobalAveragePooling1D",
    "Conv1DTranspose": "hls4ml 1.3 has none; use UpSampling1D and Conv1D",
    "Conv2DTranspose": "hls4ml 1.3 has none; use UpSampling2D and Conv2D",
    "Conv3D": "hls4ml 1.3 has none; use Conv2D with the depth as channels",
    "Lambda": "its function cannot be read; use layers",
    "Dot": "hls4ml 1.3 cannot read it from Keras 3; use Multiply and Dense",
    "Masking": "hardware has a fixed length; pad with zeros and let the network learn",
    "LSTM": "hls4ml's C++ of it compiles only where input, accumulator and result have one type; use GRU",
    "SimpleRNN": "hls4ml 1.3 reads it, but has no C++ of it; use GRU",
    "Bidirectional": "use one direction",
    "QDenseBatchnorm": "fold it: QDense with the folded kernel and bias (get_folded_weights)",
    "QConv2DBatchnorm": "fold it: QConv2D with the folded kernel and bias (get_folded_weights)",
    "QBatchNormalization": "fold it into the layer before it, then quantize",
    "Discretization": "bin the values before the network",
    "ThresholdedReLU": "use ReLU behind a Dense with a bias",
}


def _short(value: Any) -> str:
    text = repr(value)
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:77] + "..."


def _has_activation(layer: Any) -> bool:
    return hasattr(layer, "activation") and type(layer) not in _OWN_ACTIVATION


def _is_quantizer(activation: Any) -> bool:
    return type(activation).__module__.split(".")[0] == "qkeras"


def _array(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable), dtype=np.float32)


def _format_of(quantizer: Any, values: np.ndarray) -> tuple[FixedPoint, np.ndarray]:
    """The format of a weight quantizer; of one that is no format, the narrowest that holds its values, and these.

    Powers of two, signs, ternary values and scales that are powers of two are values of some fixed-point format.
    """
    try:
        return FixedPoint.from_qkeras(quantizer), values
    except ConversionError as fault:
        quantized = _array(quantizer(keras.ops.convert_to_tensor(values))).astype(np.float64)
        again = _array(quantizer(keras.ops.convert_to_tensor(values))).astype(np.float64)
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


def _kernel(layer: Any) -> dict[str, np.ndarray]:
    variable = layer.depthwise_kernel if hasattr(layer, "depthwise_kernel") else layer.kernel
    weights = {"kernel": _array(variable)}
    if layer.use_bias:
        weights["bias"] = _array(layer.bias)
    return weights


def _only(call: Call, **expected: Any) -> None:
    for option, value in expected.items():
        given = getattr(call.layer, option, value)
        if given != value:
            raise ConversionError(
                f"layer {call.name!r} has {option}={given!r}; only {option}={value!r} is supported"
            )


def _input(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    # hls4ml reserves the name "input"; Keras numbers its own
    reader.layers["features"] = LayerSpec(
        "features", "input", (), {"shape": [int(n) for n in call.output_shapes[0]]}
    )
    return "features"


def _dense(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    weights = reader.with_formats(call.layer, _kernel(call.layer), call)
    return reader.add(call.name, "dense", inputs, {}, weights)


def _conv(kind: str) -> Callable[..., str]:
    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        layer, rank = call.layer, int(kind[-2])
        _only(call, data_format="channels_last", dilation_rate=(1,) * rank)
        if "depthwise" in kind:
            _only(call, depth_multiplier=1)
        else:
            _only(call, groups=1)
        weights = reader.with_formats(layer, _kernel(layer), call)
        strides, padding = _list(layer.strides, rank), layer.padding
        if padding == "causal":
            before = weights["kernel"].shape[0] - 1
            inputs = (reader.add(f"{call.name}_pad", "zero_padding1d", inputs, {"padding": [before, 0]}),)
            padding = "valid"
        return reader.add(call.name, kind, inputs, {"strides": strides, "padding": padding}, weights)

    return read


def _separable(rank: int) -> Callable[..., str]:
    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        layer = call.layer
        _only(call, data_format="channels_last", dilation_rate=(1,) * rank, depth_multiplier=1)
        strides = _list(layer.strides, rank)
        if layer.padding == "causal":
            before = layer.depthwise_kernel.shape[0] - 1
            inputs = (reader.add(f"{call.name}_pad", "zero_padding1d", inputs, {"padding": [before, 0]}),)
        padding = "same" if layer.padding == "same" else "valid"
        first = reader.add(
            f"{call.name}_depthwise",
            f"depthwise_conv{rank}d",
            inputs,
            {"strides": strides, "padding": padding},
            {"kernel": _array(layer.depthwise_kernel)},
        )
        weights = {"kernel": _array(layer.pointwise_kernel)}
        if layer.use_bias:
            weights["bias"] = _array(layer.bias)
        return reader.add(
            call.name, f"conv{rank}d", (first,), {"strides": [1] * rank, "padding": "valid"}, weights
        )

    return read


def _einsum(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    layer = call.layer
    left, _, right = layer.equation.replace(" ", "").partition("->")
    given, _, kernel = left.partition(",")
    last, rest = kernel[:1], kernel[1:]
    if "." in layer.equation:
        given, right = given.replace("...", "_"), right.replace("...", "_")
    if not (
        given.endswith(last)
        and right == given[:-1] + rest
        and len(rest) == 1
        and layer.bias_axes in (None, rest)
    ):
        raise ConversionError(
            f"layer {call.name!r} is an EinsumDense of {layer.equation!r} (bias_axes={layer.bias_axes!r}); only a product over "
            "the last axis is supported, such as 'abc,cd->abd'; use Dense, Permute and Reshape"
        )
    weights = {"kernel": _array(layer.kernel)}
    if layer.bias is not None:
        weights["bias"] = _array(layer.bias)
    return reader.add(call.name, "dense", inputs, {}, weights)


def _time_distributed(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    inner = call.layer.layer
    if type(inner) is not layers.Dense:
        raise ConversionError(
            f"layer {call.name!r} is a TimeDistributed {type(inner).__name__}; only TimeDistributed(Dense) is supported"
        )
    for name, value, only in unexpected(inner):
        raise ConversionError(
            f"layer {inner.name!r} has {name}={_short(value)}; only {name}={only!r} is supported"
        )
    source = reader.add(call.name, "dense", inputs, {}, _kernel(inner))
    return reader.activated(inner.activation, source, call)


def _batch_norm(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    layer = call.layer
    if layer.axis not in (-1, len(call.input_shapes[0])):
        raise ConversionError(
            f"layer {call.name!r} normalises axis {layer.axis}; only the last axis is supported"
        )
    mean, variance = _array(layer.moving_mean), _array(layer.moving_variance)
    gamma = _array(layer.gamma) if layer.scale else np.ones_like(mean)
    beta = _array(layer.beta) if layer.center else np.zeros_like(mean)
    weights = {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    config = {"epsilon": float(layer.epsilon), "momentum": float(layer.momentum)}
    return reader.add(call.name, "batch_norm", inputs, config, weights)


def _scale(reader: Reader, call: Call, inputs: tuple[str, ...], factor: Any, term: Any) -> str:
    """A constant factor and term for each channel; what varies along other axes has no such form."""
    shape = call.output_shapes[0]
    arrays = [np.asarray(value, dtype=np.float64) for value in (factor, term)]
    try:
        spread = [np.broadcast_to(array.reshape(array.shape[-len(shape) :]), shape) for array in arrays]
    except ValueError:
        spread = []
    by_channel = [array.reshape(-1, shape[-1])[0] for array in spread]
    if not spread or any((array != one).any() for array, one in zip(spread, by_channel, strict=True)):
        raise ConversionError(
            f"layer {call.name!r} scales along other axes than the last; only one factor and term a channel are supported"
        )
    return reader.add(call.name, "scale", inputs, {}, {"kernel": by_channel[0], "bias": by_channel[1]})


def _rescaling(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    return _scale(reader, call, inputs, call.layer.scale, call.layer.offset)


def _normalization(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    layer = call.layer
    if layer.mean is None or layer.variance is None:
        raise ConversionError(
            f"layer {call.name!r} has no mean and variance; adapt it to the data, or give it both, before the model is saved"
        )
    mean, variance = _array(layer.mean).astype(np.float64), _array(layer.variance).astype(np.float64)
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    if layer.invert:
        return _scale(reader, call, inputs, deviation, mean)
    return _scale(reader, call, inputs, 1 / deviation, -mean / deviation)


def _activation(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    return reader.activated(call.layer.activation, inputs[0], call, alone=True)


def _qactivation(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    import qkeras

    activation = call.layer.activation
    quantizer = getattr(call.layer, "quantizer", None) or activation
    if isinstance(quantizer, str):
        quantizer = qkeras.get_quantizer(quantizer)
    return reader.activated(quantizer, inputs[0], call, alone=True)


def _softmax(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    if call.layer.axis not in (-1, len(call.input_shapes[0])):
        raise ConversionError(
            f"layer {call.name!r} has axis={call.layer.axis!r}; only the last axis is supported"
        )
    return reader.activated(activations.softmax, inputs[0], call, alone=True)


def _relu(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    layer = call.layer
    limit, slope = layer.max_value, float(layer.negative_slope or 0)
    if layer.threshold:
        raise ConversionError(
            f"layer {call.name!r} is a ReLU with threshold={layer.threshold!r}; only 0 is supported: shift its input instead"
        )
    if limit is not None and np.isfinite(limit) and slope == 0:
        return reader.clipped(call.name, inputs[0], call, 0.0, float(limit))
    if limit is not None and np.isfinite(limit):
        raise ConversionError(
            f"layer {call.name!r} is a ReLU with max_value and negative_slope; only one of them is supported"
        )
    if slope:
        return reader.add(call.name, "leaky_relu", inputs, {"negative_slope": slope})
    return reader.add(call.name, "relu", inputs)


def _prelu(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    alpha = np.broadcast_to(_array(call.layer.alpha), call.input_shapes[0])
    return reader.add(call.name, "prelu", inputs, {}, {"alpha": alpha})


def _pool(kind: str) -> Callable[..., str]:
    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        layer = call.layer
        _only(call, data_format="channels_last")
        config = {
            "pool_size": _list(layer.pool_size, int(kind[-2])),
            "strides": _list(layer.strides, int(kind[-2])),
            "padding": layer.padding,
        }
        if kind.startswith("average"):
            _only(call, padding="valid")
        return reader.add(call.name, kind, inputs, config)

    return read


def _global_pool(kind: str) -> Callable[..., str]:
    """Pooling over everything is pooling with one window, then a vector."""

    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        _only(call, data_format="channels_last")
        size = [int(n) for n in call.input_shapes[0][:-1]]
        pool = reader.add(call.name, kind, inputs, {"pool_size": size, "strides": size, "padding": "valid"})
        if len(call.output_shapes[0]) > 1:
            return pool
        return reader.add(f"{call.name}_vector", "flatten", (pool,))

    return read


def _many(kind: str) -> Callable[..., str]:
    """A layer of several tensors, two at a time: hls4ml knows no more."""

    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        config: dict[str, Any] = {}
        if kind == "concatenate":
            axis = call.layer.axis
            config = {"axis": -1 if axis == len(call.output_shapes[0]) else axis}
        elif len(set(call.input_shapes)) > 1:
            raise ConversionError(
                f"layer {call.name!r} ({type(call.layer).__name__}) takes the shapes {', '.join(map(str, call.input_shapes))}; "
                "hls4ml repeats the smaller one in another order: give both the same shape"
            )
        if len(inputs) < 2:
            raise ConversionError(f"layer {call.name!r} takes one tensor; give it two, or leave it out")
        if kind == "average" and len(inputs) > 2:
            total = _chain(reader, call.name, "add", inputs, {}, f"{call.name}_sum")
            channels = call.output_shapes[0][-1]
            weights = {"kernel": np.full(channels, 1 / len(inputs))}
            return reader.add(call.name, "scale", (total,), {}, weights)
        return _chain(reader, call.name, kind, inputs, config, call.name)

    return read


def _chain(
    reader: Reader, name: str, kind: str, inputs: tuple[str, ...], config: Mapping[str, Any], last: str
) -> str:
    source = inputs[0]
    for number, other in enumerate(inputs[1:], 1):
        own = last if number == len(inputs) - 1 else f"{name}_{number}"
        source = reader.add(own, kind, (source, other), config)
    return source


def _plain(kind: str, *options: str, **expected: Any) -> Callable[..., str]:
    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        _only(call, **expected)
        return reader.add(
            call.name, kind, inputs, {option: _plain_value(getattr(call.layer, option)) for option in options}
        )

    return read


def _plain_value(value: Any) -> Any:
    return [_plain_value(one) for one in value] if isinstance(value, tuple | list) else value


def _list(value: Any, rank: int) -> list[int]:
    return [int(value)] * rank if isinstance(value, int) else [int(n) for n in value]


def _reshape(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    return reader.add(call.name, "reshape", inputs, {"target_shape": [int(n) for n in call.output_shapes[0]]})


def _flatten(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    _only(call, data_format="channels_last")
    return reader.add(call.name, "flatten", inputs)


def _repeat(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    """Repeating a vector is repeating the one step of a sequence."""
    one = reader.add(
        f"{call.name}_step", "reshape", inputs, {"target_shape": [1, int(call.input_shapes[0][0])]}
    )
    return reader.add(call.name, "upsampling1d", (one,), {"size": [int(call.layer.n)]})


def _upsampling(rank: int) -> Callable[..., str]:
    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        if rank == 2:
            _only(call, data_format="channels_last", interpolation="nearest")
        return reader.add(call.name, f"upsampling{rank}d", inputs, {"size": _list(call.layer.size, rank)})

    return read


def _hardware_scale(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    layer = call.layer
    weights = {"kernel": _array(layer.kernel)}
    if layer.bias is not None:
        weights["bias"] = _array(layer.bias)
    name = reader.add(call.name, "scale", inputs, {}, weights)
    if layer.weight is not None:
        bias = FixedPoint.parse(layer.bias_format) if layer.bias_format else None
        reader.formats[name] = LayerPrecision(FixedPoint.parse(layer.weight), bias)
    return name


def _gru(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    layer = call.layer
    if len(inputs) != 1:
        raise ConversionError(
            f"layer {call.name!r} is given an initial state; only a GRU that starts from zero is supported"
        )
    _only(call, reset_after=True, go_backwards=False, stateful=False, return_state=False)
    for option, function in (("activation", activations.tanh), ("recurrent_activation", activations.sigmoid)):
        if getattr(layer, option) is not function:
            given = getattr(getattr(layer, option), "__name__", None) or _short(getattr(layer, option))
            raise ConversionError(
                f"layer {call.name!r} has {option}={given!r}; only {option}={function.__name__!r} is supported"
            )
    names = ("kernel", "recurrent_kernel", *(["bias"] if layer.use_bias else []))
    weights = {name: _array(getattr(layer.cell, name)) for name in names}
    return reader.add(call.name, "gru", inputs, {"return_sequences": bool(layer.return_sequences)}, weights)


def _hardware_gru(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    name = _gru(reader, call, inputs)
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
        name = reader.add(call.name, "prelu", inputs, {}, {"alpha": _array(layer.alpha)})
    else:
        name = reader.add(call.name, "leaky_relu", inputs, {"negative_slope": layer.slope})
    formats = FixedPoint.parse(layer.parameter), FixedPoint.parse(layer.result)
    reader.formats[name] = LayerPrecision(weight=formats[0], result=formats[1])
    return name


def _hardware_average(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    layer = call.layer
    config = {"pool_size": list(layer.pool_size), "strides": list(layer.strides), "padding": layer.padding}
    return reader.add(call.name, f"average_pool{len(layer.pool_size)}d", inputs, config)


_NOTHING: tuple[type, ...] = (
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.AlphaDropout,
    layers.Identity,
    layers.ActivityRegularization,
    *(
        getattr(layers, name)
        for name in dir(layers)
        if name.startswith("Random") and name not in ("RandomCrop", "RandomFourierFeatures")
    ),
)
"""Layers that do nothing at inference."""

_READERS: dict[type, Callable[[Reader, Call, tuple[str, ...]], str]] = {
    layers.InputLayer: _input,
    layers.Dense: _dense,
    layers.Conv1D: _conv("conv1d"),
    layers.Conv2D: _conv("conv2d"),
    layers.DepthwiseConv1D: _conv("depthwise_conv1d"),
    layers.DepthwiseConv2D: _conv("depthwise_conv2d"),
    layers.SeparableConv1D: _separable(1),
    layers.SeparableConv2D: _separable(2),
    layers.EinsumDense: _einsum,
    layers.TimeDistributed: _time_distributed,
    layers.BatchNormalization: _batch_norm,
    layers.Normalization: _normalization,
    layers.Rescaling: _rescaling,
    layers.Activation: _activation,
    layers.Softmax: _softmax,
    layers.ReLU: _relu,
    layers.LeakyReLU: _plain("leaky_relu", "negative_slope"),
    layers.PReLU: _prelu,
    layers.ELU: _plain("elu", "alpha"),
    layers.GRU: _gru,
    layers.Flatten: _flatten,
    layers.Reshape: _reshape,
    layers.Permute: _plain("permute", "dims"),
    layers.RepeatVector: _repeat,
    layers.ZeroPadding1D: _plain("zero_padding1d", "padding", data_format="channels_last"),
    layers.ZeroPadding2D: _plain("zero_padding2d", "padding", data_format="channels_last"),
    layers.Cropping1D: _plain("cropping1d", "cropping"),
    layers.Cropping2D: _plain("cropping2d", "cropping", data_format="channels_last"),
    layers.UpSampling1D: _upsampling(1),
    layers.UpSampling2D: _upsampling(2),
    layers.MaxPooling1D: _pool("max_pool1d"),
    layers.MaxPooling2D: _pool("max_pool2d"),
    layers.AveragePooling1D: _pool("average_pool1d"),
    layers.AveragePooling2D: _pool("average_pool2d"),
    layers.GlobalMaxPooling1D: _global_pool("max_pool1d"),
    layers.GlobalMaxPooling2D: _global_pool("max_pool2d"),
    layers.GlobalAveragePooling1D: _global_pool("average_pool1d"),
    layers.GlobalAveragePooling2D: _global_pool("average_pool2d"),
    layers.Add: _many("add"),
    layers.Subtract: _many("subtract"),
    layers.Multiply: _many("multiply"),
    layers.Average: _many("average"),
    layers.Maximum: _many("maximum"),
    layers.Minimum: _many("minimum"),
    layers.Concatenate: _many("concatenate"),
    hardware_layers.Scale: _hardware_scale,
    FixedGRU: _hardware_gru,
    hardware_layers.FixedLookup: _hardware_lookup,
    hardware_layers.FixedSlope: _hardware_slope,
    hardware_layers.FixedAverage: _hardware_average,
    hardware_layers.DepthwiseConv1D: _conv("depthwise_conv1d"),
}
"""How each class is read: looked up by the class itself, so that one of the user's own is never taken for it."""


def _register_qkeras() -> None:
    import qkeras

    _READERS.update(
        {
            qkeras.QDense: _dense,
            qkeras.QConv1D: _conv("conv1d"),
            qkeras.QConv2D: _conv("conv2d"),
            qkeras.QDepthwiseConv2D: _conv("depthwise_conv2d"),
            qkeras.QActivation: _qactivation,
            qkeras.QAveragePooling2D: _pool("average_pool2d"),
            qkeras.QGlobalAveragePooling2D: _global_pool("average_pool2d"),
        }
    )


_register_qkeras()


def _operation(kind: str) -> Callable[..., str]:
    return lambda reader, call, inputs: reader.add(call.name, kind, inputs)


_OPERATIONS: Mapping[str, Callable[..., str]] = {
    "Relu": _operation("relu"),
    "Tanh": _operation("tanh"),
    "Softplus": _operation("softplus"),
    "Softsign": _operation("softsign"),
    "Selu": _operation("selu"),
    "Sigmoid": lambda reader, call, inputs: reader.activated(
        activations.sigmoid, inputs[0], call, alone=True
    ),
    "Add": _many("add"),
    "Subtract": _many("subtract"),
    "Multiply": _many("multiply"),
    "Maximum": _many("maximum"),
    "Minimum": _many("minimum"),
    "Concatenate": _many("concatenate"),
    "Reshape": _reshape,
}
"""What ``keras.ops`` and operators between tensors put into a graph."""

_OWN_ACTIVATION = (
    layers.Activation,
    layers.TimeDistributed,
    layers.GRU,
    FixedGRU,
    *(known for known in _READERS if known.__name__ == "QActivation"),
)
"""Classes whose readers look at the activation themselves."""

CLASSES: tuple[type, ...] = tuple(_READERS)
"""Every class that is read."""
