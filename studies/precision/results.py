"""The table and the plot of this study, and whether its claims hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from codesign.core.files import write_text, write_with

Row = Mapping[str, Any]
Groups = Mapping[str, Mapping[Any, Sequence[Row]]]

ACCEPTED_LOSS = 0.005
"""Half a point."""

REFERENCE_BITS = 6
_SHOWN_POINTS = 10
"""Below the float network's accuracy."""

UNIFORM = ("uniform QAT", "uniform QAT, clipped")
MAPPED = ("scanned QAT", "scanned QAT, clipped", "Hessian-aware QAT", "Hessian-aware QAT, clipped")

_VARIANT = {method: "tolerance" if "scanned" in method else "budget" for method in MAPPED}
_FORMS = {"tolerance": "tolerance {:g}", "budget": "budget {:.0%}", "bits": "{:g} bits"}
_COLOURS = {
    "fixed-point PTQ": "C0",
    "affine PTQ": "C1",
    "uniform QAT": "C2",
    "scanned QAT": "C3",
    "Hessian-aware QAT": "C4",
}


def write_results(rows: Sequence[Row], name: str, folder: Path) -> str:
    """Write the table as Markdown and the plot as PNG; the text is returned."""
    groups = grouped(rows)
    text = f"# {name}\n\n{table(groups)}\n{claims(groups)}{failures(rows)}"
    write_text(folder / f"{name}.md", text)
    figure = draw(groups, name)
    write_with(folder / f"{name}.png", lambda path: figure.savefig(path, dpi=110))
    return text


def grouped(rows: Sequence[Row]) -> Groups:
    """By method and variant (bits, tolerance or budget), a row for each seed; only what succeeded for all seeds."""
    groups: dict[str, dict[Any, list[Row]]] = {}
    for row in rows:
        groups.setdefault(row["method"], {}).setdefault(_variant(row), []).append(row)
    return {
        method: {
            variant: rows for variant, rows in variants.items() if not any("failed" in row for row in rows)
        }
        for method, variants in groups.items()
    }


def failures(rows: Sequence[Row]) -> str:
    """For how many seeds a variant found no map."""
    counted = Counter((row["method"], _variant(row)) for row in rows if "failed" in row)
    seeds = len({row["seed"] for row in rows})
    return "".join(
        f"- {method}, {_named(method, variant)}: left out, no map for {count} of {seeds} seeds\n"
        for (method, variant), count in counted.items()
    )


def table(groups: Groups) -> str:
    """Mean and standard deviation over seeds of test accuracy, and what it costs."""
    lines = [
        "| method | variant | bits of weights / results | BOPs | test accuracy (%) | validation (%) |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for method, variants in groups.items():
        for variant, rows in variants.items():
            bops = f"{mean(row['bops'] for row in rows):,.0f}" if "bops" in rows[0] else ""
            cells = (
                method,
                _named(method, variant),
                _bits(rows),
                bops,
                _spread(rows),
                _spread(rows, "validation"),
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def claims(groups: Groups) -> str:
    """Uniform QAT at 6 bits; the cheapest map of each method; the bits that PTQ needs: chosen on validation."""
    lines = ["", "Within half a point of the float student:", ""]
    for method in UNIFORM:
        loss = 100 * (_mean(groups["float"][32]) - _mean(groups[method][REFERENCE_BITS]))
        holds = "holds" if loss <= 100 * ACCEPTED_LOSS else "FAILS"
        lines.append(f"- {method} at {REFERENCE_BITS} bits loses {loss:.2f} points on the test part: {holds}")
    floor = _mean(groups["float"][32], "validation") - ACCEPTED_LOSS
    found = {
        method: variant
        for method in (*UNIFORM, *MAPPED)
        if (variant := _cheapest(groups[method], floor, _bops)) is not None
    }
    best = {method: _bops(groups[method][variant]) for method, variant in found.items()}
    for method in (*UNIFORM, *MAPPED):
        if method not in found:
            lines.append(f"- {method}: no variant is, on the validation part")
            continue
        rows = groups[method][found[method]]
        against = [f"{best[method] / best[other]:.2f} of {other}'s" for other in UNIFORM if other in best]
        ratios = ", " + " and ".join(against) if method in MAPPED and against else ""
        lines.append(
            f"- {method}: cheapest on the validation part is {_named(method, found[method])}, {best[method]:,.0f} "
            f"BOPs{ratios}; test {_spread(rows)} %"
        )
    for method in ("fixed-point PTQ", "affine PTQ"):
        bits = _cheapest(groups[method], floor, lambda rows: rows[0]["bits"])
        lines.append(f"- {method} needs " + ("more bits than were tried" if bits is None else f"{bits} bits"))
    return "\n".join(lines) + "\n"


def draw(groups: Groups, name: str) -> Any:
    """Accuracy against bits of the weights, and against BOPs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    reference = 100 * _mean(groups["float"][32])
    for axes in (left, right):
        axes.axhline(reference, color="black", linestyle="--", linewidth=1, label="float")
        axes.axhspan(reference - 100 * ACCEPTED_LOSS, reference, color="black", alpha=0.08)
        axes.grid(alpha=0.3)
    lowest = reference
    for method in groups:
        if method == "float" or not groups[method]:
            continue
        variants = sorted(groups[method].values(), key=lambda rows: mean(row["bits"] for row in rows))
        values = [100 * _mean(rows) for rows in variants]
        spreads = [100 * stdev(row["test"] for row in rows) for rows in variants]
        clipped = method.endswith(", clipped")
        style = {
            "color": _COLOURS[method.removesuffix(", clipped")],
            "marker": "s" if clipped else "o",
            "linestyle": "--" if clipped else "-",
            "capsize": 2,
            "markersize": 4,
            "label": method,
        }
        left.errorbar([mean(row["bits"] for row in rows) for rows in variants], values, spreads, **style)
        if "bops" in variants[0][0]:
            right.errorbar([mean(row["bops"] for row in rows) for rows in variants], values, spreads, **style)
        if "QAT" in method:
            lowest = min(lowest, *values)
    left.set(
        xlabel="bits (mean over layers of weights)",
        ylabel="test accuracy (%)",
        title=f"{name}: accuracy against bits",
    )
    left.set_ylim(max(lowest - 2, reference - _SHOWN_POINTS), reference + 1.5)
    right.set(xlabel="BOPs of one sample", xscale="log", title="accuracy against cost (grey: half a point)")
    left.legend(fontsize=8)
    return figure


def _cheapest(
    variants: Mapping[Any, Sequence[Row]], floor: float, cost: Callable[[Sequence[Row]], float]
) -> Any:
    good = [variant for variant, rows in variants.items() if _mean(rows, "validation") >= floor]
    return min(good, key=lambda variant: cost(variants[variant]), default=None)


def _bops(rows: Sequence[Row]) -> float:
    return mean(row["bops"] for row in rows)


def _mean(rows: Sequence[Row], part: str = "test") -> float:
    # a network whose accumulators overflow int32 has no accuracy
    return mean(row[part] or 0.0 for row in rows)


def _spread(rows: Sequence[Row], part: str = "test") -> str:
    return f"{100 * _mean(rows, part):.2f} ± {100 * stdev(row[part] or 0.0 for row in rows):.2f}"


def _bits(rows: Sequence[Row]) -> str:
    weights = f"{mean(row['bits'] for row in rows):.3g}"
    return weights + (
        f" / {mean(row['activation_bits'] for row in rows):.3g}" if "activation_bits" in rows[0] else ""
    )


def _variant(row: Row) -> Any:
    return row[_VARIANT.get(row["method"], "bits")]


def _named(method: str, variant: Any) -> str:
    return _FORMS[_VARIANT.get(method, "bits")].format(variant)
