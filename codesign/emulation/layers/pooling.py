"""Pooling over windows and over whole images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codesign.emulation.batches import Buffers
from codesign.emulation.cast import Cast, plan_cast
from codesign.emulation.codes import Array, Signal, convert, widest
from codesign.emulation.layers.reduce import TypedSum, divided, in_own_unit, plan_typed_sum
from codesign.emulation.layers.step import Planner, Step, Tallies, result_signal, tally_of
from codesign.emulation.layers.windows import Windows, windows_of
from codesign.hls.graph import Graph, Node


@dataclass(frozen=True, eq=False)
class MaximumStep(Step):
    """The largest value of each window; parallel code finds it before the assignment, streams after it."""

    windows: Windows
    filler: float
    accumulator: Cast
    first: bool
    result: Cast

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        tally = tally_of(tallies, "accumulator")
        x = inputs[0] if self.first else self.accumulator.apply(inputs[0], tally)
        largest = self.windows.gather(x, self.filler).max(axis=2)
        if self.first:
            largest = self.accumulator.apply(largest, tally)
        largest = largest.reshape(len(x), *self.node.output_shape)
        return self.result.apply(largest, tally_of(tallies, "result"))


@dataclass(frozen=True, eq=False)
class AverageStep(Step):
    """The mean of each window: a sum in the accumulator's type, a division towards zero, assignments."""

    windows: Windows
    term: Cast | None
    total: TypedSum
    divisor: Array
    result: Cast

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        x = inputs[0] if self.term is None else in_own_unit(self.term, self.term.apply(inputs[0]))
        total = self.total.run(self.windows.gather(x), tally_of(tallies, "accumulator"))
        mean = divided(total, self.divisor[:, None]).reshape(len(x), *self.node.output_shape)
        return self.result.apply(mean, tally_of(tallies, "result"), own=True)


def plan_pooling(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan pooling over windows."""
    windows = windows_of(node, inputs[0].shape, "pool")
    return _plan(node, inputs[0], windows, stream=graph.io_type == "io_stream", everything=False)


def plan_global_pooling(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan pooling over all pixels."""
    shape = inputs[0].shape
    size = (1, shape[0]) if len(shape) == 2 else (shape[0], shape[1])
    windows = Windows(size, size, (1, 1), (0, 0, 0, 0))
    return _plan(node, inputs[0], windows, stream=graph.io_type == "io_stream", everything=True)


def _plan(node: Node, signal: Signal, windows: Windows, *, stream: bool, everything: bool) -> Step:
    if node.attributes["pool_op"] == "Max":
        return _plan_maximum(node, signal, windows, stream)
    return _plan_average(node, signal, windows, stream, everything)


def _plan_maximum(node: Node, signal: Signal, windows: Windows, stream: bool) -> Step:
    shape, precision = node.output_shape, signal.precision
    # the C++ pads with the highest bit alone: the least value of a signed type, the middle of an unsigned one
    top = 2.0 ** (precision.integer_bits - 1 + signal.fraction)
    filler = -top if precision.signed else top
    low, high = signal.low, signal.high
    if not stream:
        low, high = (windows.gather(end[None], filler)[0].max(axis=1).reshape(shape) for end in (low, high))
    accumulator = plan_cast(signal.fraction, low, high, node.types["accum"])
    low, high = accumulator.low, accumulator.high
    if stream:
        low, high = (windows.gather(end[None])[0].max(axis=1).reshape(shape) for end in (low, high))
    result = plan_cast(accumulator.fraction, low, high, node.result)
    arithmetic = widest(accumulator.work, result.work)
    signal_out = result_signal(node, result)
    return MaximumStep(node, signal_out, arithmetic, windows, filler, accumulator, not stream, result)


def _plan_average(node: Node, signal: Signal, windows: Windows, stream: bool, everything: bool) -> Step:
    shape, precision = node.output_shape, node.types["accum"]
    count = windows.size[0] * windows.size[1]
    term, source, ends = None, signal.fraction, (signal.low, signal.high)
    if stream:  # each value is assigned to the accumulator's type before it is added
        term = plan_cast(signal.fraction, *ends, precision)
        source = precision.fractional_bits
        factor = 2.0 ** (source - term.fraction)
        ends = (term.low * factor, term.high * factor)
    windowed = [windows.gather(end[None])[0] for end in ends]
    low, high = windowed[0].min(axis=1), windowed[1].max(axis=1)
    # whole images are added pixel by pixel, windows of a stream in a balanced tree
    total = plan_typed_sum(source, low, high, count, precision, tree=stream and not everything)
    divisor = np.full(len(low), float(count))
    if not (stream or everything or node.attributes.get("count_pad")):
        divisor = windows.overlaps(signal.shape)
    low, high = (divided(end, divisor[:, None]).reshape(shape) for end in (total.low, total.high))
    result = plan_cast(total.fraction, low, high, node.result)
    arithmetic = widest(total.arithmetic, result.work)
    divisors = convert(divisor.astype(np.int64), total.arithmetic)
    return AverageStep(node, result_signal(node, result), arithmetic, windows, term, total, divisors, result)


PLANNERS: Mapping[str, Planner] = {
    "pooling_1d": plan_pooling,
    "pooling_2d": plan_pooling,
    "global_pooling_1d": plan_global_pooling,
    "global_pooling_2d": plan_global_pooling,
}
"""How each kind of this family computes."""
