"""Pictures of single values, for notebooks and scripts: every function returns a matplotlib figure."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.comparison.figures import Chart, chart_figure
from codesign.comparison.run_charts import (
    confusion_chart,
    residual_charts,
    roc_chart,
    scan_charts,
    training_charts,
)
from codesign.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_training(trained: Any) -> Figure:
    """Quality and loss against epochs.

    Parameters
    ----------
    trained
        Anything that was trained (a teacher, a student, a history), or several by name.

    Raises
    ------
    DataError
        If none of it was trained here.
    """
    several = trained if isinstance(trained, Mapping) else {"training": trained}
    found = {name: getattr(value, "history", value) for name, value in several.items()}
    histories = {name: value.to_json() for name, value in found.items() if _is_value(value)}
    if not histories:
        raise DataError(f"{', '.join(several)}: nothing of it was trained here, so there is no history")
    return _shown(training_charts(histories))


def plot_scan(scan: Any, tolerance: float = 0.01) -> Figure:
    """The curve of quality against bits, what single tensors lose, and every trial.

    Parameters
    ----------
    scan
        A `ScanResult`.
    tolerance
        The loss of quality that was accepted, as `scan.tolerance` says.
    """
    affine = [asdict(row) for row in scan.affine]
    return _shown(
        scan_charts([asdict(trial) for trial in scan.trials], scan.float_quality, tolerance, affine)
    )


def plot_outputs(outputs: np.ndarray, targets: np.ndarray, class_names: Sequence[str] = ()) -> Figure:
    """What a network does with single samples: the classes it confuses and its ROC curve, or its residuals.

    Parameters
    ----------
    outputs
        Logits, or values of a regression, `(n_samples, n_outputs)`.
    targets
        Class indices `(n_samples,)`, int; or true values, float.
    class_names
        Of the classes; left out, their numbers.

    Raises
    ------
    DataError
        If outputs and targets do not fit each other.
    """
    outputs, targets = np.asarray(outputs), np.asarray(targets)
    if len(outputs) != len(targets) or not len(targets):
        raise DataError(f"{len(outputs)} outputs and {len(targets)} targets; give one target for each sample")
    if targets.dtype.kind == "f":
        if outputs.size != targets.size:
            raise DataError(f"outputs of shape {outputs.shape} and targets of {targets.shape} differ")
        return _shown(list(residual_charts(outputs, targets)))
    count = max(2, outputs.shape[1])
    if targets.ndim != 1 or targets.min() < 0 or targets.max() >= count:
        raise DataError(f"targets must be class numbers from 0 to {count - 1} of shape (n_samples,)")
    names = list(class_names) or [str(number) for number in range(count)]
    roc = roc_chart(outputs, targets, names)
    return _shown([confusion_chart(outputs, targets, names), *([] if roc is None else [roc])])


def _is_value(value: Any) -> bool:
    return is_dataclass(value) and hasattr(value, "loss") and hasattr(value, "best_epoch")


def _shown(charts: Sequence[Chart]) -> Figure:
    """A figure that a notebook shows: those that are not pyplot's have no picture there of their own."""
    figure: Any = chart_figure(charts)

    def png() -> bytes:
        kept = io.BytesIO()
        figure.savefig(kept, format="png", dpi=110)
        return kept.getvalue()

    figure._repr_png_ = png
    made: Figure = figure
    return made
