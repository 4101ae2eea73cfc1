"""From printed cells to numbers with units: strict, and unknown marks are remembered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from codesign.errors import ReportFormatError

UNKNOWN_MARKS = frozenset({"?", "-", "--", "---", "undef", "NA", "N/A"})
"""What the tools print for a value they do not know."""

TESTED_VERSIONS: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "Vivado HLS": ((2016, 4), (2020, 1)),
    "Vitis HLS": ((2020, 1), (2025, 2)),
    "Vivado": ((2016, 4), (2025, 2)),
}
"""The versions whose forms these readers are made for, oldest and newest."""

_UNITS_NS = {
    "ps": Decimal("1e-3"),
    "ns": Decimal(1),
    "us": Decimal("1e3"),
    "ms": Decimal("1e6"),
    "s": Decimal("1e9"),
    "sec": Decimal("1e9"),
}
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DIGITS = 15
_LONGEST = 40
_RANGE = re.compile(r"(\S+)\s*~\s*(\S+)")
_VERSION = re.compile(r"[0-9]{4}\.[0-9]{1,3}(?:\.[0-9]{1,6})*")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CLOCK = re.compile(r"\b([0-9]{1,2}):([0-9]{2}):([0-9]{2})\b(?:\s+([AP]M))?")
_DAY, _YEAR = re.compile(r"[0-9]{1,2}"), re.compile(r"[0-9]{4}")


Unit = Literal["count", "number", "ns", "tiles", "range", "text"]


@dataclass(frozen=True)
class Column:
    """Where a form prints a field of a record, and in which unit.

    Parameters
    ----------
    heads
        The head of its column, or the name of its entry or element; of several, which versions and parts call it by,
        the first that is there counts.
    unit
        `count`: a whole number. `number`: one in the field's own unit. `ns`: a time with its unit, for a field in ns.
        `tiles`: block RAM of 36 Kb, for a field in units of 18 Kb. `range`: a count or two, for the fields `_min` and
        `_max`. `text`: as printed.
    signed
        Whether it may be below 0.
    known
        Whether every tool version prints a value, never a mark for an unknown one.
    optional
        Whether some versions or parts do not have it; the field is then ``None``.
    """

    heads: str | tuple[str, ...]
    unit: Unit = "count"
    signed: bool = False
    known: bool = False
    optional: bool = False


Columns = Mapping[str, Column]
"""The fields of a record that one form prints, by name."""


class FieldReader:
    """The reading of the fields of one report; its errors name the file and the field.

    Parameters
    ----------
    path
        The report.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unknown: list[str] = []
        self._note = ""

    def use_version(self, tool: str, version: str) -> str:
        """Check the form of a version and remember it, so that errors tell when it is an untried one."""
        if not _VERSION.fullmatch(version):
            raise self.error("version", f"{version!r} is no {tool} version (such as 2020.1)")
        note = version_note(tool, version)
        self._note = f"; {note}" if note else ""
        return version

    def error(self, field: str, detail: str) -> ReportFormatError:
        """An error about one field of this report; the caller raises it."""
        return ReportFormatError(self.path, field, detail + self._note)

    def fill(
        self, columns: Columns, cell: Callable[[str], str | None], prefix: str = "", *,
        signed: bool = False, bare_unit: str | None = None, missing: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """The values of a record's fields.

        Parameters
        ----------
        columns
            What is read.
        cell
            The printed text under a head; ``None`` if there is none.
        prefix
            What errors and `unknown` put before the names of the fields.
        signed
            Whether all of them may be below 0.
        bare_unit
            The unit of times that are printed without one.
        missing
            What is said of a field that must be there and is not; ``{}`` is its head.
        """
        values: dict[str, Any] = {}
        for field, column in columns.items():
            heads = (column.heads,) if isinstance(column.heads, str) else column.heads
            printed = next((found for head in heads if (found := cell(head)) is not None), None)
            name, may_be_below = f"{prefix}{field}", signed or column.signed
            if column.unit == "range":
                values[f"{field}_min"], values[f"{field}_max"] = self.bounds(name, printed)
                continue
            if printed is None and missing and not column.optional:
                raise self.error(name, missing.format(heads[0]))
            if printed is None and column.optional:
                values[field] = None
            elif column.unit == "text":
                values[field] = self.text(name, printed)
            elif column.unit == "ns":
                values[field] = self.nanoseconds(name, printed, bare_unit)
            else:
                read = {"count": self.integer, "number": self.decimal, "tiles": self.tiles}[column.unit]
                values[field] = read(name, printed, may_be_below)
            if column.known and printed is not None and values[field] is None:
                raise self.error(name, f"is {printed!r} where every tool version prints a number")
        return values

    def text(self, field: str, cell: str | None) -> str:
        """A text that must be there."""
        if cell is None or not cell.strip():
            raise self.error(field, "is missing; the report is damaged or of an unknown form")
        return cell.strip()

    def integer(self, field: str, cell: str | None, signed: bool = False) -> int | None:
        """A count; ``None`` (and remembered) where an unknown mark is printed. `signed` allows one below 0."""
        value = self._number(field, cell, _INTEGER, "a whole number", signed)
        return None if value is None else int(value)

    def decimal(self, field: str, cell: str | None, signed: bool = False) -> float | None:
        """A number; ``None`` (and remembered) where an unknown mark is printed. `signed` allows one below 0."""
        value = self._number(field, cell, _DECIMAL, "a number", signed)
        return None if value is None else float(value)

    def known_integer(self, field: str, cell: str | None, signed: bool = False) -> int:
        """A count that every tool version prints."""
        value = self.integer(field, cell, signed)
        if value is None:
            raise self.error(field, f"is {cell!r} where every tool version prints a number")
        return value

    def known_decimal(self, field: str, cell: str | None) -> float:
        """A number that every tool version prints."""
        value = self.decimal(field, cell)
        if value is None:
            raise self.error(field, f"is {cell!r} where every tool version prints a number")
        return value

    def bounds(self, field: str, cell: str | None) -> tuple[int | None, int | None]:
        """A count or a range ``2 ~ 5`` of counts as (smallest, largest)."""
        if found := _RANGE.fullmatch((cell or "").strip()):
            return self.span(field, found[1], found[2])
        if (cell or "").strip() in UNKNOWN_MARKS:
            self.unknown += [f"{field}_min", f"{field}_max"]
            return None, None
        value = self.known_integer(field, cell)
        return value, value

    def span(self, field: str, smallest: str | None, largest: str | None) -> tuple[int | None, int | None]:
        """The two ends of a range of counts; the tools print an end that they do not know as ``-1`` or as a mark."""
        first, last = (
            self.integer(f"{field}_{end}", "?" if (cell or "").strip() == "-1" else cell)
            for end, cell in (("min", smallest), ("max", largest))
        )
        if first is not None and last is not None and first > last:
            raise self.error(field, f"the range {first} to {last} ends before it begins")
        return first, last

    def nanoseconds(self, field: str, cell: str | None, unit: str | None = None) -> float | None:
        """A time such as ``0.576 us`` in ns; `unit` is that of a bare number, where the form has one."""
        text = self.text(field, cell)
        if text in UNKNOWN_MARKS:
            self.unknown.append(field)
            return None
        number, _, printed = text.partition(" ")
        scale = _UNITS_NS.get(printed.strip() or unit or "")
        value = self._number(field, number, _DECIMAL, "a time", signed=False)
        if scale is None or value is None:
            raise self.error(field, f"{text[:_LONGEST]!r} is no time with a unit")
        return float(value * scale)

    def tiles(self, field: str, cell: str | None, signed: bool = False) -> int | None:
        """Block-RAM tiles of 36 Kb, in halves (``29.5``), as a count of 18 Kb blocks."""
        value = self.decimal(field, cell, signed)
        if value is None:
            return None
        if value * 2 != int(value * 2):
            raise self.error(field, f"{cell!r} is no count of 36 Kb tiles in halves")
        return int(value * 2)

    def date(self, cell: str | None) -> datetime | None:
        """The date of a report in any of the tools' spellings; ``None`` for a foreign locale's."""
        text = self.text("date", cell)
        clock = _CLOCK.search(text)
        words = [word.strip(".,") for word in _CLOCK.sub(" ", text).split()]
        month = next((_MONTHS.index(word) + 1 for word in words if word in _MONTHS), None)
        day = next((int(word) for word in words if _DAY.fullmatch(word)), None)
        year = next((int(word) for word in words if _YEAR.fullmatch(word)), None)
        if clock is None or month is None or day is None or year is None:
            return None
        hour = int(clock[1])
        if clock[4]:
            hour = hour % 12 + (12 if clock[4] == "PM" else 0)
        try:
            return datetime(year, month, day, hour, int(clock[2]), int(clock[3]))
        except ValueError:
            raise self.error("date", f"{text!r} is no date") from None

    def _number(
        self, field: str, cell: str | None, form: re.Pattern[str], what: str, signed: bool
    ) -> Decimal | None:
        """The one place where printed digits become a number: finite, of a size that a tool can mean, of a sign."""
        text = self.text(field, cell)
        if text in UNKNOWN_MARKS:
            self.unknown.append(field)
            return None
        shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
        if not form.fullmatch(text):
            raise self.error(field, f"{shown!r} is not {what}")
        value = Decimal(text) if len(text) <= _LONGEST else None
        if value is None or (value and abs(value.adjusted()) >= _DIGITS):
            raise self.error(field, f"{shown!r} is of a size that no tool prints; the file is damaged")
        if value < 0 and not signed:
            raise self.error(field, f"{shown!r} is below 0, which it cannot be; the file is damaged")
        return value


def version_note(tool: str, version: str) -> str:
    """That a version is beyond those whose forms are known, in words; empty if it is among them."""
    if tool not in TESTED_VERSIONS:
        return ""
    oldest, newest = TESTED_VERSIONS[tool]
    number = tuple(int(part) for part in version.split(".")[:2])
    if number < oldest:
        return f"{tool} {version} is older than {_dotted(oldest)}, the oldest whose form is known"
    if number > newest:
        return f"{tool} {version} is newer than {_dotted(newest)}, the newest whose form is known"
    return ""


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
