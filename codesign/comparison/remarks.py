"""What a comparison must say: what differs so that numbers cannot stand for each other, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from codesign.comparison.entry import Entry
from codesign.comparison.steps import STEPS


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
    for entry in entries:
        if not entry.is_trustworthy:
            yield f"{entry.name} is not trustworthy: reports were left out, or its build did not end well"


def _own_notes(entries: Sequence[Entry]) -> Iterator[str]:
    for entry in entries:
        yield from (f"{entry.name}: {note}" for note in entry.notes)


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
