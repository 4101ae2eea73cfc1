"""Where numbers come from: the stages of the flow and of the tools, in order, with what their numbers are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

TEACHER = "teacher"
NETWORK = "quantized"
ESTIMATE = "estimate"
CSYNTH = "csynth"
YOSYS = "yosys"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Step:
    """A stage that numbers are of.

    Parameters
    ----------
    name
        Its name in files.
    title
        What tables call it.
    remark
        What its numbers are worth, in one sentence.
    is_hardware
        Whether its numbers are of hardware.
    """

    name: str
    title: str
    remark: str
    is_hardware: bool = True


_ALL = (
    Step(TEACHER, "teacher", "The network that was distilled, in floating point.", False),
    Step(NETWORK, "quantized student", "The network that the hardware computes, bit for bit.", False),
    Step(ESTIMATE, "estimate", "Counted from the network's weights and formats; nothing was synthesised."),
    Step(CSYNTH, "C synthesis", "The HLS scheduler's estimate; Vivado usually needs fewer LUTs."),
    Step("cosim", "co-simulation", "Cycles counted in RTL simulation."),
    Step(YOSYS, "Yosys", "The open RTL path: a netlist after synthesis with Yosys, not placed."),
    Step("synthesis", "Vivado synthesis", "Vivado's netlist after synthesis, not placed."),
    Step("post-opt", "Vivado, optimised", "Vivado's netlist after opt_design, not placed."),
    Step("post-place", "Vivado, placed", "Vivado's netlist after placement, not routed."),
    Step("post-route", "Vivado, routed", "Vivado's netlist after routing: what the part will hold."),
    Step(UNKNOWN, "Vivado, stage not printed", "The report does not say of which stage it is."),
)

STEPS: Mapping[str, Step] = MappingProxyType({step.name: step for step in _ALL})
"""Every stage by name, in the order of the flow."""
