"""Site tables (`Site Type | Used | Fixed | Prohibited | Available | Util%`) and the tables by SLR."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields as dataclass_fields

from codesign.reports.fields import FieldReader
from codesign.reports.records import Resources
from codesign.reports.tables import ReportTable
from codesign.reports.utilization_record import CellCount, RegionUse, SiteRow
from codesign.reports.vivado import VivadoSection

# the section (by the end of its title) and the names that a count has in the families: 7 series, UltraScale(+), Versal
_NAMES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "lut": (("CLB Logic", "Slice Logic", "Netlist Logic"), ("CLB LUTs", "Slice LUTs")),
    "ff": (("CLB Logic", "Slice Logic", "Netlist Logic"), ("CLB Registers", "Slice Registers", "Registers")),
    "dsp": (("ARITHMETIC", "DSP"), ("DSPs", "DSP Slices")),
    "bram_18k": (("BLOCKRAM", "Memory"), ("Block RAM Tile",)),
    "uram": (("BLOCKRAM", "Memory"), ("URAM",)),
    "carry8": (("CLB Logic", "Netlist Logic"), ("CARRY8", "LOOKAHEAD8")),
}
_OPTIONAL = frozenset({"uram", "carry8"})
_REGIONS = "SLR CLB Logic and Dedicated Block Utilization"
_STARS = re.compile(r"(\s*)(.*?)(\**)")


def site_rows(sections: Sequence[VivadoSection], fields: FieldReader) -> tuple[SiteRow, ...]:
    """Every row of every site table."""
    rows = []
    for section in sections:
        for table in section.tables:
            if table.columns[:2] == ("Site Type", "Used"):
                rows += [_row(section.title, cells, row, fields) for cells, row in _pairs(table)]
    return tuple(rows)


def _pairs(table: ReportTable) -> list[tuple[tuple[str, ...], dict[str, str]]]:
    return list(zip(table.rows, table.records(), strict=True))


def _row(section: str, cells: tuple[str, ...], row: dict[str, str], fields: FieldReader) -> SiteRow:
    found = _STARS.fullmatch(cells[0])
    indent, name, stars = found.groups() if found else ("", cells[0], "")
    field = f"{section}/{name}"

    def optional(column: str) -> float | None:
        return fields.known_decimal(f"{field}/{column}", row[column]) if row.get(column) else None

    return SiteRow(
        section=section,
        name=name,
        starred=bool(stars),
        depth=(len(indent) - 1) // 2,
        used=fields.known_decimal(f"{field}/Used", row["Used"]),
        fixed=optional("Fixed"),
        prohibited=optional("Prohibited"),
        available=optional("Available"),
    )


def totals(rows: Sequence[SiteRow], fields: FieldReader) -> tuple[Resources, Resources, bool]:
    """Used and available resources, and whether the LUT count is still that of an unplaced netlist."""
    found: dict[str, SiteRow] = {}
    for field, (sections, names) in _NAMES.items():
        matches = [row for row in rows if row.section in sections and row.name in names]
        if matches:
            found[field] = matches[0]
        elif field not in _OPTIONAL:
            raise fields.error(
                f"used.{field}", f"no row {' or '.join(names)} in the section {' or '.join(sections)}"
            )
    used = {name: _count(name, row.used, f"used.{name}", fields) for name, row in found.items()}
    available = {}
    for name, row in found.items():
        if row.available is None:
            raise fields.error(f"available.{name}", f"the row {row.name!r} has no available count")
        available[name] = _count(name, row.available, f"available.{name}", fields)
    return Resources(**used), Resources(**available), found["lut"].starred


def _count(name: str, value: float, field: str, fields: FieldReader) -> int:
    """A whole count; tiles of 36 Kb become twice as many blocks of 18 Kb."""
    count = value * 2 if name == "bram_18k" else value
    if count != int(count):
        raise fields.error(
            field, f"{value:g} is no count of {'half tiles' if name == 'bram_18k' else 'blocks'}"
        )
    return int(count)


def cell_counts(sections: Sequence[VivadoSection], title: str, fields: FieldReader) -> tuple[CellCount, ...]:
    """The table of library cells (`Primitives`) or of what the netlist lacks (`Black Boxes`)."""
    tables = [table for section in sections if section.title == title for table in section.tables]
    return tuple(
        CellCount(
            name=row["Ref Name"],
            count=fields.known_integer(f"{title}/{row['Ref Name']}", row.get("Used")),
            category=row.get("Functional Category"),
        )
        for table in tables
        if "Ref Name" in table.columns
        for row in table.records()
    )


def regions(sections: Sequence[VivadoSection], fields: FieldReader) -> tuple[RegionUse, ...]:
    """What each SLR holds; empty if the report has no table by SLR."""
    tables = [table for section in sections if section.title == _REGIONS for table in section.tables]
    if not tables:
        return ()
    tables[0].require(fields, "Site Type")
    # this table has sub-rows first (CLBL below CLB); the first of a name is the total
    by_name: dict[str, dict[str, str]] = {}
    for row in tables[0].records():
        by_name.setdefault(row["Site Type"].rstrip("*"), row)
    columns = [name for name in tables[0].columns if re.fullmatch(r"SLR\d+", name)]
    result = []
    for column in columns:
        counts = {}
        for field, (_, names) in _NAMES.items():
            label = f"regions.{column}.{field}"
            cells = [by_name[name][column] for name in names if name in by_name]
            if cells:
                counts[field] = _count(field, fields.known_decimal(label, cells[0]), label, fields)
            elif field not in _OPTIONAL:
                raise fields.error(label, f"no row {' or '.join(names)}")
        result.append(RegionUse(name=column, used=Resources(**counts)))
    return tuple(result)


def total_of(parts: Sequence[Resources]) -> Resources:
    """The sum of resources, of those counts that every part has."""
    names = [field.name for field in dataclass_fields(Resources)]
    values = {name: [getattr(part, name) for part in parts] for name in names}
    return Resources(**{name: sum(items) if None not in items else None for name, items in values.items()})
