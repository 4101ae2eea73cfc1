"""`read_power`: Vivado's power report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from codesign.reports.fields import Column, Columns, FieldReader
from codesign.reports.records import Report, ReportKind
from codesign.reports.text import REPORT_KINDS, KnownReport, read_kind
from codesign.reports.vivado import header, numbered_sections, stage_of

_REMARK = re.compile(r"(\S+)(?: \((.+)\))?")
_UNSET = frozenset({"Unspecified", "---"})


@dataclass(frozen=True, kw_only=True)
class PowerReport(Report):
    """An estimate of power.

    Parameters
    ----------
    build, command, design_state
        As printed.
    power_w
        Total on-chip power in W.
    dynamic_power_w, static_power_w
        Its two parts in W.
    power_budget_w, power_budget_margin_w
        The design's budget and what is left of it in W; ``None`` if no budget was set.
    effective_tja_c_per_w
        Thermal resistance from junction to ambient in degrees Celsius per W.
    max_ambient_c, junction_temperature_c
        In degrees Celsius.
    confidence
        How sure Vivado is: `Low`, `Medium`, `High`. Without simulated activity it is an assumption, not a measurement.
    setting_file, activity_file
        What the estimate was made with; ``None`` if nothing was given.
    nets_matched
        How many nets the activity file named; ``None`` without such a file.
    remarks
        What Vivado added to a value, such as ``Junction temp exceeded!``.
    """

    kind: ClassVar[ReportKind] = "power"

    build: str
    command: str
    design_state: str
    power_w: float
    dynamic_power_w: float
    static_power_w: float
    power_budget_w: float | None
    power_budget_margin_w: float | None
    effective_tja_c_per_w: float | None
    max_ambient_c: float | None
    junction_temperature_c: float | None
    confidence: str
    setting_file: str | None
    activity_file: str | None
    nets_matched: str | None
    remarks: tuple[str, ...]

    @property
    def headline(self) -> object:
        """The power."""
        return self.power_w


_WATTS: Columns = {
    "power_w": Column("Total On-Chip Power (W)", "number", known=True),
    "dynamic_power_w": Column("Dynamic (W)", "number", known=True),
    "static_power_w": Column("Device Static (W)", "number", known=True),
    "power_budget_w": Column("Design Power Budget (W)", "number", signed=True),
    "power_budget_margin_w": Column("Power Budget Margin (W)", "number", signed=True),
    "effective_tja_c_per_w": Column("Effective TJA (C/W)", "number", signed=True),
    "max_ambient_c": Column("Max Ambient (C)", "number", signed=True),
    "junction_temperature_c": Column("Junction Temperature (C)", "number", signed=True),
}
_CHOICES = {
    "setting_file": "Setting File",
    "activity_file": "Simulation Activity File",
    "nets_matched": "Design Nets Matched",
}


def _choice(field: str, cell: str | None, fields: FieldReader) -> str | None:
    """What the estimate was made with; ``None`` (and remembered) if nothing was given."""
    text = fields.text(field, cell)
    if text not in ("---", "NA"):
        return text
    fields.unknown.append(field)
    return None


def read_power(path: str | Path) -> PowerReport:
    """Read what Vivado's `report_power` wrote.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ReportMissingError
        There is no such file.
    ReportFormatError
        The file is empty, damaged, cut, or no power report; the message names the field.
    """
    return parse_power(Path(path), read_kind(path, "power"))


def parse_power(path: Path, text: str) -> PowerReport:
    """The same of a file whose text is read and known to be one."""
    fields = FieldReader(path)
    lines = text.split("\n")
    head = header(lines, fields)
    sections = numbered_sections(lines, fields, headless=("Summary", "Environment"))
    tables = [table for section in sections if section.title == "Summary" for table in section.tables]
    if not tables or any(len(row) != 2 for row in tables[0].rows):
        raise fields.error(
            "Summary", "the table of totals is missing; the file is damaged or of an unknown form"
        )
    rows = {name.strip(): value.strip() for name, value in tables[0].rows}
    remarks = []

    def value(name: str) -> str | None:
        """A number without what Vivado remarks about it."""
        cell = rows.get(name)
        found = _REMARK.fullmatch(cell.rstrip("*").strip()) if cell else None
        if found and found[2]:
            remarks.append(found[2])
        bare = found[1] if found else cell
        return "-" if bare in _UNSET else bare

    state = fields.text("stage", head.design_state)
    box = {name: item for name, item in vars(head).items() if name != "speed_file"}
    watts = fields.fill(_WATTS, value)
    choices: dict[str, Any] = {
        field: _choice(field, rows.get(name), fields) for field, name in _CHOICES.items()
    }
    return PowerReport(
        path=path, stage=stage_of(state, fields), **box, **watts,
        confidence=fields.text("confidence", rows.get("Confidence Level")),
        **choices,
        remarks=tuple(remarks), unknown_fields=tuple(fields.unknown),
    )  # fmt: skip


REPORT_KINDS["power"] = KnownReport(
    parse_power,
    "a Vivado power report",
    marks=(r"^\| Command\s*: report_power\b",),
    files=r".*power.*\.rpt",
    steps=("vsynth", "impl"),
)
