"""What a timing summary says: slacks in ns, and the clocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from codesign.reports.records import Finding, Report, ReportKind, unmet


@dataclass(frozen=True, kw_only=True)
class ClockTiming:
    """One clock.

    Parameters
    ----------
    name
        The clock.
    waveform
        Its edges in ns as printed, ``{0.000 2.500}``.
    period_ns, frequency_mhz
        The constraint.
    wns_ns, whs_ns
        Worst setup and hold slack of its own paths in ns; ``None`` if it has none.
    """

    name: str
    waveform: str
    period_ns: float
    frequency_mhz: float
    wns_ns: float | None
    whs_ns: float | None


@dataclass(frozen=True, kw_only=True)
class TimingReport(Report):
    """Slacks against the constraints.

    Parameters
    ----------
    build, command, speed_file, design_state
        As printed; `Design State` is printed from 2020 on.
    is_met
        Whether all constraints are met; ``None`` if there are none.
    wns_ns, tns_ns, setup_failing, setup_endpoints
        Worst and total setup slack in ns, and how many endpoints fail, of how many.
    whs_ns, ths_ns, hold_failing, hold_endpoints
        The same for hold; not printed by ``-delay_type max``.
    wpws_ns, tpws_ns, pulse_failing, pulse_endpoints
        The same for pulse widths.
    clocks
        The clocks.
    """

    kind: ClassVar[ReportKind] = "timing"
    derived: ClassVar[tuple[str, ...]] = ("fmax_mhz",)

    build: str
    command: str
    speed_file: str | None
    design_state: str | None
    is_met: bool | None
    wns_ns: float | None
    tns_ns: float | None
    setup_failing: int | None
    setup_endpoints: int | None
    whs_ns: float | None
    ths_ns: float | None
    hold_failing: int | None
    hold_endpoints: int | None
    wpws_ns: float | None
    tpws_ns: float | None
    pulse_failing: int | None
    pulse_endpoints: int | None
    clocks: tuple[ClockTiming, ...]

    def doubts(self) -> Iterator[Finding]:
        """That the constraints are not met, and by how much at worst: setup, hold or pulse width."""
        if self.is_met is False:
            worst = min((s for s in (self.wns_ns, self.whs_ns, self.wpws_ns) if s is not None), default=0.0)
            yield self.doubt("timing", unmet(worst))

    @property
    def fmax_mhz(self) -> float | None:
        """The highest clock in MHz, 1000 / (period - WNS); ``None`` unless exactly one clock has setup paths."""
        timed = [clock for clock in self.clocks if clock.wns_ns is not None]
        if len(timed) != 1 or timed[0].wns_ns is None or timed[0].period_ns <= timed[0].wns_ns:
            return None
        return 1000.0 / (timed[0].period_ns - timed[0].wns_ns)
