"""The student: a small float network that learns from the labels and from the teacher's soft targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

import keras
import numpy as np

from codesign.core.precision_map import PrecisionMap
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.core.shown import ShownStudent
from codesign.core.text_table import counted
from codesign.cost import bops, bops_of
from codesign.data import Dataset
from codesign.errors import DataError
from codesign.networks import joined
from codesign.networks.build import build_float
from codesign.networks.description import Network
from codesign.networks.design import check_fits
from codesign.networks.joined import copied, n_outputs
from codesign.networks.logits import ending_in_logits, predict_logits
from codesign.networks.read_keras import read_keras
from codesign.networks.shapes import layer_shapes
from codesign.settings import DistillationSettings, TrainingSettings
from codesign.training.fit import History, make_reproducible
from codesign.training.jobs import FitJob, run_jobs
from codesign.training.lesson import make_lesson
from codesign.training.objectives import objective_of
from codesign.training.own import Own, OwnLoss, OwnMetrics
from codesign.training.teacher import Teacher, as_teacher

_EARLY = 0.05
"""The part of a training after which a network is stable enough to rewind to (arXiv:1912.05671, section 4)."""


@dataclass(frozen=True)
class Student(ShownStudent):
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
        Keras callbacks of your own; they are told of epochs, not of steps, and neither of hints nor of trials.
    loss
        A loss of your own on `(targets, outputs)`, added to `L` (not to that of hints, which learn from layers alone); outputs
        are logits.
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
    chosen, trials = choose_distillation(
        model, teacher, dataset, settings, seed=seed, loss=loss, progress=progress
    )
    make_reproducible(seed)
    network = ending_in_logits(copied(model, trained=False))
    snapshots = _Snapshots(network, max(1, round(_EARLY * settings.epochs)))
    if chosen.hint_epochs:
        first = TrainingSettings(
            epochs=chosen.hint_epochs, batch_size=chosen.batch_size, learning_rate=chosen.learning_rate
        )
        hints = make_lesson(network, teacher, dataset, chosen, hints_only=True)
        hints.fit(first, progress=progress, what="student's hints")
    lesson = make_lesson(network, teacher, dataset, chosen, own=Own(callbacks, loss, metrics))
    history = lesson.fit(chosen, callbacks=[snapshots], progress=progress, what="student")
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


def check_same_outputs(
    teacher: Teacher | int, student: int, whose: str = "the teacher", students: str = "the student"
) -> None:
    """Raise `DataError`, with the names of both, if the teacher's outputs (or so many) are not as many as the student's."""
    given = teacher if isinstance(teacher, int) else teacher.train_logits.shape[1]
    if given != student:
        either = "two outputs for two classes, or one in both: the logit of the second class"
        raise DataError(
            f"{whose} has {counted(given, 'output')} but {students} has {student}; give both "
            + (either if {given, student} == {1, 2} else "the same classes in the same order")
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


@dataclass(frozen=True)
class DistillationTrial:
    """One temperature and alpha, and the student that a short training made with them.

    Parameters
    ----------
    temperature, alpha
        What was tried.
    validation_quality
        The task's measure at the best epoch.
    validation_loss
        The loss on the validation targets there, without any temperature, of classes the negative log likelihood: it decides
        between equal qualities, and trials with different `L` can be compared by it.
    best_epoch
        Counted from 0.
    """

    temperature: float
    alpha: float
    validation_quality: float
    validation_loss: float
    best_epoch: int


def choose_distillation(
    model: keras.Model,
    teacher: Teacher,
    dataset: Dataset,
    settings: DistillationSettings,
    *,
    seed: int = 0,
    loss: OwnLoss | None = None,
    progress: Progress = SILENT,
) -> tuple[DistillationSettings, tuple[DistillationTrial, ...]]:
    """Replace a temperature or alpha of ``None`` by the best of `settings.search`.

    Every pair is tried from the same initial weights and order of samples, side by side if that is faster.

    Parameters
    ----------
    model
        An untrained student; it is not changed.
    teacher, dataset, settings
        As `codesign.training.distill.distill_student` takes them.
    seed
        Of every trial.
    loss
        Of your own, added to that of every trial; they run one after another then.
    progress
        Told after every epoch.

    Returns
    -------
    tuple
        The settings with both numbers, and every trial in the order tried; no trials if both were given.

    Raises
    ------
    TrainingError
        If the loss of a trial is not finite.
    """
    if settings.temperature is not None and settings.alpha is not None:
        return settings, ()
    search, n_outputs = settings.search, joined.n_outputs(model)
    objective = objective_of(dataset.task, n_outputs)
    # what is no distribution has no temperature, and a weight of targets that are not learnt changes nothing
    temperatures = search.temperatures if objective.has_temperature else (1.0,)
    alphas = search.alphas if dataset.task.learns_targets else (0.0,)
    pairs = [
        (temperature, alpha)
        for temperature in ([settings.temperature] if settings.temperature else temperatures)
        for alpha in ([settings.alpha] if settings.alpha is not None else alphas)
    ]
    short = TrainingSettings(
        epochs=search.epochs or max(1, settings.epochs // 4),
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
    )
    jobs = []
    for temperature, alpha in pairs:
        with_pair = settings.model_copy(update={"temperature": temperature, "alpha": alpha})
        lesson = make_lesson(ending_in_logits(model), teacher, dataset, with_pair, own=Own(loss=loss))
        what = f"student T={temperature:g} alpha={alpha:g}"
        parts = lesson.train, lesson.validation
        jobs.append(FitJob(lesson.model, lesson.loss, *parts, short, seed, what, task=dataset.task))
    # a function of the user's cannot be sent to another process
    results = run_jobs(jobs, workers=search.workers if loss is None else 1, progress=progress)
    columns = dataset.task.columns(dataset.y_validation)
    trials = []
    for (temperature, alpha), result in zip(pairs, results, strict=True):
        logits = predict_logits(result.model, dataset.x_validation)[:, :n_outputs]
        quality = dataset.task.quality(dataset.y_validation, logits)
        # in double precision
        loss = float(np.mean(objective.hard(columns.astype(np.float64), logits.astype(np.float64))))
        trials.append(DistillationTrial(temperature, alpha, quality, loss, result.history.best_epoch))
    best = max(trials, key=lambda trial: (trial.validation_quality, -trial.validation_loss))
    return settings.model_copy(update={"temperature": best.temperature, "alpha": best.alpha}), tuple(trials)
