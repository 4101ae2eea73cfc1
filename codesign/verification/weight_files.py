"""The weights as they stand in a project's files: what g++ reads, and what the vendor's synthesis compiles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codesign.core.shown import Brief
from codesign.errors import StaleProjectError
from codesign.hls.graph import Graph, Node
from codesign.hls.project import HlsProject

_LAYER = re.compile(r"^\s*nnet::\w+<.*>\((?P<arguments>[^()]*)\);\s*//\s*(?P<name>\w+)\s*$", re.MULTILINE)
_LOADED = re.compile(r'nnet::load_weights_from_txt<\w+, \d+>\((?P<variable>\w+), "(?P<file>[\w.]+)"\)')
_ARRAY = re.compile(r"=\s*\{(?P<values>[^}]*)\}")


@dataclass(frozen=True, eq=False)
class WeightFile(Brief):
    """One file of weights that differs from the converted graph.

    Parameters
    ----------
    layer, tensor
        Whose weights: ``weight``, ``bias``, ``scale`` ...
    file
        Its name below ``firmware/weights``.
    values
        What the design would hold when it is read: float64, in the graph's layout.
    different
        How many values differ from the graph's.
    decimals
        The most decimals that a number in it has.
    """

    layer: str
    tensor: str
    file: str
    values: np.ndarray
    different: int
    decimals: int


def changed_weight_files(project: HlsProject, graph: Graph) -> Iterator[WeightFile]:
    """The files of weights that do not hold what the graph holds, in the order of the layers.

    Raises
    ------
    StaleProjectError
        If a file is missing or holds something else than numbers.
    """
    source = (project.folder / "firmware" / f"{project.top}.cpp").read_text(encoding="utf-8")
    loaded = {match["variable"]: match["file"] for match in _LOADED.finditer(source)}
    arguments = {
        match["name"]: [word.strip() for word in match["arguments"].split(",")]
        for match in _LAYER.finditer(source)
    }
    folder = project.folder / "firmware" / "weights"
    for node in graph:
        variables = [name for name in arguments.get(node.name, ()) if name in loaded]
        for tensor, variable in zip(node.weights, variables, strict=False):
            for file in (loaded[variable], f"{variable}.h"):
                found = _compare(node, tensor, folder / file)
                if found is not None:
                    yield found


def _compare(node: Node, tensor: str, path: Path) -> WeightFile | None:
    words = _numbers(path)
    expected = node.weights[tensor]
    try:
        values = np.array([float(word) for word in words])
    except ValueError as error:
        raise StaleProjectError(
            f"{path} holds something else than numbers ({error}); convert again"
        ) from error
    if values.size != expected.size:
        raise StaleProjectError(f"{path} holds {values.size} numbers, not {expected.size}; convert again")
    held = np.asarray(node.types[tensor].quantize(values))
    # the resource strategy stores the outputs first
    layouts = [held.reshape(expected.shape)]
    if expected.ndim > 1:
        last_first = (expected.shape[-1], *expected.shape[:-1])
        layouts.append(np.moveaxis(held.reshape(last_first), 0, -1))
    different = [int((layout != expected).sum()) for layout in layouts]
    best = int(np.argmin(different))
    if not different[best]:
        return None
    decimals = max((len(word.partition(".")[2]) for word in words), default=0)
    return WeightFile(node.name, tensor, path.name, layouts[best], different[best], decimals)


def _numbers(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StaleProjectError(f"{path} cannot be read ({error.strerror}); convert again") from error
    if path.suffix == ".h":
        match = _ARRAY.search(text)
        if match is None:
            raise StaleProjectError(f"{path} holds no array; convert again")
        text = match["values"]
    return [word.strip() for word in text.replace("\n", ",").split(",") if word.strip()]
