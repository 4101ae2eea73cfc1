"""The softmax in its four implementations, and the decision on a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.emulation.batches import Buffers
from codesign.emulation.cast import Cast, plan_cast
from codesign.emulation.codes import Array, Signal, arithmetic_for, constant_codes, convert, magnitude, widest
from codesign.emulation.layers.activations import TableIndex, plan_index
from codesign.emulation.layers.reduce import TypedSum, in_own_unit, plan_typed_sum
from codesign.emulation.layers.step import Planner, Step, Tallies, result_signal, tally_of
from codesign.emulation.tables import (
    addressed_values,
    assigned,
    exponentials,
    legacy_exponentials,
    legacy_inverses,
)
from codesign.errors import ConversionError
from codesign.hls.graph import DECISION, Graph, Node

LEGACY_TABLE = FixedPoint(18, 8)
"""The type of the legacy implementation's tables; hls4ml's configuration does not reach it."""

_LEGACY_STREAM_SIZE = 1024


@dataclass(frozen=True)
class Groups:
    """The values that are normalised together.

    Parameters
    ----------
    outer, size, inner
        A tensor is `(outer, size, inner)`; each group runs over the middle axis.
    """

    outer: int
    size: int
    inner: int

    def split(self, x: Array) -> Array:
        """Lay out `(n, ...)` as `(n * outer * inner, size)`."""
        return x.reshape(-1, self.size, self.inner).swapaxes(1, 2).reshape(-1, self.size)

    def join(self, groups: Array, shape: tuple[int, ...]) -> Array:
        """Lay out groups as tensors of `shape` again."""
        return groups.reshape(-1, self.inner, self.size).swapaxes(1, 2).reshape(-1, *shape)


@dataclass(frozen=True)
class TopBits:
    """A table's index made of the highest bits of a code.

    Parameters
    ----------
    shift
        How many bits are left out below, counted from the code's unit.
    size
        The number of entries.
    """

    shift: int
    size: int

    def of(self, codes: Array) -> Array:
        """Indices (intp)."""
        whole = codes.astype(np.int64)
        return ((whole >> self.shift if self.shift >= 0 else whole << -self.shift) & (self.size - 1)).astype(
            np.intp
        )


@dataclass(frozen=True, eq=False)
class ExponentialStep(Step):
    """The stable and the latency implementation: two tables and a product."""

    groups: Groups
    difference: Cast | None
    exponential: tuple[TopBits, Array]
    total: TypedSum
    to_inverse: Cast
    inverse: tuple[TopBits, Array]
    result: Cast

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        x = self.groups.split(inputs[0])
        if self.difference is not None:
            x = convert(x, self.difference.work)
            x = self.difference.apply(x.max(axis=1, keepdims=True) - x)
        e = self.exponential[1][self.exponential[0].of(x)]
        total = self.total.run(e[..., None], tally_of(tallies, "accumulator"))[:, 0]
        inverse = self.inverse[1][self.inverse[0].of(self.to_inverse.apply(total))]
        product = convert(e, self.result.work) * inverse[:, None]
        y = self.result.apply(product, tally_of(tallies, "result"), own=True)
        return self.groups.join(y, self.node.output_shape)


@dataclass(frozen=True, eq=False)
class LegacyStep(Step):
    """The legacy implementation: exponentials of all differences, then one inverse."""

    groups: Groups
    index: TableIndex
    exponential: Array
    total: TypedSum
    inverse_index: TableIndex
    inverse: Array
    result: Cast

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        x = convert(self.groups.split(inputs[0]), widest("float64", self.index.arithmetic))
        difference = x[:, None, :] - x[:, :, None]  # [group, i, j] = x[j] - x[i]
        e = self.exponential[self.index.of(difference)]
        itself = np.arange(self.groups.size)
        e[:, itself, itself] = 2.0**LEGACY_TABLE.fractional_bits
        total = self.total.run(np.moveaxis(e, 2, 1), tally_of(tallies, "accumulator"))
        y = self.inverse[self.inverse_index.of(total)]
        return self.groups.join(
            self.result.apply(y, tally_of(tallies, "result"), own=True), self.node.output_shape
        )


@dataclass(frozen=True, eq=False)
class ArgmaxStep(Step):
    """One for the first largest value, zero for the others."""

    groups: Groups
    one: Array

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        x = self.groups.split(inputs[0])
        y = np.zeros(x.shape, dtype=self.one.dtype)
        y[np.arange(len(x)), x.argmax(axis=1)] = self.one
        return self.groups.join(y, self.node.output_shape)


@dataclass(frozen=True, eq=False)
class DecisionStep(Step):
    """The index of the first largest value; of a single value whether it is above zero."""

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        x = inputs[0]
        y = x > 0 if x.shape[1] == 1 else x.argmax(axis=1)[:, None]
        return convert(y, self.signal.arithmetic)


def plan_decision(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a decision on a class."""
    most = max(inputs[0].shape[0] - 1, 1)
    signal = Signal(0, np.zeros(1), np.full(1, float(most)), node.result)
    return DecisionStep(node, signal, widest(inputs[0].arithmetic, signal.arithmetic))


def plan_softmax(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a softmax."""
    groups = _groups(node, graph)
    implementation = node.attributes["implementation"]
    if implementation == "argmax":
        one = assigned(np.array(1.0), node.result)
        low, high = (
            np.full(node.output_shape, min(0.0, float(one))),
            np.full(node.output_shape, max(0.0, float(one))),
        )
        signal = Signal(node.result.fractional_bits, low, high, node.result)
        return ArgmaxStep(node, signal, inputs[0].arithmetic, groups, convert(one, signal.arithmetic))
    if implementation == "legacy":
        return _plan_legacy(node, inputs[0], groups, graph)
    return _plan_exponential(node, inputs[0], groups, implementation == "stable")


def _plan_exponential(node: Node, signal: Signal, groups: Groups, stable: bool) -> Step:
    types, size, inverse_size = (
        node.types,
        node.attributes["exp_table_size"],
        node.attributes["inv_table_size"],
    )
    difference, address, fraction = None, signal.precision, signal.fraction
    if stable:
        address = types["inp_norm"]
        spread = np.array([float(signal.high.max()) - float(signal.low.min())])
        difference = plan_cast(signal.fraction, np.zeros(1), spread, address)
        difference = replace(difference, work=widest(difference.work, signal.arithmetic))
        fraction = difference.fraction
    entries = _exponential_entries(node, address, size, stable)
    total = plan_typed_sum(
        types["accum"].fractional_bits, *_ends(entries), groups.size, types["accum"], tree=True
    )
    to_inverse = plan_cast(total.fraction, total.low, total.high, types["inv_inp"])
    with np.errstate(divide="ignore"):
        inverses = np.float32(1) / addressed_values(types["inv_inp"], inverse_size)
    inverse = assigned(inverses, types["inv_table"])
    corners = [(a * b).item() for a in _ends(entries) for b in _ends(inverse)]
    unit, shape = types["accum"].fractional_bits + types["inv_table"].fractional_bits, node.output_shape
    result = plan_cast(unit, np.full(shape, min(corners)), np.full(shape, max(corners)), node.result)
    factors = max(magnitude(*_ends(entries)), magnitude(*_ends(inverse)))
    result = replace(result, work=widest(result.work, arithmetic_for(factors)))
    return ExponentialStep(
        node,
        result_signal(node, result),
        widest(result.work, total.arithmetic, to_inverse.work),
        groups,
        difference,
        (_top_bits(node, address, fraction, size), entries),
        total,
        to_inverse,
        (_top_bits(node, types["inv_inp"], to_inverse.fraction, inverse_size), convert(inverse, result.work)),
        result,
    )


def _exponential_entries(node: Node, address: FixedPoint, size: int, stable: bool) -> Array:
    """Make the table of exponentials, already assigned to the accumulator's type, in that type's unit."""
    values = addressed_values(address, size) * np.float32(node.attributes["exp_scale"])
    table = assigned(exponentials(-values if stable else values), node.types["exp_table"])
    cast = plan_cast(node.types["exp_table"].fractional_bits, *_ends(table), node.types["accum"])
    return in_own_unit(cast, cast.apply(convert(table, cast.work)))


def _ends(codes: Array) -> tuple[Array, Array]:
    """The least and the greatest code as bounds."""
    return np.array([float(codes.min())]), np.array([float(codes.max())])


def _plan_legacy(node: Node, signal: Signal, groups: Groups, graph: Graph) -> Step:
    stream = graph.io_type == "io_stream"
    size = _LEGACY_STREAM_SIZE if stream else int(node.attributes["exp_table_size"])
    inverse_size = _LEGACY_STREAM_SIZE if stream else int(node.attributes["inv_table_size"])
    spread = Signal(
        signal.fraction, np.array([-2.0 * signal.bound]), np.array([2.0 * signal.bound]), signal.precision
    )
    table = assigned(legacy_exponentials(size), LEGACY_TABLE).astype(np.float64)
    one = 2.0**LEGACY_TABLE.fractional_bits
    ends = _ends(np.append(table, one))
    total = plan_typed_sum(LEGACY_TABLE.fractional_bits, *ends, groups.size, LEGACY_TABLE, tree=False)
    sums = Signal(total.fraction, total.low, total.high, LEGACY_TABLE)
    inverse = assigned(legacy_inverses(inverse_size), LEGACY_TABLE)
    low, high = (np.full(node.output_shape, float(end)) for end in (inverse.min(), inverse.max()))
    result = plan_cast(LEGACY_TABLE.fractional_bits, low, high, node.result)
    index = plan_index(spread, size, 16, size // 2)
    return LegacyStep(
        node,
        result_signal(node, result),
        widest("float64", index.arithmetic, total.arithmetic),
        groups,
        index,
        convert(table, total.arithmetic),
        total,
        plan_index(sums, inverse_size, 64, 0),
        constant_codes(inverse, 0, result.work),
        result,
    )


def _groups(node: Node, graph: Graph) -> Groups:
    attributes, shape = node.attributes, node.output_shape
    outer, inner = int(attributes.get("n_outer", 1)), int(attributes.get("n_inner", 1))
    if graph.io_type == "io_stream":  # each element of the stream is one group
        return Groups(int(np.prod(shape[:-1])), shape[-1], 1)
    return Groups(outer, int(np.prod(shape)) // outer // inner, inner)


def _top_bits(node: Node, precision: FixedPoint, fraction: int, size: int) -> TopBits:
    bits = size.bit_length() - 1
    if size != 1 << bits or bits > precision.width:
        raise ConversionError(
            f"{node.name}: a softmax table of {size} entries cannot be addressed by the top bits of {precision}; "
            f"choose a power of two up to {1 << min(precision.width, 20)}"
        )
    return TopBits(precision.integer_bits - bits + fraction, size)


PLANNERS: Mapping[str, Planner] = {
    "softmax": plan_softmax,
    DECISION: plan_decision,
}
"""How each kind of this family computes."""
