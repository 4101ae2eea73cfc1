"""The front of a training: the points of quality and LUTs that no cheaper point beats."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from codesign.core.files import read_json, write_arrays, write_json, write_text, write_with
from codesign.core.places import RUN, is_run, mistaken
from codesign.core.shown import Brief
from codesign.errors import QualityError, StaleProjectError

ARRAYS, TABLE, CSV, PICTURE = "front.npz", "front.json", "front.csv", "front.png"
"""The files of a front."""


class Ranked(Protocol):
    """Anything with a quality (higher is better) and LUTs."""

    @property
    def quality(self) -> float:
        """Higher is better."""

    @property
    def luts(self) -> float:
        """Lower is better."""


R = TypeVar("R", bound=Ranked)


@dataclass(frozen=True)
class Point(Brief):
    """One epoch of the training that is worth keeping.

    Parameters
    ----------
    quality
        On the validation part, by the task's measure.
    luts
        Estimated: during the training from the price, in a finished front by alkaid.
    epoch
        Counted from 0.
    snapshot
        Arrays by `layer/name`.
    test_quality
        On the test part, which chooses nothing; ``None`` during the training.
    """

    quality: float
    luts: float
    epoch: int
    snapshot: Mapping[str, np.ndarray]
    test_quality: float | None = None

    @property
    def row(self) -> dict[str, Any]:
        """The figures alone."""
        return {
            "luts": self.luts,
            "validation_quality": self.quality,
            "test_quality": self.test_quality,
            "epoch": self.epoch,
        }


def best(points: Sequence[R]) -> list[R]:
    """The points that none beats in quality at as few LUTs, cheapest first."""
    kept: list[R] = []
    for point in sorted(points, key=lambda point: (point.luts, -point.quality)):
        if not kept or point.quality > kept[-1].quality:
            kept.append(point)
    return kept


@dataclass(frozen=True)
class Front(Brief):
    """The finished front of a training.

    Parameters
    ----------
    points
        Cheapest first.
    reference
        The validation quality that losses are counted from: the float student's.
    measure
        The quality's name.
    key
        SHA-256 of what was trained: network, data, teacher, settings.
    """

    points: tuple[Point, ...]
    reference: float
    measure: str
    key: str

    def choose(
        self,
        budget_luts: float | None = None,
        quality_loss: float | None = None,
        latency_ns: float | None = None,
        latency_of: Callable[[Point], float] | None = None,
    ) -> Point:
        """The best point within a budget; the cheapest that loses at most so much; or, of neither, the best.

        Parameters
        ----------
        budget_luts
            The most LUTs, estimated by alkaid.
        quality_loss
            Percent of quality below the float student's. With a budget too, the cheapest point that meets both.
        latency_ns
            The longest latency. Of the points that meet the rest, in the order of preference above, the first that is as
            fast; of better ones by halving, as latency grows with LUTs.
        latency_of
            Gives a point's latency in ns; with `latency_ns` only.

        Raises
        ------
        QualityError
            If no point does; with the nearest one.
        """
        within = [point for point in self.points if budget_luts is None or point.luts <= budget_luts]
        if not within:
            least = self.points[0]
            raise QualityError(
                f"no point of the front has at most {budget_luts:,.0f} LUTs; the smallest one has {least.luts:,.0f}, at a "
                f"validation {self.measure} of {least.quality:.4f}; raise the budget, or train for more steps"
            )
        if quality_loss is None:
            return self._fast_enough(within[::-1], latency_ns, latency_of)
        needed = self.reference - quality_loss / 100
        good = [point for point in within if point.quality >= needed - 1e-9]
        if not good:
            raise QualityError(
                f"no point of the front{'' if budget_luts is None else f' with at most {budget_luts:,.0f} LUTs'} keeps a "
                f"validation {self.measure} of {needed:.4f} ({quality_loss:g} % below the float student's); the best has "
                f"{within[-1].quality:.4f} at {within[-1].luts:,.0f} LUTs; allow more loss, train longer or take a larger "
                "student"
            )
        return self._fast_enough(good, latency_ns, latency_of)

    def _fast_enough(
        self, wanted: Sequence[Point], latency_ns: float | None, latency_of: Callable[[Point], float] | None
    ) -> Point:
        """The first point of an order of preference that is fast enough."""
        if latency_ns is None or latency_of is None:
            return wanted[0]
        found: dict[int, float] = {}
        first, end = 0, len(wanted)
        if wanted[0].luts > wanted[-1].luts:  # the first fast one of ever smaller points
            while first < end - 1:
                middle = (first + end - 1) // 2
                found[middle] = latency_of(wanted[middle])
                if found[middle] <= latency_ns:
                    end = middle + 1
                else:
                    first = middle + 1
        for number in range(first, len(wanted)):
            if number not in found:
                found[number] = latency_of(wanted[number])
            if found[number] <= latency_ns:
                return wanted[number]
        fastest = min(found, key=lambda number: found[number])
        raise QualityError(
            f"no point of the front that meets the rest has a latency of at most {latency_ns:g} ns; the fastest of those "
            f"tried has {found[fastest]:g} ns, at {wanted[fastest].luts:,.0f} LUTs; allow more latency, take a faster clock "
            "or a student of fewer layers"
        )

    def save(self, folder: str | Path) -> None:
        """Write the snapshots, a table as JSON and CSV, and a picture."""
        folder = Path(folder)
        arrays = {
            f"{number}|{name}": values
            for number, point in enumerate(self.points)
            for name, values in point.snapshot.items()
        }
        write_arrays(folder / ARRAYS, arrays)
        rows = [point.row for point in self.points]
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(folder / CSV, text.getvalue())
        draw(folder / PICTURE, self.points, self.measure, self.reference)
        # last: it says that the others are whole
        write_json(
            folder / TABLE,
            {"measure": self.measure, "reference": self.reference, "key": self.key, "points": rows},
        )

    @classmethod
    def load(cls, folder: str | Path) -> Front:
        """Read what `save` wrote; `StaleProjectError` if it is not there or damaged."""
        folder = Path(folder)
        if not (folder / TABLE).is_file():
            raise StaleProjectError(
                f"{folder.parent} is a run without a front; run a design with quantization.method: learned, and give its folder"
                if is_run(folder.parent)
                else mistaken(
                    folder.parent,
                    "run's folder",
                    RUN,
                    "codesign run DESIGN --budget-luts N makes one with a front",
                )
            )
        try:
            table = read_json(folder / TABLE)
            snapshots: dict[int, dict[str, np.ndarray]] = {}
            with np.load(folder / ARRAYS, allow_pickle=False) as kept:
                for name in kept.files:
                    number, key = name.split("|")
                    snapshots.setdefault(int(number), {})[key] = kept[name]
            points = tuple(
                Point(
                    row["validation_quality"],
                    row["luts"],
                    row["epoch"],
                    snapshots[number],
                    row["test_quality"],
                )
                for number, row in enumerate(table["points"])
            )
            return cls(points, table["reference"], table["measure"], table["key"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StaleProjectError(
                f"the front in {folder} is damaged ({type(error).__name__}: {error}); remove it and train again"
            ) from error


def draw(path: str | Path, points: Sequence[Point], measure: str, reference: float | None = None) -> Path:
    """Write a picture of a front, finished or on the way.

    Parameters
    ----------
    path
        A `.png`, replaced whole.
    points
        Cheapest first; test qualities are shown where they are known.
    measure
        The quality's name.
    reference
        The float student's quality, a line.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.step(
        [p.luts for p in points], [p.quality for p in points], where="post", marker=".", label="validation"
    )
    tested = [p for p in points if p.test_quality is not None]
    if tested:
        axes.plot([p.luts for p in tested], [p.test_quality or 0.0 for p in tested], ".", label="test")
    if reference is not None:
        axes.axhline(reference, color="grey", lw=0.8, ls="--", label="float student, validation")
    axes.set_xscale("log")
    axes.set_xlabel("LUTs, estimated" + (" by alkaid" if tested else " on the way"))
    axes.set_ylabel(measure)
    axes.legend()
    axes.grid(alpha=0.3)
    return write_with(path, lambda temporary: figure.savefig(temporary, dpi=120))
