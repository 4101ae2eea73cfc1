"""`codesign run` and `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    from codesign.core.yaml_text import read_assignments
    from codesign.flow import run_design
    from codesign.terminal import TerminalProgress, say, show_tables

    overrides = read_assignments(setting or [], "--set")
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
        say("\nInterrupted; the finished stages are kept, the same command resumes.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    from codesign.comparison.summary import tables

    if result.summary is not None:
        show_tables(tables(result.summary), result.summary["notes"])
    done = ", ".join(result.redone) if result.redone else "nothing: the run was finished already"
    say(f"\nDone now: {done}\nEverything is in {result.folder}; run.html there is the page to begin with")


def doctor() -> None:
    """Say what is installed, what it enables, and what to do about what is missing."""
    from codesign.environment import can_run, examine
    from codesign.terminal import show_checks

    checks = examine()
    show_checks(checks)
    if not can_run(checks):
        raise typer.Exit(1)
