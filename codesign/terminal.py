"""How progress and tables look in a terminal."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table as RichTable
from rich.text import Text

from codesign.core.progress import Progress
from codesign.core.text_table import TextTable, printable
from codesign.environment import Check

_EVERY_S = 20.0
"""How often plain lines say how far a work is."""

_FLOW = "flow"
"""The work whose steps are stages, of which none says how long the next one takes."""

_BAR, _TIMES = 20, len("00:00, 00:00 left")
"""How wide a bar and the times of a work are."""

_BARS_FROM = 100
"""A narrower terminal has no place for bars beside times and notes."""

PIPED_WIDTH = 140
"""How wide tables may be where no terminal says it."""

_FRAME = 3
"""What the lines and spaces around a cell take."""

_WHOLE = (1000, 36, 24, 16)
"""Cells up to so many letters stay in one line while the table stays in one piece; the first that fits is taken."""

_SPLIT = (24, 16, 1)
"""The same for a table that is split into several below each other."""

_LONG_WORD = 16
"""Longer words may be broken after a slash (paths) or a comma before a letter (types), never within a number."""

_BREAK = re.compile(r"(?<=/)(?=[^/])|(?<=,)(?=[^\W\d])")
_NUMBER = re.compile(r"[-+<±]?\s?[\d.]*\d")


class TerminalProgress(Progress):
    """Shows which stage runs, how far it is and how long it still takes; plain lines where there is no terminal."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}
        self._console = Console(stderr=True)
        bar = [BarColumn(_BAR)] if self._console.width >= _BARS_FROM else []
        self._live = Bars(
            TextColumn("{task.description:<14}", markup=False),
            *bar,
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            _Times(),
            TextColumn("{task.fields[note]}", markup=False),
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

    def show(self, what: str, done: int, total: int, note: str, values: Mapping[str, float]) -> None:
        """Move a bar, or print a line now and then."""
        note = printable(note)
        if not self._console.is_terminal:
            self._line(what, done, total, note)
            return
        if what not in self._tasks:
            self._tasks[what] = self._live.add_task(what, total=total, note=note)
        self._live.update(self._tasks[what], completed=done, total=total)
        # rich would cut every column alike, numbers too
        room = self._console.width - _TIMES - len("   ") - sum(self._wide())
        self._live.update(
            self._tasks[what], note=note if cell_len(note) <= room else set_cell_size(note, room - 1) + "…"
        )

    def _wide(self) -> Iterator[int]:
        """The columns before the times: names, bars, counts."""
        yield max(14, *(cell_len(task.description) for task in self._live.tasks))
        yield _BAR + 1 if self._console.width >= _BARS_FROM else 0
        yield max(len(f"{task.completed:.0f}/{task.total:.0f}") for task in self._live.tasks)

    def _line(self, what: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        started = self._started.setdefault(what, now)
        if what == _FLOW:
            line = f"stage {done + 1} of {total}: {note}" if done < total else "all stages done"
        elif done == total:
            line = f"  {what}: {total} done in {now - started:.1f} s {note}".rstrip()
        elif now - self._said.get(what, started) >= _EVERY_S and done:
            left = (now - started) / done * (total - done)
            line = f"  {what}: {done} of {total}, about {_duration(left)} left {note}".rstrip()
        else:
            return
        self._said[what] = now
        say(line, err=True)


class _Times(ProgressColumn):
    """How long a work has taken and, where its steps are alike, how long it still takes."""

    def render(self, task: Task) -> Text:
        """``0:04`` or ``0:04, 0:10 left``."""
        taken = _clock(task.finished_time if task.finished else task.elapsed)
        left = task.time_remaining
        known = left is not None and not task.finished and task.description != _FLOW
        return Text(f"{taken}, {_clock(left)} left" if known else taken)


def _clock(seconds: float | None) -> str:
    minutes, rest = divmod(round(seconds or 0), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class JsonLines(Progress):
    """Progress as JSON, an object a line, for programs: `what`, `done`, `total`, `note`, `values`, `seconds`.

    Values that are not finite are null.
    """

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *error: object) -> None:
        """End; every line stands already."""

    def show(self, what: str, done: int, total: int, note: str, values: Mapping[str, float]) -> None:
        """Print a line on stdout."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        tell(what=what, done=done, total=total, note=note, values=finite)


class Quiet(Progress):
    """Shows no progress at all."""

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *error: object) -> None:
        """End."""

    def show(self, what: str, done: int, total: int, note: str, values: Mapping[str, float]) -> None:
        """Do nothing."""


Form = Literal["terminal", "json", "quiet"]
_form: Form = "terminal"
_began = time.monotonic()


@contextlib.contextmanager
def speaking(form: Form) -> Iterator[None]:
    """Say everything in this form meanwhile: for people, as JSON lines for programs, or not at all.

    What is said on stderr, errors among them, is said in every form.
    """
    global _form, _began
    before, _form, _began = (_form, _began), form, time.monotonic()
    try:
        yield
    finally:
        _form, _began = before


def progress() -> TerminalProgress | JsonLines | Quiet:
    """Progress in the form that is asked for; a context."""
    return Quiet() if _form == "quiet" else JsonLines() if _form == "json" else TerminalProgress()


def tell(**fields: Any) -> None:
    """Say something to programs alone: an object with these fields and the seconds since the beginning."""
    if _form == "json":
        line = {**fields, "seconds": round(time.monotonic() - _began, 3)}
        _out(json.dumps(line), sys.stdout)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _out(text: str, stream: TextIO) -> None:
    print(printable(text), file=stream, flush=True)


def say(text: str, *, err: bool = False) -> None:
    """Print a text that may hold foreign words, on stdout or stderr: none of them steers the terminal."""
    if err or _form == "terminal":
        _out(text, sys.stderr if err else sys.stdout)
    else:
        tell(text=text.strip())


def show_tables(
    tables: Sequence[TextTable], notes: Sequence[str] = (), styles: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Print tables and notes.

    Parameters
    ----------
    tables
        Each is turned, split or wrapped between words until it fits: no number is ever broken.
    notes
        A line each.
    styles
        The rich style of a cell by its whole text.
    """
    if _form != "terminal":
        for table in tables:
            tell(table=table.title, columns=list(table.header), rows=[list(row) for row in table.rows])
        for note in notes:
            tell(text=note)
        return
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    for table in tables:
        _show(console, table, styles)
    for note in notes:
        # a pipe gets a note in one line, for programs that look for it
        width = console.width - 2 if console.is_terminal else sys.maxsize
        for index, line in enumerate(_wrapped(note, width)):
            _print(console, Text(("  " if index else "- ") + line))


def _show(console: Console, table: TextTable, styles: Mapping[str, str]) -> None:
    for line in _wrapped(table.title, console.width) if table.title else ():
        _print(console, Text(line, style="italic"))
    parts = _fitted(table, console.width)
    if parts is None:
        for line in _listed(table, console.width):
            _print(console, Text(line))
    for part, limit in parts or ():
        console.print(_drawn(part, _spread(part, limit, console.width), styles))


def _print(console: Console, text: Text) -> None:
    """Print a line that fits, or a word that does not: the terminal breaks it, a copy of it is whole."""
    console.print(text, soft_wrap=True)


def _fitted(table: TextTable, width: int) -> list[tuple[TextTable, int]] | None:
    """Tables that show all cells and fit, each with the length up to which its cells stay in one line; `None` if none."""
    forms = (table, table.transposed())
    for limit in _WHOLE:
        for form in forms:
            if sum(_needed(form, limit)) < width:
                return [(form, limit)]
    for limit in _SPLIT:
        splits = [found for form in forms if (found := _split(form, limit, width)) is not None]
        if splits:
            return [(part, limit) for part in min(splits, key=len)]
    return None


def _split(table: TextTable, limit: int, width: int) -> list[TextTable] | None:
    """The columns in groups that fit, each behind the first one; `None` if one column does not, or there is no other."""
    first, *others = _needed(table, limit)
    if not others:
        return None
    groups: list[list[int]] = []
    room = 0
    for index, needed in enumerate(others, start=1):
        if first + needed >= width:
            return None
        if needed > room:
            groups.append([])
            room = width - 1 - first
        groups[-1].append(index)
        room -= needed
    columns = list(zip(table.header, *table.rows, strict=True))
    parts = []
    for group in groups:
        header, *rows = zip(columns[0], *(columns[index] for index in group), strict=True)
        # what has its cells in another part is left out of this one
        told = [
            row for row, whole in zip(rows, table.rows, strict=True) if any(row[1:]) or not any(whole[1:])
        ]
        parts.append(TextTable(table.title, tuple(header), tuple(told or rows)))
    return parts


def _needed(table: TextTable, limit: int) -> list[int]:
    """What each column needs, its frame included: cells of up to `limit` letters whole, words in any case."""
    widths = []
    for heading, *cells in zip(table.header, *table.rows, strict=True):
        whole = [min(cell_len(line), limit) for cell in cells for line in printable(cell).split("\n")]
        words = [cell_len(piece) for text in (heading, *cells) for piece, _ in _pieces(text)]
        widths.append(max([*whole, *words, 1]) + _FRAME)
    return widths


def _spread(table: TextTable, limit: int, width: int) -> list[int]:
    """The width of each column's cells; what the table leaves free goes to those that would be wrapped."""
    widths = [needed - _FRAME for needed in _needed(table, limit)]
    cells = [needed - _FRAME for needed in _needed(table, sys.maxsize)]
    full = [max(pair) for pair in zip(cells, map(cell_len, table.header), strict=True)]
    for _ in range(width - 1 - sum(widths) - _FRAME * len(widths)):
        index = max(range(len(widths)), key=lambda index: full[index] - widths[index])
        if full[index] == widths[index]:
            break
        widths[index] += 1
    return widths


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """What may not be broken, each with what stands before it on the same line: a space, or nothing."""
    for word in printable(text).split():
        parts = _BREAK.split(word) if cell_len(word) > _LONG_WORD else [word]
        for index, part in enumerate(parts):
            yield part, "" if index else " "


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` letters, broken between words only; a longer word has a line of its own."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for piece, gap in _pieces(paragraph):
            if line and cell_len(line) + len(gap) + cell_len(piece) > width:
                lines.append(line)
                line = piece
            else:
                line += f"{gap if line else ''}{piece}"
        lines.append(line)
    return lines


def _listed(table: TextTable, width: int) -> Iterator[str]:
    """Every cell behind its heading, a line or more each, for a terminal that is too narrow for any table.

    An empty cell is left out, unless its heading would stand nowhere.
    """
    rows = table.rows or (("",) * len(table.header),)
    empty = [not any(cells) for cells in zip(*rows, strict=True)]
    for row in rows:
        for heading, cell, alone in zip(table.header, row, empty, strict=True):
            if cell or alone:
                first, *others = _wrapped(f"{heading}: {cell}" if heading else cell, width - 2)
                yield first
                yield from (f"  {line}" for line in others)
        yield ""


def _drawn(table: TextTable, widths: Sequence[int], styles: Mapping[str, str]) -> RichTable:
    drawn = RichTable()
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.header)
    for heading, cells, width in zip(table.header, columns, widths, strict=True):
        filled = [cell for cell in cells if cell]
        numbers = sum(_NUMBER.match(cell) is not None for cell in filled)
        drawn.add_column(
            Text("\n".join(_wrapped(heading, width))),
            justify="right" if filled and 2 * numbers >= len(filled) and drawn.columns else "left",
            no_wrap=True,
            min_width=width if filled else None,
        )
    for row in table.rows:
        drawn.add_row(
            *(
                Text("\n".join(_wrapped(cell, width)), style=styles.get(cell, ""))
                for cell, width in zip(row, widths, strict=True)
            )
        )
    return drawn


_MARKS: Mapping[str, str] = MappingProxyType({"ok": "green", "missing": "red", "none": "yellow"})


def show_checks(checks: Sequence[Check]) -> None:
    """Print what `codesign doctor` found."""
    rows = []
    for check in checks:
        mark = "ok" if check.found else ("missing" if check.required else "none")
        rows.append((mark, check.name, check.found or "", check.enables, "" if check.found else check.advice))
    table = TextTable("", ("", "what", "found", "enables", "what to do"), tuple(rows))
    show_tables([table], styles=_MARKS)
