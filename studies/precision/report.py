"""Accuracy against bits: the tables and the plot of a search of `studies/precision/search.yaml`, and whether its claims hold.

    codesign search run studies/precision --set data.source=pendigits.npz --output runs/precision-pendigits
    python -m studies.precision.report runs/precision-pendigits --name pendigits

Every choice (which calibrator, which widths, which variant) is made on the validation part, accuracies of the test part are
only shown. Fixed-point rows are the uniform widths before the training; affine ones are computed here from the students.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from codesign.affine.ptq import affine_table
from codesign.core.files import write_text, write_with
from codesign.core.precision_map import PrecisionMap
from codesign.search.results import read_found
from studies.runs import Run, left_out, report_command, runs_of

Row = Mapping[str, Any]
Groups = Mapping[str, Mapping[Any, Sequence[Row]]]

ACCEPTED_LOSS = 0.005
"""Half a point."""

REFERENCE_BITS = 6
PTQ_BITS = (3, 4, 5, 6, 7, 8, 10, 12)
ANY_QUALITY = 0.99
"""The tolerance of the scan at which its widest format is taken as it is."""

_SHOWN_POINTS = 10
"""Below the float network's accuracy."""

UNIFORM = ("uniform QAT", "uniform QAT, clipped")
MAPPED = ("scanned QAT", "scanned QAT, clipped", "Hessian-aware QAT", "Hessian-aware QAT, clipped")

METHODS = ("float", "fixed-point PTQ", "affine PTQ", *UNIFORM, *MAPPED)

_VARIANT = {method: "tolerance" if "scanned" in method else "budget" for method in MAPPED}
_FORMS = {"tolerance": "tolerance {:g}", "budget": "budget {:.0%}", "bits": "{:g} bits"}
_COLOURS = {
    "fixed-point PTQ": "C0",
    "affine PTQ": "C1",
    "uniform QAT": "C2",
    "scanned QAT": "C3",
    "Hessian-aware QAT": "C4",
}


def write_results(folder: Path, name: str) -> str:
    """Write the table of a search as Markdown and the plot as PNG; the text is returned."""
    found = read_found(folder)
    runs = runs_of(found)
    groups = grouped([*student_rows(runs), *(row for run in runs for row in rows_of(run))])
    text = f"# {name}\n\n{table(groups)}\n{claims(groups)}"
    for line in left_out(found):
        method, variant = method_of(line.params)
        text += f"- {method}, {_named(method, variant)}: left out: {line.reason.splitlines()[0]}\n"
    write_text(folder / "report.md", text)
    figure = draw(groups, name)
    write_with(folder / "report.png", lambda path: figure.savefig(path, dpi=110))
    return text


def method_of(params: Mapping[str, Any]) -> tuple[str, Any]:
    """The method of a trial, and its variant: bits, tolerance or budget."""
    clipped = ", clipped" if params["scan.percentile"] < 100 else ""
    if params["scan.method"] == "hessian":
        return f"Hessian-aware QAT{clipped}", params["scan.budget"]
    if params["scan.tolerance"] == ANY_QUALITY:
        return f"uniform QAT{clipped}", params["scan.most_bits"]
    return f"scanned QAT{clipped}", params["scan.tolerance"]


def rows_of(run: Run) -> Iterator[Row]:
    """What a run says of its own method, and of the same formats before the training."""
    method, variant = method_of(run.params)
    precision = PrecisionMap.load(run.context.folder / "quantization" / "precision_map.json")
    bits = {
        "bits": run.metric("quantization", "average_weight_bits"),
        "activation_bits": precision.average_bits("result"),
    }
    yield {**_row(run, method, variant, "quantization"), **bits}
    if method == "uniform QAT":
        yield {**_row(run, "fixed-point PTQ", variant, "scan"), "bits": variant}


def _row(run: Run, method: str, variant: Any, stage: str) -> dict[str, Any]:
    parts = {part: run.metric(stage, f"{part}_accuracy") for part in ("validation", "test")}
    return {
        "method": method,
        "variant": variant,
        "seed": run.seed,
        "bops": run.metric(stage, "bops"),
        **parts,
    }


def student_rows(runs: Iterable[Run]) -> Iterator[Row]:
    """The float student of each seed, and with scales and zero points; of the calibrators the best on the validation part."""
    for seed, run in {run.seed: run for run in runs}.items():
        yield {**_row(run, "float", 32, "student"), "bits": 32}
        data, student = run.context.dataset, run.context.value("student")
        # at each width the calibrators in one order
        validation, test = (
            affine_table(
                student.network, data.calibration(2000), *data.part(part), PTQ_BITS, allow_constant=True
            )
            for part in ("validation", "test")
        )
        for bits in PTQ_BITS:
            pairs = [pair for pair in zip(validation, test, strict=True) if pair[0].width == bits]
            best, shown = max(pairs, key=lambda pair: pair[0].quality or 0.0)
            found = {"validation": best.quality, "test": shown.quality}
            yield {"method": "affine PTQ", "variant": bits, "seed": seed, "bits": bits, **found}


def grouped(rows: Iterable[Row]) -> Groups:
    """By method, in the order of the table, and by variant: a row for each seed."""
    groups: dict[str, dict[Any, list[Row]]] = {method: {} for method in METHODS}
    for row in rows:
        groups[row["method"]].setdefault(row["variant"], []).append(row)
    return groups


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
        if REFERENCE_BITS not in groups[method]:
            continue
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


def _named(method: str, variant: Any) -> str:
    return _FORMS[_VARIANT.get(method, "bits")].format(variant)


if __name__ == "__main__":
    sys.exit(report_command("studies.precision.report", __doc__, write_results))
