"""Verify a project folder by itself: its own test-bench vectors, or given ones."""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.core.places import mistaken
from codesign.core.ports import row_shape
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.core.progress import SILENT, Progress
from codesign.emulation import Emulator
from codesign.errors import DataError, StaleProjectError
from codesign.hls.foreign import convert_foreign, require_same_firmware
from codesign.hls.graph import Graph, read_graph
from codesign.hls.project import CLASS_OUTPUTS, TASK, HlsProject, open_project, write_project
from codesign.hls.testbench import read_vectors
from codesign.verification.ladder import Compute, Verification, compare
from codesign.verification.rungs import ladder_rungs

if TYPE_CHECKING:
    import keras

ADOPTED = "build_codesign"
"""The folder below a project of hls4ml's own: the same project with graph, test bench and manifest."""


def adopt_project(folder: str | Path, load: Callable[[Path], keras.Model]) -> HlsProject:
    """Write a project that hls4ml wrote by itself again below it, and prove that it is the same.

    Its golden outputs are those of the emulation on its own test inputs, or on 200 random ones: there is no student.
    What stands there already and is still the same stays, with what was built in it.

    Parameters
    ----------
    folder
        A folder with hls4ml's configuration, the model beside it, and the sources.
    load
        Reads its `.keras` file.

    Raises
    ------
    StaleProjectError
        If its sources are not what its model and configuration give.
    ConversionError
        If hls4ml does not convert its model again, or what it computes is not known here.
    """
    folder = Path(folder)
    adopted = folder / ADOPTED
    with contextlib.suppress(StaleProjectError):
        project = open_project(adopted)
        require_same_firmware(folder, adopted)
        return project
    graph, target = convert_foreign(folder, load)
    values = read_graph(graph)
    x = _test_inputs(folder, values)
    golden = Emulator.of(values).outputs(x)
    shutil.rmtree(adopted, ignore_errors=True)
    project = write_project(graph, adopted, target, vectors=x, golden=golden, settings=_ADOPTED_SETTINGS)
    try:
        require_same_firmware(folder, adopted)
    except StaleProjectError:
        shutil.rmtree(adopted, ignore_errors=True)
        raise
    return project


_RANDOM_VECTORS = 200
_ADOPTED_SETTINGS = {"written_by": "hls4ml"}


def _test_inputs(folder: Path, graph: Graph) -> np.ndarray:
    """The inputs of hls4ml's own test bench, on the input grid, or random ones where it has none."""
    path = folder / "tb_data" / "tb_input_features.dat"
    ports = graph.input_ports
    shape = row_shape(ports)
    x = np.random.default_rng(0).normal(size=(_RANDOM_VECTORS, *shape))
    if path.is_file() and path.stat().st_size:
        try:
            x = np.loadtxt(path, ndmin=2).reshape(-1, *shape)
        except ValueError as error:
            raise DataError(f"{path} holds no inputs of shape {shape}: {error}") from None
    grids = {name: LayerPrecision(result=graph[name].result) for name in graph.inputs}
    return PrecisionMap(None, grids).quantize_inputs(ports, x)


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
        has_student = dict(project.settings) != _ADOPTED_SETTINGS
        name = f"the {'student' if has_student else 'emulation'}'s golden outputs"
    rungs = ladder_rungs() if rungs is None else rungs
    return compare(
        project,
        x,
        golden,
        reference_name=name,
        rungs=rungs,
        classes=_class_places(project.settings),
        progress=progress,
    )


def _class_places(settings: Mapping[str, Any]) -> dict[str, slice] | None:
    """Where a project's outputs decide on a class; ``None`` where nothing is said of a task: everywhere."""
    if TASK not in settings:
        return None
    return {head: slice(*place) for head, place in settings.get(CLASS_OUTPUTS, {}).items()}


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
        there = Path(path).is_file()
        raise DataError(
            mistaken(path, ".npz of test vectors", "array x", "write one by numpy.savez(FILE, x=X)")
            if not there or Path(path).suffix != ".npz"
            else f"{path} is no .npz of test vectors ({error}); write it again by numpy.savez"
        ) from error
    if "x" not in found:
        raise DataError(f"{path} holds {names}; test vectors are named x, and what must come out golden")
    for name, values in found.items():
        if values.dtype.kind not in "iuf" or not np.isfinite(values).all() or values.ndim < 2:
            raise DataError(
                f"{path}: {name} must hold finite real numbers, a row a sample, not {values.dtype} of shape {values.shape}"
            )
    return found["x"], found.get("golden")
