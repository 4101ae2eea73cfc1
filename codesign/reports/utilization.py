"""`read_utilization`: Vivado's utilisation in any of its four forms: by site, by SLR, by hierarchy, by kernel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import ClassVar, Literal

from codesign.reports.fields import Column, Columns, FieldReader
from codesign.reports.records import Report, ReportKind, Resources
from codesign.reports.tables import ReportTable
from codesign.reports.text import REPORT_KINDS, KnownReport, read_kind
from codesign.reports.vivado import (
    VivadoHeader,
    VivadoSection,
    header,
    numbered_sections,
    stage_of,
    stage_of_command,
)

UtilizationForm = Literal["site", "slr", "hierarchical", "kernel"]
"""`report_utilization`, with `-slr`, with `-hierarchical`, and `report_accelerator_utilization`."""


@dataclass(frozen=True, kw_only=True)
class SiteRow:
    """One printed row of a site table.

    Parameters
    ----------
    section
        The title of its section; the same name may stand in several.
    name
        The site type as printed, without its footnote star.
    starred
        Whether it has the star: on the LUTs it says that the netlist is not placed yet.
    depth
        How deep it is indented, 0 for a total.
    used, fixed, prohibited, available
        Counts; block-RAM tiles are counted in halves. ``None`` where the cell is blank.
    """

    section: str
    name: str
    starred: bool
    depth: int
    used: float
    fixed: float | None
    prohibited: float | None
    available: float | None


@dataclass(frozen=True, kw_only=True)
class CellCount:
    """How often a cell is used, and what kind it is; a black box has no kind."""

    name: str
    count: int
    category: str | None


@dataclass(frozen=True, kw_only=True)
class RegionUse:
    """What one super logic region (SLR) holds."""

    name: str
    used: Resources


@dataclass(frozen=True, kw_only=True)
class InstanceUse:
    """One line of the hierarchy.

    Parameters
    ----------
    name, module
        Instance and module; a name in parentheses is what an instance holds itself.
    depth
        0 for the top.
    used
        Everything below it included.
    logic_lut, memory_lut, shift_lut
        Its LUTs by use: logic, distributed RAM, shift registers.
    """

    name: str
    module: str
    depth: int
    used: Resources
    logic_lut: int
    memory_lut: int
    shift_lut: int


@dataclass(frozen=True, kw_only=True)
class KernelUse:
    """One line of the kernel table: `Platform`, `User Budget`, a kernel or one of its compute units."""

    name: str
    depth: int
    used: Resources


@dataclass(frozen=True, kw_only=True)
class UtilizationReport(Report):
    """Resources of a netlist.

    Parameters
    ----------
    form
        Which form was read; it decides what `used` is: the totals (`site`), the sum over the regions (`slr`), the
        top instance (`hierarchical`), the kernels without the platform (`kernel`).
    command
        The Tcl command.
    speed_file
        The speed grade; printed from 2022 on.
    design_state
        As printed, ``None`` where it is not; see `stage` for its meaning.
    used
        Resources in use.
    available
        Those of the part, for `kernel` those the platform leaves; not printed in `slr` and `hierarchical`.
    sections
        Number and title of each section.
    rows, primitives, regions, instances, kernels
        The tables, as far as the form has them.
    black_boxes
        Cells whose contents are not in the netlist: the counts are those of a shell (see `is_complete`).
    """

    kind: ClassVar[ReportKind] = "utilization"
    derived: ClassVar[tuple[str, ...]] = ("is_complete",)

    form: UtilizationForm
    build: str
    command: str
    speed_file: str | None
    design_state: str | None
    used: Resources
    available: Resources | None
    sections: tuple[str, ...]
    rows: tuple[SiteRow, ...] = ()
    primitives: tuple[CellCount, ...] = ()
    black_boxes: tuple[CellCount, ...] = ()
    regions: tuple[RegionUse, ...] = ()
    instances: tuple[InstanceUse, ...] = ()
    kernels: tuple[KernelUse, ...] = ()

    @property
    def headline(self) -> object:
        """The resources used."""
        return self.used

    @property
    def is_complete(self) -> bool:
        """Whether everything of the design was counted; a netlist with black boxes was not."""
        return not self.black_boxes


def read_utilization(path: str | Path) -> UtilizationReport:
    """Read a utilisation report of Vivado.

    Parameters
    ----------
    path
        What `report_utilization` (also with `-slr` or `-hierarchical`) or `report_accelerator_utilization` wrote,
        for a 7-series, UltraScale, UltraScale+ or Versal part.

    Returns
    -------
    UtilizationReport
        The record. `stage` follows the printed `Design State`, with one exception: the star on the LUT count says
        that the netlist is not placed, so a state beyond placement is then that of a static platform around it,
        and the stage is `synthesis`.

    Raises
    ------
    ReportMissingError
        There is no such file.
    ReportFormatError
        The file is empty, damaged, cut, or no utilisation report; the message names the field.
    """
    return parse_utilization(Path(path), read_kind(path, "utilization"))


def parse_utilization(path: Path, text: str) -> UtilizationReport:
    """The same of a file whose text is read and known to be one."""
    fields = FieldReader(path)
    lines = text.split("\n")
    head = header(lines, fields)
    sections = numbered_sections(lines, fields)
    titles = {section.title for section in sections}
    if "System Utilization" in titles:
        rows = kernels(sections, fields)
        used = kernel_row(rows, "Used Resources", "used", fields)
        budget = kernel_row(rows, "User Budget", "available", fields)
        return replace(_report(path, head, sections, fields, "kernel", used, budget), kernels=rows)
    if "Utilization by Hierarchy" in titles:
        tree = instances(sections, fields)
        return replace(
            _report(path, head, sections, fields, "hierarchical", tree[0].used, None), instances=tree
        )
    return _site_report(path, head, sections, fields)


REPORT_KINDS["utilization"] = KnownReport(
    parse_utilization,
    "a Vivado utilisation report",
    marks=(r"^\| Command\s*: report_(?:accelerator_)?utilization\b",),
    files=r"vivado_(?:synth|impl)(?:_opted|_routed)?(?:_hierarchical)?\.rpt|(?!.*clock).*util.*\.rpt",
    steps=("vsynth", "impl"),
)


def _site_report(
    path: Path, head: VivadoHeader, sections: list[VivadoSection], fields: FieldReader
) -> UtilizationReport:
    parts = regions(sections, fields)
    rows = site_rows(sections, fields)
    if not rows:
        if not parts:
            titles = ", ".join(section.title for section in sections)
            raise fields.error("sections", f"no table of sites, hierarchy, regions or kernels in: {titles}")
        report = _report(path, head, sections, fields, "slr", total_of([part.used for part in parts]), None)
        return replace(report, regions=parts)
    used, available, unplaced = totals(rows, fields)
    report = _report(path, head, sections, fields, "site", used, available)
    if unplaced and report.stage in ("post-place", "post-route"):
        report = replace(report, stage="synthesis")
    cells, boxes = (cell_counts(sections, title, fields) for title in ("Primitives", "Black Boxes"))
    return replace(report, rows=rows, primitives=cells, black_boxes=boxes, regions=parts)


def _report(
    path: Path, head: VivadoHeader, sections: list[VivadoSection], fields: FieldReader, form: UtilizationForm,
    used: Resources, available: Resources | None,
) -> UtilizationReport:  # fmt: skip
    stage = stage_of(head.design_state, fields) if head.design_state else stage_of_command(head.command)
    return UtilizationReport(
        path=path, stage=stage, **vars(head), form=form, used=used, available=available,
        sections=tuple(f"{section.number} {section.title}" for section in sections),
        unknown_fields=tuple(fields.unknown),
    )  # fmt: skip


# the section (by the end of its title) and the names that a count has in the families: 7 series, UltraScale(+), Versal
_SITE_NAMES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "lut": (("CLB Logic", "Slice Logic", "Netlist Logic"), ("CLB LUTs", "Slice LUTs")),
    "ff": (("CLB Logic", "Slice Logic", "Netlist Logic"), ("CLB Registers", "Slice Registers", "Registers")),
    "dsp": (("ARITHMETIC", "DSP"), ("DSPs", "DSP Slices")),
    "bram_18k": (("BLOCKRAM", "Memory"), ("Block RAM Tile",)),
    "uram": (("BLOCKRAM", "Memory"), ("URAM",)),
    "carry8": (("CLB Logic", "Netlist Logic"), ("CARRY8", "LOOKAHEAD8")),
}
_OPTIONAL = frozenset({"uram", "carry8"})
_REGIONS = "SLR CLB Logic and Dedicated Block Utilization"


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
    bare = cells[0].rstrip("*")
    name = bare.lstrip()
    field = f"{section}/{name}"

    def optional(column: str) -> float | None:
        return fields.known_decimal(f"{field}/{column}", row[column]) if row.get(column) else None

    return SiteRow(
        section=section,
        name=name,
        starred=bare != cells[0],
        depth=(len(bare) - len(name) - 1) // 2,
        used=fields.known_decimal(f"{field}/Used", row["Used"]),
        fixed=optional("Fixed"),
        prohibited=optional("Prohibited"),
        available=optional("Available"),
    )


def totals(rows: Sequence[SiteRow], fields: FieldReader) -> tuple[Resources, Resources, bool]:
    """Used and available resources, and whether the LUT count is still that of an unplaced netlist."""
    found: dict[str, SiteRow] = {}
    for field, (sections, names) in _SITE_NAMES.items():
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
        for field, (_, names) in _SITE_NAMES.items():
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


_PERCENT = re.compile(r"\s*\[\s*[<~]?-?[0-9.]+%\]")


_INSTANCE: Columns = {
    "module": Column("Module", "text"),
    "logic_lut": Column("Logic LUTs", known=True),
    "memory_lut": Column("LUTRAMs", known=True),
    "shift_lut": Column("SRLs", known=True),
}
_INSTANCE_USED: Columns = {
    "lut": Column("Total LUTs", known=True),
    "ff": Column("FFs", known=True),
    "dsp": Column(("DSP Blocks", "DSP48 Blocks", "DSPs"), known=True),
    "ramb36": Column("RAMB36", known=True),
    "ramb18": Column("RAMB18", known=True),
    "uram": Column("URAM", known=True, optional=True),
}
_KERNEL_USED: Columns = {
    "lut": Column("LUT", known=True),
    "ff": Column("REG", known=True),
    "dsp": Column("DSP", known=True),
    "bram_18k": Column("BRAM", "tiles"),
    "uram": Column("URAM", known=True, optional=True),
}


def instances(sections: Sequence[VivadoSection], fields: FieldReader) -> tuple[InstanceUse, ...]:
    """The rows of the hierarchy, the top first."""
    table = _table(sections, "Utilization by Hierarchy", "Instance", fields)
    result = []
    for cells, row in zip(table.rows, table.records(), strict=True):
        prefix = f"instances.{row['Instance']}."
        own = fields.fill(_INSTANCE, row.get, prefix)
        counts = fields.fill(_INSTANCE_USED, row.get, prefix)
        counts["bram_18k"] = 2 * counts.pop("ramb36") + counts.pop("ramb18")
        result.append(
            InstanceUse(name=row["Instance"], depth=_depth(cells[0], step=2), used=Resources(**counts), **own)
        )
    return tuple(result)


def kernels(sections: Sequence[VivadoSection], fields: FieldReader) -> tuple[KernelUse, ...]:
    """The rows of the kernel table: the platform, the user's budget and its use, the kernels."""
    table = _table(sections, "System Utilization", "Name", fields)
    result = []
    for cells, row in zip(table.rows, table.records(), strict=True):
        # kernels may need more than their budget: what is left of it is then below 0
        below = row["Name"] == "Unused Resources"
        counts = {name: _PERCENT.sub("", cell) for name, cell in row.items()}
        used = fields.fill(_KERNEL_USED, counts.get, f"kernels.{row['Name']}.", signed=below)
        result.append(KernelUse(name=row["Name"], depth=_depth(cells[0], step=3), used=Resources(**used)))
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
