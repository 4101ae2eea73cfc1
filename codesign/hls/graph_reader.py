"""Reading a converted hls4ml `ModelGraph` into the values of `codesign.hls.graph`.

Everything is read as the C++ compiler will see it: a type is looked up by its *name* among the typedefs that
hls4ml writes (layers may share a name, then the first definition counts), softmax parameters are taken from
the generated configuration, and weights from the array that is printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.core.layers import HLS4ML_NODES
from codesign.errors import ConversionError, SettingsError
from codesign.hls.graph import Graph, Node, printed_weights

if TYPE_CHECKING:
    from hls4ml.model import ModelGraph
    from hls4ml.model.layers import Layer

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
RECURRENT_ACTIVATIONS = ("relu", "sigmoid", "tanh")
_REASONS: Mapping[str, str] = {
    "SimpleRNN": "hls4ml reads it, but has no C++ for it; use GRU or LSTM",
    "TimeDistributed": "hls4ml's Keras 3 reader does not read its inner layer; put the layer there itself",
}
PRODUCTS = ("mult", "weight_binary", "weight_ternary")
STRATEGIES = ("latency", "resource", "resource_unrolled")

_CONVOLUTIONS = tuple(kind for kind in dict.fromkeys(HLS4ML_NODES.values()) if "conv" in kind)
_RECURRENT = ("lstm", "gru")
_DIRECTIONS = ("forward", "backward")
_COMMON = ("strategy", "reuse_factor")
_WINDOW = (
    "data_format",
    *(f"{name}_{side}" for name in ("filt", "stride", "in", "out") for side in ("height", "width")),
)
_PADS = ("pad_top", "pad_bottom", "pad_left", "pad_right")
_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "dense": (*_COMMON, "n_in", "n_out"),
    "conv": (*_COMMON, *_WINDOW, *_PADS, "n_chan", "n_filt", "dilation", "dilation_height", "dilation_width",
             "depth_multiplier", "implementation"),
    "batch_normalization": ("reuse_factor", "n_in", "n_filt"),
    "activation": ("activation", "table_size"),
    "parametrized_activation": ("activation", "activ_param", "table_size"),
    "prelu": ("activation",),
    "hard_activation": ("activation", "slope", "shift"),
    "pooling": (*_WINDOW, *_PADS, "n_in", "n_out", "n_filt", "pool_height", "pool_width", "pool_op",
                "count_pad", "implementation"),
    "zero_padding": ("data_format", *_PADS, "in_height", "in_width", "out_height", "out_width", "n_chan"),
    "cropping": ("data_format", "crop_top", "crop_left"),
    "resize": ("data_format",),
    "recurrent": (*_COMMON, "recurrent_reuse_factor", "activation", "recurrent_activation", "return_sequences", "table_size"),
    "bidirectional": (
        *_COMMON, "return_sequences", "table_size",
        *(f"{direction}_{name}" for direction in _DIRECTIONS
          for name in ("class_name", "n_states", "activation", "recurrent_activation", "reuse_factor",
                       "recurrent_reuse_factor")),
    ),
    "einsum_dense": (*_COMMON, "n_free_data", "inp_shape", "out_interpert_shape", "inp_tpose_idxs", "out_tpose_idxs"),
    "merge": ("op",),
    "concatenate": ("op", "axis"),
    "transpose": ("perm",),
}  # fmt: skip
_TYPES: Mapping[str, tuple[str, ...]] = {
    "dense": ("accum",),
    "conv": ("accum",),
    "pooling": ("accum",),
    "activation": ("table",),
    "parametrized_activation": ("param", "table"),
    "hard_activation": ("slope", "shift"),
    "recurrent": ("accum", "table"),
    "bidirectional": ("accum", "table"),
    "einsum_dense": ("accum",),
}
_SOFTMAX_TYPES = ("exp_table", "inv_table", "accum", "inv_inp", "inp_norm")
_SOFTMAX_SIZES = (
    "n_in",
    "n_slice",
    "n_outer",
    "n_inner",
    "exp_table_size",
    "inv_table_size",
    "axis",
)


def read(hls_model: ModelGraph) -> Graph:
    """Do the work of `codesign.hls.graph.read_graph`."""
    layers = list(hls_model.get_layers())
    strategies = {layer.name: layer.get_attr("strategy") for layer in layers}
    hls_model = getattr(hls_model, "codesign_with_weights", hls_model)  # see convert.py
    layers = list(hls_model.get_layers())
    _refuse_unsupported(layers)
    backend = str(hls_model.config.get_config_value("Backend"))
    if backend not in ("Vitis", "Vivado"):
        raise ConversionError(f"the graph was converted for {backend}; only Vitis and Vivado are supported")
    reader = _NodeReader(layers)
    nodes = tuple(_built_as(reader.node(layer), strategies.get(layer.name)) for layer in layers)
    return Graph(
        nodes=nodes,
        inputs=tuple(reader.producer[name] for name in hls_model.inputs),
        outputs=tuple(reader.producer[name] for name in hls_model.outputs),
        io_type=hls_model.config.get_config_value("IOType"),
        backend=backend,
    )


def _built_as(node: Node, strategy: str | None) -> Node:
    """Name the strategy that a layer is built with, where it was read from a twin with another one."""
    if strategy != "distributed_arithmetic":
        return node
    return replace(node, attributes={**node.attributes, "strategy": strategy})


def _refuse_unsupported(layers: Iterable[Layer]) -> None:
    """Raise `ConversionError` that names everything which cannot be reproduced exactly."""
    faults = [fault for layer in layers for fault in _faults(layer)]
    if faults:
        supported = ", ".join(sorted(set(HLS4ML_NODES) - {"Input"}))
        raise ConversionError(
            "the graph has parts that are not supported:\n  - " + "\n  - ".join(faults)
            + f"\nsupported layers: {supported}; activations: {', '.join(ACTIVATIONS)}"
        )  # fmt: skip


def _faults(layer: Layer) -> Iterable[str]:
    kind = HLS4ML_NODES.get(layer.class_name)
    where = f"{layer.name} ({layer.class_name})"
    if kind is None:
        yield f"{where}: {_REASONS.get(layer.class_name, 'the layer is not supported')}"
        return
    activation = layer.get_attr("activation")
    if kind == "activation" and activation not in ACTIVATIONS:
        yield f"{where}: activation {activation!r} is read by hls4ml, but its C++ has no such function"
    if activation == "relu6" and layer.model.config.get_config_value("IOType") == "io_stream":
        yield f"{where}: hls4ml's C++ has relu6 for io_parallel only"
    strategy = layer.get_attr("strategy")
    if strategy is not None and strategy not in STRATEGIES:
        yield f"{where}: strategy {strategy!r} is not supported; use one of {', '.join(STRATEGIES)}"
    if layer.get_attr("data_format") == "channels_first":
        yield f"{where}: data format channels_first is not supported; use channels_last"
    product = _product(layer)
    if product not in PRODUCTS:
        yield f"{where}: products of kind {product!r} are not supported; use fixed-point weights and inputs"
    if kind in _CONVOLUTIONS:
        yield from (f"{where}: {fault}" for fault in _convolution_faults(layer, kind))
    if kind in _RECURRENT:
        yield from (f"{where}: {fault}" for fault in _recurrent_faults(layer))
    if kind == "bidirectional":
        yield from (f"{where}: {fault}" for fault in _bidirectional_faults(layer))
    if kind == "embedding" and layer.model.config.get_config_value("IOType") == "io_stream":
        source = layer.get_input_node().class_name
        if len(layer.get_input_variable().shape) != 1 or source not in ("Input", "Clone"):
            yield f"{where}: with io_stream hls4ml's C++ reads one word of its input; give it one axis, or use io_parallel"
    if kind == "resize":
        yield from (f"{where}: {fault}" for fault in _resize_faults(layer))
    if kind in ("pooling_1d", "pooling_2d") and layer.model.config.get_config_value("IOType") == "io_stream":
        yield from (f"{where}: {fault}" for fault in _stream_pooling_faults(layer))


def _convolution_faults(layer: Layer, kind: str) -> Iterable[str]:
    """Name what hls4ml converts, but its C++ cannot compute."""
    parallel = layer.model.config.get_config_value("IOType") == "io_parallel"
    window = tuple(int(layer.get_attr(f"filt_{side}", 1)) for side in ("height", "width"))[-int(kind[-2]) :]
    channels, filters = int(layer.get_attr("n_chan")), int(layer.get_attr("n_filt"))
    for side, ends in (("height", ("top", "bottom")), ("width", ("left", "right"))):
        if layer.get_attr(f"filt_{side}") is None:
            continue
        size, filt, stride, out = (
            int(layer.get_attr(f"{name}_{side}")) for name in ("in", "filt", "stride", "out")
        )
        places = (size + sum(int(layer.get_attr(f"pad_{end}", 0)) for end in ends) - filt) // stride + 1
        if places != out:
            yield f"its output {side} is {out}, not {places}; dilated convolutions are not supported"
    if "depthwise" in kind:
        if filters != channels:
            yield f"hls4ml's C++ computes a depth multiplier of 1 only, not {filters // channels}"
        elif parallel and layer.get_attr("strategy") != "latency":
            yield "hls4ml has no depthwise convolution of resource strategy for io_parallel; use latency"
        return
    shape = _kernel(layer, "weight").shape
    if shape != (*window, channels, filters):
        yield f"its kernel is {shape}, not {(*window, channels, filters)}; grouped convolutions are not supported"


def _gate_faults(layer: Layer, prefix: str) -> Iterable[str]:
    for name in (f"{prefix}activation", f"{prefix}recurrent_activation"):
        if layer.get_attr(name) not in RECURRENT_ACTIVATIONS:
            yield (
                f"{name} {layer.get_attr(name)!r} has no C++ in hls4ml; use one of {', '.join(RECURRENT_ACTIVATIONS)}"
            )
    if layer.get_attr(f"{prefix}apply_reset_gate", "after") == "before":
        yield "hls4ml's C++ applies the reset gate after the product; set reset_after=True"
    products = set(
        re.findall(r"using product = nnet::product::(\w+)<", str(layer.get_attr("config_cpp", "")))
    )
    if products - {"mult"}:
        yield f"products of kind {', '.join(sorted(products - {'mult'}))} are not supported in recurrent layers"


def _bidirectional_faults(layer: Layer) -> Iterable[str]:
    if layer.model.config.get_config_value("IOType") == "io_stream":
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


def _stream_pooling_faults(layer: Layer) -> Iterable[str]:
    sides = [side for side in ("height", "width") if layer.get_attr(f"pool_{side}") is not None]
    if any(layer.get_attr(f"pool_{side}") != layer.get_attr(f"stride_{side}") for side in sides):
        yield "with io_stream the stride of pooling must equal the pool"
    if any(layer.get_attr(pad, 0) for pad in _PADS):
        yield "with io_stream pooling cannot pad; choose padding='valid' or a size that the pool divides"


class _NodeReader:
    """Names of tensors and types that nodes refer to."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.producer: dict[str, str] = {}
        self.precisions: dict[str, Any] = {}
        for layer in layers:
            self.producer.update({output: layer.name for output in layer.outputs})
            for named in layer.types.values():
                self.precisions.setdefault(named.name, named.precision)

    def node(self, layer: Layer) -> Node:
        kind = HLS4ML_NODES[layer.class_name]
        family = _family(kind)
        named = {name: layer.get_attr(f"{name}_t").name for name in _TYPES.get(family, ())}
        named["result"] = layer.get_output_variable().type.name
        attributes = {
            name: _plain(layer.get_attr(name))
            for name in _ATTRIBUTES.get(family, ())
            if layer.get_attr(name) is not None
        }
        if kind == "softmax":
            sizes, softmax_types = _softmax_configuration(layer)
            attributes.update(sizes)
            named.update(softmax_types)
        named.update({name: layer.weights[name].type.name for name in layer.weights})
        if layer.weights:
            attributes["product"] = _product(layer)
        if kind in ("dense", *_CONVOLUTIONS) and layer.get_attr("bias_data") is None:
            attributes["without_bias"] = True  # hls4ml puts in zeros of one bit, whatever is configured
        attributes["integer_types"] = sorted(name for name, text in named.items() if self._is_integer(text))
        attributes["inferred"] = _inferred_types(layer, kind, named)
        maximum = layer.model.config.model_precision.get("maximum")
        if maximum is not None and attributes["inferred"]:
            attributes["maximum"] = str(maximum)
        types = {name: self._format(layer, name, text) for name, text in named.items()}
        sources = {name: _kernel(layer, name) for name in layer.weights}
        return Node(
            layer.name,
            kind,
            tuple(self.producer[name] for name in layer.inputs) if kind != "input" else (),
            tuple(layer.get_output_variable().shape),
            attributes,
            types,
            {name: printed_weights(values, types[name]) for name, values in sources.items()},
            sources,
        )

    def _is_integer(self, named: str) -> bool:
        return type(self.precisions.get(named)).__name__ in ("IntegerPrecisionType", "XnorPrecisionType")

    def _format(self, layer: Layer, name: str, named: str) -> FixedPoint:
        precision = self.precisions.get(named)
        where = f"type {name!r} of layer {layer.name}"
        try:
            if precision is None:  # softmax configurations spell some types out
                return FixedPoint.parse(named)
            return FixedPoint(
                precision.width,
                precision.integer,
                precision.signed,
                str(getattr(precision, "rounding_mode", "TRN")),  # type: ignore[arg-type]
                str(getattr(precision, "saturation_mode", "WRAP")),  # type: ignore[arg-type]
                getattr(precision, "saturation_bits", 0),
            )
        except (SettingsError, AttributeError) as error:
            raise ConversionError(
                f"{where} is {precision if precision is not None else named}: {error}; "
                "give the layer an explicit fixed-point precision"
            ) from error


def _inferred_types(layer: Layer, kind: str, named: Mapping[str, str]) -> list[str]:
    """List the types that follow from others: asked for as `auto`, or of a layer that hls4ml put in itself."""
    configured = dict(layer.get_attr("precision") or {})
    found = {name for name, text in configured.items() if text == "auto" and name in named}
    put_in = kind == "zero_padding_1d" or kind == "zero_padding_2d"
    in_place = type(layer.get_output_variable()).__name__.startswith("Inplace")
    if kind == "clone" or in_place or (put_in and not configured):
        found.add("result")
    return sorted(found)


def _family(kind: str) -> str:
    for family in ("conv", "pooling", "zero_padding", "cropping"):
        if family in kind:
            return family
    return "recurrent" if kind in _RECURRENT else kind


def _product(layer: Layer) -> str:
    """How hls4ml multiplies a weight, read from the generated configuration."""
    found = re.search(r"using product = nnet::product::(\w+)<", str(layer.get_attr("config_cpp", "")))
    return found.group(1) if found else "mult"


def _softmax_configuration(layer: Layer) -> tuple[dict[str, Any], dict[str, str]]:
    """Read sizes and type names of a softmax from its C++ configuration; the layer's attributes differ."""
    text = str(layer.get_attr("config_cpp"))
    numbers = dict(re.findall(r"static const unsigned (\w+) = (-?\d+);", text))
    types = {name: target for target, name in re.findall(r"typedef (.+?) (\w+)_t;", text)}
    attributes: dict[str, Any] = {name: int(numbers[name]) for name in _SOFTMAX_SIZES if name in numbers}
    attributes["implementation"] = layer.get_attr("implementation")
    attributes["exp_scale"] = float(layer.get_attr("exp_scale", 1.0))
    named = {name: types[name] for name in _SOFTMAX_TYPES}
    return attributes, named


def _kernel(layer: Layer, name: str) -> np.ndarray:
    """A weight as hls4ml prints it, in Keras' layout."""
    values = np.asarray(layer.weights[name].data, dtype=np.float64)
    if name in ("weight", "recurrent_weight") and layer.get_attr("_weights_transposed", False):
        # the resource strategy stores (F, ...) for its matrix product
        values = np.moveaxis(values, 0, -1)
    return values


def _plain(value: Any) -> Any:
    """Turn NumPy scalars and tuples into JSON values."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
