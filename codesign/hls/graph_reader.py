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
from codesign.errors import ConversionError, SettingsError
from codesign.hls.graph import Graph, Node, printed_weights
from codesign.hls.nodes import ACTIVATIONS, BY_CLASS, NodeKind, kernel_of

if TYPE_CHECKING:
    from hls4ml.model import ModelGraph
    from hls4ml.model.layers import Layer

_REASONS: Mapping[str, str] = {
    "SimpleRNN": "hls4ml reads it, but has no C++ for it; use GRU or LSTM",
    "TimeDistributed": "hls4ml's Keras 3 reader does not read its inner layer; put the layer there itself",
}
PRODUCTS = ("mult", "weight_binary", "weight_ternary")
STRATEGIES = ("latency", "resource", "resource_unrolled")


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
    faults = [f"{layer.name} ({layer.class_name}): {fault}" for layer in layers for fault in _faults(layer)]
    if faults:
        supported = ", ".join(sorted(set(BY_CLASS) - {"Input"}))
        raise ConversionError(
            "the graph has parts that are not supported:\n  - " + "\n  - ".join(faults)
            + f"\nsupported layers: {supported}; activations: {', '.join(ACTIVATIONS)}"
        )  # fmt: skip


def _faults(layer: Layer) -> Iterable[str]:
    row = BY_CLASS.get(layer.class_name)
    if row is None:
        yield _REASONS.get(layer.class_name, "the layer is not supported")
        return
    strategy = layer.get_attr("strategy")
    if strategy is not None and strategy not in STRATEGIES:
        yield f"strategy {strategy!r} is not supported; use one of {', '.join(STRATEGIES)}"
    if layer.get_attr("data_format") == "channels_first":
        yield "data format channels_first is not supported; use channels_last"
    product = _product(layer)
    if product not in PRODUCTS:
        yield f"products of kind {product!r} are not supported; use fixed-point weights and inputs"
    if row.faults is not None:
        yield from row.faults(layer)


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
        row = BY_CLASS[layer.class_name]
        named = {name: layer.get_attr(f"{name}_t").name for name in row.types}
        named["result"] = layer.get_output_variable().type.name
        attributes = {
            name: _plain(layer.get_attr(name)) for name in row.attributes if layer.get_attr(name) is not None
        }
        if row.from_cpp is not None:
            more, more_named = row.from_cpp(layer)
            attributes.update(more)
            named.update(more_named)
        named.update({name: layer.weights[name].type.name for name in layer.weights})
        if layer.weights:
            attributes["product"] = _product(layer)
        if row.sums_products and layer.get_attr("bias_data") is None:
            attributes["without_bias"] = True  # hls4ml puts in zeros of one bit, whatever is configured
        attributes["integer_types"] = sorted(name for name, text in named.items() if self._is_integer(text))
        attributes["inferred"] = _inferred_types(layer, row, named)
        maximum = layer.model.config.model_precision.get("maximum")
        if maximum is not None and attributes["inferred"]:
            attributes["maximum"] = str(maximum)
        types = {name: self._format(layer, name, text) for name, text in named.items()}
        sources = {name: kernel_of(layer, name) for name in layer.weights}
        return Node(
            layer.name,
            row.kind,
            tuple(self.producer[name] for name in layer.inputs) if row.kind != "input" else (),
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


def _inferred_types(layer: Layer, row: NodeKind, named: Mapping[str, str]) -> list[str]:
    """List the types that follow from others: asked for as `auto`, or of a layer that hls4ml put in itself."""
    configured = dict(layer.get_attr("precision") or {})
    found = {name for name, text in configured.items() if text == "auto" and name in named}
    in_place = type(layer.get_output_variable()).__name__.startswith("Inplace")
    if in_place or (row.put_in and not configured):
        found.add("result")
    return sorted(found)


def _product(layer: Layer) -> str:
    """How hls4ml multiplies a weight, read from the generated configuration."""
    found = re.search(r"using product = nnet::product::(\w+)<", str(layer.get_attr("config_cpp", "")))
    return found.group(1) if found else "mult"


def _plain(value: Any) -> Any:
    """Turn NumPy scalars and tuples into JSON values."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
