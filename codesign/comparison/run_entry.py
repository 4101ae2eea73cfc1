"""A finished run as an entry of a comparison: its summary, its settings and data, and the builds of its project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from codesign.comparison.entry import Entry, Number, measured, sorted_numbers
from codesign.comparison.steps import CSYNTH, ESTIMATE, NETWORK, STEPS, TEACHER, YOSYS
from codesign.comparison.summary import SUMMARY, report
from codesign.core.files import read_json
from codesign.errors import ReportFormatError

RUN = "run.json"
PROJECT = Path("project") / "hls"
_STEP_OF = {"teacher": TEACHER, "quantization": NETWORK}
_TEACHER_METRICS = ("test_accuracy", "auc")
_ALIASES = {"luts": "lut", "ffs": "ff", "dsps": "dsp"}


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's, finished or not."""
    return (folder / SUMMARY).is_file() or (folder / RUN).is_file()


def read_run(folder: Path, name: str) -> Entry:
    """Read a finished run.

    Parameters
    ----------
    folder
        The run's folder.
    name
        What the comparison calls it.

    Raises
    ------
    ReportMissingError
        The run is not finished.
    ReportFormatError
        Its summary is damaged.
    """
    path = folder / SUMMARY
    try:
        summary = report(folder)
        numbers = sorted_numbers(list(summary_numbers(summary, str(path))))
        layers = summary["layers"]
        design, seed, part = summary["design"], summary["seed"], summary["target"]["part"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReportFormatError(path, "summary", f"damaged ({error!r}); finish the run again") from None
    run = _read_optional(folder / RUN)
    settings = run.get("settings", {})
    evidence = _read_optional(folder / "quantization" / "stage.json")
    depends = _read_optional(folder / "student" / "stage.json").get("depends", {})
    return Entry(
        name=name,
        kind="run",
        source=str(folder),
        numbers=numbers,
        design=design,
        dataset=settings.get("data", {}).get("source"),
        dataset_digest=evidence.get("record", {}).get("parents", {}).get("dataset"),
        part=part,
        tools=_tools(summary),
        layers=layers,
        settings=dict(_flat(settings)),
        networks_digest=depends.get("networks.py"),
        seeds=(int(seed),),
        notes=tuple(summary["notes"]),
    )


def summary_numbers(summary: Mapping[str, Any], source: str = "") -> Iterator[Number]:
    """The numbers of a run's summary: the teacher's and the student's quality, estimates, and the open RTL path."""
    target = summary["target"]
    part = target["part"]
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


def _tools(summary: Mapping[str, Any]) -> dict[str, str]:
    rtl = summary.get("rtl") or {}
    version = rtl.get("yosys_version", summary.get("versions", {}).get("pyosys"))
    csynth = summary.get("csynth") or {}
    tools = {YOSYS: f"Yosys {version}"} if rtl and version else {}
    return {**tools, CSYNTH: f"{csynth['tool']} {csynth['version']}"} if csynth else tools


def _read_optional(path: Path) -> dict[str, Any]:
    """A file that older runs do not have."""
    if not path.is_file():
        return {}
    try:
        value: dict[str, Any] = read_json(path)
    except ValueError as error:
        raise ReportFormatError(path, "JSON", f"damaged ({error})") from None
    return value


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted path."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
