"""The summary of a run, and what a run, a project, a build or a report says by itself, as tables and notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.comparison.build_numbers import build_numbers, findings
from codesign.comparison.compare import make_comparison
from codesign.comparison.entry import Entry
from codesign.comparison.forms import comparison_tables
from codesign.comparison.sources import (
    PROJECT,
    SUMMARY,
    failed_build,
    find_build,
    is_run,
    other_architecture,
    own_rtl,
    project_faults,
    read_own_rtl,
    read_project,
    read_rtl,
    read_run,
    read_summary,
    report_entry,
    rtl_figures,
    shared_multipliers,
)
from codesign.core.files import write_json, write_text
from codesign.core.ladder_table import ladder_table
from codesign.core.metrics import METRICS
from codesign.core.parts import find_device
from codesign.core.record import Record
from codesign.core.sealed import HLS_PROJECT, RTL_PROJECT, read_object
from codesign.core.shown import Brief
from codesign.core.text_table import TextTable, counted, printable
from codesign.errors import ReportFormatError, ReportMissingError
from codesign.reports import BuildReport, Report, ToolLogReport, read_build, read_report, same_part
from codesign.reports.build_files import MANIFEST

_CLOCK_NS = 0.01
"""The tools print clocks with two digits."""

_STAGE_METRICS = (
    *(
        name
        for name, metric in METRICS.items()
        if metric.group == "quality" and name.startswith("validation_")
    ),
    *(name for name, metric in METRICS.items() if metric.group == "quality" and name.startswith("test_")),
    "parameters",
    "sparsity",
    "weights_removed",
    "average_weight_bits",
    "bops",
)


_OF_TARGETS = ("test_bias", "test_resolution")
"""What the table of targets shows in bins."""


def write_summary(folder: str | Path, summary: Mapping[str, Any]) -> None:
    """Write a summary as JSON and Markdown; the JSON, which marks the run as finished, last."""
    folder = Path(folder)
    notes = "".join(f"- {printable(note)}\n" for note in summary["notes"])
    text = f"# {summary['design']}\n\n" + "\n".join(table.markdown() for table in tables(summary))
    write_text(folder / "summary.md", text + (f"\n## Notes\n\n{notes}" if notes else ""))
    write_json(folder / SUMMARY, summary)


def make_summary(
    design: str,
    seed: int,
    target: Mapping[str, Any],
    records: Mapping[str, Record],
    notes: Sequence[str],
    *,
    measure: str = "accuracy",
) -> dict[str, Any]:
    """Gather the records of a run's stages.

    Parameters
    ----------
    design
        The design's name.
    seed
        The run's seed.
    target
        Part, clock and the rest of the hardware settings.
    records
        By stage name.
    notes
        Sentences for the reader, for example what was not done and why.
    measure
        The quality that decides for the task.
    """
    stages = []
    for stage, record in records.items():
        if f"test_{measure}" in record.metrics and stage != "verification":
            row = {name: record.metrics[name] for name in _STAGE_METRICS if name in record.metrics}
            stages.append({"stage": stage, "seconds": record.seconds, **row})
    return {
        "design": design,
        "seed": seed,
        "target": dict(target),
        "measure": measure,
        "stages": stages,
        "heads": _by_stage(records, "test_heads", records),
        "targets": _by_stage(records, "test_targets", ("teacher", "quantization")),
        "affine": records["scan"].metrics.get("affine") if "scan" in records else None,
        "layers": records["project"].metrics["layers"],
        "rtl": _without_reason(records["rtl"]),
        "estimates": {"lut": records["rtl"].metrics.get("estimated_lut")},
        "csynth": records["csynth"].metrics.get("csynth"),
        "verification": {key: records["verification"].metrics[key] for key in ("reference", "rungs", "lsb")},
        "overflows": records["verification"].metrics.get("overflows"),  # not in records of older runs
        "seconds": sum(record.seconds for record in records.values()),
        "versions": dict(records["verification"].versions),
        "notes": list(notes),
    }


def _by_stage(records: Mapping[str, Record], name: str, stages: Iterable[str]) -> dict[str, Any]:
    """A figure of several rows, by stage; empty where a task has none."""
    found = {stage: records[stage].metrics.get(name) for stage in stages if stage in records}
    return {stage: rows for stage, rows in found.items() if rows}


def _without_reason(record: Record) -> dict[str, Any]:
    """The open RTL's figures; empty if there are none."""
    return {} if "lut" not in record.metrics else dict(record.metrics)


def tables(summary: Mapping[str, Any], *, is_current: bool = True) -> tuple[TextTable, ...]:
    """The tables of a summary: stages, layer types, equality ladder.

    Parameters
    ----------
    summary
        Of `make_summary`.
    is_current
        Whether the run's folder is still what the summary was made of.
    """
    known = [
        name
        for name in _STAGE_METRICS
        if name not in _OF_TARGETS and any(name in row for row in summary["stages"])
    ]
    stages = TextTable(
        "Stages",
        ("stage", *(METRICS[name].heading for name in known)),
        tuple((row["stage"], *(_cell(row, name) for name in known)) for row in summary["stages"]),
    )
    kinds = [
        kind
        for kind in ("weight", "bias", "accum", "result")
        if any(kind in t for t in summary["layers"].values())
    ]
    layers = TextTable(
        "Types of the hardware",
        ("layer", *kinds),
        tuple((name, *(types.get(kind, "") for kind in kinds)) for name, types in summary["layers"].items()),
    )
    return (
        stages,
        *heads_tables(summary.get("heads") or {}),
        *targets_tables(summary.get("targets") or {}),
        *affine_tables(summary.get("affine")),
        layers,
        *_overflow_table(summary),
        *_rtl_table(summary),
        ladder_table(summary["verification"], is_current=is_current),
    )


def _cell(row: Mapping[str, Any], metric: str) -> str:
    """A number of a stage; empty where the stage has none."""
    value = row.get(metric)
    return "" if value is None else METRICS[metric].text(value)


def heads_tables(stages: Mapping[str, Mapping[str, Mapping[str, float]]]) -> tuple[TextTable, ...]:
    """What each of several tasks reaches on the test part; none where there is one task.

    Parameters
    ----------
    stages
        By stage and head, figures by the names of `codesign.core.metrics` without their part.
    """
    if not stages:
        return ()
    first = next(iter(stages.values()))
    columns = [
        (head, name)
        for head, figures in first.items()
        for name in figures
        if name in ("accuracy", "auc", "r2", "rmse")
    ]
    rows = [
        (stage, *(METRICS[f"test_{name}"].text(heads[head][name]) for head, name in columns))
        for stage, heads in stages.items()
    ]
    header = ("stage", *(f"{head}: {METRICS[f'test_{name}'].title}" for head, name in columns))
    return (TextTable("Heads on the test part", header, tuple(rows)),)


def targets_tables(stages: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[TextTable, ...]:
    """What a regression's outputs are off by on the test part, over all and in bins of each target; none without targets.

    Parameters
    ----------
    stages
        By stage, the hardware student's last: rows as `codesign.core.quality.binned` makes them.
    """
    if not stages:
        return ()
    *others, last = stages
    names = ("rmse", "bias", "resolution")
    rows = [
        (
            row["target"],
            f"{row['low']:.4g} to {row['high']:.4g}",
            f"{row['samples']:,}",
            *(f"{row[name]:.4g}" for name in names),
            *(f"{stages[other][number]['rmse']:.4g}" for other in others),
        )
        for number, row in enumerate(stages[last])
    ]
    header = ("target", "range", "samples", "RMSE", "bias", "resolution", *(f"RMSE of {o}" for o in others))
    return (TextTable(f"Targets on the test part, {last}, in their units", header, tuple(rows)),)


def affine_tables(rows: Sequence[Mapping[str, Any]] | None) -> tuple[TextTable, ...]:
    """The scan's quality without training in fixed point and with scales and zero points; none if it was not measured.

    Parameters
    ----------
    rows
        `bits`, `fixed_point` and `affine` (each a quality, or ``None``), `overflow` (why there is no affine quality).
    """
    if not rows:
        return ()

    def cell(value: float | None, otherwise: str) -> str:
        return otherwise if value is None else f"{value:.4f}"

    return (
        TextTable(
            "Validation quality without training, one width everywhere",
            ("bits", "fixed point", "affine"),
            tuple(
                (
                    str(row["bits"]),
                    cell(row["fixed_point"], "not in the scan"),
                    cell(row["affine"], str(row["overflow"])),
                )
                for row in rows
            ),
        ),
    )


def _overflow_table(summary: Mapping[str, Any]) -> tuple[TextTable, ...]:
    """What the formats did to values on the test part; tensors that nothing happened to are left out."""
    header = ("layer", "tensor", "type", "values", "wrapped", "saturated", "lost all bits")
    names = ("layer", "tensor", "precision", "values", "wrapped", "saturated", "lost")
    rows = summary.get("overflows")
    if rows is None:  # a summary of an older version
        return ()
    eventful = [row for row in rows if row["wrapped"] or row["saturated"] or row["lost"]]
    wrapped = sum(row["wrapped"] for row in rows)
    title = f"Overflows on the test part: {counted(wrapped, 'value', ',')} wrapped"

    def cell(value: Any) -> str:
        return f"{value:,}" if isinstance(value, int) else str(value)

    return (TextTable(title, header, tuple(tuple(cell(row[name]) for name in names) for row in eventful)),)


def _rtl_table(summary: Mapping[str, Any]) -> tuple[TextTable, ...]:
    rtl = summary.get("rtl")
    if not rtl:
        return ()
    version = summary["versions"].get("pyosys", "?")
    target = summary["target"]
    return (rtl_table({"yosys_version": version, **rtl}, target["part"], shared_multipliers(target)),)


def rtl_table(rtl: Mapping[str, Any], part: str, reuse_factor: int = 1) -> TextTable:
    """What the open RTL takes of the device.

    Parameters
    ----------
    rtl
        `RtlProject.figures` and, if it was counted, `RtlUtilization.to_dict`.
    part
        The FPGA.
    reuse_factor
        The greatest one of the HLS project beside it.
    """
    device = find_device(part)
    rows = []
    for title, name in (
        ("LUT", "lut"),
        ("FF", "ff"),
        ("CARRY8", "carry8"),
        ("DSP", "dsp"),
        ("BRAM 18K", "bram_18k"),
    ):
        if name not in rtl:
            continue
        total = getattr(device, name, None)
        rows.append((title, f"{rtl[name]:,}", f"{rtl[name] / total:.2%}" if total else ""))
    latency = f"{counted(rtl['latency_cycles'], 'cycle')}, {rtl['latency_ns']:g} ns at {rtl['clock_period_ns']:g} ns a cycle"
    rows += [
        ("latency", latency, ""),
        ("initiation interval", counted(rtl["interval_cycles"], "cycle"), ""),
    ]
    if architecture := other_architecture(reuse_factor):
        rows.append(("architecture", architecture, ""))
    by = f"Yosys {rtl['yosys_version']}; before placement" if "lut" in rtl else "not counted"
    title = f"Open RTL for {part} (alkaid, {by})"
    return TextTable(title, ("", "used", f"of the {device.name}" if device else ""), tuple(rows))


@dataclass(frozen=True)
class Description(Brief):
    """What one thing says.

    Parameters
    ----------
    tables
        Its tables.
    notes
        What was left out and why, and what the numbers do not say of themselves.
    is_trustworthy
        Whether nothing was left out and every run ended well.
    """

    tables: tuple[TextTable, ...]
    notes: tuple[str, ...]
    is_trustworthy: bool = True


def summarise(path: str | Path, *, top: str | None = None) -> Description:
    """Say what a run, a project, a build folder or a report file says.

    Parameters
    ----------
    path
        Its folder or file.
    top
        The top function of a build folder that holds several.

    Raises
    ------
    ReportError
        It is missing, damaged, or nothing that can be read.
    """
    path = Path(path)
    if path.name == SUMMARY and path.is_file():
        path = path.parent
    if path.is_file():
        return _of_report(read_report(path))
    if not path.is_dir():
        raise ReportMissingError(f"{path}: there is no such file or folder")
    if is_run(path):
        return _of_run(path, top)
    if (path / MANIFEST).is_file():
        return _of_project(path, top)
    if (path / RTL_PROJECT.manifest).is_file():
        return _of_rtl(path, top)
    return _of_build(read_build(path, top=top))


def _of_run(folder: Path, top: str | None) -> Description:
    summary = read_summary(folder)
    run = read_run(folder, folder.name)  # which says what is no longer what the summary was made of
    try:
        own = Description(tables(summary, is_current=run.is_trustworthy), run.notes, run.is_trustworthy)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReportFormatError(
            folder / SUMMARY, "summary", f"damaged ({error!r}); finish the run again"
        ) from None
    build = find_build(folder / PROJECT, top)
    if build is not None:
        return _joined(own, _of_build(build))
    if top is not None:
        raise ReportMissingError(f"--top: {folder} has no reports of builds, so none of {top}; leave it out")
    failure = failed_build(folder / PROJECT)
    return own if failure is None else _joined(own, Description((), (failure,), False))


def _of_project(folder: Path, top: str | None) -> Description:
    build = find_build(folder, top)
    entry = read_project(folder, folder.name, build)
    manifest = HLS_PROJECT.read(folder)
    settings = ((str(name), str(value)) for name, value in manifest.values["target"].items())
    place = own_rtl(folder, manifest.values["target"])
    rtl = () if place is None else _of_rtl(place, None).tables
    own = Description((TextTable("HLS project", ("", str(folder)), tuple(settings)), *rtl), ())
    if build is None:
        return Description(own.tables, entry.notes, entry.is_trustworthy)
    faults = project_faults(folder, manifest.files)
    told = (*faults, *_other_target(manifest.values["target"], build))
    return _joined(Description(own.tables, told, not faults), _of_build(build))


def _other_target(target: Mapping[str, Any], build: BuildReport) -> Iterator[str]:
    """That reports are for another part or clock than the project's own."""
    part, period = str(target.get("part", build.part)), target.get("clock_period_ns")
    if build.part is not None and not same_part(build.part, part):
        yield f"the reports are for {build.part}, not for the project's {part}"
    clock = build.csynth.target_clock_ns if build.csynth is not None else None
    if clock is not None and isinstance(period, int | float) and abs(clock - period) > _CLOCK_NS:
        yield f"C synthesis was run for {clock:g} ns, not for the project's {period:g} ns"


_SIGNAL = ("name", "direction", "width", "meaning")


def _of_rtl(folder: Path, top: str | None) -> Description:
    """A folder of open RTL: latency and counts, its signals, and what the vendor's tools said of it."""
    build = find_build(folder, top)
    entry = read_rtl(folder, folder.name, None) if build is None else read_own_rtl(folder, folder.name)
    figures, _ = rtl_figures(folder, RTL_PROJECT.read(folder))
    try:
        sheet = read_object(folder / "datasheet.json")
        rows = [[str(signal[key]) for key in _SIGNAL] for signal in sheet["signals"]]
    except (OSError, ValueError, KeyError, TypeError):
        rows = []  # the notes say that a file is gone or changed
    signals = tuple(map(tuple, rows))
    own = Description(
        (
            rtl_table(figures, figures["part"]),
            TextTable(f"Signals of {figures['top']}", ("signal", *_SIGNAL[1:]), signals),
        ),
        entry.notes,
        entry.is_trustworthy,
    )
    return own if build is None else _joined(own, _of_build(build))


def _joined(first: Description, second: Description) -> Description:
    return Description(
        (*first.tables, *second.tables),
        (*first.notes, *second.notes),
        first.is_trustworthy and second.is_trustworthy,
    )


def _of_build(build: BuildReport) -> Description:
    found = build_numbers(build)
    entry = Entry(
        name=str(build.directory),
        kind="build",
        source=str(build.directory),
        numbers=found.numbers,
        part=build.part,
        tools=found.tools,
    )
    return Description(
        (
            TextTable("Build", ("", str(build.directory)), tuple(_facts(build))),
            *_numbers(entry),
            *_log_tables(build.logs),
        ),
        (*found.notes, *findings(build), *build.choices),
        build.is_trustworthy,
    )


_STEPS_SHOWN = 12
"""Of the steps that a log times, the longest that a table shows."""


def _log_tables(logs: Sequence[ToolLogReport]) -> tuple[TextTable, ...]:
    """How long the tools' steps took and the memory they had."""
    rows = []
    for log in logs:
        longest = sorted(log.steps, key=lambda step: -step.seconds)[:_STEPS_SHOWN]
        for step in log.steps:
            if step in longest:
                rows.append((log.path.name, step.name, f"{step.seconds:g}", f"{step.peak_memory_mb:,.0f}"))
        if log.seconds is not None:
            peak = "" if log.peak_memory_mb is None else f"{log.peak_memory_mb:,.0f}"
            rows.append((log.path.name, "in all", f"{log.seconds:g}", peak))
    head = ("log", "step", "seconds", "peak memory (MB)")
    return (TextTable("Time and memory of the tools", head, tuple(rows)),) if rows else ()


def _facts(build: BuildReport) -> Iterator[tuple[str, str]]:
    yield "run", "no marker: built by other means" if build.status == "unmarked" else build.status
    yield "top", build.top or "unknown"
    yield "part", build.part or "unknown"
    if build.csim is not None:
        failed = f"failed: {build.csim.failure}"
        yield "C simulation", {True: "passed", False: failed, None: "compiled, not run"}[build.csim.passed]
    if build.cosim is not None:
        for name, result in (("Verilog", build.cosim.verilog), ("VHDL", build.cosim.vhdl)):
            if result.status != "NA":
                yield f"co-simulation, {name}", result.status
    for stage, timing in build.timing.items():
        if timing.is_met is not None:
            yield f"timing, {stage}", "met" if timing.is_met else "not met"
    yield "can be trusted", "yes" if build.is_trustworthy else "no: see the notes"


def _of_report(found: Report) -> Description:
    entry = report_entry(found, found.path.name)
    values = found.to_dict()
    rows = [(name, text) for name, value in values.items() if (text := _plain(value)) is not None]
    fields = TextTable("Report", ("", str(found.path)), tuple(rows))
    logs = _log_tables([found]) if isinstance(found, ToolLogReport) else ()
    return Description((fields, *_numbers(entry), *logs), entry.notes, entry.is_trustworthy)


def _plain(value: Any) -> str | None:
    """A field in one line; ``None`` for an empty one, and for tables of their own."""
    if value is None or isinstance(value, list | tuple | Mapping):
        return None
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _numbers(entry: Entry) -> tuple[TextTable, ...]:
    """The tables of numbers of one entry; the first of a comparison says what is compared."""
    return comparison_tables(make_comparison([entry]))[1:]
