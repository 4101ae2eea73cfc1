"""How values show themselves: a line in a console, a small table in a notebook, never their arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from codesign.core.metrics import METRICS
from codesign.core.text_table import TextTable, printable

_MOST_ROWS = 60
"""Rows of a table that a notebook shows."""


class Shown:
    """A value whose `repr` is a line of what matters and whose notebook form is that as a table.

    A dataclass takes it with ``repr=False``, or its own `repr` would print every array.
    """

    def facts(self) -> Mapping[str, str]:
        """What matters, by what it is called."""
        raise NotImplementedError

    def tables(self) -> Iterator[TextTable]:
        """What a notebook shows below the facts."""
        return iter(())

    def __repr__(self) -> str:
        """One line."""
        words = ", ".join(f"{name} {text}".strip() for name, text in self.facts().items())
        return f"<{type(self).__name__}: {printable(words)}>"

    def _repr_html_(self) -> str:
        """The facts and the tables, for notebooks."""
        rows = tuple(self.facts().items())
        facts = TextTable(type(self).__name__, ("", ""), rows)
        return "\n".join(html_table(table) for table in (facts, *self.tables()))


class ShownStudent(Shown):
    """A student of any stage: its layers, with the formats of its `precision`, and its `history`, where it has them."""

    network: Any
    record: Any

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        return {"network": self.network.sizes, **metric_facts(self.record.metrics)}

    def tables(self) -> Iterator[TextTable]:
        """The layers, and the training."""
        yield self.network.table(getattr(self, "precision", None))
        history = getattr(self, "history", None)
        if history is not None:
            yield history.table()


def html_table(table: TextTable) -> str:
    """A table as HTML; of a long one the beginning."""

    def cells(row: tuple[str, ...], kind: str) -> str:
        return "".join(f'<{kind} style="text-align:left">{escape(printable(cell))}</{kind}>' for cell in row)

    lines = [f"<table><caption>{escape(printable(table.title))}</caption>"]
    if any(table.header):
        lines.append(f"<thead><tr>{cells(table.header, 'th')}</tr></thead>")
    lines.append("<tbody>")
    lines += [f"<tr>{cells(row, 'td')}</tr>" for row in table.rows[:_MOST_ROWS]]
    if len(table.rows) > _MOST_ROWS:
        more = f"and {len(table.rows) - _MOST_ROWS} rows more"
        lines.append(f'<tr><td colspan="{len(table.header)}">{more}</td></tr>')
    return "\n".join([*lines, "</tbody></table>"])


def metric_facts(metrics: Mapping[str, Any]) -> dict[str, str]:
    """The qualities and sizes among a record's metrics, as they are printed everywhere."""
    return {
        metric.heading: metric.text(metrics[name])
        for name, metric in METRICS.items()
        if metric.group in ("quality", "network") and isinstance(metrics.get(name), int | float)
    }
