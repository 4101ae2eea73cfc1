"""How values show themselves: a line in a console, a small table in a notebook, never their arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, Sized
from dataclasses import fields
from html import escape
from typing import Any

from codesign.core.metrics import METRICS
from codesign.core.text_table import TextTable, printable

_MOST_ROWS = 60
"""Rows of a table that a notebook shows."""

_LONGEST = 40
"""Characters of a value in a line."""

_LINE = 280
"""Characters of a line."""

_PLAIN = (str, int, float, complex, type(None))


class Brief:
    """A dataclass whose `repr` is one short line of its fields, and whose notebook form is a table of them.

    Of arrays stands the type and shape, of anything long what it is and how many.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Keep the short form where a dataclass would write its own, which prints every array."""
        super().__init_subclass__(**options)
        if "__repr__" not in cls.__dict__:
            cls.__repr__ = cls.__repr__  # type: ignore[method-assign]

    def facts(self) -> Mapping[str, str]:
        """What matters, by what it is called."""
        return {one.name: brief(getattr(self, one.name)) for one in fields(self) if one.repr}  # type: ignore[arg-type]

    def __repr__(self) -> str:
        """One line."""
        words = printable(", ".join(f"{name} {text}".strip() for name, text in self.facts().items()))
        if len(words) > _LINE:
            words = f"{words[: words.rindex(', ', 0, _LINE)]}, ..."
        return f"<{type(self).__name__}: {words}>"

    def _repr_html_(self) -> str:
        """The facts and the tables, for notebooks."""
        return html_table(TextTable(type(self).__name__, ("", ""), tuple(self.facts().items())))


class Shown(Brief):
    """A value that says itself what matters of it, in a line, and as tables in a notebook."""

    def facts(self) -> Mapping[str, str]:
        """What matters, by what it is called."""
        raise NotImplementedError

    def tables(self) -> Iterator[TextTable]:
        """What a notebook shows below the facts."""
        return iter(())

    def _repr_html_(self) -> str:
        """The facts and the tables, for notebooks."""
        return "\n".join([super()._repr_html_(), *(html_table(table) for table in self.tables())])


def brief(value: object) -> str:
    """A value in a few words."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else f"{value[: _LONGEST - 3]}..."
    if isinstance(value, Mapping | Sequence | Set) and any(
        not isinstance(one, _PLAIN) for one in _parts(value)
    ):
        return f"{len(value)} {'by name' if isinstance(value, Mapping) else 'of them'}"
    text = repr(value)
    if len(text) <= _LONGEST and "\n" not in text:
        return text
    return f"{len(value)} of them" if isinstance(value, Sized) else f"a {type(value).__name__}"


def _parts(value: Any) -> Iterable[object]:
    return value.values() if isinstance(value, Mapping) else value


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
