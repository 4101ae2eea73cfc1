"""C synthesis as text: `<top>_csynth.rpt` of Vivado HLS and Vitis HLS."""

from __future__ import annotations

import re
from pathlib import Path

from codesign.reports.csynth_record import CsynthReport, LoopEstimate, ModuleEstimate
from codesign.reports.fields import FieldReader
from codesign.reports.hls_sections import header, labelled_tables, section, sections
from codesign.reports.records import Resources
from codesign.reports.tables import ReportTable

_UNIT = re.compile(r".*\((ns)\)")
_LOOP = re.compile(r"(\s*)([-o]|\++) (.+)")
_Labelled = dict[str, tuple[str, ReportTable | None]]


def parse_csynth_rpt(path: Path, text: str) -> CsynthReport:
    """Read the text form.

    Raises
    ------
    ReportFormatError
        A table or section that breaks off, or a missing or malformed field.
    """
    fields = FieldReader(path)
    found = sections(text, fields)
    head = header(next(iter(found.values())), fields)
    performance = labelled_tables(section(found, "Performance Estimates", fields), fields)
    area = labelled_tables(section(found, "Utilization Estimates", fields), fields)
    ports = labelled_tables(section(found, "Interface", fields), fields)
    clock, unit = _clock(performance, fields)
    latency = _only_row(performance, "Latency/Summary", fields)
    resources = _resource_rows(area, fields)
    timed = "Latency (absolute) min" in latency
    cycles = "Latency (cycles)" if timed else "Latency"
    return CsynthReport(
        path=path, stage="csynth", tool=head.tool, version=head.version, form="rpt", build=head.build,
        part=head.part, top=head.top, date=fields.date(head.date_text), family=head.family, project=head.project,
        solution=head.solution, flow_target=head.flow_target,
        target_clock_ns=fields.nanoseconds("target_clock_ns", clock.get("Target"), unit),
        clock_uncertainty_ns=fields.nanoseconds("clock_uncertainty_ns", clock.get("Uncertainty"), unit),
        estimated_clock_ns=fields.nanoseconds("estimated_clock_ns", clock.get("Estimated"), unit),
        slack_ns=None,
        latency_cycles_min=fields.integer("latency_cycles_min", latency.get(f"{cycles} min")),
        latency_cycles_avg=None,
        latency_cycles_max=fields.integer("latency_cycles_max", latency.get(f"{cycles} max")),
        interval_cycles_min=fields.integer("interval_cycles_min", latency.get("Interval min")),
        interval_cycles_max=fields.integer("interval_cycles_max", latency.get("Interval max")),
        latency_ns_min=fields.nanoseconds("latency_ns_min", latency["Latency (absolute) min"]) if timed else None,
        latency_ns_max=fields.nanoseconds("latency_ns_max", latency.get("Latency (absolute) max")) if timed else None,
        pipeline_type=fields.text("pipeline_type", latency.get("Pipeline Type")),
        used=_resources(fields, "used", resources.get("Total")),
        available=_resources(fields, "available", resources.get("Available")),
        available_slr=_resources(fields, "available_slr", resources["Available SLR"])
        if "Available SLR" in resources else None,
        modules=_modules(performance, area, fields),
        loops=_loops(performance, fields),
        rtl_ports=_port_count(ports, fields),
        unknown_fields=tuple(fields.unknown),
    )  # fmt: skip


def _table(labelled: _Labelled, label: str, field: str, fields: FieldReader) -> ReportTable:
    table = labelled.get(label, ("", None))[1]
    if table is None:
        raise fields.error(
            field, f"the table under {label!r} is missing; the file is damaged or of an unknown form"
        )
    return table


def _port_count(ports: _Labelled, fields: FieldReader) -> int:
    """Ports of the last table; no module has none, so an empty table was cut."""
    count = len(_table(ports, "Summary", "rtl_ports", fields).rows)
    if count == 0:
        raise fields.error("rtl_ports", "the table of ports is empty; the file is half written or was cut")
    return count


def _only_row(labelled: _Labelled, label: str, fields: FieldReader) -> dict[str, str]:
    rows = list(_table(labelled, label, label, fields).records())
    if len(rows) != 1:
        raise fields.error(
            label, f"{len(rows)} rows where one belongs; the file is damaged or of an unknown form"
        )
    return rows[0]


def _clock(performance: _Labelled, fields: FieldReader) -> tuple[dict[str, str], str | None]:
    """The one clock of a C design, and the unit of bare numbers (2016 to 2018 print it in the heading)."""
    row = _only_row(performance, "Timing/Summary", fields)
    unit = _UNIT.fullmatch(performance["Timing/Summary"][0])
    return row, unit[1] if unit else None


def _resource_rows(area: _Labelled, fields: FieldReader) -> dict[str, dict[str, str]]:
    return {row["Name"]: row for row in _table(area, "Summary", "used", fields).records() if row.get("Name")}


def _resources(fields: FieldReader, name: str, row: dict[str, str] | None) -> Resources:
    if row is None:
        raise fields.error(name, "its row of the utilisation table is missing")
    return Resources(
        lut=fields.integer(f"{name}.lut", row.get("LUT")),
        ff=fields.integer(f"{name}.ff", row.get("FF")),
        dsp=fields.integer(f"{name}.dsp", row.get("DSP", row.get("DSP48E"))),
        bram_18k=fields.integer(f"{name}.bram_18k", row.get("BRAM_18K")),
        # Vivado HLS before 2019 does not know UltraRAM
        uram=fields.integer(f"{name}.uram", row["URAM"]) if "URAM" in row else None,
    )


def _modules(performance: _Labelled, area: _Labelled, fields: FieldReader) -> tuple[ModuleEstimate, ...]:
    """Instances below the top: cycles from one table, resources from another (which lists some more)."""
    timed = performance.get("Latency/Detail/Instance", ("", None))[1]
    sized = area.get("Detail/Instance", ("", None))[1]
    for table in (timed, sized):
        if table is not None:
            table.require(fields, "Instance", "Module")
    cycles = {row["Instance"]: row for row in timed.records()} if timed else {}
    sizes = {row["Instance"]: row for row in sized.records() if row["Instance"] != "Total"} if sized else {}
    modules = []
    for instance in {**cycles, **sizes}:
        row = cycles.get(instance, {})
        field = f"modules.{instance}"
        head = "Latency (cycles)" if "Latency (cycles) min" in row else "Latency"
        bounds = [
            fields.integer(f"{field}.{name}_{end}", row.get(f"{label} {end}")) if row else None
            for name, label in (("latency_cycles", head), ("interval_cycles", "Interval"))
            for end in ("min", "max")
        ]
        modules.append(
            ModuleEstimate(
                name=(row or sizes[instance])["Module"],
                instance=instance,
                latency_cycles_min=bounds[0],
                latency_cycles_max=bounds[1],
                interval_cycles_min=bounds[2],
                interval_cycles_max=bounds[3],
                used=_resources(fields, f"{field}.used", sizes[instance]) if instance in sizes else None,
            )
        )
    return tuple(modules)


def _loops(performance: _Labelled, fields: FieldReader) -> tuple[LoopEstimate, ...]:
    table = performance.get("Latency/Detail/Loop", ("", None))[1]
    loops = []
    for cells, row in zip(table.rows, table.records(), strict=True) if table else ():
        name = _LOOP.fullmatch(cells[0])
        if name is None:
            raise fields.error(
                "loops", f"{cells[0]!r} is no loop of the table at line {table.line if table else 0}"
            )
        field = f"loops.{name[3]}"
        head = "Latency (cycles)" if "Latency (cycles) min" in row else "Latency"
        iteration = fields.bounds(f"{field}.iteration_latency_cycles", row.get("Iteration Latency"))
        trips = fields.bounds(f"{field}.trip_count", row.get("Trip Count"))
        pipelined = fields.text(f"{field}.pipelined", row.get("Pipelined")) != "no"
        intervals = [
            fields.integer(f"{field}.{end}", row.get(f"Initiation Interval {label}")) if pipelined else None
            for end, label in (("ii_cycles", "achieved"), ("target_ii_cycles", "target"))
        ]
        loops.append(LoopEstimate(
            name=name[3].strip(), depth=len(name[2]) if name[2].startswith("+") else len(name[1]),
            latency_cycles_min=fields.integer(f"{field}.latency_cycles_min", row.get(f"{head} min")),
            latency_cycles_max=fields.integer(f"{field}.latency_cycles_max", row.get(f"{head} max")),
            iteration_latency_cycles_min=iteration[0], iteration_latency_cycles_max=iteration[1],
            ii_cycles=intervals[0], target_ii_cycles=intervals[1],
            trip_count_min=trips[0], trip_count_max=trips[1], pipelined=pipelined,
        ))  # fmt: skip
    return tuple(loops)
