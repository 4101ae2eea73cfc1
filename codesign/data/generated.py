"""Data that a user's own Python file makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from codesign.core.python_file import run_python_file
from codesign.data.npz import arrays_data
from codesign.data.raw import RawData
from codesign.errors import DataError, PythonFileError


def make_data(path: Path, wanted: Sequence[str], seed: int, inputs: Sequence[str] = ()) -> RawData:
    """What `make_data(seed)` of a Python file returns: arrays by name, called as in an `.npz`.

    Parameters
    ----------
    path
        The file.
    wanted
        The target arrays that are asked for by name.
    seed
        Given to the function: the same seed must make the same data.
    inputs
        The arrays of several inputs, by name.

    Raises
    ------
    DataError
        If the file defines no such function, or it returns anything else.
    PythonFileError
        If the file or the function raises.
    """
    module = run_python_file(path, f"codesign_design_{path.parent.name}_{path.stem}")
    function = getattr(module, "make_data", None)
    if not callable(function):
        raise DataError(
            f"{path} defines no make_data(seed); add one that returns arrays by name, as in an .npz"
        )
    try:
        arrays = function(seed)
    except (Exception, SystemExit) as error:
        raise PythonFileError(f"{path}: make_data({seed}) raised {type(error).__name__}: {error}") from error
    if not isinstance(arrays, Mapping) or not all(isinstance(name, str) for name in arrays):
        raise DataError(
            f"{path}: make_data(seed) must return a mapping of names to arrays, as np.savez takes them, not "
            f"{type(arrays).__name__}"
        )
    return arrays_data(
        {name: np.asarray(array) for name, array in arrays.items()},
        path.parent.name,
        str(path),
        tuple(wanted),
        tuple(inputs),
    )
