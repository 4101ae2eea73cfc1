"""Of the C synthesis reports in a directory, the one of the last run; the others must agree with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from codesign.errors import ReportError
from codesign.reports.csynth_record import CsynthReport
from codesign.reports.records import Finding

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
        f"{directory} holds C synthesis reports of several tops ({', '.join(tops)}); name one of them"
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
