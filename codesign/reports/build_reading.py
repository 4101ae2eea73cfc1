"""The steps of `read_build`: read a candidate, judge it, choose among equals; every refusal leaves a finding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from codesign.errors import ReportError
from codesign.reports.build_evidence import Evidence
from codesign.reports.build_files import BuildFiles
from codesign.reports.cosim import CosimReport
from codesign.reports.csim import CsimReport
from codesign.reports.csynth import CsynthReport, parse_csynth
from codesign.reports.export import ExportReport
from codesign.reports.records import HARMLESS, STAGES, Finding, Reason, Report, ReportKind, same_part
from codesign.reports.text import REPORT_KINDS, decode, identify, read_data, read_text, require_kind
from codesign.reports.timing import TimingReport
from codesign.reports.tool_log import ToolLogReport, parse_tool_log
from codesign.reports.utilization import UtilizationReport

_TOGETHER = timedelta(seconds=2)
"""A run prints its forms this close; no synthesis is as short."""
_FEW, _FEW_OF = 64, 0.05
"""How many look-up tables or flip-flops two forms of one run may differ by, or which part of them."""
_PREFERENCE = {"xml": 0, "rpt": 1, "summary": 2}


def with_dates(reports: Sequence[CsynthReport]) -> list[CsynthReport]:
    """Date the XML by the text report of the same name beside it: the tool writes both at once, one without a date."""
    dates: Mapping[Path, datetime | None] = {
        r.path.with_suffix(""): r.date for r in reports if r.form != "xml"
    }
    return [replace(r, date=dates.get(r.path.with_suffix(""))) if r.form == "xml" else r for r in reports]


def _top_of(path: Path) -> str | None:
    """The top function that a C synthesis names in itself; ``None`` if it cannot be read."""
    try:
        return parse_csynth(path, read_text(path)).top
    except ReportError:
        return None


def choose_top(reports: Sequence[CsynthReport], directory: Path) -> str | None:
    """The top function by the reports alone.

    It is the only one there is; or the only one that is no module of another; or the one of the whole design's
    report (`csynth.xml`, `csynth.rpt`), if that is no older than the others.

    Raises
    ------
    ReportError
        There are several, and nothing tells which is meant.
    """
    tops = sorted({report.top for report in reports if report.top is not None})
    if len(tops) <= 1:
        return tops[0] if tops else None
    modules = {module.name for report in reports for module in report.modules if module.name != report.top}
    outer = [top for top in tops if top not in modules]
    if len(outer) == 1:
        return outer[0]
    dated = [report for report in reports if report.date is not None]
    newest = max((report.date for report in dated if report.date is not None), default=None)
    whole = {r.top for r in dated if r.path.stem == "csynth" and r.date == newest}
    if len(whole) == 1:
        return whole.pop()
    raise ReportError(
        f"{directory} holds C synthesis reports of several tops ({', '.join(tops)}); name one of them (--top)"
    )


def choose_csynth(reports: Sequence[CsynthReport]) -> tuple[CsynthReport | None, list[Path], list[Finding]]:
    """The report of the last run in its best form, the others that agree, and what is wrong with the rest.

    Parameters
    ----------
    reports
        All of one top, dated (`with_dates`).
    """
    if not reports:
        return None, [], []
    undated = datetime.min
    newest = max(reports, key=lambda report: (report.date or undated, -_PREFERENCE[report.form]))
    same = [report for report in reports if report.agrees_with(newest) or _is_one_run(report, newest)]
    # csynth.xml before <top>_csynth.xml: it knows the modules
    best = min(same, key=lambda report: (_PREFERENCE[report.form], report.path.name != "csynth.xml"))
    findings = [
        Finding(reason="stale", path=report.path, message=_disagreement(report, newest))
        for report in reports
        if report not in same
    ]
    findings += [
        Finding(
            reason="note",
            path=report.path,
            message=f"{report.path} counts a few LUTs or FFs more or less than {best.path}, printed with it: one run; "
            f"{best.path.name} is taken",
        )
        for report in same
        if not report.agrees_with(best)
    ]
    return best, [report.path for report in same if report is not best], findings


def _is_one_run(first: CsynthReport, second: CsynthReport) -> bool:
    """Whether two forms were printed together and differ by a few look-up tables and flip-flops only.

    The summary counts some logic of the top that the XML leaves out. The XML's date is that of the text beside it,
    so that the date alone proves nothing.
    """
    if first.date is None or second.date is None or first.form == second.form:
        return False
    if abs(first.date - second.date) > _TOGETHER:
        return False
    pairs = [(getattr(first.used, name), getattr(second.used, name)) for name in ("lut", "ff")]
    if any(a is not None and b is not None and abs(a - b) > max(_FEW, _FEW_OF * a) for a, b in pairs):
        return False
    alike = replace(first.used, lut=second.used.lut, ff=second.used.ff)
    return replace(first, used=alike).agrees_with(second)


def _disagreement(report: CsynthReport, newest: CsynthReport) -> str:
    when = f"of {report.date}" if report.date else "without a date"
    return (
        f"{report.path} ({when}) is of another run than {newest.path} ({newest.date or 'without a date'}): "
        f"their numbers differ; the newer one is taken"
    )


AnyReport = TypeVar("AnyReport", bound=Report)

TOOL_LOGS = ("vitis_hls.log", "vivado_hls.log", "vivado.log")
"""What the tools write into the folder that they run in."""

STEP_LOGS = "codesign_build/logs"
"""Where a run of this package keeps what each step printed."""

_OTHER_COMMAND = re.compile(r"^\| Command\s*: \S", re.MULTILINE)
_ORDER: Mapping[str, int] = {stage: at for at, stage in enumerate(STAGES)}
_FORMS = ("site", "kernel", "slr", "hierarchical")


class Reading:
    """The reading of the candidates of one build, which remembers what was found out.

    Parameters
    ----------
    files
        The candidates.
    allow_stale
        Read stale reports too.
    """

    def __init__(self, files: BuildFiles, allow_stale: bool) -> None:
        self.files = files
        self.allow_stale = allow_stale
        self.evidence = Evidence(files)
        self.findings: list[Finding] = []
        self.also: list[tuple[Path, str]] = []
        self.has_files = False

    def csynth(self, top: str | None) -> tuple[CsynthReport | None, str | None]:
        """The C synthesis of the last run, and the top function."""
        paths = self.files.by_kind.get("csynth", [])
        if top is not None:
            named = [path for path in paths if path.stem in (f"{top}_csynth", "csynth")]
            # people give reports names of their own
            paths = named or [path for path in paths if _top_of(path) == top]
        read = [report for path in paths if isinstance(report := self._parse(path, "csynth"), CsynthReport)]
        reports = with_dates(read)
        top = top or choose_top(reports, self.files.directory)
        own = []
        for report in reports:
            if report.top == top:
                own += [report] if self._fresh(report) else []
            elif report.path.stem == "csynth":
                self._refuse("foreign", report.path, f"is of the top function {report.top}, not {top}")
        best, also, findings = choose_csynth(own)
        if best is not None:
            self.also += [(path, f"{path} says the same as {best.path}, {_CSYNTH_CHOICE}") for path in also]
        self.findings += findings
        return best, top

    def single(self, kind: ReportKind, top: str | None) -> Report | None:
        """The report of a kind of which a build has one."""
        paths = self.files.by_kind.get(kind, [])
        if top is not None:
            ranks = {name.format(top=top): rank for rank, name in enumerate(REPORT_KINDS[kind].names)}
            paths = sorted((path for path in paths if path.name in ranks), key=lambda path: ranks[path.name])
        if top is None and len({path.name for path in paths}) > 1:
            names = ", ".join(sorted({path.name for path in paths}))
            raise ReportError(
                f"{self.files.directory} holds several {kind} reports ({names}); name the top function"
            )
        whole = [report for path in paths if (report := self._parse(path, kind)) and self._fresh(report)]
        self.also += [
            (
                report.path,
                f"{report.path} is a second {kind} report; {whole[0].path} is taken, the first by name and place",
            )
            for report in whole[1:]
        ]
        return whole[0] if whole else None

    def logs(self, has_timing: bool) -> tuple[ToolLogReport, ...]:
        """The logs of the tools' own sessions in the project, and those that a run of this package kept.

        Without a marker they tell whether the last session did what it should; with one its steps say so. Reports of timing
        (`has_timing`) say more of it than a log, which is also of steps before the last.
        """
        home, read = self.files.home, []
        for path in [home / name for name in TOOL_LOGS] + sorted((home / STEP_LOGS).glob("*.log")):
            if not path.is_file():
                continue
            try:
                log = parse_tool_log(path, read_text(path))
            except ReportError as error:
                self.findings.append(Finding(reason="note", path=path, message=str(error)))
                continue
            read.append(log)
            marked = self.evidence.marker is not None
            for doubt in log.doubts():
                if doubt.reason == "timing":
                    self.findings.append(replace(doubt, reason="note") if has_timing else doubt)
                    continue
                if marked and doubt.reason not in HARMLESS:
                    continue
                # who ends Vivado's window by force has whole reports
                harmless = not log.is_ended and not log.errors and log.tool == "Vivado"
                self.findings.append(replace(doubt, reason="note") if harmless else doubt)
        return tuple(read)

    def vivado(self) -> list[Report]:
        """Every whole and fresh report of Vivado."""
        kinds = [name for name, kind in REPORT_KINDS.items() if kind.files is not None and not kind.is_of_hls]
        named = [(path, kind) for kind in kinds for path in self.files.by_kind.get(kind, [])]
        reports = []
        for path, kind in [*named, *((path, None) for path in self.files.unnamed)]:
            report = self._parse(path, kind, kinds)
            if report is not None and self._fresh(report):
                reports.append(report)
        return reports

    def keep(
        self, report: AnyReport | None, csynth: CsynthReport | None, top: str | None
    ) -> AnyReport | None:
        """Hold a report against the C synthesis it should rest on; ``None`` if it rests on another."""
        if report is None or csynth is None:
            return report
        path = report.path
        if report.part is not None and csynth.part is not None and not same_part(report.part, csynth.part):
            self._refuse("foreign", path, f"is for {report.part}, not for {csynth.part} as {csynth.path}")
            return None
        if report.top is not None and report.top != top and not self._is_exported(path, top):
            self._refuse("foreign", path, f"is about the design {report.top}, not about {top}")
            return None
        if report.date is not None and csynth.date is not None and report.date < csynth.date:
            message = f"is of {report.date}, before the C synthesis {csynth.path} of {csynth.date}; run its step again"
            self._refuse("stale", path, message)
            return report if self.allow_stale else None
        return report

    def _is_exported(self, path: Path, top: str | None) -> bool:
        """Whether a report about the shell that HLS puts around an exported design (`bd_0_wrapper`) is about `top`."""
        if self.files.solution is None or not path.is_relative_to(self.files.solution):
            return False
        exported = {file.stem.removesuffix("_export") for file in self.files.by_kind.get("export", [])}
        return not exported or top in exported

    def of_one_design(self, reports: Sequence[Report], top: str | None) -> list[Report]:
        """Of a folder of Vivado reports, without a solution around them, those about `top` or its block design.

        Raises
        ------
        ReportError
            They are about several designs and none of them is `top`, or about one design for several parts.
        """
        designs = {
            name: report for report in reports if (name := report.top or "") and report.part is not None
        }
        if self.files.solution is not None or not designs:
            return list(reports)
        wanted = next((name for name in (top, f"{top}_wrapper") if name in designs), None)
        if len(designs) > 1 and wanted is None:
            names = ", ".join(
                f"{name} for {report.part} in {report.path}" for name, report in sorted(designs.items())
            )
            found = f"none is of {top}" if top else "nothing tells which is meant"
            raise ReportError(
                f"{self.files.directory} holds reports of several designs: {names}; {found}: name one with --top, "
                "or read its folder"
            )
        mine = [report for report in reports if report.top in (None, wanted) or len(designs) == 1]
        others = ", ".join(sorted(designs.keys() - {wanted})) if wanted else ""
        if others:
            self._refuse("note", self.files.directory, f"holds reports of other designs too: {others}")
        parts = [report for report in mine if report.part is not None]
        for other in parts[1:]:
            if not same_part(parts[0].part or "", other.part or ""):
                raise ReportError(
                    f"{self.files.directory} holds reports of several designs: {parts[0].top} for {parts[0].part} in "
                    f"{parts[0].path} and for {other.part} in {other.path}; read the folder of one of them"
                )
        return mine

    def by_stage(self, reports: Iterable[Report], kind: type[AnyReport]) -> Mapping[str, AnyReport]:
        """One report a stage: of a whole netlist, with totals, in the design's own folder, and the newest."""
        chosen: dict[str, AnyReport] = {}
        mine = sorted((report for report in reports if isinstance(report, kind)), key=_preference)
        for stage in dict.fromkeys(report.stage or "unknown" for report in mine):
            same = [report for report in mine if (report.stage or "unknown") == stage]
            rivals = [report for report in same if _rank(report) == _rank(same[0])]
            best = max(rivals, key=lambda report: report.date or datetime.min)
            chosen[stage] = best
            for report in same:
                if report in rivals and report.headline != best.headline:
                    message = f"of {report.date} differs from {best.path} of {best.date}, which is taken"
                    self._refuse("stale", report.path, message)
                elif report is not best:
                    self.also.append((report.path, f"{report.path} is of {stage} too; {_why(best, report)}"))
        return MappingProxyType(chosen)

    def judge_results(
        self, csim: CsimReport | None, cosim: CosimReport | None, timing: Mapping[str, TimingReport],
        export: ExportReport | None,
    ) -> None:  # fmt: skip
        """Say which results are bad: a simulation that did not pass, constraints that the last stage does not meet."""
        last: TimingReport | ExportReport | None = export
        if timing:
            last = timing[max(timing, key=lambda stage: _ORDER.get(stage, -1))]
        for report in (csim, cosim, last):
            self.findings += () if report is None else report.doubts()

    def _parse(
        self, path: Path, named: ReportKind | None, others: Sequence[ReportKind] = ()
    ) -> Report | None:
        """The record of a file, read once; a refusal leaves a finding.

        Parameters
        ----------
        path
            The file.
        named
            The kind that its name tells; a file whose name tells none is passed by unless it is one of `others`.
        others
            What it may be instead, whatever its name tells.
        """
        kind = named
        try:
            data = read_data(path)
            text = decode(path, data)
            found = identify(text)
            if found is None and others and _OTHER_COMMAND.search(text):
                return None  # which only sounds like a known one
            kind = found if found in others else named
            if kind is None:
                return None
            require_kind(path, found, kind)
            self.has_files = True
            self.evidence.saw(path, data)
            report = REPORT_KINDS[kind].parse(path, text)
            stage = self.evidence.stage_of(path)
            return report if stage is None else replace(report, stage=stage)
        except ReportError as error:
            if kind is not None:
                self.has_files = True
                self.findings.append(Finding(reason="damaged", path=path, message=str(error)))
            return None

    def _fresh(self, report: Report) -> bool:
        finding = self.evidence.judge(report.path, report.kind, report.date)
        if finding is None:
            return True
        self.findings.append(finding)
        return finding.reason == "unverified" or (finding.reason == "stale" and self.allow_stale)

    def _refuse(self, reason: Reason, path: Path, message: str) -> None:
        self.findings.append(Finding(reason=reason, path=path, message=f"{path} {message}"))


_CSYNTH_CHOICE = (
    "which is taken: of one run XML before text, csynth.xml before one of the top, text before the summary"
)


def _why(best: Report, other: Report) -> str:
    """Why one of two reports of a kind and stage is taken."""
    taken = f"{best.path} is taken"
    if _rank(best) != _rank(other):
        if isinstance(best, UtilizationReport) and isinstance(other, UtilizationReport):
            if best.is_complete and not other.is_complete:
                return f"{taken}, whose netlist is whole"
            if best.form != other.form:
                return f"{taken}, whose form ({best.form}) comes before {other.form}"
        return f"{taken}, which is of the design asked for"
    if best.date is not None and other.date is not None and best.date > other.date:
        return f"{taken}, which is newer and says the same"
    return f"{taken}, which says the same"


def _rank(report: Report) -> tuple[bool, int, str | None]:
    """What makes a report a better one of its stage, whatever folder it is in: whole, with totals, of which design."""
    if isinstance(report, UtilizationReport):
        return not report.is_complete, _FORMS.index(report.form), report.top
    return False, 0, report.top


def _preference(report: Report) -> tuple[bool, bool, int, int, str]:
    is_shell, form, _ = _rank(report)
    in_runs = any(part.endswith(".runs") for part in report.path.parts)
    return is_shell, in_runs, form, len(report.path.parts), report.path.as_posix()
