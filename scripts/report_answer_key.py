"""An answer key to tool reports, as pairs of what is printed and what was read.

Each function takes the key's values of one file, text as printed, and the record that a reader made of the file.
The key is turned into numbers here by code of its own, not by the readers'.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from typing import Any

from codesign.reports import (
    CosimReport,
    CsimReport,
    CsynthReport,
    ExportReport,
    PowerReport,
    Resources,
    TimingReport,
    TransactionReport,
    UtilizationReport,
)

UNKNOWN = {"?", "-", "undef", "NA", "---", "Unspecified*"}
SCALES = {"ns": Fraction(1), "us": Fraction(1000), "ms": Fraction(10**6), "sec": Fraction(10**9)}
DATES = ("%a %b %d %H:%M:%S %Y", "%a %b %d %I:%M:%S %p %Y", "%a %d %b %Y %I:%M:%S %p")

Pairs = Iterator[tuple[str, Any, Any]]
"""What was compared: (the key's field, the key's value, the record's value)."""


def number(cell: str | None) -> float | None:
    """The number that a cell of the key shows; ``None`` for the tools' marks of the unknown and for no cell."""
    return None if cell is None or cell in UNKNOWN or not cell.strip() else float(cell.split(" (")[0])


def nanoseconds(cell: str | None) -> float | None:
    """A time of the key in ns; a bare number is one already."""
    if cell is None or cell in UNKNOWN:
        return None
    value, _, unit = cell.partition(" ")
    return float(Fraction(value) * SCALES[unit or "ns"])


def date(cell: str) -> datetime:
    """A date of the key; time zones and stray dots are left out."""
    text = " ".join(word for word in cell.rstrip(".").split() if word not in ("PDT", "CEST"))
    for form in DATES:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise ValueError(f"the key has an unknown date {cell!r}")


def percent(used: float, available: float, cell: str) -> str:
    """A share as the cell of the key shows it: HLS cuts to whole percents, Vivado rounds to hundredths."""
    share = 100 * Fraction(used) / Fraction(available) if available else Fraction(0)
    if "." not in cell:
        return "~0" if 0 < share < 1 else str(int(share))
    # 3.125 is printed as 3.13
    return "<0.01" if 0 < share < Fraction(1, 100) else f"{int(share * 100 + Fraction(1, 2)) / 100:.2f}"


def resources(name: str, key: dict[str, str], record: Resources) -> Pairs:
    """HLS counts by the tools' names."""
    yield f"{name}.lut", number(key["LUT"]), record.lut
    yield f"{name}.ff", number(key["FF"]), record.ff
    yield f"{name}.dsp", number(key.get("DSP", key.get("DSP48E"))), record.dsp
    yield f"{name}.bram_18k", number(key.get("BRAM_18K", key.get("BRAM"))), record.bram_18k
    yield f"{name}.uram", number(key.get("URAM")), record.uram


def csynth_text(key: dict[str, Any], record: CsynthReport) -> Pairs:
    """The header that both text forms print."""
    for name, value in (
        ("tool", record.tool), ("top", record.top), ("version", record.version), ("project", record.project),
        ("product_family", record.family), ("part", record.part), ("date", str(record.date)),
        ("version_line", f"{record.version} ({record.build})"),
    ):  # fmt: skip
        yield name, str(date(key[name])) if name == "date" else key[name], value
    flow = {None: "", "vivado": " (Vivado IP Flow Target)", "vitis": " (Vitis Kernel Flow Target)"}
    yield "solution", key["solution"], f"{record.solution}{flow[record.flow_target]}"


def csynth_rpt(key: dict[str, Any], record: CsynthReport) -> Pairs:
    """`<top>_csynth.rpt`."""
    yield from csynth_text(key, record)
    clock, latency = key["clock"][0], key["latency"]
    yield "clocks", 1, len(key["clock"])
    yield "clock.target", nanoseconds(clock["target"]), record.target_clock_ns
    yield "clock.estimated", nanoseconds(clock["estimated"]), record.estimated_clock_ns
    yield "clock.uncertainty", nanoseconds(clock["uncertainty"]), record.clock_uncertainty_ns
    for name in ("latency", "interval"):
        for end in ("min", "max"):
            yield f"{name}_{end}", number(latency[f"{name}_{end}"]), getattr(record, f"{name}_cycles_{end}")
    for end in ("min", "max"):
        yield (
            f"latency_abs_{end}",
            nanoseconds(latency.get(f"latency_abs_{end}")),
            getattr(record, f"latency_ns_{end}"),
        )
    yield "type", latency["type"], record.pipeline_type
    tables = {"Total": record.used, "Available": record.available, "Available SLR": record.available_slr}
    for row, counts in tables.items():
        yield f"has {row}", row in key["resources"], counts is not None
        if counts is not None:
            yield from resources(row, key["resources"][row], counts)
    for row, total in (("Utilization (%)", record.available), ("Utilization SLR (%)", record.available_slr)):
        for name, cell in key["resources"].get(row, {}).items():
            field = {"DSP48E": "dsp"}.get(name, name.lower())
            yield f"{row} {name}", cell, percent(getattr(record.used, field), getattr(total, field), cell)
    yield "n_instances", key["n_instances"], sum(m.interval_cycles_max is not None or m.latency_cycles_max is not None
                                                 or f"modules.{m.instance}.latency_cycles_max" in record.unknown_fields
                                                 for m in record.modules)  # fmt: skip
    yield "n_loops", len(key["loops"]), len(record.loops)
    for cells, loop in zip(key["loops"], record.loops, strict=False):
        name, low, high, iteration, achieved, target, trips, pipelined = cells
        yield f"loop {name}", name[2:], loop.name
        yield (
            f"loop {name} latency",
            (number(low), number(high)),
            (loop.latency_cycles_min, loop.latency_cycles_max),
        )
        yield f"loop {name} iteration", number(iteration), loop.iteration_latency_cycles_max
        yield f"loop {name} II", (number(achieved), number(target)), (loop.ii_cycles, loop.target_ii_cycles)
        yield f"loop {name} trips", number(trips), loop.trip_count_max
        yield f"loop {name} pipelined", pipelined != "no", loop.pipelined


def csynth_xml(key: dict[str, Any], record: CsynthReport) -> Pairs:
    """`<top>_csynth.xml` and `csynth.xml`."""
    latency = key["latency"]
    for name, value in (
        ("version", record.version), ("product_family", record.family), ("part", record.part), ("top", record.top),
        ("flow_target", record.flow_target), ("pipeline_type", record.pipeline_type),
        ("n_rtl_ports", record.rtl_ports),
    ):  # fmt: skip
        yield name, key[name], value
    yield "target_clock", number(key["target_clock"]), record.target_clock_ns
    yield "clock_uncertainty", number(key["clock_uncertainty"]), record.clock_uncertainty_ns
    yield "estimated_clock", number(key["estimated_clock"]), record.estimated_clock_ns
    for tag, value in (
        ("Best-caseLatency", record.latency_cycles_min), ("Average-caseLatency", record.latency_cycles_avg),
        ("Worst-caseLatency", record.latency_cycles_max), ("Interval-min", record.interval_cycles_min),
        ("Interval-max", record.interval_cycles_max),
    ):  # fmt: skip
        yield tag, number(latency[tag]), value
    yield "best ns", nanoseconds(latency.get("Best-caseRealTimeLatency")), record.latency_ns_min
    yield "worst ns", nanoseconds(latency.get("Worst-caseRealTimeLatency")), record.latency_ns_max
    yield from resources("used", key["used"], record.used)
    yield from resources("available", key["available"], record.available or Resources())
    yield "n_modules", key.get("n_modules", 0), len(record.modules)
    loops = list(xml_loops(key.get("loops") or {}))
    yield "n_loops", len(loops), len(record.loops)
    for (name, values), loop in zip(loops, record.loops, strict=False):
        yield f"loop {name}", name, loop.name
        yield f"loop {name} trips", number(values["TripCount"]), loop.trip_count_max
        yield f"loop {name} latency", number(values["Latency"]), loop.latency_cycles_max
        iteration = values.get("PipelineDepth", values.get("IterationLatency"))
        yield f"loop {name} iteration", number(iteration), loop.iteration_latency_cycles_max
        yield f"loop {name} II", number(values.get("PipelineII")), loop.ii_cycles


def xml_loops(loops: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The key's nested loops, outer ones first."""
    for name, values in loops.items():
        if isinstance(values, dict):
            yield name, values
            yield from xml_loops(values)


def csynth_summary(key: dict[str, Any], record: CsynthReport) -> Pairs:
    """The Vitis summary."""
    yield from csynth_text(key, record)
    top = key["top_row"]
    yield "slack", number(top["Slack"]), record.slack_ns
    yield "latency", number(top["Latency (cycles)"]), record.latency_cycles_max
    yield "latency ns", number(top["Latency (ns)"]), record.latency_ns_max
    yield "interval", number(top["Interval"]), record.interval_cycles_max
    yield "pipelined", top["Pipelined"], record.pipeline_type
    yield from resources("used", top, record.used)
    yield "n_rows", key["n_rows"], len(record.modules) + len(record.loops)


def cosim(key: dict[str, Any], record: CosimReport) -> Pairs:
    """`<top>_cosim.rpt`."""
    yield "report_time", date(key["report_time"]), record.date
    yield "solution", key["solution"].rstrip("."), record.solution
    yield "sim_tool", key["sim_tool"].rstrip(".") if "sim_tool" in key else None, record.simulator
    for language, result in (("Verilog", record.verilog), ("VHDL", record.vhdl)):
        cells = key[language]
        yield f"{language} status", cells["status"], result.status
        for name in ("latency", "interval"):
            for end in ("min", "avg", "max"):
                value = getattr(result, f"{name}_cycles_{end}")
                yield f"{language} {name}_{end}", number(cells[f"{name}_{end}"]), value
        yield f"{language} total", number(cells["total_execution_time"]), result.total_cycles


def vivado(key: dict[str, Any], record: UtilizationReport | TimingReport | PowerReport) -> Pairs:
    """The box at the top of Vivado's reports."""
    yield "tool_version", key["tool_version"], f"Vivado v.{record.version} {record.build}"
    yield "date", date(key["date"]), record.date
    for name, value in (
        ("version", record.version), ("command", record.command), ("design", record.top), ("device", record.part),
        ("design_state", record.design_state),
    ):  # fmt: skip
        yield name, key.get(name), value


STAGES = {
    "synthesized": "synthesis", "optimized": "post-opt", "fully placed": "post-place", "routed": "post-route",
    # a routed platform around a netlist that is only synthesised, as the star on its LUTs tells
    "physopt postroute": "synthesis",
}  # fmt: skip
COUNTS = {
    "lut": ("CLB LUTs", "Slice LUTs", "CLB LUTs*", "Slice LUTs*"),
    "ff": ("CLB Registers", "Slice Registers", "Registers"),
    "dsp": ("DSPs", "DSP Slices"), "uram": ("URAM",), "carry8": ("CARRY8", "LOOKAHEAD8"),
    "bram_36k": ("Block RAM Tile",),
}  # fmt: skip


def utilization(key: dict[str, Any], record: UtilizationReport) -> Pairs:
    """Vivado's utilisation, all forms."""
    yield from vivado(key, record)
    yield "speed_file", key.get("speed_file"), record.speed_file
    yield "stage", STAGES[key["design_state"].lower()], record.stage
    yield "sections", key["sections"], list(record.sections)
    yield "n_primitives_rows", key.get("n_primitives_rows", 0), len(record.primitives)
    regions = [name for name in key.get("slr_table_columns", []) if re.fullmatch(r"SLR\d", name)]
    yield "regions", regions, [region.name for region in record.regions]
    rows = key["rows"]
    for name, cells in rows.items():
        row = next(
            (r for r in record.rows if r.name == name.rstrip("*") and r.starred == name.endswith("*")), None
        )
        yield f"has {name}", True, row is not None
        if row is None:
            continue
        for column in ("Used", "Fixed", "Prohibited", "Available"):
            yield f"{name} {column}", number(cells.get(column)), getattr(row, column.lower())
        if cells["Util%"] and row.available is not None:
            yield f"{name} Util%", cells["Util%"], percent(row.used, row.available, cells["Util%"])
    for field, names in COUNTS.items() if rows else ():
        cells = next((rows[name] for name in names if name in rows), {})
        yield f"used.{field}", number(cells.get("Used")), getattr(record.used, field)
        yield f"available.{field}", number(cells.get("Available")), getattr(record.available, field)
    tile = number(rows.get("Block RAM Tile", {}).get("Used"))
    if tile is not None:
        yield "used.bram_18k", 2 * tile, record.used.bram_18k
    yield from utilization_trees(key, record)


def utilization_trees(key: dict[str, Any], record: UtilizationReport) -> Pairs:
    """The rows of the hierarchy and of the kernel table."""
    for cells, row in zip(key.get("hierarchy", []), record.instances, strict=False):
        name = cells["Instance"]
        yield f"{name} module", (name, cells["Module"]), (row.name, row.module)
        blocks = 2 * float(cells["RAMB36"]) + float(cells["RAMB18"])
        for field, expected in (
            ("lut", float(cells["Total LUTs"])), ("ff", float(cells["FFs"])), ("dsp", float(cells["DSP Blocks"])),
            ("uram", float(cells["URAM"])), ("bram_18k", blocks),
        ):  # fmt: skip
            yield f"{name} {field}", expected, getattr(row.used, field)
        yield f"{name} LUTs by use", [float(cells[c]) for c in ("Logic LUTs", "LUTRAMs", "SRLs")], [
            row.logic_lut, row.memory_lut, row.shift_lut,
        ]  # fmt: skip
    table = key.get("system_table", [])
    yield "kernel rows", len(table), len(record.kernels)
    for cells, row in zip(table, record.kernels, strict=False):
        name = cells["Name"].strip()
        yield f"{name}", name, row.name
        for field, column in (
            ("lut", "LUT"),
            ("ff", "REG"),
            ("dsp", "DSP"),
            ("uram", "URAM"),
            ("bram_36k", "BRAM"),
        ):
            yield f"{name} {field}", float(cells[column].split("[")[0]), getattr(row.used, field)


def timing(key: dict[str, Any], record: TimingReport) -> Pairs:
    """Vivado's timing summary."""
    yield from vivado(key, record)
    yield "speed_file", key["speed_file"], record.speed_file
    totals = key["design_timing_summary"]
    for prefix, kind in (("T", "setup"), ("T", "hold"), ("T", "pulse")):
        worst = {"setup": "WNS", "hold": "WHS", "pulse": "WPWS"}[kind]
        total = prefix + worst[1:]
        yield worst, number(totals[worst]), getattr(record, f"{worst.lower()}_ns")
        yield total, number(totals[total]), getattr(record, f"{total.lower()}_ns")
        yield f"{total} failing", number(totals[f"{total}_failing"]), getattr(record, f"{kind}_failing")
        yield f"{total} total", number(totals[f"{total}_total"]), getattr(record, f"{kind}_endpoints")
    yield "verdict", key["verdict"].endswith("are met."), record.is_met
    yield "n_clocks", len(key["clocks"]), len(record.clocks)
    for cells, clock in zip(key["clocks"], record.clocks, strict=False):
        yield "clock", (cells["name"], cells["waveform"]), (clock.name, clock.waveform)
        yield "period", number(cells["period_ns"]), clock.period_ns
        yield "frequency", number(cells["frequency_mhz"]), clock.frequency_mhz


def power(key: dict[str, Any], record: PowerReport) -> Pairs:
    """Vivado's power report."""
    yield from vivado(key, record)
    for name, value in (
        ("Total On-Chip Power (W)", record.power_w), ("Design Power Budget (W)", record.power_budget_w),
        ("Power Budget Margin (W)", record.power_budget_margin_w), ("Dynamic (W)", record.dynamic_power_w),
        ("Device Static (W)", record.static_power_w), ("Effective TJA (C/W)", record.effective_tja_c_per_w),
        ("Max Ambient (C)", record.max_ambient_c), ("Junction Temperature (C)", record.junction_temperature_c),
    ):  # fmt: skip
        yield name, number(re.sub(r" \(.*\)", "", key[name])), value
    yield "Confidence Level", key["Confidence Level"], record.confidence
    for name, text in (
        ("Setting File", record.setting_file), ("Simulation Activity File", record.activity_file),
        ("Design Nets Matched", record.nets_matched),
    ):  # fmt: skip
        yield name, None if key[name] in UNKNOWN else key[name], text


def export(key: dict[str, Any], record: ExportReport) -> Pairs:
    """`<top>_export.rpt`."""
    yield "tool", key["Implementation tool"], f"Xilinx Vivado v.{record.version}"
    yield "project", (key["Project"], key["Solution"]), (record.project, record.solution)
    yield "device", key["Device target"], record.part
    yield "date", date(key["Report date"]), record.date
    yield from resources("used", key, record.used)
    for name in ("SLICE", "CLB", "LATCH", "SRL"):
        yield name, number(key[name]), getattr(record, name.lower())
    yield "required", number(key["CP required"]), record.target_clock_ns
    yield "synthesis", number(key["CP achieved post-synthesis"]), record.synthesis_clock_ns
    yield "implementation", number(key["CP achieved post-implementation"]), record.achieved_clock_ns
    yield "verdict", key["verdict"] == "Timing met", record.is_met


def csim(key: dict[str, Any], record: CsimReport) -> Pairs:
    """C simulation logs."""
    yield "errors", number(key["csim_errors"]), record.errors
    yield "passed", key["csim_errors"] == "0", record.passed


def transactions(key: dict[str, Any], record: TransactionReport) -> Pairs:
    """Cycles of each transaction."""
    yield "n_transactions", key["n_transactions"], len(record.latency_cycles)
    for cells, latency in zip(key["rows"], record.latency_cycles, strict=False):
        yield f"latency {cells[1]}", float(cells[2].rstrip("x")), latency
    for cells, interval in zip(key["rows"][:-1], record.interval_cycles, strict=False):
        yield f"interval {cells[1]}", float(cells[3]), interval
