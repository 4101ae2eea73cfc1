"""An HLS project on disk: written whole, with a manifest that tells whether a file was changed since."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from codesign.core.files import arrays_digest, forget_moment, json_digest
from codesign.core.places import GRAPH as GRAPH
from codesign.core.ports import n_values, row_shape
from codesign.core.sealed import HLS_PROJECT, field
from codesign.core.shown import Shown
from codesign.core.target import Backend, IoType, Target
from codesign.hls.graph import Graph, read_graph
from codesign.hls.testbench import write_testbench, write_vectors

if TYPE_CHECKING:
    from hls4ml.model import ModelGraph

MANIFEST = HLS_PROJECT.manifest
TASK, CLASS_OUTPUTS = "task", "class_outputs"
"""In a project's settings: the kind of a task whose outputs do not all decide on one class, and where those stand that do."""


@dataclass(frozen=True)
class HlsProject(Shown):
    """A directory of HLS sources, its manifest read and checked.

    Parameters
    ----------
    folder
        The project's directory.
    top
        The name of the top-level function.
    target
        Part, clock, back end and io type.
    input_shape
        The shape of one sample; all values of several inputs, flat (see `codesign.core.ports`).
    n_outputs
        The number of output values of a sample, at all outputs together.
    digest
        SHA-256 over all sources, weights, graph and settings.
    settings
        What the project was made with, for people and comparisons.
    """

    folder: Path
    top: str
    target: Target
    input_shape: tuple[int, ...]
    n_outputs: int
    digest: str
    settings: Mapping[str, Any]

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        target = self.target
        return {
            "folder": str(self.folder),
            "top": self.top,
            "inputs": " x ".join(map(str, self.input_shape)),
            "outputs": str(self.n_outputs),
            "part": target.part,
            "clock": f"{target.clock_period_ns:g} ns",
            "back end": f"{target.backend}, {target.io_type}",
        }

    @property
    def n_inputs(self) -> int:
        """The number of input values of a sample."""
        return int(np.prod(self.input_shape))

    def graph(self) -> Graph:
        """The graph with all types and weights, without hls4ml."""
        return Graph.load(self.folder / GRAPH)


def write_project(
    graph: ModelGraph,
    folder: str | Path,
    target: Target,
    *,
    vectors: np.ndarray,
    golden: np.ndarray,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> HlsProject:
    """Write an hls4ml graph as a project: sources, test bench with vectors and golden outputs, graph, manifest.

    Everything is written beside `folder` and moved into place at the end, so that old and new files never mix.

    Parameters
    ----------
    graph
        From `codesign.hls.convert.convert_graph`, with this same `folder`.
    folder
        The project's directory.
    target
        What the graph was converted for.
    vectors, golden
        Test-bench inputs `(n, *input_shape)` on the input grid, and the outputs `(n, n_outputs)` they must give; several
        inputs and outputs side by side.
    settings
        Kept in the manifest.
    overwrite
        Replace an existing project.

    Raises
    ------
    OutputFolderError
        If `folder` exists and is not to be overwritten, is no project, or cannot be written.
    """
    folder = Path(folder)

    def fill(temporary: Path) -> dict[str, Any]:
        values = read_graph(graph)
        graph.config.config["OutputDir"] = str(temporary)
        with contextlib.redirect_stdout(io.StringIO()):
            graph.write()
        shape = row_shape(values.input_ports)
        top = str(graph.config.get_project_name())
        write_testbench(temporary, top, n_values(values.input_ports))
        write_vectors(temporary, vectors, golden)
        values.save(temporary / GRAPH)
        _strip_paths_and_times(temporary, graph.config.config["Stamp"], values.digest)
        return {
            "top": top,
            "target": vars(target),
            "input_shape": list(shape),
            "n_outputs": n_values(values.output_ports),
            "settings": dict(settings or {}),
            "settings_digest": json_digest(dict(settings or {})),
            "weights_digest": arrays_digest(
                {f"{node.name}/{key}": value for node in values.nodes for key, value in node.weights.items()}
            ),
            "versions": {name: importlib.metadata.version(name) for name in ("hls4ml", "keras")},
        }

    HLS_PROJECT.write(folder, fill, overwrite=overwrite)
    return open_project(folder)


def open_project(folder: str | Path) -> HlsProject:
    """Read a project's manifest and check every file against it.

    Raises
    ------
    StaleProjectError
        If the folder is no project, is half written, its manifest is damaged, or a file is missing or was changed.
    """
    manifest = HLS_PROJECT.open(folder)

    def project(values: Mapping[str, Any]) -> HlsProject:
        shape = tuple(field(values, "input_shape", list))
        if not shape or not all(isinstance(length, int) and length > 0 for length in shape):
            raise ValueError(f"input_shape is {list(shape)}")
        settings = field(values, "settings", dict)
        if field(values, "settings_digest", str) != json_digest(settings):
            raise ValueError("its settings are not those of settings_digest")
        return HlsProject(
            folder=Path(folder),
            top=field(values, "top", str),
            target=_target(field(values, "target", dict)),
            input_shape=shape,
            n_outputs=field(values, "n_outputs", int),
            digest=json_digest([dict(manifest.files), values["settings_digest"]]),
            settings=settings,
        )

    return manifest.of(project)


def _target(values: Mapping[str, Any]) -> Target:
    target = Target(
        part=field(values, "part", str),
        clock_period_ns=field(values, "clock_period_ns", float),
        backend=field(values, "backend", str),  # type: ignore[arg-type]
        io_type=field(values, "io_type", str),  # type: ignore[arg-type]
    )
    if target.backend not in get_args(Backend) or target.io_type not in get_args(IoType):
        raise ValueError(f"target is {dict(values)}")
    return target


def _strip_paths_and_times(folder: Path, stamp: str, digest: str) -> None:
    """Make a project the same bytes wherever and whenever it is written, so that it can be moved and compared.

    hls4ml writes its output folder and a random stamp into some files, Keras the time into its own.
    """
    for path in folder.rglob("*"):
        if path.suffix in (".yml", ".tcl", ".sh", ".cpp", ".h"):
            text = path.read_text(encoding="utf-8", errors="replace")
            changed = text.replace(str(folder), ".")
            if path.suffix in (".yml", ".sh"):
                # YAML quotes a stamp that could be read as a number
                changed = changed.replace(f"'{stamp}'", stamp).replace(stamp, digest[: len(stamp)])
            if changed != text:
                path.write_text(changed, encoding="utf-8")
        elif path.suffix == ".keras":
            forget_moment(path)
