"""The mismatch doctor on a project folder: its weight files, its layers, its C++."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from codesign.core.layer_trace import LayerTrace
from codesign.emulation import emulate
from codesign.errors import DataError, ToolNotFoundError
from codesign.hls.csim import run_csim
from codesign.hls.graph import Graph, Node
from codesign.hls.project import HlsProject, open_project
from codesign.hls.testbench import read_vectors
from codesign.verification.csim_trace import trace_csim
from codesign.verification.doctor import diagnose, diagnose_outputs
from codesign.verification.doctor_record import Cause, Diagnosis
from codesign.verification.weight_files import changed_weight_files


def diagnose_project(
    project: HlsProject | str | Path,
    x: np.ndarray | None = None,
    golden: np.ndarray | None = None,
    *,
    reference: LayerTrace | None = None,
) -> Diagnosis | None:
    """Find the first layer of a project that does not compute what it should, and why.

    Parameters
    ----------
    project
        A project, or its folder.
    x, golden
        Inputs `(n_samples, *input_shape)` and what must come out, `(n_samples, n_outputs)`; by default the
        project's own test bench.
    reference
        What every layer must compute for `x`; with it the layer is found by walking the layers, without it by
        asking which change of which layer gives the golden outputs.

    Returns
    -------
    Diagnosis or None
        ``None`` if weight files, layers and C++ agree with each other and with the reference.

    Raises
    ------
    StaleProjectError
        If the folder is no project, is half written, or was changed after its manifest.
    DataError
        If vectors and project, or vectors and reference, do not fit.
    """
    project = project if isinstance(project, HlsProject) else open_project(project)
    graph = project.graph()
    if x is None:
        if reference is not None:
            raise DataError("a reference was given without the inputs that it was computed for; give x too")
        x, golden = read_vectors(project.folder, project.n_outputs)
        x = x.reshape(len(x), *project.input_shape)
    found: list[Diagnosis | None] = [*_files(project, graph, x)]
    if reference is not None:
        found.append(diagnose(graph, x, reference))
    elif golden is not None:
        found.append(diagnose_outputs(graph, x, golden))
    order = [node.name for node in graph]
    known = sorted((one for one in found if one is not None), key=lambda one: order.index(one.layer))
    return known[0] if known else _cpp(project, graph, x)


def _files(project: HlsProject, graph: Graph, x: np.ndarray) -> Iterator[Diagnosis]:
    """The first layer whose weight files do not hold its weights, with what that changes."""
    file = next(changed_weight_files(project, graph), None)
    if file is None:
        return
    node = graph[file.layer]
    changed = replace(node, weights={**node.weights, file.tensor: file.values})
    nodes = tuple(changed if other is node else other for other in graph)
    right = emulate(graph, x, trace=True)[node.name]
    got = emulate(replace(graph, nodes=nodes), x, trace=True)[node.name]
    few = file.decimals < max(0, node.types[file.tensor].fractional_bits)
    cause: Cause = "weights printed with too few digits" if few else "weights differ"
    reader = "the vendor's synthesis compiles" if file.file.endswith(".h") else "the C simulation reads"
    what = (
        f"{file.different} of {file.values.size} values of {file.file}, which {reader}, are not those of the converted "
        f"network; it has {file.decimals} decimals and {node.types[file.tensor]} needs "
        f"{max(0, node.types[file.tensor].fractional_bits)}: convert the student again"
    )
    evidence = {
        "file": file.file,
        "tensor": file.tensor,
        "different": file.different,
        "decimals": file.decimals,
    }
    yield _compared(node, cause, got, right, what, "convert the student again", evidence)


def _cpp(project: HlsProject, graph: Graph, x: np.ndarray) -> Diagnosis | None:
    """The first layer that the C++ computes in another way than the emulation: a defect of one of them."""
    emulated = emulate(graph, x, trace=True)
    try:
        outputs = run_csim(project, x).outputs
    except ToolNotFoundError:
        return None
    last = graph[graph.outputs[0]]
    if np.array_equal(outputs, emulated[last.name].reshape(len(x), -1)):
        return None
    traced = {**trace_csim(project, x), last.name: outputs}
    node = next(
        node for node in graph if node.name in traced and not _same(traced[node.name], emulated[node.name])
    )
    types = {name: str(precision) for name, precision in node.types.items()}
    setting = "report it with the project: one of the two is wrong, not a setting"
    what = f"its {node.kind} is computed in another way by the C++ than by the emulation; {setting}"
    return _compared(
        node,
        "emulation and csim differ",
        traced[node.name],
        emulated[node.name],
        what,
        setting,
        {"types": types},
    )


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a.reshape(len(a), -1), b.reshape(len(b), -1))


def _compared(
    node: Node,
    cause: Cause,
    got: np.ndarray,
    right: np.ndarray,
    what: str,
    setting: str,
    evidence: dict[str, object],
) -> Diagnosis:
    difference = np.abs(got.reshape(len(got), -1) - right.reshape(len(right), -1))
    wrong = difference.any(axis=1)
    count, first = int(wrong.sum()), int(wrong.argmax())
    largest = float(difference.max(initial=0.0)) / node.result.step
    sentence = (
        f"{node.name}: {cause}: {count} of {len(wrong)} samples differ, first at index {first}, largest difference "
        f"{largest:g} LSB; {what}"
    )
    explained = 0 if cause == "emulation and csim differ" else count
    return Diagnosis(
        node.name, cause, len(wrong), count, first, largest, explained, setting, sentence, evidence
    )
