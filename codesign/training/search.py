"""Temperature and alpha chosen on the validation part, with the whole table of what was tried."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from codesign.core.progress import SILENT, Progress
from codesign.data import Dataset
from codesign.networks import joined
from codesign.networks.logits import ending_in_logits, predict_logits
from codesign.settings import DistillationSettings, TrainingSettings
from codesign.training.jobs import FitJob, run_jobs
from codesign.training.lesson import make_lesson
from codesign.training.objectives import objective_of
from codesign.training.teacher import Teacher


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
        lesson = make_lesson(ending_in_logits(model), teacher, dataset, with_pair)
        what = f"student T={temperature:g} alpha={alpha:g}"
        parts = lesson.train, lesson.validation
        jobs.append(FitJob(lesson.model, lesson.loss, *parts, short, seed, what, task=dataset.task))
    results = run_jobs(jobs, workers=search.workers, progress=progress)
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
