"""Does distillation pay, does pruning, and what is left of it in LUTs: the tables and the plot of a grid of students.

    codesign search run studies/compression/tiny.yaml --set data.source=pendigits.npz --output runs/compression-tiny
    python -m studies.compression.report runs/compression-tiny --name pendigits-tiny

The grids beside this file: `tiny.yaml` has teachers and pruning, `jets.yaml` pruning inside quantization with 6 bits everywhere
(arXiv:2102.11289), `methods.yaml` ways to prune. Choices are made on the validation part, accuracies are of the test part.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.special import stdtrit

from codesign.core.files import write_text, write_with
from codesign.core.quality import background_rejection, macro_auc
from codesign.networks.logits import predict_logits
from codesign.search.objectives import measure
from codesign.search.results import read_found
from studies.runs import Run, left_out, report_command, runs_of

Row = Mapping[str, Any]
Key = tuple[str, str, float, str]
"""What a row is of: teacher, precision, sparsity, way to prune."""

LABELS, ONE, ENSEMBLE, SPECIALISTS = "labels alone", "one teacher", "ensemble", "specialists"
FLOAT, SCANNED = "float", "scanned"

TEST_TO_TRAIN = 1 / 3
"""Of the sizes of the test and training parts of every split."""

_COLOURS = {LABELS: "C7", ONE: "C0", ENSEMBLE: "C1", SPECIALISTS: "C2"}
_MARKS = {0.0: "o", 0.5: "s", 0.8: "^", 0.9: "v"}


def write_results(folder: Path, name: str) -> str:
    """Write the table of a search as Markdown and the plot as PNG; the text is returned."""
    found = read_found(folder)
    runs = runs_of(found)
    groups = grouped(row for run in runs for row in rows_of(run))
    proofs = Counter(proof.state for proof in found.ledger.proofs.values())
    lines = [f"# {name}", "", table(groups), "", *findings(groups, runs)]
    if proofs:
        lines.append(
            f"- the logic of {proofs.total()} designs against their students, bit for bit: {proofs['refuted']} differ"
        )
    lines += [f"- left out: {line.params}: {line.reason.splitlines()[0]}" for line in left_out(found)]
    text = "\n".join(lines) + "\n"
    write_text(folder / "report.md", text)
    figure = draw(groups, name)
    write_with(folder / "report.png", lambda path: figure.savefig(path, dpi=110))
    return text


def teacher_of(run: Run) -> str:
    """What tables call the teacher of a run."""
    settings = run.context.settings
    if settings.distillation.alpha == 1.0:
        return LABELS
    return ONE if settings.teacher.kind == "single" else str(settings.teacher.kind)


def way_of(params: Mapping[str, Any]) -> str:
    """How a trial is pruned, in what the search varies of it."""
    words = [params[f"pruning.{name}"] for name in ("method", "scope") if f"pruning.{name}" in params]
    words += ["L1"] if params.get("pruning.l1") else []
    words += ["rewound"] if params.get("pruning.rewind", "none") != "none" else []
    words += ["in quantization"] if params.get("pruning.inside") == "quantization" else []
    return ", ".join(words)


def rows_of(run: Run) -> Iterator[Row]:
    """The student of a run as it was quantized and, where it was pruned before, its float one."""
    context, settings = run.context, run.context.settings
    sparsity = settings.pruning.sparsity
    key = {
        "teacher": teacher_of(run),
        "sparsity": sparsity,
        "method": way_of(run.params) if sparsity else "",
        "seed": run.seed,
    }
    if settings.pruning.inside == FLOAT or not sparsity:
        yield {**key, "precision": FLOAT, **_quality(run, "pruning", context.value("pruning").network)}
    one_width = settings.scan.least_bits == settings.scan.most_bits
    built = context.value("quantization").hardware()[0]
    hardware = {name: run.metric("rtl", name) for name in ("lut", "ff", "latency_ns")}
    yield {
        **key,
        "precision": f"{settings.scan.most_bits} bits" if one_width else SCANNED,
        **_quality(run, "quantization", built),
        "average_weight_bits": run.metric("quantization", "average_weight_bits"),
        "estimated_luts": measure(context.folder, ("luts",))["luts"],
        # of the seed that is proved
        **{name: value for name, value in hardware.items() if value is not None},
    }


def _quality(run: Run, stage: str, built: Any) -> dict[str, Any]:
    data = run.context.dataset
    logits = predict_logits(run.context.value(stage).model(), data.x_test)
    return {
        "validation": run.metric(stage, "validation_accuracy"),
        "test": run.metric(stage, "test_accuracy"),
        "auc": macro_auc(data.y_test, logits),
        "rejection": background_rejection(data.y_test, logits),
        "bops": run.metric(stage, "bops"),
        "removed": built.weights_removed(run.context.value("student").network),
    }


def grouped(rows: Iterable[Row]) -> dict[Key, list[Row]]:
    """The rows of each kind of student, one a seed; what is not pruned is the same whatever the way."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        key = (row["teacher"], row["precision"], row["sparsity"], row["method"])
        if all(other["seed"] != row["seed"] for other in groups.setdefault(key, [])):
            groups[key].append(row)
    return groups


def table(groups: Mapping[Key, Sequence[Row]]) -> str:
    """Mean and standard deviation over seeds, on the test part."""
    heads = (
        "teacher", "bits", "pruned", "seeds", "weights removed", "accuracy (%)", "AUC", "background rejection",
        "BOPs", "mean weight bits", "LUT, estimated", "LUT", "FF", "latency (ns)",
    )  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * 3 + " ---: |" * (len(heads) - 3)]
    for (teacher, precision, sparsity, method), rows in groups.items():
        cells = (
            teacher,
            precision,
            amount(sparsity, method),
            str(len(rows)),
            _mean(rows, "removed", "{:.0%}"),
            _spread(rows, "test", "{:.2f}", 100),
            _spread(rows, "auc", "{:.4f}"),
            _spread(rows, "rejection", "{:.1f}"),
            *(
                _mean(rows, name, form)
                for name, form in (
                    ("bops", "{:,.0f}"),
                    ("average_weight_bits", "{:.2f}"),
                    ("estimated_luts", "{:,.0f}"),
                    ("lut", "{:,.0f}"),
                    ("ff", "{:,.0f}"),
                    ("latency_ns", "{:.1f}"),
                )
            ),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def amount(sparsity: float, method: str) -> str:
    """How much is removed, and how if not as the design has it."""
    return f"{sparsity:.0%} ({method})" if method else f"{sparsity:.0%}"


def findings(groups: Mapping[Key, Sequence[Row]], runs: Sequence[Run]) -> list[str]:
    """What the grid says of distillation, ensembles, pruning and its savings: paired differences over seeds."""
    lines = [
        "Differences are of the same seeds, mean ± standard error; the intervals hold 95 %, corrected for training parts that "
        "overlap (Nadeau and Bengio, Machine Learning 52, 2003).",
        "",
    ]
    lines += _distillation(groups)
    lines += _teachers(groups, runs)
    lines += _chosen(runs)
    lines += _bit_operations(groups)
    lines += _pruning(groups)
    return lines


def _distillation(groups: Mapping[Key, Sequence[Row]]) -> list[str]:
    lines = []
    for (teacher, precision, sparsity, method), rows in groups.items():
        plain = groups.get((LABELS, precision, sparsity, method))
        if plain is None or teacher == LABELS or (sparsity > 0 and teacher != ONE):
            continue
        gain = paired(rows, plain)
        what = f"{amount(sparsity, method)} pruned" if sparsity else "dense"
        lines.append(
            f"- {teacher} against labels alone, {what}, {precision}: {gain.points}: {gain.verdict} "
            f"({gain.interval}); AUC {paired(rows, plain, 'auc')}"
        )
    return lines


def _teachers(groups: Mapping[Key, Sequence[Row]], runs: Sequence[Run]) -> list[str]:
    lines = []
    for kind in (ONE, ENSEMBLE, SPECIALISTS):
        values = {run.seed: run.metric("teacher", "test_accuracy") for run in runs if teacher_of(run) == kind}
        if len(values) > 1:
            lines.append(
                f"- as a classifier, the teacher {kind!r} has {100 * mean(values.values()):.2f} ± "
                f"{100 * stdev(values.values()):.2f} % (standard deviation)"
            )
    for precision in dict.fromkeys(key[1] for key in groups):
        one, many = groups.get((ONE, precision, 0.0, "")), groups.get((ENSEMBLE, precision, 0.0, ""))
        if one and many:
            gain = paired(many, one)
            lines.append(
                f"- the ensemble as a teacher against one, dense, {precision}: {gain.points} "
                f"({gain.interval}); AUC {paired(many, one, 'auc')}"
            )
    return lines


def _chosen(runs: Sequence[Run]) -> list[str]:
    """Temperature and alpha that the validation parts chose, with how many seeds chose them."""
    found: dict[str, dict[int, tuple[float, float]]] = {}
    for run in runs:
        chosen = run.metric("student", "distillation")
        if run.metric("student", "search") is not None:
            found.setdefault(teacher_of(run), {})[run.seed] = (chosen["temperature"], chosen["alpha"])
    lines = []
    for teacher, pairs in found.items():
        told = ", ".join(
            f"T = {t:g} and alpha = {alpha:g} ({n})"
            for (t, alpha), n in Counter(pairs.values()).most_common()
        )
        lines.append(f"- chosen for {teacher} (seeds): {told}")
    return lines


def _bit_operations(groups: Mapping[Key, Sequence[Row]]) -> list[str]:
    """Quantization-aware pruning against the dense float network (arXiv:2102.11289)."""
    lines = []
    for (teacher, precision, sparsity, method), rows in groups.items():
        dense = groups.get((teacher, FLOAT, 0.0, ""))
        if dense is None or not precision.endswith(" bits"):
            continue
        ratio = mean(row["bops"] for row in dense) / mean(row["bops"] for row in rows)
        lines.append(
            f"- {teacher}, {precision}, {amount(sparsity, method)} pruned: {ratio:.1f} times fewer BOPs "
            f"than 32 bits dense; AUC {paired(rows, dense, 'auc')}"
        )
    return lines


def _pruning(groups: Mapping[Key, Sequence[Row]]) -> list[str]:
    lines = []
    for (teacher, precision, sparsity, method), rows in groups.items():
        dense = groups.get((teacher, precision, 0.0, ""))
        if dense is None or sparsity == 0 or precision == FLOAT:
            continue
        saved = " and ".join(
            text
            for text in (
                _saved(rows, dense, "estimated_luts", "estimated"),
                _saved(rows, dense, "lut", "Yosys"),
            )
            if text
        )
        lines.append(
            f"- {teacher}, {precision}, {amount(sparsity, method)} pruned: LUTs saved {saved}; "
            f"accuracy {paired(rows, dense).points}"
        )
    return lines


def _saved(rows: Sequence[Row], dense: Sequence[Row], name: str, source: str) -> str:
    both = [(row[name], other[name]) for row, other in _pairs(rows, dense) if name in row and name in other]
    if not both:
        return ""
    saved = 1 - sum(row for row, _ in both) / sum(other for _, other in both)
    return f"{saved:.0%} ({source}, {len(both)} seed{'s' if len(both) > 1 else ''})"


@dataclass(frozen=True)
class Difference:
    """Of two cells over the seeds that both have.

    Parameters
    ----------
    mean
        Of the differences.
    error
        Its standard error; NaN for fewer than two seeds.
    n
        How many seeds.
    """

    mean: float
    error: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ± {self.error:.4f}"

    @property
    def points(self) -> str:
        """As percentage points."""
        return f"{100 * self.mean:+.2f} ± {100 * self.error:.2f} points"

    @property
    def verdict(self) -> str:
        """Which way it goes, if it is larger than its standard error; one seed has none."""
        if self.n < 2:
            return "of no known error"
        if abs(self.mean) <= self.error:
            return "within its standard error"
        return f"a {'gain' if self.mean > 0 else 'loss'} beyond its standard error"

    @property
    def interval(self) -> str:
        """The corrected resampled t-interval of 95 %, in points: the variance grows by `n_test / n_train`."""
        if self.n < 2:
            return "one seed"
        spread = self.error * self.n**0.5
        half = float(stdtrit(self.n - 1, 0.975)) * spread * (1 / self.n + TEST_TO_TRAIN) ** 0.5
        return f"{100 * (self.mean - half):+.2f} to {100 * (self.mean + half):+.2f}"


def paired(rows: Sequence[Row], others: Sequence[Row], name: str = "test") -> Difference:
    """The mean difference of the seeds that both have, and its standard error."""
    differences = [row[name] - other[name] for row, other in _pairs(rows, others)]
    n = len(differences)
    error = stdev(differences) / n**0.5 if n > 1 else nan
    return Difference(mean(differences) if n else nan, error, n)


def _pairs(rows: Sequence[Row], others: Sequence[Row]) -> list[tuple[Row, Row]]:
    by_seed = {other["seed"]: other for other in others}
    return [(row, by_seed[row["seed"]]) for row in rows if row["seed"] in by_seed]


def _spread(rows: Sequence[Row], name: str, form: str, factor: float = 1) -> str:
    values = [factor * row[name] for row in rows]
    spread = form.format(stdev(values)) if len(values) > 1 else "?"
    return f"{form.format(mean(values))} ± {spread}"


def _mean(rows: Sequence[Row], name: str, form: str) -> str:
    values = [row[name] for row in rows if name in row]
    return form.format(mean(values)) if values else ""


def draw(groups: Mapping[Key, Sequence[Row]], name: str) -> Any:
    """Accuracy against what is left, and against LUTs: a line for each teacher, or each method if there are several."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    counted = all("lut" in row for key, rows in groups.items() if key[1] != FLOAT for row in rows)
    column = "lut" if counted else "estimated_luts"
    lines = _lines(groups)
    methods = list(dict.fromkeys(method for _, _, method in lines))
    several = len(methods) > 1
    for index, ((teacher, precision, method), cells) in enumerate(lines.items()):
        colour = f"C{methods.index(method)}" if several else _COLOURS[teacher]
        means = [100 * mean(row["test"] for row in rows) for _, rows in cells]
        spreads = [100 * stdev(row["test"] for row in rows) if len(rows) > 1 else 0 for _, rows in cells]
        shift = 2 * index / len(lines) - 1
        left.errorbar(
            [100 * mean(row["removed"] for row in rows) + shift for _, rows in cells],
            means,
            spreads,
            marker="o",
            label=f"{teacher}, {precision}" + (f", {method}" if several else ""),
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


if __name__ == "__main__":
    sys.exit(report_command("studies.compression.report", __doc__, write_results))
