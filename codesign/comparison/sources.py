"""Anything that can be compared, read from its folder or file: runs, projects, build folders, single reports."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from codesign.comparison.build_numbers import build_numbers, finding_note, findings, measure
from codesign.comparison.entry import (
    CSYNTH,
    ESTIMATE,
    NETWORK,
    STEPS,
    TEACHER,
    YOSYS,
    Entry,
    Number,
    measured,
    sorted_numbers,
)
from codesign.core.build_marker import BuildMarker
from codesign.core.files import RTL_COUNTS, arrays_digest, json_digest, read_json
from codesign.core.metrics import METRICS
from codesign.core.places import GRAPH, OWN_RTL, mistaken, unfinished
from codesign.core.places import RUN as RUN
from codesign.core.places import SUMMARY as SUMMARY
from codesign.core.places import is_run as is_run
from codesign.core.quality import predicted_classes
from codesign.core.sealed import HLS_PROJECT, RTL_PROJECT, STAGE, Manifest, differences, field
from codesign.core.task import Classification, Regression, Task, task_from_json
from codesign.errors import ReportFormatError, ReportMissingError, SettingsError, StaleProjectError
from codesign.reports import BuildReport, Report, read_build, read_report
from codesign.reports.build_files import MANIFEST
from codesign.reports.records import HARMLESS
from codesign.run_folder import LOCK

PROJECT = Path("project") / "hls"
"""Where a run's HLS project lies."""

_ALWAYS = ("project", "verification")
"""Stages that a finished run has in any case."""

_STEP_OF = {"teacher": TEACHER, "quantization": NETWORK}
_QUALITIES = tuple(name for name, metric in METRICS.items() if metric.group == "quality")
_VALIDATION = tuple(name for name in _QUALITIES if name.startswith("validation_"))
_TEACHER_METRICS = tuple(name for name in _QUALITIES if name not in _VALIDATION)
_ALIASES = {"luts": "lut", "ffs": "ff", "dsps": "dsp"}

_GENERIC = {"run", "hls", "project", "solution1", "report", "reports", "hls4ml_prj", "myproject_prj"}
"""Names of folders that say nothing without the one above them."""

_MOST_FINDINGS = 2
"""How many reports that were left out for one reason are named one by one."""


def read_summary(folder: str | Path) -> dict[str, Any]:
    """Read the summary of a finished run.

    Raises
    ------
    ReportMissingError
        If the run is not finished or the folder is no run.
    ReportFormatError
        If the summary is damaged.
    """
    path = Path(folder) / SUMMARY
    if not path.is_file():
        raise ReportMissingError(
            unfinished(folder, "an end")
            if is_run(folder)
            else mistaken(folder, "run's folder", RUN, "run a design first")
        )
    summary: dict[str, Any] = _json_object(path)
    return summary


def _json_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds a mapping."""
    try:
        value = read_json(path)
    except (ValueError, RecursionError) as error:
        raise ReportFormatError(path, "JSON", f"damaged ({error})") from None
    if not isinstance(value, dict):
        raise ReportFormatError(path, "JSON", f"damaged (it holds {type(value).__name__}, not an object)")
    return value


def read_run(folder: Path, name: str) -> Entry:
    """Read a run; one that has not ended has the numbers of the stages that have.

    Parameters
    ----------
    folder
        The run's folder.
    name
        What the comparison calls it.

    Raises
    ------
    ReportFormatError
        Its summary or its settings are damaged.
    """
    path = folder / SUMMARY
    run = _json_object(folder / RUN) if (folder / RUN).is_file() else {}
    stages, damaged = read_stages(folder)
    is_finished = path.is_file()
    summary = read_summary(folder) if is_finished else None
    if summary is None:  # what a stage that is made again leaves for later is no longer of this run
        stages = in_order(stages)
    try:
        settings = run.get("settings", {})
        told = _so_far(settings, stages) if summary is None else summary
        faults = (*damaged, *run_faults(folder, stages, summary))
        numbers = sorted_numbers(list(summary_numbers(told, str(path if is_finished else folder))))
        right, counts = right_samples(folder, told)
        return Entry(
            name=name,
            kind="run" if is_finished else "unfinished",
            source=str(folder),
            numbers=tuple(replace(number, count=counts.get(number.metric)) for number in numbers),
            design=told["design"],
            dataset=settings.get("data", {}).get("source"),
            dataset_digest=_dataset_digest(stages),
            part=told["target"].get("part"),
            tools=_tools(told),
            layers=told["layers"],
            settings=dict(_flat(settings)),
            networks_digest=stages.get("student", {}).get("depends", {}).get("networks.py"),
            seeds=(int(told["seed"]),),
            notes=(*told["notes"], *_architecture_notes(told), *faults),
            is_trustworthy=not faults,
            right=right,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReportFormatError(
            path if is_finished else folder / RUN, "summary", f"damaged ({error!r}); finish the run again"
        ) from None


def _so_far(settings: Mapping[str, Any], stages: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a run that has not ended knows, in the form of a summary."""
    records = {name: stage["record"]["metrics"] for name, stage in stages.items()}
    done = ", ".join(name for name in stages) or "no stage"
    return {
        "design": settings["name"],
        "seed": settings["seed"],
        "target": settings.get("hardware", {}),
        "stages": [{"stage": name, **metrics} for name, metrics in records.items()],
        "layers": records.get("project", {}).get("layers", {}),
        "rtl": records.get("rtl", {}),
        "verification": {"rungs": records.get("verification", {}).get("rungs", [])},
        "notes": [f"the run has not ended: {done} so far; codesign run goes on with it"],
    }


def _dataset_digest(stages: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The digest of the data that the latest stage with one was made with."""
    for name in ("quantization", "student", "teacher"):
        digest = stages.get(name, {}).get("record", {}).get("parents", {}).get("dataset")
        if digest is not None:
            return str(digest)
    return None


def right_samples(folder: Path, summary: Mapping[str, Any]) -> tuple[np.ndarray | None, dict[str, int]]:
    """Which test samples a run's hardware classifies rightly, and how many samples each quality was measured on.

    Parameters
    ----------
    folder
        The run's folder.
    summary
        Its summary: the rungs of the ladder compute the whole test part.

    Returns
    -------
    right : ndarray or None
        bool `(n_samples,)`; ``None`` where the outputs were not kept, or are of no classes.
    counts : dict
        Numbers of samples by metric, as far as they are known.
    """
    counts = {}
    rungs = [int(rung["samples"]) for rung in summary["verification"]["rungs"]]
    if any(rungs):
        counts = dict.fromkeys((name for name in _TEACHER_METRICS), max(rungs))
    logits = read_arrays(folder / "teacher" / "logits.npz")
    for part, metrics in (("test", _TEACHER_METRICS), ("validation", _VALIDATION)):
        if part in logits:
            counts |= dict.fromkeys(metrics, len(logits[part]))
    test = read_arrays(folder / "verification" / "test.npz")
    outputs, targets = test.get("outputs"), test.get("targets")
    task = task_of(test)
    if outputs is None or targets is None or task is None or not task.has_classes:
        return None, counts
    if outputs.ndim != 2 or targets.ndim != 1 or len(outputs) != len(targets):
        return None, counts
    return predicted_classes(outputs) == targets, counts


def task_of(test: Mapping[str, np.ndarray]) -> Task | None:
    """The task of the single test samples that a run kept; of an older run what they look like, ``None`` if like nothing."""
    if "task" in test:
        return task_from_json(json.loads(str(test["task"])))
    outputs, targets = test.get("outputs"), test.get("targets")
    if outputs is None or targets is None:
        return None
    names = tuple(str(name) for name in test.get("class_names", ()))
    if targets.dtype.kind in "iu" and targets.ndim == 1:
        return Classification(names)
    if targets.dtype.kind == "f" and outputs.ndim == 2 and outputs.size == targets.size:
        return Regression(tuple(f"output {number}" for number in range(outputs.shape[1])))
    return None


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz; none if it is not there or damaged, which `run_faults` says."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return {}


def summary_numbers(summary: Mapping[str, Any], source: str = "") -> Iterator[Number]:
    """The numbers of a run's summary: the teacher's and the student's quality, estimates, and the open RTL path."""
    part = summary["target"].get("part")
    for row in summary["stages"]:
        step = _STEP_OF.get(row["stage"])
        if step == TEACHER:
            row = {name: row.get(name) for name in _TEACHER_METRICS}
        if step is not None:
            yield from measured(step, row, source=source)
    rtl = summary.get("rtl") or {}
    for default, values in ((ESTIMATE, summary.get("estimates") or {}), (YOSYS, rtl)):
        step = values.get("stage", default)
        known = {_ALIASES.get(name, name): value for name, value in values.items()}
        yield from measured(step if step in STEPS else default, known, part=part, source=source)
    if csynth := summary.get("csynth"):
        yield from measured(CSYNTH, csynth_values(csynth), part=part, source=source)


def csynth_values(report: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a C synthesis report that a run kept as a dictionary (`CsynthReport.to_dict`)."""
    values = {name: report.get(name) for name in ("estimated_clock_ns", "fmax_mhz")}
    values |= {
        name: report.get(f"{name}_max") for name in ("latency_cycles", "interval_cycles", "latency_ns")
    }
    return {**report["used"], **values, "clock_period_ns": report.get("target_clock_ns")}


def shared_multipliers(target: Mapping[str, Any]) -> int:
    """The greatest reuse factor among the hardware settings of a run."""
    layers = target.get("layers") or {}
    factors = (layer.get("reuse_factor") or 1 for layer in layers.values())
    return max(target.get("reuse_factor") or 1, *factors, 1)


def other_architecture(reuse_factor: int) -> str:
    """What to say of the open RTL beside an HLS project that shares its multipliers; empty if it does not."""
    if reuse_factor <= 1:
        return ""
    return (
        f"unrolled, a sample each clock; the HLS project, with reuse factors up to {reuse_factor}, is another architecture "
        "with fewer multipliers and a longer interval"
    )


def _architecture_notes(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Whether the open RTL's interval and LUTs are of another architecture than the HLS project's."""
    other = other_architecture(shared_multipliers(summary["target"])) if summary.get("rtl") else ""
    return (f"its open RTL is {other}",) if other else ()


def _tools(summary: Mapping[str, Any]) -> dict[str, str]:
    rtl = summary.get("rtl") or {}
    version = rtl.get("yosys_version", summary.get("versions", {}).get("pyosys"))
    csynth = summary.get("csynth") or {}
    tools = {YOSYS: f"Yosys {version}"} if rtl and version else {}
    return {**tools, CSYNTH: f"{csynth['tool']} {csynth['version']}"} if csynth else tools


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted path."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def read_entries(sources: Sequence[str | Path], *, top: str | None = None) -> tuple[Entry, ...]:
    """Read everything that is to be compared.

    Parameters
    ----------
    sources
        Folders and files; ``NAME=PATH`` gives one a name.
    top
        The top function of build folders that hold several.

    Raises
    ------
    SettingsError
        Nothing is given, or the same thing twice.
    ReportError
        One of them is missing, damaged, or nothing that can be compared.
    """
    if not sources:
        raise SettingsError("nothing to compare; name runs, projects, build folders or report files")
    named = [split_name(source) for source in sources]
    resolved = [path.resolve() for _, path in named]
    for index, path in enumerate(resolved):
        if path in resolved[:index]:
            raise SettingsError(f"{named[index][1]} is given twice; compare it with something else")
    names = short_names([path for _, path in named])
    return tuple(
        read_entry(path, name=given or short, top=top)
        for (given, path), short in zip(named, names, strict=True)
    )


def split_name(source: str | Path) -> tuple[str | None, Path]:
    """Take ``NAME=PATH`` apart; a path that exists as it stands is no such pair."""
    name, equals, path = str(source).partition("=")
    if not equals or not name or not path or Path(source).exists():
        return None, Path(source)
    return name, Path(path)


def read_entry(path: str | Path, *, name: str | None = None, top: str | None = None) -> Entry:
    """Read one run, project, build folder or report.

    Parameters
    ----------
    path
        Its folder or file.
    name
        What the comparison calls it; the last part of the path if not given.
    top
        The top function of a build folder that holds several.

    Raises
    ------
    ReportError
        It is missing, damaged, or nothing that can be compared.
    """
    path = Path(path)
    name = name or path.name or str(path)
    if path.name == SUMMARY and path.is_file():
        path = path.parent
    if path.is_file():
        return report_entry(read_report(path), name)
    if not path.is_dir():
        raise ReportMissingError(f"{path}: there is no such file or folder")
    if is_run(path):
        entry = read_run(path, name)
        build = find_build(path / PROJECT, top)
        if build is None:
            failure = failed_build(path / PROJECT)
            return entry if failure is None else _doubted(entry, failure)
        # the numbers that the run itself read of these reports are older; they count only where there is no build
        return _with_build(replace(entry, numbers=tuple(n for n in entry.numbers if n.step != CSYNTH)), build)
    if (path / MANIFEST).is_file():
        return read_project(path, name, find_build(path, top))
    if (path / RTL_PROJECT.manifest).is_file():
        return read_rtl(path, name, find_build(path, top))
    if (path / LOCK).exists() and not any(
        path.glob("[!.]*")
    ):  # a run that was refused before its first stage leaves its lock
        notes = ("nothing is in it yet",)
        return Entry(name=name, kind="unfinished", source=str(path), notes=notes)
    build = read_build(path, top=top)
    entry = Entry(name=name, kind="build", source=str(path), part=build.part)
    return _with_build(entry, build)


def find_build(folder: Path, top: str | None = None) -> BuildReport | None:
    """The reports of a project; ``None`` if none lies in it."""
    if not folder.is_dir():
        return None
    try:
        return read_build(folder, top=top)
    except ReportMissingError:
        return None


def failed_build(folder: Path) -> str | None:
    """Why a build left no report, in one sentence; ``None`` if none ran or it ended well."""
    marker = BuildMarker.read(folder)
    if marker is None or marker.status == "finished":
        return None
    return f"the last build left no report; its status is {marker.told}"


def _doubted(entry: Entry, failure: str) -> Entry:
    return replace(entry, notes=(*entry.notes, failure), is_trustworthy=False)


def report_entry(report: Report, name: str) -> Entry:
    """A report by itself; it is as trustworthy as what it says."""
    found = measure([report])
    doubts = tuple(report.doubts())
    return Entry(
        name=name,
        kind="report",
        source=str(report.path),
        numbers=found.numbers,
        part=report.part,
        tools=found.tools,
        notes=(*found.notes, *map(finding_note, doubts)),
        is_trustworthy=all(doubt.reason in HARMLESS for doubt in doubts),
    )


def read_project(folder: Path, name: str, build: BuildReport | None) -> Entry:
    """A project with the build of it that `find_build` found.

    Raises
    ------
    ReportFormatError
        Its manifest is damaged.
    """
    try:
        manifest = HLS_PROJECT.read(folder)
        part, settings = manifest.of(
            lambda values: (field(values["target"], "part", str), field(values, "settings", dict))
        )
    except StaleProjectError as error:
        raise ReportFormatError(folder / MANIFEST, "manifest", str(error)) from None
    entry = Entry(
        name=name,
        kind="project",
        source=str(folder),
        part=part,
        settings={f"hardware.{key}": value for key, value in settings.items()},
    )
    for fault in project_faults(folder, manifest.files):
        entry = _doubted(entry, fault)
    place = own_rtl(folder, manifest.values["target"])
    if place is not None:
        rtl = read_own_rtl(place, name)
        entry = replace(
            entry,
            numbers=rtl.numbers,
            tools=rtl.tools,
            notes=(*entry.notes, *(f"{OWN_RTL}: {note}" for note in rtl.notes)),
            is_trustworthy=entry.is_trustworthy and rtl.is_trustworthy,
        )
    if build is None:
        failure = failed_build(folder)
        if failure is not None:
            return _doubted(entry, failure)
        what = "nothing" if place is None else "nothing but the open RTL"
        return replace(entry, notes=(*entry.notes, f"{what} was built in it yet: codesign build"))
    return _with_build(entry, build)


def own_rtl(folder: Path, target: Mapping[str, Any]) -> Path | None:
    """The open RTL below a project, if it is of this project; one of an earlier project there is none of it.

    Raises
    ------
    ReportFormatError
        Its manifest is damaged.
    """
    place = folder / OWN_RTL
    if not (place / RTL_PROJECT.manifest).is_file():
        return None
    try:
        figures = RTL_PROJECT.read(place).of(lambda values: field(values, "figures", dict))
    except StaleProjectError as error:
        raise ReportFormatError(place / RTL_PROJECT.manifest, "manifest", str(error)) from None
    made = [figures.get(key) for key in ("graph_digest", "part", "clock_period_ns")]
    graph = arrays_digest(read_arrays(folder / GRAPH))
    return place if made == [graph, target.get("part"), target.get("clock_period_ns")] else None


def rtl_figures(folder: Path, manifest: Manifest) -> tuple[dict[str, Any], str]:
    """What a folder of open RTL says of itself and what Yosys counted of it, and why nothing is counted.

    Raises
    ------
    StaleProjectError
        Its manifest is damaged.
    """

    def read(values: Mapping[str, Any]) -> dict[str, Any]:
        figures = field(values, "figures", dict)
        period, cycles = field(figures, "clock_period_ns", float), field(figures, "latency_cycles", int)
        return {
            "top": field(figures, "top", str),
            "part": field(figures, "part", str),
            "clock_period_ns": period,
            "latency_cycles": cycles,
            "latency_ns": cycles * period,
            "interval_cycles": field(figures, "ii", int),
            "estimated_lut": field(figures, "estimated_lut", float),
        }

    known = manifest.of(read)
    if not (folder / RTL_COUNTS).is_file():
        return known, f"its cells are not counted: codesign rtl counts them ({RTL_COUNTS} is not there)"
    try:
        counted = read_json(folder / RTL_COUNTS)
        if counted["project"] != json_digest([manifest.values["figures"], dict(manifest.files)]):
            return (
                known,
                f"{folder / RTL_COUNTS} is of another Verilog; codesign rtl --overwrite counts it again",
            )
        return {**counted["utilization"], **known}, ""
    except (ValueError, KeyError, TypeError) as error:
        raise ReportFormatError(
            folder / RTL_COUNTS,
            "utilization",
            f"damaged ({error!r}); codesign rtl --overwrite counts it again",
        ) from None


def read_rtl(folder: Path, name: str, build: BuildReport | None) -> Entry:
    """A folder of open RTL: the estimate, Yosys' counts, and what the vendor's tools said.

    Raises
    ------
    ReportFormatError
        Its manifest or its counts are damaged.
    """
    entry = read_own_rtl(folder, name)
    if build is None:
        failure = failed_build(folder)
        return entry if failure is None else _doubted(entry, failure)
    return _with_build(entry, build)


def read_own_rtl(folder: Path, name: str) -> Entry:
    """A folder of open RTL without what the vendor's tools left in it: the estimate and Yosys' counts.

    Raises
    ------
    ReportFormatError
        Its manifest or its counts are damaged.
    """
    try:
        manifest = RTL_PROJECT.read(folder)
        figures, missing = rtl_figures(folder, manifest)
    except StaleProjectError as error:
        raise ReportFormatError(folder / RTL_PROJECT.manifest, "manifest", str(error)) from None
    told = changed_files(folder, manifest.files)
    part, source = figures["part"], str(folder)
    step = YOSYS if "lut" in figures else ESTIMATE
    numbers = [
        *measured(ESTIMATE, {"lut": figures["estimated_lut"]}, part=part, source=source),
        *measured(
            step, {key: value for key, value in figures.items() if key in METRICS}, part=part, source=source
        ),
    ]
    return Entry(
        name=name,
        kind="rtl",
        source=source,
        numbers=sorted_numbers(numbers),
        part=part,
        tools={YOSYS: f"Yosys {figures['yosys_version']}"} if "yosys_version" in figures else {},
        notes=(*((f"{told}; {RTL_PROJECT.again}",) if told else ()), *((missing,) if missing else ())),
        is_trustworthy=not told,
    )


def _with_build(entry: Entry, build: BuildReport) -> Entry:
    found = build_numbers(build)
    return replace(
        entry,
        numbers=sorted_numbers([*found.numbers, *entry.numbers]),
        tools={**entry.tools, **found.tools},
        notes=(*entry.notes, *found.notes, *findings(build, _MOST_FINDINGS)),
        is_trustworthy=entry.is_trustworthy and build.is_trustworthy,
    )


def short_names(paths: Sequence[Path]) -> list[str]:
    """As few last parts of each path as tell them apart, and more where they say nothing (``run``)."""
    parts = [path.resolve().parts[1:] for path in paths]
    long, short = [], []
    for index, mine in enumerate(parts):
        others = parts[:index] + parts[index + 1 :]
        count = 1
        while count < len(mine) and (
            mine[-count] in _GENERIC or any(other[-count:] == mine[-count:] for other in others)
        ):
            count += 1
        long.append("/".join(mine[-count:]) or "/")
        short.append(f"{mine[-count]}/.../{mine[-1]}" if count > 2 else long[-1])
    return short if len(set(short)) == len(short) else long


def read_stages(folder: Path) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """What the stages of a run say of themselves, by name, and a sentence for each that cannot be read."""
    found, faults = {}, []
    for path in sorted(folder.glob(f"*/{STAGE.manifest}")):
        name = path.parent.name
        try:
            stage = read_json(path)
            _ = (dict(stage["files"]), dict(stage["depends"]), dict(stage["record"]["metrics"]))
            stage["record"]["digest"].encode()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            faults.append(f"stage {name}: its {STAGE.manifest} is damaged ({error!r}); {_redo(name)}")
        else:
            found[name] = stage
    return found, tuple(faults)


def in_order(stages: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The stages that were made of each other, parents first; those made of what is no longer there are left out."""
    done: dict[str, dict[str, Any]] = {}

    def is_ready(name: str) -> bool:
        depends = stages[name]["depends"]
        return all(
            parent in done and done[parent]["record"]["digest"] == depends[f"stage {parent}"]
            for parent in _parents({name: stages[name]})
        )

    while ready := [name for name in stages if name not in done and is_ready(name)]:
        done |= {name: stages[name] for name in ready}
    return done


def run_faults(
    folder: Path, stages: Mapping[str, Mapping[str, Any]], summary: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """What of a run is not what it was when the run ended, a sentence each.

    Parameters
    ----------
    folder
        The run's folder.
    stages
        What `read_stages` read.
    summary
        The run's summary; ``None`` for a run that has not ended.
    """
    if summary is not None and not any(folder.glob(f"*/{STAGE.manifest}")):
        return ("the folders of its stages are gone: nothing that the summary says can be checked",)
    return tuple(_run_faults(folder, stages, summary))


def _run_faults(
    folder: Path, stages: Mapping[str, Mapping[str, Any]], summary: Mapping[str, Any] | None
) -> Iterator[str]:
    wanted = dict.fromkeys(_parents(stages))
    if summary is not None:
        wanted |= dict.fromkeys([*(row["stage"] for row in summary["stages"]), *_ALWAYS])
    for name in wanted:
        if name not in stages and not (folder / name / STAGE.manifest).is_file():
            yield f"stage {name} is gone; {_redo(name)}"
    for name, stage in stages.items():
        if told := changed_files(folder / name, stage["files"]):
            yield f"stage {name}: {told}; {_redo(name)}"
        for parent in _parents({name: stage}):
            known = stages.get(parent)
            if known is not None and known["record"]["digest"] != stage["depends"][f"stage {parent}"]:
                yield f"stage {name} was made of another {parent} than the one that is here; {_redo(name)}"
    if summary is not None:
        yield from _contradictions(stages, summary)


def _contradictions(stages: Mapping[str, Mapping[str, Any]], summary: Mapping[str, Any]) -> Iterator[str]:
    """Figures of a summary that are not those of the stages' own records."""
    for row in summary["stages"]:
        metrics = stages[row["stage"]]["record"]["metrics"] if row["stage"] in stages else row
        for name, value in row.items():
            if name not in ("stage", "seconds") and name in metrics and metrics[name] != value:
                yield (
                    f"the summary says {value!r} of {name} of stage {row['stage']}, and the stage itself "
                    f"{metrics[name]!r}; finish the run again"
                )
    if "verification" in stages:
        metrics = stages["verification"]["record"]["metrics"]
        if metrics.get("rungs") != summary["verification"]["rungs"]:
            yield "the summary's ladder is not that of stage verification; finish the run again"
    if "project" in stages and stages["project"]["record"]["metrics"].get("layers") != summary["layers"]:
        yield "the summary's types are not those of stage project; finish the run again"


def _parents(stages: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for stage in stages.values():
        for name in stage["depends"]:
            if name.startswith("stage "):
                yield name.removeprefix("stage ")


def project_faults(folder: Path, files: Mapping[str, str]) -> tuple[str, ...]:
    """What of a project is not what the digests of its manifest say, a sentence each."""
    told = changed_files(folder, files)
    return (f"{told}; {HLS_PROJECT.again}",) if told else ()


def changed_files(folder: Path, files: Mapping[str, str]) -> str:
    """How many files do not have their digests, in words; empty if all have them."""
    missing, different = differences(folder, files)
    # in the order of the manifest
    changed = [name for name in files if name in {*missing, *different}]
    if not changed:
        return ""
    verb = "is" if len(changed) == 1 else "are"
    return f"{len(changed)} of {len(files)} files {verb} changed or gone, first {changed[0]}"


def _redo(stage: str) -> str:
    return f"codesign run ... --from {stage} makes it again"
