"""The teacher: trained here, or any trained Keras model from a file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import keras
import numpy as np

from codesign.core.files import arrays_digest, file_digest
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.core.shown import Shown, metric_facts
from codesign.core.text_table import TextTable
from codesign.data import Dataset
from codesign.data.split import PARTS
from codesign.errors import DataError
from codesign.networks import loading
from codesign.networks.build import weights_in
from codesign.networks.design import check_fits
from codesign.networks.joined import copied
from codesign.networks.logits import are_probabilities, ending_in_logits, predict_logits
from codesign.settings import TeacherSettings
from codesign.training.cache import OutputCache, cached_arrays
from codesign.training.fit import History, fit, make_reproducible
from codesign.training.given_teacher import (
    fitted_to,
    is_rescaled,
    no_logits,
    outputs_by_scaling,
    require_knowledge,
    require_reconstruction,
    require_scaled_inputs,
    scaling_of,
    suspicion,
)
from codesign.training.losses import pack_targets
from codesign.training.losses_combined import targets_loss
from codesign.training.own import OwnLoss, OwnMetrics, OwnMetricsCallback, WithOwnLoss
from codesign.training.score_teacher import score_scaling, train_autoencoder

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Teacher(Shown):
    """A trained network to learn from, and its logits on the data, computed once.

    Parameters
    ----------
    model
        Ends at its logits; ``None`` where several networks, or only their logits, are the teacher.
    train_logits, validation_logits, test_logits
        float32 of shape `(n_samples, n_outputs)`, in the order of the dataset's parts.
    history
        ``None`` for a teacher from a file.
    record
        The stage's evidence.
    cache
        Where features that are asked for later are kept; ``None`` computes them anew each time.
    """

    model: keras.Model | None
    train_logits: np.ndarray
    validation_logits: np.ndarray
    test_logits: np.ndarray
    history: History | None
    record: Record
    cache: OutputCache | None = None

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        name = {} if self.model is None else {"model": self.model.name}
        return {**name, **metric_facts(self.record.metrics)}

    def tables(self) -> Iterator[TextTable]:
        """How it was trained."""
        if self.history is not None:
            yield self.history.table()

    def tempered(self, temperature: float) -> Teacher:
        """The teacher whose logits, divided by a temperature, give its soft targets there: a single one itself."""
        return self


def train_teacher(
    model: keras.Model,
    dataset: Dataset,
    settings: TeacherSettings,
    *,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    loss: OwnLoss | None = None,
    metrics: OwnMetrics = MappingProxyType({}),
    progress: Progress = SILENT,
) -> Teacher:
    """Train a teacher on the targets; of an anomaly score, an autoencoder on the normal samples.

    Parameters
    ----------
    model
        An untrained Keras model for the data; it is not changed. A softmax or sigmoid at its end is left out.
    dataset
        Trained on its train part; the epoch is chosen on its validation part.
    settings
        Epochs, batch size, learning rate.
    seed
        Of the initial weights, the order of the samples and dropout. The weights are drawn anew, so that the
        result does not depend on when the model was built.
    callbacks
        Keras callbacks of your own; they are told of epochs, not of steps.
    loss
        A loss of your own on `(targets, outputs)`, instead of the task's; outputs are logits.
    metrics
        By name, `(targets, outputs) -> number`: measured on the validation part after each epoch
        (`history.measured`).

    Raises
    ------
    DataError
        If the model does not fit the data.
    TrainingError
        If the loss is not finite.
    """
    check_fits(model, f"the teacher {model.name!r}", dataset.sample_shape, dataset.task, teaches=True)
    if not dataset.task.learns_targets:
        if callbacks or loss is not None or metrics:
            raise DataError(
                f"the task {dataset.task.kind!r}: its autoencoder takes no callbacks, loss or metrics of your own"
            )
        network, history = train_autoencoder(model, dataset, settings, seed=seed, progress=progress)
        return teacher_of(network, dataset, history)
    make_reproducible(seed)
    network = ending_in_logits(copied(model, trained=False))
    outputs = int(network.output_shape[-1])
    watched = OwnMetricsCallback(metrics, dataset, outputs)
    history = fit(
        network,
        targets_loss(dataset.task, outputs) if loss is None else WithOwnLoss(loss, dataset, outputs),
        dataset.weighted("train", dataset.x_train, pack_targets(dataset.y_train)),
        dataset.weighted("validation", dataset.x_validation, pack_targets(dataset.y_validation)),
        settings,
        task=dataset.task,
        callbacks=[*callbacks, *([watched] if metrics else [])],
        progress=progress,
        what="teacher",
    )
    return teacher_of(network, dataset, replace(history, measured=watched.measured))


def load_teacher(
    path: str | Path,
    dataset: Dataset,
    *,
    cache: OutputCache | None = None,
) -> Teacher:
    """Take any trained `.keras` model as the teacher.

    Parameters
    ----------
    path
        The file.
    dataset
        Its inputs and classes.
    cache
        Where its logits are kept, by the digests of the file and the data.

    Raises
    ------
    DataError
        If the file is missing or unreadable, or its classes or inputs are not those of the data.
    """
    model = load_model(path, dataset)
    teacher = teacher_of(model, dataset, made_of={"file": file_digest(path)}, cache=cache)
    return with_notes(teacher, dataset, f"the teacher {Path(path).name}")


def load_model(path: str | Path, dataset: Dataset) -> keras.Model:
    """A trained `.keras` model for the data, ending at its logits; the errors are those of `load_teacher`."""
    return _checked(loading.load_model(path, "the teacher"), dataset, f"the teacher {path}")


def as_teacher(teacher: Teacher | keras.Model, dataset: Dataset) -> Teacher:
    """A teacher as it is, or a trained Keras model as one; the errors are those of `load_teacher`."""
    if not isinstance(teacher, keras.Model):
        return teacher
    what = f"the teacher {teacher.name!r}"
    return with_notes(teacher_of(_checked(teacher, dataset, what), dataset), dataset, what)


def _checked(model: keras.Model, dataset: Dataset, what: str) -> keras.Model:
    """A trained model that fits the data and was trained on their scaling, ending at its logits."""
    check_fits(model, what, dataset.sample_shape, dataset.task, teaches=True)
    made = fitted_to(model, dataset)
    if dataset.task.learns_targets:
        scaled = outputs_by_scaling(made, dataset)
        require_scaled_inputs(scaled, what, dataset)
        outputs = scaled[scaling_of(dataset)] if scaled else predict_logits(made, dataset.x_validation)
        _refuse_probabilities(outputs, model, dataset)
        require_knowledge(outputs, what, dataset)
    else:
        require_reconstruction(model, what, dataset)
    return made


def with_notes(teacher: Teacher, dataset: Dataset, what: str) -> Teacher:
    """A teacher that was trained elsewhere, with what there is to say of it in its record and logged."""
    notes = suspicion(teacher.record.metrics, dataset, what)
    notes += no_logits(teacher.validation_logits, dataset, what)
    if teacher.model is not None and is_rescaled(teacher.model):
        notes += (
            f"{what} gives its values in the units of the data; they were standardised for the student",
        )
    if not notes:
        return teacher
    for note in notes:
        _log.warning("%s", note)
    record = replace(teacher.record, metrics={**teacher.record.metrics, "notes": list(notes)})
    return replace(teacher, record=record)


def all_logits(model: keras.Model, dataset: Dataset) -> dict[str, np.ndarray]:
    """A model's logits on the three parts, by part: float32 of shape `(n_samples, n_outputs)`.

    Raises
    ------
    DataError
        If they are probabilities: the model's softmax or sigmoid is where it was not found and left out.
    """
    logits = {part: predict_logits(model, dataset.part(part)[0]) for part in PARTS}
    _refuse_probabilities(logits["validation"], model, dataset)
    return logits


def _refuse_probabilities(outputs: np.ndarray, model: keras.Model, dataset: Dataset) -> None:
    for head, task, _, own in dataset.task.each(dataset.y_validation, outputs):
        if task.endings and are_probabilities(own):
            raise DataError(
                f"the teacher {model.name!r}: its outputs{f' of the head {head!r}' if head else ''} are probabilities, but its "
                "last layer is no softmax or sigmoid that could be left out; give a model that ends in its logits, or in a "
                "Softmax or activation of its own"
            )


def teacher_of(
    network: keras.Model,
    dataset: Dataset,
    history: History | None = None,
    *,
    made_of: Mapping[str, str] | None = None,
    cache: OutputCache | None = None,
) -> Teacher:
    """A trained network as a teacher; its logits come from the cache if they are there.

    Parameters
    ----------
    network, dataset, history
        The network, what it was trained on, and how.
    made_of
        Digests of what it came from beside its weights, for the cache.
    cache
        Where its logits are kept.
    """
    weights = weights_in(network)
    key = {"network": arrays_digest(weights), "dataset": dataset.digest, "layer": "logits", **(made_of or {})}
    arrays = cached_arrays(cache, key, lambda: all_logits(network, dataset))
    train, validation, test = (arrays[part] for part in PARTS)
    metrics = {
        **dataset.task.figures((dataset.y_validation, validation), (dataset.y_test, test)),
        "parameters": network.count_params(),
        **score_scaling(network),
    }
    digest = arrays_digest({**weights, "logits": train})
    return Teacher(network, train, validation, test, history, Record.of(digest, metrics), cache)
