"""One loss of several weighted terms, on targets that carry the labels, the teacher's logits and its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import keras
import numpy as np
from keras import ops

from codesign.errors import SettingsError
from codesign.training.losses import hard_loss, packed_accuracy, soft_loss
from codesign.training.losses_features import angle_loss, attention_loss, distance_loss, hint_loss
from codesign.training.losses_logits import (
    decoupled_loss,
    hard_labels_loss,
    logits_loss,
    soft_labels_loss,
)

LogitsForm = Literal["soft", "decoupled", "logits"]
FeatureForm = Literal["hint", "attention", "distance", "angle"]
TermForm = Literal["soft", "decoupled", "logits", "hint", "attention", "distance", "angle"]

_FEATURE_LOSSES: Mapping[str, Any] = {
    "hint": hint_loss,
    "attention": attention_loss,
    "distance": distance_loss,
    "angle": angle_loss,
}


@dataclass(frozen=True)
class Term:
    """One weighted term of a `CombinedLoss`.

    Parameters
    ----------
    form
        Which loss.
    weight
        What it is multiplied by.
    target_size, output_size
        How many values of each sample the teacher's and the student's features have, flattened; both 0 for a term
        on the logits. `distance` and `angle` work on either.
    """

    form: TermForm
    weight: float = 1.0
    target_size: int = 0
    output_size: int = 0

    def __post_init__(self) -> None:
        if self.form not in get_args(TermForm):
            raise SettingsError(f"form: must be one of {', '.join(get_args(TermForm))}, not {self.form!r}")
        if self.form in ("hint", "attention") and not (self.target_size == self.output_size > 0):
            raise SettingsError(
                f"{self.form}: teacher's and student's features must be of the same size above 0, "
                f"not {self.target_size} and {self.output_size}"
            )


@keras.saving.register_keras_serializable("codesign")
class CombinedLoss(keras.losses.Loss):
    """`alpha L_NLL + (1 - alpha) L_KD + sum of weight x term`.

    Targets are packed as `pack_combined` does: labels, teacher's logits, then each feature term's teacher features.
    Outputs are the student's logits, then each feature term's student features, in the order of the terms.

    Parameters
    ----------
    alpha
        The weight of the hard-label loss, 0 to 1.
    temperature
        Of the soft targets, in `L_KD` and in the terms `soft` and `decoupled`.
    n_outputs
        The student's logits.
    form
        What `L_KD` is: Hinton's ``soft`` targets, ``decoupled`` distillation or matching of the ``logits``.
    terms
        Further terms.
    multi_label
        Whether every output is a label of its own (sigmoid forms); otherwise one output is the logit of class 1 and
        several are one softmax.
    target_weight, other_weight
        Of the two parts of `decoupled`.
    base_weight
        What `alpha L_NLL + (1 - alpha) L_KD` is multiplied by; 0 trains on the terms alone (FitNets' first stage).
    """

    def __init__(
        self,
        alpha: float,
        temperature: float,
        n_outputs: int,
        *,
        form: LogitsForm = "soft",
        terms: Sequence[Term | Mapping[str, Any]] = (),
        multi_label: bool = False,
        target_weight: float = 1.0,
        other_weight: float = 8.0,
        base_weight: float = 1.0,
        name: str = "combined",
    ) -> None:
        super().__init__(name=name)
        self.alpha, self.temperature, self.n_outputs, self.form = alpha, temperature, n_outputs, form
        self.terms = tuple(term if isinstance(term, Term) else Term(**term) for term in terms)
        self.multi_label, self.base_weight = multi_label, base_weight
        self.target_weight, self.other_weight = target_weight, other_weight
        if multi_label and "decoupled" in (form, *(term.form for term in self.terms)):
            raise SettingsError(
                "decoupled: several labels at once have no other classes to decouple; use 'soft' or 'logits'"
            )

    @property
    def n_labels(self) -> int:
        """Columns of labels in the targets."""
        return self.n_outputs if self.multi_label else 1

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample; a relational term adds the same value to all."""
        teacher = y_true[:, self.n_labels : self.n_labels + self.n_outputs]
        logits = y_pred[:, : self.n_outputs]
        loss = ops.zeros_like(logits[:, 0])
        if self.base_weight > 0:
            if self.alpha > 0:
                loss = loss + self.base_weight * self.alpha * self._hard(y_true, logits)
            if self.alpha < 1:
                known = self._on_logits(self.form, y_true, teacher, logits)
                loss = loss + self.base_weight * (1 - self.alpha) * known
        target_from, output_from = self.n_labels + self.n_outputs, self.n_outputs
        for term in self.terms:
            if term.target_size:
                features = y_true[:, target_from : target_from + term.target_size]
                ours = y_pred[:, output_from : output_from + term.output_size]
                value = _FEATURE_LOSSES[term.form](features, ours)
            elif term.form in _FEATURE_LOSSES:
                value = _FEATURE_LOSSES[term.form](teacher, logits)
            else:
                value = self._on_logits(term.form, y_true, teacher, logits)
            loss = loss + term.weight * value
            target_from, output_from = target_from + term.target_size, output_from + term.output_size
        return loss

    def _hard(self, y_true: Any, logits: Any) -> Any:
        if self.multi_label:
            return hard_labels_loss(y_true[:, : self.n_labels], logits)
        return hard_loss(y_true[:, 0], logits)

    def _on_logits(self, form: str, y_true: Any, teacher: Any, logits: Any) -> Any:
        if form == "logits":
            return logits_loss(teacher, logits)
        if form == "decoupled":
            weights = self.target_weight, self.other_weight
            return decoupled_loss(y_true[:, 0], teacher, logits, self.temperature, *weights)
        if self.multi_label:
            return soft_labels_loss(teacher, logits, self.temperature)
        return soft_loss(teacher, logits, self.temperature)

    def packed_accuracy(self, y_true: Any, y_pred: Any) -> Any:
        """Whether the predicted class is the label, or the fraction of labels that are right, shape `(n,)`."""
        logits = y_pred[:, : self.n_outputs]
        if not self.multi_label:
            return packed_accuracy(y_true, logits)
        right = ops.equal(y_true[:, : self.n_labels] > 0.5, logits > 0)
        return ops.mean(ops.cast(right, "float32"), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {
            "alpha": self.alpha,
            "temperature": self.temperature,
            "n_outputs": self.n_outputs,
            "form": self.form,
            "terms": [asdict(term) for term in self.terms],
            "multi_label": self.multi_label,
            "target_weight": self.target_weight,
            "other_weight": self.other_weight,
            "base_weight": self.base_weight,
            "name": self.name,
        }


def pack_combined(
    labels: np.ndarray, teacher_logits: np.ndarray, features: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """Targets for a `CombinedLoss`: float32 of shape `(n_samples, n_labels + n_outputs + all features)`.

    Parameters
    ----------
    labels
        Class indices `(n_samples,)`, or 0 and 1 of shape `(n_samples, n_outputs)` for several labels at once.
    teacher_logits
        `(n_samples, n_outputs)`.
    features
        The teacher's features of each feature term, `(n_samples, ...)`, flattened here.
    """
    labels = np.asarray(labels, dtype=np.float32)
    n = len(labels)
    parts = [labels.reshape(n, -1), teacher_logits, *(array.reshape(n, -1) for array in features)]
    return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts], axis=1)
