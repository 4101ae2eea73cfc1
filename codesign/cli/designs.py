"""`codesign run` and `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from codesign.cli.long_work import resumable
from codesign.cli.results import end_run


def run(
    design: Annotated[Path, typer.Argument(help="A design folder; codesign new makes one.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The run's folder; else hls_projects/<design>/<name>."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The run is written to hls_projects/<design>/<name>; else run.")
    ] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Redo this stage and all after it.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo stages of a finished run.")] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting that replaces the design's: distillation.alpha=0.5"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The random seed.")] = None,
    until: Annotated[str | None, typer.Option(help="End after this stage; the same command goes on.")] = None,
    fail_below: Annotated[
        float | None,
        typer.Option(
            max=1.0,
            help="End with an error if the design is worse on the validation part: its accuracy, or the measure of its task.",
        ),
    ] = None,
    budget_luts: Annotated[
        float | None,
        typer.Option(min=1.0, help="Learn widths, and build the best design of at most so many LUTs."),
    ] = None,
    quality_loss: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=100.0,
            help="Learn widths, and build the smallest design that loses at most so many percent.",
        ),
    ] = None,
    latency_ns: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Learn widths, and build a design of at most so many ns from input to output."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Run nothing: say which stages would be made, and why.")
    ] = False,
    tensorboard: Annotated[
        Path | None, typer.Option(help="A folder for TensorBoard logs of every training.")
    ] = None,
) -> None:
    """Run a design from its data to its verified HLS project; the same command resumes an interrupted run."""
    from codesign.core.yaml_text import read_assignments
    from codesign.errors import SettingsError
    from codesign.flow import run_design
    from codesign.starting import designs
    from codesign.terminal import progress

    if not design.exists() and (shipped := str(design)) in designs():
        raise SettingsError(
            f"{shipped}: there is no such folder; codesign new {shipped} --from {shipped} makes it"
        )
    overrides = _from_here(read_assignments(setting or [], "--set"), design)
    options = {} if seed is None else {"seed": seed}
    options |= _chosen_point(
        {"budget_luts": budget_luts, "quality_loss": quality_loss, "latency_ns": latency_ns}
    )
    _refuse_both(overrides, options)
    if (
        "quantization.method" in options
    ):  # a design's own target would keep the training from the point asked for
        overrides.setdefault("quantization.learned.target_luts", None)
    overrides |= options
    if dry_run:
        _show_plan(design, output, name, overrides, start_from, until)
        return
    with resumable("the finished stages are kept"), progress() as shown:
        result = run_design(
            design,
            output=output,
            name=name,
            overrides=overrides,
            start_from=start_from,
            until=until,
            overwrite=overwrite,
            progress=_logged(shown, tensorboard),
        )
    end_run(result)
    if fail_below is not None and result.summary is not None:
        _require_quality(result.summary, fail_below)


def _logged(shown: Any, tensorboard: Path | None) -> Any:
    """The progress that is shown, and TensorBoard logs beside it where a folder for them is given."""
    if tensorboard is None:
        return shown
    from codesign.core.progress import Several
    from codesign.networks.backend import import_backend

    import_backend()
    from codesign.training.tensorboard import TensorBoardLogs

    return Several(shown, TensorBoardLogs(tensorboard))


def _chosen_point(asked: dict[str, float | None]) -> dict[str, Any]:
    """The settings of a point that was asked for by its LUTs, its loss or its latency."""
    if all(value is None for value in asked.values()):
        return {}
    chosen = {f"quantization.learned.{name}": value for name, value in asked.items()}
    return {"quantization.method": "learned", **chosen}


def _refuse_both(typed: dict[str, Any], options: dict[str, Any]) -> None:
    """Raise `SettingsError` for a setting that `--set` and an option of its own give two values."""
    from codesign.errors import SettingsError

    faults = [
        f"--set {name}={typed[name]}: another option of this line gives it as {value}; leave one of them out"
        for name, value in options.items()
        if name in typed and typed[name] != value
    ]
    if faults:
        raise SettingsError(faults)


def _require_quality(summary: Any, least: float) -> None:
    """Raise `QualityError` if the last stage with a validation quality is below what was asked for."""
    from codesign.errors import QualityError

    measure = summary.get("measure", "accuracy")
    name = f"validation_{measure}"
    reached = [(row["stage"], row[name]) for row in summary["stages"] if name in row]
    if reached and reached[-1][1] < least:
        stage, found = reached[-1]
        raise QualityError(f"--fail-below {least:g}: the validation {measure} of {stage} is {found:.4f}")


_PATHS = ("data.source", "teacher.file", "teacher.files")
_DATA = (".npz", ".npy", ".csv", ".parquet", ".py")


def _from_here(overrides: dict[str, Any], design: Path) -> dict[str, Any]:
    """Files and folders that were typed start at the working directory; a design's own start at its folder."""
    from codesign.core.places import MODEL_SUFFIXES

    home = (design if design.is_dir() else design.parent).resolve()

    def placed(value: Any) -> Any:
        if isinstance(value, list):
            return [placed(part) for part in value]
        if isinstance(value, dict):
            return {name: placed(part) for name, part in value.items()}
        if not isinstance(value, str) or value == "digits":
            return value
        path = Path(value).expanduser()
        if path.suffix not in (*_DATA, *MODEL_SUFFIXES) and not path.exists():
            return value
        path = path.resolve()
        return str(path.relative_to(home) if path.is_relative_to(home) else path)

    def is_path(name: str) -> bool:
        return any(name == known or name.startswith(f"{known}.") for known in _PATHS)

    return {name: placed(value) if is_path(name) else value for name, value in overrides.items()}


def _show_plan(
    design: Path,
    output: Path | None,
    name: str | None,
    overrides: dict[str, Any],
    start_from: str | None,
    until: str | None,
) -> None:
    from codesign.core.text_table import TextTable
    from codesign.flow import plan_run
    from codesign.terminal import show_tables

    folder, planned = plan_run(
        design, output=output, name=name, overrides=overrides, start_from=start_from, until=until
    )
    rows = tuple(
        (stage, "stands" if why is None else "to be made", why or "") for stage, why in planned.items()
    )
    note = "what comes out as it was leaves the stages behind it standing; nothing was run"
    show_tables([TextTable(f"A run in {folder}", ("stage", "", "why"), rows)], [note])


def doctor() -> None:
    """Say what is installed, what it enables, and what to do about what is missing."""
    from codesign.environment import can_run, examine
    from codesign.terminal import show_checks

    checks = examine()
    show_checks(checks)
    if not can_run(checks):
        raise typer.Exit(1)
