"""The summary of a run: what each stage kept of the quality, what it costs, and whether the hardware agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codesign.core.files import read_json, write_json, write_text
from codesign.core.metrics import METRICS
from codesign.core.parts import find_device
from codesign.core.record import Record
from codesign.core.text_table import TextTable, printable
from codesign.errors import ReportMissingError

SUMMARY = "summary.json"
_STAGE_METRICS = (
    "validation_accuracy",
    "test_accuracy",
    "parameters",
    "sparsity",
    "weights_removed",
    "average_weight_bits",
    "bops",
)


def write_summary(folder: str | Path, summary: Mapping[str, Any]) -> None:
    """Write a summary as JSON and Markdown; the JSON, which marks the run as finished, last."""
    folder = Path(folder)
    notes = "".join(f"- {printable(note)}\n" for note in summary["notes"])
    text = f"# {summary['design']}\n\n" + "\n".join(table.markdown() for table in tables(summary))
    write_text(folder / "summary.md", text + (f"\n## Notes\n\n{notes}" if notes else ""))
    write_json(folder / SUMMARY, summary)


def report(folder: str | Path) -> dict[str, Any]:
    """Read the summary of a finished run.

    Raises
    ------
    ReportMissingError
        If the run is not finished or the folder is no run.
    """
    path = Path(folder) / SUMMARY
    if not path.is_file():
        raise ReportMissingError(
            f"{folder} holds no finished run (it has no {SUMMARY}); run the design to its end first"
        )
    summary: dict[str, Any] = read_json(path)
    return summary


def make_summary(
    design: str, seed: int, target: Mapping[str, Any], records: Mapping[str, Record], notes: Sequence[str]
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
    """
    stages = []
    for stage, record in records.items():
        if "test_accuracy" in record.metrics and stage != "verification":
            row = {name: record.metrics[name] for name in _STAGE_METRICS if name in record.metrics}
            stages.append({"stage": stage, "seconds": record.seconds, **row})
    return {
        "design": design,
        "seed": seed,
        "target": dict(target),
        "stages": stages,
        "affine": records["scan"].metrics.get("affine") if "scan" in records else None,
        "layers": records["project"].metrics["layers"],
        "rtl": _without_reason(records["rtl"]),
        "estimates": {"lut": records["rtl"].metrics.get("estimated_lut")},
        "csynth": records["synthesis"].metrics.get("csynth"),
        "verification": {key: records["verification"].metrics[key] for key in ("reference", "rungs", "lsb")},
        "overflows": records["verification"].metrics.get("overflows"),  # not in records of older runs
        "seconds": sum(record.seconds for record in records.values()),
        "versions": dict(records["verification"].versions),
        "notes": list(notes),
    }


def _without_reason(record: Record) -> dict[str, Any]:
    """The open RTL's figures; empty if there are none."""
    return {} if "lut" not in record.metrics else dict(record.metrics)


def tables(summary: Mapping[str, Any]) -> tuple[TextTable, ...]:
    """The tables of a summary: stages, layer types, equality ladder."""
    known = [name for name in _STAGE_METRICS if any(name in row for row in summary["stages"])]
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
    ladder = ladder_table(summary["verification"])
    return (
        stages,
        *affine_tables(summary.get("affine")),
        layers,
        *_overflow_table(summary),
        *_rtl_table(summary),
        ladder,
    )


def _cell(row: Mapping[str, Any], metric: str) -> str:
    """A number of a stage; empty where the stage has none."""
    value = row.get(metric)
    return "" if value is None else METRICS[metric].text(value)


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
    title = f"Overflows on the test part: {wrapped:,} values wrapped"
    return (TextTable(title, header, tuple(tuple(str(row[name]) for name in names) for row in eventful)),)


def _rtl_table(summary: Mapping[str, Any]) -> tuple[TextTable, ...]:
    rtl = summary.get("rtl")
    if not rtl:
        return ()
    version = summary["versions"].get("pyosys", "?")
    return (rtl_table({"yosys_version": version, **rtl}, summary["target"]["part"]),)


def rtl_table(rtl: Mapping[str, Any], part: str) -> TextTable:
    """What the open RTL takes of the device: `RtlProject.figures` and, if it was counted, `RtlUtilization.to_dict`."""
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
    latency = (
        f"{rtl['latency_cycles']} cycles, {rtl['latency_ns']:g} ns at {rtl['clock_period_ns']:g} ns a cycle"
    )
    rows += [("latency", latency, ""), ("initiation interval", f"{rtl['interval_cycles']} cycle", "")]
    counted = f"Yosys {rtl['yosys_version']}; before placement" if "lut" in rtl else "not counted"
    title = f"Open RTL for {part} (alkaid, {counted})"
    return TextTable(title, ("", "used", f"of the {device.name}" if device else ""), tuple(rows))


def ladder_table(verification: Mapping[str, Any]) -> TextTable:
    """The table of an equality ladder (`Verification.to_dict`)."""
    return TextTable(
        f"Bit-exact against {verification['reference']}",
        ("computed by", "samples", "mismatches", "largest difference (LSB)", "class changes", "seconds"),
        tuple(_rung(rung) for rung in verification["rungs"]),
    )


def _rung(rung: Mapping[str, Any]) -> tuple[str, ...]:
    if rung["skipped"] is not None:
        return (rung["name"], f"skipped: {rung['skipped']}", "", "", "", "")
    numbers = (
        rung["samples"],
        rung["mismatches"],
        f"{rung['largest_lsb']:g}",
        rung["argmax_flips"],
        f"{rung['seconds']:.1f}",
    )
    return (rung["name"], *map(str, numbers))
