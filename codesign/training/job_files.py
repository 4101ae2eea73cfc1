"""A training and its result as files, for another process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from codesign.core.files import read_json, write_json
from codesign.core.task import task_from_json
from codesign.networks.logits import ending_in_logits
from codesign.settings import TrainingSettings
from codesign.training import (
    losses_combined as losses_combined,
)  # Keras finds the loss by its registered name
from codesign.training.fit import read_history
from codesign.training.job import FitJob, FitResult


def write_job(job: FitJob, folder: Path, arrays: Path, written: dict[int, str]) -> None:
    """Put a job into files; an array that an earlier job wrote (by its identity) is named again, not written."""
    names = {}
    parts = {"": job.train, "_validation": job.validation}
    named = [
        (f"{name}{part}", array)
        for part, own in parts.items()
        for name, array in zip("xyw", own, strict=False)
    ]
    for name, array in named:
        if id(array) not in written:
            written[id(array)] = f"{len(written)}.npy"
            np.save(arrays / written[id(array)], array)
        names[name] = str(arrays / written[id(array)])
    if job.weights is not None:
        np.savez(folder / "weights.npz", *job.weights)
    settings = TrainingSettings(
        **{name: getattr(job.settings, name) for name in TrainingSettings.model_fields}
    )
    write_json(
        folder / "job.json",
        {
            "model": job.model.to_json(),
            "loss": keras.losses.serialize(job.loss),
            "settings": settings.model_dump(mode="json"),
            "seed": job.seed,
            "what": job.what,
            "arrays": names,
            "task": None if job.task is None else job.task.to_json(),
        },
    )


def _part(arrays: dict[str, np.ndarray], part: str) -> Any:
    """Inputs, targets and, where there are any, weights."""
    return tuple(np.asarray(arrays[f"{name}{part}"]) for name in "xyw" if f"{name}{part}" in arrays)


def read_job(folder: Path) -> FitJob:
    """The inverse of `write_job`."""
    kept: dict[str, Any] = read_json(folder / "job.json")
    arrays = {name: np.load(path, mmap_mode="r") for name, path in kept["arrays"].items()}
    weights = None
    if (folder / "weights.npz").is_file():
        with np.load(folder / "weights.npz") as file:
            weights = [file[name] for name in file.files]
    return FitJob(
        keras.models.model_from_json(kept["model"]),
        keras.losses.deserialize(kept["loss"]),
        _part(arrays, ""),
        _part(arrays, "_validation"),
        TrainingSettings.model_validate(kept["settings"]),
        kept["seed"],
        kept["what"],
        weights,
        None if kept["task"] is None else task_from_json(kept["task"]),
    )


def write_result(result: FitResult, folder: Path) -> None:
    """Put what a job made into files."""
    np.savez(folder / "trained.npz", *result.model.get_weights())
    write_json(folder / "history.json", result.history.to_json())


def read_result(job: FitJob, folder: Path) -> FitResult:
    """The inverse of `write_result`."""
    model = ending_in_logits(job.model)
    with np.load(folder / "trained.npz") as file:
        model.set_weights([file[name] for name in file.files])
    return FitResult(model, read_history(folder / "history.json"))
