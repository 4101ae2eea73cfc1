"""`read_timing`: Vivado's timing summary: slacks in ns, and the clocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from codesign.reports.fields import Column, Columns, FieldReader
from codesign.reports.records import Finding, Report, ReportKind, Stage, unmet
from codesign.reports.tables import underlined_table
from codesign.reports.text import REPORT_KINDS, KnownReport, read_kind
from codesign.reports.vivado import VivadoHeader, header, stage_of, stage_of_command


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

    @property
    def headline(self) -> object:
        """Worst and total negative slack."""
        return self.wns_ns, self.tns_ns

    def doubts(self) -> Iterator[Finding]:
        """That there are no constraints, or that they are not met, and by how much at worst: setup, hold or pulse width."""
        if self.is_met is None:
            yield self.doubt("note", "has no timing constraints, so nothing tells whether a clock is met")
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


_VERDICTS: Mapping[str, bool | None] = {
    "All user specified timing constraints are met.": True,
    "Timing constraints are not met.": False,
    "There are no user specified timing constraints.": None,
}
_SLACKS: Mapping[str, Columns] = {
    f"{worst}(ns)": {
        f"{worst.lower()}_ns": Column(f"{worst}(ns)", "number", signed=True),
        f"{total.lower()}_ns": Column(f"{total}(ns)", "number", signed=True),
        f"{kind}_failing": Column(f"{total} Failing Endpoints"),
        f"{kind}_endpoints": Column(f"{total} Total Endpoints"),
    }
    for kind, worst, total in (("setup", "WNS", "TNS"), ("hold", "WHS", "THS"), ("pulse", "WPWS", "TPWS"))
}
_CLOCK: Columns = {
    "waveform": Column("Waveform(ns)", "text"),
    "period_ns": Column("Period(ns)", "number", known=True),
    "frequency_mhz": Column("Frequency(MHz)", "number", known=True),
}
_CLOCK_SLACKS: Columns = {
    "wns_ns": Column("WNS(ns)", "number", signed=True, optional=True),
    "whs_ns": Column("WHS(ns)", "number", signed=True, optional=True),
}
_NET = re.compile(r"net \(fo=\d+, (routed|estimated|unplaced|unset)\)")


def read_timing(path: str | Path) -> TimingReport:
    """Read what Vivado's `report_timing_summary` wrote.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    TimingReport
        The record. The nets of the printed paths tell the stage (routed, estimated after placement, or unplaced)
        where no `Design State` is printed or it contradicts them; without either the name that the command gave to
        the report does (``*_routed.rpt``), and without all of these it is ``None``.

    Raises
    ------
    ReportMissingError
        There is no such file.
    ReportFormatError
        The file is empty, damaged, cut, or no timing summary; the message names the field.
    """
    return parse_timing(Path(path), read_kind(path, "timing"))


def parse_timing(path: Path, text: str) -> TimingReport:
    """The same of a file whose text is read and known to be one."""
    fields = FieldReader(path)
    lines = text.split("\n")
    head = header(lines, fields)
    titles = _titles(lines)
    totals = _totals(_section(lines, titles, "Design Timing Summary", fields), fields)
    is_met = _verdict(lines, fields)
    intra: list[dict[str, str]] = []
    clocks: tuple[ClockTiming, ...] = ()
    if is_met is not None:
        intra = underlined_table(
            _section(lines, titles, "Intra Clock Table", fields), fields, "Intra Clock Table"
        )
        clocks = _clocks(_section(lines, titles, "Clock Summary", fields), intra, fields)
    _check_whole(text, titles, sum("WPWS(ns)" in row for row in intra), head.command, fields)
    return TimingReport(
        path=path, stage=_stage(head, text, fields), **vars(head), is_met=is_met, clocks=clocks,
        **_slacks(totals, fields), unknown_fields=tuple(fields.unknown),
    )  # fmt: skip


REPORT_KINDS["timing"] = KnownReport(
    parse_timing,
    "a Vivado timing summary",
    marks=(r"^\| Command\s*: report_timing_summary\b",),
    files=r".*timing.*\.rpt",
    steps=("vsynth", "impl"),
)


def _slacks(totals: Mapping[str, str], fields: FieldReader) -> dict[str, Any]:
    """Setup columns are always there; hold and pulse width by the command's options, but then all four of a kind."""
    values: dict[str, Any] = {}
    for worst, columns in _SLACKS.items():
        is_there = worst == "WNS(ns)" or worst in totals
        values |= fields.fill(columns, totals.get) if is_there else dict.fromkeys(columns)
    return values


def _titles(lines: Sequence[str]) -> dict[str, int]:
    """Lines of the boxed titles; the line under a title is ``| ----``."""
    return {
        line[2:].strip(): at
        for at, line in enumerate(lines[:-1])
        if line.startswith("| ") and lines[at + 1].startswith("| -") and not lines[at + 1].strip("|- ")
    }


def _section(
    lines: Sequence[str], titles: Mapping[str, int], title: str, fields: FieldReader
) -> Sequence[str]:
    if title not in titles:
        raise fields.error(title, "the section is missing; the file is half written or was cut")
    return lines[titles[title] + 3 :]


def _totals(lines: Sequence[str], fields: FieldReader) -> dict[str, str]:
    rows = underlined_table(lines, fields, "Design Timing Summary")
    if len(rows) != 1:
        raise fields.error("Design Timing Summary", f"{len(rows)} rows where one belongs")
    return rows[0]


def _verdict(lines: Sequence[str], fields: FieldReader) -> bool | None:
    found = [line.strip() for line in lines if line.strip() in _VERDICTS]
    if len(found) != 1:
        raise fields.error("is_met", f"{len(found)} verdicts on the constraints where one belongs")
    return _VERDICTS[found[0]]


def _clocks(
    lines: Sequence[str], intra: Sequence[dict[str, str]], fields: FieldReader
) -> tuple[ClockTiming, ...]:
    slacks = {row["Clock"]: row for row in intra if "Clock" in row}
    clocks = []
    for row in underlined_table(lines, fields, "Clock Summary"):
        name = fields.text("clocks.name", row.get("Clock"))
        constraint = fields.fill(_CLOCK, row.get, f"clocks.{name}.")
        slack = fields.fill(_CLOCK_SLACKS, slacks.get(name, {}).get, f"clocks.{name}.")
        clocks.append(ClockTiming(name=name, **constraint, **slack))
    return tuple(clocks)


def _stage(head: VivadoHeader, text: str, fields: FieldReader) -> Stage | None:
    nets = set(_NET.findall(text))
    # out of context the net of a clock port stays `unset` to the end, so that it tells nothing
    seen: Stage | None = None
    if "unplaced" in nets:
        seen = "synthesis"
    elif "estimated" in nets:
        seen = "post-place"
    elif "routed" in nets:
        seen = "post-route"
    if head.design_state is None:
        return seen or stage_of_command(head.command)
    stage = stage_of(head.design_state, fields)
    is_beyond = stage in (
        "post-place",
        "post-route",
    )  # the state may be that of a static platform around the design
    return seen if seen == ("synthesis" if is_beyond else "post-route") else stage


def _check_whole(
    text: str, titles: Mapping[str, int], clocks: int, command: str, fields: FieldReader
) -> None:
    """Refuse a report that breaks off among its paths: every path ends with its slack, every clock with its pulses."""
    if not text.endswith("\n"):
        raise fields.error("end of file", "the last line breaks off; the file is half written or was cut")
    if "-no_detailed_paths" in command:
        return
    if "Timing Details" not in titles:
        raise fields.error("Timing Details", "the section is missing; the file is half written or was cut")
    # paths without a constraint have no slack at their end
    begun = len(re.findall(r"^Slack \(", text, re.MULTILINE))
    ended = len(re.findall(r"^ +slack +", text, re.MULTILINE))
    pulses = len(re.findall(r"^Check Type +Corner.*\n\S", text, re.MULTILINE))
    if begun > ended or clocks > pulses:
        raise fields.error(
            "Timing Details",
            f"{ended} of {begun} paths and the pulse widths of {pulses} of {clocks} clocks are whole; "
            "the file is half written or was cut",
        )
