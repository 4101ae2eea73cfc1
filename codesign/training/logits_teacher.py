"""A teacher that is only an array: the logits of any model, of any framework, on the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codesign.core.files import arrays_digest
from codesign.core.record import Record
from codesign.core.text_table import counted
from codesign.data import Dataset
from codesign.data.split import PARTS
from codesign.errors import DataError
from codesign.networks.logits import are_probabilities
from codesign.training.given_teacher import require_knowledge
from codesign.training.teacher import Teacher, with_notes


def load_logits(path: str | Path, dataset: Dataset) -> Teacher:
    """Take an array of logits as the teacher.

    Parameters
    ----------
    path
        A `.npy` of shape `(n_rows, n_outputs)` with one row for each row of the data's source, in its order; or
        a `.npz` with the arrays `train`, `validation` and `test`, in the order of the dataset's parts.
    dataset
        Whose split says which row belongs where.

    Returns
    -------
    Teacher
        Its `model` is ``None``: it has soft targets, but no layers to learn from.

    Raises
    ------
    DataError
        If the file is missing or unreadable, rows or classes are not those of the data, a value is not finite, the
        values are probabilities, or they tell nothing of the targets.
    """
    path = Path(path)
    logits = _parts(path, dataset)
    for part in PARTS:
        _check(logits[part], f"the teacher {path}, {part} part", part, dataset)
    require_knowledge(logits["validation"], f"the teacher {path}", dataset)
    metrics = dataset.task.figures(
        *((dataset.part(part)[1], logits[part]) for part in ("validation", "test"))
    )
    record = Record.of(arrays_digest(logits), metrics)
    teacher = Teacher(None, logits["train"], logits["validation"], logits["test"], None, record)
    return with_notes(teacher, dataset, f"the teacher {path.name}")


def _parts(path: Path, dataset: Dataset) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise DataError(f"the teacher {path} does not exist; give a .npy or .npz file of logits")
    try:
        # opened here: NumPy leaves a damaged archive open
        with path.open("rb") as opened:
            kept = np.load(opened, allow_pickle=False)
            arrays = kept if isinstance(kept, np.ndarray) else {name: kept[name] for name in kept.files}
    except Exception as error:
        raise DataError(f"the teacher {path} cannot be read: {type(error).__name__}: {error}") from error
    if isinstance(arrays, np.ndarray):
        return _by_rows(arrays, path, dataset)
    missing = [part for part in PARTS if part not in arrays]
    if missing:
        raise DataError(
            f"the teacher {path} has no array {', '.join(missing)} (it has {', '.join(arrays)}); save the "
            "logits of the parts as train, validation and test"
        )
    return {part: _as_float(arrays[part], path) for part in PARTS}


def _by_rows(rows: np.ndarray, path: Path, dataset: Dataset) -> dict[str, np.ndarray]:
    needed = 1 + max(int(getattr(dataset.split, part).max()) for part in PARTS)
    if rows.ndim != 2 or len(rows) < needed:
        raise DataError(
            f"the teacher {path} has shape {rows.shape}, but the split takes rows up to {needed - 1} "
            "(counted from 0) of the data's source; give one row of logits for each row of the source, in its order"
        )
    every_row_is_used = sum(len(getattr(dataset.split, part)) for part in PARTS) == needed
    if every_row_is_used and len(rows) > needed:
        raise DataError(
            f"the teacher {path} has {counted(len(rows), 'row')}, but the data's source has {needed}; give one row of logits for "
            "each row of the source, in its order"
        )
    values = _as_float(rows, path)
    return {part: values[getattr(dataset.split, part)] for part in PARTS}


def _as_float(values: np.ndarray, path: Path) -> np.ndarray:
    if values.dtype.kind not in "fiu":
        raise DataError(f"the teacher {path} holds {values.dtype} values; logits are numbers")
    return values.astype(np.float32)


def _check(logits: np.ndarray, where: str, part: str, dataset: Dataset) -> None:
    n_samples = len(dataset.part(part)[1])
    allowed = dataset.task.allowed_outputs
    if logits.ndim != 2 or len(logits) != n_samples or logits.shape[1] not in allowed:
        columns = " or ".join(map(str, sorted(allowed)))
        raise DataError(
            f"{where}: the logits have shape {logits.shape}, but the data have {n_samples} samples of "
            f"{dataset.task.outputs_sentence}; the shape must be ({n_samples}, {columns})"
        )
    bad = int((~np.isfinite(logits)).any(axis=1).sum())
    if bad:
        raise DataError(f"{where}: {bad} of {n_samples} rows hold NaN or infinities; give finite logits")
    for _, task, _, own in dataset.task.each(dataset.part(part)[1], logits):
        if task.endings and are_probabilities(own):
            of_one = "softmax" in task.endings and own.shape[1] > 1
            will_do = "logarithm of the probabilities" if of_one else "logarithm of p / (1 - p)"
            raise DataError(
                f"{where}: every value is in 0 to 1, so these are probabilities; give logits (the {will_do} will do)"
            )
