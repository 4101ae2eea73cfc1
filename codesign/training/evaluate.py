"""Quality of logits against labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import expit, softmax
from sklearn.metrics import roc_auc_score

from codesign.core.classes import predicted_classes

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


QUALITIES: Mapping[str, Quality] = {"accuracy": accuracy, "auc": macro_auc}
