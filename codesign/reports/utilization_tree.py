"""Utilisation by hierarchy and by kernel."""

from __future__ import annotations

import re
from collections.abc import Sequence

from codesign.reports.fields import FieldReader
from codesign.reports.records import Resources
from codesign.reports.tables import ReportTable
from codesign.reports.utilization_record import InstanceUse, KernelUse
from codesign.reports.vivado import VivadoSection

_PERCENT = re.compile(r"\s*\[\s*[<~]?-?[0-9.]+%\]")


def instances(sections: Sequence[VivadoSection], fields: FieldReader) -> tuple[InstanceUse, ...]:
    """The rows of the hierarchy, the top first."""
    table = _table(sections, "Utilization by Hierarchy", "Instance", fields)
    dsp = next(
        (name for name in table.columns if re.fullmatch(r"DSP(?:48)? Blocks|DSPs", name)), "DSP Blocks"
    )
    result = []
    for cells, row in zip(table.rows, table.records(), strict=True):
        name = row["Instance"]
        field = f"instances.{name}"

        def count(column: str, at: str = field, cells_by_name: dict[str, str] = row) -> int:
            return fields.known_integer(f"{at}.{column}", cells_by_name.get(column))

        used = Resources(
            lut=count("Total LUTs"),
            ff=count("FFs"),
            dsp=count(dsp),
            bram_18k=2 * count("RAMB36") + count("RAMB18"),
            uram=count("URAM") if "URAM" in row else None,
        )
        result.append(InstanceUse(
            name=name, module=fields.text(f"{field}.Module", row.get("Module")), depth=_depth(cells[0], step=2),
            used=used, logic_lut=count("Logic LUTs"), memory_lut=count("LUTRAMs"), shift_lut=count("SRLs"),
        ))  # fmt: skip
    return tuple(result)


def kernels(sections: Sequence[VivadoSection], fields: FieldReader) -> tuple[KernelUse, ...]:
    """The rows of the kernel table: the platform, the user's budget and its use, the kernels."""
    table = _table(sections, "System Utilization", "Name", fields)
    result = []
    for cells, row in zip(table.rows, table.records(), strict=True):
        field = f"kernels.{row['Name']}"
        # kernels may need more than their budget: what is left of it is then below 0
        below = row["Name"] == "Unused Resources"
        plain = {name: _PERCENT.sub("", cell) for name, cell in row.items()}
        result.append(KernelUse(
            name=row["Name"], depth=_depth(cells[0], step=3),
            used=Resources(
                lut=fields.known_integer(f"{field}.LUT", plain.get("LUT"), below),
                ff=fields.known_integer(f"{field}.REG", plain.get("REG"), below),
                dsp=fields.known_integer(f"{field}.DSP", plain.get("DSP"), below),
                # this table counts tiles of 36 Kb, as the site tables do
                bram_18k=fields.tiles(f"{field}.BRAM", plain.get("BRAM"), below),
                uram=fields.known_integer(f"{field}.URAM", plain["URAM"], below) if "URAM" in plain else None,
            ),
        ))  # fmt: skip
    return tuple(result)


def kernel_row(rows: Sequence[KernelUse], name: str, field: str, fields: FieldReader) -> Resources:
    """The resources of one row by name."""
    for row in rows:
        if row.name == name:
            return row.used
    raise fields.error(field, f"the table has no row {name!r}")


def _table(sections: Sequence[VivadoSection], title: str, first: str, fields: FieldReader) -> ReportTable:
    for section in sections:
        if section.title == title:
            for table in section.tables:
                if table.columns[0] == first and table.rows:
                    return table
    raise fields.error(
        title, "the table is missing or has no rows; the file is half written or of an unknown form"
    )


def _depth(cell: str, step: int) -> int:
    return (len(cell) - len(cell.lstrip()) - 1) // step
