"""Activations: rectifiers, hard sigmoid and tanh, binary and ternary tanh, and those of hls4ml's tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.errors import ConversionError
from codesign.hls.graph import Graph, Node
from codesign.rtl.cast import cast_wire, rounded_for_free
from codesign.rtl.layers.common import Tracer, activation_table, assigned, integer_type, result_of
from codesign.rtl.wires import (
    Wires,
    add,
    add_constant,
    choose,
    constant,
    each,
    is_constant,
    is_greater,
    is_negative,
    larger,
    limited,
    looked_up,
    scaled,
    values_of,
)

if TYPE_CHECKING:
    from alkaid.trace import FVariable

_DIRECT_VALUES = 1024  # an input of so few values addresses its table itself
_SELU_SCALE = 1.0507009873554804934193349852946
_ZERO = 0.0


def trace_activation(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace an activation without parameters."""
    name, wires = str(node.attributes["activation"]), inputs[0]
    if name == "linear":
        return result_of(node, wires)
    if name == "relu":
        # zero is a value of every type, so that a sum may be rounded before it is rectified
        rounded = each(lambda wire: rounded_for_free(wire, node.result), wires)
        return result_of(node, each(lambda wire: larger(wire, constant(_ZERO)), rounded))
    if name == "relu6":
        return result_of(node, each(lambda wire: limited(wire, _ZERO, 6.0), wires))
    if name in ("binary_tanh", "ternary_tanh"):
        return _levels(node, wires, graph)
    if name in ("elu", "selu"):
        return _elu(node, wires, name, graph)
    return _table(node, wires, name)


def trace_parametrized(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace a leaky or thresholded rectifier, or an elu."""
    name = str(node.attributes["activation"]).lower()
    if name == "elu":
        return _elu(node, inputs[0], name, graph)
    parameter = float(node.types["param"].quantize(float(node.attributes["activ_param"])))
    if name == "leakyrelu":
        return result_of(node, each(lambda wire: _sloped(wire, parameter), inputs[0]))
    if name == "thresholdedrelu":
        return result_of(
            node,
            each(lambda wire: choose(is_greater(wire, parameter), wire, constant(_ZERO)), inputs[0]),
        )
    raise ConversionError(
        f"the activation {name!r} cannot become RTL; use leaky_relu, thresholded_relu or elu"
    )


def trace_prelu(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace a rectifier with a slope for each value."""
    slopes = node.weights["param"].ravel()
    if slopes.size != inputs[0].size:
        raise ConversionError(f"{slopes.size} slopes for {inputs[0].size} values; share no axes of the PReLU")
    return result_of(node, each(_sloped, inputs[0].ravel(), slopes))


def trace_hard(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace a hard sigmoid or hard tanh."""
    slope, shift = (
        float(node.types[name].quantize(float(node.attributes[name]))) for name in ("slope", "shift")
    )
    tanh = node.attributes["activation"] == "hard_tanh"

    def line(wire: FVariable) -> FVariable:
        sigmoid = limited(add_constant(scaled(wire, slope), shift), 0.0, 1.0)
        return add_constant(scaled(sigmoid, 2.0), -1.0) if tanh else sigmoid

    return result_of(node, each(line, inputs[0]))


def _sloped(wire: FVariable, slope: float) -> FVariable:
    """Give the wire itself where it is positive, else its product with the slope."""
    if wire.high <= 0:
        return scaled(wire, float(slope))
    return wire if wire.low >= 0 else choose(is_negative(wire), scaled(wire, float(slope)), wire)


def _levels(node: Node, wires: Wires, graph: Graph) -> Wires:
    """Choose one of a few levels by the thresholds that are passed."""
    binary = node.attributes["activation"] == "binary_tanh"
    values = np.array([-1.0, 1.0] if binary else [-1.0, 0.0, 1.0])
    if binary and integer_type(node, "result") and node.result == FixedPoint(1, 1, signed=False):
        values = np.array([0.0, 1.0])  # one bit: 0 stands for -1
    levels = assigned(values, node.result) * node.result.step
    before = graph[node.inputs[0]].result

    def level(wire: FVariable) -> FVariable:
        if binary:
            return choose(is_negative(wire), constant(levels[0]), constant(levels[1]))
        if graph.io_type == "io_parallel":  # the C++ compares twice the input, kept in the input's own type
            wire = cast_wire(scaled(wire, 2.0), before)
        high = scaled(is_greater(wire, 1.0), levels[2] - levels[1])
        low = scaled(is_greater(wire, -1.0), levels[1] - levels[0])
        return add_constant(add(low, high), levels[0])

    return each(level, wires.reshape(node.output_shape))


def _table(node: Node, wires: Wires, name: str) -> Wires:
    """Look a sigmoid, tanh, softplus or softsign up in hls4ml's own table."""
    size, divisor = int(node.attributes["table_size"]), 8 if name == "tanh" else 16
    offset = divisor // 2 * size // divisor
    table = _table_values(node, name, size)

    def entries(index: np.ndarray) -> np.ndarray:
        return _assigned_values(node, table[np.clip(index.astype(np.int64) + offset, 0, size - 1)])

    def function(x: np.ndarray) -> np.ndarray:
        return entries(np.trunc(x * size / divisor))

    def look_up(wire: FVariable) -> FVariable:
        if values_of(wire) <= _DIRECT_VALUES:
            return looked_up(wire, function)
        return looked_up(_index(wire, size / divisor, -offset, size - 1 - offset), entries)

    return each(_remembered(look_up), wires.reshape(node.output_shape))


def _elu(node: Node, wires: Wires, name: str, graph: Graph) -> Wires:
    """Trace an elu or selu: a straight line for what is not negative, a table for the rest."""
    size = int(node.attributes["table_size"])
    table = _table_values(node, name, size)
    slope = 1.0
    if name == "selu":
        stream = graph.io_type == "io_stream"
        kept_in = graph[node.inputs[0]].result if stream else FixedPoint(16, 1, signed=False)
        slope = float(kept_in.quantize(_SELU_SCALE))
    if name == "elu" and "param" in node.types:
        table = table * float(node.types["param"].quantize(float(node.attributes["activ_param"])))

    def entries(index: np.ndarray) -> np.ndarray:
        return _assigned_values(node, table[np.clip(index.astype(np.int64), 0, size - 1)])

    def curve(wire: FVariable) -> FVariable:
        below = looked_up(_index(limited(wire, wire.low, 0.0), -size / 8, 0, size - 1), entries)
        line = cast_wire(scaled(wire, slope), _type_of(node))
        return choose(is_negative(wire), below, line)

    return each(_remembered(curve), wires.reshape(node.output_shape))


def _index(wire: FVariable, factor: float, least: int, most: int) -> FVariable:
    """Give `int(wire * factor)`, which C++ rounds towards zero, kept between two limits."""
    if max(-wire.low, wire.high) * abs(factor) >= 2.0**31:
        raise ConversionError(
            "its input is so large that the table's index overflows; give its input fewer bits"
        )
    product = scaled(wire, factor)
    if is_constant(product):
        return constant(float(np.clip(np.trunc(product.low), least, most)))
    bits = int(sum(product.kif[:2])) + 1
    whole = cast_wire(product, FixedPoint(max(bits, 2), max(bits, 2), True, "TRN_ZERO", "WRAP"))
    return limited(whole, float(least), float(most))


def _table_values(node: Node, name: str, size: int) -> np.ndarray:
    """The table as its type holds it, float64."""
    precision = node.types["table"]
    return np.asarray(assigned(activation_table(name, size), precision) * precision.step)


def _type_of(node: Node) -> FixedPoint:
    integer = integer_type(node, "result")
    return node.result.with_modes("TRN_ZERO", "WRAP") if integer else node.result


def _assigned_values(node: Node, values: np.ndarray) -> np.ndarray:
    return np.asarray(_type_of(node).quantize(values), dtype=np.float64)


def _remembered(function: Callable[[FVariable], FVariable]) -> Callable[[FVariable], FVariable]:
    """Trace equal wires once: a tensor may hold the same one in many places."""
    known: dict[int, FVariable] = {}

    def remember(wire: FVariable) -> FVariable:
        if id(wire) not in known:
            known[id(wire)] = function(wire)
        return known[id(wire)]

    return remember


TRACERS: Mapping[str, Tracer] = {
    "activation": trace_activation,
    "parametrized_activation": trace_parametrized,
    "prelu": trace_prelu,
    "hard_activation": trace_hard,
}
"""How each kind of this family is traced."""
