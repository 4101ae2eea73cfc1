"""The student: a small float network that learns from the labels and from the teacher's soft targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType

import keras

from codesign.core.precision_map import PrecisionMap
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.core.shown import Shown, metric_facts
from codesign.core.text_table import TextTable
from codesign.cost import bops, bops_of
from codesign.data import Dataset
from codesign.errors import DataError
from codesign.networks.build import build_float
from codesign.networks.description import Network
from codesign.networks.design import check_fits
from codesign.networks.joined import n_outputs
from codesign.networks.logits import ending_in_logits, predict_logits, untrained_copy
from codesign.networks.read_keras import read_keras
from codesign.networks.shapes import layer_shapes
from codesign.settings import DistillationSettings, TrainingSettings
from codesign.training.fit import History, make_reproducible
from codesign.training.lesson import make_lesson
from codesign.training.own import OwnLoss, OwnMetrics, OwnMetricsCallback, WithOwnLoss
from codesign.training.search import choose_distillation
from codesign.training.teacher import Teacher, as_teacher

_EARLY = 0.05
"""The part of a training after which a network is stable enough to rewind to (arXiv:1912.05671, section 4)."""


@dataclass(frozen=True, repr=False)
class Student(Shown):
    """A trained float student.

    Parameters
    ----------
    network
        Its layers and weights, ending at the logits.
    history
        Of its training.
    record
        The stage's evidence; its metrics hold the temperature and alpha that it learnt with, and every trial if they
        were searched for.
    early
        The network at the beginning of its training (``initial``) and after a twentieth of it (``early``), which
        pruning can rewind to.
    """

    network: Network
    history: History
    record: Record
    early: Mapping[str, Network] = field(default_factory=dict)

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        return {"network": self.network.sizes, **metric_facts(self.record.metrics)}

    def tables(self) -> Iterator[TextTable]:
        """The layers."""
        yield self.network.table()
        if self.history is not None:
            yield self.history.table()

    def model(self) -> keras.Model:
        """A new float Keras model of it."""
        return build_float(self.network)


def distill_student(
    model: keras.Model,
    teacher: Teacher | keras.Model,
    dataset: Dataset,
    settings: DistillationSettings,
    *,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    loss: OwnLoss | None = None,
    metrics: OwnMetrics = MappingProxyType({}),
    progress: Progress = SILENT,
) -> Student:
    """Distil a teacher into a student: `L = alpha * L_NLL + (1 - alpha) * L_KD + terms` (arXiv:1503.02531).

    Parameters
    ----------
    model
        An untrained Keras model of supported layers; it is not changed.
    teacher
        Its logits on the data are used as they are; the teacher itself is not run. A trained Keras model is one too.
    dataset
        What the teacher was made with.
    settings
        Temperature, alpha (searched for where they are ``None``), form, terms, epochs, batch size, learning rate.
    seed
        Of the initial weights, the order of the samples and dropout.
    callbacks
        Keras callbacks of your own; they are told of epochs, not of steps.
    loss
        A loss of your own on `(targets, outputs)`, added to `L`; outputs are logits.
    metrics
        By name, `(targets, outputs) -> number`: measured on the validation part after each epoch
        (`history.measured`).

    Raises
    ------
    ConversionError
        If a layer of the model cannot become hardware (before any training).
    DataError
        If teacher, student and data do not fit each other, or a term names a layer that does not exist.
    TrainingError
        If the loss is not finite.
    """
    read_keras(model, dataset.x_train)
    teacher = as_teacher(teacher, dataset)
    check_fits(model, f"the student {model.name!r}", dataset.sample_shape, dataset.task)
    check_same_outputs(teacher, n_outputs(model))
    chosen, trials = choose_distillation(model, teacher, dataset, settings, seed=seed, progress=progress)
    make_reproducible(seed)
    network = ending_in_logits(untrained_copy(model))
    snapshots = _Snapshots(network, max(1, round(_EARLY * settings.epochs)))
    if chosen.hint_epochs:
        first = TrainingSettings(
            epochs=chosen.hint_epochs, batch_size=chosen.batch_size, learning_rate=chosen.learning_rate
        )
        hints = make_lesson(network, teacher, dataset, chosen, hints_only=True)
        hints.fit(first, progress=progress, what="student's hints")
    lesson = make_lesson(network, teacher, dataset, chosen)
    watched = OwnMetricsCallback(metrics, dataset, n_outputs(network))
    if loss is not None:
        own = WithOwnLoss(loss, dataset, n_outputs(network), lesson.loss)
        lesson = replace(lesson, loss=own)
    mine = [snapshots, *callbacks, *([watched] if metrics else [])]
    history = lesson.fit(chosen, callbacks=mine, progress=progress, what="student")
    history = replace(history, measured=watched.measured)
    described = read_keras(network, dataset.x_validation)
    learnt: dict[str, object] = {"distillation": {"temperature": chosen.temperature, "alpha": chosen.alpha}}
    if trials:
        learnt["search"] = [asdict(trial) for trial in trials]
    record = student_record(described, network, dataset, learnt)
    return Student(described, history, record, snapshots.networks)


def with_learnt_temperature(settings: DistillationSettings, student: Record) -> DistillationSettings:
    """The settings with the temperature and alpha that a student learnt with, where they were to be chosen."""
    if settings.temperature is not None and settings.alpha is not None:
        return settings
    return settings.model_copy(update=student.metrics.get("distillation", {}))


class _Snapshots(keras.callbacks.Callback):
    """Describes the student at the beginning and after some epochs."""

    def __init__(self, network: keras.Model, epoch: int) -> None:
        super().__init__()
        self.network, self.epoch = network, epoch
        self.networks = {"initial": read_keras(network, check=False)}

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch + 1 == self.epoch:
            self.networks["early"] = read_keras(self.network, check=False)


def check_same_outputs(teacher: Teacher, n_outputs: int) -> None:
    """Raise `DataError` if the teacher's outputs are not the student's."""
    given = teacher.train_logits.shape[1]
    if given != n_outputs:
        raise DataError(
            f"the teacher has {given} outputs but the student has {n_outputs}; give both the same classes in "
            "the same order"
        )


def network_bops(network: Network, precision: PrecisionMap | None = None) -> float:
    """Bit operations of one sample; without formats everything counts 32 bits."""
    shapes = layer_shapes(network)
    kernels = {layer.name: layer.weights["kernel"] for layer in network.weight_layers}
    if precision is not None:
        return bops_of(shapes, precision, kernels)
    return bops(shapes, 32, 32, {name: float((kernel == 0).mean()) for name, kernel in kernels.items()})


def student_record(
    network: Network,
    model: keras.Model,
    dataset: Dataset,
    extra: Mapping[str, object] | None = None,
    precision: PrecisionMap | None = None,
) -> Record:
    """The evidence of any function that makes a student: its quality on data not trained on, its size."""
    metrics = {
        **dataset.task.figures(
            *((y, predict_logits(model, x)) for x, y in map(dataset.part, ("validation", "test")))
        ),
        "parameters": network.n_parameters,
        "sparsity": network.sparsity,
        "bops": network_bops(network, precision),
        **(extra or {}),
    }
    return Record.of(network.digest, metrics)
