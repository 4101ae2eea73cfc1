"""From logits to classes, the one way everywhere."""

from __future__ import annotations

import numpy as np


def predicted_classes(logits: np.ndarray) -> np.ndarray:
    """Class indices, shape `(n_samples,)`, of logits `(n_samples, n_outputs)`.

    One output is the logit of class 1, and 0 is class 0; of several equal logits the first counts.
    """
    return (logits[:, 0] > 0).astype(np.int64) if logits.shape[1] == 1 else logits.argmax(axis=1)
