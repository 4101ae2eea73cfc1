"""Figures of merit of outputs against targets, the one way everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from codesign.errors import DataError

Quality = Callable[[np.ndarray, np.ndarray], float]
"""`(targets, outputs) -> quality`, higher is better."""


def predicted_classes(logits: np.ndarray) -> np.ndarray:
    """Class indices, shape `(n_samples,)`, of logits `(n_samples, n_outputs)`.

    One output is the logit of class 1, and 0 is class 0; of several equal logits the first counts.
    """
    return (logits[:, 0] > 0).astype(np.int64) if logits.shape[1] == 1 else logits.argmax(axis=1)


def accuracy(labels: np.ndarray, logits: np.ndarray) -> float:
    """The fraction of samples whose class is right."""
    return float((predicted_classes(logits) == labels).mean())


def macro_auc(labels: np.ndarray, logits: np.ndarray) -> float:
    """The area under the ROC curve, for several classes the mean of one against the rest.

    Several outputs for labels of shape `(n_samples, n_labels)` are one label each: the mean over the labels.
    """
    from scipy.special import expit, softmax
    from sklearn.metrics import roc_auc_score

    if labels.ndim == 2:
        return float(np.mean([macro_auc(labels[:, i], logits[:, i : i + 1]) for i in range(labels.shape[1])]))
    if logits.shape[1] == 1:
        return float(roc_auc_score(labels, expit(logits[:, 0].astype(np.float64))))
    probabilities = softmax(logits.astype(np.float64), axis=1)
    if logits.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"))


def background_rejection(labels: np.ndarray, logits: np.ndarray, signal_efficiency: float = 0.9) -> float:
    """How many background samples there are for each one that passes as signal, at a fixed signal efficiency.

    Each class in turn is the signal, the others its background (for two classes only class 1 is): its logit, or its
    softmax probability where there are several, must be at least the value that the given fraction of the signal
    reaches. Backgrounds and what passes are summed over the classes: the inverse of the mean background efficiency,
    weighted by background.

    Parameters
    ----------
    labels
        Class indices, shape `(n_samples,)`.
    logits
        Shape `(n_samples, n_outputs)`; one output is the logit of class 1.
    signal_efficiency
        The fraction of the signal to keep, above 0, at most 1.

    Returns
    -------
    float
        At least 1; where no background passes, the number of background samples, which is then a lower bound.

    Raises
    ------
    DataError
        If the efficiency is out of range, or a class has no sample.
    """
    if not 0.0 < signal_efficiency <= 1.0:
        raise DataError(f"signal_efficiency must be above 0 and at most 1, not {signal_efficiency!r}")
    from scipy.special import softmax

    scores = {1: logits[:, 0].astype(np.float64)}
    if logits.shape[1] > 1:
        probabilities = softmax(logits.astype(np.float64), axis=1)
        classes = (1,) if logits.shape[1] == 2 else range(logits.shape[1])
        scores = {number: probabilities[:, number] for number in classes}
    background = passed = 0
    for number, score in scores.items():
        signal = np.sort(score[labels == number])[::-1]
        if len(signal) in (0, len(labels)):
            raise DataError(
                f"class {number} has {len(signal)} of {len(labels)} samples; signal and background are needed"
            )
        # a rounding error of the product must not ask for one sample more
        threshold = signal[math.ceil(signal_efficiency * len(signal) - 1e-9) - 1]
        other = score[labels != number]
        background += len(other)
        passed += int((other >= threshold).sum())
    return background / max(passed, 1)


def efficiency_at(labels: np.ndarray, scores: np.ndarray, false_positives: float) -> float:
    """The fraction of the samples with label 1 whose score is above what a given fraction of the others exceeds.

    Parameters
    ----------
    labels
        0 and 1, shape `(n_samples,)`, both present.
    scores
        Shape `(n_samples,)`.
    false_positives
        The fraction of the samples with label 0 that may be above the threshold.
    """
    background = np.sort(scores[labels == 0].astype(np.float64))[::-1]
    # the highest threshold that lets no more than the allowed number pass: a value above it is needed
    threshold = background[min(math.floor(false_positives * len(background) + 1e-9), len(background) - 1)]
    return float((scores[labels == 1] > threshold).mean())


def r2(targets: np.ndarray, outputs: np.ndarray) -> float:
    """The fraction of the variance that the outputs explain, the mean over the targets; 1 is perfect.

    Parameters
    ----------
    targets, outputs
        Shape `(n_samples, n_targets)`. A target that is constant in these samples is left out.
    """
    truth = targets.astype(np.float64)
    error = np.square(outputs.astype(np.float64) - truth).sum(axis=0)
    spread = np.square(truth - truth.mean(axis=0)).sum(axis=0)
    varies = spread > 0
    if not varies.any():
        raise DataError(f"every target is constant in these {len(truth)} samples; more samples are needed")
    return float((1 - error[varies] / spread[varies]).mean())


def binned(name: str, truth: np.ndarray, found: np.ndarray, n_bins: int) -> list[dict[str, Any]]:
    """RMSE, bias and resolution of one target, over all samples and in bins of equal population of the target.

    Parameters
    ----------
    name
        The target's.
    truth, found
        Target and output in the units of the source, float64 of shape `(n_samples,)`.
    n_bins
        How many bins; fewer where values repeat.

    Returns
    -------
    list
        One row over all, then one a bin: `target`, `low`, `high` (of the target), `samples`, `rmse`, `bias` (the mean of
        output less target), `resolution` (the standard deviation of it).
    """
    edges = np.unique(np.quantile(truth, np.linspace(0, 1, n_bins + 1)))
    bins = np.clip(np.searchsorted(edges, truth, side="right") - 1, 0, max(len(edges) - 2, 0))
    rows = []
    for chosen in (np.full(len(truth), True), *(bins == number for number in range(max(len(edges) - 1, 1)))):
        if not chosen.any():
            continue
        difference = found[chosen] - truth[chosen]
        rows.append(
            {
                "target": name,
                "low": float(truth[chosen].min()),
                "high": float(truth[chosen].max()),
                "samples": int(chosen.sum()),
                "rmse": float(np.sqrt(np.square(difference).mean())),
                "bias": float(difference.mean()),
                "resolution": float(difference.std()),
            }
        )
    return rows


QUALITIES: Mapping[str, Quality] = {"accuracy": accuracy, "auc": macro_auc, "r2": r2}
"""The qualities that a scan can measure by name, and that decide for a task."""
