"""The types that hls4ml infers where a configuration says `auto`, so that run-time formats match a conversion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import replace

from codesign.core.fixed_point import FixedPoint
from codesign.errors import ConversionError, SettingsError
from codesign.hls.graph import Graph, Node


def infer_types(graph: Graph, given: Mapping[str, Set[str]]) -> Graph:
    """Infer again what hls4ml had inferred, from the types that a graph has now.

    Parameters
    ----------
    graph
        The graph; its nodes remember which types were inferred.
    given
        Types, by layer, that are set by hand and stay.

    Returns
    -------
    Graph
        The graph with inferred types; a node without changes is the same object.
    """
    nodes: dict[str, Node] = {}
    for node in graph:
        wanted = set(node.attributes["inferred"]) - set(given.get(node.name, ()))
        types = {name: value for name, value in _inferred(node, nodes).items() if name in wanted}
        changed = {name: value for name, value in types.items() if value != node.types[name]}
        nodes[node.name] = node.with_types(changed) if changed else node
    return replace(graph, nodes=tuple(nodes.values()))


def _inferred(node: Node, nodes: Mapping[str, Node]) -> dict[str, FixedPoint]:
    """Apply the rule of a layer's kind."""
    sources = [nodes[name].result for name in node.inputs]
    kind = node.kind
    try:
        if node.row.sums_products:
            exact = _limited(_sum_of_products(node, sources[0]), node)
            return {"accum": exact, "result": exact}
        if kind == "batch_normalization":
            return {"result": _limited(_scaled(node, sources[0]), node)}
        if kind in ("pooling_1d", "pooling_2d"):
            return {"accum": _pooled(node, sources[0]), "result": sources[0]}
        if kind == "merge":
            return {"result": _merged(node, *sources)}
        if kind == "concatenate":
            return {"result": _joined(node, *sources)}
    except SettingsError as error:
        raise ConversionError(
            f"the types inferred for {node.name} are too wide ({error}); give it explicit ones"
        ) from error
    if node.row.moves:
        return {"result": sources[0]}
    if kind == "prelu" or node.attributes.get("activation") == "thresholdedrelu":
        return {"param": sources[0]}
    return {}


def _sum_of_products(node: Node, x: FixedPoint) -> FixedPoint:
    weight, attributes = node.types["weight"], node.attributes
    terms = math.prod(int(attributes.get(name, 1)) for name in ("filt_height", "filt_width"))
    if not node.row.per_channel:
        terms *= int(attributes["n_in"] if node.row.matrix == "dense" else attributes["n_chan"])
    grown = math.ceil(math.log2(terms))
    return _added(
        weight.integer_bits + x.integer_bits + grown,
        weight.fractional_bits + x.fractional_bits,
        weight.signed or x.signed,
        node.types["bias"],
    )


def _scaled(node: Node, x: FixedPoint) -> FixedPoint:
    scale = node.types["scale"]
    integer, fraction = x.integer_bits + scale.integer_bits, x.fractional_bits + scale.fractional_bits
    return _added(integer, fraction, scale.signed or x.signed, node.types["bias"])


def _added(integer: int, fraction: int, signed: bool, other: FixedPoint) -> FixedPoint:
    """The type of the sum of a number with these bits and one of type `other`."""
    bits = (
        max(integer + (other.signed and not signed), other.integer_bits + (signed and not other.signed)) + 1
    )
    return FixedPoint(bits + max(fraction, other.fractional_bits), bits, signed or other.signed)


def _pooled(node: Node, x: FixedPoint) -> FixedPoint:
    if node.attributes["pool_op"] == "Max":
        return x
    size = math.prod(int(node.attributes.get(name, 1)) for name in ("pool_height", "pool_width"))
    extra = math.ceil(math.log2(size))
    return FixedPoint(x.width + 2 * extra, x.integer_bits + extra, x.signed)


def _merged(node: Node, a: FixedPoint, b: FixedPoint) -> FixedPoint:
    operation = node.attributes["op"]
    if operation in ("maximum", "minimum"):
        return a if a == b else _union(a, b)
    if operation == "multiply":
        product = FixedPoint(a.width + b.width, a.integer_bits + b.integer_bits, a.signed or b.signed)
        return _limited(product, node)
    total = _added(a.integer_bits, a.fractional_bits, a.signed, b)
    return _limited(replace(total, signed=total.signed or operation == "subtract"), node)


def _joined(node: Node, a: FixedPoint, b: FixedPoint) -> FixedPoint:
    if a == b:
        return a
    rounding = a.rounding if a.rounding != "TRN" else b.rounding
    overflow = a.overflow if a.overflow != "WRAP" else b.overflow
    return _limited(_union(a, b), node).with_modes(rounding, overflow)


def _union(a: FixedPoint, b: FixedPoint) -> FixedPoint:
    """The smallest type that holds the values of both."""
    signed = a.signed or b.signed
    integer = max(each.integer_bits + (signed and not each.signed) for each in (a, b))
    return FixedPoint(integer + max(a.fractional_bits, b.fractional_bits), integer, signed)


def _limited(precision: FixedPoint, node: Node) -> FixedPoint:
    """Keep to the model's `maximum` precision, if the configuration has one."""
    if "maximum" not in node.attributes:
        return precision
    maximum = FixedPoint.parse(node.attributes["maximum"])
    return FixedPoint(
        min(precision.width, maximum.width),
        min(precision.integer_bits, maximum.integer_bits),
        precision.signed,
    )
