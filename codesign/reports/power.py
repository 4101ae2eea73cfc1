"""`read_power`: Vivado's power report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from codesign.reports.fields import FieldReader
from codesign.reports.records import Report, ReportKind
from codesign.reports.text import read_kind
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


class _Summary:
    """The table of names and values at the top of the report."""

    def __init__(self, rows: dict[str, str], fields: FieldReader) -> None:
        self.rows = rows
        self.fields = fields
        self.remarks: list[str] = []

    def watts(self, field: str, name: str) -> float:
        return self.fields.known_decimal(field, self._value(name))

    def number(self, field: str, name: str) -> float | None:
        cell = self._value(name)
        return self.fields.decimal(field, "-" if cell in _UNSET else cell, signed=True)

    def choice(self, field: str, name: str) -> str | None:
        cell = self.fields.text(field, self.rows.get(name))
        if cell in ("---", "NA"):
            self.fields.unknown.append(field)
            return None
        return cell

    def _value(self, name: str) -> str | None:
        cell = self.rows.get(name)
        found = _REMARK.fullmatch(cell.rstrip("*").strip()) if cell else None
        if found and found[2]:
            self.remarks.append(found[2])
        return found[1] if found else cell


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
    summary = _Summary({name.strip(): value.strip() for name, value in tables[0].rows}, fields)
    state = fields.text("stage", head.state)
    return PowerReport(
        path=path, stage=stage_of(state, fields), tool="Vivado", version=head.version, build=head.build,
        part=head.device, top=head.design, date=fields.date(head.date_text), command=head.command,
        design_state=state,
        power_w=summary.watts("power_w", "Total On-Chip Power (W)"),
        dynamic_power_w=summary.watts("dynamic_power_w", "Dynamic (W)"),
        static_power_w=summary.watts("static_power_w", "Device Static (W)"),
        power_budget_w=summary.number("power_budget_w", "Design Power Budget (W)"),
        power_budget_margin_w=summary.number("power_budget_margin_w", "Power Budget Margin (W)"),
        effective_tja_c_per_w=summary.number("effective_tja_c_per_w", "Effective TJA (C/W)"),
        max_ambient_c=summary.number("max_ambient_c", "Max Ambient (C)"),
        junction_temperature_c=summary.number("junction_temperature_c", "Junction Temperature (C)"),
        confidence=fields.text("confidence", summary.rows.get("Confidence Level")),
        setting_file=summary.choice("setting_file", "Setting File"),
        activity_file=summary.choice("activity_file", "Simulation Activity File"),
        nets_matched=summary.choice("nets_matched", "Design Nets Matched"),
        remarks=tuple(summary.remarks), unknown_fields=tuple(fields.unknown),
    )  # fmt: skip
