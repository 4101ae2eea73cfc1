"""What one run, project, build folder or report says, as tables and notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.comparison.build_numbers import build_numbers, findings
from codesign.comparison.compare import make_comparison
from codesign.comparison.entry import Entry
from codesign.comparison.run_entry import PROJECT, is_run
from codesign.comparison.sources import failed_build, find_build, read_entry
from codesign.comparison.summary import SUMMARY, report, tables
from codesign.comparison.tables import comparison_tables
from codesign.core.files import read_json
from codesign.core.text_table import TextTable
from codesign.errors import ReportFormatError, ReportMissingError
from codesign.reports import BuildReport, Report, read_build, read_report
from codesign.reports.build_files import MANIFEST


@dataclass(frozen=True)
class Description:
    """What one thing says.

    Parameters
    ----------
    tables
        Its tables.
    notes
        What was left out and why, and what the numbers do not say of themselves.
    is_trustworthy
        Whether nothing was left out and every run ended well.
    """

    tables: tuple[TextTable, ...]
    notes: tuple[str, ...]
    is_trustworthy: bool = True


def describe(path: str | Path, *, top: str | None = None) -> Description:
    """Say what a run, a project, a build folder or a report file says.

    Parameters
    ----------
    path
        Its folder or file.
    top
        The top function of a build folder that holds several.

    Raises
    ------
    ReportError
        It is missing, damaged, or nothing that can be read.
    """
    path = Path(path)
    if path.name == SUMMARY and path.is_file():
        path = path.parent
    if path.is_file():
        return _of_report(read_report(path))
    if not path.is_dir():
        raise ReportMissingError(f"{path}: there is no such file or folder")
    if is_run(path):
        return _of_run(path, top)
    if (path / MANIFEST).is_file():
        return _of_project(path, top)
    return _of_build(read_build(path, top=top))


def _of_run(folder: Path, top: str | None) -> Description:
    try:
        summary = report(folder)
        own = Description(tables(summary), tuple(summary["notes"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReportFormatError(
            folder / SUMMARY, "summary", f"damaged ({error!r}); finish the run again"
        ) from None
    build = find_build(folder / PROJECT, top)
    if build is not None:
        return _joined(own, _of_build(build))
    failure = failed_build(folder / PROJECT)
    return own if failure is None else _joined(own, Description((), (failure,), False))


def _of_project(folder: Path, top: str | None) -> Description:
    entry = read_entry(folder, top=top)
    target = {**read_json(folder / MANIFEST)["target"]}
    settings = ((str(name), str(value)) for name, value in target.items())
    own = Description((TextTable("HLS project", ("", str(folder)), tuple(settings)),), ())
    build = find_build(folder, top)
    if build is None:
        return Description(own.tables, entry.notes, entry.is_trustworthy)
    return _joined(own, _of_build(build))


def _joined(first: Description, second: Description) -> Description:
    return Description(
        (*first.tables, *second.tables),
        (*first.notes, *second.notes),
        first.is_trustworthy and second.is_trustworthy,
    )


def _of_build(build: BuildReport) -> Description:
    found = build_numbers(build)
    entry = Entry(
        name=str(build.directory),
        kind="build",
        source=str(build.directory),
        numbers=found.numbers,
        part=build.part,
        tools=found.tools,
    )
    return Description(
        (TextTable("Build", ("", str(build.directory)), tuple(_facts(build))), *_numbers(entry)),
        (*found.notes, *findings(build)),
        build.is_trustworthy,
    )


def _facts(build: BuildReport) -> Iterator[tuple[str, str]]:
    yield "run", "no marker: built by other means" if build.status == "unmarked" else build.status
    yield "top", build.top or "unknown"
    yield "part", build.part or "unknown"
    if build.csim is not None:
        yield "C simulation", "passed" if build.csim.passed else f"failed: {build.csim.failure}"
    if build.cosim is not None:
        for name, result in (("Verilog", build.cosim.verilog), ("VHDL", build.cosim.vhdl)):
            if result.status != "NA":
                yield f"co-simulation, {name}", result.status
    for stage, timing in build.timing.items():
        if timing.is_met is not None:
            yield f"timing, {stage}", "met" if timing.is_met else "not met"
    yield "can be trusted", "yes" if build.is_trustworthy else "no: see the notes"


def _of_report(found: Report) -> Description:
    entry = read_entry(found.path)
    values = found.to_dict()
    rows = [(name, text) for name, value in values.items() if (text := _plain(value)) is not None]
    fields = TextTable("Report", ("", str(found.path)), tuple(rows))
    return Description((fields, *_numbers(entry)), entry.notes)


def _plain(value: Any) -> str | None:
    """A field in one line; ``None`` for an empty one, and for tables of their own."""
    if value is None or isinstance(value, list | tuple | Mapping):
        return None
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _numbers(entry: Entry) -> tuple[TextTable, ...]:
    """The tables of numbers of one entry; the first of a comparison says what is compared."""
    return comparison_tables(make_comparison([entry]))[1:]
