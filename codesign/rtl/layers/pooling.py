"""Pooling over windows and over whole images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.errors import ConversionError
from codesign.hls.graph import Graph, Node
from codesign.rtl.cast import cast, cast_wire, limits
from codesign.rtl.layers.common import (
    Tracer,
    Windows,
    gathered,
    integer_type,
    power_of_two_tree,
    result_of,
    windows_of,
)
from codesign.rtl.wires import (
    Wires,
    add,
    add_constant,
    constant,
    is_constant,
    is_negative,
    larger,
    looked_up,
    reduced,
    scaled,
    values_of,
)

if TYPE_CHECKING:
    from alkaid.trace import FVariable

_DIRECT_VALUES = 256  # dividing so few values is cheapest in a table


def trace_pooling(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace pooling over windows."""
    return _pooled(node, inputs[0], windows_of(node, inputs[0].shape, "pool"), graph)


def trace_global_pooling(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace pooling over all pixels."""
    shape = inputs[0].shape
    size = (1, shape[0]) if len(shape) == 2 else shape[:2]
    return _pooled(node, inputs[0], Windows(size, size, (1, 1), (0, 0, 0, 0)), graph)


def _pooled(node: Node, wires: Wires, windows: Windows, graph: Graph) -> Wires:
    accumulator = node.types["accum"]
    if integer_type(node, "accum"):
        accumulator = accumulator.with_modes("TRN_ZERO", "WRAP")
    stream = graph.io_type == "io_stream"
    if stream:  # each value is assigned to the accumulator's type before anything else
        wires = cast(wires, accumulator)
    if node.attributes["pool_op"] == "Max":
        return result_of(node, _maxima(wires, windows, accumulator, graph[node.inputs[0]].result))
    everything = "global" in node.kind
    divisors = np.full(windows.places[0] * windows.places[1], windows.size[0] * windows.size[1])
    if not (stream or everything or node.attributes.get("count_pad")):
        divisors = windows.overlaps(wires.shape).astype(np.int64)
    if not divisors.all():
        raise ConversionError(
            "a window lies wholly in the padding, where the mean of nothing is undefined; pad less"
        )

    def mean(terms: Wires, divisor: int) -> FVariable:
        return _divided(_total(terms, accumulator, tree=stream and not everything), divisor, accumulator)

    return result_of(node, _for_each_window(gathered(wires, windows), divisors, mean))


def _for_each_window(
    terms: Wires, divisors: np.ndarray, function: Callable[[Wires, int], FVariable]
) -> Wires:
    """Apply a function to each window and channel of terms `(n_places, window, channels)`."""
    result = np.empty((terms.shape[0], terms.shape[2]), dtype=object)
    for place, channel in np.ndindex(result.shape):
        result[place, channel] = function(terms[place, :, channel], int(divisors[place]))
    return result


def _maxima(wires: Wires, windows: Windows, accumulator: FixedPoint, source: FixedPoint) -> Wires:
    # the C++ pads with the highest bit alone: the least value of a signed type, the middle of an unsigned one
    top = 2.0 ** (source.integer_bits - 1)
    terms = gathered(wires, windows, -top if source.signed else top)
    largest = _for_each_window(terms, np.ones(len(terms)), lambda window, _: reduced(larger, list(window)))
    return cast(largest, accumulator)


def _total(terms: Wires, accumulator: FixedPoint, *, tree: bool) -> FVariable:
    """Add terms in the accumulator's type: from zero, one after the other, or in a balanced tree."""
    least, most = limits(accumulator)
    exact = all(np.mod(term.low if is_constant(term) else term.step, accumulator.step) == 0 for term in terms)
    low, high = sum(min(term.low, 0.0) for term in terms), sum(max(term.high, 0.0) for term in terms)
    if exact and (accumulator.overflow == "WRAP" or (low >= least and high <= most)):
        return cast_wire(reduced(add, list(terms)), accumulator)

    def combine(a: FVariable, b: FVariable) -> FVariable:
        return cast_wire(add(a, b), accumulator)

    if tree:
        return power_of_two_tree(list(terms), combine)
    total = constant(0.0)
    for term in terms:
        total = combine(total, term)
    return total


def _divided(wire: FVariable, divisor: int, accumulator: FixedPoint) -> FVariable:
    """Divide by a whole number towards zero in the accumulator's last bit, as `ap_fixed` does."""
    step = accumulator.step

    def quotient(x: np.ndarray) -> np.ndarray:
        return np.asarray(np.trunc(np.round(x / step) / divisor) * step)

    if is_constant(wire) or (divisor & (divisor - 1) and values_of(wire) <= _DIRECT_VALUES):
        return looked_up(wire, quotient)
    if divisor & (divisor - 1) == 0:
        unlimited = FixedPoint(64, 64 - accumulator.fractional_bits, True, "TRN_ZERO", "WRAP")
        return cast_wire(scaled(wire, 1.0 / divisor), unlimited)
    # floor(x / d) is floor(x * m / 2**s) for 0 <= x <= n when m = ceil(2**s / d) and (m * d - 2**s) * n < 2**s
    codes = -(-round(max(-wire.low, wire.high) / step) // divisor) * divisor
    bits = (2 * codes + divisor).bit_length()
    while (-(-(1 << bits) // divisor) * divisor - (1 << bits)) * (2 * codes + divisor) >= 1 << bits:
        bits += 1
    upset = add(wire, scaled(is_negative(wire), (divisor - 1) * step))  # towards zero, not down
    shifted = add_constant(upset, codes * step)
    product = scaled(shifted, -(-(1 << bits) // divisor) * 2.0**-bits)
    down = FixedPoint(64, 64 - accumulator.fractional_bits, True, "TRN", "WRAP")
    return add_constant(cast_wire(product, down), -(codes // divisor) * step)


TRACERS: Mapping[str, Tracer] = {
    "pooling_1d": trace_pooling,
    "pooling_2d": trace_pooling,
    "global_pooling_1d": trace_global_pooling,
    "global_pooling_2d": trace_global_pooling,
}
"""How each kind of this family is traced."""
