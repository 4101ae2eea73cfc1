"""The summary `csynth.rpt` that Vitis HLS writes for a whole design."""

from __future__ import annotations

import re
from pathlib import Path

from codesign.reports.csynth_record import CsynthReport, LoopEstimate, ModuleEstimate
from codesign.reports.fields import FieldReader
from codesign.reports.hls_sections import header, section, sections
from codesign.reports.records import Resources
from codesign.reports.tables import drawn_tables

_NAME = re.compile(r"(\s*)([+o]) (.+?)(\*?)")
_COUNT = re.compile(r"([0-9]+) \(~?[0-9]+%\)")
_NEEDED = ("Modules & Loops", "Latency (cycles)", "Interval", "Pipelined", "BRAM", "DSP", "FF", "LUT", "URAM")


def parse_csynth_summary(path: Path, text: str) -> CsynthReport:
    """Read the summary form.

    It prints one latency, the worst case; no clock; and ``-`` where a module uses nothing of a resource, which
    stays ``None`` here and is named in `unknown_fields`.

    Raises
    ------
    ReportFormatError
        A table or section that breaks off, or a missing or malformed field.
    """
    fields = FieldReader(path)
    found = sections(text, fields)
    first = next(iter(found.values()))
    head = header(first, fields)
    if head.version >= "2021.1":  # before, there was none
        section(found, "HW Interfaces", fields)
    if head.version >= "2021.2" and not any(
        name.endswith("Pragma Report") and any(line.strip() for line in part.lines)
        for name, part in found.items()
    ):
        raise fields.error(
            "Pragma Report", "the last section is missing; the file is half written or was cut"
        )
    tables = drawn_tables(first.lines, fields, first.first_line)
    if not tables or any(name not in tables[0].columns for name in _NEEDED):
        raise fields.error(
            "Performance & Resource Estimates", f"there is no table with the columns {_NEEDED}"
        )
    parts = [
        _part(cells, row, fields) for cells, row in zip(tables[0].rows, tables[0].records(), strict=True)
    ]
    if (
        not parts
        or not isinstance(parts[0], ModuleEstimate)
        or parts[0].name != head.top
        or not parts[0].used
    ):
        raise fields.error("top", f"the first row of the table is not the top function {head.top!r}")
    top, row = parts[0], next(tables[0].records())
    return CsynthReport(
        path=path, stage="csynth", tool=head.tool, version=head.version, form="summary", build=head.build,
        part=head.part, top=head.top, date=fields.date(head.date_text), family=head.family, project=head.project,
        solution=head.solution, flow_target=head.flow_target,
        target_clock_ns=None, clock_uncertainty_ns=None, estimated_clock_ns=None,
        slack_ns=fields.decimal("slack_ns", row["Slack"], signed=True) if "Slack" in row else None,
        latency_cycles_min=None, latency_cycles_avg=None, latency_cycles_max=top.latency_cycles_max,
        interval_cycles_min=None, interval_cycles_max=top.interval_cycles_max,
        latency_ns_min=None, latency_ns_max=fields.decimal("latency_ns_max", row.get("Latency (ns)")),
        pipeline_type=fields.text("pipeline_type", row["Pipelined"]),
        used=parts[0].used, available=None, available_slr=None,
        modules=tuple(part for part in parts if isinstance(part, ModuleEstimate)),
        loops=tuple(part for part in parts if isinstance(part, LoopEstimate)),
        rtl_ports=None, unknown_fields=tuple(_short(name, head.top) for name in fields.unknown),
    )  # fmt: skip


def _short(field: str, top: str) -> str:
    """The top's row is the report itself: `modules.<top>.used.lut` is the report's `used.lut`."""
    return field.removeprefix(f"modules.{top}.")


def _part(cells: tuple[str, ...], row: dict[str, str], fields: FieldReader) -> ModuleEstimate | LoopEstimate:
    name = _NAME.fullmatch(cells[0])
    if name is None:
        raise fields.error("Modules & Loops", f"{cells[0]!r} is neither a module nor a loop")
    is_module = name[2] == "+"
    field = f"{'modules' if is_module else 'loops'}.{name[3]}"
    # where a range is printed the worst case is its end
    latency = fields.integer(f"{field}.latency_cycles_max", row["Latency (cycles)"].rpartition("~")[2])
    interval = row["Interval"].rpartition("~")[2]
    if is_module:
        return ModuleEstimate(
            name=name[3], depth=len(name[1]),
            latency_cycles_max=latency,
            interval_cycles_max=fields.integer(f"{field}.interval_cycles_max", interval),
            used=Resources(
                lut=_count(fields, f"{field}.used.lut", row["LUT"]),
                ff=_count(fields, f"{field}.used.ff", row["FF"]),
                dsp=_count(fields, f"{field}.used.dsp", row["DSP"]),
                bram_18k=_count(fields, f"{field}.used.bram_18k", row["BRAM"]),
                uram=_count(fields, f"{field}.used.uram", row["URAM"]),
            ),
        )  # fmt: skip
    iteration = fields.bounds(f"{field}.iteration_latency_cycles", row.get("Iteration Latency"))
    trips = fields.bounds(f"{field}.trip_count", row.get("Trip Count"))
    pipelined = row["Pipelined"] != "no"
    return LoopEstimate(
        name=name[3], depth=len(name[1]) - 1, latency_cycles_min=None, latency_cycles_max=latency,
        iteration_latency_cycles_min=iteration[0], iteration_latency_cycles_max=iteration[1],
        ii_cycles=fields.integer(f"{field}.ii_cycles", interval) if pipelined else None, target_ii_cycles=None,
        trip_count_min=trips[0], trip_count_max=trips[1], pipelined=pipelined,
    )  # fmt: skip


def _count(fields: FieldReader, field: str, cell: str) -> int | None:
    """A count with its percentage, ``16 (~0%)``."""
    found = _COUNT.fullmatch(cell)
    return fields.integer(field, found[1] if found else cell)
