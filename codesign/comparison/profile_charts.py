"""The charts of values against formats: what a network's tensors hold, and how many digits its weights have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from codesign.comparison.figures import COLOURS, LINE, SOFT, Chart, Label, draw_shares, hint

_TENSORS = {"weight": COLOURS[0], "bias": COLOURS[2], "result": COLOURS[1]}


def profile_charts(rows: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Magnitudes against the ranges of their formats, and the digits of single weights.

    Parameters
    ----------
    rows
        As `codesign.emulation.profile.TensorProfile.to_dict` gives them.
    """
    filled = [row for row in rows if row["quantiles"]]
    weights = [row for row in rows if row["digits"]]
    charts = []
    if filled:
        caption = (
            "Grey: from the least significant bit to the largest magnitude of the format. Box: the middle half of the "
            "magnitudes that are not zero, line: 5 to 95 %, dot: the largest. Results on test samples."
        )
        charts.append(
            Chart(
                "Values against formats",
                caption,
                lambda axes: _ranges(axes, filled),
                height=max(3.2, 0.9 + 0.27 * len(filled)),
            )
        )
    if weights:
        charts.append(
            Chart(
                "Digits of single weights",
                "Significant binary digits, from the highest set bit to the lowest. 0: removed; 1: a power of two, a shift.",
                lambda axes: _digits(axes, weights),
                height=max(2.4, 1.1 + 0.3 * len(weights)),
            )
        )
    return charts


def front_chart(front: Mapping[str, Any]) -> Chart:
    """Quality against LUTs of every point that learned widths found, and the float student's quality.

    Parameters
    ----------
    front
        As the quantization wrote it: `measure`, `reference`, and `points` with `luts`, `validation_quality`, `test_quality`.
    """
    points, measure = front["points"], front["measure"]

    def draw(axes: Any) -> list[Label]:
        luts = [point["luts"] for point in points]
        axes.step(luts, [point["validation_quality"] for point in points], where="post", label="validation")
        for point in points:
            (dot,) = axes.plot(
                point["luts"], point["validation_quality"], "o", color=COLOURS[0], markersize=4
            )
            dot.set_gid(
                hint(f"{point['luts']:,.0f} LUTs: validation {measure} {point['validation_quality']:.4f}")
            )
        tested = [
            (point["luts"], point["test_quality"]) for point in points if point["test_quality"] is not None
        ]
        if tested:
            axes.plot(*zip(*tested, strict=True), ".", color=COLOURS[1], label="test")
        axes.axhline(front["reference"], color=SOFT, linestyle="--", label="float student, validation")
        axes.set(xlabel="LUTs, estimated by alkaid", ylabel=measure)
        axes.legend()
        return []

    caption = "The best point of each size that the training passed; any of them can be built without training again."
    return Chart("Quality against LUTs", caption, draw)


def _ranges(axes: Any, rows: Sequence[Mapping[str, Any]]) -> list[Label]:
    for place, row in enumerate(rows):
        low, high = math.log2(row["step"]), math.log2(row["largest"])
        (bar,) = axes.barh(place, high - low, left=low, height=0.82, color=LINE)
        bar.set_gid(hint(f"{row['layer']} {row['tensor']}: {row['precision']}"))
        _, least, lower, middle, upper, most, top = (math.log2(value) for value in row["quantiles"])
        colour = _TENSORS.get(row["tensor"], SOFT)
        axes.plot([least, most], [place, place], color=colour, linewidth=1.2)
        (box,) = axes.barh(place, max(upper - lower, 0.04), left=lower, height=0.46, color=colour)
        box.set_gid(
            hint(
                f"{row['layer']} {row['tensor']}: half of the magnitudes around {2**middle:.3g}, largest {2**top:.3g}, "
                f"{row['zeros']:.0%} zeros"
            )
        )
        axes.plot(top, place, "o", color=colour, markersize=3.5)
    axes.set_yticks(range(len(rows)), [f"{row['layer']} {row['tensor']}" for row in rows])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("magnitude, power of two")
    return []


def _digits(axes: Any, rows: Sequence[Mapping[str, Any]]) -> list[Label]:
    most = max(len(row["digits"]) for row in rows)
    shares = np.zeros((len(rows), most))
    for place, row in enumerate(rows):
        shares[place, : len(row["digits"])] = np.array(row["digits"]) / max(1, sum(row["digits"]))
    words = {}
    for place, row in enumerate(rows):
        for number, count in enumerate(row["digits"]):
            if count:
                about = f"{row['layer']}: {count:,} weights of {number} digits"
                words[place, number] = f"{shares[place, number]:.0%}", about
    draw_shares(axes, shares, words)
    axes.set_yticks(np.arange(len(rows)) + 0.5, [row["layer"] for row in rows])
    axes.set_xticks(np.arange(most) + 0.5, [str(number) for number in range(most)])
    axes.set_xlabel("significant digits")
    return []
