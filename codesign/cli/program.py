"""The program: its commands, and what becomes of errors, interruptions and exit codes."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, NoReturn

import typer

from codesign.cli.advising import advise
from codesign.cli.building import build
from codesign.cli.converting import convert
from codesign.cli.designs import doctor, run
from codesign.cli.emulating import emulator
from codesign.cli.fronts import front
from codesign.cli.idle import Command
from codesign.cli.long_work import INTERRUPTED, long_work
from codesign.cli.open_rtl import rtl
from codesign.cli.results import compare, report
from codesign.cli.scanning import scan
from codesign.cli.searching import search
from codesign.cli.starting import new, settings
from codesign.cli.verifying import verify
from codesign.core.interrupt import listening
from codesign.errors import CodesignError, NotVerifiedError, OutputFolderError

NOT_RUN = 3
"""The exit code when something that was asked for by name could not be run."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _command in (
    new,
    settings,
    long_work(run),
    long_work(front),
    long_work(scan),
    long_work(convert),
    long_work(verify),
    report,
    compare,
    long_work(build),
    long_work(rtl),
    long_work(emulator),
    advise,
    doctor,
):
    app.command(cls=Command)(_command)
app.add_typer(search, name="search")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version as installed

        from codesign.terminal import say

        say(f"codesign {installed('codesign')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a trained Keras network to the smallest FPGA design that keeps its quality, proved bit for bit."""


def main() -> NoReturn:
    """Run the command line; errors that the user can mend are one message, never a traceback."""
    # SIGTERM ends as Ctrl-C does, so that running tools are ended with their whole process groups
    with listening():
        _run_app()


def _run_app() -> NoReturn:
    try:
        # typer returns the code of an Exit when it does not exit itself
        code = app(standalone_mode=False, prog_name="codesign")
        sys.stdout.flush()
    except CodesignError as error:
        _fail(error)
    except OSError as error:
        from codesign.core.sealed import REFUSALS

        if error.errno not in REFUSALS:
            raise
        if error.filename is None:  # what was printed: the rest of it has no place either
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        what = (
            "what is printed cannot be" if error.filename is None else f"{error.filename} cannot be read or"
        )
        _fail(OutputFolderError(f"{what} written ({error.strerror or error})"))
    except typer.Abort:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if isinstance(error, getattr(typer, "_click", typer).exceptions.ClickException):
            _misused(error)
        raise
    sys.exit(code or 0)


def _misused(error: Any) -> NoReturn:
    """A command line that no command takes: one sentence; without any command, the help."""
    from codesign.terminal import say

    context = getattr(error, "ctx", None)
    if context is None or type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        words = error.format_message().rstrip(".")
        say(
            f"error: {words[:1].lower()}{words[1:]}; {context.command_path} --help says what it takes",
            err=True,
        )
    sys.exit(error.exit_code)


def _fail(error: CodesignError) -> NoReturn:
    import traceback

    from codesign.terminal import say

    if error.__cause__ is not None and type(error).__name__ == "PythonFileError":
        # the user's own file raised: the user's own traceback tells where
        traceback.print_exception(error.__cause__)
    say(f"error: {error}", err=True)
    sys.exit(NOT_RUN if isinstance(error, NotVerifiedError) else 1)
