"""A `Dataset` on disk: one `.npz`, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codesign.core.files import write_arrays
from codesign.core.ports import Port
from codesign.core.task import task_from_json
from codesign.data.dataset import Dataset
from codesign.data.npz import read_npz
from codesign.data.scaling import Scaling
from codesign.data.split import PARTS, Split
from codesign.errors import DataError, OutputFolderError

_FORMAT = "codesign.Dataset/2"


def save_dataset(dataset: Dataset, path: str | Path) -> Path:
    """Write a dataset with its scaling, names and split.

    Parameters
    ----------
    dataset
        What to keep.
    path
        A `.npz` file; its folder is made if it is missing, an older file is replaced in one step.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    DataError
        If the path does not end in `.npz`.
    OutputFolderError
        If it cannot be written; then nothing of it is left behind.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise DataError(f"{path}: a dataset is saved as .npz, not {path.suffix or 'without an extension'}")
    about = {
        "format": _FORMAT,
        "digest": dataset.digest,
        "name": dataset.name,
        "feature_names": dataset.feature_names,
        "task": dataset.task.to_json(),
        "notes": dataset.notes,
        "inputs": [[port.name, port.shape] for port in dataset.inputs],
        "scaling": dataset.scaling.to_json(),
        "seed": dataset.split.seed,
        "fractions": dataset.split.fractions,
    }
    rows = {f"rows_{part}": getattr(dataset.split, part) for part in PARTS}
    try:
        return write_arrays(path, {**dataset.part_arrays(), **rows, "dataset": np.array(json.dumps(about))})
    except OSError as error:
        raise OutputFolderError(
            f"{path}: the dataset cannot be written ({error}); free space or choose another folder"
        ) from error


def read_dataset(path: str | Path) -> Dataset:
    """Read what `save_dataset` wrote.

    Parameters
    ----------
    path
        The `.npz` file.

    Raises
    ------
    DataError
        If the file is missing, is no saved dataset, or its content is not what was written.
    """
    path = Path(path)
    arrays = read_npz(path)
    if "dataset" not in arrays:
        raise DataError(
            f"{path}: not a dataset that save_dataset wrote (keys: {', '.join(arrays)}); "
            f"raw data are read by load_dataset"
        )
    try:
        about = json.loads(str(arrays["dataset"]))
        if about["format"] != _FORMAT:
            raise ValueError(f"format {about['format']!r}, this program reads {_FORMAT!r}")
        dataset = _assemble(arrays, about)
    except (DataError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: a dataset that cannot be used ({error}); make it again") from error
    if dataset.digest != about["digest"]:
        raise DataError(f"{path}: the content does not have the digest it was written with; make it again")
    return dataset


def _assemble(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Dataset:
    return Dataset(
        name=about["name"],
        feature_names=tuple(about["feature_names"]),
        task=task_from_json(about["task"]),
        scaling=Scaling.from_json(about["scaling"]),
        split=Split(
            arrays["rows_train"],
            arrays["rows_validation"],
            arrays["rows_test"],
            seed=about["seed"],
            fractions=about["fractions"],
        ),
        notes=tuple(about["notes"]),
        inputs=tuple(Port(name, tuple(shape)) for name, shape in about.get("inputs", ())),
        **{key: arrays[key] for part in PARTS for key in (f"x_{part}", f"y_{part}")},
        **{key: arrays[key] for key in ("weights_train", "weights_validation") if key in arrays},
    )
