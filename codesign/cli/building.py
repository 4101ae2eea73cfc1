"""`codesign build`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from codesign.cli.results import refuse_doubtful


def build(
    project: Annotated[
        Path | None,
        typer.Argument(
            help="An HLS project, a folder of open RTL, or the folder of a run, whose project is meant."
        ),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(
            help="Which of csim, csynth, cosim, export, vsynth, impl, with commas between; else csynth, for open RTL "
            "(export, vsynth, impl) vsynth."
        ),
    ] = None,
    clock_period: Annotated[
        float | None,
        typer.Option(help="In ns; else the project's, which stays as it is.", min=0.1, max=1e6),
    ] = None,
    part: Annotated[str | None, typer.Option(help="A Xilinx part; else the project's.")] = None,
    plan: Annotated[
        Path | None, typer.Option(help="Run nothing: write what another machine is to run into this folder.")
    ] = None,
    collect: Annotated[
        Path | None, typer.Option(help="Run nothing: read back a plan's folder that ran elsewhere.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="The longest a step may take, in hours.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show all that the tools print.")] = False,
) -> None:
    """Run the vendor's tools on an HLS project or on open RTL, here or by a plan on another machine, and show the reports."""
    from codesign.comparison.summary import summarise
    from codesign.terminal import progress, show_tables

    asked = None if steps is None else [step.strip() for step in steps.split(",") if step.strip()]
    target = {"clock_period_ns": clock_period, "part": part}
    if plan is not None:
        _write_plan(_needed_project(project), asked, target, plan)
        return
    if collect is not None:
        from codesign.hls.runner_remote import collect_results

        folder = collect_results(collect, None if project is None else _project_in(project)).directory
    else:
        folder = _needed_project(project)
        with progress() as shown:
            _build_here(folder, asked, target, timeout, verbose, shown)
    description = summarise(folder)
    show_tables(description.tables, description.notes)
    refuse_doubtful([] if description.is_trustworthy else [folder])


def _needed_project(project: Path | None) -> Path:
    from codesign.errors import SettingsError

    if project is None:
        raise SettingsError("name the HLS project to build, or the folder of a run")
    return _project_in(project)


def _project_in(folder: Path) -> Path:
    """The folder of the HLS project that is meant; what a build needs of it is checked by its plan."""
    from codesign.cli.projects import folder_of, project_of
    from codesign.hls.foreign import is_foreign

    found = folder_of(folder)
    if is_foreign(found):
        path: Path = project_of(folder).folder
        return path
    return found


def _write_plan(project: Path, steps: Sequence[Any] | None, target: Mapping[str, Any], folder: Path) -> None:
    from codesign.hls.plan import plan_build
    from codesign.hls.runner_remote import write_plan
    from codesign.terminal import say

    write_plan(plan_build(project, steps, **target), folder)
    say(
        f"{folder} is ready: copy it to a machine with the vendor's tools, run `sh run.sh` there, copy it back, then\n"
        f"  codesign build {project} --collect {folder}"
    )


def _build_here(
    project: Path,
    steps: Sequence[Any] | None,
    target: Mapping[str, Any],
    timeout: float | None,
    verbose: bool,
    progress: Any,
) -> None:
    from codesign.errors import ToolError, ToolNotFoundError
    from codesign.hls.plan import plan_build
    from codesign.hls.runner import run_plan
    from codesign.terminal import say

    def show(step: str, line: str) -> None:
        say(f"{step}: {line}")

    planned = plan_build(project, steps, **target)
    try:
        seconds = None if timeout is None else 3600 * timeout
        run_plan(planned, timeout_s=seconds, on_line=show if verbose else None, progress=progress)
    except ToolNotFoundError as missing:
        names = ",".join(step.name for step in planned.steps)
        where = f"codesign build {project} --steps {names} --plan FOLDER"
        raise ToolError(f"{missing}:\n  {where}") from None
