"""`read_utilization`: Vivado's utilisation in any of its four forms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from codesign.reports.fields import FieldReader
from codesign.reports.records import Resources
from codesign.reports.text import read_kind
from codesign.reports.utilization_record import UtilizationForm, UtilizationReport
from codesign.reports.utilization_site import cell_counts, regions, site_rows, total_of, totals
from codesign.reports.utilization_tree import instances, kernel_row, kernels
from codesign.reports.vivado import (
    VivadoHeader,
    VivadoSection,
    header,
    numbered_sections,
    stage_of,
    stage_of_command,
)


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
    path = Path(path)
    text = read_kind(path, "utilization")
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
    stage = stage_of(head.state, fields) if head.state else stage_of_command(head.command)
    return UtilizationReport(
        path=path, stage=stage, tool="Vivado", version=head.version, build=head.build,
        part=head.device, top=head.design, date=fields.date(head.date_text), form=form, command=head.command,
        speed_file=head.speed_file, design_state=head.state, used=used, available=available,
        sections=tuple(f"{section.number} {section.title}" for section in sections),
        unknown_fields=tuple(fields.unknown),
    )  # fmt: skip
