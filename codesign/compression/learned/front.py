"""The front of a training: the points of quality and LUTs that no cheaper point beats."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from codesign.core.files import read_json, write_arrays, write_json, write_text, write_with
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
class Point:
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
class Front:
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

    def choose(self, budget_luts: float | None = None, quality_loss: float | None = None) -> Point:
        """The best point within a budget; the cheapest that loses at most so much; or, of neither, the best.

        Parameters
        ----------
        budget_luts
            The most LUTs, estimated by alkaid.
        quality_loss
            Percent of quality below the float student's. With a budget too, the cheapest point that meets both.

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
                f"validation {self.measure} of {least.quality:.4f}; raise the budget"
            )
        if quality_loss is None:
            return within[-1]
        needed = self.reference - quality_loss / 100
        good = [point for point in within if point.quality >= needed - 1e-9]
        if not good:
            raise QualityError(
                f"no point of the front{'' if budget_luts is None else f' with at most {budget_luts:,.0f} LUTs'} keeps a "
                f"validation {self.measure} of {needed:.4f} ({quality_loss:g} % below the float student's); the best has "
                f"{within[-1].quality:.4f} at {within[-1].luts:,.0f} LUTs; allow more loss, train longer or take a larger "
                "student"
            )
        return good[0]

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
        write_with(folder / PICTURE, self._draw)
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
                f"{folder} holds no front; run a design with quantization.method: learned, and give its folder"
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

    def _draw(self, path: Path) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        luts = [point.luts for point in self.points]
        axes.step(luts, [point.quality for point in self.points], where="post", label="validation")
        axes.plot(luts, [point.test_quality or 0.0 for point in self.points], ".", label="test")
        axes.axhline(self.reference, color="grey", lw=0.8, ls="--", label="float student, validation")
        axes.set_xscale("log")
        axes.set_xlabel("LUTs, estimated by alkaid")
        axes.set_ylabel(self.measure)
        axes.legend()
        axes.grid(alpha=0.3)
        figure.savefig(path, dpi=120)
