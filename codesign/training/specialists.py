"""A generalist and specialists as the teacher (Hinton et al., arXiv:1503.02531, section 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from scipy.special import softmax

from codesign.core.files import arrays_digest
from codesign.core.progress import SILENT, Progress
from codesign.core.quality import accuracy
from codesign.core.record import Record
from codesign.core.shown import Brief
from codesign.core.task import Task
from codesign.data import Dataset
from codesign.data.split import PARTS
from codesign.errors import DataError, SettingsError
from codesign.networks.logits import ending_in_logits, last_operation, predict_logits
from codesign.settings import TeacherSettings, TrainingSettings
from codesign.training.cache import OutputCache
from codesign.training.clusters import (
    Clusters,
    check_number,
    confusable_clusters,
    named_clusters,
    require_several_classes,
)
from codesign.training.fit import History, Samples
from codesign.training.jobs import FitJob, run_jobs
from codesign.training.losses import DistillationLoss, pack_targets
from codesign.training.teacher import Teacher, train_teacher


@dataclass(frozen=True, eq=False)
class Specialist(Brief):
    """A network that tells a few classes apart and puts all others into a dustbin.

    Parameters
    ----------
    classes
        Indices of its classes, rising.
    model
        Its outputs are the logits of its classes and, last, of the dustbin.
    dustbin_shift
        What is added to the dustbin's logit: its classes were over-sampled in its training.
    history
        Of its training; ``None`` for one that was trained elsewhere.
    """

    classes: tuple[int, ...]
    model: keras.Model
    dustbin_shift: float
    history: History | None = None

    def predict_logits(self, x: np.ndarray) -> np.ndarray:
        """Corrected logits, float32 of shape `(n_samples, n_classes + 1)`."""
        logits = predict_logits(self.model, x)
        logits[:, -1] += self.dustbin_shift
        return logits


@dataclass(frozen=True)
class SpecialistTeacher(Teacher):
    """A generalist and its specialists as one teacher; `model` is ``None``.

    Parameters
    ----------
    generalist
        Ends at the logits of all classes.
    specialists
        One for each group of confusable classes.
    """

    generalist: keras.Model | None = None
    specialists: tuple[Specialist, ...] = ()

    def predict_logits(self, x: np.ndarray) -> np.ndarray:
        """The combination's logits on other inputs: float32 of shape `(n_samples, n_classes)`."""
        return _combined(predict_logits(self.generalist, x), self.specialists, x)


def train_specialists(
    model: keras.Model,
    dataset: Dataset,
    settings: TeacherSettings,
    *,
    generalist: Teacher | None = None,
    seed: int = 0,
    cache: OutputCache | None = None,
    progress: Progress = SILENT,
) -> SpecialistTeacher:
    """Train a generalist, find the classes that it confuses, and train a specialist for each group of them.

    Parameters
    ----------
    model
        The architecture of the generalist: its last layer is a Dense (a softmax after it is left out).
    dataset
        What all learn from.
    settings
        `clusters` and `specialist_epochs` (by default half the generalist's epochs); epochs, batch size, learning
        rate, `workers`.
    generalist
        A teacher of one network on the same data, to be used instead of training `model`.
    seed
        Of the generalist; the specialists begin with its weights and draw their samples from seeds after it.
    cache
        Where the teacher keeps what it computes later.
    progress
        Told after every epoch.

    Raises
    ------
    DataError
        If the model does not fit the data, has fewer than three outputs or does not end in a Dense layer; if the
        generalist given is not one network.
    SettingsError
        If the groups cannot be used: one class, all classes, unknown classes.
    TrainingError
        If a loss is not finite.
    """
    require_classes(dataset.task)
    given = given_clusters(model, settings, dataset.class_names)
    if generalist is None:
        last_dense(ending_in_logits(model))
        generalist = train_teacher(model, dataset, settings, seed=seed, progress=progress)
    if generalist.model is None:
        raise DataError("the generalist has no network of its own; give a teacher of one network")
    clusters = given or found_clusters(generalist, settings, seed)
    jobs, shifts = [], []
    for number, cluster in enumerate(clusters):
        job, shift = specialist_job(generalist.model, cluster, dataset, settings, seed + 1 + number)
        jobs.append(job)
        shifts.append(shift)
    results = run_jobs(jobs, workers=settings.workers, progress=progress)
    specialists = tuple(
        Specialist(cluster, result.model, shift, result.history)
        for cluster, result, shift in zip(clusters, results, shifts, strict=True)
    )
    return _teacher(generalist, specialists, dataset, cache)


def found_clusters(generalist: Teacher, settings: TeacherSettings, seed: int) -> Clusters:
    """The groups that a generalist's predictions on the train and the validation part suggest."""
    assert isinstance(settings.clusters, int)
    logits = np.concatenate([generalist.train_logits, generalist.validation_logits])
    return confusable_clusters(logits, settings.clusters, seed)


def specialist_job(
    generalist: keras.Model,
    cluster: tuple[int, ...],
    dataset: Dataset,
    settings: TeacherSettings,
    seed: int,
) -> tuple[FitJob, float]:
    """The training of one specialist, and the correction of its dustbin's logit.

    It begins with the generalist's weights; the dustbin's are the mean over its classes. Half of its samples are of
    its own classes, half are drawn from all others (all of them if they are fewer). Its logits are those of that
    mixture: the dustbin's is shifted by the log of the factor by which its classes are over-sampled (section 5.2).

    Parameters
    ----------
    generalist
        A trained network that ends in a Dense layer.
    cluster
        The specialist's classes.
    dataset
        What it learns from.
    settings
        `specialist_epochs`, or half of `epochs`; batch size, learning rate.
    seed
        Of the samples that are drawn, their order and dropout.
    """
    rng = np.random.default_rng(seed)
    (train, shift), (validation, _) = (
        _subset(dataset, part, cluster, rng) for part in ("train", "validation")
    )
    specialist = _initial(generalist, cluster)
    training = TrainingSettings(
        epochs=settings.specialist_epochs or max(1, settings.epochs // 2),
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
    )
    names = "+".join(dataset.class_names[index] for index in cluster)
    job = FitJob(
        specialist,
        DistillationLoss(alpha=1.0),
        train,
        validation,
        training,
        seed,
        f"specialist {names}",
        specialist.get_weights(),
    )
    return job, shift


def _subset(
    dataset: Dataset, part: str, cluster: tuple[int, ...], rng: np.random.Generator
) -> tuple[Samples, float]:
    """Inputs and packed targets of a specialist, and by how much the others are too few, as a logarithm."""
    x, y = dataset.part(part)
    inside = np.isin(y, cluster)
    own, other = np.flatnonzero(inside), np.flatnonzero(~inside)
    if len(own) == 0 or len(other) == 0:
        # only a small validation part can lack one side: the train part holds every class
        return dataset.weighted(part, x, pack_targets(_relabelled(y, cluster))), 0.0
    drawn = rng.choice(other, size=min(len(own), len(other)), replace=False)
    rows = np.sort(np.concatenate([own, drawn]))
    shift = math.log(len(other) / len(drawn))
    chosen = dataset.weighted(part, x, pack_targets(_relabelled(y, cluster)))
    return tuple(array[rows] for array in chosen), shift


def _relabelled(labels: np.ndarray, cluster: tuple[int, ...]) -> np.ndarray:
    """Positions in the group, the dustbin last."""
    new = np.full(len(labels), len(cluster))
    for position, label in enumerate(cluster):
        new[labels == label] = position
    return new


def require_classes(task: Task) -> None:
    """Refuse specialists for a task without classes: `SettingsError`."""
    if not task.has_classes:
        raise SettingsError(
            f"teacher.kind: specialists tell groups of classes apart, and the task {task.kind!r} has none; use single or "
            "ensemble"
        )


def given_clusters(
    model: keras.Model, settings: TeacherSettings, class_names: Sequence[str]
) -> Clusters | None:
    """The groups that a user named for a network's classes; ``None`` if they are to be found. Both are checked."""
    n_classes = int(model.output_shape[-1])
    require_several_classes(n_classes, f"the teacher {model.name!r}")
    if isinstance(settings.clusters, int):
        check_number(settings.clusters, n_classes)
        return None
    return named_clusters(settings.clusters, class_names)


def last_dense(model: keras.Model) -> keras.layers.Dense:
    """The layer that a generalist's logits come from; `DataError` if it is no Dense layer."""
    last = last_operation(model)
    if not isinstance(last, keras.layers.Dense):
        raise DataError(
            f"the teacher {model.name!r} ends in {type(last).__name__} {last.name!r}; specialists need a "
            "generalist whose logits come from a Dense layer"
        )
    return last


def _initial(generalist: keras.Model, cluster: tuple[int, ...]) -> keras.Model:
    copy = ending_in_logits(generalist)
    last = last_dense(copy)
    others = np.setdiff1d(np.arange(last.units), cluster)
    weights = [
        np.concatenate([array[..., list(cluster)], array[..., others].mean(axis=-1, keepdims=True)], axis=-1)
        for array in last.get_weights()
    ]
    dense = keras.layers.Dense(len(cluster) + 1, use_bias=last.use_bias, name=f"{last.name}_special")
    specialist = keras.Model(copy.inputs, dense(last.input), name=f"{generalist.name}_special")
    dense.set_weights(weights)
    return specialist


def _combined(generalist: np.ndarray, specialists: tuple[Specialist, ...], x: np.ndarray) -> np.ndarray:
    logits = [specialist.predict_logits(x) for specialist in specialists]
    return combine_specialists(generalist, logits, tuple(one.classes for one in specialists))


def _teacher(
    generalist: Teacher,
    specialists: tuple[Specialist, ...],
    dataset: Dataset,
    cache: OutputCache | None,
) -> SpecialistTeacher:
    train, validation, test = (
        _combined(getattr(generalist, f"{part}_logits"), specialists, dataset.part(part)[0]) for part in PARTS
    )
    grouped = [index for specialist in specialists for index in specialist.classes]
    metrics = {
        "validation_accuracy": accuracy(dataset.y_validation, validation),
        "test_accuracy": accuracy(dataset.y_test, test),
        "generalist_validation_accuracy": generalist.record.metrics["validation_accuracy"],
        "generalist_test_accuracy": generalist.record.metrics["test_accuracy"],
        "parameters": sum(
            model.count_params() for model in (generalist.model, *(one.model for one in specialists)) if model
        ),
        "clusters": [[dataset.class_names[index] for index in one.classes] for one in specialists],
        "without_specialist": [
            name for index, name in enumerate(dataset.class_names) if index not in grouped
        ],
        "dustbin_shifts": [one.dustbin_shift for one in specialists],
    }
    record = Record.of(arrays_digest({"train": train, "validation": validation, "test": test}), metrics)
    history = generalist.history
    return SpecialistTeacher(
        None, train, validation, test, history, record, cache, generalist.model, specialists
    )


_MOST_STEPS = 2000
_CLOSE = 1e-10
_LEAST = 1e-30  # a probability whose logarithm is still an ordinary number


def combine_specialists(
    generalist: np.ndarray, specialists: Sequence[np.ndarray], clusters: Clusters
) -> np.ndarray:
    """The distribution `q` over all classes that minimises `KL(p_g, q)` plus `KL(p_m, q)` of the active specialists.

    Hinton et al., arXiv:1503.02531, section 5.4, eq. 5: a specialist is active where the generalist's most probable
    class is in its group; compared with its dustbin is the sum of `q` over all other classes. The authors descend
    along the gradient for each sample. The sum is that of the likelihood of counts some of which are known only as
    sums (the dustbins), and the EM iteration for it finds the same, only, minimum for all samples at once: every
    specialist's dustbin is shared out in the proportions that `q` has there, and the new `q` is the mean.

    Parameters
    ----------
    generalist
        Logits, shape `(n_samples, n_classes)`.
    specialists
        Logits of each, shape `(n_samples, 1 + classes of its group)`: the group's classes in rising order, then the
        dustbin, already corrected for over-sampling.
    clusters
        Their groups.

    Returns
    -------
    numpy.ndarray
        `log q`, float32 of shape `(n_samples, n_classes)`: logits of the combination.
    """
    p_general = softmax(generalist.astype(np.float64), axis=1)
    p_special = [softmax(logits.astype(np.float64), axis=1) for logits in specialists]
    q = p_general.copy()
    best = generalist.argmax(axis=1)
    for label in range(generalist.shape[1]):
        rows = np.flatnonzero(best == label)
        active = [number for number, cluster in enumerate(clusters) if label in cluster]
        if len(rows) and active:
            known = [(p_special[number][rows], clusters[number]) for number in active]
            q[rows] = _minimise(p_general[rows], known)
    return np.log(np.maximum(q, _LEAST)).astype(np.float32)


def _minimise(p_general: np.ndarray, known: Sequence[tuple[np.ndarray, tuple[int, ...]]]) -> np.ndarray:
    q = p_general
    fixed = p_general.copy()
    for p, cluster in known:
        fixed[:, list(cluster)] += p[:, :-1]
    others = [np.setdiff1d(np.arange(q.shape[1]), cluster) for _, cluster in known]
    for _ in range(_MOST_STEPS):
        total = fixed.copy()
        for (p, _), dustbin in zip(known, others, strict=True):
            share = q[:, dustbin]
            total[:, dustbin] += p[:, -1:] * share / np.maximum(share.sum(axis=1, keepdims=True), _LEAST)
        new = total / (1 + len(known))
        if np.abs(new - q).max() < _CLOSE:
            return new
        q = new
    return q
