"""`codesign search run`, `status` and `best`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from codesign.cli.idle import Command
from codesign.cli.long_work import long_work, resumable

search = typer.Typer(
    no_args_is_help=True,
    help="Search for designs: many points, the best of them proved; nothing is lost when machines die.",
)

_FOLDER = typer.Argument(help="A search.yaml, its folder, or the folder of a search.")


@search.command("run", cls=Command)
@long_work
def run(
    path: Annotated[Path, typer.Argument(help="A search.yaml, or its folder.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The search's folder; else `search` beside the file."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="How many work on this machine; else as many as pay.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask scheduler that runs somewhere: tcp://host:8786.")
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="A file that says how a batch system starts workers: slurm.yaml.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting of every trial, beside those of the file: quantization.epochs=40."
        ),
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option(help="Log each trial there too: http://host:5000, sqlite:///mlflow.db, file:///folder."),
    ] = None,
) -> None:
    """Run a search until its budget is used and its front is proved; the same command goes on after anything."""
    from codesign.core.yaml_text import read_assignments
    from codesign.search.page import write_results
    from codesign.search.results import read_found
    from codesign.search.run import run_search, search_folder
    from codesign.terminal import progress, say

    overrides = read_assignments(setting or [], "--set")
    folder = search_folder(path, output)
    with resumable("what has ended is kept"), progress() as shown:
        run_search(
            path,
            output=output,
            scheduler=scheduler,
            cluster=cluster,
            workers=workers,
            mlflow=mlflow,
            overrides=overrides,
            progress=shown,
        )
    found = read_found(folder)
    page = write_results(found)
    _show(found)
    say(
        f"\nThe result is {page}. Next:\n  codesign search best {folder} --budget-luts N\n"
        f"  codesign search best {folder} --quality Q"
    )


@search.command("status", cls=Command)
def status(folder: Annotated[Path, _FOLDER]) -> None:
    """Say where a search stands: done, running where and since when, failed and why, the front, the time left."""
    from codesign.core.yaml_text import YAML_SUFFIXES
    from codesign.search.results import read_found
    from codesign.search.run import search_folder

    _show(read_found(search_folder(folder) if folder.suffix in YAML_SUFFIXES else folder))


@search.command("page", cls=Command)
def page(
    folder: Annotated[Path, _FOLDER],
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output", "-o", help="A .html, .csv, .png, .svg or .pdf; again for more. Else result.html."
        ),
    ] = None,
) -> None:
    """Write the result as it is now: one page, a table, or the pictures for slides."""
    from codesign.search.page import write_result, write_results
    from codesign.search.results import read_found
    from codesign.terminal import say

    found = read_found(folder)
    for path in [write_result(found, path) for path in output] if output else [write_results(found)]:
        say(f"{path} written", err=True)


@search.command("best", cls=Command)
def best(
    folder: Annotated[Path, _FOLDER],
    budget_luts: Annotated[
        float | None, typer.Option(help="The best quality for so many LUTs.", min=1)
    ] = None,
    quality: Annotated[
        float | None, typer.Option(help="The fewest LUTs for such a validation quality.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The design's folder; else models/<design>_best.")
    ] = None,
) -> None:
    """Write the best design for a budget or a quality as a folder that `codesign run` repeats to the same numbers."""
    from codesign.search.results import choose_best, read_found, write_best
    from codesign.terminal import say

    found = read_found(folder)
    line, proof = choose_best(found, budget_luts=budget_luts, quality=quality)
    home = output if output is not None else Path("models") / f"{found.design}_best"
    written = write_best(found, line, home)
    numbers = ", ".join(f"{name} {value:,.6g}" for name, value in line.values.items())
    say(f"trial {line.number}: {numbers}")
    if proof is not None:
        say("proved: " + ", ".join(f"{name} {value:,.6g}" for name, value in proof.values.items()))
        for what, why in proof.notes.items():
            say(f"- {what} was not run: {why}")
    say(f"{written} written; repeat it with\n  codesign run {written}")


def _show(found: Any) -> None:
    from codesign.search.results import status_tables
    from codesign.terminal import show_tables

    tables, notes = status_tables(found)
    show_tables(tables, notes)
