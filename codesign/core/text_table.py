"""Text for people: tables, and what of a foreign text may be printed or opened in a spreadsheet."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but for tab and line end, marks that turn the direction of writing, halves of characters."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class TextTable:
    """Rows of text under headings, for a terminal or Markdown.

    Parameters
    ----------
    title
        What it is about.
    header
        One heading a column.
    rows
        As many cells each as there are headings.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table in Markdown, its title as a heading of the second level."""
        lines = [
            f"## {printable(self.title)}",
            "",
            "| " + " | ".join(_cell(cell) for cell in self.header) + " |",
            "|" + " --- |" * len(self.header),
        ]
        lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"

    def transposed(self) -> TextTable:
        """Rows as columns; the first heading stays in its corner."""
        columns = list(zip(self.header, *self.rows, strict=True))
        return TextTable(self.title, columns[0], tuple(columns[1:]))


def counted(number: int, noun: str, form: str = "") -> str:
    """A number of things in words: ``1 class``, ``2 classes``; `form` is how the number is written."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:{form}} {noun}{ending}"


def headed(title: str) -> str:
    """A title at the beginning of a line: names within it keep their capitals (``Test R2``, ``Area under the ROC curve``)."""
    return title[:1].upper() + title[1:]


def printable(text: str) -> str:
    r"""The text with its control characters spelt out as JSON does (``\u001b``), so that none steers a terminal."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def spreadsheet_safe(value: object) -> object:
    """A cell of a CSV file: a text that a spreadsheet would compute (``=1+1``) gets an apostrophe before it."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cell(text: str) -> str:
    """A cell that cannot end the table: no bar, no line end."""
    return printable(text).replace("|", "\\|").replace("\n", "<br>")
