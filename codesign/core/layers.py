"""One row a layer: what each kind of layer is, for every room that has to know.

A `Network` is made of these kinds and of nothing else. Reading a Keras model, building one, preparation, sizes, costs,
pruning, the scan, sentences that say what is supported and the table in the docs take what they need from here. The
arithmetic itself stands in `codesign.emulation` and, on purpose once more, in `codesign.rtl`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Shape = tuple[int, ...]
ShapeRule = Callable[[Mapping[str, Any], Mapping[str, Shape], Sequence[Shape]], Shape]
"""`(config, shapes of the weights, shapes of the inputs) -> shape of the output`, all without the batch."""

Role = Literal["input", "product", "point", "wide", "move", "norm"]
Units = Literal["reads", "along", "passes", "mixes", "reshapes", "none"]


@dataclass(frozen=True)
class LayerKind:
    """A kind of layer.

    Parameters
    ----------
    kind
        Its name in a `Network`.
    role
        How number formats pass through it. ``product``: multiplies by constants with formats of their own and sums, its
        result is as wide as its accumulator. ``point``: rounds its output to a format of its own. ``wide``: computes
        values with more bits than it reads, without constants. ``move``: only moves, repeats, drops or chooses values,
        so that its result has the formats of what it reads. ``norm``: folded before there are formats.
    shape
        Its output's shape.
    units
        What removing a neuron or filter before it means. ``reads``: rows of its kernel go. ``along``: it carries every
        unit on with weights of its own, of which the unit's go. ``passes``: nothing but its size. ``mixes``: units of
        several layers meet, which must therefore stay. ``reshapes``: units cannot be followed through it.
    keras, qkeras
        The Keras and QKeras classes that are read as this kind.
    hls4ml
        The classes of hls4ml's graph that it becomes.
    weights
        The names of its arrays, in order; `kernel` is what it multiplies by.
    options
        The keys of its config.
    per_channel
        Whether each channel has a kernel of its own (nothing is summed over channels).
    many
        Whether it reads several tensors.
    signed
        Of a point: whether its output can be negative.
    parameter
        Of a point: whether it multiplies by a slope of a format of its own (the map's `weight`).
    rereads
        Of a point: whether it multiplies what it reads, so that what is wide must be rounded before it too.
    recurrent
        Of a point: whether it carries a state from step to step; all its weights have the map's `weight`.
    inexact
        Whether hls4ml infers no type for its result, or one that does not hold it, so that it must be given one.
    """

    kind: str
    role: Role
    shape: ShapeRule
    units: Units = "none"
    keras: tuple[str, ...] = ()
    qkeras: tuple[str, ...] = ()
    hls4ml: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    per_channel: bool = False
    many: bool = False
    signed: bool = True
    parameter: bool = False
    rereads: bool = False
    recurrent: bool = False
    inexact: bool = False

    @property
    def rounds(self) -> bool:
        """Whether it may read a result that is as wide as an accumulator: all that it does is to round it."""
        return self.role == "point" and not self.rereads

    @property
    def needs_point(self) -> bool:
        """Whether its result must be rounded before anything but a point reads it."""
        return self.role in ("product", "wide")


def _same(config: Mapping[str, Any], weights: Mapping[str, Shape], inputs: Sequence[Shape]) -> Shape:
    return tuple(inputs[0])


def _dense(config: Mapping[str, Any], weights: Mapping[str, Shape], inputs: Sequence[Shape]) -> Shape:
    return (*inputs[0][:-1], weights["kernel"][-1])


def _windows(sizes: Shape, window: Shape, config: Mapping[str, Any]) -> Shape:
    """How many places a window has along each axis."""
    strides = config["strides"]
    if config["padding"] == "same":
        return tuple(-(-size // stride) for size, stride in zip(sizes, strides, strict=True))
    return tuple((n - k) // s + 1 for n, k, s in zip(sizes, window, strides, strict=True))


def _conv(config: Mapping[str, Any], weights: Mapping[str, Shape], inputs: Sequence[Shape]) -> Shape:
    *window, _, filters = weights["kernel"]
    return (*_windows(inputs[0][:-1], tuple(window), config), filters)


def _depthwise(config: Mapping[str, Any], weights: Mapping[str, Shape], inputs: Sequence[Shape]) -> Shape:
    *window, channels, multiplier = weights["kernel"]
    return (*_windows(inputs[0][:-1], tuple(window), config), channels * multiplier)


def _pool(config: Mapping[str, Any], weights: Mapping[str, Shape], inputs: Sequence[Shape]) -> Shape:
    return (*_windows(inputs[0][:-1], tuple(config["pool_size"]), config), inputs[0][-1])


def _pads(value: Any) -> list[tuple[int, int]]:
    """Pairs before and after each axis, as Keras keeps them: `(2, 1)` for one axis, `((1, 1), (0, 2))` for two."""
    return [tuple(pair) for pair in value] if isinstance(value[0], Sequence) else [tuple(value)]


def _padded(sign: int) -> ShapeRule:
    def rule(config: Mapping[str, Any], weights: Mapping[str, Shape], inputs: Sequence[Shape]) -> Shape:
        pairs = _pads(config["padding" if sign > 0 else "cropping"])
        sizes = (n + sign * sum(pair) for n, pair in zip(inputs[0], pairs, strict=False))
        return (*sizes, inputs[0][-1])

    return rule


def _upsampled(config: Mapping[str, Any], weights: Mapping[str, Shape], inputs: Sequence[Shape]) -> Shape:
    return (*(n * factor for n, factor in zip(inputs[0], config["size"], strict=False)), inputs[0][-1])


def _reshaped(config: Mapping[str, Any], weights: Mapping[str, Shape], inputs: Sequence[Shape]) -> Shape:
    target = tuple(config["target_shape"])
    known = math.prod(n for n in target if n != -1)
    return tuple(math.prod(inputs[0]) // known if n == -1 else n for n in target)


def _recurrent(config: Mapping[str, Any], weights: Mapping[str, Shape], inputs: Sequence[Shape]) -> Shape:
    units = weights["recurrent_kernel"][0]
    return (*inputs[0][:-1], units) if config["return_sequences"] else (units,)


def _permuted(config: Mapping[str, Any], weights: Mapping[str, Shape], inputs: Sequence[Shape]) -> Shape:
    return tuple(inputs[0][axis - 1] for axis in config["dims"])


def _concatenated(config: Mapping[str, Any], weights: Mapping[str, Shape], inputs: Sequence[Shape]) -> Shape:
    axis = config.get("axis", -1)
    axis = axis - 1 if axis > 0 else len(inputs[0]) + axis
    shape = list(inputs[0])
    shape[axis] = sum(given[axis] for given in inputs)
    return tuple(shape)


_KERNEL = ("kernel", "bias")
_STRIDED = ("strides", "padding")
_POOL = ("pool_size", *_STRIDED)

LAYERS: tuple[LayerKind, ...] = (
    LayerKind("input", "input", lambda config, weights, inputs: tuple(config["shape"]), keras=("InputLayer",),
              hls4ml=("Input",), options=("shape",)),
    # multiplied by constants
    LayerKind("dense", "product", _dense, "reads", ("Dense",), ("QDense", "QDenseBatchnorm"), ("Dense", "PointwiseConv1D",
              "PointwiseConv2D"), _KERNEL),
    LayerKind("conv1d", "product", _conv, "reads", ("Conv1D",), ("QConv1D",), ("Conv1D",
              "PointwiseConv1D"), _KERNEL, _STRIDED),
    LayerKind("conv2d", "product", _conv, "reads", ("Conv2D",), ("QConv2D", "QConv2DBatchnorm"), ("Conv2D",
              "PointwiseConv2D"), _KERNEL, _STRIDED),
    LayerKind("depthwise_conv1d", "product", _depthwise, "along", ("DepthwiseConv1D",), (),
              ("DepthwiseConv1D",),
              _KERNEL, _STRIDED, per_channel=True),
    LayerKind("depthwise_conv2d", "product", _depthwise, "along", ("DepthwiseConv2D",),
              ("QDepthwiseConv2D", "QDepthwiseConv2DBatchnorm"),
              ("DepthwiseConv2D",), _KERNEL, _STRIDED, per_channel=True),
    LayerKind("scale", "product", _same, "along", ("Rescaling", "Normalization"),
              ("QBatchNormalization",),
              ("BatchNormalization",), _KERNEL, per_channel=True),
    # rounded to a format of their own
    LayerKind("relu", "point", _same, "passes", ("ReLU", "Activation"), ("QActivation",), ("Activation",),
              signed=False),
    LayerKind("linear", "point", _same, "passes", ("Activation",), ("QActivation",), ("Activation",)),
    LayerKind("leaky_relu", "point", _same, "passes", ("LeakyReLU",), (), ("ParametrizedActivation",),
              options=("negative_slope",), parameter=True),
    LayerKind("prelu", "point", _same, "reshapes", ("PReLU",), (), ("PReLU",), ("alpha",), parameter=True),
    LayerKind("elu", "point", _same, "passes", ("ELU", "Activation"), (), ("ParametrizedActivation",),
              options=("alpha",), parameter=True),
    LayerKind("selu", "point", _same, "passes", ("Activation",), (), ("Activation",)),
    LayerKind("tanh", "point", _same, "passes", ("Activation",), (), ("Activation",)),
    LayerKind("sigmoid", "point", _same, "passes", ("Activation",), (), ("Activation",), signed=False),
    LayerKind("softplus", "point", _same, "passes", ("Activation",), (), ("Activation",), signed=False),
    LayerKind("softsign", "point", _same, "passes", ("Activation",), (), ("Activation",)),
    # a state of one format, rounded in each step
    LayerKind("gru", "point", _recurrent, "reshapes", ("GRU",), (), ("GRU",), ("kernel", "recurrent_kernel", "bias"),
              ("return_sequences",), parameter=True, rereads=True, recurrent=True),
    LayerKind("lstm", "point", _recurrent, "reshapes", ("LSTM",), (), ("LSTM",), ("kernel", "recurrent_kernel", "bias"),
              ("return_sequences",), parameter=True, rereads=True, recurrent=True),
    # computed with more bits than they read
    LayerKind("add", "wide", _same, "mixes", ("Add",), (), ("Merge",), many=True),
    LayerKind("subtract", "wide", _same, "mixes", ("Subtract",), (), ("Merge",), many=True),
    LayerKind("multiply", "wide", _same, "mixes", ("Multiply",), (), ("Merge",), many=True),
    LayerKind("average", "wide", _same, "mixes", ("Average",), (), ("Merge",), many=True, inexact=True),
    LayerKind("average_pool1d", "wide", _pool, "passes", ("AveragePooling1D", "GlobalAveragePooling1D"),
              (), ("Pooling1D",),
              options=_POOL, inexact=True),
    LayerKind("average_pool2d", "wide", _pool, "passes", ("AveragePooling2D", "GlobalAveragePooling2D"),
              ("QAveragePooling2D", "QGlobalAveragePooling2D"), ("Pooling2D",), options=_POOL, inexact=True),
    # values moved, repeated, dropped or chosen
    LayerKind("maximum", "move", _same, "mixes", ("Maximum",), (), ("Merge",), many=True),
    LayerKind("minimum", "move", _same, "mixes", ("Minimum",), (), ("Merge",), many=True),
    LayerKind("concatenate", "move", _concatenated, "mixes", ("Concatenate",), (), ("Concatenate",),
              options=("axis",), many=True),
    LayerKind("max_pool1d", "move", _pool, "passes", ("MaxPooling1D", "GlobalMaxPooling1D"), (),
              ("Pooling1D",), options=_POOL),
    LayerKind("max_pool2d", "move", _pool, "passes", ("MaxPooling2D", "GlobalMaxPooling2D"), (),
              ("Pooling2D",), options=_POOL),
    LayerKind("flatten", "move", lambda config, weights, inputs: (math.prod(inputs[0]),), "passes",
              ("Flatten",), (), ("Reshape",)),
    LayerKind("reshape", "move", _reshaped, "reshapes", ("Reshape", "RepeatVector"), (), ("Reshape",),
              options=("target_shape",)),
    LayerKind("permute", "move", _permuted, "reshapes", ("Permute",), (), ("Transpose",), options=("dims",)),
    LayerKind("zero_padding1d", "move", _padded(1), "passes", ("ZeroPadding1D",), (), ("ZeroPadding1D",),
              options=("padding",)),
    LayerKind("zero_padding2d", "move", _padded(1), "passes", ("ZeroPadding2D",), (), ("ZeroPadding2D",),
              options=("padding",)),
    LayerKind("cropping1d", "move", _padded(-1), "passes", ("Cropping1D",), (), ("Cropping1D",), inexact=True,
              options=("cropping",)),
    LayerKind("cropping2d", "move", _padded(-1), "passes", ("Cropping2D",), (), ("Cropping2D",), inexact=True,
              options=("cropping",)),
    LayerKind("upsampling1d", "move", _upsampled, "passes", ("UpSampling1D",), (), ("Resize",),
              options=("size",)),
    LayerKind("upsampling2d", "move", _upsampled, "passes", ("UpSampling2D",), (), ("Resize",),
              options=("size",)),
    # gone before there are number formats
    LayerKind("batch_norm", "norm", _same, "along", ("BatchNormalization",), (),
              ("BatchNormalization",),
              ("gamma", "beta", "mean", "variance"), ("epsilon", "momentum")),
)  # fmt: skip
"""Every kind, in the order of the docs' table."""

BY_KIND: Mapping[str, LayerKind] = {row.kind: row for row in LAYERS}


HLS4ML_NODES: Mapping[str, str] = {
    "Input": "input",
    "Dense": "dense",
    "Conv1D": "conv_1d",
    "Conv2D": "conv_2d",
    "Conv2DBatchnorm": "conv_2d",
    "PointwiseConv1D": "conv_1d",
    "PointwiseConv2D": "conv_2d",
    "DepthwiseConv1D": "depthwise_conv_1d",
    "DepthwiseConv2D": "depthwise_conv_2d",
    "BatchNormalization": "batch_normalization",
    "ApplyAlpha": "batch_normalization",
    "Activation": "activation",
    "TernaryTanh": "activation",
    "ParametrizedActivation": "parametrized_activation",
    "PReLU": "prelu",
    "HardActivation": "hard_activation",
    "Softmax": "softmax",
    "Pooling1D": "pooling_1d",
    "Pooling2D": "pooling_2d",
    "GlobalPooling1D": "global_pooling_1d",
    "GlobalPooling2D": "global_pooling_2d",
    "ZeroPadding1D": "zero_padding_1d",
    "ZeroPadding2D": "zero_padding_2d",
    "Cropping1D": "cropping_1d",
    "Cropping2D": "cropping_2d",
    "Resize": "resize",
    "Merge": "merge",
    "Concatenate": "concatenate",
    "Reshape": "reshape",
    "Repack": "reshape",
    "Clone": "clone",
    "Broadcast": "broadcast",
    "Transpose": "transpose",
    "EinsumDense": "einsum_dense",
    "Embedding": "embedding",
    "LSTM": "lstm",
    "GRU": "gru",
    "Bidirectional": "bidirectional",
}
"""The hls4ml layer classes that are computed here, and the kind of node of `codesign.hls.graph` that each becomes."""


def kinds(*roles: Role) -> tuple[str, ...]:
    """The names of the kinds with one of some roles."""
    return tuple(row.kind for row in LAYERS if row.role in roles)


RECURRENT: tuple[str, ...] = tuple(name for row in LAYERS if row.recurrent for name in row.keras)
"""The Keras classes that carry a state."""


def supported() -> str:
    """The Keras and QKeras layers that are read, for sentences."""
    names = dict.fromkeys(
        name for row in LAYERS for name in (*row.keras, *row.qkeras) if name != "InputLayer"
    )
    return ", ".join(names)


_PASSES: Mapping[Role, str] = {
    "input": "its own format",
    "product": "weights and biases have formats; the result is as wide as its sums",
    "point": "rounds to a format of its own",
    "wide": "more bits than it reads, rounded behind it",
    "move": "the formats of what it reads",
    "norm": "folded, or a scale for each channel",
}
_LEAVES: Mapping[Units, str] = {
    "reads": "rows of its kernel go with a removed neuron",
    "along": "what it has for a removed neuron goes too",
    "passes": "",
    "mixes": "neurons before it stay",
    "reshapes": "neurons before it stay",
    "none": "",
}


def markdown_table() -> str:
    """The table of the docs: a row a kind."""
    lines = [
        "| kind | Keras | QKeras | hls4ml | number formats | structured pruning |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in LAYERS:
        names = (", ".join(names) or "-" for names in (row.keras, row.qkeras, row.hls4ml))
        lines.append(
            f"| `{row.kind}` | {' | '.join(names)} | {_PASSES[row.role]} | {_LEAVES[row.units] or '-'} |"
        )
    return "\n".join(lines) + "\n"
