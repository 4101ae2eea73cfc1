"""What all Vivado reports share: the boxed header, the table of contents, numbered sections, and the stage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from codesign.core.shown import Brief
from codesign.reports.fields import FieldReader
from codesign.reports.records import Stage
from codesign.reports.tables import ReportTable, drawn_tables

_ENTRY = re.compile(r"\| ([A-Z][A-Za-z ]*?)\s*:(?: (.*))?")
_NUMBERED = re.compile(r"(\d+(?:\.\d+)*)\.? (\S.*)")
_VERSION = re.compile(r"Vivado v\.(\S+) .*")

_STAGES: dict[str, Stage] = {
    "synthesized": "synthesis",
    "optimized": "post-opt",
    "fully placed": "post-place",
    "physopt postplace": "post-place",
    "routed": "post-route",
    "fully routed": "post-route",
    "physopt postroute": "post-route",
}

_NAMES: tuple[tuple[str, Stage], ...] = (
    ("routed", "post-route"),
    ("postroute", "post-route"),
    ("placed", "post-place"),
    ("postplace", "post-place"),
    ("_opted", "post-opt"),
    ("synth", "synthesis"),
)


@dataclass(frozen=True)
class VivadoHeader:
    """The box at the top of a Vivado report; the fields are those of its records.

    Parameters
    ----------
    version
        Vivado's version.
    build
        Its build and platform as printed.
    command
        The Tcl command that wrote the report.
    top, part
        Design and device as printed.
    speed_file
        The speed grade, where the form prints it.
    design_state
        As printed; ``None`` in timing reports before 2020.
    date
        The date; ``None`` for a foreign locale's.
    """

    version: str
    build: str
    command: str
    top: str
    part: str
    speed_file: str | None
    design_state: str | None
    date: datetime | None
    tool: str = "Vivado"


@dataclass(frozen=True)
class VivadoSection(Brief):
    """A numbered section: its number, title and tables, and whether anything stands in it."""

    number: str
    title: str
    tables: tuple[ReportTable, ...]
    is_empty: bool


def header(lines: Sequence[str], fields: FieldReader) -> VivadoHeader:
    """Read the box at the top.

    Raises
    ------
    ReportFormatError
        The box is not closed, or an entry is missing.
    """
    rules = [at for at, line in enumerate(lines[:40]) if len(line) > 20 and not line.strip("-")]
    if len(rules) < 2:
        raise fields.error("header", "the box at the top is not closed; the file is half written or was cut")
    box = {m[1]: m[2] for line in lines[rules[0] + 1 : rules[1]] if (m := _ENTRY.fullmatch(line.rstrip()))}
    tool_version = fields.text("version", box.get("Tool Version"))
    version = _VERSION.fullmatch(tool_version)
    if version is None:
        raise fields.error("version", f"{tool_version!r} is no version of Vivado")
    speed, state = box.get("Speed File"), box.get("Design State")
    return VivadoHeader(
        version=fields.use_version("Vivado", version[1]),
        build=tool_version.partition(version[1])[2].strip(),
        command=fields.text("command", box.get("Command")),
        top=fields.text("top", box.get("Design")),
        part=fields.text("part", box.get("Device")),
        speed_file=None if speed is None else fields.text("speed_file", speed),
        design_state=None if state is None else fields.text("stage", state),
        date=fields.date(box.get("Date")),
    )


def stage_of(state: str, fields: FieldReader) -> Stage:
    """The stage that a `Design State` means.

    Raises
    ------
    ReportFormatError
        A state that is not known, so that its numbers would be of an unknown stage.
    """
    if (stage := _STAGES.get(state.lower())) is None:
        raise fields.error(
            "stage", f"the Design State {state!r} is not known; known are {', '.join(_STAGES)}"
        )
    return stage


def stage_of_command(command: str) -> Stage | None:
    """The stage in the name that a command gives to its report, as Vivado's own runs do: ``-file x_routed.rpt``."""
    found = re.search(r"-file\s+(\S+)", command)
    name = found[1].rpartition("/")[2].lower() if found else ""
    return next((stage for mark, stage in _NAMES if mark in name), None)


def numbered_sections(
    lines: Sequence[str], fields: FieldReader, headless: Sequence[str] = ()
) -> list[VivadoSection]:
    """Divide a report at the headings that its table of contents names.

    Parameters
    ----------
    lines
        The report.
    fields
        For the errors.
    headless
        Titles of the sections whose tables have no heads.

    Raises
    ------
    ReportFormatError
        There is no table of contents, or one of its sections is not there: the file is half written.
    """
    starts = [at for at, line in enumerate(lines) if line == "Table of Contents"]
    if not starts:
        raise fields.error("Table of Contents", "is missing; the file is half written or was cut")
    at = starts[0] + 2
    names = []
    while at < len(lines) and (entry := _NUMBERED.fullmatch(lines[at].strip())):
        names.append((entry[1], entry[2].strip()))
        at += 1
    if not names:
        raise fields.error("Table of Contents", "is empty; the file is half written or was cut")
    begins = []
    for number, title in names:
        heading = re.compile(re.escape(number) + r"\.? " + re.escape(title))
        while at < len(lines) and not (heading.fullmatch(lines[at].strip()) and _is_underlined(lines, at)):
            at += 1
        if at == len(lines):
            raise fields.error(
                f"{number} {title}", "the section is missing; the file is half written or was cut"
            )
        begins.append(at)
        at += 1
    sections = []
    for (number, title), begin, end in zip(names, begins, [*begins[1:], len(lines)], strict=True):
        body = lines[begin + 2 : end]
        tables = drawn_tables(body, fields, begin + 3, headed=title not in headless)
        sections.append(VivadoSection(number, title, tuple(tables), not any(line.strip() for line in body)))
    last = sections[-1]
    if last.is_empty:
        raise fields.error(f"{last.number} {last.title}", "is empty; the file is half written or was cut")
    return sections


def _is_underlined(lines: Sequence[str], at: int) -> bool:
    return at + 1 < len(lines) and len(lines[at + 1]) >= 3 and not lines[at + 1].strip("-")
