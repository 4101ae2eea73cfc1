"""Bit-exact inference of a converted graph."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from codesign.core.fixed_point import FLOAT32_BITS, FixedPoint
from codesign.core.ports import arrays_of, side_by_side
from codesign.core.precision_map import PrecisionMap
from codesign.core.shown import Brief
from codesign.core.text_table import counted
from codesign.emulation.batches import Buffers, batches, run_in_batches
from codesign.emulation.codes import Arithmetic, Array, Signal
from codesign.emulation.inference import infer_types
from codesign.emulation.layers import PLANNERS
from codesign.emulation.layers.linear import ProductStep
from codesign.emulation.layers.step import Planner, Step, Tallies
from codesign.emulation.products import Method
from codesign.errors import ConversionError, DataError
from codesign.hls.graph import Graph, Node

_BATCH_BYTES = 1 << 20  # of the largest tensor: a batch that stays in the processor's cache
_LARGEST_BATCH = 1 << 14


__all__ = ["Accumulator", "Emulator", "batches", "emulate", "execute", "values_of"]


@dataclass(frozen=True)
class Accumulator:
    """What is proven of a layer's accumulators.

    Parameters
    ----------
    layer
        The layer.
    precision
        The accumulator's type.
    least, most
        The extreme values that the sums can reach, over all inputs on the input grid (interval analysis over
        the actual weights).
    method
        ``exact``: nothing can overflow; ``wrapping`` or ``stepwise``: something might, or products are rounded.
    arithmetic
        The number type that computes it exactly.
    """

    layer: str
    precision: FixedPoint
    least: float
    most: float
    method: Method
    arithmetic: Arithmetic


@dataclass(frozen=True, eq=False)
class Emulator(Brief):
    """A graph that is ready to run.

    Parameters
    ----------
    graph
        The network.
    steps
        Its layers, planned, in the order of execution.
    """

    graph: Graph
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, graph: Graph) -> Emulator:
        """Plan every layer of a graph.

        Raises
        ------
        ConversionError
            A layer that cannot be emulated, named.
        """
        return cls(graph, _plan(graph, {}))

    def with_types(self, types: Mapping[str, Mapping[str, FixedPoint]], *, infer: bool = True) -> Emulator:
        """Replace formats, without converting or compiling anything.

        Parameters
        ----------
        types
            By layer and type (``{"fc1": {"weight": ..., "result": ...}}``). Weights are made again from their
            sources, as hls4ml would print them. The bias of a layer without one stays as it is, as in hls4ml.
        infer
            Whether types that hls4ml had inferred follow the new ones by hls4ml's rules, as they would in a
            new conversion. Otherwise they stay.

        Raises
        ------
        KeyError
            A layer or a type that is not there.
        """
        types = {name: _used(self.graph[name], formats) for name, formats in types.items()}
        changed = {name: self.graph[name].with_types(formats) for name, formats in types.items()}
        graph = replace(self.graph, nodes=tuple(changed.get(node.name, node) for node in self.graph))
        if infer:
            graph = infer_types(graph, given={name: set(formats) for name, formats in types.items()})
        return Emulator(graph, _plan(graph, {step.node.name: step for step in self.steps}))

    @cached_property
    def signals(self) -> dict[str, Signal]:
        """What is known of the result of each layer."""
        return {step.node.name: step.signal for step in self.steps}

    @property
    def arithmetic(self) -> dict[str, Arithmetic]:
        """The number type that each layer computes in: the cheapest one that is exact for every input."""
        return {step.node.name: step.arithmetic for step in self.steps}

    @property
    def accumulators(self) -> dict[str, Accumulator]:
        """What is proven of the accumulators of dense and convolution layers."""
        return {
            step.node.name: Accumulator(
                step.node.name,
                step.sums.accumulator,
                step.sums.least,
                step.sums.most,
                step.sums.method,
                step.sums.arithmetic,
            )
            for step in self.steps
            if isinstance(step, ProductStep)
        }

    @property
    def batch_size(self) -> int:
        """How many samples fit the processor's cache."""
        largest = max(step.signal.low.size * np.dtype(step.signal.arithmetic).itemsize for step in self.steps)
        return max(1, min(_LARGEST_BATCH, _BATCH_BYTES // largest))

    def run(
        self,
        x: np.ndarray | Sequence[np.ndarray],
        *,
        trace: bool = False,
        batch_size: int | None = None,
        threads: int | None = None,
    ) -> Any:
        """Compute what the C++ computes, to the last bit.

        Parameters
        ----------
        x
            Real numbers `(n_samples, *input_shape)`; of several inputs a sequence of such arrays, or all values side by
            side, `(n_samples, n_inputs)`.
        trace
            Whether to return the result of every layer.
        batch_size
            How many samples to hold at a time; chosen to fit the processor's cache if not given.
        threads
            How many batches to work on at once; as many as there are processors if not given.

        Returns
        -------
        ndarray, list of ndarray, or dict of ndarray
            float64 `(n_samples, *output_shape)`; a list if there are several outputs; with `trace` a
            dictionary by layer name.

        Raises
        ------
        DataError
            Inputs of another number or shape, or values that the input type cannot take (NaN).
        """
        arrays = self.check_inputs(x)
        kept = [step.node.name for step in self.steps] if trace else list(dict.fromkeys(self.graph.outputs))
        results = {name: np.empty((len(arrays[0]), *self.signals[name].shape)) for name in kept}

        def work(batch: slice, buffers: Buffers) -> None:
            given = dict(zip(self.graph.inputs, (array[batch] for array in arrays), strict=True))
            for name, codes in execute(self.steps, given, kept, buffers=buffers).items():
                values_of(codes, self.signals[name], out=results[name][batch])

        run_in_batches(len(arrays[0]), batch_size or self.batch_size, work, threads)
        if trace:
            return results
        outputs = [results[name] for name in self.graph.outputs]
        return outputs[0] if len(outputs) == 1 else outputs

    def outputs(self, x: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """What `run` gives, flat and several outputs side by side: float64 `(n_samples, n_outputs)`."""
        return side_by_side(self.run(x))

    def check_inputs(self, x: np.ndarray | Sequence[np.ndarray]) -> list[np.ndarray]:
        """The inputs as one array for each input node; shapes that hold as many values are accepted."""
        names = self.graph.inputs
        arrays = arrays_of(self.graph.input_ports, x)
        if len(arrays) != len(names):
            raise DataError(
                f"the network has {counted(len(names), 'input')} ({', '.join(names)}), not {len(arrays)}"
            )
        checked = []
        for name, array in zip(names, arrays, strict=True):
            shape = self.graph[name].output_shape
            if array.ndim < 2 or np.prod(array.shape[1:]) != np.prod(shape) or len(array) != len(arrays[0]):
                raise DataError(
                    f"input {name} must be {('n_samples', *shape)} with {len(arrays[0])} samples, not {array.shape}"
                )
            checked.append(array.reshape(len(array), *shape))
        return checked


def emulate(
    graph: Graph, x: np.ndarray | Sequence[np.ndarray], *, trace: bool = False, batch_size: int | None = None
) -> Any:
    """Compute what the C++ of a graph computes, to the last bit; see `Emulator.run`."""
    return Emulator.of(graph).run(x, trace=trace, batch_size=batch_size)


def execute(
    steps: Iterable[Step],
    given: Mapping[str, Array],
    wanted: Sequence[str],
    tallies: Mapping[str, Tallies] | None = None,
    buffers: Buffers | None = None,
) -> dict[str, Array]:
    """Run one batch.

    Parameters
    ----------
    steps
        The layers to run, in the order of execution.
    given
        Real numbers for input layers among the steps, codes for layers that are not.
    wanted
        The layers whose codes are returned.
    tallies
        Where to count overflows, by layer.
    buffers
        Where to keep arrays from batch to batch; what is returned may lie there.
    """
    steps = list(steps)
    codes = dict(given)
    last_use = {name: index for index, step in enumerate(steps) for name in step.node.inputs}
    for index, step in enumerate(steps):
        name = step.node.name
        inputs = [codes[source] for source in step.node.inputs or (name,)]
        codes[name] = step.run(inputs, None if tallies is None else tallies[name], buffers)
        for source in step.node.inputs:
            if last_use[source] == index and source not in wanted:
                codes.pop(source, None)
    return {name: codes[name] for name in wanted}


def values_of(codes: Array, signal: Signal, out: Array | None = None) -> Array:
    """Turn codes into real numbers, float64; never a negative zero."""
    values = np.multiply(codes.astype(np.float64), 2.0**-signal.fraction, out=out)
    return np.add(values, 0.0, out=values)


def _used(node: Node, formats: Mapping[str, FixedPoint]) -> Mapping[str, FixedPoint]:
    """Leave out a bias that the layer does not have."""
    if not node.attributes.get("without_bias"):
        return formats
    return {name: precision for name, precision in formats.items() if name != "bias"}


def _plan(graph: Graph, known: Mapping[str, Step]) -> tuple[Step, ...]:
    """Plan the layers; steps are kept where the layer and its inputs are those they were planned for."""
    steps: dict[str, Step] = {}
    for node in graph:
        before = known.get(node.name)
        inputs = [steps[name].signal for name in node.inputs]
        if (
            before is not None
            and before.node is node
            and all(steps[name] is known[name] for name in node.inputs)
        ):
            steps[node.name] = before
        else:
            steps[node.name] = _planner(node)(node, inputs, graph)
    return tuple(steps.values())


def _planner(node: Node) -> Planner:
    if node.kind not in PLANNERS:
        raise ConversionError(
            f"{node.name}: a layer of kind {node.kind!r} cannot be emulated; these can: {', '.join(PLANNERS)}"
        )
    return PLANNERS[node.kind]


def proven_accumulators(emulator: Emulator) -> dict[str, FixedPoint]:
    """Formats of the accumulators from the weights themselves, by layer.

    hls4ml infers accumulators for the worst weights of their type. Interval analysis over the actual weights and the
    formats of the inputs bounds what the sums can reach, whatever the input; integer bits beyond that are never used.

    Parameters
    ----------
    emulator
        Of a converted graph.

    Raises
    ------
    ConversionError
        If an accumulator is narrower than its sums: an input exists that overflows it.
    """
    found = {}
    for name, accumulator in emulator.accumulators.items():
        precision = accumulator.precision
        if accumulator.least < precision.minimum or accumulator.most > precision.maximum:
            raise ConversionError(
                f"the accumulator {precision} of layer {name!r} can overflow: its sums reach {accumulator.least:g} to "
                f"{accumulator.most:g}; leave its type to be inferred, or give it more integer bits"
            )
        found[name] = _narrowest(precision, accumulator.least, accumulator.most)
    return found


def float32_notes(emulator: Emulator) -> tuple[str, ...]:
    """Sentences on sums that float32, in which a Keras student computes, cannot all hold: at most 24 bits.

    The hardware and the emulation are exact there; the student may be the inexact side of a comparison.
    """
    notes = []
    for name, sums in emulator.accumulators.items():
        codes = max(abs(sums.least), abs(sums.most)) * 2.0**sums.precision.fractional_bits
        if codes > 2.0**FLOAT32_BITS:
            notes.append(
                f"the sums of layer {name!r} take up to {math.ceil(math.log2(codes)) + 1} bits, and float32, in which "
                f"QKeras computes, holds {FLOAT32_BITS}: where they differ QKeras is the inexact side; "
                "scale the inputs and weights towards 1, or use narrower formats"
            )
    return tuple(notes)


def with_proven_accumulators(precision: PrecisionMap, emulator: Emulator) -> PrecisionMap:
    """The map with the narrowest accumulators that no input on the input grid can overflow."""
    layers = dict(precision.layers)
    for name, accumulator in proven_accumulators(emulator).items():
        layers[name] = layers[name].replaced("accum", accumulator)
    return replace(precision, layers=layers)


def _narrowest(precision: FixedPoint, least: float, most: float) -> FixedPoint:
    """Drop the integer bits that a range does not need; fractional bits and modes stay."""
    signed = least < 0
    fraction = precision.fractional_bits
    # a format has at least one bit, even for sums that are always zero
    for integer_bits in range(1 - fraction, precision.integer_bits + 1):
        narrow = replace(precision, width=integer_bits + fraction, integer_bits=integer_bits, signed=signed)
        if narrow.minimum <= least and most <= narrow.maximum:
            return narrow
    return precision
