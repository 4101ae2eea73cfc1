"""The command line: the only place that prints and exits."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from codesign.errors import CodesignError

app = typer.Typer(
    help="From a trained Keras network to the smallest FPGA design that keeps its quality, proved bit for bit.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

INTERRUPTED = 130


@app.command()
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


@app.command()
def doctor() -> None:
    """Say what is installed, what it enables, and what to do about what is missing."""
    from codesign.doctor import can_run, examine
    from codesign.terminal import show_checks

    checks = examine()
    show_checks(checks)
    if not can_run(checks):
        raise typer.Exit(1)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="The folder of a finished run.")]) -> None:
    """Show the summary of a finished run."""
    from codesign.comparison.summary import report as read_report
    from codesign.comparison.summary import tables
    from codesign.terminal import show_tables

    summary = read_report(folder)
    show_tables(tables(summary), summary["notes"])


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="A run's folder, or an HLS project.")],
) -> None:
    """Compare everything that computes the network's numbers, bit for bit; a difference fails the command."""
    from codesign.comparison.summary import ladder_table
    from codesign.terminal import TerminalProgress, show_tables

    with TerminalProgress() as progress:
        table = _verification(folder, progress)
    show_tables([ladder_table(table.to_dict())], [])
    table.require_agreement()


def _verification(folder: Path, progress: Any) -> Any:
    from codesign.stages import RUN, open_run

    if not (folder / RUN).is_file():
        from codesign.verification import verify_project

        return verify_project(folder, progress=progress)
    from codesign.networks.backend import import_backend

    import_backend()
    from codesign.hardware import compare_all

    run = open_run(folder)
    values = [run.value(stage) for stage in ("quantization", "project")]
    return compare_all(*values, run.dataset, run.value("rtl"), progress=progress)[0]


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


def main() -> NoReturn:
    """Run the command line; errors that the user can mend are one message and exit code 1, never a traceback."""
    try:
        # typer returns the code of an Exit when it does not exit itself
        code = app(standalone_mode=False)
    except CodesignError as error:
        _fail(error)
    except typer.Abort:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if isinstance(error, getattr(typer, "_click", typer).exceptions.ClickException):
            error.show()
            sys.exit(error.exit_code)
        raise
    sys.exit(code or 0)


def _fail(error: CodesignError) -> NoReturn:
    import traceback

    if error.__cause__ is not None and type(error).__name__ == "NetworksFileError":
        # the user's own file raised: the user's own traceback tells where
        traceback.print_exception(error.__cause__)
    typer.echo(f"error: {error}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
