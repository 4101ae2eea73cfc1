"""Anything that can be compared, read from its folder or file: runs, projects, build folders, single reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from codesign.comparison.build_numbers import build_numbers, findings, measure
from codesign.comparison.entry import Entry, sorted_numbers
from codesign.comparison.run_entry import PROJECT, is_run, read_run
from codesign.comparison.steps import CSYNTH
from codesign.comparison.summary import SUMMARY
from codesign.core.files import read_json
from codesign.errors import ReportFormatError, ReportMissingError, SettingsError
from codesign.reports import BuildReport, read_build, read_report
from codesign.reports.build_files import MANIFEST
from codesign.reports.build_marker import read_marker

_GENERIC = {"run", "hls", "project", "solution1", "report", "reports", "hls4ml_prj", "myproject_prj"}
"""Names of folders that say nothing without the one above them."""

_MOST_FINDINGS = 2
"""How many reports that were left out for one reason are named one by one."""


def read_entries(sources: Sequence[str | Path], *, top: str | None = None) -> tuple[Entry, ...]:
    """Read everything that is to be compared.

    Parameters
    ----------
    sources
        Folders and files; ``NAME=PATH`` gives one a name.
    top
        The top function of build folders that hold several.

    Raises
    ------
    SettingsError
        Nothing is given, or the same thing twice.
    ReportError
        One of them is missing, damaged, or nothing that can be compared.
    """
    if not sources:
        raise SettingsError("nothing to compare; name runs, projects, build folders or report files")
    named = [split_name(source) for source in sources]
    resolved = [path.resolve() for _, path in named]
    for index, path in enumerate(resolved):
        if path in resolved[:index]:
            raise SettingsError(f"{named[index][1]} is given twice; compare it with something else")
    names = short_names([path for _, path in named])
    return tuple(
        read_entry(path, name=given or short, top=top)
        for (given, path), short in zip(named, names, strict=True)
    )


def split_name(source: str | Path) -> tuple[str | None, Path]:
    """Take ``NAME=PATH`` apart; a path that exists as it stands is no such pair."""
    name, equals, path = str(source).partition("=")
    if not equals or not name or not path or Path(source).exists():
        return None, Path(source)
    return name, Path(path)


def read_entry(path: str | Path, *, name: str | None = None, top: str | None = None) -> Entry:
    """Read one run, project, build folder or report.

    Parameters
    ----------
    path
        Its folder or file.
    name
        What the comparison calls it; the last part of the path if not given.
    top
        The top function of a build folder that holds several.

    Raises
    ------
    ReportError
        It is missing, damaged, or nothing that can be compared.
    """
    path = Path(path)
    name = name or path.name or str(path)
    if path.name == SUMMARY and path.is_file():
        path = path.parent
    if path.is_file():
        return _read_file(path, name)
    if not path.is_dir():
        raise ReportMissingError(f"{path}: there is no such file or folder")
    if is_run(path):
        entry = read_run(path, name)
        build = find_build(path / PROJECT, top)
        if build is None:
            failure = failed_build(path / PROJECT)
            return entry if failure is None else _doubted(entry, failure)
        # what the run once read of these reports counts only while they are gone, not when they have become stale
        return _with_build(replace(entry, numbers=tuple(n for n in entry.numbers if n.step != CSYNTH)), build)
    if (path / MANIFEST).is_file():
        return _read_project(path, name, top)
    build = read_build(path, top=top)
    entry = Entry(name=name, kind="build", source=str(path), part=build.part)
    return _with_build(entry, build)


def find_build(folder: Path, top: str | None = None) -> BuildReport | None:
    """The reports of a project; ``None`` if none lies in it."""
    if not folder.is_dir():
        return None
    try:
        return read_build(folder, top=top)
    except ReportMissingError:
        return None


def failed_build(folder: Path) -> str | None:
    """Why a build left no report, in one sentence; ``None`` if none ran or it ended well."""
    marker = read_marker(folder)
    if marker is None or marker.status == "finished":
        return None
    told = [step for step in marker.steps if step.get("status") == marker.status and step.get("reason")]
    why = f": {told[0].get('name')}: {told[0]['reason']}" if told else ""
    return f"the last build left no report; its status is {marker.status}{why}"


def _doubted(entry: Entry, failure: str) -> Entry:
    return replace(entry, notes=(*entry.notes, failure), is_trustworthy=False)


def _read_file(path: Path, name: str) -> Entry:
    report = read_report(path)
    found = measure([report])
    return Entry(
        name=name,
        kind="report",
        source=str(path),
        numbers=found.numbers,
        part=report.part,
        tools=found.tools,
        notes=found.notes,
    )


def _read_project(folder: Path, name: str, top: str | None) -> Entry:
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = read_json(path)
        part, settings = manifest["target"]["part"], manifest["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise ReportFormatError(path, "target", f"damaged ({error!r}); convert the student again") from None
    entry = Entry(
        name=name,
        kind="project",
        source=str(folder),
        part=part,
        settings={f"hardware.{key}": value for key, value in settings.items()},
    )
    build = find_build(folder, top)
    if build is None:
        failure = failed_build(folder)
        if failure is not None:
            return _doubted(entry, failure)
        return replace(entry, notes=("nothing was built in it yet: codesign build",))
    return _with_build(entry, build)


def _with_build(entry: Entry, build: BuildReport) -> Entry:
    found = build_numbers(build)
    return replace(
        entry,
        numbers=sorted_numbers([*found.numbers, *entry.numbers]),
        tools={**entry.tools, **found.tools},
        notes=(*entry.notes, *found.notes, *findings(build, _MOST_FINDINGS)),
        is_trustworthy=build.is_trustworthy,
    )


def short_names(paths: Sequence[Path]) -> list[str]:
    """As few last parts of each path as tell them apart, and more where they say nothing (``run``)."""
    parts = [path.resolve().parts[1:] for path in paths]
    long, short = [], []
    for index, mine in enumerate(parts):
        others = parts[:index] + parts[index + 1 :]
        count = 1
        while count < len(mine) and (
            mine[-count] in _GENERIC or any(other[-count:] == mine[-count:] for other in others)
        ):
            count += 1
        long.append("/".join(mine[-count:]) or "/")
        short.append(f"{mine[-count]}/.../{mine[-1]}" if count > 2 else long[-1])
    return short if len(set(short)) == len(short) else long
