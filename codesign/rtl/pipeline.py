"""Registers for a target clock: as few stages as keep every stage short enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from codesign.rtl.packing import Field

if TYPE_CHECKING:
    from alkaid.stateful import FSM, Signal
    from alkaid.types import CombLogic

_MORE_STAGES = 2.0


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
