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

from codesign.core.fixed_point import FixedPoint
from codesign.core.shown import Brief

Shape = tuple[int, ...]
ShapeRule = Callable[[Mapping[str, Any], Mapping[str, Shape], Sequence[Shape]], Shape]
"""`(config, shapes of the weights, shapes of the inputs) -> shape of the output`, all without the batch."""

Role = Literal["input", "product", "point", "wide", "move", "norm"]
Units = Literal["reads", "along", "passes", "mixes", "reshapes", "none"]
Grows = Literal["not", "sum", "product", "mean"]


@dataclass(frozen=True)
class LayerKind(Brief):
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
        Of a point: whether it does more than to round what it reads, so that what is wide must be rounded before it too.
    recurrent
        Of a point: whether it carries a state from step to step; all its weights have the map's `weight`.
    inexact
        Whether hls4ml infers no type for its result, or one that does not hold it, so that it must be given one.
    grows
        Of a wide layer: how the bits of its result follow from those that it reads.
    built
        The class of a float model of it, of Keras or of `codesign.networks.hardware_layers`; by default the first of `keras`.
    student
        The class of this package that computes it in the quantized student; by default QKeras' or Keras' own.
    fused
        Whether hls4ml may compute it inside the layer before it.
    multiplies
        hls4ml's name of the type of what it multiplies by, or looks up.
    table
        Whether its results are entries of a table of hls4ml's, so that nothing is rounded twice.
    inside
        The types inside its C++, by hls4ml's names, of its result's format and the values along its last axis.
    largest
        Whether it takes the largest value of each window, where hls4ml's C++ pads with the highest bit alone.
    streamed
        What hls4ml's C++ does with io_stream that the student does not; empty if it computes the same.
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
    grows: Grows = "not"
    built: str = ""
    student: str = ""
    fused: bool = False
    multiplies: str = "weight"
    table: bool = False
    inside: Callable[[FixedPoint, int], Mapping[str, FixedPoint]] | None = None
    largest: bool = False
    streamed: str = ""

    @property
    def float_class(self) -> str:
        """The name of the class of a float model of it."""
        return self.built or self.keras[0]

    @property
    def matrix(self) -> bool:
        """Whether it multiplies by one matrix that all channels share, at one place or many."""
        return self.role == "product" and not self.per_channel

    @property
    def holds_results(self) -> bool:
        """Whether its result is one of its weights, which have the result's format then."""
        return self.role == "point" and bool(self.weights) and not self.parameter

    @property
    def rounds(self) -> bool:
        """Whether it may read a result that is as wide as an accumulator: all that it does is to round it."""
        return self.role == "point" and not self.rereads

    @property
    def only_rounds(self) -> bool:
        """Whether all that it does, to any value, is to round it: what comes before may then do that in its place."""
        return self.role == "point" and self.fused

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


def _embedded(config: Mapping[str, Any], weights: Mapping[str, Shape], inputs: Sequence[Shape]) -> Shape:
    return (*inputs[0], weights["embeddings"][-1])


def _permuted(config: Mapping[str, Any], weights: Mapping[str, Shape], inputs: Sequence[Shape]) -> Shape:
    return tuple(inputs[0][axis - 1] for axis in config["dims"])


def _concatenated(config: Mapping[str, Any], weights: Mapping[str, Shape], inputs: Sequence[Shape]) -> Shape:
    axis = config.get("axis", -1)
    axis = axis - 1 if axis > 0 else len(inputs[0]) + axis
    shape = list(inputs[0])
    shape[axis] = sum(given[axis] for given in inputs)
    return tuple(shape)


SOFTMAX_ADDRESS = 10
"""Bits that address each of a softmax's tables: hls4ml's 1024 entries."""
_MOST_TABLE_BITS = 20


def softmax_types(result: FixedPoint, n_values: int) -> dict[str, FixedPoint]:
    """The types inside hls4ml's softmax (`stable`): sums without rounding, tables two bits finer than the result.

    Parameters
    ----------
    result
        The format of its output.
    n_values
        How many values are normalised together.

    Returns
    -------
    dict
        By hls4ml's names: of the table of exponentials `exp(-d)`, of their sum and what addresses the table of inverses,
        and of these.
    """
    fraction = min(max(result.fractional_bits + 2, SOFTMAX_ADDRESS - 1), _MOST_TABLE_BITS)
    table = FixedPoint(1 + fraction, 1, False, "RND", "SAT")
    bits = n_values.bit_length()
    total = FixedPoint(max(bits + fraction, SOFTMAX_ADDRESS), bits, False, "RND", "SAT")
    return {"exp_table": table, "accum": total, "inv_inp": total, "inv_table": table}


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
              _KERNEL, _STRIDED, per_channel=True, student="DepthwiseConv1D"),
    LayerKind("depthwise_conv2d", "product", _depthwise, "along", ("DepthwiseConv2D",),
              ("QDepthwiseConv2D", "QDepthwiseConv2DBatchnorm"),
              ("DepthwiseConv2D",), _KERNEL, _STRIDED, per_channel=True),
    LayerKind("scale", "product", _same, "along", ("Rescaling", "Normalization"),
              ("QBatchNormalization",),
              ("BatchNormalization",), _KERNEL, per_channel=True, built="Scale", student="Scale", fused=True,
              multiplies="scale"),
    # rounded to a format of their own
    LayerKind("relu", "point", _same, "passes", ("ReLU", "Activation"), ("QActivation",), ("Activation",),
              signed=False, built="Activation"),
    LayerKind("linear", "point", _same, "passes", ("Activation",), ("QActivation",), ("Activation",), fused=True),
    LayerKind("leaky_relu", "point", _same, "passes", ("LeakyReLU",), (), ("ParametrizedActivation",),
              options=("negative_slope",), parameter=True, student="FixedSlope", multiplies="param"),
    LayerKind("prelu", "point", _same, "reshapes", ("PReLU",), (), ("PReLU",), ("alpha",), parameter=True,
              student="FixedSlope", multiplies="param"),
    LayerKind("elu", "point", _same, "passes", ("ELU", "Activation"), (), ("ParametrizedActivation",),
              options=("alpha",), parameter=True, student="FixedLookup", table=True, multiplies="param"),
    LayerKind("selu", "point", _same, "passes", ("Activation",), (), ("Activation",), student="FixedLookup", table=True,
              streamed="multiplies a SELU by a constant of its input's type"),
    LayerKind("tanh", "point", _same, "passes", ("Activation",), (), ("Activation",), student="FixedLookup", table=True),
    LayerKind("sigmoid", "point", _same, "passes", ("Activation",), (), ("Activation",), signed=False,
              student="FixedLookup", table=True),
    LayerKind("softmax", "point", _same, "reshapes", ("Softmax", "Activation"), (), ("Softmax",), signed=False, rereads=True,
              student="FixedSoftmax", inside=softmax_types),
    LayerKind("softplus", "point", _same, "passes", ("Activation",), (), ("Activation",), signed=False,
              student="FixedLookup", table=True),
    LayerKind("softsign", "point", _same, "passes", ("Activation",), (), ("Activation",), student="FixedLookup", table=True),
    LayerKind("embedding", "point", _embedded, "reshapes", ("Embedding",), (), ("Embedding",), ("embeddings",),
              ("input_dim",), rereads=True, student="FixedEmbedding", multiplies="embeddings"),
    # a state of one format, rounded in each step
    LayerKind("gru", "point", _recurrent, "reshapes", ("GRU",), (), ("GRU",), ("kernel", "recurrent_kernel", "bias"),
              ("return_sequences",), parameter=True, rereads=True, recurrent=True, student="FixedGRU"),
    LayerKind("lstm", "point", _recurrent, "reshapes", ("LSTM",), (), ("LSTM",), ("kernel", "recurrent_kernel", "bias"),
              ("return_sequences",), parameter=True, rereads=True, recurrent=True, student="FixedLSTM"),
    # computed with more bits than they read
    LayerKind("add", "wide", _same, "mixes", ("Add",), (), ("Merge",), many=True, grows="sum"),
    LayerKind("subtract", "wide", _same, "mixes", ("Subtract",), (), ("Merge",), many=True, grows="sum"),
    LayerKind("multiply", "wide", _same, "mixes", ("Multiply",), (), ("Merge",), many=True, grows="product"),
    LayerKind("average", "wide", _same, "mixes", ("Average",), (), ("Merge",), many=True, inexact=True, grows="mean"),
    LayerKind("average_pool1d", "wide", _pool, "passes", ("AveragePooling1D", "GlobalAveragePooling1D"),
              (), ("Pooling1D",),
              options=_POOL, inexact=True, grows="mean", student="FixedAverage"),
    LayerKind("average_pool2d", "wide", _pool, "passes", ("AveragePooling2D", "GlobalAveragePooling2D"),
              ("QAveragePooling2D", "QGlobalAveragePooling2D"), ("Pooling2D",), options=_POOL, inexact=True, grows="mean",
              student="FixedAverage"),
    # values moved, repeated, dropped or chosen
    LayerKind("maximum", "move", _same, "mixes", ("Maximum",), (), ("Merge",), many=True),
    LayerKind("minimum", "move", _same, "mixes", ("Minimum",), (), ("Merge",), many=True),
    LayerKind("concatenate", "move", _concatenated, "mixes", ("Concatenate",), (), ("Concatenate",),
              options=("axis",), many=True),
    LayerKind("max_pool1d", "move", _pool, "passes", ("MaxPooling1D", "GlobalMaxPooling1D"), (),
              ("Pooling1D",), options=_POOL, largest=True),
    LayerKind("max_pool2d", "move", _pool, "passes", ("MaxPooling2D", "GlobalMaxPooling2D"), (),
              ("Pooling2D",), options=_POOL, largest=True),
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


def row_of(class_name: str, function: str = "linear") -> LayerKind | None:
    """The row of a layer of a float model by the name of its class, and of its function where that is an `Activation`."""
    if class_name == "Activation":
        return BY_KIND.get(function)
    return next((row for row in LAYERS if row.float_class == class_name), None)


NORMALISATIONS: tuple[str, ...] = tuple(
    name
    for row in LAYERS
    for name in (*row.keras, *row.qkeras)
    if row.role == "norm" or name.endswith("BatchNormalization")
)
"""The Keras and QKeras classes of batch normalisations."""


def is_looked_up(function: str) -> bool:
    """Whether hls4ml looks an activation up in a table, by its name of the function."""
    row = BY_KIND.get(function.lower())
    return row is not None and row.table


def kinds(*roles: Role) -> tuple[str, ...]:
    """The names of the kinds with one of some roles."""
    return tuple(row.kind for row in LAYERS if row.role in roles)


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
