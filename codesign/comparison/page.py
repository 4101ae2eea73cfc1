"""A comparison as one HTML page with plots, which needs no other file and no network."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from codesign.comparison.certainty import difference_error, discordant
from codesign.comparison.compare import Column, Comparison
from codesign.comparison.entry import NETWORK, STEPS, TEACHER, Entry, Number
from codesign.comparison.figures import COLOURS, Mark, comparison_charts, picture
from codesign.comparison.forms import (
    change_text,
    column_groups,
    heading,
    kind_text,
    percent_text,
    setting_differences,
    spread_text,
    where_text,
)
from codesign.core.shown import Brief

_DARK = (
    "#6a9dfa", "#f09a4c", "#4cc79b", "#e474b8", "#a58cf0", "#e0c14a",
    "#6cc8ee", "#bf9069", "#f27e7e", "#9ccc4f", "#9dacc9", "#3fc4b9",
)  # fmt: skip
"""The colours of `codesign.comparison.figures` on a dark page."""

_CARDS = (
    "test_accuracy",
    "test_r2",
    "test_quality",
    "test_auc",
    "average_weight_bits",
    "bops",
    "lut",
    "dsp",
    "latency_ns",
)
"""Metrics that the page begins with; those of hardware at the stage that tells most."""


@dataclass(frozen=True)
class Cell:
    """One cell of a page's table.

    Parameters
    ----------
    value
        The number itself, which sorting goes by; ``None`` for an empty cell.
    text
        The number as it is shown.
    share
        Its percentage of the part, as text.
    change
        Its difference to the reference, as text.
    verdict
        A style name: `better`, `worse`, `same`, `within`, `other` or empty.
    hint
        Shown under the pointer.
    """

    value: float | None = None
    text: str = ""
    share: str = ""
    change: str = ""
    verdict: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Row(Brief):
    """A design's line of a table."""

    name: str
    design: int
    is_reference: bool
    about: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class PageTable(Brief):
    """A table of a page; `about` are headings of columns of words."""

    title: str
    remark: str
    about: tuple[str, ...]
    headings: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Best:
    """The best of one metric."""

    title: str
    value: str
    spread: str
    who: str
    design: int
    step: str


def render_page(comparison: Comparison, made: datetime | None = None) -> str:
    """Write the page.

    Parameters
    ----------
    comparison
        What it shows.
    made
        The time it names as its own; now, if not given.
    """
    return render(
        "comparison.html.j2",
        made,
        comparison=comparison,
        cards=list(_cards(comparison)),
        charts=comparison_charts(comparison),
        tables=[table for table in _tables(comparison) if table.rows],
        settings=setting_differences(comparison.entries),
        settings_of=[entry.name for entry in comparison.entries if entry.settings],
        kind_text=kind_text,
        where_text=where_text,
        mark=lambda index: Mark(index).svg,
    )


def render(template: str, made: datetime | None, **values: Any) -> str:
    """Fill a template of this folder, which extends `base.html.j2`: one look and one script for every page."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("codesign.comparison", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"picture": picture, "light": COLOURS, "dark": _DARK}
    return environment.get_template(template).render(
        made=(made or datetime.now()).strftime("%Y-%m-%d %H:%M"), version=_version(), **values
    )


def _version() -> str:
    """The package's version; empty where it runs from a checkout that is not installed."""
    try:
        return importlib.metadata.version("codesign")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _tables(comparison: Comparison) -> Iterator[PageTable]:
    for title, columns in column_groups(comparison):
        if not columns:
            continue
        step = STEPS[columns[0].step]
        tools = {entry.name: entry.tools.get(step.name, "") for entry in comparison.entries}
        about = (("part", "tool") if any(tools.values()) else ("part",)) if step.is_hardware else ()
        rows = tuple(_rows(comparison, columns, tools, len(about)))
        remark = step.remark if step.is_hardware else STEPS[columns[-1].step].remark
        headings = tuple(heading(comparison, column) for column in columns)
        yield PageTable(title, remark, about, headings, rows)


def _rows(
    comparison: Comparison, columns: Sequence[Column], tools: Mapping[str, str], about: int
) -> Iterator[Row]:
    """The lines of a table, with the first `about` words about each design."""
    for index, entry in enumerate(comparison.entries):
        cells = tuple(_cell(comparison, entry, column) for column in columns)
        if any(cell.text for cell in cells):
            words = (entry.device or "unknown", tools[entry.name])[:about]
            yield Row(entry.name, index, entry.name == comparison.reference, words, cells)


def _cell(comparison: Comparison, entry: Entry, column: Column) -> Cell:
    number = comparison.number(entry, column)
    if number is None:
        return Cell()
    change = comparison.change(entry, column)
    return Cell(
        number.value,
        column.about.text(number.value) + spread_text(column, number),
        "" if number.percent is None else percent_text(number.percent),
        "" if change is None else change_text(column, change),
        "" if change is None else change.verdict.split(" ")[0],
        f"{number.value:g} {column.about.unit}, {STEPS[column.step].title}, from {number.source}".replace(
            " ,", ","
        ),
    )


def _cards(comparison: Comparison) -> Iterator[Best]:
    """The best design of each metric, among those that can be held against each other."""
    for metric in _CARDS:
        columns = [
            column for column in comparison.columns() if column.metric == metric and column.step != TEACHER
        ]
        hardware = [column for column in columns if STEPS[column.step].is_hardware]
        if hardware:  # one stage: that of most designs, of those the latest
            columns = [max(hardware, key=lambda c: (len(_having(comparison, c)), list(STEPS).index(c.step)))]
        for column in columns:
            card = _card(comparison, column)
            if card is not None:
                yield card


def _card(comparison: Comparison, column: Column) -> Best | None:
    """The best of one column; ``None`` where all are the same, or are of different silicon."""
    having = _having(comparison, column)
    values = [number.value for _, number in having]
    is_hardware = STEPS[column.step].is_hardware
    several_devices = len({entry.device for entry, _ in having}) > 1
    if (len(having) > 1 and len(set(values)) == 1) or (is_hardware and several_devices):
        return None
    best_value = max(values) if column.about.better == "higher" else min(values)
    best, *others = [(entry, number) for entry, number in having if number.value == best_value]
    who = f"{best[0].name} and {len(others)} more" if others else best[0].name
    rest = [(entry, number) for entry, number in having if number.value != best_value]
    if uncertain := sum(not _beats(comparison, column, best, other) for other in rest):
        who += f"; {uncertain} of {len(rest)} others within error"
    return Best(
        heading(comparison, column),
        column.about.text(best_value),
        spread_text(column, best[1]),
        who,
        comparison.entries.index(best[0]),
        STEPS[column.step].title if is_hardware else "",
    )


def _beats(
    comparison: Comparison, column: Column, best: tuple[Entry, Number], other: tuple[Entry, Number]
) -> bool:
    """Whether chance does not explain the difference of two designs' numbers."""
    (entry, mine), (rival, theirs) = best, other
    pair = discordant(entry, rival) if (column.metric, column.step) == ("test_accuracy", NETWORK) else None
    error = difference_error(mine, theirs, pair)
    if error is None:
        return column.about.group != "quality"
    return abs(mine.value - theirs.value) > error * (1 + 1e-9)


def _having(comparison: Comparison, column: Column) -> list[tuple[Entry, Number]]:
    """The entries with a number in a column."""
    pairs = [(entry, comparison.number(entry, column)) for entry in comparison.entries]
    return [(entry, number) for entry, number in pairs if number is not None]
