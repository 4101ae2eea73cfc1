"""One row a kind of node: what each kind of layer of hls4ml's graph is, for every room that has to know.

A `codesign.hls.graph.Graph` is made of these kinds and of nothing else. Which classes of hls4ml's become one, what of them
decides the bits of their C++, what that C++ cannot compute, how reuse factors and types follow: all of it stands in the row.
How a node computes stands in `codesign.emulation.layers` and, on purpose once more, in `codesign.rtl.layers`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from codesign.core.shown import Brief

if TYPE_CHECKING:
    from hls4ml.model.layers import Layer

MatrixKind = Literal["dense", "conv"]

ACTIVATIONS = (
    "linear",
    "relu",
    "relu6",
    "sigmoid",
    "tanh",
    "softplus",
    "softsign",
    "elu",
    "selu",
    "binary_tanh",
    "ternary_tanh",
)
"""The functions that hls4ml's C++ has, by its names."""
_RECURRENT_ACTIVATIONS = ("relu", "sigmoid", "tanh")
_DIRECTIONS = ("forward", "backward")
_SIDES = (("height", ("top", "bottom")), ("width", ("left", "right")))
_PADS = tuple(f"pad_{end}" for _, ends in _SIDES for end in ends)


@dataclass(frozen=True)
class NodeKind(Brief):
    """A kind of node.

    Parameters
    ----------
    kind
        Its name in a `Graph`, in hls4ml's words and snake case.
    classes
        The classes of hls4ml's graph that become it.
    attributes
        Those of hls4ml's attributes that decide what its C++ computes.
    types
        Its named types besides the result's and those of its weights.
    from_cpp
        Reads attributes, and types by their names, that its C++ configuration alone has.
    faults
        Names what hls4ml converts, but its C++ does not compute.
    matrix
        Of a layer that multiplies by one matrix, at one place or many: whose rules its reuse factor follows.
    per_channel
        Whether each channel has a kernel of its own.
    recurrent
        Whether it carries a state from step to step, with two matrices that share its reuse factor.
    moves
        Whether its result has the type of what it reads, where nobody chose another.
    put_in
        Whether hls4ml puts it in itself, with types of its own making.
    """

    kind: str
    classes: tuple[str, ...]
    attributes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    from_cpp: Callable[[Layer], tuple[dict[str, Any], dict[str, str]]] | None = None
    faults: Callable[[Layer], Iterable[str]] | None = None
    matrix: MatrixKind | None = None
    per_channel: bool = False
    recurrent: bool = False
    moves: bool = False
    put_in: bool = False

    @property
    def sums_products(self) -> bool:
        """Whether it adds products with weights and a bias in an accumulator."""
        return self.matrix is not None or self.per_channel


def is_stream(layer: Layer) -> bool:
    """Whether a layer of hls4ml's graph is of an io_stream project."""
    return bool(layer.model.config.get_config_value("IOType") == "io_stream")


def kernel_of(layer: Layer, name: str) -> np.ndarray:
    """A weight as hls4ml prints it, in Keras' layout."""
    values = np.asarray(layer.weights[name].data, dtype=np.float64)
    if name in ("weight", "recurrent_weight") and layer.get_attr("_weights_transposed", False):
        # the resource strategy stores (F, ...) for its matrix product
        values = np.moveaxis(values, 0, -1)
    return values


def _softmax_configuration(layer: Layer) -> tuple[dict[str, Any], dict[str, str]]:
    """Sizes and type names of a softmax from its C++ configuration; the layer's attributes differ."""
    text = str(layer.get_attr("config_cpp"))
    numbers = dict(re.findall(r"static const unsigned (\w+) = (-?\d+);", text))
    types = {name: target for target, name in re.findall(r"typedef (.+?) (\w+)_t;", text)}
    sizes = ("n_in", "n_slice", "n_outer", "n_inner", "exp_table_size", "inv_table_size", "axis")
    attributes: dict[str, Any] = {name: int(numbers[name]) for name in sizes if name in numbers}
    attributes["implementation"] = layer.get_attr("implementation")
    attributes["exp_scale"] = float(layer.get_attr("exp_scale", 1.0))
    return attributes, {
        name: types[name] for name in ("exp_table", "inv_table", "accum", "inv_inp", "inp_norm")
    }


def _activation_faults(layer: Layer) -> Iterable[str]:
    activation = layer.get_attr("activation")
    if activation not in ACTIVATIONS:
        yield f"activation {activation!r} is read by hls4ml, but its C++ has no such function"
    if activation == "relu6" and is_stream(layer):
        yield "hls4ml's C++ has relu6 for io_parallel only"


def _places(layer: Layer) -> Iterable[str]:
    """Name sides whose sizes do not follow from the window."""
    for side, ends in _SIDES:
        if layer.get_attr(f"filt_{side}") is None:
            continue
        size, filt, stride, out = (
            int(layer.get_attr(f"{name}_{side}")) for name in ("in", "filt", "stride", "out")
        )
        places = (size + sum(int(layer.get_attr(f"pad_{end}", 0)) for end in ends) - filt) // stride + 1
        if places != out:
            yield f"its output {side} is {out}, not {places}; dilated convolutions are not supported"


def _convolution_faults(layer: Layer) -> Iterable[str]:
    yield from _places(layer)
    shape = kernel_of(layer, "weight").shape
    window = [int(layer.get_attr(f"filt_{side}", 1)) for side, _ in _SIDES][-(len(shape) - 2) :]
    ours = (*window, int(layer.get_attr("n_chan")), int(layer.get_attr("n_filt")))
    if shape != ours:
        yield f"its kernel is {shape}, not {ours}; grouped convolutions are not supported"


def _depthwise_faults(layer: Layer) -> Iterable[str]:
    yield from _places(layer)
    channels, filters = int(layer.get_attr("n_chan")), int(layer.get_attr("n_filt"))
    if filters != channels:
        yield f"hls4ml's C++ computes a depth multiplier of 1 only, not {filters // channels}"
    elif not is_stream(layer) and layer.get_attr("strategy") != "latency":
        yield "hls4ml has no depthwise convolution of resource strategy for io_parallel; use latency"


def _embedding_faults(layer: Layer) -> Iterable[str]:
    source = layer.get_input_node().class_name
    if is_stream(layer) and (len(layer.get_input_variable().shape) != 1 or source not in ("Input", "Clone")):
        yield "with io_stream hls4ml's C++ reads one word of its input; give it one axis, or use io_parallel"


def _gate_faults(layer: Layer, prefix: str) -> Iterable[str]:
    for name in (f"{prefix}activation", f"{prefix}recurrent_activation"):
        if layer.get_attr(name) not in _RECURRENT_ACTIVATIONS:
            yield (
                f"{name} {layer.get_attr(name)!r} has no C++ in hls4ml; use one of {', '.join(_RECURRENT_ACTIVATIONS)}"
            )
    if layer.get_attr(f"{prefix}apply_reset_gate", "after") == "before":
        yield "hls4ml's C++ applies the reset gate after the product; set reset_after=True"
    products = set(
        re.findall(r"using product = nnet::product::(\w+)<", str(layer.get_attr("config_cpp", "")))
    )
    if products - {"mult"}:
        yield f"products of kind {', '.join(sorted(products - {'mult'}))} are not supported in recurrent layers"


def _bidirectional_faults(layer: Layer) -> Iterable[str]:
    if is_stream(layer):
        yield "hls4ml has C++ of it for io_parallel only"
    if layer.get_attr("merge_mode") != "concat":
        yield f"hls4ml's C++ sets both directions side by side; use merge_mode='concat', not {layer.get_attr('merge_mode')!r}"
    if not layer.get_attr("static"):
        yield "only the static form is supported"
    if layer.get_attr("strategy") != "latency":
        yield "hls4ml gives its matrices reuse factors of other ones; use the strategy latency"
    for direction in _DIRECTIONS:
        if layer.get_attr(f"{direction}_class_name") not in ("LSTM", "GRU"):
            yield f"{layer.get_attr(f'{direction}_class_name')} has no C++ in hls4ml; use GRU or LSTM"
            continue
        yield from _gate_faults(layer, f"{direction}_")


def _recurrent_faults(layer: Layer) -> Iterable[str]:
    """Name what hls4ml's C++ of recurrent layers does not compute, or does not compile."""
    if len(layer.inputs) > 1:
        yield "initial states are not supported; let the layer start from zero"
    yield from _gate_faults(layer, "")
    types = {
        "input": layer.get_input_variable().type.precision,
        "accum": layer.get_attr("accum_t").precision,
        "result": layer.get_output_variable().type.precision,
    }
    if layer.class_name == "LSTM" and len({str(precision) for precision in types.values()}) > 1:
        listed = ", ".join(f"{name} {precision}" for name, precision in types.items())
        yield f"hls4ml's LSTM compiles only where input, accumulator and result have one type, not {listed}; use GRU or one type"
    if layer.get_attr("strategy") == "resource_unrolled":
        yield "the strategy resource_unrolled is not supported for recurrent layers; use latency or resource"


def _resize_faults(layer: Layer) -> Iterable[str]:
    if layer.get_attr("algorithm", "nearest") != "nearest":
        yield f"resizing by {layer.get_attr('algorithm')!r} has no C++ in hls4ml; use nearest"


def _pooling_faults(layer: Layer) -> Iterable[str]:
    if not is_stream(layer):
        return
    sides = [side for side in ("height", "width") if layer.get_attr(f"pool_{side}") is not None]
    if any(layer.get_attr(f"pool_{side}") != layer.get_attr(f"stride_{side}") for side in sides):
        yield "with io_stream the stride of pooling must equal the pool"
    if any(layer.get_attr(pad, 0) for pad in _PADS):
        yield "with io_stream pooling cannot pad; choose padding='valid' or a size that the pool divides"


_BUILT = ("strategy", "reuse_factor")
_WINDOW = (
    "data_format",
    *(f"{name}_{side}" for name in ("filt", "stride", "in", "out") for side in ("height", "width")),
    *_PADS,
)
_CONV = (*_BUILT, *_WINDOW, "n_chan", "n_filt", "dilation", "dilation_height", "dilation_width", "depth_multiplier",
         "implementation")  # fmt: skip
_POOL = (*_WINDOW, "n_in", "n_out", "n_filt", "pool_height", "pool_width", "pool_op", "count_pad",
         "implementation")  # fmt: skip
_PADDED = ("data_format", *_PADS, "in_height", "in_width", "out_height", "out_width", "n_chan")
_CROPPED = ("data_format", "crop_top", "crop_left")
_GATES = (*_BUILT, "recurrent_reuse_factor", "activation", "recurrent_activation", "return_sequences",
          "table_size")  # fmt: skip
_BOTH_GATES = (
    *_BUILT, "return_sequences", "table_size",
    *(f"{direction}_{name}" for direction in _DIRECTIONS for name in
      ("class_name", "n_states", "activation", "recurrent_activation", "reuse_factor", "recurrent_reuse_factor")),
)  # fmt: skip
_EINSUM = (*_BUILT, "n_free_data", "inp_shape", "out_interpert_shape", "inp_tpose_idxs", "out_tpose_idxs")

NODES: tuple[NodeKind, ...] = (
    NodeKind("input", ("Input",)),
    # multiplied by constants
    NodeKind("dense", ("Dense",), (*_BUILT, "n_in", "n_out"), ("accum",), matrix="dense"),
    NodeKind("conv_1d", ("Conv1D", "PointwiseConv1D"), _CONV, ("accum",), faults=_convolution_faults, matrix="conv"),
    NodeKind("conv_2d", ("Conv2D", "Conv2DBatchnorm", "PointwiseConv2D"), _CONV, ("accum",), faults=_convolution_faults,
             matrix="conv"),
    NodeKind("depthwise_conv_1d", ("DepthwiseConv1D",), _CONV, ("accum",), faults=_depthwise_faults, per_channel=True),
    NodeKind("depthwise_conv_2d", ("DepthwiseConv2D",), _CONV, ("accum",), faults=_depthwise_faults, per_channel=True),
    NodeKind("batch_normalization", ("BatchNormalization", "ApplyAlpha"), ("reuse_factor", "n_in", "n_filt")),
    NodeKind("einsum_dense", ("EinsumDense",), _EINSUM, ("accum",)),
    # functions of one value
    NodeKind("activation", ("Activation", "TernaryTanh"), ("activation", "table_size"), ("table",), faults=_activation_faults),
    NodeKind("parametrized_activation", ("ParametrizedActivation",), ("activation", "activ_param", "table_size"),
             ("param", "table")),
    NodeKind("prelu", ("PReLU",), ("activation",)),
    NodeKind("hard_activation", ("HardActivation",), ("activation", "slope", "shift"), ("slope", "shift")),
    NodeKind("softmax", ("Softmax",), from_cpp=_softmax_configuration),
    NodeKind("embedding", ("Embedding",), faults=_embedding_faults),
    # a state from step to step
    NodeKind("lstm", ("LSTM",), _GATES, ("accum", "table"), faults=_recurrent_faults, recurrent=True),
    NodeKind("gru", ("GRU",), _GATES, ("accum", "table"), faults=_recurrent_faults, recurrent=True),
    NodeKind("bidirectional", ("Bidirectional",), _BOTH_GATES, ("accum", "table"), faults=_bidirectional_faults),
    # of several values
    NodeKind("pooling_1d", ("Pooling1D",), _POOL, ("accum",), faults=_pooling_faults),
    NodeKind("pooling_2d", ("Pooling2D",), _POOL, ("accum",), faults=_pooling_faults),
    NodeKind("global_pooling_1d", ("GlobalPooling1D",), _POOL, ("accum",)),
    NodeKind("global_pooling_2d", ("GlobalPooling2D",), _POOL, ("accum",)),
    NodeKind("merge", ("Merge",), ("op",)),
    NodeKind("concatenate", ("Concatenate",), ("op", "axis")),
    # values moved, repeated or dropped
    NodeKind("zero_padding_1d", ("ZeroPadding1D",), _PADDED, moves=True, put_in=True),
    NodeKind("zero_padding_2d", ("ZeroPadding2D",), _PADDED, moves=True, put_in=True),
    NodeKind("cropping_1d", ("Cropping1D",), _CROPPED, moves=True),
    NodeKind("cropping_2d", ("Cropping2D",), _CROPPED, moves=True),
    NodeKind("resize", ("Resize",), ("data_format",), faults=_resize_faults, moves=True),
    NodeKind("reshape", ("Reshape", "Repack"), moves=True),
    NodeKind("transpose", ("Transpose",), ("perm",), moves=True),
    NodeKind("clone", ("Clone",), moves=True, put_in=True),
    NodeKind("broadcast", ("Broadcast",)),
    # put behind the outputs by the open RTL
    NodeKind("decision", ()),
)  # fmt: skip
"""Every kind of node."""

BY_KIND: Mapping[str, NodeKind] = {row.kind: row for row in NODES}
BY_CLASS: Mapping[str, NodeKind] = {name: row for row in NODES for name in row.classes}
"""The rows by the classes of hls4ml's graph; a class that is not here is not computed."""
