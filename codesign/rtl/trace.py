"""From a converted graph to one piece of combinational logic, alkaid's, equal to the C++ in every bit, and to its stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.core.progress import SILENT, Progress
from codesign.errors import ConversionError
from codesign.hls.graph import Graph, Node
from codesign.rtl.estimate import estimate_rtl
from codesign.rtl.layers import TRACERS
from codesign.rtl.packing import Field
from codesign.rtl.wires import VALUE_BITS, Wires, input_wires, is_constant, width

if TYPE_CHECKING:
    from alkaid.stateful import FSM, Signal
    from alkaid.types import CombLogic

_MORE_STAGES = 2.0


def trace_graph(graph: Graph, progress: Progress = SILENT) -> CombLogic:
    """Trace a graph, fully unrolled, with the types that hls4ml gave it.

    Parameters
    ----------
    graph
        From `codesign.hls.graph.read_graph`, or of a project (`HlsProject.graph`).
    progress
        Told each layer as its tracing begins.

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
    seconds = {layer.layer: layer.seconds for layer in estimate_rtl(graph).layers}
    for done, node in enumerate(graph):
        about = seconds.get(node.name, 0.0)
        progress.step("rtl", done, len(graph), node.name + (f", about {about:.0f} s" if about > 1 else ""))
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


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A design with its registers.

    Parameters
    ----------
    logic
        The design without registers.
    fsm
        Its stages and the registers between them, alkaid's.
    n_stages
        Stages of logic.
    stage_delay_ns
        The longest of their estimated delays.
    """

    logic: CombLogic
    fsm: FSM
    n_stages: int
    stage_delay_ns: float

    @property
    def latency_cycles(self) -> int:
        """Registers on the way: one before each stage, and one at the output."""
        return self.n_stages + 1

    @property
    def register_bits(self) -> int:
        """Bits of all registers."""
        return sum(signal.width for signal in self.fsm.signals.values() if signal.reg)

    @property
    def input_fields(self) -> tuple[Field, ...]:
        """The bits of the input port."""
        return _fields(self.fsm.inp_signals[0])

    @property
    def output_fields(self) -> tuple[Field, ...]:
        """The bits of the output port."""
        return _fields(self.fsm.out_signals[0])


def pipeline(logic: CombLogic, cutoff_ns: float, *, ternary_adders: bool = False) -> Pipeline:
    """Cut logic into stages of at most `cutoff_ns`, by alkaid's estimate of delays.

    alkaid cuts the whole delay into equal parts, and an operation that straddles a cut makes its stage longer.
    So the number of stages is raised until all are short enough; where one operation alone is longer than
    that (a large table, a product), the shortest longest stage wins.

    Parameters
    ----------
    logic
        The whole design.
    cutoff_ns
        The longest delay wanted between two registers.
    ternary_adders
        Fuse chains of additions first.
    """
    from alkaid.trace.passes import dead_code_elimin, fuse_ternary_adders
    from alkaid.trace.passes.surrogate import add_surrogate
    from alkaid.trace.pipeline import to_pipeline

    if ternary_adders:
        logic = add_surrogate(dead_code_elimin(fuse_ternary_adders(logic)), _skip_op8_cost=True)
    fewest = max(1, -int(-logic.latency[1] // cutoff_ns))
    best: Pipeline | None = None
    for n_stages in range(fewest, int(_MORE_STAGES * fewest) + 2):
        fsm = to_pipeline(logic, n_stages=n_stages, verbose=False)
        delay = max(add_surrogate(stage, _skip_op8_cost=True).latency[1] for stage in fsm.logic.values())
        if best is None or delay < best.stage_delay_ns:
            best = Pipeline(logic, fsm, n_stages, float(delay))
        if delay <= cutoff_ns:
            break
    assert best is not None  # the range is never empty
    return best


def _fields(signal: Signal) -> tuple[Field, ...]:
    return tuple(
        Field(int(sum(precision)), int(precision.fractional), bool(precision.signed))
        for precision in signal.precisions
    )
