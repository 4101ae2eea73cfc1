"""An ensemble as the teacher: several networks whose soft targets are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import keras
import numpy as np
from scipy.special import logsumexp

from codesign.core.files import arrays_digest, file_digest
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.core.task import Task
from codesign.core.text_table import counted
from codesign.data import Dataset
from codesign.data.split import PARTS
from codesign.errors import DataError, SettingsError
from codesign.networks.design import check_fits
from codesign.networks.joined import n_outputs
from codesign.networks.logits import predict_logits
from codesign.settings import TeacherSettings
from codesign.training.cache import OutputCache, cached_arrays
from codesign.training.fit import History
from codesign.training.jobs import FitJob, run_jobs
from codesign.training.losses import pack_targets
from codesign.training.losses_combined import targets_loss
from codesign.training.objectives import objective_of
from codesign.training.teacher import Teacher, all_logits, load_model, with_notes

Mean = Literal["arithmetic", "geometric"]


@dataclass(frozen=True)
class EnsembleTeacher(Teacher):
    """Several networks as one teacher.

    `model` is ``None``; `train_logits` and the others are those of the mean at temperature 1.

    Parameters
    ----------
    members
        The networks, each ending at its logits.
    member_logits
        Of every member, by part: float32 of shape `(n_members, n_samples, n_outputs)`.
    mean
        How the members' soft targets are averaged.
    member_histories
        Of their trainings; empty for members from files.
    task
        What the outputs are, which says what their mean is; by default classes.
    """

    members: tuple[keras.Model, ...] = ()
    member_logits: dict[str, np.ndarray] | None = None
    mean: Mean = "arithmetic"
    member_histories: tuple[History, ...] = ()
    task: Task | None = None

    def tempered(self, temperature: float) -> Teacher:
        """The ensemble with the logits whose soft targets at a temperature are the mean of the members' there."""
        kept = self.member_logits or {}
        means = (mean_outputs(kept[part], self.mean, self.task, temperature) for part in PARTS)
        train, validation, test = means
        return replace(self, train_logits=train, validation_logits=validation, test_logits=test)

    def predict_logits(self, x: np.ndarray) -> np.ndarray:
        """The ensemble's logits on other inputs: float32 of shape `(n_samples, n_outputs)`."""
        return mean_outputs(
            np.stack([predict_logits(model, x) for model in self.members]), self.mean, self.task
        )


def mean_outputs(outputs: np.ndarray, mean: Mean, task: Task | None, temperature: float = 1.0) -> np.ndarray:
    """What the members of an ensemble say together: of logits `mean_logits`, of values their mean."""
    if task is None:
        return mean_logits(outputs, mean, temperature)
    objective = objective_of(task, outputs.shape[-1])
    return objective.mean(outputs, lambda logits: mean_logits(logits, mean, temperature))


def mean_logits(logits: np.ndarray, mean: Mean, temperature: float = 1.0) -> np.ndarray:
    """Logits `z` for which `softmax(z / T)` is the mean of the members' soft targets `softmax(z_m / T)`.

    Hinton et al., arXiv:1503.02531, section 1, names both means.

    Parameters
    ----------
    logits
        Of the members, shape `(n_members, n_samples, n_outputs)`; one output is the logit of class 1.
    mean
        ``arithmetic``, or ``geometric`` (normalised again), which is the mean of the logits at every temperature.
    temperature
        `T`; it matters to the arithmetic mean only.

    Returns
    -------
    numpy.ndarray
        float32, shape `(n_samples, n_outputs)`; an arithmetic mean of several outputs is normalised so that
        `exp(z / T)` sums to 1.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if mean == "geometric":
        return logits.mean(axis=0).astype(np.float32)
    scaled = logits / temperature
    if logits.shape[-1] == 1:
        # log of the mean probabilities of both classes, each without cancellation
        ones, zeros = (logsumexp(-np.logaddexp(0, sign * scaled), axis=0) for sign in (-1, 1))
        return (temperature * (ones - zeros)).astype(np.float32)
    log_p = scaled - logsumexp(scaled, axis=-1, keepdims=True)
    return (temperature * (logsumexp(log_p, axis=0) - np.log(len(logits)))).astype(np.float32)


def train_ensemble(
    model: keras.Model | Sequence[keras.Model],
    dataset: Dataset,
    settings: TeacherSettings,
    *,
    seed: int = 0,
    cache: OutputCache | None = None,
    progress: Progress = SILENT,
) -> EnsembleTeacher:
    """Train the members of an ensemble from different seeds, side by side if that is faster.

    Parameters
    ----------
    model
        The architecture of every member, or one for each; none is changed.
    dataset
        Every member learns its train part; its epoch is chosen on the validation part.
    settings
        `members`, `mean`, epochs, batch size, learning rate, `workers`.
    seed
        Of the first member; member `i` has `seed + i`, and is the network that `train_teacher` makes with it.
    cache
        Where the teacher keeps what it computes later.
    progress
        Told after every epoch.

    Raises
    ------
    DataError
        If a model does not fit the data, or the members' outputs differ.
    TrainingError
        If the loss of a member is not finite.
    """
    if not dataset.task.learns_targets:
        raise SettingsError(
            f"teacher.kind: an ensemble is trained on targets, which the task {dataset.task.kind!r} does not learn; use the kind "
            "single, or give trained teacher.files"
        )
    models = [model] * settings.members if isinstance(model, keras.Model) else list(model)
    check_members(models, [f"the teacher {model.name!r}" for model in models], dataset)
    train = dataset.weighted("train", dataset.x_train, pack_targets(dataset.y_train))
    validation = dataset.weighted("validation", dataset.x_validation, pack_targets(dataset.y_validation))
    jobs = [
        FitJob(
            member,
            targets_loss(dataset.task, n_outputs(member)),
            train,
            validation,
            settings,
            seed + number,
            f"teacher {number + 1} of {len(models)}",
            task=dataset.task,
        )
        for number, member in enumerate(models)
    ]
    results = run_jobs(jobs, workers=settings.workers, progress=progress)
    members = [result.model for result in results]
    logits = [all_logits(member, dataset) for member in members]
    histories = tuple(result.history for result in results)
    return _ensemble(members, logits, histories, dataset, settings, cache)


def load_ensemble(
    paths: Sequence[str | Path],
    dataset: Dataset,
    settings: TeacherSettings | None = None,
    *,
    cache: OutputCache | None = None,
) -> EnsembleTeacher:
    """Take trained `.keras` models as the members of an ensemble.

    Parameters
    ----------
    paths
        At least two files.
    dataset
        What they were trained for.
    settings
        `mean`.
    cache
        Where their logits are kept.

    Raises
    ------
    SettingsError
        For fewer than two files.
    DataError
        If a member is missing or unreadable, or its classes or inputs are not those of the data or of the others.
    """
    paths = [Path(path) for path in paths]
    if len(paths) < 2:
        raise SettingsError(f"teacher.files: an ensemble needs at least two members, not {len(paths)}")
    settings = settings or TeacherSettings(kind="ensemble", files=tuple(map(str, paths)))
    members = [load_model(path, dataset) for path in paths]
    check_members(members, [f"the member {path}" for path in paths], dataset)
    logits = []
    for member, path in zip(members, paths, strict=True):
        key = {"file": file_digest(path), "dataset": dataset.digest, "layer": "logits"}
        logits.append(cached_arrays(cache, key, lambda member=member: all_logits(member, dataset)))  # type: ignore[misc]
    made = _ensemble(members, logits, (), dataset, settings, cache)
    return replace(made, record=with_notes(made, dataset, "the ensemble").record)


def check_members(models: Sequence[keras.Model], names: Sequence[str], dataset: Dataset) -> None:
    """Raise `DataError` if a model does not fit the data or has other outputs than the first."""
    for model, name in zip(models, names, strict=True):
        check_fits(model, name, dataset.sample_shape, dataset.task)
        if n_outputs(model) != n_outputs(models[0]):
            raise DataError(
                f"{name} has {counted(n_outputs(model), 'output')} but {names[0]} has {n_outputs(models[0])}; the "
                "members of an ensemble need the same outputs"
            )


def _ensemble(
    members: Sequence[keras.Model],
    logits: Sequence[dict[str, np.ndarray]],
    histories: tuple[History, ...],
    dataset: Dataset,
    settings: TeacherSettings,
    cache: OutputCache | None,
) -> EnsembleTeacher:
    member_logits = {part: np.stack([one[part] for one in logits]) for part in PARTS}
    task = dataset.task
    means = (mean_outputs(member_logits[part], settings.mean, task) for part in PARTS)
    train, validation, test = means
    metrics = {
        **task.figures((dataset.y_validation, validation), (dataset.y_test, test)),
        "parameters": sum(member.count_params() for member in members),
    }
    for part in ("validation", "test"):
        of_members = [task.quality(dataset.part(part)[1], one[part]) for one in logits]
        metrics[f"member_{part}_{task.measure}"] = of_members
    weights = {
        f"{number}/{index}": array
        for number, member in enumerate(members)
        for index, array in enumerate(member.get_weights())
    }
    digest = arrays_digest({**weights, "logits": train})
    record = Record.of(digest, metrics)
    return EnsembleTeacher(
        None,
        train,
        validation,
        test,
        None,
        record,
        cache,
        tuple(members),
        member_logits,
        settings.mean,
        histories,
        task,
    )
