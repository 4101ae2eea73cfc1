"""From a converted graph to one piece of combinational logic, alkaid's, equal to the C++ in every bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import ConversionError
from codesign.hls.graph import Graph, Node
from codesign.rtl.layers import TRACERS
from codesign.rtl.wires import VALUE_BITS, Wires, input_wires, is_constant, width

if TYPE_CHECKING:
    from alkaid.types import CombLogic


def trace_graph(graph: Graph) -> CombLogic:
    """Trace a graph, fully unrolled, with the types that hls4ml gave it.

    Parameters
    ----------
    graph
        From `codesign.hls.graph.read_graph`, or of a project (`HlsProject.graph`).

    Returns
    -------
    alkaid.types.CombLogic
        From all inputs, flat and one after the other, to all outputs; optimised, with alkaid's estimates of LUTs
        and delays.

    Raises
    ------
    ConversionError
        Layers that cannot become RTL, all of them named, with those that can; a type or weight that alkaid
        cannot hold.
    """
    _refuse_unsupported(graph)
    wires: dict[str, Wires] = {}
    for node in graph:
        wires[node.name] = _input(node) if node.kind == "input" else _layer(node, wires, graph)
    inputs = np.concatenate([wires[name].ravel() for name in graph.inputs])
    outputs = np.concatenate([wires[name].ravel() for name in graph.outputs])
    if all(is_constant(wire) for wire in outputs):
        raise ConversionError(
            "every output of the network is a constant: nothing depends on its inputs; prune or quantize it less"
        )
    return _optimised(inputs, outputs)


def _input(node: Node) -> Wires:
    precision = node.result
    sign = int(precision.signed)
    if precision.width > VALUE_BITS:
        raise ConversionError(
            f"{node.name}: an input of {precision.width} bits; the RTL path holds {VALUE_BITS}"
        )
    return input_wires(
        node.output_shape, precision.signed, precision.integer_bits - sign, precision.fractional_bits
    )


def _layer(node: Node, wires: dict[str, Wires], graph: Graph) -> Wires:
    try:
        result = TRACERS[node.kind](node, [wires[name] for name in node.inputs], graph)
    except ConversionError as error:
        raise ConversionError(f"{node.name} ({node.kind}): {error}") from None
    widest = max(width(wire) for wire in result.flat)
    if widest > VALUE_BITS:
        raise ConversionError(
            f"{node.name} ({node.kind}): its result has {widest} bits, and the RTL path holds {VALUE_BITS}; "
            "give it a narrower result"
        )
    return result


def _refuse_unsupported(graph: Graph) -> None:
    unsupported = [node for node in graph if node.kind != "input" and node.kind not in TRACERS]
    if unsupported:
        raise ConversionError(
            "the network has layers that cannot become RTL:\n  - "
            + "\n  - ".join(f"{node.name}: {node.kind}" for node in unsupported)
            + f"\nthese can: {', '.join(TRACERS)}"
        )


def _optimised(inputs: Wires, outputs: Wires) -> CombLogic:
    """Remove what is dead or double, and estimate costs.

    alkaid's own `optimize` is not used: its pass for the highest bits of scaled values moves some of them to
    another bit (alkaid 0.8.2, `canonicalize_msb_wraps`), and tracing the result again would merge constants past
    the 32 bits that it keeps them in.
    """
    from alkaid.trace import trace
    from alkaid.trace.passes import common_subexpr_elimin, dead_code_elimin, null_quant_elimin
    from alkaid.trace.passes.canon import canonicalize_outputs, const_propagation
    from alkaid.trace.passes.order import canonical_sort, topo_bandwidth_sort
    from alkaid.trace.passes.surrogate import add_surrogate

    comb = canonicalize_outputs(const_propagation(trace(inputs, outputs, optimize=False)))
    for remove in (common_subexpr_elimin, null_quant_elimin):
        comb = dead_code_elimin(comb, keep_dead_inputs=True)
        comb = remove(comb)
    comb = dead_code_elimin(comb, keep_dead_inputs=True)
    return topo_bandwidth_sort(canonical_sort(add_surrogate(canonical_sort(comb))))
