"""Layers that move or combine values: reshape, padding, transposition, concatenation, merging."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import ConversionError
from codesign.hls.graph import Graph, Node
from codesign.rtl.cast import cast
from codesign.rtl.layers.common import Tracer, integer_type, nearest_places, result_of
from codesign.rtl.wires import (
    Wires,
    add,
    choose,
    constant,
    each,
    is_negative,
    looked_up,
    multiplied,
    negated,
    scaled,
)

if TYPE_CHECKING:
    from alkaid.trace import FVariable


def trace_copy(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace a reshape or a clone."""
    return result_of(node, inputs[0])


def trace_broadcast(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace a broadcast to a larger shape."""
    return result_of(node, np.broadcast_to(inputs[0], node.output_shape))


def trace_transpose(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace a transposition."""
    return result_of(node, inputs[0].transpose(node.attributes["perm"]))


def trace_zero_padding(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace padding with zeros."""
    pads = {side: int(node.attributes.get(f"pad_{side}", 0)) for side in ("top", "bottom", "left", "right")}
    result = np.full(node.output_shape, constant(0.0), dtype=object)
    across = slice(pads["left"], pads["left"] + inputs[0].shape[-2])
    down = (slice(pads["top"], pads["top"] + inputs[0].shape[0]),) if inputs[0].ndim == 3 else ()
    result[(*down, across)] = cast(inputs[0], node.result, integer=integer_type(node, "result"))
    return result


def trace_cropping(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace a cut out of an image or a sequence."""
    top, left = (int(node.attributes.get(f"crop_{side}", 0)) for side in ("top", "left"))
    *down, across, _ = node.output_shape
    rows = (slice(top, top + down[0]),) if down else ()
    return result_of(node, inputs[0][(*rows, slice(left, left + across))])


def trace_resize(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace a resizing that repeats the nearest pixel."""
    wires = inputs[0]
    for axis, size in enumerate(node.output_shape[:-1]):
        places = nearest_places(wires.shape[axis], size, stream=graph.io_type == "io_stream")
        wires = wires.take(places, axis=axis)
    return result_of(node, wires)


def trace_embedding(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace an embedding: a table for each of its columns; an index without a row gives the nearest one."""
    table = node.result.quantize(node.weights["embeddings"])

    def column(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda x: np.asarray(values[np.clip(np.trunc(x), 0, len(values) - 1).astype(np.int64)])

    return each(
        lambda wire, index: looked_up(wire, column(table[:, index])),
        inputs[0][:, None],
        np.arange(table.shape[1]),
    )


def trace_concatenate(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace a concatenation."""
    axis = int(node.attributes["axis"])
    return result_of(node, np.concatenate(list(inputs), axis=axis - 1 if axis > 0 else axis))


def trace_merge(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace an addition, subtraction, multiplication, mean, maximum or minimum of two tensors."""
    operation = str(node.attributes["op"])
    size = int(np.prod(node.output_shape))
    # the C++ repeats the smaller operand over the flat larger one
    a, b = (wires.ravel()[np.arange(size) % wires.size] for wires in inputs)
    if operation in ("maximum", "minimum"):
        integer = integer_type(node, "result")
        results = [cast(wires, node.result, integer=integer) for wires in (a, b)]
        first, second = (b, a) if operation == "maximum" else (a, b)
        conditions = each(_is_less, first, second)  # where a is the strictly larger or smaller one
        return each(choose, conditions, *results).reshape(node.output_shape)
    if operation not in _COMBINE:
        names = ", ".join((*_COMBINE, "maximum", "minimum"))
        raise ConversionError(f"merging by {operation!r} cannot become RTL; use {names}")
    return result_of(node, each(_COMBINE[operation], a, b))


def _is_less(a: FVariable, b: FVariable) -> FVariable:
    return is_negative(_difference(a, b))


def _difference(a: FVariable, b: FVariable) -> FVariable:
    return add(a, negated(b))


_COMBINE: Mapping[str, Callable[[FVariable, FVariable], FVariable]] = {
    "add": add,
    "subtract": _difference,
    "multiply": multiplied,
    "average": lambda a, b: scaled(add(a, b), 0.5),
}


TRACERS: Mapping[str, Tracer] = {
    "zero_padding_1d": trace_zero_padding,
    "zero_padding_2d": trace_zero_padding,
    "embedding": trace_embedding,
    "cropping_1d": trace_cropping,
    "cropping_2d": trace_cropping,
    "resize": trace_resize,
    "merge": trace_merge,
    "concatenate": trace_concatenate,
    "reshape": trace_copy,
    "clone": trace_copy,
    "broadcast": trace_broadcast,
    "transpose": trace_transpose,
}
"""How each kind of this family is traced."""
