"""C synthesis as XML: `<top>_csynth.xml` of every version and the whole design's `csynth.xml` of Vitis HLS."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from codesign.errors import ReportFormatError
from codesign.reports.csynth_record import CsynthReport, LoopEstimate, ModuleEstimate
from codesign.reports.fields import FieldReader
from codesign.reports.records import Resources

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
    version = fields.use_version(tool, _text(fields, root, "version", "ReportVersion/Version"))
    _check_units(fields, root)
    latency = _child(fields, root, "latency_cycles_min", "PerformanceEstimates/SummaryOfOverallLatency")
    used, available = (
        _resources(
            fields,
            _child(fields, root, name, f"AreaEstimates/{tag}"),
            name,
            with_uram=flow_target is not None,
        )
        for name, tag in (("used", "Resources"), ("available", "AvailableResources"))
    )
    timed = latency.find("Best-caseRealTimeLatency") is not None
    return CsynthReport(
        path=path, stage="csynth", tool=tool, version=version, form="xml", build=None, date=None,
        part=_text(fields, root, "part", "UserAssignments/Part"),
        top=_text(fields, root, "top", "UserAssignments/TopModelName"),
        family=_text(fields, root, "family", "UserAssignments/ProductFamily"),
        project=None, solution=None, flow_target=flow_target,
        target_clock_ns=_decimal(fields, root, "target_clock_ns", "UserAssignments/TargetClockPeriod"),
        clock_uncertainty_ns=_decimal(fields, root, "clock_uncertainty_ns", "UserAssignments/ClockUncertainty"),
        estimated_clock_ns=_decimal(
            fields, root, "estimated_clock_ns", "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod"
        ),
        slack_ns=None,
        latency_cycles_min=fields.integer("latency_cycles_min", latency.findtext("Best-caseLatency")),
        latency_cycles_avg=fields.integer("latency_cycles_avg", latency.findtext("Average-caseLatency")),
        latency_cycles_max=fields.integer("latency_cycles_max", latency.findtext("Worst-caseLatency")),
        interval_cycles_min=fields.integer("interval_cycles_min", latency.findtext("Interval-min")),
        interval_cycles_max=fields.integer("interval_cycles_max", latency.findtext("Interval-max")),
        latency_ns_min=fields.nanoseconds("latency_ns_min", latency.findtext("Best-caseRealTimeLatency"))
        if timed else None,
        latency_ns_max=fields.nanoseconds("latency_ns_max", latency.findtext("Worst-caseRealTimeLatency"))
        if timed else None,
        pipeline_type=_text(fields, root, "pipeline_type", "PerformanceEstimates/PipelineType"),
        used=used, available=available, available_slr=None,
        modules=tuple(_module(fields, module) for module in root.iterfind("ModuleInformation/Module")),
        loops=tuple(_loops(fields, root.find("PerformanceEstimates/SummaryOfLoopLatency"), 0)),
        rtl_ports=len(_child(fields, root, "rtl_ports", "InterfaceSummary").findall("RtlPorts")),
        unknown_fields=tuple(fields.unknown),
    )  # fmt: skip


def _child(fields: FieldReader, root: ET.Element, name: str, where: str) -> ET.Element:
    found = root.find(where)
    if found is None:
        raise fields.error(name, f"there is no <{where}> in this csynth XML")
    return found


def _text(fields: FieldReader, root: ET.Element, name: str, where: str) -> str:
    return fields.text(name, _child(fields, root, name, where).text)


def _decimal(fields: FieldReader, root: ET.Element, name: str, where: str) -> float | None:
    return fields.decimal(name, _child(fields, root, name, where).text)


def _check_units(fields: FieldReader, root: ET.Element) -> None:
    for where, unit in (
        ("UserAssignments/unit", "ns"),
        ("PerformanceEstimates/SummaryOfTimingAnalysis/unit", "ns"),
        ("PerformanceEstimates/SummaryOfOverallLatency/unit", "clock cycles"),
    ):
        found = _text(fields, root, where, where)
        if found != unit:
            raise fields.error(where, f"the unit is {found!r}, not {unit!r}")


def _resources(fields: FieldReader, element: ET.Element, name: str, with_uram: bool) -> Resources:
    dsp = "DSP" if element.find("DSP") is not None else "DSP48E"
    uram = element.findtext("URAM")
    return Resources(
        lut=fields.integer(f"{name}.lut", element.findtext("LUT")),
        ff=fields.integer(f"{name}.ff", element.findtext("FF")),
        dsp=fields.integer(f"{name}.dsp", element.findtext(dsp)),
        bram_18k=fields.integer(f"{name}.bram_18k", element.findtext("BRAM_18K")),
        # Vivado HLS before 2019 does not know UltraRAM
        uram=fields.integer(f"{name}.uram", uram) if with_uram or uram is not None else None,
    )


def _module(fields: FieldReader, module: ET.Element) -> ModuleEstimate:
    name = fields.text("modules.name", module.findtext("Name"))
    field = f"modules.{name}"
    latency = _child(fields, module, field, "PerformanceEstimates/SummaryOfOverallLatency")
    interval = _bounds(fields, f"{field}.interval_cycles", latency.find("PipelineInitiationInterval"))
    area = _child(fields, module, field, "AreaEstimates/Resources")
    return ModuleEstimate(
        name=name,
        latency_cycles_min=fields.integer(
            f"{field}.latency_cycles_min", latency.findtext("Best-caseLatency")
        ),
        latency_cycles_max=fields.integer(
            f"{field}.latency_cycles_max", latency.findtext("Worst-caseLatency")
        ),
        interval_cycles_min=interval[0],
        interval_cycles_max=interval[1],
        used=_resources(fields, area, f"{field}.used", with_uram=True),
    )


def _loops(fields: FieldReader, parent: ET.Element | None, depth: int) -> Iterator[LoopEstimate]:
    for loop in () if parent is None else parent:
        # a value may have children too: its range
        if len(loop) == 0 or loop.tag == _INSTANCES or {child.tag for child in loop} == {"range"}:
            continue
        if depth > _DEEPEST:
            raise fields.error("loops", f"{loop.tag!r} is nested more than {_DEEPEST} deep")
        field = f"loops.{loop.tag}"
        ii = loop.find("PipelineII")
        iteration = loop.find("IterationLatency" if ii is None else "PipelineDepth")
        latency = _bounds(fields, f"{field}.latency_cycles", loop.find("Latency"))
        # a loop over a dataflow region has a throughput instead of an iteration latency
        flows = iteration is None and loop.find("DataflowPipelineThroughput") is not None
        iteration_cycles = (
            (None, None) if flows else _bounds(fields, f"{field}.iteration_latency_cycles", iteration)
        )
        trips = _bounds(fields, f"{field}.trip_count", loop.find("TripCount"))
        yield LoopEstimate(
            name=loop.findtext("Name") or loop.tag, depth=depth,
            latency_cycles_min=latency[0], latency_cycles_max=latency[1],
            iteration_latency_cycles_min=iteration_cycles[0], iteration_latency_cycles_max=iteration_cycles[1],
            ii_cycles=None if ii is None else fields.integer(f"{field}.ii_cycles", ii.text), target_ii_cycles=None,
            trip_count_min=trips[0], trip_count_max=trips[1], pipelined=ii is not None,
        )  # fmt: skip
        yield from _loops(fields, loop, depth + 1)


def _bounds(fields: FieldReader, field: str, element: ET.Element | None) -> tuple[int | None, int | None]:
    """A count, or its range as the tool nests it: ``<range><min>1</min><max>4</max></range>``."""
    span = None if element is None else element.find("range")
    if span is not None:
        return fields.span(field, span.findtext("min"), span.findtext("max"))
    return fields.bounds(field, None if element is None else element.text)
