"""`read_csynth`: C synthesis in any of its three forms: XML, text, and the summary of a whole design by Vitis HLS."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from codesign.errors import ReportFormatError
from codesign.reports.fields import Column, Columns, FieldReader
from codesign.reports.hls_sections import header, labelled_tables, section, sections
from codesign.reports.records import Report, ReportKind, Resources
from codesign.reports.tables import ReportTable, drawn_tables
from codesign.reports.text import REPORT_KINDS, KnownReport, read_kind

CsynthForm = Literal["xml", "rpt", "summary"]
"""`<top>_csynth.xml` or `csynth.xml`, `<top>_csynth.rpt`, and the Vitis summary `csynth.rpt`."""


@dataclass(frozen=True, kw_only=True)
class ModuleEstimate:
    """The estimate of one module below the top (in `csynth.xml` and the summary: the top included).

    Parameters
    ----------
    name
        The module (function).
    instance
        The instance, where the form names it (`rpt`).
    depth
        How deep it is nested, the top being 0, where the form shows it (`summary`).
    latency_cycles_min, latency_cycles_max, interval_cycles_min, interval_cycles_max
        Cycles; ``None`` if unknown or not printed for this module.
    used
        Its resources; ``None`` where they are not printed.
    """

    name: str
    instance: str | None = None
    depth: int | None = None
    latency_cycles_min: int | None = None
    latency_cycles_max: int | None = None
    interval_cycles_min: int | None = None
    interval_cycles_max: int | None = None
    used: Resources | None = None


@dataclass(frozen=True, kw_only=True)
class LoopEstimate:
    """The estimate of one loop.

    Parameters
    ----------
    name
        The loop.
    depth
        How deep it is nested, 0 for a loop of the top function.
    latency_cycles_min, latency_cycles_max
        Cycles of the whole loop.
    iteration_latency_cycles_min, iteration_latency_cycles_max
        Cycles of one iteration (the depth of a pipelined one).
    ii_cycles
        The initiation interval achieved; ``None`` for a loop that is not pipelined.
    target_ii_cycles
        The one asked for, where the form prints it.
    trip_count_min, trip_count_max
        Iterations.
    pipelined
        Whether it is pipelined.
    """

    name: str
    depth: int
    latency_cycles_min: int | None = None
    latency_cycles_max: int | None = None
    iteration_latency_cycles_min: int | None = None
    iteration_latency_cycles_max: int | None = None
    ii_cycles: int | None = None
    target_ii_cycles: int | None = None
    trip_count_min: int | None = None
    trip_count_max: int | None = None
    pipelined: bool


@dataclass(frozen=True, kw_only=True)
class CsynthReport(Report):
    """The HLS scheduler's estimate of a top function.

    Parameters
    ----------
    form
        Which of the three forms was read. The summary prints no clock and no available resources.
    build
        The tool's build as printed after its version; not in the XML.
    family
        The product family.
    project, solution
        Where the tool worked; not in the XML.
    flow_target
        `vivado` or `vitis` (a kernel); Vivado HLS knows none.
    target_clock_ns, clock_uncertainty_ns, estimated_clock_ns
        Clock periods in ns.
    slack_ns
        What the tool calls slack, target - uncertainty - estimate; printed in the summary only.
    latency_cycles_min, latency_cycles_avg, latency_cycles_max
        Cycles from start to the last output; the average is in the XML only.
    interval_cycles_min, interval_cycles_max
        Cycles from start to start.
    latency_ns_min, latency_ns_max
        The latency in ns at the target clock, as printed; Vivado HLS prints it from 2019 on.
    pipeline_type
        `none`/`no`, `function`/`yes`, `dataflow`, as printed.
    used, available, available_slr
        Resources, those of the part, and those of one super logic region (`rpt` of a part that has several).
    modules, loops
        Parts of the design, as far as the form shows them.
    rtl_ports
        How many ports the module has; not in the summary.
    """

    kind: ClassVar[ReportKind] = "csynth"
    derived: ClassVar[tuple[str, ...]] = ("fmax_mhz",)

    form: CsynthForm
    build: str | None = None
    family: str
    project: str | None = None
    solution: str | None = None
    flow_target: str | None = None
    target_clock_ns: float | None = None
    clock_uncertainty_ns: float | None = None
    estimated_clock_ns: float | None = None
    slack_ns: float | None = None
    latency_cycles_min: int | None = None
    latency_cycles_avg: int | None = None
    latency_cycles_max: int | None = None
    interval_cycles_min: int | None = None
    interval_cycles_max: int | None = None
    latency_ns_min: float | None = None
    latency_ns_max: float | None = None
    pipeline_type: str
    used: Resources
    available: Resources | None = None
    available_slr: Resources | None = None
    modules: tuple[ModuleEstimate, ...]
    loops: tuple[LoopEstimate, ...]
    rtl_ports: int | None = None

    @property
    def fmax_mhz(self) -> float | None:
        """The estimated highest clock in MHz, 1000 / estimated clock period, as the tool's log prints it."""
        return 1000.0 / self.estimated_clock_ns if self.estimated_clock_ns else None

    def agrees_with(self, other: CsynthReport) -> bool:
        """Whether two forms tell of the same run: every number that both print is the same."""
        names = ("target_clock_ns", "estimated_clock_ns", "latency_cycles_max", "latency_cycles_min")
        pairs = [(getattr(self, name), getattr(other, name)) for name in names]
        pairs += [
            (getattr(self.used, name), getattr(other.used, name)) for name in ("lut", "ff", "dsp", "bram_18k")
        ]
        # the summary prints "-" for what is not used
        return self.top == other.top and all(a == b for a, b in pairs if a is not None and b is not None)


# Which field of the record each form prints where. `rpt` is the text of one function, before 2019 without absolute times
_RESOURCES: Columns = {
    "lut": Column("LUT"), "ff": Column("FF"), "dsp": Column(("DSP", "DSP48E")), "bram_18k": Column("BRAM_18K"),
    # Vivado HLS before 2019 does not know UltraRAM
    "uram": Column("URAM", optional=True),
}  # fmt: skip
_WITH_URAM: Columns = {**_RESOURCES, "uram": Column("URAM")}
_LOOP_RANGES: Columns = {
    "iteration_latency_cycles": Column("Iteration Latency", "range"),
    "trip_count": Column("Trip Count", "range"),
}

_RPT_CLOCK: Columns = {
    "target_clock_ns": Column("Target", "ns"),
    "clock_uncertainty_ns": Column("Uncertainty", "ns"),
    "estimated_clock_ns": Column("Estimated", "ns"),
}
_RPT_LATENCY: Columns = {
    "latency_cycles_min": Column(("Latency (cycles) min", "Latency min")),
    "latency_cycles_max": Column(("Latency (cycles) max", "Latency max")),
}
_RPT_CYCLES: Columns = {
    **_RPT_LATENCY,
    "interval_cycles_min": Column("Interval min"),
    "interval_cycles_max": Column("Interval max"),
}
_RPT_TIMES: Columns = {
    "latency_ns_min": Column("Latency (absolute) min", "ns"),
    "latency_ns_max": Column("Latency (absolute) max", "ns"),
}
_RPT_PIPELINE: Columns = {"pipeline_type": Column("Pipeline Type", "text")}
_RPT_LOOP: Columns = {**_LOOP_RANGES, **_RPT_LATENCY}
_RPT_INTERVALS: Columns = {
    "ii_cycles": Column("Initiation Interval achieved"),
    "target_ii_cycles": Column("Initiation Interval target"),
}

_SUMMARY: Columns = {
    "slack_ns": Column("Slack", "number", signed=True, optional=True),
    "latency_ns_max": Column("Latency (ns)", "number"),
    "pipeline_type": Column("Pipelined", "text"),
}
_SUMMARY_LATENCY: Columns = {"latency_cycles_max": Column("Latency (cycles)")}
_SUMMARY_CYCLES: Columns = {**_SUMMARY_LATENCY, "interval_cycles_max": Column("Interval")}
_SUMMARY_INTERVAL: Columns = {"ii_cycles": Column("Interval")}
_SUMMARY_USED: Columns = {**_WITH_URAM, "bram_18k": Column("BRAM")}

_XML: Columns = {
    "part": Column("UserAssignments/Part", "text"),
    "top": Column("UserAssignments/TopModelName", "text"),
    "family": Column("UserAssignments/ProductFamily", "text"),
    "target_clock_ns": Column("UserAssignments/TargetClockPeriod", "number"),
    "clock_uncertainty_ns": Column("UserAssignments/ClockUncertainty", "number"),
    "estimated_clock_ns": Column(
        "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod", "number"
    ),
    "pipeline_type": Column("PerformanceEstimates/PipelineType", "text"),
}
_XML_LATENCY: Columns = {
    "latency_cycles_min": Column("Best-caseLatency"),
    "latency_cycles_max": Column("Worst-caseLatency"),
}
_XML_CYCLES: Columns = {
    **_XML_LATENCY,
    "latency_cycles_avg": Column("Average-caseLatency"),
    "interval_cycles_min": Column("Interval-min"),
    "interval_cycles_max": Column("Interval-max"),
}
_XML_TIMES: Columns = {
    "latency_ns_min": Column("Best-caseRealTimeLatency", "ns"),
    "latency_ns_max": Column("Worst-caseRealTimeLatency", "ns"),
}


def read_csynth(path: str | Path) -> CsynthReport:
    """Read a C synthesis report of Vivado HLS or Vitis HLS.

    Parameters
    ----------
    path
        `<top>_csynth.xml`, `csynth.xml`, `<top>_csynth.rpt`, or the Vitis summary `csynth.rpt`; the form is told
        by the contents, not by the name.

    Returns
    -------
    CsynthReport
        The record; `form` says which form was read and with it which fields are ``None`` (see `CsynthReport`).

    Raises
    ------
    ReportMissingError
        There is no such file.
    ReportFormatError
        The file is empty, damaged, cut, or no C synthesis report; the message names the field.
    """
    return parse_csynth(Path(path), read_kind(path, "csynth"))


def parse_csynth(path: Path, text: str) -> CsynthReport:
    """The same of a file whose text is read and known to be one."""
    start = text.lstrip()
    if start.startswith("<"):
        return parse_csynth_xml(path, text)
    if "== Synthesis Summary Report of '" in text:
        return parse_csynth_summary(path, text)
    return parse_csynth_rpt(path, text)


REPORT_KINDS["csynth"] = KnownReport(
    parse_csynth,
    "a C synthesis report",
    marks=(
        r"\A\s*(?:<\?xml[^>]*>\s*)?<profile>",
        r"^== (?:Vivado|Vitis) HLS Report for '",
        r"^== Synthesis Summary Report of '",
    ),
    files=r"(?:.*_)?csynth\.(?:xml|rpt)",
    steps=("csynth",),
)


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
    _check_totals(area, fields)
    ports = labelled_tables(section(found, "Interface", fields), fields)
    clock, unit = _clock(performance, fields)
    latency = _only_row(performance, "Latency/Summary", fields)
    resources = _resource_rows(area, fields)
    times = _RPT_TIMES if "Latency (absolute) min" in latency else {}
    return CsynthReport(
        path=path, stage="csynth", form="rpt", **vars(head),
        **fields.fill(_RPT_CLOCK, clock.get, bare_unit=unit),
        **fields.fill({**_RPT_CYCLES, **times, **_RPT_PIPELINE}, latency.get),
        used=_rpt_resources(fields, "used", resources.get("Total")),
        available=_rpt_resources(fields, "available", resources.get("Available")),
        available_slr=_rpt_resources(fields, "available_slr", resources["Available SLR"])
        if "Available SLR" in resources else None,
        modules=_rpt_modules(performance, area, fields),
        loops=_rpt_loops(performance, fields),
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


def _check_totals(area: _Labelled, fields: FieldReader) -> None:
    """Hold the rows of each table against its total: a row that was lost or a count that was changed is damage."""
    for label, (_, table) in area.items():
        if table is None:
            continue
        rows = list(table.records())
        ends = [at for at, row in enumerate(rows) if row[table.columns[0]] == "Total"]
        if not ends:
            continue
        for head in table.columns[1:]:
            total, parts = rows[ends[0]][head], [row[head] for row in rows[: ends[0]]]
            if not total.isascii() or not total.isdigit():
                continue
            found = sum(
                int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < _DIGITS
            )
            if found != int(total):
                raise fields.error(
                    f"{label} {head}",
                    f"the rows sum to {found} and the total is {total}; a row is lost or changed",
                )


def _rpt_resources(fields: FieldReader, name: str, row: dict[str, str] | None) -> Resources:
    if row is None:
        raise fields.error(name, "its row of the utilisation table is missing")
    return Resources(**fields.fill(_RESOURCES, row.get, f"{name}."))


def _rpt_modules(performance: _Labelled, area: _Labelled, fields: FieldReader) -> tuple[ModuleEstimate, ...]:
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
        row = cycles.get(instance)
        field = f"modules.{instance}"
        modules.append(ModuleEstimate(
            name=(row or sizes[instance])["Module"], instance=instance,
            **(fields.fill(_RPT_CYCLES, row.get, f"{field}.") if row else {}),
            used=_rpt_resources(fields, f"{field}.used", sizes[instance]) if instance in sizes else None,
        ))  # fmt: skip
    return tuple(modules)


def _rpt_loops(performance: _Labelled, fields: FieldReader) -> tuple[LoopEstimate, ...]:
    table = performance.get("Latency/Detail/Loop", ("", None))[1]
    loops = []
    for cells, row in zip(table.rows, table.records(), strict=True) if table else ():
        name = _LOOP.fullmatch(cells[0])
        if name is None:
            raise fields.error(
                "loops", f"{cells[0]!r} is no loop of the table at line {table.line if table else 0}"
            )
        field = f"loops.{name[3]}."
        pipelined = fields.text(f"{field}pipelined", row.get("Pipelined")) != "no"
        columns = {**_RPT_LOOP, **(_RPT_INTERVALS if pipelined else {})}
        loops.append(LoopEstimate(
            name=name[3].strip(), depth=len(name[2]) if name[2].startswith("+") else len(name[1]),
            pipelined=pipelined, **fields.fill(columns, row.get, field),
        ))  # fmt: skip
    return tuple(loops)


_PART = re.compile(r"(\s*)([+o]) (.+?)(\*?)")
_COUNT = re.compile(r"([0-9]+) \(~?[0-9]+%\)")
_DIGITS = 16
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
        path=path, stage="csynth", form="summary", **vars(head), **fields.fill(_SUMMARY, row.get),
        latency_cycles_max=top.latency_cycles_max, interval_cycles_max=top.interval_cycles_max, used=parts[0].used,
        modules=tuple(part for part in parts if isinstance(part, ModuleEstimate)),
        loops=tuple(part for part in parts if isinstance(part, LoopEstimate)),
        unknown_fields=tuple(_short(name, head.top) for name in fields.unknown),
    )  # fmt: skip


def _short(field: str, top: str) -> str:
    """The top's row is the report itself: `modules.<top>.used.lut` is the report's `used.lut`."""
    return field.removeprefix(f"modules.{top}.")


def _part(cells: tuple[str, ...], row: dict[str, str], fields: FieldReader) -> ModuleEstimate | LoopEstimate:
    name = _PART.fullmatch(cells[0])
    if name is None:
        raise fields.error("Modules & Loops", f"{cells[0]!r} is neither a module nor a loop")
    is_module = name[2] == "+"
    field = f"{'modules' if is_module else 'loops'}.{name[3]}."

    def worst(head: str) -> str | None:
        """Where a range is printed the worst case is its end."""
        return row[head].rpartition("~")[2] if head in row else None

    if is_module:
        return ModuleEstimate(
            name=name[3], depth=len(name[1]), **fields.fill(_SUMMARY_CYCLES, worst, field),
            used=Resources(**fields.fill(_SUMMARY_USED, lambda head: _count(row.get(head)), f"{field}used.")),
        )  # fmt: skip
    pipelined = row["Pipelined"] != "no"
    latency = fields.fill(_SUMMARY_LATENCY, worst, field)
    parts = fields.fill(_LOOP_RANGES, row.get, field)
    interval = fields.fill(_SUMMARY_INTERVAL, worst, field) if pipelined else {}
    return LoopEstimate(
        name=name[3], depth=len(name[1]) - 1, pipelined=pipelined, **latency, **parts, **interval
    )


def _count(cell: str | None) -> str | None:
    """A count without its percentage, ``16 (~0%)``."""
    found = _COUNT.fullmatch(cell or "")
    return found[1] if found else cell


_INSTANCES = "InstanceList"
_DEEPEST = 100


def parse_csynth_xml(path: Path, text: str) -> CsynthReport:
    """Read the XML form.

    Raises
    ------
    ReportFormatError
        Damaged XML, or a missing or malformed field.
    """
    try:
        root = ET.fromstring(re.sub(r"\A\s*<\?xml[^>]*>", "", text))
    except ET.ParseError as error:
        raise ReportFormatError(path, "XML", f"breaks off or is damaged ({error})") from None
    fields = FieldReader(path)
    flow_target = root.findtext("UserAssignments/FlowTarget")
    # the XML does not name its tool; Vitis HLS states its flow target from its first version on, Vivado HLS never
    tool = "Vivado HLS" if flow_target is None else "Vitis HLS"
    # the version first: an error of a later field tells when it is an untried one
    found = _xml_child(fields, root, "version", "ReportVersion/Version")
    version = fields.use_version(tool, fields.text("version", found.text))
    told = fields.fill(_XML, root.findtext, missing="there is no <{}> in this csynth XML")
    _check_units(fields, root)
    latency = _xml_child(fields, root, "latency_cycles_min", "PerformanceEstimates/SummaryOfOverallLatency")
    times = _XML_TIMES if latency.find("Best-caseRealTimeLatency") is not None else {}
    columns = _RESOURCES if flow_target is None else _WITH_URAM
    return CsynthReport(
        path=path, stage="csynth", tool=tool, version=version, form="xml", flow_target=flow_target, **told,
        **fields.fill({**_XML_CYCLES, **times}, latency.findtext),
        used=_xml_resources(fields, root, "used", "AreaEstimates/Resources", columns),
        available=_xml_resources(fields, root, "available", "AreaEstimates/AvailableResources", columns),
        modules=tuple(_xml_module(fields, module) for module in root.iterfind("ModuleInformation/Module")),
        loops=tuple(_xml_loops(fields, root.find("PerformanceEstimates/SummaryOfLoopLatency"), 0)),
        rtl_ports=len(_xml_child(fields, root, "rtl_ports", "InterfaceSummary").findall("RtlPorts")),
        unknown_fields=tuple(fields.unknown),
    )  # fmt: skip


def _xml_child(fields: FieldReader, root: ET.Element, name: str, where: str) -> ET.Element:
    found = root.find(where)
    if found is None:
        raise fields.error(name, f"there is no <{where}> in this csynth XML")
    return found


def _check_units(fields: FieldReader, root: ET.Element) -> None:
    for where, unit in (
        ("UserAssignments/unit", "ns"),
        ("PerformanceEstimates/SummaryOfTimingAnalysis/unit", "ns"),
        ("PerformanceEstimates/SummaryOfOverallLatency/unit", "clock cycles"),
    ):
        found = fields.text(where, _xml_child(fields, root, where, where).text)
        if found != unit:
            raise fields.error(where, f"the unit is {found!r}, not {unit!r}")


def _xml_resources(
    fields: FieldReader, root: ET.Element, name: str, where: str, columns: Columns
) -> Resources:
    area = _xml_child(fields, root, name, where)
    return Resources(**fields.fill(columns, area.findtext, f"{name}."))


def _xml_module(fields: FieldReader, module: ET.Element) -> ModuleEstimate:
    name = fields.text("modules.name", module.findtext("Name"))
    field = f"modules.{name}"
    latency = _xml_child(fields, module, field, "PerformanceEstimates/SummaryOfOverallLatency")
    interval = _xml_bounds(fields, f"{field}.interval_cycles", latency.find("PipelineInitiationInterval"))
    return ModuleEstimate(
        name=name, interval_cycles_min=interval[0], interval_cycles_max=interval[1],
        **fields.fill(_XML_LATENCY, latency.findtext, f"{field}."),
        used=_xml_resources(fields, module, f"{field}.used", "AreaEstimates/Resources", _WITH_URAM),
    )  # fmt: skip


def _xml_loops(fields: FieldReader, parent: ET.Element | None, depth: int) -> Iterator[LoopEstimate]:
    for loop in () if parent is None else parent:
        # a value may have children too: its range
        if len(loop) == 0 or loop.tag == _INSTANCES or {child.tag for child in loop} == {"range"}:
            continue
        if depth > _DEEPEST:
            raise fields.error("loops", f"{loop.tag!r} is nested more than {_DEEPEST} deep")
        field = f"loops.{loop.tag}"
        ii = loop.find("PipelineII")
        iteration = loop.find("IterationLatency" if ii is None else "PipelineDepth")
        latency = _xml_bounds(fields, f"{field}.latency_cycles", loop.find("Latency"))
        # a loop over a dataflow region has a throughput instead of an iteration latency
        flows = iteration is None and loop.find("DataflowPipelineThroughput") is not None
        iteration_cycles = (
            (None, None) if flows else _xml_bounds(fields, f"{field}.iteration_latency_cycles", iteration)
        )
        trips = _xml_bounds(fields, f"{field}.trip_count", loop.find("TripCount"))
        yield LoopEstimate(
            name=loop.findtext("Name") or loop.tag, depth=depth,
            latency_cycles_min=latency[0], latency_cycles_max=latency[1],
            iteration_latency_cycles_min=iteration_cycles[0], iteration_latency_cycles_max=iteration_cycles[1],
            ii_cycles=None if ii is None else fields.integer(f"{field}.ii_cycles", ii.text),
            trip_count_min=trips[0], trip_count_max=trips[1], pipelined=ii is not None,
        )  # fmt: skip
        yield from _xml_loops(fields, loop, depth + 1)


def _xml_bounds(fields: FieldReader, field: str, element: ET.Element | None) -> tuple[int | None, int | None]:
    """A count, or its range as the tool nests it: ``<range><min>1</min><max>4</max></range>``."""
    span = None if element is None else element.find("range")
    if span is not None:
        return fields.span(field, span.findtext("min"), span.findtext("max"))
    return fields.bounds(field, None if element is None else element.text)
