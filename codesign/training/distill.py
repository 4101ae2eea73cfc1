"""The student: a small float network that learns from the labels and from the teacher's soft targets."""

from __future__ import annotations

import time
from dataclasses import dataclass

import keras

from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.core.precision_map import PrecisionMap
from codesign.cost import bops, bops_of
from codesign.data import Dataset
from codesign.errors import DataError
from codesign.networks.build import build_float
from codesign.networks.describe import describe
from codesign.networks.description import Network
from codesign.networks.design import check_fits
from codesign.networks.shapes import layer_shapes
from codesign.networks.logits import ending_in_logits, predict_logits
from codesign.settings import DistillationSettings
from codesign.training.evaluate import accuracy
from codesign.training.fit import History, fit, make_reproducible
from codesign.training.losses import DistillationLoss, pack_targets
from codesign.training.teacher import Teacher


@dataclass(frozen=True)
class Student:
    """A trained float student.

    Parameters
    ----------
    network
        Its layers and weights, ending at the logits.
    history
        Of its training.
    record
        The stage's evidence.
    """

    network: Network
    history: History
    record: Record

    def model(self) -> keras.Model:
        """A new float Keras model of it."""
        return build_float(self.network)


def distill_student(
    model: keras.Model,
    teacher: Teacher,
    dataset: Dataset,
    settings: DistillationSettings,
    *,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Student:
    """Distil a teacher into a student: `L = alpha * L_NLL + (1 - alpha) * L_KD` (arXiv:1503.02531).

    Parameters
    ----------
    model
        An untrained Keras model of supported layers; it is not changed.
    teacher
        Its logits on the data are used as they are; the teacher itself is not run.
    dataset
        What the teacher was made with.
    settings
        Temperature, alpha, epochs, batch size, learning rate.
    seed
        Of the initial weights, the order of the samples and dropout.

    Raises
    ------
    ConversionError
        If a layer of the model cannot become hardware (before any training).
    DataError
        If teacher, student and data do not fit each other.
    TrainingError
        If the loss is not finite.
    """
    describe(model)
    check_fits(model, f"the student {model.name!r}", dataset.input_shape, dataset.n_classes)
    check_same_outputs(teacher, model.output_shape[-1])
    started = time.monotonic()
    make_reproducible(seed)
    network = ending_in_logits(keras.models.clone_model(model))
    history = fit(
        network,
        DistillationLoss(settings.alpha, settings.temperature),
        *packed(dataset, teacher),
        settings,
        progress=progress,
        what="student",
    )
    parents = {"dataset": dataset.digest, "teacher": teacher.record.digest}
    described = describe(network)
    record = student_record("student", described, network, dataset, settings, seed, parents, started)
    return Student(described, history, record)


def packed(dataset: Dataset, teacher: Teacher) -> tuple[tuple, tuple]:
    """Inputs and packed targets of the train and the validation part."""
    return (
        (dataset.x_train, pack_targets(dataset.y_train, teacher.train_logits)),
        (dataset.x_validation, pack_targets(dataset.y_validation, teacher.validation_logits)),
    )


def check_same_outputs(teacher: Teacher, n_outputs: int) -> None:
    """Raise `DataError` if the teacher's classes are not the student's."""
    given = teacher.train_logits.shape[1]
    if given != n_outputs:
        raise DataError(
            f"the teacher has {given} outputs but the student has {n_outputs}; give both the same classes in the same order"
        )


def network_bops(network: Network, precision: PrecisionMap | None = None) -> float:
    """Bit operations of one sample; without formats everything counts 32 bits."""
    shapes = layer_shapes(network)
    kernels = {layer.name: layer.weights["kernel"] for layer in network.weight_layers}
    if precision is not None:
        return bops_of(shapes, precision, kernels)
    return bops(shapes, 32, 32, {name: float((kernel == 0).mean()) for name, kernel in kernels.items()})


def student_record(
    stage: str,
    network: Network,
    model: keras.Model,
    dataset: Dataset,
    settings: object,
    seed: int | None,
    parents: dict[str, str],
    started: float,
    extra: dict[str, object] | None = None,
    precision: PrecisionMap | None = None,
) -> Record:
    """The record of any stage that makes a student: its quality on data not trained on, its size."""
    metrics = {
        "validation_accuracy": accuracy(dataset.y_validation, predict_logits(model, dataset.x_validation)),
        "test_accuracy": accuracy(dataset.y_test, predict_logits(model, dataset.x_test)),
        "parameters": network.n_parameters,
        "sparsity": network.sparsity,
        "bops": network_bops(network, precision),
        **(extra or {}),
    }
    return Record(
        stage,
        settings.model_dump(mode="json"),
        seed,
        parents,
        network.digest,
        metrics,
        time.monotonic() - started,
    )
