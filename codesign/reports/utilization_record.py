"""What a Vivado utilisation report says, in whichever of its four forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from codesign.reports.records import Report, ReportKind, Resources

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
    def is_complete(self) -> bool:
        """Whether everything of the design was counted; a netlist with black boxes was not."""
        return not self.black_boxes
