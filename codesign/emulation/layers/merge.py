"""Layers that combine two tensors value by value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from codesign.emulation.buffers import Buffers
from codesign.emulation.cast import Cast, plan_cast
from codesign.emulation.codes import Arithmetic, Array, arithmetic_for
from codesign.emulation.layers.shapes import in_unit
from codesign.emulation.layers.step import Step, Tallies, result_signal, tally_of
from codesign.emulation.signal import Signal, magnitude
from codesign.errors import ConversionError
from codesign.hls.graph import Graph, Node

_COMBINE: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "subtract": np.subtract,
    "average": np.add,  # the half is in the unit
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
}


@dataclass(frozen=True, eq=False)
class _Operand:
    """An input of a merging layer, laid out flat; a smaller one is repeated, as the C++ does."""

    fraction: int
    low: Array
    high: Array
    indices: Array | None

    @classmethod
    def of(cls, signal: Signal, node: Node) -> _Operand:
        size = int(np.prod(node.output_shape))
        indices = None if signal.low.size == size else np.arange(size) % signal.low.size
        spread = np.arange(size) if indices is None else indices
        return cls(signal.fraction, signal.low.ravel()[spread], signal.high.ravel()[spread], indices)

    def ends(self, unit: int) -> tuple[Array, Array]:
        """Return the bounds in a finer unit."""
        factor = 2.0 ** (unit - self.fraction)
        return self.low * factor, self.high * factor

    def codes(self, x: Array, unit: int, arithmetic: Arithmetic) -> Array:
        """Return the operand's codes in a finer unit, flat."""
        return in_unit(self.spread(x), self.fraction, unit, arithmetic)

    def spread(self, x: Array) -> Array:
        """Lay codes out flat."""
        flat = x.reshape(len(x), -1)
        return flat if self.indices is None else flat[:, self.indices]


@dataclass(frozen=True, eq=False)
class CombineStep(Step):
    """A sum, difference, mean, product or choice: exact until the one assignment."""

    operands: tuple[_Operand, _Operand]
    combine: Callable[[Array, Array], Array]
    units: tuple[int, int]
    result: Cast

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        a, b = (
            operand.codes(x, unit, self.arithmetic)
            for operand, x, unit in zip(self.operands, inputs, self.units, strict=True)
        )
        total = self.combine(a, b).reshape(len(a), *self.node.output_shape)
        return self.result.apply(total, tally_of(tallies, "result"), own=True)


def plan_merge(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan an addition, subtraction, multiplication, mean, maximum or minimum of two tensors."""
    operation = node.attributes["op"]
    operands = _Operand.of(inputs[0], node), _Operand.of(inputs[1], node)
    if operation not in _COMBINE:
        known = ", ".join(_COMBINE)
        raise ConversionError(f"{node.name}: merging by {operation!r} is not supported; use {known}")
    a, b = operands
    if operation == "multiply":
        units, unit = (a.fraction, b.fraction), a.fraction + b.fraction
    else:
        finer = max(a.fraction, b.fraction)
        units, unit = (finer, finer), finer + (operation == "average")
    combine, ends = _COMBINE[operation], (a.ends(units[0]), b.ends(units[1]))
    corners = [combine(one, other) for one in ends[0] for other in ends[1]]
    shape = node.output_shape
    low, high = np.minimum.reduce(corners).reshape(shape), np.maximum.reduce(corners).reshape(shape)
    result = plan_cast(unit, low, high, node.result)
    arithmetic = arithmetic_for(max(magnitude(low, high), *(magnitude(*pair) for pair in ends)))
    return CombineStep(node, result_signal(node, result), arithmetic, operands, combine, units, result)
