"""Rows of text under headings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
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
            f"## {self.title}",
            "",
            "| " + " | ".join(_cell(cell) for cell in self.header) + " |",
            "|" + " --- |" * len(self.header),
        ]
        lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"

    def transposed(self) -> Table:
        """Rows as columns; the first heading stays in its corner."""
        columns = list(zip(self.header, *self.rows, strict=True))
        return Table(self.title, columns[0], tuple(columns[1:]))


def _cell(text: str) -> str:
    """A cell that cannot end the table: no bar, no line end."""
    return text.replace("|", "\\|").replace("\n", "<br>")
