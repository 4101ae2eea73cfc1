"""The plot of `compression_study.py`: accuracy against what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from compression_study_cells import FLOAT, METHODS, NAMES, Key, Row

_COLOURS = {"scratch": "C7", "kd": "C0", "ensemble": "C1", "specialists": "C2"}
_MARKS = {0.0: "o", 0.5: "s", 0.8: "^", 0.9: "v"}


def draw(groups: Mapping[Key, Sequence[Row]], name: str) -> Any:
    """Accuracy against what is left, and against LUTs: a line for each teacher, or each method if there are several."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    counted = all("lut" in row for key, rows in groups.items() if key[1] != FLOAT for row in rows)
    column = "lut" if counted else "estimated_luts"
    lines = _lines(groups)
    several = len({method for _, _, method in lines}) > 1
    for index, ((teacher, precision, method), cells) in enumerate(lines.items()):
        colour = f"C{list(METHODS).index(method)}" if several else _COLOURS[teacher]
        means = [100 * mean(row["test"] for row in rows) for _, rows in cells]
        spreads = [100 * stdev(row["test"] for row in rows) if len(rows) > 1 else 0 for _, rows in cells]
        shift = 2 * index / len(lines) - 1
        left.errorbar(
            [100 * mean(row["removed"] for row in rows) + shift for _, rows in cells],
            means,
            spreads,
            marker="o",
            label=f"{NAMES[teacher]}, {precision}" + (f", {method}" if several else ""),
            color=colour,
            linestyle=":" if precision == FLOAT else "-",
            capsize=2,
            markersize=4,
        )
        if precision != FLOAT:
            luts = [mean(row[column] for row in rows) for _, rows in cells]
            right.plot(luts, means, color=colour, linewidth=1)
            for lut, value, (sparsity, _) in zip(luts, means, cells, strict=True):
                right.plot(lut, value, _MARKS.get(sparsity, "D"), color=colour, markersize=6)
    right.set_xlabel("LUTs" + (" (Yosys)" if counted else " (estimated)"))
    left.set(
        xlabel="weights removed (%)", ylabel="test accuracy (%)", title=f"{name}: mean and spread over seeds"
    )
    right.set(xscale="log", title="quantized students: o dense, square 50 %, ^ 80 %, v 90 % pruned")
    right.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.xaxis.set_major_formatter("{x:,.0f}")
    right.xaxis.set_minor_formatter(NullFormatter())
    for axes in (left, right):
        axes.grid(alpha=0.3)
    left.legend(fontsize=7)
    return figure


def _lines(
    groups: Mapping[Key, Sequence[Row]],
) -> dict[tuple[str, str, str], list[tuple[float, Sequence[Row]]]]:
    """By teacher, precision and method: sparsities and rows. Every method begins at the dense student."""
    lines: dict[tuple[str, str, str], list[tuple[float, Sequence[Row]]]] = {}
    dense = {key[:2]: rows for key, rows in groups.items() if key[2] == 0}
    pruned = [key for key in groups if key[2] > 0] or list(groups)
    for teacher, precision, sparsity, method in pruned:
        line = lines.setdefault((teacher, precision, method), [])
        if not line and sparsity > 0 and (teacher, precision) in dense:
            line.append((0.0, dense[teacher, precision]))
        line.append((sparsity, groups[teacher, precision, sparsity, method]))
    return {key: sorted(line, key=lambda cell: cell[0]) for key, line in lines.items()}
