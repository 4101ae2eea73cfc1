"""The outline of an HLS text report: banners, headings and labels, and the tables under them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from codesign.reports.fields import FieldReader
from codesign.reports.tables import ReportTable, drawn_tables, is_rule

_BANNER = re.compile(r"={8,}")
_LABEL = re.compile(r"(\s*)[+*] ([^|:]+?)\s*:\s*")
_ENTRY = re.compile(r"\s*\* ([^:]+):\s+(\S.*?)\s*")
_VERSION = re.compile(r"(\S+) \((Build .+)\)")
_SOLUTION = re.compile(r"(.+?)\s+\((Vivado IP|Vitis Kernel) Flow Target\)")
_TITLE = re.compile(r"(?:(Vivado|Vitis) HLS Report for|Synthesis Summary Report of) '(.+)'")


@dataclass(frozen=True)
class BannerSection:
    """What stands under one banner.

    Parameters
    ----------
    title
        The banner's text.
    lines
        The lines below it.
    first_line
        The number of the first of them in the file, from 1.
    """

    title: str
    lines: tuple[str, ...]
    first_line: int


@dataclass(frozen=True)
class HlsHeader:
    """Who wrote an HLS report about what; the fields are those of `CsynthReport`."""

    tool: str
    version: str
    build: str
    top: str
    project: str
    solution: str
    flow_target: str | None
    family: str
    part: str
    date: datetime | None


def sections(text: str, fields: FieldReader) -> dict[str, BannerSection]:
    """Divide a report at its banners, by title; every table in it must be whole.

    Raises
    ------
    ReportFormatError
        There is no banner, or a table breaks off.
    """
    lines = text.split("\n")
    drawn_tables(lines, fields)
    starts = [
        at for at in range(1, len(lines) - 1)
        if lines[at].startswith("== ") and _BANNER.fullmatch(lines[at - 1]) and _BANNER.fullmatch(lines[at + 1])
    ]  # fmt: skip
    if not starts:
        raise fields.error("banner", "the line under the report's title is missing; the file breaks off")
    ends = [at - 1 for at in starts[1:]] + [len(lines)]
    found = {}
    for start, end in zip(starts, ends, strict=True):
        title = lines[start][3:].strip()
        found[title] = BannerSection(title, tuple(lines[start + 2 : end]), start + 3)
    return found


def section(found: dict[str, BannerSection], title: str, fields: FieldReader) -> BannerSection:
    """One section by title; a missing one means that the file breaks off before it."""
    if title not in found:
        raise fields.error(title, "the section is missing; the file is half written or was cut")
    return found[title]


def header(first: BannerSection, fields: FieldReader) -> HlsHeader:
    """Read the first section's entries (date, version, project, solution, family, part)."""
    entries = {m[1].strip(): m[2] for line in first.lines if (m := _ENTRY.fullmatch(line))}
    title = _TITLE.fullmatch(first.title)
    if title is None:
        raise fields.error("top", f"the title {first.title!r} names no function")
    tool = f"{title[1] or 'Vitis'} HLS"
    version = _VERSION.fullmatch(fields.text("version", entries.get("Version")))
    if version is None:
        raise fields.error("version", f"{entries['Version']!r} is no version with its build")
    solution = fields.text("solution", entries.get("Solution"))
    flow = _SOLUTION.fullmatch(solution)
    return HlsHeader(
        tool=tool,
        version=fields.use_version(tool, version[1]),
        build=version[2],
        top=title[2],
        project=fields.text("project", entries.get("Project")),
        solution=flow[1] if flow else solution,
        flow_target={"Vivado IP": "vivado", "Vitis Kernel": "vitis"}[flow[2]] if flow else None,
        family=fields.text("family", entries.get("Product family")),
        part=fields.text("part", entries.get("Target device")),
        date=fields.date(entries.get("Date")),
    )


def labelled_tables(part: BannerSection, fields: FieldReader) -> dict[str, tuple[str, ReportTable | None]]:
    """Tables by the path of their labels.

    Returns
    -------
    dict
        ``Latency/Detail/Loop`` to (the outermost label as printed, with its unit, and the table; ``None`` where the
        tool printed `N/A` or nothing).
    """
    found: dict[str, tuple[str, ReportTable | None]] = {}
    stack: list[tuple[int, str]] = []
    lines = part.lines
    for at, line in enumerate(lines):
        label = _LABEL.fullmatch(line)
        if label is None:
            continue
        indent = len(label[1])
        stack = [entry for entry in stack if entry[0] < indent] + [(indent, label[2])]
        path = "/".join(name.partition(" (")[0] for _, name in stack)
        table = None
        if at + 1 < len(lines) and is_rule(lines[at + 1]):
            end = next((i for i in range(at + 1, len(lines)) if not lines[i].strip()), len(lines))
            table = drawn_tables(lines[at + 1 : end], fields, part.first_line + at + 1)[0]
        found[path] = (stack[0][1], table)
    return found
