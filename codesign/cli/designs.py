"""`codesign run`, `verify` and `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

INTERRUPTED = 130
"""The exit code of a program that was interrupted."""


def run(
    design: Annotated[Path, typer.Argument(help="A design folder, for example models/digits.")],
    output: Annotated[Path | None, typer.Option(help="The run's folder.")] = None,
    name: Annotated[str, typer.Option(help="The run is written to hls_projects/<design>/<name>.")] = "run",
    start_from: Annotated[
        str | None, typer.Option("--from", help="Redo this stage and all after it.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo stages of a finished run.")] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting that replaces the design's: distillation.alpha=0.5"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The random seed.")] = None,
) -> None:
    """Run a design from its data to its verified HLS project; the same command resumes an interrupted run."""
    from codesign.flow import run_design
    from codesign.terminal import TerminalProgress, show_tables

    overrides = _overrides(setting or [])
    if seed is not None:
        overrides["seed"] = seed
    try:
        with TerminalProgress() as progress:
            result = run_design(
                design,
                output=output,
                name=name,
                overrides=overrides,
                start_from=start_from,
                overwrite=overwrite,
                progress=progress,
            )
    except KeyboardInterrupt:
        typer.echo("\nInterrupted; the finished stages are kept, the same command resumes.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    from codesign.comparison.summary import tables

    show_tables(tables(result.summary), result.summary["notes"])
    done = ", ".join(result.redone) if result.redone else "nothing: the run was finished already"
    typer.echo(f"\nDone now: {done}\nEverything is in {result.folder}")


def verify(
    folder: Annotated[Path, typer.Argument(help="A run's folder, or an HLS project.")],
    diagnose: Annotated[
        bool, typer.Option("--diagnose", help="Ask the mismatch doctor even if every rung agrees.")
    ] = False,
) -> None:
    """Compare everything that computes the network's numbers, bit for bit; a difference fails the command.

    When a rung differs, the mismatch doctor says which layer is the first, why, and which setting to change.
    """
    from codesign.comparison.summary import ladder_table
    from codesign.errors import DataError
    from codesign.terminal import TerminalProgress, show_tables

    with TerminalProgress() as progress:
        table = _verification(folder, progress)
    show_tables([ladder_table(table.to_dict())], [])
    if not diagnose and table.agrees:
        return
    found = _diagnosis(folder)
    typer.echo("no layer differs" if found is None else found.sentence)
    table.require_agreement()
    if found is not None:
        raise DataError(f"{folder}: every rung agrees, but {found.layer} must not stay so; see above")


def _verification(folder: Path, progress: Any) -> Any:
    from codesign.stages import RUN, open_run

    if not (folder / RUN).is_file():
        from codesign.verification import verify_project

        return verify_project(folder, progress=progress)
    from codesign.networks.backend import import_backend

    import_backend()
    from codesign.hardware import compare_all

    run = open_run(folder)
    student, project, rtl = (run.value(stage) for stage in ("quantization", "project", "rtl"))
    return compare_all(student, project, run.dataset, rtl, progress=progress)[0]


def _diagnosis(folder: Path) -> Any:
    from codesign.stages import RUN, open_run
    from codesign.verification import diagnose_project

    if not (folder / RUN).is_file():
        return diagnose_project(folder)
    from codesign.networks.backend import import_backend

    import_backend()
    from codesign.networks.layer_outputs import trace_layers

    run = open_run(folder)
    student, project = run.value("quantization"), run.value("project").project
    x = student.precision.input.quantize(run.dataset.x_test)
    names = [node.name for node in project.graph()]
    return diagnose_project(project, x, reference=trace_layers(student.model(), x, names))


def _overrides(pairs: list[str]) -> dict[str, Any]:
    from codesign.core.yaml_text import read_yaml
    from codesign.errors import SettingsError

    overrides = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise SettingsError(f"--set takes NAME=VALUE, for example distillation.alpha=0.5, not {pair!r}")
        overrides[key.strip()] = read_yaml(value, source=f"--set {pair}")
    return overrides


def doctor() -> None:
    """Say what is installed, what it enables, and what to do about what is missing."""
    from codesign.doctor import can_run, examine
    from codesign.terminal import show_checks

    checks = examine()
    show_checks(checks)
    if not can_run(checks):
        raise typer.Exit(1)
