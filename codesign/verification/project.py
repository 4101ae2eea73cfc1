"""Verify a project folder by itself: its own test-bench vectors, or given ones."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from codesign.core.progress import SILENT, Progress
from codesign.errors import DataError
from codesign.hls.project import open_project
from codesign.hls.testbench import read_vectors
from codesign.verification.ladder import Compute, Verification, compare
from codesign.verification.rungs import ladder_rungs


def verify_project(
    folder: str | Path,
    x: np.ndarray | None = None,
    golden: np.ndarray | None = None,
    *,
    rungs: Mapping[str, Compute] | None = None,
    progress: Progress = SILENT,
) -> Verification:
    """Climb the ladder on a project, without the student that it came from.

    Parameters
    ----------
    folder
        A project written by `codesign.hls.project.write_project`.
    x, golden
        Inputs `(n_samples, *input_shape)` on the input grid and what must come out, `(n_samples, n_outputs)`; by
        default the project's own test bench, whose golden outputs are the student's.
    rungs
        What to compare; by default everything that was built: see `codesign.verification.rungs.ladder_rungs`.

    Raises
    ------
    StaleProjectError
        If the folder is no project, is half written, or was changed after its manifest.
    DataError
        If the vectors have the wrong shape or are off the input grid.
    """
    project = open_project(folder)
    name = "the given outputs"
    if (x is None) != (golden is None):
        raise DataError(
            "a project is compared with outputs for the very inputs: give both x and golden, or neither"
        )
    if x is None or golden is None:
        x, golden = read_vectors(project.folder, project.n_outputs)
        x = x.reshape(len(x), *project.input_shape)
        name = "the student's golden outputs"
    rungs = ladder_rungs() if rungs is None else rungs
    return compare(project, x, golden, reference_name=name, rungs=rungs, progress=progress)


def read_vector_file(path: str | Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read test vectors: a .npz with `x` of shape `(n_samples, *input_shape)` and perhaps `golden`, `(n_samples, n_outputs)`.

    Raises
    ------
    DataError
        If the file is missing, no .npz, has no `x`, or holds anything but finite real numbers.
    """
    try:
        with Path(path).open("rb") as file, np.load(file) as arrays:
            found = {name: arrays[name] for name in ("x", "golden") if name in arrays}
            names = ", ".join(arrays.files) or "nothing"
    except (OSError, EOFError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no .npz of test vectors ({error})") from error
    if "x" not in found:
        raise DataError(f"{path} holds {names}; test vectors are named x, and what must come out golden")
    for name, values in found.items():
        if values.dtype.kind not in "iuf" or not np.isfinite(values).all() or values.ndim < 2:
            raise DataError(
                f"{path}: {name} must hold finite real numbers, a row a sample, not {values.dtype} of shape {values.shape}"
            )
    return found["x"], found.get("golden")
