"""Runs of one design that differ in the seed only, as one entry with mean and spread."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from codesign.comparison.entry import Entry, Number, sorted_numbers
from codesign.core.files import json_digest


def group_seeds(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Put the runs together that differ in nothing but the seed.

    Parameters
    ----------
    entries
        Any entries. Only runs of the same design, networks, data, part and settings (the seed left out) are put
        together; a run whose settings are not known stays by itself, and so does one whose seed is there already.

    Returns
    -------
    tuple of Entry
        In the order in which the first of each group came; numbers are means over the runs that have them, with the
        sample standard deviation as spread.
    """
    groups: dict[str, list[Entry]] = {}
    for index, entry in enumerate(entries):
        key = _key(entry)
        if key is None or any(entry.seeds == other.seeds for other in groups.get(key, [])):
            key = f"alone {index}"
        groups.setdefault(key, []).append(entry)
    merged = [_merge(group) if len(group) > 1 else group[0] for group in groups.values()]
    return tuple(_distinct(merged))


def _key(entry: Entry) -> str | None:
    if entry.kind != "run" or not entry.settings:
        return None
    settings = {name: value for name, value in entry.settings.items() if name != "seed"}
    data = [entry.dataset, entry.dataset_digest]
    return json_digest([entry.design, entry.networks_digest, data, entry.part, settings])


def _merge(group: Sequence[Entry]) -> Entry:
    first = group[0]
    places = dict.fromkeys((number.metric, number.step) for entry in group for number in entry.numbers)
    numbers = [_mean([entry.number(*place) for entry in group]) for place in places]
    seeds = tuple(sorted(seed for entry in group for seed in entry.seeds))
    notes = [f"{entry.name}: {note}" for entry in group for note in entry.notes]
    notes += [
        f"{number.metric} ({number.step}) is of {number.samples} of the {len(group)} seeds"
        for number in numbers
        if number.samples < len(group)
    ]
    return Entry(
        name=_name(group),
        kind="seeds",
        source=", ".join(entry.source for entry in group),
        numbers=sorted_numbers(numbers),
        design=first.design,
        dataset=first.dataset,
        dataset_digest=first.dataset_digest,
        part=first.part,
        tools=_all_tools(group),
        layers=_common_layers(group),
        networks_digest=first.networks_digest,
        settings={name: value for name, value in first.settings.items() if name != "seed"},
        seeds=seeds,
        notes=tuple(notes),
        is_trustworthy=all(entry.is_trustworthy for entry in group),
    )


def _mean(numbers: Sequence[Number | None]) -> Number:
    found = [number for number in numbers if number is not None]
    values = [number.value for number in found]
    return replace(
        found[0],
        value=statistics.fmean(values),
        spread=statistics.stdev(values) if len(values) > 1 else None,
        samples=len(values),
        source=", ".join(number.source for number in found),
    )


def _all_tools(group: Sequence[Entry]) -> dict[str, str]:
    """Every tool and version that a stage was made with."""
    steps = dict.fromkeys(step for entry in group for step in entry.tools)
    return {
        step: ", ".join(dict.fromkeys(entry.tools[step] for entry in group if step in entry.tools))
        for step in steps
    }


def _common_layers(group: Sequence[Entry]) -> Mapping[str, Any]:
    """The types, where all seeds got the same; each seed has a bit-width search of its own."""
    first = group[0].layers
    return first if all(entry.layers == first for entry in group) else {}


def _name(group: Sequence[Entry]) -> str:
    names = [entry.name for entry in group]
    if len(set(names)) == 1:  # the user called all of them the same
        return names[0]
    equal = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    common = "".join(letters[0] for letters in equal).rstrip("0123456789").rstrip("/._-")
    for ending in ("seed", "seeds", "run"):
        common = common.removesuffix(ending).rstrip("/._-")
    return common or group[0].design or names[0]


def _distinct(entries: Sequence[Entry]) -> list[Entry]:
    """Entries with names of their own: a second one of a name gets a number."""
    seen: dict[str, int] = {}
    result = []
    for entry in entries:
        count = seen[entry.name] = seen.get(entry.name, 0) + 1
        result.append(entry if count == 1 else replace(entry, name=f"{entry.name} ({count})"))
    return result
