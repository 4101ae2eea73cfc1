"""How certain a difference is: by paired samples, by the size of the test part, or by several seeds."""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from codesign.comparison.entry import SEVERAL, Entry, Number, sorted_numbers
from codesign.core.files import json_digest

LEVEL = 0.95
"""Every error is the half width of an interval of this confidence."""

_FRACTIONS = ("test_accuracy", "validation_accuracy")
"""Metrics that are fractions of samples, so that their error follows from the number of samples."""

_SEED = re.compile(r"(?i)seeds?[-_ =.]*0*(\d+)")


def paired_error(mine: int, other: int, samples: int) -> float:
    """The largest difference of two accuracies on the same samples that chance explains (exact McNemar test).

    Parameters
    ----------
    mine, other
        How many samples only the one, and only the other, classifies rightly.
    samples
        How many samples there are.
    """
    from scipy.special import bdtr

    total = mine + other
    fewer = np.arange(total // 2 + 1)
    chance = np.minimum(2.0 * bdtr(fewer, total, 0.5), 1.0)
    significant = int((chance < 1 - LEVEL).sum())  # chance grows with what the fewer have
    return (total - 2 * significant) / samples


def binomial_error(*fractions: tuple[float, int]) -> float:
    """The error of a fraction of samples, or of the difference of two, each of its own samples.

    Parameters
    ----------
    fractions
        Fraction and number of samples of each.
    """
    variance = 0.0
    for fraction, samples in fractions:
        # two samples more, half of them right: a fraction of 1 is no certainty (Agresti and Caffo)
        total = samples + 2
        share = (fraction * samples + 1) / total
        variance += share * (1 - share) / total
    return _normal() * math.sqrt(variance)


def seeds_error(mine: Number, other: Number) -> float | None:
    """The error of the difference of two means over seeds (Welch); ``None`` where no seeds differ.

    A single run beside several is given their spread.
    """
    from scipy.special import stdtrit

    known = [number for number in (mine, other) if number.samples > 1 and number.spread]
    if not known:
        return None
    parts = []
    for number in (mine, other):
        spread = number.spread
        if number.samples == 1:
            spread = known[0].spread
        parts.append((spread or 0.0) ** 2 / number.samples)
    below = sum(
        part**2 / (number.samples - 1)
        for part, number in zip(parts, (mine, other), strict=True)
        if number.samples > 1
    )
    freedom = sum(parts) ** 2 / below if below else 1.0
    if len(known) == 1:
        freedom = min(freedom, known[0].samples - 1)
    return float(stdtrit(max(freedom, 1.0), (1 + LEVEL) / 2)) * math.sqrt(sum(parts))


def difference_error(mine: Number, other: Number, pair: tuple[int, int] | None) -> float | None:
    """The error of a difference; ``None`` for a number without one (a count), or whose error nobody knows.

    Parameters
    ----------
    mine, other
        The two numbers, of one metric.
    pair
        How many samples only the first, and only the second design classifies rightly, where they are the same samples.
    """
    by_seeds = seeds_error(mine, other)
    if by_seeds is not None or mine.metric not in _FRACTIONS:
        return by_seeds
    if pair is not None and mine.count:
        return paired_error(*pair, mine.count)
    if mine.count and other.count:
        return binomial_error((mine.value, mine.count), (other.value, other.count))
    return None


def number_error(number: Number) -> float | None:
    """The error of a number by itself; ``None`` where it has none or nobody knows it."""
    if number.metric in _FRACTIONS and number.count:
        return binomial_error((number.value, number.count))
    return None


def discordant(entry: Entry, reference: Entry) -> tuple[int, int] | None:
    """How many test samples only the one, and only the other, classifies rightly; ``None`` if they are not the same."""
    same = entry.dataset_digest is not None and entry.dataset_digest == reference.dataset_digest
    if not same or entry.right is None or reference.right is None:
        return None
    if entry.right.shape != reference.right.shape:
        return None
    return int((entry.right & ~reference.right).sum()), int((reference.right & ~entry.right).sum())


def _normal() -> float:
    return statistics.NormalDist().inv_cdf((1 + LEVEL) / 2)


def group_seeds(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Put the runs together that differ in nothing but the seed, and whose names say so.

    Parameters
    ----------
    entries
        Any entries. Only finished runs of the same design, networks, data, part and settings (the seed left out) are
        put together, if they have one name, or names that differ in the number of a seed only (``big-seed0``,
        ``big-seed1``); a run whose settings are not known stays by itself, and so does one whose seed is there
        already.

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
    name = _without_seed(entry)
    return json_digest([name, entry.design, entry.networks_digest, data, entry.part, settings])


def _without_seed(entry: Entry) -> str:
    """The name with the number of its own seed taken out, where the name says that it is one."""
    numbers = {str(seed) for seed in entry.seeds}
    return _SEED.sub(lambda found: "seed" if found[1] in numbers else found[0], entry.name)


def _merge(group: Sequence[Entry]) -> Entry:
    first = group[0]
    places = dict.fromkeys((number.metric, number.step) for entry in group for number in entry.numbers)
    numbers = [_mean([entry.number(*place) for entry in group]) for place in places]
    seeds = tuple(sorted(seed for entry in group for seed in entry.seeds))
    shared = [note for note in dict.fromkeys(first.notes) if all(note in entry.notes for entry in group)]
    # what all say is said once, not once a seed
    notes = shared + [
        f"{entry.name}: {note}" for entry in group for note in entry.notes if note not in shared
    ]
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
        layers=_layers_of_all(group),
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


def _layers_of_all(group: Sequence[Entry]) -> dict[str, dict[str, str]]:
    """The types by layer and tensor; where seeds differ, for each has widths of its own, all that there are."""
    types: dict[str, dict[str, dict[str, None]]] = {}
    for entry in group:
        for layer, tensors in entry.layers.items():
            for tensor, kind in tensors.items():
                types.setdefault(layer, {}).setdefault(tensor, {})[kind] = None
    return {
        layer: {tensor: SEVERAL.join(kinds) for tensor, kinds in tensors.items()}
        for layer, tensors in types.items()
    }


def _name(group: Sequence[Entry]) -> str:
    names = [entry.name for entry in group]
    if len(set(names)) == 1:  # the user called all of them the same
        return names[0]
    equal = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    common = "".join(letters[0] for letters in equal).rstrip("0123456789").rstrip("/._-= ")
    common = re.sub(r"(?i)[/._= -]*(?:seeds?|run)$", "", common)
    return common or group[0].design or names[0]


def _distinct(entries: Sequence[Entry]) -> list[Entry]:
    """Entries with names of their own: a second one of a name gets a number."""
    seen: dict[str, int] = {}
    result = []
    for entry in entries:
        count = seen[entry.name] = seen.get(entry.name, 0) + 1
        result.append(entry if count == 1 else replace(entry, name=f"{entry.name} ({count})"))
    return result
