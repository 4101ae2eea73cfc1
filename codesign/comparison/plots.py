"""Pictures of a run: training curves, the bit-width scan, the chosen widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codesign.core.files import read_json, write_with

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TRAINED = ("teacher", "student", "pruning", "quantization")


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
    histories = {
        stage: read_json(folder / stage / "history.json")
        for stage in _TRAINED
        if (folder / stage / "history.json").is_file()
    }
    if histories:
        drawn.append(_write(plots / "training.png", training_figure(histories)))
    if (folder / "scan" / "scan.json").is_file():
        tolerance = read_json(folder / "run.json")["settings"]["scan"]["tolerance"]
        drawn.append(plot_scan(folder / "scan", tolerance, plots / "scan.png"))
    return tuple(drawn)


def plot_scan(folder: str | Path, tolerance: float, path: str | Path) -> Path:
    """Draw the scan that a folder holds (`scan.json`) into a PNG file; see `scan_figure`."""
    scan = read_json(Path(folder) / "scan.json")
    return _write(Path(path), _figure_of(scan, tolerance))


def _figure_of(scan: Mapping[str, Any], tolerance: float) -> Figure:
    return scan_figure(scan["trials"], scan["float_quality"], tolerance, scan.get("affine", ()))


def training_figure(histories: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Validation accuracy and training loss against epochs, the stages one after another.

    Parameters
    ----------
    histories
        By stage: `loss`, `validation_accuracy` (one value an epoch) and `best_epoch`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    accuracy, loss = figure.subplots(1, 2)
    for index, (stage, history) in enumerate(histories.items()):
        colour = f"C{index}"
        epochs = range(1, len(history["loss"]) + 1)
        accuracy.plot(epochs, history["validation_accuracy"], color=colour, label=stage)
        best = history["best_epoch"]
        accuracy.plot(best + 1, history["validation_accuracy"][best], "o", color=colour)
        loss.plot(epochs, history["loss"], color=colour, label=stage)
    accuracy.set(xlabel="epoch", ylabel="validation accuracy", title="Quality (dot: the epoch that was kept)")
    loss.set(xlabel="epoch", ylabel="training loss", yscale="log", title="Loss (each stage has its own)")
    for axes in (accuracy, loss):
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def scan_figure(
    trials: Sequence[Mapping[str, Any]],
    float_quality: float,
    tolerance: float,
    affine: Sequence[Mapping[str, Any]] = (),
) -> Figure:
    """The curve of quality against bits with its knee, and what single tensors lose, or maps within budgets.

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
    """
    from matplotlib.figure import Figure

    uniform = [trial for trial in trials if trial["phase"] == "uniform"]
    layers = _leading([trial for trial in trials if trial["phase"] == "layers"])
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    curve, heat = figure.subplots(1, 2, width_ratios=(1, 1.3))
    bits = [trial["bits"] for trial in uniform]
    curve.plot(bits, [trial["quality"] for trial in uniform], "o-", label="all tensors at one width")
    measured = sorted((row["width"], row["quality"]) for row in affine if row["quality"] is not None)
    if measured:
        curve.plot(*zip(*measured, strict=True), "s--", color="C4", label="affine, one width")
    curve.axhline(float_quality, color="C2", linestyle="--", label="float")
    curve.axhline(float_quality - tolerance, color="C3", linestyle=":", label="tolerance")
    knees = [trial["bits"] for trial in uniform if trial["accepted"]]
    if knees:
        curve.axvline(min(knees), color="C1", alpha=0.6, label=f"knee: {min(knees)} bits")
    curve.set(xlabel="bits of every tensor", ylabel="validation quality", title="Quality against bits")
    curve.invert_xaxis()
    curve.grid(alpha=0.3)
    curve.legend()
    budgets = [trial for trial in trials if trial["phase"] == "hessian"]
    if budgets:
        _front(heat, uniform, budgets, float_quality, tolerance)
    else:
        _heat_map(figure, heat, layers, float_quality, tolerance)
    return figure


def _front(
    axes: Any,
    uniform: Sequence[Mapping[str, Any]],
    budgets: Sequence[Mapping[str, Any]],
    float_quality: float,
    tolerance: float,
) -> None:
    """Quality against cost: one width everywhere, and the maps that second derivatives chose within budgets."""
    for rows, style, label in ((uniform, "o-", "all tensors at one width"), (budgets, "s", "by the Hessian")):
        axes.plot([row["cost"] for row in rows], [row["quality"] for row in rows], style, label=label)
    for row in budgets:
        if row["accepted"]:
            axes.plot(row["cost"], row["quality"], "*", color="C1", markersize=16, label="taken")
    axes.axhline(float_quality - tolerance, color="C3", linestyle=":", label="tolerance")
    axes.set(xlabel="cost", ylabel="validation quality", xscale="log", title="Quality against cost")
    axes.grid(alpha=0.3)
    axes.legend()


def _leading(layers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The trials of the descent that led to the result; if nothing was accepted that is the one from the knee."""
    led = [trial for trial in layers if trial["accepted"]] or layers
    return [trial for trial in layers if trial.get("start") == led[0].get("start")]


def _heat_map(
    figure: Figure, axes: Any, trials: Sequence[Mapping[str, Any]], float_quality: float, tolerance: float
) -> None:
    import numpy as np

    rows = list(dict.fromkeys((trial["layer"], trial["tensor"]) for trial in trials))
    axes.set(title="Lost quality, one tensor narrower (dot: taken)", xlabel="bits")
    if not rows:
        axes.text(0.5, 0.5, "no narrower tensor was tried", ha="center", transform=axes.transAxes)
        return
    widths = sorted({trial["bits"] for trial in trials}, reverse=True)
    lost = np.full((len(rows), len(widths)), np.nan)
    for trial in trials:
        place = rows.index((trial["layer"], trial["tensor"])), widths.index(trial["bits"])
        lost[place] = 100 * (float_quality - trial["quality"])
    # a ruined candidate would flatten the colours of all others
    image = axes.imshow(lost, aspect="auto", cmap="viridis_r", vmax=max(300 * tolerance, 0.1))
    figure.colorbar(image, ax=axes, label="points below float", extend="max")
    for trial in trials:
        if trial["accepted"]:
            place = widths.index(trial["bits"]), rows.index((trial["layer"], trial["tensor"]))
            axes.plot(*place, "o", color="white", markeredgecolor="black")
    axes.set_yticks(range(len(rows)), [f"{layer} {tensor}" for layer, tensor in rows])
    axes.set_xticks(range(len(widths)), [str(width) for width in widths])


def _write(path: Path, figure: Figure) -> Path:
    return write_with(path, lambda temporary: figure.savefig(temporary, dpi=110))
