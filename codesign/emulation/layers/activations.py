"""Activations: rectifiers, hard sigmoid and tanh, binary and ternary tanh, and those that look their result up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.core.rounding import like
from codesign.emulation.batches import Buffers, buffer_of
from codesign.emulation.cast import Cast, plan_cast
from codesign.emulation.codes import (
    Arithmetic,
    Array,
    Signal,
    arithmetic_for,
    constant_codes,
    convert,
    is_float,
    magnitude,
    scaled,
    widest,
)
from codesign.emulation.layers.shapes import plan_copy
from codesign.emulation.layers.step import Planner, Step, Tallies, result_signal, tally_of
from codesign.emulation.products import whole_codes
from codesign.emulation.tables import activation_table, assigned
from codesign.errors import ConversionError
from codesign.hls.graph import Graph, Node


@dataclass(frozen=True, eq=False)
class ReluStep(Step):
    """A rectifier."""

    result: Cast

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        out = buffer_of(buffers, self.node.name, "result", inputs[0].shape, self.result.work)
        return self.result.apply(inputs[0], tally_of(tallies, "result"), relu=True, out=out)


@dataclass(frozen=True, eq=False)
class SlopeStep(Step):
    """A rectifier with a slope for what is not positive."""

    shift: int
    slope: Array
    result: Cast

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        x = convert(inputs[0], self.arithmetic)
        y = np.where(x > 0, scaled(x, self.shift), x * self.slope)
        return self.result.apply(y, tally_of(tallies, "result"), own=True)


@dataclass(frozen=True, eq=False)
class ThresholdStep(Step):
    """A rectifier that passes what is greater than a threshold."""

    shift: int
    threshold: Array
    result: Cast

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        x = scaled(convert(inputs[0], self.arithmetic), self.shift)
        y = np.where(x > self.threshold, x, like(x, 0))
        return self.result.apply(y, tally_of(tallies, "result"), own=True)


@dataclass(frozen=True, eq=False)
class HardStep(Step):
    """A straight line between 0 and a limit `one`: 1 (sigmoid), 6 (relu6), or -1 and 1 (tanh)."""

    slope: Array
    offset: Array
    one: float
    tanh: bool
    result: Cast

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        x = convert(inputs[0], self.arithmetic)
        y = np.clip(x * self.slope + self.offset, like(x, 0), like(x, self.one))
        if self.tanh:
            y = y * like(x, 2) - like(x, self.one)
        return self.result.apply(y, tally_of(tallies, "result"), own=True)


@dataclass(frozen=True, eq=False)
class LevelStep(Step):
    """A few levels: as many thresholds as are passed choose one."""

    before: Cast | None
    thresholds: tuple[float, ...]
    inclusive: bool
    levels: Array

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        x = inputs[0] if self.before is None else self.before.apply(inputs[0])
        index = np.zeros(x.shape, dtype=np.intp)
        for threshold in self.thresholds:
            index += (x >= like(x, threshold)) if self.inclusive else (x > like(x, threshold))
        return self.levels[index]


def plan_activation(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan an activation without parameters."""
    name = node.attributes["activation"]
    if name == "linear":
        return plan_copy(node, inputs, graph)
    if name == "relu":
        signal = inputs[0]
        result = plan_cast(signal.fraction, signal.low, signal.high, node.result, relu=True)
        return ReluStep(node, result_signal(node, result), result.work, result)
    if name == "relu6":
        return _plan_limited(node, inputs[0], 6.0)
    if name in ("elu", "selu"):
        return plan_elu(node, inputs, graph)
    if name in ("binary_tanh", "ternary_tanh"):
        return _plan_levels(node, inputs[0], graph)
    return plan_lookup(node, inputs, graph)


def plan_parametrized(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a leaky or thresholded rectifier, or an elu."""
    name = str(node.attributes["activation"]).lower()
    if name == "elu":
        return plan_elu(node, inputs, graph)
    parameter = np.array(float(node.attributes["activ_param"]))
    if name == "leakyrelu":
        return _plan_slope(node, inputs[0], *whole_codes(parameter, node.types["param"]))
    threshold, fraction = whole_codes(parameter, node.types["param"])
    signal = inputs[0]
    unit = max(signal.fraction, fraction)
    factor = 2.0 ** (unit - signal.fraction)
    low, high = np.minimum(signal.low, 0.0) * factor, np.maximum(signal.high, 0.0) * factor
    result = plan_cast(unit, low, high, node.result)
    limit = float(threshold) * 2.0 ** (unit - fraction)
    arithmetic = arithmetic_for(max(magnitude(low, high), abs(limit)))
    constant = constant_codes(threshold, unit - fraction, arithmetic)
    return ThresholdStep(
        node, result_signal(node, result), arithmetic, unit - signal.fraction, constant, result
    )


def plan_prelu(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a rectifier with a slope for each value."""
    slopes = node.weights["param"]
    if slopes.size != inputs[0].low.size:
        raise ConversionError(
            f"{node.name}: {slopes.size} slopes for {inputs[0].low.size} values; share no axes of the PReLU"
        )
    slope, fraction = whole_codes(slopes.reshape(inputs[0].shape), node.types["param"])
    return _plan_slope(node, inputs[0], slope, fraction)


def plan_hard(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a hard sigmoid or hard tanh."""
    signal, tanh = inputs[0], node.attributes["activation"] == "hard_tanh"
    slope, slope_fraction = whole_codes(np.array(float(node.attributes["slope"])), node.types["slope"])
    shift, shift_fraction = whole_codes(np.array(float(node.attributes["shift"])), node.types["shift"])
    natural = signal.fraction + slope_fraction
    unit = max(natural, shift_fraction, 0)
    factor, offset = float(slope) * 2.0 ** (unit - natural), float(shift) * 2.0 ** (unit - shift_fraction)
    one = 2.0**unit
    ends = [signal.low * factor + offset, signal.high * factor + offset]
    low, high = (np.clip(end, 0.0, one) for end in (np.minimum(*ends), np.maximum(*ends)))
    if tanh:
        low, high = 2.0 * low - one, 2.0 * high - one
    result = plan_cast(unit, low, high, node.result)
    bound = max(magnitude(np.minimum(*ends), np.maximum(*ends)) + abs(offset), 2.0 * one, signal.bound)
    arithmetic = arithmetic_for(bound)
    return HardStep(
        node,
        result_signal(node, result),
        widest(arithmetic, result.work),
        constant_codes(slope, unit - natural, widest(arithmetic, result.work)),
        constant_codes(shift, unit - shift_fraction, widest(arithmetic, result.work)),
        one,
        tanh,
        result,
    )


def _plan_limited(node: Node, signal: Signal, most: float) -> Step:
    """Plan a rectifier with a limit, a whole number."""
    unit = max(signal.fraction, 0)
    limit, factor = most * 2.0**unit, 2.0 ** (unit - signal.fraction)
    low, high = (np.clip(end * factor, 0.0, limit) for end in (signal.low, signal.high))
    result = plan_cast(unit, low, high, node.result)
    arithmetic = widest(arithmetic_for(max(signal.bound * factor, limit)), result.work)
    one, zero = (constant_codes(np.array(number), 0, arithmetic) for number in (1, 0))
    slope = one * like(one, factor)
    return HardStep(node, result_signal(node, result), arithmetic, slope, zero, limit, False, result)


def _plan_slope(node: Node, signal: Signal, slope: Array, fraction: int) -> Step:
    slope, fraction = slope << max(0, -fraction), max(0, fraction)
    negative = [np.minimum(end, 0.0) * slope.astype(np.float64) for end in (signal.low, signal.high)]
    positive = [np.maximum(end, 0.0) * 2.0**fraction for end in (signal.low, signal.high)]
    low, high = np.minimum.reduce([*negative, positive[0]]), np.maximum.reduce([*negative, positive[1]])
    result = plan_cast(signal.fraction + fraction, low, high, node.result)
    steepest = max(2.0**fraction, float(abs(slope).max()))  # both branches are computed for every value
    arithmetic = arithmetic_for(signal.bound * steepest)
    constant = constant_codes(slope, 0, arithmetic)
    return SlopeStep(
        node, result_signal(node, result), widest(arithmetic, result.work), fraction, constant, result
    )


def _plan_levels(node: Node, signal: Signal, graph: Graph) -> Step:
    binary = node.attributes["activation"] == "binary_tanh"
    values = np.array([-1.0, 1.0] if binary else [-1.0, 0.0, 1.0])
    integer = "result" in node.attributes["integer_types"]
    if binary and integer and node.result == FixedPoint(1, 1, signed=False):
        values = np.array([0.0, 1.0])  # one bit: 0 stands for -1
    codes = assigned(values, node.result)
    low, high = (np.full(node.output_shape, float(end)) for end in (codes.min(), codes.max()))
    result = Signal(node.result.fractional_bits, low, high, node.result, integer)
    before, fraction = None, signal.fraction
    if not binary and graph.io_type == "io_parallel":  # twice the input, assigned to the input's own type
        before = plan_cast(signal.fraction - 1, signal.low, signal.high, signal.precision)
        fraction = before.fraction
    thresholds = (0.0,) if binary else (-(2.0**fraction), 2.0**fraction)
    levels = convert(codes, result.arithmetic)
    arithmetic = signal.arithmetic if before is None else before.work
    return LevelStep(node, result, arithmetic, before, thresholds, binary, levels)


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
        """Indices (intp) for codes."""
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


PLANNERS: Mapping[str, Planner] = {
    "activation": plan_activation,
    "parametrized_activation": plan_parametrized,
    "prelu": plan_prelu,
    "hard_activation": plan_hard,
}
"""How each kind of this family computes."""
