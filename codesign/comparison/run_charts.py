"""The charts of one run: training, quality by stage, single test samples, the bit-width scan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.comparison.figures import (
    BAD,
    COLOURS,
    GOOD,
    INK,
    SOFT,
    Chart,
    Label,
    chart_figure,
    draw_shares,
    hint,
    pareto_front,
    save,
    short_ticks,
)
from codesign.core.files import read_json, write_with
from codesign.core.quality import predicted_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TRAINED = ("teacher", "student", "pruning", "quantization")
_MOST_CLASSES = 12
"""More classes have no curves, and more outputs no points, of their own."""

_MOST_POINTS = 300
"""Of a curve; a page must not grow with the test part."""


def plot_run(folder: str | Path) -> tuple[Path, ...]:
    """Draw every picture that a run's files allow into its ``plots`` folder.

    Parameters
    ----------
    folder
        A run's folder.

    Returns
    -------
    tuple of Path
        The PNG files.
    """
    folder = Path(folder)
    plots = folder / "plots"
    drawn = []
    histories = read_histories(folder)
    if histories:
        drawn.append(_write(plots / "training.png", chart_figure(training_charts(histories))))
    if (folder / "scan" / "scan.json").is_file():
        tolerance = read_json(folder / "run.json")["settings"]["scan"]["tolerance"]
        drawn.append(plot_scan(folder / "scan", tolerance, plots / "scan.png"))
    return tuple(drawn)


def plot_scan(folder: str | Path, tolerance: float, path: str | Path) -> Path:
    """Draw the scan that a folder holds (`scan.json`) into a PNG file; see `scan_charts`."""
    scan = read_json(Path(folder) / "scan.json")
    return _write(
        Path(path), scan_figure(scan["trials"], scan["float_quality"], tolerance, scan.get("affine", ()))
    )


def scan_figure(
    trials: Sequence[Mapping[str, Any]],
    float_quality: float,
    tolerance: float,
    affine: Sequence[Mapping[str, Any]] = (),
) -> Figure:
    """The charts of a scan side by side; see `scan_charts`."""
    return chart_figure(scan_charts(trials, float_quality, tolerance, affine)[:2])


def _write(path: Path, figure: Figure) -> Path:
    return write_with(path, lambda temporary: save(figure, temporary))


def read_histories(folder: Path) -> dict[str, dict[str, Any]]:
    """The training histories of a run's stages, by stage."""
    paths = {stage: folder / stage / "history.json" for stage in _TRAINED}
    return {stage: read_json(path) for stage, path in paths.items() if path.is_file()}


def training_charts(histories: Mapping[str, Mapping[str, Any]]) -> tuple[Chart, Chart]:
    """Validation quality and training loss against epochs, the stages one over another.

    Parameters
    ----------
    histories
        By stage: `loss`, `validation_accuracy` (one value an epoch) and `best_epoch`.
    """

    def draw(axes: Any, name: str, title: str) -> list[Label]:
        for index, (stage, history) in enumerate(histories.items()):
            values = history.get(name) or []
            axes.plot(range(1, len(values) + 1), values, color=COLOURS[index], label=stage)
            best = history["best_epoch"]
            if best < len(values):
                axes.plot(best + 1, values[best], "o", color=COLOURS[index])
        axes.set(xlabel="epoch", ylabel=title)
        axes.legend()
        return []

    names = (name for history in histories.values() for name in history)
    quality = next(
        (name for name in names if name.startswith("validation_") and name != "validation_loss"),
        "validation_accuracy",
    )

    def loss(axes: Any) -> list[Label]:
        axes.set_yscale("log")
        short_ticks(axes.yaxis, is_log=True)
        return draw(axes, "loss", "training loss")

    words = quality.replace("_", " ")
    return (
        Chart(
            "Quality while training", "Dot: the epoch that was kept.", lambda axes: draw(axes, quality, words)
        ),
        Chart("Loss while training", "Each stage has a loss of its own; dot: the epoch that was kept.", loss),
    )


def stage_chart(
    stages: Sequence[str], values: Sequence[float], errors: Sequence[float | None], title: str, unit: str
) -> Chart:
    """A quality by stage, with its error.

    Parameters
    ----------
    stages, values, errors
        As many; an error is the half width of a 95 % interval, or ``None``.
    title, unit
        What it shows, and the words at its axis.
    """

    def draw(axes: Any) -> list[Label]:
        for place, (stage, value, error) in enumerate(zip(stages, values, errors, strict=True)):
            if error is not None:  # a fraction ends at 1
                bars = [[error], [min(error, max(0.0, 1.0 - value))]]
                axes.errorbar(place, value, yerr=bars, color=SOFT, capsize=4, linewidth=1.2)
            (dot,) = axes.plot(place, value, "o", color=COLOURS[0], markersize=8)
            dot.set_gid(hint(f"{stage}: {value:.4f}" + ("" if error is None else f" ± {error:.4f}")))
        axes.set_xticks(range(len(stages)), stages)
        axes.margins(x=0.1)
        axes.set_ylabel(unit)
        return []

    return Chart(title, "Bars: 95 % intervals by the number of samples.", draw, height=3.2)


def scan_charts(
    trials: Sequence[Mapping[str, Any]],
    float_quality: float,
    tolerance: float,
    affine: Sequence[Mapping[str, Any]] = (),
    cost: str = "cost",
) -> list[Chart]:
    """The curve of quality against bits with its knee; what single tensors lose, or maps within budgets; the front.

    Parameters
    ----------
    trials
        Rows of the scan: `phase`, `layer`, `tensor`, `bits`, `quality`, `cost`, `accepted`, `start`.
    float_quality
        The quality without quantization.
    tolerance
        The accepted loss of quality.
    affine
        Rows with scales and zero points: `width`, `quality` (``None`` if an accumulator overflowed).
    cost
        What costs are counted in.
    """
    uniform = [trial for trial in trials if trial["phase"] == "uniform"]
    layers = _leading([trial for trial in trials if trial["phase"] == "layers"])
    budgets = [trial for trial in trials if trial["phase"] == "hessian"]

    def curve(axes: Any) -> list[Label]:
        bits = [trial["bits"] for trial in uniform]
        axes.plot(bits, [trial["quality"] for trial in uniform], "o-", label="all tensors at one width")
        measured = sorted((row["width"], row["quality"]) for row in affine if row["quality"] is not None)
        if measured:
            axes.plot(*zip(*measured, strict=True), "s--", color=COLOURS[4], label="affine, one width")
        _limits(axes, float_quality, tolerance)
        knees = [trial["bits"] for trial in uniform if trial["accepted"]]
        if knees:
            axes.axvline(min(knees), color=COLOURS[1], label=f"knee: {min(knees)} bits")
        axes.set(xlabel="bits of every tensor", ylabel="validation quality")
        axes.invert_xaxis()
        axes.legend()
        return []

    charts = [Chart("Quality against bits", "Every tensor at one width, without training.", curve)]
    if budgets:
        charts.append(
            Chart(
                "Quality against cost",
                "Maps that second derivatives chose within budgets; star: the one that was taken.",
                lambda axes: _budgets(axes, uniform, budgets, float_quality, tolerance, cost),
            )
        )
    else:
        rows = len({(trial["layer"], trial["tensor"]) for trial in layers})
        charts.append(
            Chart(
                "Lost quality, one tensor narrower",
                "Points of validation quality below float; ring: taken.",
                lambda axes: _heat_map(axes, layers, float_quality, tolerance),
                height=max(3.9, 0.9 + 0.22 * rows),
            )
        )
    priced = [trial for trial in trials if trial.get("cost")]
    if len(priced) > 1 and not budgets:
        charts.append(
            Chart(
                "Every trial of the scan",
                "Quality against cost; line: the trials that no other beats.",
                lambda axes: _trials(axes, priced, float_quality, tolerance, cost),
            )
        )
    return charts


def _limits(axes: Any, float_quality: float, tolerance: float) -> None:
    axes.axhline(float_quality, color=GOOD, linestyle="--", linewidth=1.2, label="float")
    axes.axhline(float_quality - tolerance, color=BAD, linestyle=":", linewidth=1.4, label="tolerance")


def _trials(
    axes: Any, trials: Sequence[Mapping[str, Any]], float_quality: float, tolerance: float, cost: str
) -> list[Label]:
    pairs = [(trial["cost"], trial["quality"]) for trial in trials]
    axes.plot(*zip(*pairs, strict=True), ".", color=SOFT, alpha=0.5, label="trials")
    front = [pairs[index] for index in pareto_front(pairs)]
    axes.plot(*zip(*front, strict=True), "o-", color=COLOURS[0], markersize=4, label="front")
    _limits(axes, float_quality, tolerance)
    axes.set(xlabel=cost, ylabel="validation quality", xscale="log")
    short_ticks(axes.xaxis, is_log=True)
    axes.legend()
    return []


def _budgets(
    axes: Any,
    uniform: Sequence[Mapping[str, Any]],
    budgets: Sequence[Mapping[str, Any]],
    float_quality: float,
    tolerance: float,
    cost: str,
) -> list[Label]:
    """Quality against cost: one width everywhere, and the maps that second derivatives chose within budgets."""
    for rows, style, label in ((uniform, "o-", "all tensors at one width"), (budgets, "s", "by the Hessian")):
        axes.plot([row["cost"] for row in rows], [row["quality"] for row in rows], style, label=label)
    for row in budgets:
        if row["accepted"]:
            axes.plot(row["cost"], row["quality"], "*", color=COLOURS[1], markersize=16, label="taken")
    axes.axhline(float_quality - tolerance, color=BAD, linestyle=":", label="tolerance")
    axes.set(xlabel=cost, ylabel="validation quality", xscale="log")
    short_ticks(axes.xaxis, is_log=True)
    axes.legend()
    return []


def _leading(layers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The trials of the descent that led to the result; if nothing was accepted that is the one from the knee."""
    led = [trial for trial in layers if trial["accepted"]] or layers
    return [trial for trial in layers if trial.get("start") == led[0].get("start")]


def _heat_map(
    axes: Any, trials: Sequence[Mapping[str, Any]], float_quality: float, tolerance: float
) -> list[Label]:
    rows = list(dict.fromkeys((trial["layer"], trial["tensor"]) for trial in trials))
    axes.grid(visible=False)
    if not rows:
        axes.text(0.5, 0.5, "no narrower tensor was tried", ha="center", transform=axes.transAxes)
        return []
    widths = sorted({trial["bits"] for trial in trials}, reverse=True)
    lost = np.full((len(rows), len(widths)), np.nan)
    for trial in trials:
        place = rows.index((trial["layer"], trial["tensor"])), widths.index(trial["bits"])
        lost[place] = 100 * (float_quality - trial["quality"])
    # a ruined candidate would flatten the colours of all others
    most = max(300 * tolerance, 0.1)
    shown = np.ma.masked_invalid(lost)
    image = axes.pcolormesh(shown, cmap="viridis_r", vmin=min(0.0, float(shown.min())), vmax=most)
    bar = axes.figure.colorbar(image, ax=axes, extend="max")
    bar.set_label("points below float")
    bar.solids.set(rasterized=False, edgecolor="face")  # a page holds no images
    axes.invert_yaxis()
    for trial in trials:
        if trial["accepted"]:
            x, y = widths.index(trial["bits"]), rows.index((trial["layer"], trial["tensor"]))
            axes.plot(x + 0.5, y + 0.5, "o", color="white", markeredgecolor="black")
    axes.set_yticks(np.arange(len(rows)) + 0.5, [f"{layer} {tensor}" for layer, tensor in rows])
    axes.set_xticks(np.arange(len(widths)) + 0.5, [str(width) for width in widths])
    axes.set_xlabel("bits")
    return []


def confusion_chart(outputs: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> Chart:
    """How often each class is taken for each other on the test part.

    Parameters
    ----------
    outputs
        Logits `(n_samples, n_outputs)`.
    targets
        Class indices `(n_samples,)`.
    names
        Of the classes.
    """
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (targets, predicted_classes(outputs)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def draw(axes: Any) -> list[Label]:
        words = {}
        for row, column in np.ndindex(*counts.shape) if len(names) <= 24 else ():
            if counts[row, column]:
                about = f"{names[row]} taken for {names[column]}: {shares[row, column]:.2%}"
                words[row, column] = str(counts[row, column]), about
        draw_shares(axes, shares, words, 9 if len(names) <= 10 else 7)
        axes.set_aspect("equal")
        turn = 0 if max(map(len, names)) <= 3 else 40
        middle = np.arange(len(names)) + 0.5
        axes.set_xticks(
            middle, names, rotation=turn, ha="right" if turn else "center", rotation_mode="anchor"
        )
        axes.set_yticks(middle, names)
        axes.tick_params(length=0)
        axes.set(xlabel="what the hardware says", ylabel="what it is")
        return []

    size = min(8.0, max(4.0, 1.4 + 0.38 * len(names)))
    return Chart("Confusion matrix", "Test samples, counted; a row is a class.", draw, max(5.8, size), size)


def roc_curve(score: np.ndarray, is_signal: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Signal efficiency, background efficiency and area of a cut on a score.

    Parameters
    ----------
    score
        The higher the more like signal, `(n_samples,)`.
    is_signal
        bool, `(n_samples,)`, both values present.
    """
    order = np.argsort(-score, kind="stable")
    # equal scores pass together
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    signal = np.append(0, np.cumsum(is_signal[order])[last]) / is_signal.sum()
    background = np.append(0, np.cumsum(~is_signal[order])[last]) / (~is_signal).sum()
    return signal, background, float(np.trapezoid(signal, background))


def roc_chart(outputs: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> Chart | None:
    """Background efficiency against signal efficiency, each class against the rest; ``None`` without two classes.

    Parameters
    ----------
    outputs, targets, names
        As for `confusion_chart`.
    """
    if len(names) > _MOST_CLASSES:
        return None
    classes = [1] if len(names) == 2 else range(len(names))
    scores = class_scores(outputs)
    signals = {names[number]: (scores[:, number], targets == number) for number in classes}
    caption = (
        "Each class as signal against the rest: the lower the better; the last step is one background sample."
    )
    return _signal_chart(signals, caption)


def labels_roc_chart(scores: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Chart | None:
    """Background efficiency against signal efficiency of labels of their own; ``None`` without samples of both kinds.

    Parameters
    ----------
    scores, labels
        `(n_samples, n_labels)` each; a label holds where it is above 0.
    names
        Of the labels.
    """
    shown = list(names)[:_MOST_CLASSES]
    signals = {name: (scores[:, number], labels[:, number] > 0) for number, name in enumerate(shown)}
    return _signal_chart(signals, "The lower the better; the last step is one background sample.")


def _signal_chart(signals: Mapping[str, tuple[np.ndarray, np.ndarray]], caption: str) -> Chart | None:
    """Curves by name of a score and whether each sample is signal; those without samples of both kinds are left out."""
    found = {
        name: (*roc_curve(score.astype(np.float64), is_signal), int((~is_signal).sum()))
        for name, (score, is_signal) in signals.items()
        if 0 < is_signal.sum() < len(is_signal)
    }
    if not found:
        return None

    def draw(axes: Any) -> list[Label]:
        for number, (name, (signal, background, area, _)) in enumerate(found.items()):
            kept = np.unique(np.linspace(0, len(signal) - 1, _MOST_POINTS).astype(int))
            label = f"{name}: area {area:.4f}"
            (line,) = axes.plot(
                signal[kept],
                background[kept],
                color=COLOURS[number % len(COLOURS)],
                drawstyle="steps-post",
                label=label,
            )
            line.set_gid(hint(label))
        least = min(1 / count for _, _, _, count in found.values())
        axes.set(
            xlabel="signal efficiency", ylabel="background efficiency", yscale="log", ylim=(least / 2, 1.2)
        )
        short_ticks(axes.yaxis, is_log=True)
        axes.legend(fontsize=8, ncols=1 if len(found) < 7 else 2)
        return []

    return Chart("Signal and background", caption, draw)


def class_scores(outputs: np.ndarray) -> np.ndarray:
    """A score a class, `(n_samples, n_classes)`: softmax probabilities, or of a single logit itself and its negative."""
    logits = outputs.astype(np.float64)
    if logits.shape[1] == 1:
        return np.concatenate([-logits, logits], axis=1)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def score_chart(scores: np.ndarray, labels: np.ndarray, names: Sequence[str], title: str = "score") -> Chart:
    """How a score is distributed for samples without and with a label.

    Parameters
    ----------
    scores, labels
        `(n_samples,)` each; labels 0 or 1.
    names
        Of the two.
    title
        The words at the axis.
    """

    def draw(axes: Any) -> list[Label]:
        bins = np.histogram_bin_edges(scores, bins=60)
        for label, name in enumerate(names):
            axes.hist(
                scores[labels == label],
                bins=bins,
                histtype="step",
                color=COLOURS[label],
                label=name,
                density=True,
            )
        axes.set(xlabel=title, ylabel="share of samples", yscale="log")
        axes.legend()
        return []

    return Chart("Anomaly score", "Test samples, each kind normalised to its number.", draw)


def bin_charts(rows: Sequence[Mapping[str, Any]]) -> Iterator[Chart]:
    """Bias and resolution in bins of each target.

    Parameters
    ----------
    rows
        As `codesign.core.quality.binned` makes them: of each target first that over all.
    """
    for target in list(dict.fromkeys(row["target"] for row in rows))[:_MOST_CLASSES]:
        own = [row for row in rows if row["target"] == target][1:]

        def draw(axes: Any, own: Sequence[Mapping[str, Any]] = own, target: str = target) -> list[Label]:
            middles = [(row["low"] + row["high"]) / 2 for row in own]
            halves = [(row["high"] - row["low"]) / 2 for row in own]
            axes.axhline(0, color=INK, linewidth=1)
            for index, name in enumerate(("bias", "resolution")):
                axes.errorbar(
                    middles,
                    [row[name] for row in own],
                    [row["resolution"] / np.sqrt(row["samples"]) / (1, np.sqrt(2))[index] for row in own],
                    halves,
                    fmt="o",
                    color=COLOURS[index],
                    label=name,
                )
            axes.set(xlabel=target, ylabel=f"output less {target}")
            axes.legend()
            return []

        yield Chart(
            f"Bias and resolution of {target}",
            "Mean and standard deviation of the difference, in bins of as many test samples each.",
            draw,
        )


def residual_charts(
    outputs: np.ndarray, targets: np.ndarray, names: Sequence[str] = ()
) -> tuple[Chart, Chart]:
    """Of a regression: what comes out against what is true, and the distribution of the difference.

    Parameters
    ----------
    outputs, targets
        `(n_samples, n_outputs)` each.
    names
        Of the outputs.
    """
    names = names or [f"output {number}" for number in range(outputs.shape[1])]
    outputs, targets = outputs.astype(np.float64), targets.reshape(outputs.shape).astype(np.float64)
    step = max(1, len(outputs) // 2000)

    def against(axes: Any) -> list[Label]:
        for number in range(min(outputs.shape[1], _MOST_CLASSES)):
            axes.plot(
                targets[::step, number],
                outputs[::step, number],
                ".",
                color=COLOURS[number % len(COLOURS)],
                markersize=3,
                label=names[number],
            )
        ends = [float(targets.min()), float(targets.max())]
        axes.plot(ends, ends, color=INK, linewidth=1)
        axes.set(xlabel="what it is", ylabel="what the hardware says")
        if outputs.shape[1] > 1:
            axes.legend()
        return []

    def differences(axes: Any) -> list[Label]:
        for number in range(min(outputs.shape[1], _MOST_CLASSES)):
            rest = outputs[:, number] - targets[:, number]
            label = f"{names[number]}: {rest.mean():.4g} ± {rest.std():.4g}"
            axes.hist(rest, bins=60, histtype="step", color=COLOURS[number % len(COLOURS)], label=label)
        axes.set(xlabel="what the hardware says less what it is", ylabel="test samples")
        axes.legend()
        return []

    return (
        Chart("Outputs against targets", "Test samples; line: what would be right.", against),
        Chart("Residuals", "Mean and standard deviation in the legend.", differences),
    )
