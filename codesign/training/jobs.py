"""Several trainings: one after another here, or side by side in processes when that is faster."""

from __future__ import annotations

import logging
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import keras

from codesign.core.files import read_json
from codesign.core.process import run_process
from codesign.core.progress import SILENT, Progress
from codesign.errors import ToolFailedError, TrainingError
from codesign.training.job import FitJob, FitResult, run_job
from codesign.training.job_files import read_result, write_job

_log = logging.getLogger(__name__)

START_S = 8.0
"""What a process takes before it trains: mostly TensorFlow's import, measured on 2 cores."""

CROWDING = 1.3
"""How much longer a training takes while another one runs on the next core, measured on 2 cores."""

_FAILED = 3  # the worker's exit code for a training that went wrong, as opposed to a worker that broke


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


def _side_by_side(jobs: Sequence[FitJob], workers: int, progress: Progress) -> list[FitResult]:
    stop = threading.Event()
    shown = _Shown(jobs, progress, stop)
    with tempfile.TemporaryDirectory(prefix="codesign-jobs-") as root:
        arrays = Path(root) / "arrays"
        arrays.mkdir()
        folders, written = [Path(root) / str(number) for number in range(len(jobs))], dict[int, str]()
        for job, folder in zip(jobs, folders, strict=True):
            folder.mkdir()
            write_job(job, folder, arrays, written)
        threads = max(1, _cores() // workers)
        with ThreadPoolExecutor(workers) as pool:
            running = [
                pool.submit(_in_process, folder, number, threads, shown)
                for number, folder in enumerate(folders)
            ]
            try:
                wait(running, return_when=FIRST_EXCEPTION)
                failed = [future for future in running if future.done() and future.exception() is not None]
                for future in failed:
                    future.result()
            except BaseException:
                stop.set()
                for future in running:
                    future.cancel()
                raise
        return [read_result(job, folder) for job, folder in zip(jobs, folders, strict=True)]


class _Shown:
    """Passes on what the workers say, one epoch a line."""

    def __init__(self, jobs: Sequence[FitJob], progress: Progress, stop: threading.Event) -> None:
        self.jobs, self.progress, self.stop, self.lock = jobs, progress, stop, threading.Lock()
        self.epochs = [0] * len(jobs)

    def line(self, number: int, text: str) -> None:
        if self.stop.is_set():
            raise TrainingError(f"{self.jobs[number].what}: ended because another training failed")
        if not text.startswith("epoch "):
            _log.info("%s: %s", self.jobs[number].what, text)
            return
        with self.lock:
            self.epochs[number] = int(text.split()[1])
            total = sum(job.settings.epochs for job in self.jobs)
            self.progress.step(f"{len(self.jobs)} trainings", sum(self.epochs), total, self.jobs[number].what)


def _in_process(folder: Path, number: int, threads: int, shown: _Shown) -> None:
    if shown.stop.is_set():
        return
    try:
        run_process(
            [sys.executable, "-m", "codesign.training.job_worker", folder],
            cwd=folder,
            env=_environment(threads),
            on_line=lambda text: shown.line(number, text),
        )
    except ToolFailedError as error:
        if error.exit_code == _FAILED:
            raise TrainingError(read_json(folder / "error.json")["message"]) from None
        raise


def _environment(threads: int) -> Mapping[str, str]:
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    count = str(threads)
    return {
        "PYTHONPATH": path,
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": count,
        "OMP_NUM_THREADS": count,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _can_travel(model: keras.Model) -> bool:
    """Whether another process can build the model: layers of a design's own file are not known there."""
    own = [layer for layer in model.layers if not type(layer).__module__.startswith(("keras.", "qkeras."))]
    if own:
        _log.info("%s trains here: its layer %r is not one of Keras", model.name, own[0].name)
    return not own


def _cores() -> int:
    return len(os.sched_getaffinity(0))
