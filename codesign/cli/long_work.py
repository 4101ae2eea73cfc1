"""What every command that takes long has: `--quiet`, `--json-lines`, and a sentence where it is interrupted."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

INTERRUPTED = 130
"""The exit code of a program that was interrupted."""

_QUIET = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no tables; errors alone.")]
_JSON_LINES = Annotated[
    bool,
    typer.Option(
        "--json-lines",
        help="Print JSON for programs, an object a line: each step, then each table and remark of the result.",
    ),
]


def long_work(command: Callable[..., None]) -> Callable[..., None]:
    """The command with both options: what it says and shows by `codesign.terminal` comes in that form."""

    @functools.wraps(command)
    def run(*, quiet: bool, json_lines: bool, **options: Any) -> None:
        from codesign.terminal import speaking

        with speaking("quiet" if quiet else "json" if json_lines else "terminal"):
            command(**options)

    signature = inspect.signature(command, eval_str=True)
    more = {"quiet": _QUIET, "json_lines": _JSON_LINES}
    kind = inspect.Parameter.KEYWORD_ONLY
    added = [inspect.Parameter(name, kind, default=False, annotation=what) for name, what in more.items()]
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, **more}
    return run


@contextmanager
def resumable(kept: str) -> Iterator[None]:
    """Work that the same command goes on with after an interruption, which is said; `kept` is what stays of it."""
    try:
        yield
    except KeyboardInterrupt:
        from codesign.terminal import say

        say(f"\nInterrupted; {kept}, the same command resumes.", err=True)
        raise typer.Exit(INTERRUPTED) from None
