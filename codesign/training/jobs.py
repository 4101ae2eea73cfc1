"""Trainings complete in themselves: one after another here, or side by side in processes when that is faster.

The processes are loky's: they take their environment before anything is imported, do not run the user's script again, and
end with their task or their parent. Two of them cost 0.7 s of processor time to start, a Dask cluster of two 1.7 s, those of
`concurrent.futures` 0.2 s, which import the user's script a second time; TensorFlow's import takes 8 s in any of them.
"""

from __future__ import annotations

import contextlib
import logging
import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from codesign.core.progress import SILENT, Progress
from codesign.core.shown import Brief
from codesign.core.task import Task, task_from_json
from codesign.errors import TrainingError
from codesign.networks.joined import copied
from codesign.networks.logits import ending_in_logits
from codesign.settings import TrainingSettings
from codesign.training import losses_combined as losses_combined  # Keras finds a loss by its registered name
from codesign.training.fit import History, Samples, fit, make_reproducible

_log = logging.getLogger(__name__)

START_S = 8.0
"""What a process takes before it trains: mostly TensorFlow's import, measured on 2 cores."""

CROWDING = 1.3
"""How much longer a training takes while another one runs on the next core, measured on 2 cores."""

_LOOK_S = 0.3
"""How often it is looked how far the trainings are."""


@dataclass(frozen=True, eq=False)
class FitJob(Brief):
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
    train: Samples
    validation: Samples
    settings: TrainingSettings
    seed: int
    what: str = "training"
    weights: Sequence[np.ndarray] | None = None
    task: Task | None = None


@dataclass(frozen=True, eq=False)
class FitResult(Brief):
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
    model = ending_in_logits(copied(job.model, trained=False))
    if job.weights is not None:
        model.set_weights(job.weights)
    return model


def run_jobs(
    jobs: Sequence[FitJob], *, workers: int | None = None, progress: Progress = SILENT
) -> list[FitResult]:
    """Train several models; each result is the same wherever its job runs.

    Parameters
    ----------
    jobs
        The trainings.
    workers
        How many run side by side; 1 runs them here, one after another. ``None`` runs the first here, takes its time,
        and starts processes for the rest if they will be done sooner.
    progress
        Told after every epoch.

    Raises
    ------
    TrainingError
        If the loss of a training is not finite; the others are ended.
    """
    done: list[FitResult] = []
    left = list(jobs)
    if workers is None and len(left) > 1:
        started = time.monotonic()
        done.append(run_job(left.pop(0), progress))
        workers = workers_that_pay(time.monotonic() - started, len(left), _cores())
    if multiprocessing.current_process().daemon:  # a worker of a search, one of many, may start no processes
        workers = 1
    workers = min(workers or 1, len(left))
    if workers < 2 or not all(_can_travel(job.model) for job in left):
        return done + [run_job(job, progress) for job in left]
    return done + _side_by_side(left, workers, progress)


def workers_that_pay(seconds: float, n_jobs: int, n_cores: int) -> int:
    """How many processes to train with, 1 if training here is at least as fast.

    Parameters
    ----------
    seconds
        What one training takes here.
    n_jobs, n_cores
        How many are to be done, and on how many cores.
    """
    workers = min(n_jobs, n_cores)
    if workers < 2:
        return 1
    apart = START_S + math.ceil(n_jobs / workers) * seconds * CROWDING
    return workers if apart < n_jobs * seconds else 1


@dataclass(frozen=True, eq=False)
class _Travelling:
    """A job as plain values, for another process; its arrays, which jobs share, are files."""

    model: str
    loss: Mapping[str, Any]
    train: tuple[str, ...]
    validation: tuple[str, ...]
    settings: Mapping[str, Any]
    seed: int
    what: str
    weights: Sequence[np.ndarray] | None
    task: Mapping[str, Any] | None
    epochs: str
    """The file that says how many epochs are done, a byte each."""


def travelling(job: FitJob, folder: Path, written: dict[int, str]) -> _Travelling:
    """A job for another process; an array that an earlier job wrote (by its identity) is named again, not written.

    Parameters
    ----------
    job
        The training.
    folder
        Where arrays are written to.
    written
        The files of the arrays so far, by their identity; added to.
    """

    def kept(array: np.ndarray) -> str:
        if id(array) not in written:
            written[id(array)] = str(folder / f"{len(written)}.npy")
            np.save(written[id(array)], array)
        return written[id(array)]

    return _Travelling(
        model=job.model.to_json(),
        loss=keras.losses.serialize(job.loss),
        train=tuple(map(kept, job.train)),
        validation=tuple(map(kept, job.validation)),
        settings={name: getattr(job.settings, name) for name in TrainingSettings.model_fields},
        seed=job.seed,
        what=job.what,
        weights=job.weights,
        task=None if job.task is None else job.task.to_json(),
        epochs=tempfile.mkstemp(dir=folder, suffix=".epochs")[1],
    )


def arrived(job: _Travelling) -> FitJob:
    """The inverse of `travelling`."""

    def part(names: Sequence[str]) -> Samples:
        return tuple(np.load(name, mmap_mode="r") for name in names)

    return FitJob(
        keras.models.model_from_json(job.model),
        keras.losses.deserialize(job.loss),
        part(job.train),
        part(job.validation),
        TrainingSettings(**job.settings),
        job.seed,
        job.what,
        job.weights,
        None if job.task is None else task_from_json(dict(job.task)),
    )


class _Counted(Progress):
    """Progress as a byte an epoch in a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def show(self, what: str, done: int, total: int, note: str, values: Mapping[str, float]) -> None:
        """Note an epoch."""
        with open(self.path, "ab") as file:
            file.write(b".")


def train_apart(job: _Travelling) -> tuple[list[np.ndarray], History]:
    """Do a job in another process: the trained weights, and what the training went through."""
    result = run_job(arrived(job), _Counted(job.epochs))
    return result.model.get_weights(), result.history


def _side_by_side(jobs: Sequence[FitJob], workers: int, progress: Progress) -> list[FitResult]:
    from loky import ProcessPoolExecutor

    threads = str(max(1, _cores() // workers))
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    environment = {**dict.fromkeys(names, threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory(prefix="codesign-jobs-") as root:
        written: dict[int, str] = {}
        packed = [travelling(job, Path(root), written) for job in jobs]
        pool = ProcessPoolExecutor(workers, env=environment)
        try:
            running = [pool.submit(train_apart, job) for job in packed]
            _watch(running, jobs, packed, progress)
            return [_result(job, *future.result()) for job, future in zip(jobs, running, strict=True)]
        finally:
            # also those that still train, after a failure or Ctrl-C
            pool.shutdown(kill_workers=True)


def _watch(
    running: Sequence[Future[Any]], jobs: Sequence[FitJob], packed: Sequence[_Travelling], progress: Progress
) -> None:
    """Tell the epochs of all trainings together until they end; what one raised is raised here."""
    total, seen = sum(job.settings.epochs for job in jobs), [0] * len(jobs)
    while True:
        done, left = wait(running, timeout=_LOOK_S, return_when=FIRST_EXCEPTION)
        for number, job in enumerate(packed):
            with contextlib.suppress(OSError):
                now = os.path.getsize(job.epochs)
                for _ in range(now - seen[number]):
                    seen[number] += 1
                    progress.step(f"{len(jobs)} trainings", sum(seen), total, job.what)
        for future in done:
            error = future.exception()
            if error is not None and not isinstance(error, TrainingError):
                raise TrainingError(
                    f"a process that trained {len(jobs)} models side by side broke ({type(error).__name__}: {error}); "
                    "there may be too little memory: set workers to 1"
                ) from error
            future.result()
        if not left:
            return


def _result(job: FitJob, weights: list[np.ndarray], history: History) -> FitResult:
    model = ending_in_logits(job.model)
    model.set_weights(weights)
    return FitResult(model, history)


def _can_travel(model: keras.Model) -> bool:
    """Whether another process can build the model: layers of a design's own file are not known there."""
    own = [layer for layer in model.layers if not type(layer).__module__.startswith(("keras.", "qkeras."))]
    if own:
        _log.info("%s trains here: its layer %r is not one of Keras", model.name, own[0].name)
    return not own


def _cores() -> int:
    return len(os.sched_getaffinity(0))
