"""Verify a project folder by itself: its own test-bench vectors, or given ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from codesign.core.progress import SILENT, Progress
from codesign.hls.project import open_project
from codesign.hls.testbench import read_vectors
from codesign.verification.ladder import Compute, Verification, climb
from codesign.verification.rungs import RUNGS


def verify_project(
    folder: str | Path,
    x: np.ndarray | None = None,
    golden: np.ndarray | None = None,
    *,
    rungs: Mapping[str, Compute] = RUNGS,
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
        What to compare.

    Raises
    ------
    StaleProjectError
        If the folder is no project, is half written, or was changed after its manifest.
    DataError
        If the vectors have the wrong shape or are off the input grid.
    """
    project = open_project(folder)
    name = "the given outputs"
    if x is None or golden is None:
        x, golden = read_vectors(project.folder, project.n_outputs)
        x = x.reshape(len(x), *project.input_shape)
        name = "the student's golden outputs"
    return climb(project, x, golden, reference_name=name, rungs=rungs, progress=progress)
