"""One training, complete in itself, so that it can run here or in another process with the same result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from codesign.core.progress import SILENT, Progress
from codesign.core.task import Task
from codesign.networks.logits import ending_in_logits, untrained_copy
from codesign.settings import TrainingSettings
from codesign.training.fit import History, fit, make_reproducible

Part = tuple[np.ndarray, ...]
"""Inputs, targets and perhaps the samples' weights."""


@dataclass(frozen=True, eq=False)
class FitJob:
    """One training, complete in itself.

    Parameters
    ----------
    model
        The architecture; a softmax or sigmoid at its end is left out. It is not changed.
    loss
        A Keras loss that can be serialised, on packed targets.
    train, validation
        Inputs and packed targets.
    settings
        Epochs, batch size, learning rate.
    seed
        Of the initial weights, the order of the samples and dropout.
    what
        For progress and messages.
    weights
        The weights to begin with, as `keras.Model.get_weights` gives them, instead of those drawn from the seed.
    task
        What is learnt, whose measure chooses the epoch; by default one with classes.
    """

    model: keras.Model
    loss: keras.losses.Loss
    train: Part
    validation: Part
    settings: TrainingSettings
    seed: int
    what: str = "training"
    weights: Sequence[np.ndarray] | None = None
    task: Task | None = None


@dataclass(frozen=True, eq=False)
class FitResult:
    """A trained model, ending at its logits, and what its training went through."""

    model: keras.Model
    history: History


def run_job(job: FitJob, progress: Progress = SILENT) -> FitResult:
    """Train one model here; `TrainingError` if its loss is not finite."""
    model = job_model(job)
    history = fit(
        model,
        job.loss,
        job.train,
        job.validation,
        job.settings,
        task=job.task,
        progress=progress,
        what=job.what,
    )
    return FitResult(model, history)


def job_model(job: FitJob) -> keras.Model:
    """The model that a job trains, before its training."""
    make_reproducible(job.seed)
    model = ending_in_logits(untrained_copy(job.model))
    if job.weights is not None:
        model.set_weights(job.weights)
    return model
