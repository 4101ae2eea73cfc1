"""Fronts: which trials no other dominates, in any number of objectives, and what points of their trainings would."""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codesign.search.ledger import Ledger, TrialLine
from codesign.search.objectives import OBJECTIVES, violations


def non_dominated_ranks(points: Sequence[Sequence[float]]) -> list[int]:
    """The front that each point is on: 0 if no point dominates it, 1 if only points of front 0 do, and so on.

    Parameters
    ----------
    points
        Shape `(n_points, n_objectives)`, the smaller the better. A point dominates another if it is at least as good in
        all and better in one.
    """
    values = np.asarray(points, np.float64).reshape(len(points), -1)
    if values.shape[1] == 2:
        return _ranks_of_two(values)
    ranks = np.full(len(values), -1)
    left = np.arange(len(values))
    rank = 0
    while len(left):
        ranks[left[~_dominated(values[left])]] = rank
        left = left[ranks[left] < 0]
        rank += 1
    return [int(found) for found in ranks]


def _ranks_of_two(values: np.ndarray) -> list[int]:
    """The same of two objectives, in one pass through the sorted points: what is asked after every short training."""
    ranks = [0] * len(values)
    least: list[float] = []  # of each front the smallest second value so far, which rises from front to front
    before, rank = None, 0
    for index in np.lexsort(values.T[::-1]).tolist():
        point = (values[index, 0], values[index, 1])
        if point != before:  # equal points do not dominate each other
            rank = bisect.bisect_right(least, point[1])
            least[rank : rank + 1] = [point[1]]
        before = point
        ranks[index] = rank
    return ranks


def _dominated(values: np.ndarray) -> np.ndarray:
    """Which points another dominates, bool, shape `(n_points,)`."""
    order = np.lexsort(values.T[::-1])
    dominated = np.zeros(len(values), bool)
    front: list[int] = []
    for index in order:  # whatever dominates a point stands before it
        rivals = values[front]
        point = values[index]
        if len(front) and bool(((rivals <= point).all(axis=1) & (rivals < point).any(axis=1)).any()):
            dominated[index] = True
        else:
            front.append(int(index))
    return dominated


def front_of(lines: Iterable[TrialLine], objectives: Mapping[str, str]) -> list[TrialLine]:
    """The complete trials within the limits that no other such trial dominates, by the first objective."""
    able = [line for line in lines if line.is_within_limits]
    if not able:
        return []
    points = [[OBJECTIVES[name].sign * line.values[name] for name in objectives] for line in able]
    front = [line for line, rank in zip(able, non_dominated_ranks(points), strict=True) if rank == 0]
    first = next(iter(objectives))
    return sorted(front, key=lambda line: (OBJECTIVES[first].sign * line.values[first], line.number))


@dataclass(frozen=True)
class FurtherPoint:
    """A point of a trial's trainings that the trial is not built of.

    Parameters
    ----------
    of
        The trial.
    budget_luts
        The budget within which each run takes its best point.
    quality, luts
        Means over the runs.
    """

    of: int
    budget_luts: int
    quality: float
    luts: float


def points_of(number: int, fronts: Sequence[Sequence[Mapping[str, float]]]) -> Iterator[FurtherPoint]:
    """What a trial's runs reach within every budget that makes a difference to one of them.

    Parameters
    ----------
    number
        The trial's.
    fronts
        Of each run the points, with `luts` and `validation_quality`, cheapest first, the better the dearer.
    """
    budgets = {math.ceil(point["luts"]) for front in fronts for point in front}
    for budget in sorted(budgets):
        within = [[point for point in front if point["luts"] <= budget] for front in fronts]
        if all(within):
            chosen = [points[-1] for points in within]
            quality, luts = (
                statistics.fmean(point[name] for point in chosen) for name in ("validation_quality", "luts")
            )
            yield FurtherPoint(number, budget, quality, luts)


def further_points(
    points: Iterable[FurtherPoint], lines: Iterable[TrialLine], limits: Mapping[str, float], most: int
) -> list[FurtherPoint]:
    """Of further points those that no trial and no other point beats in quality and LUTs, cheapest first.

    Parameters
    ----------
    points
        Of all trials.
    lines
        The trials.
    limits
        Of the search; those of quality and LUTs count here.
    most
        How many at most: spread evenly over the front, its ends among them.
    """
    known = {name: limit for name, limit in limits.items() if name in ("quality", "luts")}
    able = [
        point
        for point in points
        if all(by <= 0 for by in violations({"quality": point.quality, "luts": point.luts}, known).values())
    ]
    if not able:
        return []
    stand = [(-line.values["quality"], line.values["luts"]) for line in lines if line.is_within_limits]
    ranks = non_dominated_ranks([*stand, *((-point.quality, point.luts) for point in able)])[len(stand) :]
    found: dict[tuple[float, float], FurtherPoint] = {}
    for point, rank in zip(able, ranks, strict=True):
        if rank == 0 and (-point.quality, point.luts) not in stand:
            found.setdefault((point.luts, point.quality), point)
    ordered = [found[key] for key in sorted(found)]
    if len(ordered) <= most:
        return ordered
    return [ordered[index] for index in np.linspace(0, len(ordered) - 1, most).round().astype(int)]


def result_front(ledger: Ledger, objectives: Mapping[str, str]) -> list[TrialLine]:
    """The front without trials that their proof refuted."""
    refuted = {number for number, proof in ledger.proofs.items() if proof.state == "refuted"}
    return front_of((line for line in ledger.trials.values() if line.number not in refuted), objectives)
