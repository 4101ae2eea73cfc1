"""Losses on logits, with the teacher's logits packed beside the labels.

`keras.distillation.Distiller` is not used: it runs the teacher anew on every batch of every epoch, freezes the
caller's teacher as a side effect, and needs a training step of its own. Here the teacher's logits are computed once
and travel as part of the targets, so that the plain training loop distils.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


def pack_targets(labels: np.ndarray, teacher_logits: np.ndarray | None = None) -> np.ndarray:
    """Targets for the losses here: float32 of shape `(n_samples, n_columns + n_outputs)`, the label first.

    Parameters
    ----------
    labels
        Class indices of shape `(n_samples,)`, or targets of shape `(n_samples, n_columns)`.
    teacher_logits
        Shape `(n_samples, n_outputs)`; left out for training without a teacher.
    """
    columns = np.asarray(labels, dtype=np.float32).reshape(len(labels), -1)
    return (
        columns
        if teacher_logits is None
        else np.concatenate([columns, teacher_logits.astype(np.float32)], axis=1)
    )


def hard_loss(labels: Any, logits: Any) -> Any:
    """Negative log likelihood of the labels, shape `(n,)`; one output is the logit of class 1."""
    if logits.shape[-1] == 1:
        return ops.binary_crossentropy(ops.cast(labels, logits.dtype)[:, None], logits, from_logits=True)[
            :, 0
        ]
    return ops.sparse_categorical_crossentropy(ops.cast(labels, "int32"), logits, from_logits=True)


def soft_loss(teacher_logits: Any, logits: Any, temperature: float) -> Any:
    """Hinton's soft-target loss `T^2 KL(p_T || q_T)`, shape `(n,)` (arXiv:1503.02531, section 2).

    The factor keeps its gradient of the size of the hard loss's when the temperature changes. With one output the
    two Bernoulli distributions of the tempered logits are compared.
    """
    if logits.shape[-1] == 1:
        teacher_logits = ops.concatenate([ops.zeros_like(teacher_logits), teacher_logits], axis=-1)
        logits = ops.concatenate([ops.zeros_like(logits), logits], axis=-1)
    z_p, z_q = teacher_logits / temperature, logits / temperature
    # sum of p (log p - log q) with the normalisers taken out of the sum: less to compute in every step
    kl = (
        ops.sum(ops.softmax(z_p) * (z_p - z_q), axis=-1)
        - ops.logsumexp(z_p, axis=-1)
        + ops.logsumexp(z_q, axis=-1)
    )
    return temperature**2 * kl


@keras.saving.register_keras_serializable("codesign")
class DistillationLoss(keras.losses.Loss):
    """`alpha * L_NLL + (1 - alpha) * L_KD` on packed targets (see `pack_targets`).

    Parameters
    ----------
    alpha
        The weight of the hard-label loss; 1 needs no teacher.
    temperature
        The temperature of the soft targets.
    """

    def __init__(self, alpha: float = 1.0, temperature: float = 1.0, name: str = "distillation") -> None:
        super().__init__(name=name)
        self.alpha = alpha
        self.temperature = temperature

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample."""
        loss = 0.0
        if self.alpha > 0:
            loss = self.alpha * hard_loss(y_true[:, 0], y_pred)
        if self.alpha < 1:
            loss = loss + (1 - self.alpha) * soft_loss(y_true[:, 1:], y_pred, self.temperature)
        return loss

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {"alpha": self.alpha, "temperature": self.temperature, "name": self.name}


def packed_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Whether the predicted class is the label, shape `(n,)`, on packed targets."""
    labels = ops.cast(y_true[:, 0], "int32")
    predicted = (
        ops.cast(y_pred[:, 0] > 0, "int32")
        if y_pred.shape[-1] == 1
        else ops.cast(ops.argmax(y_pred, -1), "int32")
    )
    return ops.cast(ops.equal(labels, predicted), "float32")
