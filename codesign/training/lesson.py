"""A lesson: the model, the loss and the packed targets with which the training loop distils, whatever the terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from codesign.core.progress import SILENT, Progress
from codesign.core.shown import Brief
from codesign.core.task import Task
from codesign.data import Dataset
from codesign.errors import DataError, SettingsError
from codesign.networks.joined import n_outputs
from codesign.networks.logits import predict_logits
from codesign.settings import DistillationSettings, TermSettings, TrainingSettings
from codesign.training.cache import cached_arrays
from codesign.training.features import (
    features_of,
    layer_output,
    least_squares,
    regressor_name,
    student_side,
    teacher_side,
)
from codesign.training.fit import Epochs, History, Samples, fit, ready
from codesign.training.losses_combined import Term, distillation_loss, pack_combined
from codesign.training.own import NOTHING, Own, OwnMetricsCallback
from codesign.training.teacher import Teacher

_REGRESSED = 4096
"""Samples that the regressor of a hint is fitted to."""


@dataclass(frozen=True)
class Lesson(Brief):
    """All that `codesign.training.fit.fit` needs to teach a student.

    Parameters
    ----------
    student
        The student, which ends at its logits.
    model
        What is trained: the student itself, or the student with its features beside its logits; they share their
        weights.
    loss
        On the packed targets.
    train, validation
        Inputs and packed targets.
    dataset
        Whose task is learnt.
    own
        Callbacks and metrics of the user's own; the loss has theirs already.
    """

    student: keras.Model
    model: keras.Model
    loss: keras.losses.Loss
    train: Samples
    validation: Samples
    dataset: Dataset
    own: Own = NOTHING

    @property
    def task(self) -> Task:
        """What is learnt."""
        return self.dataset.task

    def ready(self, settings: TrainingSettings) -> Epochs:
        """What trainings by these settings that follow each other share: `fit` takes it."""
        return ready(self.model, self.loss, self.train, self.validation, settings, self.task)

    def fit(
        self,
        settings: TrainingSettings,
        *,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        keep_from: int = 0,
        progress: Progress = SILENT,
        what: str = "training",
        data: Epochs | None = None,
    ) -> History:
        """Train the student in place; see `codesign.training.fit.fit`.

        The loss alone says which epoch is best where targets only judge: what is known of anomalies is not to choose.
        """
        by_loss = getattr(self.loss, "base_weight", 1.0) == 0 or not self.task.learns_targets
        watched = OwnMetricsCallback(self.own.metrics, self.dataset, n_outputs(self.student))
        history = fit(
            self.model,
            self.loss,
            self.train,
            self.validation,
            settings,
            callbacks=[*callbacks, *self.own.callbacks, *([watched] if self.own.metrics else [])],
            keep_from=keep_from,
            keep_by="loss" if by_loss else "quality",
            task=self.task,
            progress=progress,
            what=what,
            data=data,
        )
        return replace(history, measured=watched.measured)


def make_lesson(
    model: keras.Model,
    teacher: Teacher,
    dataset: Dataset,
    settings: DistillationSettings,
    *,
    hints_only: bool = False,
    renamed: Mapping[str, str] | None = None,
    own: Own = NOTHING,
) -> Lesson:
    """Put together what a student learns with.

    Parameters
    ----------
    model
        The student, ending at its logits, float or quantized. It is trained by the lesson.
    teacher
        Its logits, and its features where a term names layers, are computed before the training and travel with the
        targets.
    dataset
        What the teacher was made with.
    settings
        Temperature, alpha, form, terms.
    hints_only
        Leave the logits out: train on the terms that name layers alone. The regressors of hints begin at random
        then (arXiv:1412.6550, section 2.2), otherwise at the least squares for the student as it is: hints that go on
        beside the logits, here and in the stages after this one, do not undo what was learnt from them.
    renamed
        Student layers that have another name in `model` than in the settings.
    own
        Of the user's own, beside all this.

    Raises
    ------
    SettingsError
        If temperature or alpha are still to be chosen.
    DataError
        If a layer does not exist (the layers are listed) or cannot be compared, or the teacher has no layers.
    """
    temperature, _ = require_chosen(settings)
    teacher = teacher.tempered(temperature)
    on_layers = [term for term in settings.terms if term.teacher_layer is not None]
    terms = [Term(term.form, term.weight) for term in settings.terms if term.teacher_layer is None]
    if hints_only:
        terms = []
    outputs, features = [model.outputs[0]], []
    for number, term in enumerate(on_layers):
        arrays = _teacher_features(term, teacher, dataset)
        student = layer_output(model, str(term.student_layer), "the student", renamed)
        made, head = student_side(term, student, arrays["train"].shape[1:], number)
        if term.form == "hint" and not hints_only:
            regressor = keras.Model(model.inputs, head).get_layer(regressor_name(number))
            few = slice(_REGRESSED)
            ours = predict_logits(keras.Model(model.inputs, student), dataset.x_train[few])
            least_squares(regressor, ours, arrays["train"][few])
        terms.append(made)
        outputs.append(head)
        features.append([teacher_side(term.form, arrays[part]) for part in ("train", "validation")])
    loss = distillation_loss(
        dataset.task, int(model.output_shape[-1]), settings, terms, hints_only=hints_only
    )
    train, validation = (
        dataset.weighted(part, x, pack_combined(y, logits, [pair[index] for pair in features]))
        for index, (part, x, y, logits) in enumerate(_parts(dataset, teacher))
    )
    extended = model if len(outputs) == 1 else _with_outputs(model, outputs)
    joined = own.beside(loss, dataset, n_outputs(model))
    return Lesson(model, extended, joined, train, validation, dataset, own)


def require_chosen(settings: DistillationSettings) -> tuple[float, float]:
    """Temperature and alpha; `SettingsError` if they are still to be chosen."""
    if settings.temperature is None or settings.alpha is None:
        name = "temperature" if settings.temperature is None else "alpha"
        raise SettingsError(
            f"distillation.{name}: is still to be chosen (null); let distill_student choose it, or "
            "choose_distillation, and use the settings that it returns"
        )
    return settings.temperature, settings.alpha


def _parts(dataset: Dataset, teacher: Teacher) -> tuple[tuple[str, np.ndarray, np.ndarray, np.ndarray], ...]:
    return (
        ("train", dataset.x_train, dataset.y_train, teacher.train_logits),
        ("validation", dataset.x_validation, dataset.y_validation, teacher.validation_logits),
    )


def check_terms(
    model: keras.Model,
    teacher: keras.Model | None,
    settings: DistillationSettings,
    renamed: Mapping[str, str] | None = None,
) -> None:
    """Look for the layers that terms name, before any training: `DataError` if one does not exist."""
    for term in settings.terms:
        if term.teacher_layer is not None:
            _teacher_layers(term, teacher)
            layer_output(model, str(term.student_layer), "the student", renamed)


def _teacher_layers(term: TermSettings, model: keras.Model | None) -> keras.Model:
    """The teacher's network, which has the term's layer."""
    name = str(term.teacher_layer)
    if model is None:
        raise DataError(
            f"{term.form}: the teacher has no layer {name!r}: only its logits are known; use a single network as the "
            "teacher, or terms without layers"
        )
    layer_output(model, name, "the teacher")
    return model


def _teacher_features(term: TermSettings, teacher: Teacher, dataset: Dataset) -> Mapping[str, np.ndarray]:
    name, model = str(term.teacher_layer), _teacher_layers(term, teacher.model)
    key = {"teacher": teacher.record.digest, "dataset": dataset.digest, "layer": name}
    parts = {"train": dataset.x_train, "validation": dataset.x_validation}
    return cached_arrays(
        teacher.cache, key, lambda: {part: features_of(model, name, x) for part, x in parts.items()}
    )


def _with_outputs(model: keras.Model, outputs: Sequence[object]) -> keras.Model:
    joined = keras.layers.Concatenate(name="logits_and_features")(list(outputs))
    return keras.Model(model.inputs, joined, name=model.name)
