"""Options that would do nothing beside others: one table, looked at before a command begins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from typer.core import TyperCommand


class Idle(NamedTuple):
    """Options of a command that nothing reads in some company.

    Parameters
    ----------
    command
        Its words after the program's name.
    options
        Names of parameters.
    other
        The parameter beside which, or without which, they do nothing.
    because
        What that one does, or would do.
    without
        Whether they do nothing where `other` is missing.
    """

    command: str
    options: tuple[str, ...]
    other: str
    because: str
    without: bool = False


IDLE = (
    Idle("new", ("folder", "start"), "list_all", "which lists the designs and makes none"),
    Idle("run", ("fail_below",), "until", "which ends before the design as a whole has a quality"),
    Idle("front", ("output", "latency_ns"), "pick", "which builds a point", without=True),
    Idle("convert", ("input_format",), "precision", "whose map has the input's format"),
    Idle("build", ("plan", "steps", "clock_period", "part", "timeout", "verbose"), "collect", "which reads what has run"),
    Idle("build", ("timeout", "verbose"), "plan", "which runs nothing here"),
    Idle("rtl", ("limit",), "force", "which goes on whatever the estimate says"),
    Idle("search run", ("cluster", "workers"), "scheduler", "whose workers it takes"),
    Idle("search run", ("workers",), "cluster", "whose file says how many"),
    Idle("search best", ("quality",), "budget_luts", "which is another way to choose"),
    *(
        Idle(command, ("quiet",), "json_lines", "which prints JSON")
        for command in (
            "run", "front", "scan", "convert", "verify", "build", "rtl", "emulator", "search run",
        )
    ),
)  # fmt: skip
"""All of them."""


class Command(TyperCommand):
    """A command that refuses what would do nothing on its line."""

    def invoke(self, ctx: Any) -> Any:
        """Look at the options that were typed, then run."""
        from codesign.errors import SettingsError

        words = ctx.command_path.split(" ", 1)[-1]
        typed = {name for name in ctx.params if ctx.get_parameter_source(name).name == "COMMANDLINE"}
        if faults := list(self._faults(words, typed)):
            raise SettingsError(faults)
        return super().invoke(ctx)

    def _faults(self, words: str, typed: set[str]) -> Iterator[str]:
        named = {str(param.name): _shown(param) for param in self.params}
        for row in IDLE:
            if row.command != words or (row.other in typed) == row.without:
                continue
            for name in row.options:
                if name in typed and row.without:
                    yield (
                        f"{named[name]}: does nothing without {named[row.other]}, {row.because}; give both, or leave it out"
                    )
                elif name in typed:
                    yield f"{named[name]}: does nothing beside {named[row.other]}, {row.because}; leave one of them out"


def _shown(param: Any) -> str:
    """How a parameter is typed: ``--from``, ``FOLDER``."""
    return max(param.opts, key=len) if param.param_type_name == "option" else str(param.name).upper()
