"""Reading `.npz` files without ever unpickling."""

from __future__ import annotations

import pickle
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from codesign.data.table import Table, make_table
from codesign.errors import DataError

_DAMAGED = (EOFError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError, pickle.UnpicklingError)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a `.npz`, by key.

    Raises
    ------
    DataError
        If the file is missing, unreadable or damaged, or an array needs pickle, which could run code.
    """
    try:
        # opened here, because numpy.load leaves a damaged file open
        with path.open("rb") as file:
            return _read_open(file, path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); check the file") from error


def _read_open(file: BinaryIO, path: Path) -> dict[str, np.ndarray]:
    try:
        stored = np.load(file, allow_pickle=False)
    except _DAMAGED as error:
        raise DataError(f"{path}: not a readable .npz ({error}); write it with numpy.savez") from error
    if isinstance(stored, np.ndarray):
        raise DataError(f"{path}: a single array, not a .npz; write X and y with numpy.savez")
    arrays = {}
    with stored:
        for key in stored.files:
            try:
                arrays[key] = stored[key]
            except _DAMAGED as error:
                if "allow_pickle" in str(error):
                    raise DataError(
                        f"{path}: {key} is an array of Python objects, which needs pickle and is never read; "
                        f"save numbers, or text as numpy.asarray({key}, dtype=str)"
                    ) from error
                raise DataError(f"{path}: {key} cannot be read, the file is damaged ({error})") from error
    return arrays


def read_npz_table(path: Path, *, name: str | None = None) -> Table:
    """Raw data from a `.npz` with `X`, `y` and, if known, `feature_names` and `class_names`.

    Parameters
    ----------
    path
        The file.
    name
        What the data is called; the file's name without extension by default.

    Raises
    ------
    DataError
        If `X` or `y` is not among the keys (those present are listed), or the content cannot be used.
    """
    arrays = read_npz(path)
    if "dataset" in arrays:
        raise DataError(f"{path}: a saved dataset, already split and scaled; read it with read_dataset")
    missing = [key for key in ("X", "y") if key not in arrays]
    if missing:
        raise DataError(
            f"{path}: {' and '.join(missing)} not found among its keys ({', '.join(arrays) or 'none'}); "
            f"name the features X and the labels y"
        )
    return make_table(
        arrays["X"],
        arrays["y"],
        name=name or path.stem,
        where=str(path),
        feature_names=_names(arrays, "feature_names"),
        class_names=_names(arrays, "class_names"),
    )


def _names(arrays: dict[str, np.ndarray], key: str) -> list[str] | None:
    if key not in arrays:
        return None
    names = np.atleast_1d(arrays[key])
    return [
        name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        for name in names.ravel().tolist()
    ]
