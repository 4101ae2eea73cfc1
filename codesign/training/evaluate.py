"""Quality of logits against labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import expit, softmax
from sklearn.metrics import roc_auc_score

from codesign.core.classes import predicted_classes
from codesign.errors import DataError

Quality = Callable[[np.ndarray, np.ndarray], float]
"""`(labels, logits) -> quality`, higher is better."""


def accuracy(labels: np.ndarray, logits: np.ndarray) -> float:
    """The fraction of samples whose class is right."""
    return float((predicted_classes(logits) == labels).mean())


def macro_auc(labels: np.ndarray, logits: np.ndarray) -> float:
    """The area under the ROC curve, for several classes the mean of one against the rest."""
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


QUALITIES: Mapping[str, Quality] = {"accuracy": accuracy, "auc": macro_auc}
