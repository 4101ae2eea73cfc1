"""Activations that look their result up in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.emulation.buffers import Buffers
from codesign.emulation.cast import Cast, plan_cast
from codesign.emulation.codes import (
    Arithmetic,
    Array,
    arithmetic_for,
    constant_codes,
    convert,
    is_float,
    widest,
)
from codesign.emulation.layers.step import Step, Tallies, result_signal, tally_of
from codesign.emulation.products import whole_codes
from codesign.emulation.signal import Signal, magnitude
from codesign.emulation.tables import activation_table, assigned
from codesign.hls.graph import Graph, Node

_SELU_SCALE = 1.0507009873554804934193349852946


@dataclass(frozen=True)
class TableIndex:
    """The index that the C++ computes, `int(x * size / divisor)` (towards zero) plus an offset, kept in the table.

    Parameters
    ----------
    size
        The number of entries.
    shift
        The binary logarithm of `divisor / step of x`.
    sign
        -1 where the divisor is negative.
    offset
        What is added.
    arithmetic
        The number type in which it is exact; integers also follow the 32 bits of a C `int`.
    """

    size: int
    shift: int
    sign: int
    offset: int
    arithmetic: Arithmetic

    def of(self, codes: Array) -> Array:
        """Return indices (intp) for codes."""
        codes = convert(codes, self.arithmetic)
        if is_float(self.arithmetic):
            factor = codes.dtype.type(self.sign * self.size * 2.0**-self.shift)
            index = np.trunc(np.multiply(codes, factor))
            index += codes.dtype.type(self.offset)
            return np.clip(index, 0, self.size - 1, out=index).astype(np.intp)
        product: Array = codes * (self.sign * self.size)
        size: Array = abs(product)
        whole = size >> self.shift if self.shift >= 0 else size << -self.shift
        whole = _as_int(np.where(product < 0, -whole, whole))
        return np.clip(_as_int(whole + self.offset), 0, self.size - 1).astype(np.intp)


@dataclass(frozen=True, eq=False)
class LookupStep(Step):
    """A table over the whole range of the input."""

    index: TableIndex
    table: Array
    result: Cast

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        return self.result.apply(self.table[self.index.of(inputs[0])], tally_of(tallies, "result"), own=True)


@dataclass(frozen=True, eq=False)
class NegativeLookupStep(Step):
    """A straight line for what is not negative, a table for the rest."""

    index: TableIndex
    table: Array
    slope: Array
    result: Cast

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        x = inputs[0]
        line = convert(x, self.arithmetic) * self.slope
        return self.result.apply(
            np.where(x >= 0, line, self.table[self.index.of(x)]), tally_of(tallies, "result"), own=True
        )


def plan_index(signal: Signal, size: int, divisor: int, offset: int) -> TableIndex:
    """Plan the index `int(x * size / divisor) + offset` for the values of a tensor (or a difference of two)."""
    shift = signal.fraction + abs(divisor).bit_length() - 1
    product = signal.bound * size
    small = product * 2.0**-shift < 2.0**30
    arithmetic = arithmetic_for(max(product, 2.0 * size)) if small else "object"
    if not is_float(arithmetic):
        arithmetic = "object"
    return TableIndex(size, shift, 1 if divisor > 0 else -1, offset, arithmetic)


def plan_lookup(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a sigmoid, tanh, softplus or softsign."""
    name, size = str(node.attributes["activation"]), int(node.attributes["table_size"])
    divisor = 8 if name == "tanh" else 16
    index = plan_index(inputs[0], size, divisor, divisor // 2 * size // divisor)
    codes = assigned(activation_table(name, size), node.types["table"])
    low, high = (np.full(node.output_shape, float(end)) for end in (codes.min(), codes.max()))
    result = plan_cast(node.types["table"].fractional_bits, low, high, node.result)
    table = convert(codes, result.work)
    arithmetic = widest(index.arithmetic, result.work)
    return LookupStep(node, result_signal(node, result), arithmetic, index, table, result)


def plan_elu(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan an elu or selu."""
    signal, size = inputs[0], int(node.attributes["table_size"])
    name = "selu" if node.attributes["activation"] == "selu" else "elu"
    index = plan_index(signal, size, -8, 0)
    table = assigned(activation_table(name, size), node.types["table"])
    table_fraction = node.types["table"].fractional_bits
    slope, slope_fraction = np.array(1), 0
    if name == "selu":
        constant = signal.precision if graph.io_type == "io_stream" else FixedPoint(16, 1, signed=False)
        slope, slope_fraction = whole_codes(np.array(_SELU_SCALE), constant)
    elif "param" in node.types:
        factor, fraction = whole_codes(np.array(float(node.attributes["activ_param"])), node.types["param"])
        table, table_fraction = table * factor, table_fraction + fraction
    line_fraction = signal.fraction + slope_fraction
    unit = max(line_fraction, table_fraction)
    entries = table.astype(np.float64) * 2.0 ** (unit - table_fraction)
    steep = float(slope) * 2.0 ** (unit - line_fraction)
    line = [np.maximum(end, 0.0) * steep for end in (signal.low, signal.high)]
    low = np.minimum(np.minimum(*line), float(entries.min()))
    high = np.maximum(np.maximum(*line), float(entries.max()))
    result = plan_cast(unit, low, high, node.result)
    arithmetic = arithmetic_for(max(magnitude(low, high), signal.bound * max(abs(steep), 1.0)))
    return NegativeLookupStep(
        node,
        result_signal(node, result),
        widest(arithmetic, index.arithmetic, result.work),
        index,
        constant_codes(table, unit - table_fraction, arithmetic),
        constant_codes(slope, unit - line_fraction, arithmetic),
        result,
    )


def _as_int(values: Array) -> Array:
    """Keep what a C `int` of 32 bits keeps."""
    return ((values + 2**31) & (2**32 - 1)) - 2**31
