"""Measuring one candidate of the scan: quality, overflows and cost of a precision map, without converting anew."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import ThreadpoolController

from codesign.compression.formats import nominal_precision
from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import TENSORS, PrecisionMap
from codesign.core.target import Target
from codesign.cost import bops_of
from codesign.emulation import Emulator
from codesign.emulation.emulator import batches, execute, values_of
from codesign.emulation.layers.step import Step, Tallies
from codesign.hls.convert import HardwareChoices, convert_graph
from codesign.hls.graph import Graph, read_graph
from codesign.networks.build import build_float
from codesign.networks.description import Network
from codesign.networks.logits import predict_logits
from codesign.networks.prepare import hardware_form
from codesign.networks.shapes import layer_shapes
from codesign.training.evaluate import Quality

Types = dict[str, dict[str, FixedPoint]]


@dataclass(frozen=True)
class Measured:
    """What a candidate reached."""

    quality: float
    overflows: int
    cost: float


class TrialRunner:
    """Measures candidates on one set of samples; formats are arguments, nothing is converted or compiled again.

    The network is converted to an hls4ml graph once. A candidate is run by the bit-exact emulator, from the first layer
    whose formats differ from those of the *base*: the results of the base's layers are kept.

    Parameters
    ----------
    network
        Prepared: folded, with explicit quantization points.
    x, labels
        Inputs `(n_samples, *input_shape)` and class indices `(n_samples,)` that quality is measured on.
    calibration
        Inputs that overflows are counted on.
    quality
        `(labels, logits) -> quality`.
    keep_bytes
        How much of the base's results to keep; the rest is computed again for each candidate.
    """

    def __init__(
        self,
        network: Network,
        x: np.ndarray,
        labels: np.ndarray,
        calibration: np.ndarray,
        quality: Quality,
        *,
        keep_bytes: int = 2**30,
    ) -> None:
        self.network, self.x, self.labels = network, x, labels
        self.calibration = calibration
        self.quality, self.keep_bytes = quality, keep_bytes
        self.shapes = layer_shapes(network)
        self.kernels = {layer.name: layer.weights["kernel"] for layer in network.weight_layers}
        model = build_float(network)
        self.float_quality = quality(labels, predict_logits(model, x))
        self.resolution = 1.0 / len(labels)
        self.base = Emulator.of(_graph(network))
        self.kept: dict[str, np.ndarray] = {}
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self._libraries = ThreadpoolController()

    def measure(self, precision: PrecisionMap) -> Measured:
        """Quality, overflows on the calibration set, and BOPs of a candidate."""
        quality = self.quality(self.labels, self.logits(precision))
        return Measured(quality, self.overflows(precision), self.cost(precision))

    def overflows(self, precision: PrecisionMap) -> int:
        """How many values wrap or saturate on the calibration set."""
        emulator = self._emulator(precision)
        tallies: dict[str, Tallies] = {step.node.name: {} for step in emulator.steps}
        for batch in batches(len(self.calibration), emulator.batch_size):
            given = {emulator.graph.inputs[0]: self.calibration[batch]}
            execute(emulator.steps, given, emulator.graph.outputs, tallies)
        return sum(tally.wrapped + tally.saturated for layer in tallies.values() for tally in layer.values())

    def logits(self, precision: PrecisionMap) -> np.ndarray:
        """The outputs of a candidate, float64 of shape `(n_samples, n_outputs)`: those of the hardware, exactly."""
        emulator = self._emulator(precision)
        output = emulator.graph.outputs[0]
        codes = self._run(emulator, [output])[output]
        return values_of(codes, emulator.signals[output]).reshape(len(self.x), -1)

    def logits_of(self, precision: PrecisionMap, x: np.ndarray) -> np.ndarray:
        """The outputs of a candidate for other inputs."""
        return np.asarray(self._emulator(precision).run(x)).reshape(len(x), -1)

    def rebase(self, precision: PrecisionMap) -> None:
        """Make a candidate the base that later ones differ from."""
        emulator = self._emulator(precision)
        room = self.keep_bytes
        wanted = []
        for step in emulator.steps:
            size = len(self.x) * step.signal.low.size * np.dtype(step.signal.arithmetic).itemsize
            if "result" not in step.node.attributes["inferred"] and size <= room:
                wanted.append(step.node.name)
                room -= size
        self.kept = self._run(emulator, wanted)
        self.base = emulator

    def cost(self, precision: PrecisionMap) -> float:
        """BOPs of a candidate for one sample."""
        return bops_of(self.shapes, precision, self.kernels)

    def _emulator(self, precision: PrecisionMap) -> Emulator:
        _, formats = hardware_form(self.network, precision)
        return self.base.with_types(_changed(self.base, formats))

    def _run(self, emulator: Emulator, wanted: list[str]) -> dict[str, np.ndarray]:
        """The codes of some layers for all samples, in batches over all cores."""
        steps, kept = self._remaining(emulator, wanted)
        results = {name: self.kept[name] for name in wanted if name in kept}
        missing = [name for name in wanted if name not in kept]
        if not missing:
            return results
        first = emulator.graph.inputs[0]
        sources = {name: self.kept[name] for name in kept}
        if any(step.node.name == first for step in steps):
            sources[first] = emulator.check_inputs(self.x)[0]
        for name in missing:
            signal = emulator.signals[name]
            results[name] = np.empty((len(self.x), *signal.shape), signal.arithmetic)

        def work(batch: slice) -> None:
            codes = execute(steps, {name: array[batch] for name, array in sources.items()}, missing)
            for name in missing:
                results[name][batch] = codes[name]

        cut = list(batches(len(self.x), emulator.batch_size))
        # one thread a core, each with a matrix product of its own: the products are too small to be shared
        with self._libraries.limit(limits=1, user_api="blas"):
            list(self._pool.map(work, cut))
        return results

    def _remaining(self, emulator: Emulator, wanted: Iterable[str]) -> tuple[list[Step], set[str]]:
        """The steps that must run, and the kept results that they start from."""
        by_name = {step.node.name: step for step in emulator.steps}
        same = {
            step.node.name for step, base in zip(emulator.steps, self.base.steps, strict=True) if step is base
        }
        needed: set[str] = set()
        kept: set[str] = set()

        def need(name: str) -> None:
            if name in needed or name in kept:
                return
            if name in same and name in self.kept:
                kept.add(name)
                return
            needed.add(name)
            for source in by_name[name].node.inputs:
                need(source)

        for name in wanted:
            need(name)
        return [step for step in emulator.steps if step.node.name in needed], kept


def _graph(network: Network) -> Graph:
    """The hls4ml graph of a network with its float weights: they are rounded when a candidate's formats are applied."""
    rounded, formats = hardware_form(network, nominal_precision(network))
    unrounded = rounded.map_layers(
        lambda layer: layer.with_weights(**network[layer.name].weights) if layer.weights else layer
    )
    return read_graph(
        convert_graph(build_float(unrounded), formats, Target(), HardwareChoices(), "unwritten")
    )


def _changed(base: Emulator, formats: PrecisionMap) -> Types:
    """The formats of a map (in hardware form) that differ from the base's."""
    wanted: dict[str, Mapping[str, FixedPoint | None]] = {base.graph.inputs[0]: {"result": formats.input}}
    wanted |= {
        name: {tensor: layer.get(tensor) for tensor in TENSORS} for name, layer in formats.layers.items()
    }
    changed: Types = {}
    for name, tensors in wanted.items():
        now = base.graph[name].types
        different = {
            tensor: kind for tensor, kind in tensors.items() if kind is not None and now[tensor] != kind
        }
        if different:
            changed[name] = different
    return changed
