"""The numbers of reports: which field of which report is which metric, at which stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from codesign.comparison.entry import UNKNOWN, Number, measured, sorted_numbers
from codesign.core.shown import Brief
from codesign.reports import (
    BuildReport,
    CosimReport,
    CsynthReport,
    ExportReport,
    Finding,
    PowerReport,
    Report,
    TimingReport,
    TransactionReport,
    UtilizationReport,
)
from codesign.reports.fields import version_note

RESOURCES = ("lut", "ff", "dsp", "bram_18k", "uram", "carry8")


@dataclass(frozen=True)
class Measurements(Brief):
    """What reports say.

    Parameters
    ----------
    numbers
        The numbers.
    tools
        Tool and version by stage.
    notes
        What the numbers do not say of themselves.
    """

    numbers: tuple[Number, ...]
    tools: dict[str, str]
    notes: tuple[str, ...]


def build_numbers(build: BuildReport) -> Measurements:
    """The numbers of all reports of a build; what was left out is in `findings`."""
    clock_ns = build.csynth.target_clock_ns if build.csynth else None
    # of two sources of one number the first is taken: a table before the list it was made of, Vivado's own
    # reports before what HLS prints of them
    failed = build.cosim is not None and not build.cosim.passed
    reports: list[Report | None] = [
        build.csim,
        build.csynth,
        build.cosim,
        None if failed else build.transactions,
        *build.utilization.values(),
        *build.hierarchy.values(),
        *build.timing.values(),
        *build.power.values(),
        build.export,
    ]
    return measure([report for report in reports if report is not None], part=build.part, clock_ns=clock_ns)


def findings(build: BuildReport, most: int | None = None) -> tuple[str, ...]:
    """What the reader of a build must know, one sentence each, beginning with the reason.

    Parameters
    ----------
    build
        The build.
    most
        Of more findings of one reason than this only the first is given, with their number; all, if not given.
    """
    notes = []
    if build.status not in ("finished", "unmarked"):
        notes.append(f"the build of {build.directory} is marked {build.status!r}")
    for reason in dict.fromkeys(finding.reason for finding in build.findings):
        found = [finding for finding in build.findings if finding.reason == reason]
        if most is not None and len(found) > most:
            notes.append(f"{reason}: {len(found)} reports; first {found[0].message}")
        else:
            notes += map(finding_note, found)
    return tuple(notes)


def finding_note(finding: Finding) -> str:
    """A finding as a note: its reason, then its sentence."""
    return f"{finding.reason}: {finding.message}"


def measure(
    reports: Sequence[Report], *, part: str | None = None, clock_ns: float | None = None
) -> Measurements:
    """The numbers of reports of one design.

    Parameters
    ----------
    reports
        Of two that tell the same number the first counts.
    part
        The part, where the reports do not print it.
    clock_ns
        The clock period that the cycles of a co-simulation are turned into ns with.
    """
    numbers: list[Number] = []
    notes: list[str] = []
    tools: dict[str, str] = {}
    for report in reports:
        step = report.stage or UNKNOWN
        available = getattr(report, "available", None)
        numbers += measured(
            step,
            _values(report, clock_ns),
            part=part or report.part,
            available=available,
            source=str(report.path),
        )
        notes += _remarks(report)
        if report.tool and report.version:
            tools.setdefault(step, f"{report.tool} {report.version}")
    return Measurements(sorted_numbers(numbers), tools, tuple(dict.fromkeys(notes)))


def _values(report: Report, clock_ns: float | None) -> dict[str, Any]:
    if isinstance(report, CsynthReport):
        return _csynth(report)
    if isinstance(report, CosimReport):
        if not report.passed:
            return {}
        latency, interval = report.result.latency_cycles_max, report.result.interval_cycles_max
        return _cycles(latency, interval, clock_ns)
    if isinstance(report, TransactionReport):
        return _cycles(report.latency_cycles_max, report.interval_cycles_max, clock_ns)
    if isinstance(report, UtilizationReport):
        return _used(report)
    if isinstance(report, ExportReport):
        clock = {
            "clock_period_ns": report.target_clock_ns,
            "wns_ns": report.wns_ns,
            "fmax_mhz": report.fmax_mhz,
        }
        return {**_used(report), **clock}
    if isinstance(report, TimingReport):
        periods = [clock.period_ns for clock in report.clocks if clock.wns_ns is not None]
        names = ("wns_ns", "tns_ns", "whs_ns", "fmax_mhz")
        clock = {"clock_period_ns": periods[0] if len(periods) == 1 else None}
        return {**clock, **{name: getattr(report, name) for name in names}}
    if isinstance(report, PowerReport):
        return {name: getattr(report, name) for name in ("power_w", "dynamic_power_w", "static_power_w")}
    return {}


def _used(report: CsynthReport | UtilizationReport | ExportReport) -> dict[str, int | None]:
    return {name: getattr(report.used, name) for name in RESOURCES}


def _csynth(report: CsynthReport) -> dict[str, Any]:
    latency_ns = report.latency_ns_max
    cycles = _cycles(report.latency_cycles_max, report.interval_cycles_max, report.target_clock_ns)
    if latency_ns is not None:
        cycles["latency_ns"] = latency_ns
    return {
        **_used(report),
        **cycles,
        "clock_period_ns": report.target_clock_ns,
        "estimated_clock_ns": report.estimated_clock_ns,
        "fmax_mhz": report.fmax_mhz,
    }


def _cycles(latency: int | None, interval: int | None, clock_ns: float | None) -> dict[str, Any]:
    in_ns = latency * clock_ns if latency is not None and clock_ns is not None else None
    return {"latency_cycles": latency, "interval_cycles": interval, "latency_ns": in_ns}


def _remarks(report: Report) -> Iterator[str]:
    """What the numbers of one report do not say of themselves."""
    if report.tool and report.version and (note := version_note(report.tool, report.version)):
        yield f"{note}: compare its numbers with the file ({report.path})"
    if isinstance(report, CosimReport) and not report.passed:
        yield f"co-simulation did not pass, its cycles are left out ({report.path})"
    if isinstance(report, CsynthReport | CosimReport):
        yield from _range_remark(report)
    if isinstance(report, UtilizationReport) and not report.is_complete:
        boxes = ", ".join(f"{box.count} x {box.name}" for box in report.black_boxes)
        yield f"the netlist of {report.path} has black boxes ({boxes}): its counts are those of a shell"
    if isinstance(report, PowerReport):
        yield f"power is an estimate of confidence {report.confidence} ({report.path})"


def _range_remark(report: CsynthReport | CosimReport) -> Iterator[str]:
    values = report if isinstance(report, CsynthReport) else report.result
    for what in ("latency", "interval"):
        least, most = (getattr(values, f"{what}_cycles_{end}") for end in ("min", "max"))
        if least is not None and most is not None and least != most:
            yield f"{what} {least} to {most} cycles, the longest is compared ({report.path})"
        if report.stage == "csynth" and most is None:
            yield f"{what} unknown to the tool ({report.path})"
