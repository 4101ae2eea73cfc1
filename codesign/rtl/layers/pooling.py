"""Pooling over windows and over whole images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.errors import ConversionError
from codesign.hls.graph import Graph, Node
from codesign.rtl.cast import cast, cast_wire, fits, limits
from codesign.rtl.layers.common import Windows, gathered, integer_type, result_of, windows_of
from codesign.rtl.wires import (
    Wires,
    add,
    add_constant,
    constant,
    each,
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
    if graph.io_type == "io_stream" and not all(fits(wire, accumulator) for wire in wires.flat):
        raise ConversionError(
            f"a stream assigns its input to the accumulator {accumulator}, which cannot hold it; let it be inferred"
        )
    if node.attributes["pool_op"] == "Max":
        return result_of(node, _maxima(wires, windows, accumulator, graph[node.inputs[0]].result))
    sums = _totals(gathered(wires, windows), accumulator, node)
    divisors = np.full(len(sums), windows.size[0] * windows.size[1])
    if "global" not in node.kind and graph.io_type == "io_parallel" and not node.attributes.get("count_pad"):
        divisors = windows.overlaps(wires.shape).astype(np.int64)
    return result_of(
        node, each(lambda wire, divisor: _divided(wire, int(divisor), accumulator), sums, divisors[:, None])
    )


def _maxima(wires: Wires, windows: Windows, accumulator: FixedPoint, source: FixedPoint) -> Wires:
    # the C++ pads with the highest bit alone: the least value of a signed type, the middle of an unsigned one
    top = 2.0 ** (source.integer_bits - 1)
    terms = gathered(wires, windows, -top if source.signed else top)
    largest = np.empty((terms.shape[0], terms.shape[2]), dtype=object)
    for place, channel in np.ndindex(largest.shape):
        largest[place, channel] = reduced(larger, terms[place, :, channel])
    return cast(largest, accumulator)


def _totals(terms: Wires, accumulator: FixedPoint, node: Node) -> Wires:
    """Add terms `(n_places, window, channels)` in the accumulator's type, from zero, one after the other."""
    totals = np.empty((terms.shape[0], terms.shape[2]), dtype=object)
    for place, channel in np.ndindex(totals.shape):
        totals[place, channel] = _total(list(terms[place, :, channel]), accumulator, node)
    return totals


def _total(terms: list[FVariable], accumulator: FixedPoint, node: Node) -> FVariable:
    least, most = limits(accumulator)
    exact = all(is_constant(term) or term.step >= accumulator.step for term in terms)
    low, high = (
        sum(clip(getattr(term, end), 0.0) for term in terms) for clip, end in ((min, "low"), (max, "high"))
    )
    if exact and (accumulator.overflow == "WRAP" or (low >= least and high <= most)):
        return cast_wire(reduced(add, terms), accumulator)
    total = constant(0.0)
    for term in terms:
        total = cast_wire(add(total, term), accumulator)
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
