"""`codesign report` and `compare`, and the end of every run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer


def report(
    paths: Annotated[list[Path], typer.Argument(help="Runs, HLS projects, build folders or report files.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write a run as one page: run.html.")
    ] = None,
    top: Annotated[str | None, typer.Option(help="The top function, where a folder holds several.")] = None,
) -> None:
    """Show what a run, a project, a build folder or a report says; exit code 1 if it cannot be trusted."""
    from codesign.comparison.summary import summarise
    from codesign.terminal import show_tables

    if output is not None:
        _check_page(paths, output)
    doubtful = []
    for path in paths:
        description = summarise(path, top=top)
        show_tables(description.tables, description.notes)
        if not description.is_trustworthy:
            doubtful.append(path)
    if output is not None:
        _write_page(paths[0], output)
    refuse_doubtful(doubtful)


def _check_page(paths: Sequence[Path], output: Path) -> None:
    from codesign.comparison.run_page import check_page
    from codesign.comparison.sources import is_run
    from codesign.errors import SettingsError

    check_page(output)
    if len(paths) > 1:
        raise SettingsError("--output: a page is of one run; for several there is codesign compare --output")
    if not is_run(paths[0]):
        raise SettingsError(
            f"--output: {paths[0]} is no run's folder, and only runs have a page; codesign compare --output shows the rest"
        )


def _write_page(run: Path, output: Path) -> None:
    from codesign.comparison.run_page import write_run_page
    from codesign.terminal import say

    say(f"{write_run_page(run, output)} written", err=True)


def compare(
    sources: Annotated[
        list[str],
        typer.Argument(help="Runs, projects, build folders or report files; NAME=PATH gives one a name."),
    ],
    reference: Annotated[
        str | None, typer.Option(help="Its name or path: what the others are held against; else the first.")
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            help="Also write a file: .html, .md, .csv, .json, or a plot: .png, .svg, .pdf; again for more.",
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="What is printed: terminal, markdown, csv or json.")
    ] = "terminal",
    each_seed: Annotated[bool, typer.Option("--each-seed", help="No means over seeds: a row a run.")] = False,
    top: Annotated[str | None, typer.Option(help="The top function, where a folder holds several.")] = None,
) -> None:
    """Put designs side by side: quality, size, resources and speed, each number with its stage."""
    from codesign.comparison.compare import compare as compare_sources
    from codesign.comparison.forms import check_form, check_outputs, write_comparison
    from codesign.terminal import say

    check_outputs(output or [])
    check_form(form)
    comparison = compare_sources(sources, reference=reference, each_seed=each_seed, top=top)
    _print_comparison(comparison, form)
    for path in output or []:
        say(f"{write_comparison(comparison, path)} written", err=True)
    refuse_doubtful([entry.name for entry in comparison.entries if not entry.is_trustworthy])


def _print_comparison(comparison: Any, form: str) -> None:
    from codesign.comparison.forms import FORMS, comparison_tables
    from codesign.terminal import say, show_tables

    if form == "terminal":
        show_tables(comparison_tables(comparison), comparison.notes)
    else:
        say(FORMS[form](comparison).rstrip("\n"))
    if form == "csv":  # which has no place for them
        for note in comparison.notes:
            say(f"- {note}", err=True)


def end_run(result: Any) -> None:
    """Show the tables of a run that has ended and what may come next; raise `NotVerifiedError` for what could not be run."""
    from codesign.comparison.summary import tables
    from codesign.errors import NotVerifiedError
    from codesign.terminal import say, show_tables, tell

    if result.summary is not None:
        show_tables(tables(result.summary), result.summary["notes"])
    done = ", ".join(result.redone) if result.redone else "nothing: all of it stood already"
    say(f"\nDone now: {done}")
    folder = shlex.quote(str(result.folder))
    if result.summary is None:
        say(f"The run is in {folder}; the same command without --until goes on")
    else:
        say(
            f"Everything is in {folder}; run.html there is the page to begin with. Next:\n"
            f"  codesign report {folder}\n  codesign verify {folder}\n  codesign build {folder}"
        )
    tell(
        result=str(result.folder),
        redone=list(result.redone),
        not_run=dict(result.not_run),
        summary=result.summary,
    )
    if result.not_run:
        reasons = "\n  - ".join(f"{what}: {why}" for what, why in result.not_run.items())
        raise NotVerifiedError(f"not run, though asked for:\n  - {reasons}")


def refuse_doubtful(names: Sequence[object]) -> None:
    """End with an error if what was shown cannot be trusted."""
    from codesign.errors import ReportError

    if names:
        raise ReportError(f"{', '.join(map(str, names))}: cannot be trusted; the notes above say why")
