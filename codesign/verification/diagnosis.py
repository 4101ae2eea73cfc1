"""The mismatch doctor: the first layer that differs from a reference, and the setting that makes it differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from codesign.core.fixed_point import FLOAT32_BITS
from codesign.core.layer_trace import LayerTrace
from codesign.core.layers import NORMALISATIONS
from codesign.core.ports import apart, side_by_side
from codesign.core.shown import Brief
from codesign.emulation import Emulator, emulate
from codesign.emulation.emulator import execute, values_of
from codesign.errors import ConversionError, DataError, SettingsError, ToolNotFoundError
from codesign.hls.csim import run_csim
from codesign.hls.graph import Graph, Node
from codesign.hls.project import HlsProject, open_project
from codesign.hls.testbench import read_vectors
from codesign.verification.csim_trace import trace_csim
from codesign.verification.hypotheses import Cause, Family, Hypothesis, families, has_table, is_scale, wider
from codesign.verification.weight_files import changed_weight_files

_TRIED = 400
"""How many samples that differ, and as many that agree, a hypothesis is tried on first."""


@dataclass(frozen=True)
class Diagnosis(Brief):
    """The first layer that differs, and why.

    Parameters
    ----------
    layer
        The hardware's name of the layer.
    cause
        One of `codesign.verification.CAUSES`.
    samples
        How many samples were compared.
    mismatches
        How many of them differ in this layer.
    first_index
        The first that differs.
    largest_lsb
        The largest difference, in units of the least significant bit of the layer's result.
    explained
        How many of the differing samples agree when the cause is removed; all of them for a whole explanation.
    setting
        The setting to change and its new value.
    sentence
        All of it for people.
    evidence
        The numbers behind it.
    """

    layer: str
    cause: Cause
    samples: int
    mismatches: int
    first_index: int
    largest_lsb: float
    explained: int
    setting: str
    sentence: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {**asdict(self), "evidence": dict(self.evidence)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Diagnosis:
        """The inverse of `to_dict`."""
        return cls(**value)


def diagnose(graph: Graph, x: np.ndarray, reference: LayerTrace) -> Diagnosis | None:
    """Find the first layer whose numbers are not the reference's, and why.

    The layers are walked in order. The first that differs is computed again under one changed setting after another;
    the smallest change after which every sample agrees is the cause.

    Parameters
    ----------
    graph
        What was converted.
    x
        Inputs `(n_samples, *input_shape)`, as the reference got them.
    reference
        What the layers must compute, for example of `codesign.networks.layer_outputs.trace_layers`.

    Returns
    -------
    Diagnosis or None
        ``None`` if every layer that the reference has agrees.

    Raises
    ------
    DataError
        If the reference has no layer of the graph, or another number of samples.
    """
    case = _Case.of(graph, x, reference)
    known: list[str] = []
    for node in graph:
        if node.name not in reference.values:
            continue
        wrong = case.wrong(node, case.trace[node.name])
        if wrong.any():
            region = _region(graph, node, known)
            return _explain(case, region, node, wrong)
        known.append(node.name)
    return None


def diagnose_outputs(graph: Graph, x: np.ndarray, golden: np.ndarray) -> Diagnosis | None:
    """Find which change of which layer turns a network's outputs into the golden ones, without a layer's reference.

    Parameters
    ----------
    graph
        What was converted.
    x
        Inputs `(n_samples, *input_shape)`.
    golden
        What must come out, `(n_samples, n_outputs)`.

    Returns
    -------
    Diagnosis or None
        ``None`` if the outputs are the golden ones.
    """
    golden = np.asarray(golden)
    # of one output whatever shape it has is compared
    parts = [golden] if len(graph.outputs) == 1 else apart(graph.output_ports, golden)
    return diagnose(graph, x, LayerTrace(dict(zip(graph.outputs, parts, strict=True))))


@dataclass(frozen=True, eq=False)
class _Case:
    """A network, its numbers, and those that it should have.

    `follow` tells whether the types after a changed layer follow it, as they would in a new conversion.
    """

    graph: Graph
    emulator: Emulator
    given: Mapping[str, np.ndarray]
    trace: Mapping[str, np.ndarray]
    reference: LayerTrace
    follow: bool = False

    @classmethod
    def of(cls, graph: Graph, x: np.ndarray, reference: LayerTrace) -> _Case:
        emulator = Emulator.of(graph)
        given = dict(zip(graph.inputs, emulator.check_inputs(x), strict=True))
        common = [name for name in reference.values if name in {node.name for node in graph}]
        if not common:
            raise DataError(
                f"the reference has none of the layers {', '.join(node.name for node in graph)}; "
                f"it has {', '.join(reference.values)}"
            )
        for name in common:
            shape = np.shape(reference.values[name])
            if shape[0] != len(x) or np.prod(shape[1:]) != np.prod(graph[name].output_shape):
                raise DataError(
                    f"the reference of layer {name} has shape {shape}, not {(len(x), *graph[name].output_shape)}"
                )
        return cls(graph, emulator, given, emulator.run(x, trace=True), reference)

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(next(iter(self.given.values())))

    def expected(self, node: Node) -> np.ndarray:
        """What a layer should give, flat; a float reference of a table is put on the result's grid."""
        values = np.asarray(self.reference.values[node.name], dtype=np.float64).reshape(self.samples, -1)
        return np.asarray(node.result.quantize(values)) if has_table(node) else values

    def wrong(self, node: Node, got: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
        """Which samples differ: bool `(n_samples,)`."""
        expected = self.expected(node)
        expected = expected if among is None else expected[among]
        return np.asarray((np.abs(got.reshape(len(got), -1) - expected) > self.tolerance(node)).any(axis=1))

    def inexact(self) -> list[str]:
        """The layers whose reference is rounded otherwise than in hardware: float32 sums, functions without a table."""
        return [
            node.name for node in self.graph if node.name in self.reference.values and self.tolerance(node)
        ]

    def normalises(self, node: Node) -> bool:
        """Whether the reference has a batch normalisation where the hardware has this layer alone."""
        return any(name in NORMALISATIONS for name in self.reference.merged.get(node.name, ()))

    def tolerance(self, node: Node) -> float:
        """How far a reference in floats may be off without any fault of the hardware; 0 where it is exact."""
        values = np.asarray(self.reference.values[node.name])
        if has_table(node):
            return 0.0 if node.result.is_representable(values).all() else node.result.step
        if is_scale(node) or self.normalises(node):
            return float(np.abs(values).max(initial=0.0)) * 2.0 ** (4 - FLOAT32_BITS)
        proven = self.emulator.accumulators.get(node.name)
        if proven is None or values.dtype != np.float32:
            return 0.0
        bits = self.graph.input_nodes(node)[0].result.fractional_bits + node.types["weight"].fractional_bits
        span = max(abs(proven.least), abs(proven.most))
        return span * 2.0 ** (2 - FLOAT32_BITS) if span * 2.0**bits > 2.0**FLOAT32_BITS else 0.0

    def recompute(self, changed: Node, target: Node, among: np.ndarray) -> np.ndarray | None:
        """The result of `target` for some samples when one layer is another; ``None`` if that cannot be computed."""
        try:
            emulator = Emulator.of(_with_node(self.graph, changed, self.follow))
        except (ConversionError, SettingsError):
            return None
        names = [node.name for node in self.graph]
        first, last = names.index(changed.name), names.index(target.name)
        given: dict[str, Any] = {}
        for name in names[:first]:
            given[name] = self.trace[name][among] * 2.0 ** emulator.signals[name].fraction
        given |= {name: self.given[name][among] for name in self.graph.inputs if name not in given}
        codes = execute(emulator.steps[first : last + 1], given, [target.name])[target.name]
        return values_of(codes, emulator.signals[target.name])


def _with_node(graph: Graph, changed: Node, follow: bool) -> Graph:
    """The graph with another layer; with `follow`, where its result has more bits, what follows from it has them."""
    before = graph[changed.name].result
    integer = changed.result.integer_bits - before.integer_bits
    fraction = changed.result.fractional_bits - before.fractional_bits
    grown = {changed.name} if follow and (integer > 0 or fraction > 0) else set()
    nodes: list[Node] = []
    for node in graph:
        if node.name == changed.name:
            nodes.append(changed)
            continue
        types = _inferred(node) if grown.intersection(node.inputs) else ()
        nodes.append(node.with_types({name: wider(node.types[name], integer, fraction) for name in types}))
        grown |= {node.name} if "result" in types else set()
    return replace(graph, nodes=tuple(nodes))


def _inferred(node: Node) -> list[str]:
    """The types that follow from those of a layer's inputs: its accumulator, a result without a format of its own."""
    own = node.types.get("accum") != node.result and "result" not in node.attributes["inferred"]
    return [name for name in ("accum", "result") if name in node.types and not (name == "result" and own)]


def _region(graph: Graph, node: Node, known: Sequence[str]) -> list[Node]:
    """The layers between what is known to agree and the layer that differs, in order, itself included."""
    wanted, region = {node.name}, []
    for candidate in reversed(list(graph)):
        if candidate.name in wanted:
            region.append(candidate)
            wanted |= {name for name in candidate.inputs if name not in known}
    return region[::-1]


def _explain(case: _Case, region: Sequence[Node], node: Node, wrong: np.ndarray) -> Diagnosis:
    among = np.sort(np.concatenate([np.flatnonzero(wrong)[:_TRIED], np.flatnonzero(~wrong)[:_TRIED]]))
    best: tuple[_Case, Hypothesis] | None = None
    # a change that is enough by itself is likelier than one that other types must follow
    for follow in (False, True) if len(region) > 1 else (False,):
        search = _Search(replace(case, follow=follow), node, among, int(wrong[among].sum()))
        found = _first(search, region)
        if found is not None:
            best = search.case, found
            break
        if search.best is not None:
            best = search.case, search.best
    case, found = best or (case, _unexplained(case, region, node))
    values = case.recompute(found.node, node, np.arange(case.samples))
    left = wrong if values is None else case.wrong(node, values)
    return _diagnosis(case, node, wrong, found, int((wrong & ~left).sum()))


def _first(search: _Search, region: Sequence[Node]) -> Hypothesis | None:
    """The first change of the region's layers that explains everything."""
    case = search.case
    for node in region:
        normalised = _normalised(case, node)
        if normalised is not None and (node is search.node or search.left(normalised) == 0):
            return normalised
        expected = case.expected(node) if node is search.node else None
        for family in families(node, case.reference.weights.get(node.name, {}), expected):
            found = search.smallest(family)
            if found is not None:
                return found
    return None


class _Search:
    """Tries families of changes; remembers the best that did not explain everything."""

    def __init__(self, case: _Case, node: Node, among: np.ndarray, mismatches: int) -> None:
        self.case, self.node, self.among, self.mismatches = case, node, among, mismatches
        self.best: Hypothesis | None = None
        self.fewest = mismatches // 2

    def smallest(self, family: Family) -> Hypothesis | None:
        """The smallest change of a family after which every tried sample agrees, if there is one."""
        for member in family:
            left = self.left(member)
            if left == 0:
                return next((finer for finer in member.finer if self.left(finer) == 0), member)
            if left < self.fewest:
                self.fewest, self.best = left, member
        return None

    def left(self, hypothesis: Hypothesis) -> int:
        """How many of the tried samples differ still."""
        got = self.case.recompute(hypothesis.node, self.node, self.among)
        if got is None:
            return len(self.among)
        return int(self.case.wrong(self.node, got, self.among).sum())


def _normalised(case: _Case, node: Node) -> Hypothesis | None:
    """A batch normalisation that hls4ml computes on its own or has put into the weights of the layer before it."""
    fused = not is_scale(node)
    if fused and not case.normalises(node):
        return None
    off = max(float(np.abs(values - node.sources[name]).max()) for name, values in node.weights.items())
    formats = {name: wider(node.types[name], 4, 30) for name in node.weights}
    if "accum" in node.types:
        formats["accum"] = wider(node.types["accum"], 8, 40)
    formats["result"] = wider(node.result, 16, 30)
    where = "in the weights of this layer" if fused else "in this layer"
    what = f"the normalisation is computed {where} with scales and biases rounded by up to {off:g}"
    setting = "fold it before quantizing (codesign.networks.prepare.fold_batch_norm) and convert again"
    return Hypothesis("unfolded batch normalisation", node.with_types(formats), setting, what)


def _unexplained(case: _Case, region: Sequence[Node], node: Node) -> Hypothesis:
    if not node.inputs:
        grid = node.result
        off = int((~grid.is_representable(case.given[node.name]).reshape(case.samples, -1).all(axis=1)).sum())
        return Hypothesis(
            "input off the grid",
            node,
            f"quantize the inputs of both sides with {grid} first",
            f"{off} input vectors are off the grid {grid}",
        )
    inexact = case.inexact()
    if inexact and node.name not in inexact:
        return Hypothesis(
            "reference not exact",
            node,
            f"use a reference that computes {', '.join(inexact)} exactly, or fewer bits there",
            f"the reference computes {', '.join(inexact)} in floats, and what follows inherits their rounding",
        )
    types = ", ".join(f"{name} {precision}" for name, precision in node.types.items())
    layers = " or ".join(part.name for part in region)
    return Hypothesis(
        "unexplained",
        node,
        f"report it with this layer's types: {types}",
        f"no setting of {layers} explains it",
    )


def _diagnosis(case: _Case, node: Node, wrong: np.ndarray, found: Hypothesis, explained: int) -> Diagnosis:
    got = case.trace[node.name].reshape(case.samples, -1)
    expected = case.expected(node)
    largest = float(np.abs(got - expected).max()) / node.result.step
    layer, mismatches, first = found.node.name, int(wrong.sum()), int(wrong.argmax())
    seen = "" if layer == node.name else f", seen in {node.name}"
    whole = (
        ""
        if explained == mismatches or found.cause in ("unexplained", "reference not exact")
        else (f" (that explains {explained} of them)")
    )
    verb = "" if found.setting.startswith(("fold", "convert", "use", "report", "quantize")) else "set "
    sentence = (
        f"{layer}: {found.cause}: {mismatches} of {len(wrong)} samples differ{seen}, first at index {first}, largest "
        f"difference {largest:g} LSB{whole}; {found.what}: {verb}{found.setting}"
    )
    where = np.unravel_index(int(np.abs(got - expected)[first].argmax()), got[first].shape)
    evidence = {
        "seen_in": node.name,
        "kind": node.kind,
        "types": {name: str(precision) for name, precision in case.graph[layer].types.items()},
        "changed_types": {name: str(precision) for name, precision in found.node.types.items()},
        "got": float(got[first][where]),
        "expected": float(expected[first][where]),
        "reference_minimum": float(expected.min()),
        "reference_maximum": float(expected.max()),
    }
    return Diagnosis(
        layer,
        found.cause,
        len(wrong),
        mismatches,
        first,
        largest,
        explained,
        found.setting,
        sentence,
        evidence,
    )


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
    if np.array_equal(outputs, side_by_side([emulated[name] for name in graph.outputs])):
        return None
    ends = dict(zip(graph.outputs, apart(graph.output_ports, outputs), strict=True))
    traced = {**trace_csim(project, x), **ends}
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
