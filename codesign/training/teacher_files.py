"""Any teacher as files in a folder, and from the settings of a design."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from codesign.core.files import forget_moment, read_json, write_arrays, write_json
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.core.task import Task
from codesign.data import Dataset
from codesign.data.split import PARTS
from codesign.networks.loading import load_model
from codesign.settings import TeacherSettings
from codesign.training.cache import OutputCache
from codesign.training.ensemble import EnsembleTeacher, load_ensemble, train_ensemble
from codesign.training.fit import History
from codesign.training.logits_teacher import load_logits
from codesign.training.specialists import Specialist, SpecialistTeacher, train_specialists
from codesign.training.teacher import Teacher, load_teacher, train_teacher

_LOGITS, _MODEL, _GENERALIST, _SPECIALISTS = (
    "logits.npz",
    "teacher.keras",
    "generalist.keras",
    "specialists.json",
)
_MEMBERS = "members.npz"


def make_teacher(
    settings: TeacherSettings,
    dataset: Dataset,
    folder: Path,
    build: Callable[[], keras.Model],
    *,
    seed: int = 0,
    cache: OutputCache | None = None,
    progress: Progress = SILENT,
) -> Teacher:
    """Train or load the teacher that the settings describe.

    Parameters
    ----------
    settings
        Its kind, files, members, clusters.
    dataset
        What it learns from.
    folder
        What its files are relative to.
    build
        Makes the untrained architecture; not called where trained files are given.
    seed
        Of its first network.
    cache
        Where it keeps what it computes.
    progress
        Told after every epoch.
    """
    if settings.kind == "logits":
        return load_logits(folder / str(settings.file), dataset)
    if settings.files:
        return load_ensemble([folder / name for name in settings.files], dataset, settings, cache=cache)
    if settings.file is not None:
        return load_teacher(folder / settings.file, dataset, cache=cache)
    model = build()
    if settings.kind == "ensemble":
        return train_ensemble(model, dataset, settings, seed=seed, cache=cache, progress=progress)
    if settings.kind == "specialists":
        return train_specialists(model, dataset, settings, seed=seed, cache=cache, progress=progress)
    return replace(train_teacher(model, dataset, settings, seed=seed, progress=progress), cache=cache)


def save_teacher(teacher: Teacher, folder: Path) -> None:
    """Write a teacher's networks and logits; its record and history are kept by the stage."""
    write_arrays(folder / _LOGITS, {part: getattr(teacher, f"{part}_logits") for part in PARTS})
    if teacher.model is not None:
        teacher.model.save(folder / _MODEL)
    if isinstance(teacher, EnsembleTeacher):
        for number, member in enumerate(teacher.members):
            member.save(folder / f"member_{number}.keras")
        write_arrays(folder / _MEMBERS, teacher.member_logits or {})
    if isinstance(teacher, SpecialistTeacher) and teacher.generalist is not None:
        teacher.generalist.save(folder / _GENERALIST)
        for number, specialist in enumerate(teacher.specialists):
            specialist.model.save(folder / f"specialist_{number}.keras")
        kept = [{"classes": one.classes, "dustbin_shift": one.dustbin_shift} for one in teacher.specialists]
        write_json(folder / _SPECIALISTS, kept)
    for path in folder.glob("*.keras"):
        forget_moment(path)


def read_teacher(
    folder: Path,
    settings: TeacherSettings,
    history: History | None,
    record: Record,
    cache: OutputCache | None = None,
    task: Task | None = None,
) -> Teacher:
    """Read what `save_teacher` wrote."""
    train, validation, test = _parts(folder / _LOGITS)
    common = (train, validation, test, history, record, cache)
    if (folder / _MEMBERS).is_file():
        paths = sorted(folder.glob("member_*.keras"), key=lambda path: int(path.stem.split("_")[1]))
        logits = dict(zip(PARTS, _parts(folder / _MEMBERS), strict=True))
        return EnsembleTeacher(None, *common, tuple(map(_load, paths)), logits, settings.mean, task=task)
    if (folder / _SPECIALISTS).is_file():
        specialists = tuple(
            Specialist(
                tuple(one["classes"]), _load(folder / f"specialist_{number}.keras"), one["dustbin_shift"]
            )
            for number, one in enumerate(read_json(folder / _SPECIALISTS))
        )
        return SpecialistTeacher(None, *common, _load(folder / _GENERALIST), specialists)
    model = _load(folder / _MODEL) if (folder / _MODEL).is_file() else None
    return Teacher(model, *common)


def _load(path: Path) -> keras.Model:
    return load_model(path, "the teacher")


def _parts(path: Path) -> list[np.ndarray]:
    with np.load(path) as file:
        return [file[part] for part in PARTS]
