"""`read_build`: all reports of a project, a solution or a build directory, and none that is stale.

A report is *stale*, and left out with a finding that says so, if

- the run's marker `codesign_build.json` lists it with another digest, or does not list it and it is older than
  the begin of its step (of the run);
- it is older than the project's sources: those that no longer fit the manifest of this package, or without one
  hls4ml's firmware and scripts;
- it is a C synthesis report that disagrees with a newer one of the same top;
- it is of a later step (cosim, export, Vivado) and dated before the C synthesis it rests on.

A report is *unfinished* if the step that wrote it did not end well, *damaged* if its reader refuses it, and
*foreign* if it is of another part or another design. All of these are left out, each with its finding.

A simulation that *failed* and a *timing* that is not met are read, and their findings say that the build is not to be
trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.core.places import mistaken
from codesign.core.shown import Brief
from codesign.errors import ReportFormatError, ReportMissingError
from codesign.reports.build_files import find_files, find_top
from codesign.reports.build_reading import AnyReport, Reading
from codesign.reports.cosim import CosimReport, TransactionReport
from codesign.reports.csim import CsimReport
from codesign.reports.csynth import CsynthReport
from codesign.reports.export import ExportReport
from codesign.reports.power import PowerReport
from codesign.reports.records import HARMLESS, STAGES, BuildStatus, Finding, Report, plain
from codesign.reports.text import REPORT_KINDS, identify, read_text
from codesign.reports.timing import TimingReport
from codesign.reports.tool_log import ToolLogReport
from codesign.reports.utilization import UtilizationReport


@dataclass(frozen=True, kw_only=True)
class BuildReport(Brief):
    """The reports of one build.

    Parameters
    ----------
    directory
        What was read.
    status
        What the marker says of the run.
    started
        Unix time at which the run began; ``None`` without a marker.
    top, part
        Of what, for what; ``None`` if no report says it.
    csim, csynth, cosim, transactions, export
        ``None`` if there is none that can be trusted; then `findings` says why, or nothing was run.
    utilization, hierarchy, timing, power
        By stage (`unknown` for timing whose stage is not printed).
    logs
        The logs of the tools' sessions: times, memory, warnings.
    also_found
        Whole reports of a kind and stage of which a better one was taken.
    choices
        For each of them which one was taken and why.
    findings
        What was left out and why, and what could not be checked.
    """

    directory: Path
    status: BuildStatus
    started: float | None
    top: str | None
    part: str | None
    csim: CsimReport | None
    csynth: CsynthReport | None
    cosim: CosimReport | None
    transactions: TransactionReport | None
    export: ExportReport | None
    utilization: Mapping[str, UtilizationReport]
    hierarchy: Mapping[str, UtilizationReport]
    timing: Mapping[str, TimingReport]
    power: Mapping[str, PowerReport]
    logs: tuple[ToolLogReport, ...]
    also_found: tuple[Path, ...]
    choices: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def is_trustworthy(self) -> bool:
        """Whether the run ended well, nothing was left out, no simulation failed and the timing is met."""
        return self.status in ("finished", "unmarked") and all(f.reason in HARMLESS for f in self.findings)

    @property
    def last_utilization(self) -> UtilizationReport | None:
        """The utilisation of the latest stage."""
        return next(
            (self.utilization[stage] for stage in reversed(STAGES) if stage in self.utilization), None
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {"kind": "build", "is_trustworthy": self.is_trustworthy, **plain(self)}


def read_report(path: str | Path) -> Report:
    """Read one report of any kind; the kind is told by the contents.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ReportMissingError
        There is no such file.
    ReportFormatError
        The file is empty, damaged, cut, or of a kind that is not read.
    """
    path = Path(path)
    text = read_text(path)
    kind = identify(text)
    if kind is None:
        raise ReportFormatError(
            path,
            "kind",
            f"this is none of the reports that are read: {', '.join(sorted(REPORT_KINDS))}; give one, or a project's folder",
        )
    return REPORT_KINDS[kind].parse(path, text)


def read_build(
    directory: str | Path, *, top: str | None = None, solution: str | None = None, allow_stale: bool = False
) -> BuildReport:
    """Read every report of one build.

    What counts as stale, unfinished, damaged or foreign stands at the top of this module; each such report is left
    out and has a finding that says so.

    Parameters
    ----------
    directory
        A project of hls4ml or of this package, a solution, a unified component, or a folder of reports.
    top
        The top function; found in the project's own files or in the reports if not given.
    solution
        The solution (its name or its path below `directory`) where there are several.
    allow_stale
        Read stale reports too; their findings stay.

    Returns
    -------
    BuildReport
        One record of each kind and stage, and the findings.

    Raises
    ------
    ReportMissingError
        No such directory, or no report in it.
    ReportError
        It holds several solutions or tops, and none was named.
    ReportFormatError
        The marker or the manifest is damaged.
    """
    directory = Path(directory)
    files = find_files(directory, solution)
    reading, asked = Reading(files, allow_stale), top
    csynth, top = reading.csynth(top or find_top(files))
    csim, found_cosim, counted, exported = (
        reading.single(kind, top) for kind in ("csim", "cosim", "transactions", "export")
    )
    cosim, export = (reading.keep(report, csynth, top) for report in (found_cosim, exported))
    # the list of transactions has no date: it is as old as the table beside it
    transactions = None if found_cosim is not None and cosim is None else counted
    vivado = [report for report in reading.vivado() if reading.keep(report, csynth, top)]
    vivado = reading.of_one_design(vivado, top)
    if not reading.has_files and asked is not None and any(files.by_kind.values()):
        raise ReportMissingError(f"{directory}: none of its reports is of {asked}; name another top")
    if not reading.has_files:
        raise ReportMissingError(
            f"{directory}: no report of Vivado, Vivado HLS or Vitis HLS lies in it; build it first"
            if (directory / "project.tcl").is_file()
            else mistaken(
                directory, "build", "report of Vivado, Vivado HLS or Vitis HLS", "build a project first"
            )
        )
    marker = reading.evidence.marker
    timing = reading.by_stage(vivado, TimingReport)
    reading.judge_results(_of(csim, CsimReport), _of(cosim, CosimReport), timing, _of(export, ExportReport))
    logs = reading.logs(
        has_timing=export is not None or any(one.is_met is not None for one in timing.values())
    )
    known = [report for report in (csynth, export, *vivado) if report is not None]
    return BuildReport(
        directory=directory,
        status=marker.status if marker else "unmarked",
        started=marker.started if marker else None,
        top=top or next((report.top for report in known if report.top), None),
        part=next((report.part for report in known if report.part), None),
        csim=_of(csim, CsimReport),
        csynth=csynth,
        cosim=_of(cosim, CosimReport),
        transactions=_of(transactions, TransactionReport),
        export=_of(export, ExportReport),
        utilization=reading.by_stage((r for r in vivado if not _is_tree(r)), UtilizationReport),
        hierarchy=reading.by_stage((r for r in vivado if _is_tree(r)), UtilizationReport),
        timing=timing,
        power=reading.by_stage(vivado, PowerReport),
        logs=logs,
        also_found=tuple(path for path, _ in reading.also),
        choices=tuple(sentence for _, sentence in reading.also),
        findings=(*reading.findings, *reading.evidence.of_run()),
    )


def _of(report: Report | None, kind: type[AnyReport]) -> AnyReport | None:
    return report if isinstance(report, kind) else None


def _is_tree(report: Report) -> bool:
    return isinstance(report, UtilizationReport) and report.form == "hierarchical"
