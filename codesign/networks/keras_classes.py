"""What each Keras layer, and each operation between tensors, is in a `Network`: one function a class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import activations, layers

from codesign.core.layers import LAYERS, LayerKind
from codesign.errors import ConversionError
from codesign.networks.description import LayerSpec
from codesign.networks.keras_arguments import unexpected
from codesign.networks.keras_graph import Call, TakeInput

if TYPE_CHECKING:
    from codesign.networks.keras_reader import Reader

MOST_UNROLLED = 32
"""Steps of a recurrent layer that are built one behind the other."""

LayerReader = Callable[["Reader", Call, tuple[str, ...]], str]
"""Adds what a call does behind the named layers; returns the name of the layer that makes its output."""


def short(value: Any) -> str:
    """A value as a sentence shows it, at most 80 characters."""
    text = repr(value)
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:77] + "..."


def array(variable: Any) -> np.ndarray:
    """The values of a variable, float32."""
    return np.asarray(keras.ops.convert_to_numpy(variable), dtype=np.float32)


def _kernel(layer: Any) -> dict[str, np.ndarray]:
    if hasattr(layer, "get_folded_weights"):  # QKeras' layers with a normalisation inside
        kernel, bias = layer.get_folded_weights()
        return {"kernel": array(kernel), "bias": array(bias)}
    variable = layer.depthwise_kernel if hasattr(layer, "depthwise_kernel") else layer.kernel
    weights = {"kernel": array(variable)}
    if layer.use_bias:
        weights["bias"] = array(layer.bias)
    return weights


def only(call: Call, **expected: Any) -> None:
    """Refuse a layer whose attributes have other values, by name."""
    for option, value in expected.items():
        given = getattr(call.layer, option, value)
        if given != value:
            raise ConversionError(
                f"layer {call.name!r} has {option}={given!r}; only {option}={value!r} is supported"
            )


def only_last_axis(call: Call, given: Any) -> None:
    """Refuse a layer that works along another axis than the last."""
    axis = given[0] if isinstance(given, list | tuple) and len(given) == 1 else given
    if axis not in (-1, len(call.output_shapes[0])):
        raise ConversionError(f"layer {call.name!r} has axis={axis!r}; only the last axis is supported")


def refuse_unexpected(layer: Any, name: str) -> None:
    """Refuse a layer with an argument that nothing reads (`codesign.networks.keras_arguments`)."""
    for argument, value, expected in unexpected(layer):
        raise ConversionError(
            f"layer {name!r} has {argument}={short(value)}; only {argument}={expected!r} is supported"
        )


def _input(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    config = {"shape": [int(n) for n in call.output_shapes[0]]}
    if len(reader.graph.inputs) > 1:
        return reader.add(call.name, "input", (), config)
    # hls4ml reserves the name "input"; Keras numbers its own
    reader.layers["features"] = LayerSpec("features", "input", (), config)
    return "features"


def read_dense(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    """Read a product over the last axis."""
    weights = reader.with_formats(call.layer, _kernel(call.layer), call)
    return reader.add(call.name, "dense", inputs, {}, weights)


def _dilated(kernel: np.ndarray, rate: list[int]) -> np.ndarray:
    """A kernel `(*window, ...)` with zeros between its values, which convolves as the dilated one."""
    window = kernel.shape[: len(rate)]
    spread = np.zeros(
        (*((n - 1) * step + 1 for n, step in zip(window, rate, strict=True)), *kernel.shape[len(rate) :]),
        kernel.dtype,
    )
    spread[tuple(slice(None, None, step) for step in rate)] = kernel
    return spread


def _without_groups(kernel: np.ndarray, groups: int) -> np.ndarray:
    """A kernel `(*window, channels / groups, filters)` for all channels, with zeros between the groups."""
    *window, channels, filters = kernel.shape
    whole = np.zeros((*window, channels * groups, filters), kernel.dtype)
    for group in range(groups):
        rows, columns = (slice(group * n, (group + 1) * n) for n in (channels, filters // groups))
        whole[..., rows, columns] = kernel[..., :, columns]
    return whole


def _without_multiplier(kernel: np.ndarray) -> np.ndarray:
    """A depthwise kernel `(*window, channels, multiplier)` as one of all channels, with zeros between them."""
    *window, channels, multiplier = kernel.shape
    return _without_groups(kernel.reshape(*window, 1, channels * multiplier), channels)


def conv_reader(kind: str) -> Callable[..., str]:
    """What reads a convolution of some kind."""

    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        layer, rank = call.layer, int(kind[-2])
        only(call, data_format="channels_last")
        weights = reader.with_formats(layer, _kernel(layer), call)
        weights["kernel"] = kernel = _dilated(weights["kernel"], _list(layer.dilation_rate, rank))
        strides, padding = _list(layer.strides, rank), layer.padding
        if padding == "causal":
            before = kernel.shape[0] - 1
            inputs = (reader.add(f"{call.name}_pad", "zero_padding1d", inputs, {"padding": [before, 0]}),)
            padding = "valid"
        own = kind
        if "depthwise" in kind and kernel.shape[-1] > 1:
            own, weights["kernel"] = f"conv{rank}d", _without_multiplier(kernel)
        elif "depthwise" not in kind:
            weights["kernel"] = _without_groups(kernel, int(layer.groups))
        return reader.add(call.name, own, inputs, {"strides": strides, "padding": padding}, weights)

    return read


def separable_reader(rank: int) -> Callable[..., str]:
    """What reads a separable convolution: as its depthwise and its pointwise part."""

    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        layer = call.layer
        only(call, data_format="channels_last")
        strides = _list(layer.strides, rank)
        parts = reader.with_formats_of_parts(layer, call)
        kernel = _dilated(parts[0]["kernel"], _list(layer.dilation_rate, rank))
        kind = f"depthwise_conv{rank}d"
        if kernel.shape[-1] > 1:
            kind, kernel = f"conv{rank}d", _without_multiplier(kernel)
        config = {"strides": strides, "padding": layer.padding}
        first = reader.add(f"{call.name}_depthwise", kind, inputs, config, {**parts[0], "kernel": kernel})
        config = {"strides": [1] * rank, "padding": "valid"}
        return reader.add(call.name, f"conv{rank}d", (first,), config, parts[1])

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
    weights = {"kernel": array(layer.kernel)}
    if layer.bias is not None:
        weights["bias"] = array(layer.bias)
    return reader.add(call.name, "dense", inputs, {}, weights)


def _time_distributed(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    inner = call.layer.layer
    if type(inner) is not layers.Dense:
        raise ConversionError(
            f"layer {call.name!r} is a TimeDistributed {type(inner).__name__}; only TimeDistributed(Dense) is supported"
        )
    refuse_unexpected(inner, inner.name)
    source = reader.add(call.name, "dense", inputs, {}, _kernel(inner))
    return reader.activated(inner.activation, source, call)


def _batch_norm(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    layer = call.layer
    only_last_axis(call, layer.axis)
    mean, variance = array(layer.moving_mean), array(layer.moving_variance)
    gamma = array(layer.gamma) if layer.scale else np.ones_like(mean)
    beta = array(layer.beta) if layer.center else np.zeros_like(mean)
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
    mean, variance = array(layer.mean).astype(np.float64), array(layer.variance).astype(np.float64)
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    if layer.invert:
        return _scale(reader, call, inputs, deviation, mean)
    return _scale(reader, call, inputs, 1 / deviation, -mean / deviation)


def _activation(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    return reader.activated(call.layer.activation, inputs[0], call, alone=True)


def _embedding(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    """A table; rows of zeros fill it up, so that whatever the index's bits say is a row."""
    source = reader.layers[inputs[0]]
    while source.row.role == "move" and not source.row.many:
        source = reader.layers[source.inputs[0]]
    if source.row.role != "input":
        raise ConversionError(
            f"layer {call.name!r} is an Embedding of {source.name!r} ({source.kind}), not of an input; its indices must be "
            "whole numbers of the data"
        )
    table = array(call.layer.embeddings)
    rows = 1 << max(1, (len(table) - 1).bit_length())
    whole = np.concatenate([table, np.zeros((rows - len(table), table.shape[1]), np.float32)])
    return reader.add(call.name, "embedding", inputs, {"input_dim": len(table)}, {"embeddings": whole})


def _softmax(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    only_last_axis(call, call.layer.axis)
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
    alpha = np.broadcast_to(array(call.layer.alpha), call.input_shapes[0])
    return reader.add(call.name, "prelu", inputs, {}, {"alpha": alpha})


def pool_reader(kind: str) -> Callable[..., str]:
    """What reads pooling of some kind."""

    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        layer = call.layer
        only(call, data_format="channels_last")
        config = {
            "pool_size": _list(layer.pool_size, int(kind[-2])),
            "strides": _list(layer.strides, int(kind[-2])),
            "padding": layer.padding,
        }
        if kind.startswith("average"):
            only(call, padding="valid")
        return reader.add(call.name, kind, inputs, config)

    return read


def global_pool_reader(kind: str) -> Callable[..., str]:
    """Pooling over everything is pooling with one window, then a vector."""

    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        only(call, data_format="channels_last")
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


def _dot(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    """The scalar product of two vectors: their product, and a sum of it as a Dense of ones."""
    only(call, normalize=False)
    if len(call.output_shapes[0]) != 1 or {len(shape) for shape in call.input_shapes} != {1}:
        raise ConversionError(
            f"layer {call.name!r} is a Dot of the shapes {', '.join(map(str, call.input_shapes))}; only two vectors are "
            "supported: use Dense per step, Multiply and GlobalAveragePooling1D"
        )
    product = reader.add(f"{call.name}_product", "multiply", inputs)
    ones = np.ones((int(call.input_shapes[0][0]), 1), np.float32)
    return reader.add(call.name, "dense", (product,), {}, {"kernel": ones})


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
        only(call, **expected)
        return reader.add(
            call.name, kind, inputs, {option: _plain_value(getattr(call.layer, option)) for option in options}
        )

    return read


def _plain_value(value: Any) -> Any:
    return [_plain_value(one) for one in value] if isinstance(value, tuple | list) else value


def _list(value: Any, rank: int) -> list[int]:
    return [int(value)] * rank if isinstance(value, int) else [int(n) for n in value]


def _reshape(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    if not call.output_shapes[0]:
        raise ConversionError(
            f"layer {call.name!r} leaves no axis but that of the samples; leave it out: an output is a vector, also of one value"
        )
    return reader.add(call.name, "reshape", inputs, {"target_shape": [int(n) for n in call.output_shapes[0]]})


def _flatten(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    only(call, data_format="channels_last")
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
            only(call, data_format="channels_last", interpolation="nearest")
        return reader.add(call.name, f"upsampling{rank}d", inputs, {"size": _list(call.layer.size, rank)})

    return read


def check_recurrent(call: Call) -> None:
    """Refuse a GRU or an LSTM that is computed otherwise than hls4ml does."""
    layer = call.layer
    from_zero(call)
    only(call, **({"reset_after": True} if isinstance(layer, layers.GRU) else {}))
    for option, function in (("activation", activations.tanh), ("recurrent_activation", activations.sigmoid)):
        if getattr(layer, option) is not function:
            given = getattr(getattr(layer, option), "__name__", None) or short(getattr(layer, option))
            raise ConversionError(
                f"layer {call.name!r} has {option}={given!r}; only {option}={function.__name__!r} is supported"
            )


def _recurrent(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    """A GRU or an LSTM that starts from zero."""
    layer = call.layer
    check_recurrent(call)
    if layer.go_backwards:
        inputs = (_backwards(reader, call, inputs[0]),)
    kind = "gru" if isinstance(layer, layers.GRU) else "lstm"
    names = ("kernel", "recurrent_kernel", *(["bias"] if layer.use_bias else []))
    weights = {name: array(getattr(layer.cell, name)) for name in names}
    return reader.add(call.name, kind, inputs, {"return_sequences": bool(layer.return_sequences)}, weights)


def _backwards(reader: Reader, call: Call, source: str) -> str:
    """A sequence from its last step to its first: every step cut out, and joined the other way round."""
    steps = int(call.input_shapes[0][0])
    if steps > MOST_UNROLLED:
        raise ConversionError(
            f"layer {call.name!r} goes backwards over {steps} steps; a sequence of up to {MOST_UNROLLED} is turned round: turn "
            "round the data, or use one direction"
        )
    if steps == 1:
        return source
    cut = [
        reader.add(
            f"{call.name}_from_{step}", "cropping1d", (source,), {"cropping": [step, steps - 1 - step]}
        )
        for step in reversed(range(steps))
    ]
    return _chain(
        reader, f"{call.name}_turned", "concatenate", tuple(cut), {"axis": 1}, f"{call.name}_backwards"
    )


_MERGES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "concat": ("concatenate", {"axis": -1}),
    "sum": ("add", {}),
    "mul": ("multiply", {}),
    "ave": ("average", {}),
}


def bidirectional_reader(readers: Mapping[type, LayerReader]) -> LayerReader:
    """What reads two recurrent layers of some classes, one of the sequence turned round, and what joins them."""

    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        layer, ends = call.layer, []
        from_zero(call)
        for side, inner in (("forward", layer.forward_layer), ("backward", layer.backward_layer)):
            inside = readers.get(type(inner))
            if inside is None:
                raise ConversionError(
                    f"layer {call.name!r} is a {type(layer).__name__} {type(inner).__name__}; supported are "
                    f"{', '.join(each.__name__ for each in readers)}"
                )
            refuse_unexpected(inner, f"{call.name}_{side}")
            own = replace(call, layer=inner, name=f"{call.name}_{side}", outputs=())
            end = inside(reader, own, inputs)
            if side == "backward" and inner.return_sequences:
                end = _backwards(reader, replace(own, name=f"{own.name}_again"), end)
            ends.append(end)
        kind, config = _MERGES[layer.merge_mode]
        return reader.add(call.name, kind, tuple(ends), config)

    return read


def from_zero(call: Call) -> None:
    """Refuse a recurrent layer that keeps its state, or gives it away."""
    only(call, stateful=False, return_state=False)


def _simple_rnn(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    """Every step a layer of its own: a product with the step, one with the state before it, their sum, the activation."""
    layer = call.layer
    from_zero(call)
    steps, units = int(call.input_shapes[0][0]), int(layer.units)
    if steps > MOST_UNROLLED:
        raise ConversionError(
            f"layer {call.name!r} is a SimpleRNN of {steps} steps, of which hls4ml 1.3 has no C++; up to {MOST_UNROLLED} "
            "steps are unrolled: use GRU"
        )
    weights = {"kernel": array(layer.cell.kernel)}
    if layer.use_bias:
        weights["bias"] = array(layer.cell.bias)
    given = reader.add(f"{call.name}_steps", "dense", inputs, {}, weights)
    inside = replace(call, outputs=())  # not the end of the network, whatever its activation
    states: list[str] = []
    for step in in_order(layer, steps):
        own = f"{call.name}_{step + 1}"
        total = one_step(reader, own, given, step, steps, units)
        if states:
            recurrent = {"kernel": array(layer.cell.recurrent_kernel)}
            before = reader.add(f"{own}_of_state", "dense", (states[-1],), {}, recurrent)
            total = reader.add(f"{own}_sum", "add", (total, before))
        states.append(reader.activated(layer.activation, total, replace(inside, name=own)))
    return sequence_of(reader, call, states)


def in_order(layer: Any, steps: int) -> Sequence[int]:
    """The numbers of a recurrent layer's steps, in the order in which it takes them."""
    return range(steps)[::-1] if layer.go_backwards else range(steps)


def one_step(reader: Reader, name: str, source: str, step: int, steps: int, size: int) -> str:
    """One step of a sequence as a vector of `size` values."""
    if steps > 1:
        source = reader.add(f"{name}_step", "cropping1d", (source,), {"cropping": [step, steps - 1 - step]})
    return reader.add(f"{name}_of_input", "reshape", (source,), {"target_shape": [size]})


def sequence_of(reader: Reader, call: Call, states: list[str]) -> str:
    """What a recurrent layer puts out: its last state, or all of them as a sequence."""
    if not call.layer.return_sequences:
        return states[-1]
    units = int(call.layer.units)
    rows = [
        reader.add(f"{call.name}_{number}_row", "reshape", (state,), {"target_shape": [1, units]})
        for number, state in enumerate(states, 1)
    ]
    return _chain(reader, f"{call.name}_rows", "concatenate", tuple(rows), {"axis": 1}, call.name)


ONE_WAY: Mapping[type, LayerReader] = {
    layers.GRU: _recurrent,
    layers.LSTM: _recurrent,
    layers.SimpleRNN: _simple_rnn,
}

NOTHING: tuple[type, ...] = (
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


def _by_row(row: LayerKind, name: str) -> LayerReader:
    """What reads a class as its row says: a layer of several tensors, pooling, or the options of the row."""
    if row.many:
        return _many(row.kind)
    if "pool_size" in row.options:
        return (global_pool_reader if name.startswith("Global") else pool_reader)(row.kind)
    return _plain(row.kind, *row.options, data_format="channels_last")


CLASSES: Mapping[type, LayerReader] = {
    **{getattr(layers, name): _by_row(row, name) for row in LAYERS for name in row.keras},
    layers.InputLayer: _input,
    TakeInput: _input,
    layers.Dense: read_dense,
    layers.Conv1D: conv_reader("conv1d"),
    layers.Conv2D: conv_reader("conv2d"),
    layers.DepthwiseConv1D: conv_reader("depthwise_conv1d"),
    layers.DepthwiseConv2D: conv_reader("depthwise_conv2d"),
    layers.SeparableConv1D: separable_reader(1),
    layers.SeparableConv2D: separable_reader(2),
    layers.EinsumDense: _einsum,
    layers.TimeDistributed: _time_distributed,
    layers.BatchNormalization: _batch_norm,
    layers.Normalization: _normalization,
    layers.Rescaling: _rescaling,
    layers.Activation: _activation,
    layers.Softmax: _softmax,
    layers.ReLU: _relu,
    layers.PReLU: _prelu,
    layers.Embedding: _embedding,
    layers.Dot: _dot,
    **ONE_WAY,
    layers.Bidirectional: bidirectional_reader(ONE_WAY),
    layers.Flatten: _flatten,
    layers.Reshape: _reshape,
    layers.RepeatVector: _repeat,
    layers.UpSampling1D: _upsampling(1),
    layers.UpSampling2D: _upsampling(2),
}
"""How each class of Keras is read: those that are not named here as their row says."""


def _operation(kind: str, **options: str) -> Callable[..., str]:
    """An operation without parameters, or with those of the operation's own that `options` name."""

    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        config = {option: float(getattr(call.layer, name)) for option, name in options.items()}
        return reader.add(call.name, kind, inputs, config)

    return read


def _function(function: Any) -> Callable[..., str]:
    """An operation that is one of Keras' activations."""
    return lambda reader, call, inputs: reader.activated(function, inputs[0], call, alone=True)


def _transpose(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
    axes = call.layer.axes
    rank = len(call.output_shapes[0]) + 1
    axes = tuple(range(rank))[::-1] if axes is None else tuple(axis % rank for axis in axes)
    if axes[0] != 0:
        raise ConversionError(
            f"layer {call.name!r} transposes the samples themselves, axes={axes}; leave axis 0"
        )
    return reader.add(call.name, "permute", inputs, {"dims": list(axes[1:])})


OPERATIONS: Mapping[str, Callable[..., str]] = {
    "Relu": _operation("relu"),
    "Tanh": _operation("tanh"),
    "Softplus": _operation("softplus"),
    "Softsign": _operation("softsign"),
    "Selu": _operation("selu"),
    "Softmax": _softmax,
    "Sigmoid": _function(activations.sigmoid),
    "Silu": _function(activations.silu),
    "HardSilu": _function(activations.hard_silu),
    "Relu6": _function(activations.relu6),
    "HardSigmoid": _function(activations.hard_sigmoid),
    "HardTanh": _function(activations.hard_tanh),
    "LeakyRelu": _operation("leaky_relu", negative_slope="negative_slope"),
    "Elu": _operation("elu", alpha="alpha"),
    "Add": _many("add"),
    "Subtract": _many("subtract"),
    "Multiply": _many("multiply"),
    "Maximum": _many("maximum"),
    "Minimum": _many("minimum"),
    "Concatenate": _many("concatenate"),
    "Reshape": _reshape,
    "Squeeze": _reshape,
    "ExpandDims": _reshape,
    "Transpose": _transpose,
}
"""What ``keras.ops`` and operators between tensors put into a graph."""
