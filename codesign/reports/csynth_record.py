"""What a C synthesis report says, in whichever of its three forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from codesign.reports.records import Report, ReportKind, Resources

CsynthForm = Literal["xml", "rpt", "summary"]
"""`<top>_csynth.xml` or `csynth.xml`, `<top>_csynth.rpt`, and the Vitis summary `csynth.rpt`."""


@dataclass(frozen=True, kw_only=True)
class ModuleEstimate:
    """The estimate of one module below the top (in `csynth.xml` and the summary: the top included).

    Parameters
    ----------
    name
        The module (function).
    instance
        The instance, where the form names it (`rpt`).
    depth
        How deep it is nested, the top being 0, where the form shows it (`summary`).
    latency_cycles_min, latency_cycles_max, interval_cycles_min, interval_cycles_max
        Cycles; ``None`` if unknown or not printed for this module.
    used
        Its resources; ``None`` where they are not printed.
    """

    name: str
    instance: str | None = None
    depth: int | None = None
    latency_cycles_min: int | None = None
    latency_cycles_max: int | None = None
    interval_cycles_min: int | None = None
    interval_cycles_max: int | None = None
    used: Resources | None = None


@dataclass(frozen=True, kw_only=True)
class LoopEstimate:
    """The estimate of one loop.

    Parameters
    ----------
    name
        The loop.
    depth
        How deep it is nested, 0 for a loop of the top function.
    latency_cycles_min, latency_cycles_max
        Cycles of the whole loop.
    iteration_latency_cycles_min, iteration_latency_cycles_max
        Cycles of one iteration (the depth of a pipelined one).
    ii_cycles
        The initiation interval achieved; ``None`` for a loop that is not pipelined.
    target_ii_cycles
        The one asked for, where the form prints it.
    trip_count_min, trip_count_max
        Iterations.
    pipelined
        Whether it is pipelined.
    """

    name: str
    depth: int
    latency_cycles_min: int | None
    latency_cycles_max: int | None
    iteration_latency_cycles_min: int | None
    iteration_latency_cycles_max: int | None
    ii_cycles: int | None
    target_ii_cycles: int | None
    trip_count_min: int | None
    trip_count_max: int | None
    pipelined: bool


@dataclass(frozen=True, kw_only=True)
class CsynthReport(Report):
    """The HLS scheduler's estimate of a top function.

    Parameters
    ----------
    form
        Which of the three forms was read. The summary prints no clock and no available resources.
    build
        The tool's build as printed after its version; not in the XML.
    family
        The product family.
    project, solution
        Where the tool worked; not in the XML.
    flow_target
        `vivado` or `vitis` (a kernel); Vivado HLS knows none.
    target_clock_ns, clock_uncertainty_ns, estimated_clock_ns
        Clock periods in ns.
    slack_ns
        What the tool calls slack, target - uncertainty - estimate; printed in the summary only.
    latency_cycles_min, latency_cycles_avg, latency_cycles_max
        Cycles from start to the last output; the average is in the XML only.
    interval_cycles_min, interval_cycles_max
        Cycles from start to start.
    latency_ns_min, latency_ns_max
        The latency in ns at the target clock, as printed; Vivado HLS prints it from 2019 on.
    pipeline_type
        `none`/`no`, `function`/`yes`, `dataflow`, as printed.
    used, available, available_slr
        Resources, those of the part, and those of one super logic region (`rpt` of a part that has several).
    modules, loops
        Parts of the design, as far as the form shows them.
    rtl_ports
        How many ports the module has; not in the summary.
    """

    kind: ClassVar[ReportKind] = "csynth"
    derived: ClassVar[tuple[str, ...]] = ("fmax_mhz",)

    form: CsynthForm
    build: str | None
    family: str
    project: str | None
    solution: str | None
    flow_target: str | None
    target_clock_ns: float | None
    clock_uncertainty_ns: float | None
    estimated_clock_ns: float | None
    slack_ns: float | None
    latency_cycles_min: int | None
    latency_cycles_avg: int | None
    latency_cycles_max: int | None
    interval_cycles_min: int | None
    interval_cycles_max: int | None
    latency_ns_min: float | None
    latency_ns_max: float | None
    pipeline_type: str
    used: Resources
    available: Resources | None
    available_slr: Resources | None
    modules: tuple[ModuleEstimate, ...]
    loops: tuple[LoopEstimate, ...]
    rtl_ports: int | None

    @property
    def fmax_mhz(self) -> float | None:
        """The estimated highest clock in MHz, 1000 / estimated clock period, as the tool's log prints it."""
        return 1000.0 / self.estimated_clock_ns if self.estimated_clock_ns else None

    def agrees_with(self, other: CsynthReport) -> bool:
        """Whether two forms tell of the same run: every number that both print is the same."""
        names = ("target_clock_ns", "estimated_clock_ns", "latency_cycles_max", "latency_cycles_min")
        pairs = [(getattr(self, name), getattr(other, name)) for name in names]
        pairs += [
            (getattr(self.used, name), getattr(other.used, name)) for name in ("lut", "ff", "dsp", "bram_18k")
        ]
        # the summary prints "-" for what is not used
        return self.top == other.top and all(a == b for a, b in pairs if a is not None and b is not None)
