"""How progress and tables look in a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as RichTable

from codesign.comparison.table import Table
from codesign.doctor import Check

PIPED_WIDTH = 140
"""How wide tables may be where no terminal says it."""

_FRAME = 3
"""What the lines and spaces around a cell take."""


class TerminalProgress:
    """Shows which stage runs, how far it is and how long it still takes; plain lines where there is no terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}
        self._started: dict[str, float] = {}

    def __enter__(self) -> TerminalProgress:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def step(self, what: str, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` steps of `what` are finished."""
        if not self._console.is_terminal:
            self._line(what, done, total, note)
            return
        if what not in self._tasks:
            self._tasks[what] = self._live.add_task(what, total=total, note=note)
        self._live.update(self._tasks[what], completed=done, total=total, note=note)

    def _line(self, what: str, done: int, total: int, note: str) -> None:
        started = self._started.setdefault(what, time.monotonic())
        if what == "flow":
            line = f"stage {done + 1} of {total}: {note}" if done < total else "all stages done"
        elif done == total:
            line = f"  {what}: {total} done in {time.monotonic() - started:.1f} s {note}".rstrip()
        else:
            return
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is the terminal


def show_tables(tables: Sequence[Table], notes: Sequence[str]) -> None:
    """Print tables and notes."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    for table in tables:
        console.print(_drawn(table, console.width))
    for note in notes:
        console.print(f"- {note}", highlight=False, markup=False, soft_wrap=True)


def _drawn(table: Table, width: int) -> RichTable:
    """A table that fits: as it is or turned if no number need be broken for it; folded if neither fits."""
    fitting = next((form for form in (table, table.transposed()) if sum(_widths(form)) < width), None)
    form = table if fitting is None else fitting
    drawn = RichTable(title=escape(form.title), title_justify="left")
    for index, (heading, needed) in enumerate(zip(form.header, _widths(form), strict=True)):
        justify: Literal["left", "right"] = "left" if index == 0 else "right"
        least = None if fitting is None else needed - _FRAME
        drawn.add_column(escape(heading), justify=justify, overflow="fold", min_width=least)
    for row in form.rows:
        drawn.add_row(*(escape(cell) for cell in row))
    return drawn


def _widths(table: Table) -> list[int]:
    """What each column needs, its frame included: its cells stay whole, its heading may break between words."""
    columns = zip(table.header, *table.rows, strict=True)
    return [max(len(part) for part in [*heading.split(" "), *cells]) + _FRAME for heading, *cells in columns]


def show_checks(checks: Sequence[Check]) -> None:
    """Print what the doctor found."""
    console = Console()
    table = RichTable()
    for heading in ("", "what", "found", "enables", "what to do"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        mark = "[green]ok[/]" if check.found else ("[red]missing[/]" if check.required else "[yellow]none[/]")
        table.add_row(mark, check.name, check.found or "", check.enables, "" if check.found else check.advice)
    console.print(table)
