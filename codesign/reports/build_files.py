"""Where the reports of a build lie: the solution directory, the top function, the files by kind."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from codesign.core.build_marker import MARKER
from codesign.core.sealed import HLS_PROJECT, RTL_PROJECT, Seal, read_object
from codesign.errors import ReportError, ReportMissingError
from codesign.reports.records import ReportKind
from codesign.reports.text import REPORT_KINDS

MANIFEST = HLS_PROJECT.manifest
"""What this package's projects have: their sources with digests."""

SEALS: tuple[Seal, ...] = (HLS_PROJECT, RTL_PROJECT)
"""What reports may be of: HLS projects, open RTL."""

_SKIPPED = frozenset({"stale_reports", "firmware", "tb_data", "node_modules", "__pycache__"})
_STEP_FOLDERS = ("csim/report", "syn/report", "sim/report", "impl/report")
_MAX_DEPTH = 8


@dataclass(frozen=True)
class BuildFiles:
    """The files of one build.

    Parameters
    ----------
    directory
        What was asked for.
    home
        The directory of the project: where the marker, the scripts and the sources are.
    solution
        The tool's solution directory; ``None`` where reports only lie in a folder.
    by_kind
        Candidates by kind, as their names tell. Files with other names are `unnamed`.
    """

    directory: Path
    home: Path
    solution: Path | None
    by_kind: dict[ReportKind, list[Path]] = field(default_factory=dict)
    unnamed: list[Path] = field(default_factory=list)


def find_files(directory: Path, solution: str | None) -> BuildFiles:
    """Find the solution directory and every candidate.

    Raises
    ------
    ReportMissingError
        There is no such directory, or no such solution in it.
    ReportError
        It holds several solutions, and none was named.
    """
    if not directory.is_dir():
        raise ReportMissingError(
            f"{directory} is no directory; name the project, solution or build directory"
        )
    roots = [path for path in _folders(directory) if any((path / step).is_dir() for step in _STEP_FOLDERS)]
    if solution is not None:
        exact = [root for root in roots if root.relative_to(directory) == Path(solution)]
        roots = exact or [root for root in roots if root.name == solution]
        if not roots:
            raise ReportMissingError(f"{directory}: there is no solution {solution!r} with reports below it")
    if len(roots) > 1:
        names = ", ".join(root.relative_to(directory).as_posix() or "." for root in roots)
        raise ReportError(
            f"{directory} holds the reports of several solutions ({names}); name one of them by its folder"
        )
    root = roots[0] if roots else None
    found = BuildFiles(directory, _home(directory), root)
    for path in _files(directory):
        name = next((name for name, kind in REPORT_KINDS.items() if kind.is_named(path.name)), None)
        in_solution = root is None or path.is_relative_to(root)
        if name is not None and REPORT_KINDS[name].is_of_hls and not in_solution:
            continue
        if name is not None:
            found.by_kind.setdefault(name, []).append(path)
        elif path.suffix == ".rpt":
            found.unnamed.append(path)
    return found


def _folders(directory: Path) -> Iterator[Path]:
    for name, folders, _ in os.walk(directory):
        path = Path(name)
        depth = len(path.relative_to(directory).parts)
        folders[:] = sorted(
            folder for folder in folders
            if depth < _MAX_DEPTH and not folder.startswith(".") and folder not in _SKIPPED
        )  # fmt: skip
        yield path


def _files(directory: Path) -> Iterator[Path]:
    for folder in _folders(directory):
        for path in sorted(folder.iterdir()):
            if path.suffix in (".rpt", ".xml", ".log") and not path.name.startswith(".") and path.is_file():
                yield path


def _home(directory: Path) -> Path:
    """The nearest directory upwards that holds a marker or hls4ml's scripts; else the one asked for."""
    for path in (directory, *directory.absolute().parents[:3]):
        if any(
            (path / name).exists()
            for name in (MARKER, *(seal.manifest for seal in SEALS), "project.tcl", "build_prj.tcl")
        ):
            return path
    return directory


def find_top(files: BuildFiles) -> str | None:
    """The top function that the project's own files name; ``None`` if they name none.

    Sources, in this order: the tool's project file (`hls.app`, `vivado_hls.app`), the manifest of open RTL, hls4ml's
    `project.tcl`, and the configuration of a unified component (`hls_config.cfg`).
    """
    places = [files.directory, files.home]
    if files.solution is not None:
        places = [files.solution, files.solution.parent, files.solution.parent.parent, *places]
    for place in places:
        for name in ("hls.app", "vivado_hls.app"):
            if (place / name).is_file() and (top := _app_top(place / name)):
                return top
    for place in places:
        if (place / RTL_PROJECT.manifest).is_file() and (top := _rtl_top(place / RTL_PROJECT.manifest)):
            return top
        for name, form in (
            ("project.tcl", r'^\s*set project_name "?([\w]+)"?'),
            ("hls_config.cfg", r"^\s*syn\.top\s*=\s*(\w+)"),
        ):
            if (place / name).is_file():
                text = (place / name).read_text(encoding="utf-8", errors="replace")
                if found := re.search(form, text, re.MULTILINE):
                    return found[1]
    return None


def _rtl_top(path: Path) -> str | None:
    try:
        return str(read_object(path)["figures"]["top"])
    except (ValueError, KeyError, TypeError):
        return None  # that it is damaged is said where it is opened


def _app_top(path: Path) -> str | None:
    try:
        return ET.parse(path).getroot().get("top") or None
    except ET.ParseError:
        return None  # the reports themselves tell
