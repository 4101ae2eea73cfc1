"""Designs side by side: columns by metric and stage, differences against a reference, and what must be said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from codesign.comparison.entry import Entry, Number
from codesign.comparison.remarks import remarks
from codesign.comparison.seeds import group_seeds
from codesign.comparison.sources import read_entries, split_name
from codesign.comparison.steps import STEPS
from codesign.core.metrics import METRICS, Metric
from codesign.errors import ReportFormatError, SettingsError

Verdict = Literal["better", "worse", "same", "within spread", "other part", ""]
"""`within spread`: two means differ less than their seeds do. `other part`: of other silicon, so neither is better."""

_FORMAT = 1
_EQUAL = 1e-9
"""Relative difference below which two numbers are the same; a mean of equal values is off by a rounding."""


@dataclass(frozen=True)
class Column:
    """What one column holds: numbers of one metric, one stage and, where it depends on the data, one dataset.

    Parameters
    ----------
    metric
        The metric's name.
    step
        The stage.
    dataset
        The label of the dataset of a quality; ``None`` for what does not depend on the data.
    """

    metric: str
    step: str
    dataset: str | None = None

    @property
    def about(self) -> Metric:
        """The metric."""
        return METRICS[self.metric]


@dataclass(frozen=True)
class Change:
    """A number against the reference's.

    Parameters
    ----------
    delta
        The number less the reference's.
    percent
        The same in percent of the reference's; ``None`` if that is 0.
    verdict
        Better or worse by the metric's direction; empty for a metric without one.
    """

    delta: float
    percent: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """Designs side by side.

    Parameters
    ----------
    entries
        The designs, their names distinct.
    reference
        The name of the one that the others are held against; ``None`` for a single design.
    notes
        What must be said: what differs and cannot be compared, what was left out.
    """

    entries: tuple[Entry, ...]
    reference: str | None
    notes: tuple[str, ...]

    @property
    def is_trustworthy(self) -> bool:
        """Whether no entry lacks something that should have been there."""
        return all(entry.is_trustworthy for entry in self.entries)

    def columns(self, step: str | None = None) -> tuple[Column, ...]:
        """The columns that hold anything, in the order of the flow; of one stage, if named."""
        found = {self._column(number, entry) for entry in self.entries for number in entry.numbers}
        steps, metrics = list(STEPS), list(METRICS)
        order = sorted(
            found,
            key=lambda c: (steps.index(c.step), metrics.index(c.metric), self.datasets().index(c.dataset)),
        )
        return tuple(column for column in order if step in (None, column.step))

    def number(self, entry: Entry, column: Column) -> Number | None:
        """What stands in an entry's row; ``None`` for an empty cell."""
        number = entry.number(column.metric, column.step)
        return number if number is not None and self._column(number, entry) == column else None

    def change(self, entry: Entry, column: Column) -> Change | None:
        """An entry's number against the reference's in the same column; ``None`` if one of them has none."""
        reference = next((other for other in self.entries if other.name == self.reference), None)
        if reference is None or reference is entry:
            return None
        mine, other = self.number(entry, column), self.number(reference, column)
        if mine is None or other is None:
            return None
        equal = math.isclose(mine.value, other.value, rel_tol=_EQUAL)
        delta = 0.0 if equal else mine.value - other.value
        percent = 100.0 * delta / abs(other.value) if other.value else None
        return Change(delta, percent, _verdict(column, delta, mine, other, entry.same_device(reference)))

    def datasets(self) -> list[str | None]:
        """The labels of the datasets, in the order of the entries; first ``None``, for what depends on none."""
        return [None, *dict.fromkeys(self.dataset_label(entry) for entry in self.entries)]

    def dataset_label(self, entry: Entry) -> str:
        """What a dataset is called here: its source, and its digest where two of one source differ."""
        if entry.dataset is None:  # two unknown ones are not known to be the same
            return f"unknown data of {entry.design or entry.name}"
        digests = {e.dataset_digest or "unknown" for e in self.entries if e.dataset == entry.dataset}
        if len(digests) == 1:
            return entry.dataset
        # as many digits as tell all of them apart
        digits = next(n for n in range(7, 65) if len({digest[:n] for digest in digests}) == len(digests))
        return f"{entry.dataset} {(entry.dataset_digest or 'unknown')[:digits]}"

    def _column(self, number: Number, entry: Entry) -> Column:
        depends = METRICS[number.metric].group == "quality"
        return Column(number.metric, number.step, self.dataset_label(entry) if depends else None)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form; it also has every difference, for readers without this package."""
        return {
            "format": _FORMAT,
            "reference": self.reference,
            "notes": list(self.notes),
            "entries": [self._entry_dict(entry) for entry in self.entries],
        }

    def _entry_dict(self, entry: Entry) -> dict[str, Any]:
        value = asdict(entry)
        for number, row in zip(entry.numbers, value["numbers"], strict=True):
            row["percent"] = number.percent
            change = self.change(entry, self._column(number, entry))
            row["change"] = None if change is None else asdict(change)
        return value

    @classmethod
    def from_dict(cls, value: dict[str, Any], source: str | Path = "comparison") -> Comparison:
        """The inverse of `to_dict`; `ReportFormatError` says what does not fit."""
        try:
            if value["format"] != _FORMAT:
                raise ValueError(f"format {value['format']!r}, not {_FORMAT}")
            entries = tuple(_entry_from(entry) for entry in value["entries"])
            return cls(entries, value["reference"], tuple(value["notes"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReportFormatError(source, "comparison", f"damaged ({error!r}); compare again") from None


def _entry_from(value: dict[str, Any]) -> Entry:
    rows = [{k: v for k, v in row.items() if k not in ("percent", "change")} for row in value["numbers"]]
    lists = {"numbers": tuple(Number(**row) for row in rows)}
    lists |= {name: tuple(value[name]) for name in ("seeds", "notes")}
    return Entry(**{**value, **lists})


def _verdict(column: Column, delta: float, mine: Number, other: Number, same_device: bool) -> Verdict:
    if column.about.better is None:
        return ""
    if delta == 0:
        return "same"
    if column.about.group in ("resource", "speed", "power") and not same_device:
        return "other part"
    # a single run has a spread too, but nobody knows it
    if abs(delta) <= math.hypot(mine.spread or 0.0, other.spread or 0.0):
        return "within spread"
    return "better" if column.about.is_better(mine.value, other.value) else "worse"


def compare(
    sources: Sequence[str | Path],
    *,
    reference: str | None = None,
    each_seed: bool = False,
    top: str | None = None,
) -> Comparison:
    """Compare runs, projects, build folders and report files.

    Parameters
    ----------
    sources
        Folders and files; ``NAME=PATH`` gives one a name.
    reference
        The name or the path of the design that the others are held against; the first, if not given.
    each_seed
        Leave runs that differ in the seed only apart, instead of giving their mean and spread.
    top
        The top function of build folders that hold several.

    Raises
    ------
    SettingsError
        Nothing is given, the same thing twice, or the reference is none of them.
    ReportError
        A source is missing, damaged, or nothing that can be compared.
    """
    entries = read_entries(sources, top=top)
    if not each_seed:
        entries = group_seeds(entries)
    return make_comparison(entries, reference=reference)


def make_comparison(entries: Sequence[Entry], *, reference: str | None = None) -> Comparison:
    """Put entries side by side; see `compare`."""
    names = [entry.name for entry in entries]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise SettingsError(f"several designs are called {doubled[0]!r}; name them apart with NAME=PATH")
    chosen = names[0] if reference is None else _find_reference(entries, reference)
    plain = Comparison(tuple(entries), chosen if len(entries) > 1 else None, ())
    labels = {entry.name: plain.dataset_label(entry) for entry in entries}
    return Comparison(plain.entries, plain.reference, remarks(plain.entries, labels))


def _find_reference(entries: Sequence[Entry], wanted: str) -> str:
    path = split_name(wanted)[1]
    for entry in entries:
        if wanted == entry.name or str(path) in entry.source.split(", "):
            return entry.name
    for entry in entries:
        if any(Path(source).resolve() == path.resolve() for source in entry.source.split(", ")):
            return entry.name
    raise SettingsError(
        f"--reference: {wanted!r} is none of what is compared: {', '.join(entry.name for entry in entries)}"
    )
