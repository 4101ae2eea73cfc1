"""Layers that move or combine values: input, reshape, padding, transposition, concatenation, merging."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codesign.emulation.batches import Buffers
from codesign.emulation.cast import Cast, count_assignment, plan_cast
from codesign.emulation.codes import (
    Arithmetic,
    Array,
    Signal,
    arithmetic_for,
    convert,
    magnitude,
    scaled,
    type_bounds,
    widest,
)
from codesign.emulation.layers.step import Planner, Step, Tallies, result_signal, tally_of
from codesign.emulation.layers.windows import nearest_places
from codesign.emulation.products import whole_codes
from codesign.errors import ConversionError, DataError
from codesign.hls.graph import Graph, Node


@dataclass(frozen=True, eq=False)
class InputStep(Step):
    """The network's input: real numbers are assigned to its type."""

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Quantize real numbers `(n, *shape)`."""
        precision, x = self.node.result, inputs[0]
        tally = tally_of(tallies, "input")
        if tally is not None:
            count_assignment(x, precision, tally)
        if precision.width > 53:
            return convert(precision.to_integers(x), self.arithmetic)
        codes = precision.quantize(x)
        np.multiply(codes, codes.dtype.type(2.0**precision.fractional_bits), out=codes)
        return convert(codes, self.arithmetic)


@dataclass(frozen=True, eq=False)
class MoveStep(Step):
    """Values in another order or shape, each assigned to the result's type."""

    result: Cast
    indices: Array | None

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        x = inputs[0]
        if self.indices is not None:
            x = x.reshape(len(x), -1)[:, self.indices]
        x = x.reshape(len(x), *self.node.output_shape)
        return self.result.apply(x, None if self.result.is_nothing else tally_of(tallies, "result"))


@dataclass(frozen=True, eq=False)
class PadStep(Step):
    """Zeros around an image or a sequence."""

    result: Cast
    widths: tuple[tuple[int, int], ...]

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        x = self.result.apply(inputs[0], None if self.result.is_nothing else tally_of(tallies, "result"))
        return np.pad(x, ((0, 0), *self.widths))


@dataclass(frozen=True, eq=False)
class ConcatenateStep(Step):
    """Several tensors after each other, each assigned to the result's type."""

    results: tuple[Cast, ...]
    axis: int

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        parts = [
            in_unit(
                cast.apply(x, tally_of(tallies, "result")),
                cast.fraction,
                self.signal.fraction,
                self.arithmetic,
            )
            for x, cast in zip(inputs, self.results, strict=True)
        ]
        return convert(np.concatenate(parts, axis=self.axis + 1), self.signal.arithmetic)


@dataclass(frozen=True, eq=False)
class EmbeddingStep(Step):
    """Rows of a table, chosen by whole numbers."""

    source: int
    table: Array

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result; an index without a row is memory that is not the table's in the C++."""
        index = inputs[0].astype(np.float64) * 2.0**-self.source
        bad = np.flatnonzero((index < 0) | (index >= len(self.table)) | (index % 1 != 0))
        if bad.size:
            raise DataError(
                f"{self.node.name} has rows 0 to {len(self.table) - 1}, and its input holds {index.ravel()[bad[0]]:g}"
            )
        return self.table[index.astype(np.intp)]


def plan_embedding(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan an embedding; its table is assigned to the result's type once."""
    types = node.types
    codes, fraction = whole_codes(node.weights["embeddings"], types["embeddings"])
    low, high = (
        np.broadcast_to(end.astype(np.float64), node.output_shape)
        for end in (codes.min(axis=0), codes.max(axis=0))
    )
    result = plan_cast(fraction, low, high, node.result)
    table = result.apply(convert(codes, result.work))
    return EmbeddingStep(node, result_signal(node, result), result.work, inputs[0].fraction, table)


def plan_input(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan an input layer; its bounds are those of its type."""
    low, high = type_bounds(node.result, node.output_shape)
    integer = "result" in node.attributes["integer_types"]
    signal = Signal(node.result.fractional_bits, low, high, node.result, integer)
    return InputStep(node, signal, signal.arithmetic)


def plan_copy(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a reshape, a clone or a linear activation."""
    return _plan_move(node, inputs[0], None)


def plan_broadcast(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a broadcast of a stream to a larger shape."""
    indices = np.broadcast_to(np.arange(inputs[0].low.size).reshape(inputs[0].shape), node.output_shape)
    return _plan_move(node, inputs[0], indices.ravel())


def plan_transpose(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a transposition."""
    indices = np.arange(inputs[0].low.size).reshape(inputs[0].shape).transpose(node.attributes["perm"])
    return _plan_move(node, inputs[0], indices.ravel())


def plan_zero_padding(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan padding with zeros."""
    pads = {side: int(node.attributes.get(f"pad_{side}", 0)) for side in ("top", "bottom", "left", "right")}
    across = (pads["left"], pads["right"])
    widths = (
        (across, (0, 0)) if len(node.output_shape) == 2 else ((pads["top"], pads["bottom"]), across, (0, 0))
    )
    result = plan_cast(inputs[0].fraction, inputs[0].low, inputs[0].high, node.result)
    low, high = np.pad(result.low, widths), np.pad(result.high, widths)
    integer = "result" in node.attributes["integer_types"]
    signal = Signal(result.fraction, low, high, node.result, integer)
    return PadStep(node, signal, result.work, result, widths)


def plan_cropping(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a cut out of an image or a sequence."""
    places = np.arange(inputs[0].low.size).reshape(inputs[0].shape)
    starts = [int(node.attributes.get(f"crop_{side}", 0)) for side in ("top", "left")][-places.ndim + 1 :]
    cut = tuple(
        slice(start, start + size) for start, size in zip(starts, node.output_shape[:-1], strict=True)
    )
    return _plan_move(node, inputs[0], places[cut].ravel())


def plan_resize(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a resizing that repeats the nearest pixel."""
    places = np.arange(inputs[0].low.size).reshape(inputs[0].shape)
    for axis, size in enumerate(node.output_shape[:-1]):
        stream = graph.io_type == "io_stream"
        places = places.take(nearest_places(places.shape[axis], size, stream=stream), axis=axis)
    return _plan_move(node, inputs[0], places.ravel())


def plan_concatenate(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a concatenation."""
    axis = int(node.attributes["axis"])
    axis = axis - 1 if axis > 0 else axis + len(node.output_shape)
    casts = tuple(plan_cast(signal.fraction, signal.low, signal.high, node.result) for signal in inputs)
    fraction = max(cast.fraction for cast in casts)
    low, high = (
        np.concatenate([getattr(cast, end) * 2.0 ** (fraction - cast.fraction) for cast in casts], axis=axis)
        for end in ("low", "high")
    )
    integer = "result" in node.attributes["integer_types"]
    signal = Signal(fraction, low, high, node.result, integer)
    arithmetic = widest(signal.arithmetic, *(cast.work for cast in casts))
    return ConcatenateStep(node, signal, arithmetic, casts, axis)


def in_unit(codes: Array, fraction: int, wanted: int, arithmetic: str) -> Array:
    """Bring codes to the finer unit `2**-wanted` in a number type that holds them."""
    codes = convert(codes, arithmetic)  # type: ignore[arg-type]
    return codes if fraction == wanted else scaled(codes, wanted - fraction)


def _plan_move(node: Node, signal: Signal, indices: Array | None) -> Step:
    low, high = (
        (end.ravel() if indices is None else end.ravel()[indices]).reshape(node.output_shape)
        for end in (signal.low, signal.high)
    )
    result = plan_cast(signal.fraction, low, high, node.result)
    return MoveStep(node, result_signal(node, result), result.work, result, indices)


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
        """The bounds in a finer unit."""
        factor = 2.0 ** (unit - self.fraction)
        return self.low * factor, self.high * factor

    def codes(self, x: Array, unit: int, arithmetic: Arithmetic) -> Array:
        """The operand's codes in a finer unit, flat."""
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


PLANNERS: Mapping[str, Planner] = {
    "input": plan_input,
    "zero_padding_1d": plan_zero_padding,
    "zero_padding_2d": plan_zero_padding,
    "cropping_1d": plan_cropping,
    "cropping_2d": plan_cropping,
    "resize": plan_resize,
    "merge": plan_merge,
    "concatenate": plan_concatenate,
    "reshape": plan_copy,
    "clone": plan_copy,
    "broadcast": plan_broadcast,
    "transpose": plan_transpose,
    "embedding": plan_embedding,
}
"""How each kind of this family computes."""
