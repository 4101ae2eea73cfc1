"""One loss of several weighted terms, on targets that carry the labels, the teacher's logits and its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import keras
import numpy as np
from keras import ops

from codesign.core.task import Task
from codesign.errors import SettingsError
from codesign.settings import DistillationSettings
from codesign.training.losses import (
    DistillationLoss,
    angle_loss,
    attention_loss,
    distance_loss,
    hint_loss,
    packed_accuracy,
)
from codesign.training.objectives import Following, Objective, objective_from_json, objective_of

LogitsForm = Literal["soft", "decoupled", "logits", "bounded"]
TermForm = Literal["soft", "decoupled", "logits", "bounded", "hint", "attention", "distance", "angle"]

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
        The weight of the loss on the targets, 0 to 1.
    temperature
        Of the soft targets, in `L_KD` and in the terms `soft` and `decoupled`.
    objective
        What the outputs are, or as `Objective.to_json` gives it; a number of outputs stands for those of classes.
    form
        What `L_KD` is; see `codesign.training.objectives.Following`.
    terms
        Further terms.
    target_weight, other_weight
        Of the two parts of `decoupled`.
    margin
        Of `bounded`.
    base_weight
        What `alpha L_NLL + (1 - alpha) L_KD` is multiplied by; 0 trains on the terms alone (FitNets' first stage).

    Raises
    ------
    SettingsError
        For a form that the objective does not have.
    """

    def __init__(
        self,
        alpha: float,
        temperature: float,
        objective: Objective | Mapping[str, Any] | int,
        *,
        form: LogitsForm = "soft",
        terms: Sequence[Term | Mapping[str, Any]] = (),
        target_weight: float = 1.0,
        other_weight: float = 8.0,
        margin: float = 0.0,
        base_weight: float = 1.0,
        name: str = "combined",
    ) -> None:
        super().__init__(name=name)
        if isinstance(objective, int):
            objective = Objective(objective)
        self.objective = objective if isinstance(objective, Objective) else objective_from_json(objective)
        self.alpha, self.temperature, self.form = alpha, temperature, form
        self.terms = tuple(term if isinstance(term, Term) else Term(**term) for term in terms)
        self.base_weight = base_weight
        self.target_weight, self.other_weight, self.margin = target_weight, other_weight, margin
        for one in (form, *(term.form for term in self.terms)):
            if one not in _FEATURE_LOSSES:
                self.objective.check(one)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample; a relational term adds the same value to all."""
        n_columns, n_outputs = self.objective.n_columns, self.objective.n_outputs
        targets, teacher = y_true[:, :n_columns], y_true[:, n_columns : n_columns + n_outputs]
        outputs = y_pred[:, :n_outputs]
        loss = ops.zeros_like(outputs[:, 0])
        if self.base_weight > 0:
            if self.alpha > 0:
                loss = loss + self.base_weight * self.alpha * self.objective.hard(targets, outputs)
            if self.alpha < 1:
                known = self.objective.known(targets, teacher, outputs, self._following(self.form))
                loss = loss + self.base_weight * (1 - self.alpha) * known
        target_from, output_from = n_columns + n_outputs, n_outputs
        for term in self.terms:
            if term.target_size:
                features = y_true[:, target_from : target_from + term.target_size]
                ours = y_pred[:, output_from : output_from + term.output_size]
                value = _FEATURE_LOSSES[term.form](features, ours)
            elif term.form in _FEATURE_LOSSES:
                value = _FEATURE_LOSSES[term.form](teacher, outputs)
            else:
                value = self.objective.known(targets, teacher, outputs, self._following(term.form))
            loss = loss + term.weight * value
            target_from, output_from = target_from + term.target_size, output_from + term.output_size
        return loss

    def _following(self, form: str) -> Following:
        return Following(form, self.temperature, self.target_weight, self.other_weight, self.margin)

    def packed_accuracy(self, y_true: Any, y_pred: Any) -> Any:
        """Whether the predicted class is the label, shape `(n,)`."""
        return packed_accuracy(y_true, y_pred[:, : self.objective.n_outputs])

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {
            "alpha": self.alpha,
            "temperature": self.temperature,
            "objective": self.objective.to_json(),
            "form": self.form,
            "terms": [asdict(term) for term in self.terms],
            "target_weight": self.target_weight,
            "other_weight": self.other_weight,
            "margin": self.margin,
            "base_weight": self.base_weight,
            "name": self.name,
        }


def check_forms(settings: DistillationSettings, task: Task) -> None:
    """Refuse a way to follow a teacher that there is not for a task's outputs: `SettingsError`."""
    objective = objective_of(task)
    for place, form in (
        ("form", settings.form),
        *((f"terms[{number}].form", term.form) for number, term in enumerate(settings.terms)),
    ):
        if form not in _FEATURE_LOSSES:
            objective.check(form, place)
    if settings.temperature not in (None, 1.0) and not objective.has_temperature:
        raise SettingsError(
            f"distillation.temperature: {settings.temperature:g} softens logits, and the outputs are {objective.kind}; leave "
            "it out"
        )


def targets_loss(task: Task, n_outputs: int) -> keras.losses.Loss:
    """The loss of a network that learns a task from its targets alone, on `pack_targets` of them."""
    if task.has_classes:
        return DistillationLoss(alpha=1.0)
    return CombinedLoss(1.0, 1.0, objective_of(task, n_outputs))


def distillation_loss(
    task: Task,
    n_outputs: int,
    settings: DistillationSettings,
    terms: Sequence[Term] = (),
    *,
    hints_only: bool = False,
) -> keras.losses.Loss:
    """The loss of a student that learns a task from the targets and a teacher, on `pack_combined` of all.

    Parameters
    ----------
    task
        What is learnt.
    n_outputs
        Of the student.
    settings
        Alpha and temperature (both chosen), form and weights.
    terms
        Further terms.
    hints_only
        Leave out the targets and the teacher's outputs.
    """
    assert settings.alpha is not None
    assert settings.temperature is not None
    alpha = settings.alpha if task.learns_targets else 0.0
    if task.has_classes and not terms and settings.form == "soft":
        return DistillationLoss(alpha, settings.temperature)
    return CombinedLoss(
        alpha,
        settings.temperature,
        objective_of(task, n_outputs),
        form=settings.form,
        terms=terms,
        target_weight=settings.target_weight,
        other_weight=settings.other_weight,
        margin=settings.margin,
        base_weight=0.0 if hints_only else 1.0,
    )


def pack_combined(
    labels: np.ndarray, teacher_logits: np.ndarray, features: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """Targets for a `CombinedLoss`: float32 of shape `(n_samples, n_columns + n_outputs + all features)`.

    Parameters
    ----------
    labels
        Targets in the form of the task: class indices `(n_samples,)`, or `(n_samples, n_columns)`.
    teacher_logits
        `(n_samples, n_outputs)`.
    features
        The teacher's features of each feature term, `(n_samples, ...)`, flattened here.
    """
    labels = np.asarray(labels, dtype=np.float32)
    n = len(labels)
    parts = [labels.reshape(n, -1), teacher_logits, *(array.reshape(n, -1) for array in features)]
    return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts], axis=1)
