"""Which designs no other design beats."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    """The points that no other point dominates.

    Parameters
    ----------
    points
        Cost (the lower the better) and quality (the higher the better).

    Returns
    -------
    tuple of int
        Indices in rising cost. A point dominates another if it is at least as good in both and better in one; of
        equal points all are kept.
    """
    front: list[int] = []
    best = float("-inf")
    order = sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1]))
    for index in order:
        cost, quality = points[index]
        if quality > best or (front and points[front[-1]] == (cost, quality)):
            front.append(index)
            best = max(best, quality)
    return tuple(front)
