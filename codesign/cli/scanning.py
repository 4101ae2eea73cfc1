"""`codesign scan`."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from codesign.cli.long_work import resumable
from codesign.cli.sources import (
    DataOption,
    LabelColumnOption,
    ScalingOption,
    TaskOption,
    given_about_data,
    is_run_folder,
    options_about_data,
    require_given,
)


def scan(
    source: Annotated[
        Path, typer.Argument(help="A trained float .keras model, or the folder of a run: its pruned student.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder for map, trials, proofs and picture.")
    ],
    data: DataOption = None,
    label_column: LabelColumnOption = None,
    scaling: ScalingOption = None,
    task: TaskOption = None,
    tolerance: Annotated[
        float | None, typer.Option(help="The accepted loss of validation quality; 0.01 is a point.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="How single tensors get their bits: descent tries them, hessian weighs them all."),
    ] = None,
    quality: Annotated[str | None, typer.Option(help="accuracy, auc or r2; by default the task's.")] = None,
    cost: Annotated[str | None, typer.Option(help="What to save: bops, or estimated luts.")] = None,
    margin_bits: Annotated[
        int | None, typer.Option(help="Integer bits beyond what calibration needs.")
    ] = None,
    percentile: Annotated[
        float | None,
        typer.Option(
            help="Of the magnitudes that formats hold; below 100, the rarest saturate for finer steps."
        ),
    ] = None,
    affine_widths: Annotated[
        str | None,
        typer.Option(
            help="Bits (4,6,8) at which the student with scales and zero points is measured too, for comparison."
        ),
    ] = None,
) -> None:
    """Choose every tensor's bits: none that overflows, fewer wherever the quality allows; the same command resumes."""
    given = {
        "method": method,
        "tolerance": tolerance,
        "quality": quality,
        "cost": cost,
        "margin_bits": margin_bits,
        "percentile": percentile,
        "affine_widths": None if affine_widths is None else _whole_numbers("--affine-widths", affine_widths),
    }
    from codesign.terminal import say

    asked = {name: value for name, value in given.items() if value is not None}
    about = given_about_data(data, label_column, scaling, task)
    with resumable("the trials are kept"):
        result = _scan(source, about, asked, output)
    _show(result)
    say(f"\nEverything is in {shlex.quote(str(output))}")
    if not is_run_folder(source):  # a run goes on with formats of its own
        again = [part for option in options_about_data(about).items() for part in option]
        words = ["codesign", "convert", source, *again, "--precision", output / "precision_map.json"]
        say(f"Next:\n  {shlex.join(map(str, words))} -o my_project")


def _scan(source: Path, about: Mapping[str, Any], asked: Mapping[str, Any], output: Path) -> Any:
    from codesign.errors import OutputFolderError
    from codesign.networks.backend import import_backend
    from codesign.run_folder import RunFolder

    if (output / "scan.json").is_file():
        raise OutputFolderError(f"{output} holds a finished scan; choose another folder with --output")
    require_given(source, about)
    folder = RunFolder(output)
    with folder.locked():
        import_backend()
        from codesign.compression.scan import scan_bit_widths
        from codesign.stages.scan import SCAN_JOURNAL
        from codesign.terminal import progress

        student, dataset, settings = _subject(source, about, asked)
        started = time.monotonic()
        with progress() as shown:
            result = scan_bit_widths(
                student, dataset, settings, journal=output / SCAN_JOURNAL, progress=shown
            )
        with folder.writing("scan") as made:
            _keep(result, made, student, dataset, settings, time.monotonic() - started)
            # the result last: a scan that has it is finished
            for path in sorted(made.iterdir(), key=lambda path: path.name == "scan.json"):
                path.replace(output / path.name)
        (output / SCAN_JOURNAL).unlink(missing_ok=True)
    return result


def _keep(result: Any, folder: Path, student: Any, dataset: Any, settings: Any, seconds: float) -> None:
    """Write map, trials, proofs, record and picture."""
    from codesign.comparison.run_charts import plot_scan
    from codesign.core.files import write_json

    result.save(folder)
    parents = {"student": student.record.digest, "dataset": dataset.digest}
    record = result.record.in_run("scan", settings.model_dump(mode="json"), None, parents, seconds)
    write_json(folder / "record.json", record.to_dict())
    plot_scan(folder, settings.tolerance, folder / "scan.png")


def _subject(source: Path, about: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """The student, the data and the settings: of a run, or of a model and a data set."""
    from codesign.cli.sources import data_settings, read_model, refuse_data_options
    from codesign.compression.scan_source import float_student_of
    from codesign.settings import make_design
    from codesign.stages import open_run

    if is_run_folder(source):
        run = open_run(source)
        refuse_data_options(about, source)
        values = run.settings.model_dump(mode="json")
        values["scan"] |= asked
        return run.value("pruning"), run.dataset, make_design(values).scan
    design = data_settings(about, source, scan=dict(asked))
    model, dataset = read_model(source, design.data)
    return float_student_of(model, dataset, f"the student {source}"), dataset, design.scan


def _whole_numbers(option: str, text: str) -> list[int]:
    """The numbers of a list with commas; `SettingsError` for anything else."""
    from codesign.errors import SettingsError

    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise SettingsError(
            f"{option}: must be whole numbers with commas between, 4,6,8, not {text!r}"
        ) from None


def _show(result: Any) -> None:
    from codesign.comparison.summary import affine_tables
    from codesign.core.text_table import TextTable, counted
    from codesign.terminal import show_tables

    only = result.precision.input
    rows = [] if only is None else [("input", "result", only.ap())]
    rows += [(layer, tensor, precision.ap()) for layer, tensor, precision in result.precision.items()]
    metrics = result.record.metrics
    notes = [
        f"quality {result.quality:.4f} on the validation part, float {result.float_quality:.4f}",
        f"{metrics['bops']:,.0f} BOPs, {metrics['average_weight_bits']:.2f} bits a weight layer, "
        f"{counted(len(result.trials), 'trial')}",
        "no input on the input grid can wrap an accumulator; results saturate"
        if result.no_input_wraps
        else "some input can wrap an accumulator",
        f"saturated on the calibration set: {counted(metrics['overflows'], 'value')} (rounding can carry some over the edge; "
        "--margin-bits 1 makes room)",
    ]
    constant = metrics["constant_features"]
    if constant:
        notes.append(
            f"constant in the calibration set, may saturate: {counted(len(constant), 'feature')}, {', '.join(constant[:8])}"
            + (", ..." if len(constant) > 8 else "")
        )
    formats = TextTable("Number formats", ("layer", "tensor", "format"), tuple(rows))
    show_tables([formats, *affine_tables(metrics.get("affine"))], notes)
