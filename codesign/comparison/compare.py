"""Designs side by side: columns by metric and stage, differences against a reference, and what must be said."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from codesign.comparison.certainty import difference_error, discordant, group_seeds
from codesign.comparison.entry import NETWORK, STEPS, Entry, Number
from codesign.comparison.sources import read_entries, split_name
from codesign.core.metrics import METRICS, Metric
from codesign.core.shown import Shown
from codesign.core.text_table import TextTable
from codesign.errors import ReportFormatError, SettingsError

if TYPE_CHECKING:
    from pandas import DataFrame

Verdict = Literal["better", "worse", "same", "within error", "error unknown", "other part", ""]
"""`within error`: chance explains the difference. `error unknown`: of a quality, on nobody knows how many samples.
`other part`: of other silicon, so neither is better."""

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
    error
        What chance explains of the difference, with 95 % confidence: by paired samples (McNemar), by the size of the
        test part, or by several seeds; ``None`` for a number that has no error.
    """

    delta: float
    percent: float | None
    verdict: Verdict
    error: float | None = None


@dataclass(frozen=True)
class Comparison(Shown):
    """Designs side by side.

    Parameters
    ----------
    entries
        The designs, their names distinct.
    reference
        The name of the one that the others are held against; ``None`` for a single design.
    notes
        What must be said: what differs and cannot be compared, what was left out.
    pairs
        By the name of an entry whose test samples are the reference's: how many of them only the entry, and only the
        reference, classifies rightly.
    """

    entries: tuple[Entry, ...]
    reference: str | None
    notes: tuple[str, ...]
    pairs: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        return {
            "designs": ", ".join(entry.name for entry in self.entries),
            "reference": self.reference or "none",
        }

    def tables(self) -> Iterator[TextTable]:
        """Every table, as in a terminal."""
        from codesign.comparison.forms import comparison_tables

        return iter(comparison_tables(self))

    def to_frame(self) -> DataFrame:
        """The numbers as a pandas table: a row a design, a column each (stage, metric)."""
        import pandas

        columns = self.columns()
        rows = [[self.number(entry, column) for column in columns] for entry in self.entries]
        names = [
            (column.step, column.metric if column.dataset is None else f"{column.metric}, {column.dataset}")
            for column in columns
        ]
        return pandas.DataFrame(
            [[None if number is None else number.value for number in row] for row in rows],
            index=pandas.Index([entry.name for entry in self.entries], name="design"),
            columns=pandas.MultiIndex.from_tuples(names, names=["stage", "metric"]),
        )

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
        pair = (
            self.pairs.get(entry.name)
            if column.step == NETWORK and column.metric == "test_accuracy"
            else None
        )
        error = difference_error(mine, other, pair)
        verdict = _verdict(column, delta, error, entry.same_device(reference))
        return Change(delta, percent, verdict, error)

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
            "pairs": {name: list(pair) for name, pair in self.pairs.items()},
            "entries": [self._entry_dict(entry) for entry in self.entries],
        }

    def _entry_dict(self, entry: Entry) -> dict[str, Any]:
        value = asdict(replace(entry, right=None))
        del value["right"]  # its counts are in the pairs
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
            pairs = {name: (int(mine), int(other)) for name, (mine, other) in value["pairs"].items()}
            return cls(entries, value["reference"], tuple(value["notes"]), pairs)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReportFormatError(source, "comparison", f"damaged ({error!r}); compare again") from None


def _entry_from(value: dict[str, Any]) -> Entry:
    rows = [{k: v for k, v in row.items() if k not in ("percent", "change")} for row in value["numbers"]]
    lists = {"numbers": tuple(Number(**row) for row in rows)}
    lists |= {name: tuple(value[name]) for name in ("seeds", "notes")}
    return Entry(**{**value, **lists})


def _verdict(column: Column, delta: float, error: float | None, same_device: bool) -> Verdict:
    if column.about.better is None:
        return ""
    if delta == 0:
        return "same"
    if column.about.group in ("resource", "speed", "power") and not same_device:
        return "other part"
    if error is None and column.about.group == "quality":
        return "error unknown"
    # of two fractions of the same samples the difference may be the error itself, but for a rounding
    if error is not None and abs(delta) <= error * (1 + _EQUAL):
        return "within error"
    return "better" if column.about.is_better(delta, 0.0) else "worse"


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
        The name or the path of the design that the others are held against; the first that is finished, if not
        given.
    each_seed
        Leave runs that differ in the seed only, and say so by their names, apart, instead of giving their mean and
        spread.
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
    chosen = _first_finished(entries) if reference is None else _find_reference(entries, reference)
    plain = Comparison(tuple(entries), chosen.name if len(entries) > 1 else None, ())
    labels = {entry.name: plain.dataset_label(entry) for entry in entries}
    found = {entry.name: discordant(entry, chosen) for entry in entries if entry is not chosen}
    pairs = {name: pair for name, pair in found.items() if pair is not None}
    return replace(plain, notes=remarks(plain.entries, labels), pairs=pairs)


def _first_finished(entries: Sequence[Entry]) -> Entry:
    return next((entry for entry in entries if entry.kind != "unfinished"), entries[0])


def _find_reference(entries: Sequence[Entry], wanted: str) -> Entry:
    path = split_name(wanted)[1]
    for entry in entries:
        if wanted == entry.name or str(path) in entry.source.split(", "):
            return entry
    for entry in entries:
        if any(Path(source).resolve() == path.resolve() for source in entry.source.split(", ")):
            return entry
    raise SettingsError(
        f"--reference: {wanted!r} is none of what is compared: {', '.join(entry.name for entry in entries)}"
    )


def remarks(entries: Sequence[Entry], datasets: Mapping[str, str]) -> tuple[str, ...]:
    """The notes of a comparison.

    Parameters
    ----------
    entries
        What is compared.
    datasets
        The label of each entry's dataset, by the entry's name.
    """
    found = [
        *_of_datasets(entries, datasets),
        *_of_parts(entries),
        *_of_steps(entries),
        *_of_tools(entries),
        *_of_clocks(entries),
        *_of_trust(entries),
        *_own_notes(entries),
    ]
    return tuple(dict.fromkeys(found))


def _of_datasets(entries: Sequence[Entry], datasets: Mapping[str, str]) -> Iterator[str]:
    groups = _groups(
        {e.name: datasets[e.name] for e in entries if any(n.step == "quantized" for n in e.numbers)}
    )
    if len(groups) > 1:
        yield (
            f"datasets differ ({_listed(groups)}): each has a column of its own, and accuracies of different data are "
            "not held against each other"
        )


def _of_parts(entries: Sequence[Entry]) -> Iterator[str]:
    hardware = [entry for entry in entries if _hardware(entry)]
    known = {entry.name: entry.device for entry in hardware if entry.device is not None}
    if len(groups := _groups(known)) > 1:
        yield (
            f"parts differ ({_listed(groups)}): percentages are of each one's own part, and neither of two numbers of "
            "different devices is called better"
        )
    unknown = [entry.name for entry in hardware if entry.device is None]
    if unknown:
        yield f"the part is not known of {', '.join(unknown)}: the report does not print it"


def _of_steps(entries: Sequence[Entry]) -> Iterator[str]:
    """Whether a design has hardware numbers, but none of a stage that the first of them has."""
    hardware = [entry for entry in entries if _hardware(entry)]
    if any(not set(_hardware(entry)) & set(_hardware(hardware[0])) for entry in hardware):
        groups = _groups({e.name: ", ".join(STEPS[step].title for step in _hardware(e)) for e in hardware})
        yield (
            f"stages differ ({_listed(groups)}): each has a table of its own, and numbers of different stages are not "
            "held against each other"
        )


def _of_tools(entries: Sequence[Entry]) -> Iterator[str]:
    for step in STEPS:
        groups = _groups({entry.name: entry.tools[step] for entry in entries if step in entry.tools})
        if len(groups) > 1:
            yield f"{STEPS[step].title}: tools differ ({_listed(groups)})"


def _of_clocks(entries: Sequence[Entry]) -> Iterator[str]:
    for step in STEPS:
        clocks = {entry.name: entry.number("clock_period_ns", step) for entry in entries}
        groups = _groups({name: f"{clock.value:g} ns" for name, clock in clocks.items() if clock is not None})
        if len(groups) > 1:
            yield f"{STEPS[step].title}: clocks differ ({_listed(groups)}): cycles and slacks are of different periods"


def _of_trust(entries: Sequence[Entry]) -> Iterator[str]:
    names = [entry.name for entry in entries if not entry.is_trustworthy]
    if names:
        verb = "is" if len(names) == 1 else "are"
        yield (
            f"{', '.join(names)} {verb} not trustworthy: something was left out, changed or removed, or a build did not "
            "end well"
        )


def _own_notes(entries: Sequence[Entry]) -> Iterator[str]:
    """The notes of each design; one that several have is said once."""
    names: dict[str, list[str]] = {}
    for entry in entries:
        for note in entry.notes:
            # the same said of two folders is the same
            names.setdefault(note.replace(f"{entry.source}/", ""), []).append(entry.name)
    for note, having in names.items():
        is_all = len(having) == len(entries) > 1
        yield f"{'all' if is_all else ', '.join(having)}: {note}"


def _hardware(entry: Entry) -> tuple[str, ...]:
    return tuple(step for step in entry.steps() if STEPS[step].is_hardware)


def _groups(values: Mapping[str, str]) -> dict[str, list[str]]:
    """Names by their value."""
    groups: dict[str, list[str]] = {}
    for name, value in values.items():
        groups.setdefault(value, []).append(name)
    return groups


def _listed(groups: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{value}: {', '.join(names)}" for value, names in groups.items())
