"""The tables that the tools draw with ``+---+`` and ``|``, and the ones they underline with dashes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from codesign.reports.fields import FieldReader

_RULE = re.compile(r"\+[-+]*")
_DASHES = re.compile(r"-+")


@dataclass(frozen=True)
class ReportTable:
    """A table of printed cells.

    Parameters
    ----------
    columns
        The heads, those of several lines joined by a space.
    rows
        The cells of every row. The first cell keeps its indentation, which shows what belongs to what.
    line
        The line of the file where the table begins, from 1.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    line: int

    def require(self, fields: FieldReader, *columns: str) -> None:
        """Check that the table has these columns.

        Raises
        ------
        ReportFormatError
            One is missing.
        """
        for column in columns:
            if column not in self.columns:
                raise fields.error(f"the table at line {self.line}", f"has no column {column!r}")

    def records(self) -> Iterator[dict[str, str]]:
        """The rows as mappings from head to stripped cell."""
        for row in self.rows:
            yield {name: cell.strip() for name, cell in zip(self.columns, row, strict=True)}


def drawn_tables(
    lines: Sequence[str], fields: FieldReader, first_line: int = 1, headed: bool = True
) -> list[ReportTable]:
    """Read every drawn table in `lines`.

    Parameters
    ----------
    lines
        A part of a report.
    fields
        For the errors.
    first_line
        The number of ``lines[0]`` in its file, from 1.
    headed
        Whether the tables have heads.

    Raises
    ------
    ReportFormatError
        A table that breaks off, or a row that has not as many cells as the head.
    """
    tables = []
    at = 0
    while at < len(lines):
        if not _RULE.fullmatch(lines[at].strip()):
            at += 1
            continue
        end = at
        while end < len(lines) and lines[end].strip().startswith(("+", "|")):
            end += 1
        tables.append(_table([line.strip() for line in lines[at:end]], fields, first_line + at, headed))
        at = end
    return tables


def is_rule(line: str) -> bool:
    """Whether a line is the rule of a drawn table."""
    return bool(_RULE.fullmatch(line.strip()))


def _table(block: list[str], fields: FieldReader, line: int, headed: bool) -> ReportTable:
    where = f"the table at line {line}"
    rules = [i for i, text in enumerate(block) if _RULE.fullmatch(text)]
    if len(rules) < 2 or rules[-1] != len(block) - 1 or len(block[-1]) != len(block[0]):
        raise fields.error(where, "breaks off; the file is half written or was cut")
    columns: tuple[str, ...] | None = None
    if headed:
        columns = _heads(block[1 : rules[1]], fields, where)
    rows = []
    for at in range(rules[1] if headed else 0, len(block)):
        if at in rules:
            continue
        cells = _cells(block[at])
        if cells is not None and columns is not None and len(cells) != len(columns):
            cells = _cells_under(block[at], block[0])
        if cells is None or (columns is not None and len(cells) != len(columns)):
            raise fields.error(
                where, f"line {line + at} does not have the cells of its head: {block[at][:60]!r}"
            )
        rows.append(cells)
    return ReportTable(columns or (), tuple(rows), line)


def _cells(text: str) -> tuple[str, ...] | None:
    if len(text) < 2 or not text.startswith("|") or not text.endswith("|"):
        return None
    return tuple(cell.rstrip() for cell in text[1:-1].split("|"))


def _cells_under(text: str, rule: str) -> tuple[str, ...] | None:
    """Cells of a row that has bars in its texts, as the arrows ``||||||->`` between SLRs: those under the rule's."""
    bars = [at for at, sign in enumerate(rule) if sign == "+"]
    if len(text) != len(rule) or any(text[at] != "|" for at in bars):
        return None
    return tuple(text[left + 1 : right].rstrip() for left, right in pairwise(bars))


def _heads(lines: list[str], fields: FieldReader, where: str) -> tuple[str, ...]:
    """Join the heads of several lines; the last line has one cell for each column, those above may span some."""
    if not lines or _cells(lines[-1]) is None:
        raise fields.error(where, "has no head")
    spans = [_spans(text) for text in lines]
    heads = []
    for start, end, _ in spans[-1]:
        middle = (start + end) // 2
        words = [text for line in spans for left, right, text in line if left <= middle < right and text]
        heads.append(" ".join(words))
    return tuple(heads)


def _spans(text: str) -> list[tuple[int, int, str]]:
    """Cells of a head line as (start, end, text); cosim draws some of its heads between ``+`` and dashes."""
    separator = text[0]
    spans = []
    start = 1
    for cell in text[1:].split(separator)[:-1]:
        words = cell.strip()
        spans.append((start, start + len(cell), "" if _DASHES.fullmatch(words) else words))
        start += len(cell) + 1
    return spans


def underlined_table(lines: Sequence[str], fields: FieldReader, name: str) -> list[dict[str, str]]:
    """Read a table whose heads are underlined with dashes and end where their cells end.

    Parameters
    ----------
    lines
        The lines after the title: head, dashes, rows, up to a blank line.
    fields
        For the errors.
    name
        What the table is called.

    Returns
    -------
    list
        The rows by head; blank cells are left out.
    """
    at = next((i for i, line in enumerate(lines) if line.strip()), None)
    if (
        at is None
        or at + 1 >= len(lines)
        or not set(lines[at + 1].split()) <= {"-" * n for n in range(1, 200)}
    ):
        raise fields.error(name, "the table is not there; the report is damaged or of an unknown form")
    heads = [(found.start(), found.end(), found[0]) for found in re.finditer(r"\S+(?: \S+)*", lines[at])]
    if len(lines[at + 1].split()) != len(heads):
        raise fields.error(name, "the line under the heads breaks off")
    rows = []
    for line in lines[at + 2 :]:
        if not line.strip():
            break
        row: dict[str, str] = {}
        for found in re.finditer(r"\S+(?: \S+)*", line):
            # numbers end under the end of their head; names begin under its beginning or, where one clock is made
            # from another, further right
            ends = [head for _, right, head in heads if found.end() == right]
            begins = [head for left, _, head in heads if left <= found.start()]
            head = ends[0] if ends else begins[-1] if begins else heads[0][2]
            if head in row:
                raise fields.error(name, f"two cells stand under {head!r}: {row[head]!r} and {found[0]!r}")
            row[head] = found[0]
        rows.append(row)
    return rows
