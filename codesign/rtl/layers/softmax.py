"""The softmax, exponentials and an inverse from hls4ml's own tables or one for the largest value, and the decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.errors import ConversionError
from codesign.hls.graph import DECISION, Graph, Node
from codesign.rtl.cast import cast_wire
from codesign.rtl.layers.common import (
    Tracer,
    addressed_values,
    assigned,
    exponentials,
    power_of_two_tree,
    result_of,
)
from codesign.rtl.wires import (
    Wires,
    add,
    choose,
    constant,
    each,
    is_greater,
    is_negative,
    larger,
    looked_up,
    multiplied,
    negated,
    reduced,
)

if TYPE_CHECKING:
    from alkaid.trace import FVariable


def trace_softmax(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace a softmax; each group of values is normalised by itself."""
    implementation = str(node.attributes["implementation"])
    if implementation not in ("stable", "latency", "argmax"):
        raise ConversionError(
            f"the {implementation} softmax cannot become RTL; use stable, latency or argmax, or end the network at its "
            "logits: a softmax does not change the class"
        )
    groups = _groups(inputs[0], node, graph)
    result = np.empty_like(groups)
    for index in np.ndindex(groups.shape[0], groups.shape[2]):
        where = (index[0], slice(None), index[1])
        values = list(groups[where])
        if implementation == "argmax":
            result[where] = _one_hot(values)
        else:
            source = graph[node.inputs[0]].result
            result[where] = _normalised(values, node, source, stable=implementation == "stable")
    return result_of(node, result)


def trace_decision(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace the decision on a class: a tournament in which a later value must be strictly larger."""
    values = list(inputs[0].ravel())
    if len(values) == 1:
        return each(lambda wire: is_greater(wire, 0.0), inputs[0])
    rounds = [(value, constant(float(index))) for index, value in enumerate(values)]
    while len(rounds) > 1:
        pairs = [_winner(first, later) for first, later in zip(rounds[::2], rounds[1::2], strict=False)]
        rounds = pairs + rounds[2 * len(pairs) :]
    decision = np.empty(1, dtype=object)
    decision[0] = rounds[0][1]
    return decision


def _winner(
    first: tuple[FVariable, FVariable], later: tuple[FVariable, FVariable]
) -> tuple[FVariable, FVariable]:
    """The larger value and its index; of equal ones the first."""
    wins = is_negative(add(first[0], negated(later[0])))
    return choose(wins, later[0], first[0]), choose(wins, later[1], first[1])


def _groups(wires: Wires, node: Node, graph: Graph) -> Wires:
    """Lay the wires out as `(outer, size, inner)`; a stream normalises what comes at a time."""
    if graph.io_type == "io_stream":
        return wires.reshape(-1, wires.shape[-1], 1)
    outer, inner = int(node.attributes.get("n_outer", 1)), int(node.attributes.get("n_inner", 1))
    return wires.reshape(outer, -1, inner)


def _normalised(values: list[FVariable], node: Node, source: FixedPoint, *, stable: bool) -> list[FVariable]:
    types = node.types
    address, exponents = source, values
    if stable:
        address, largest = types["inp_norm"], reduced(larger, values)
        exponents = [cast_wire(add(largest, negated(value)), address) for value in values]
    size = int(node.attributes["exp_table_size"])
    arguments = addressed_values(address, size) * np.float32(node.attributes["exp_scale"])
    table = assigned(exponentials(-arguments if stable else arguments), types["exp_table"])
    entries = types["accum"].quantize(table * types["exp_table"].step)
    powers = [_at_top_bits(exponent, address, entries) for exponent in exponents]
    total = cast_wire(
        power_of_two_tree(powers, lambda a, b: cast_wire(add(a, b), types["accum"])), types["inv_inp"]
    )
    with np.errstate(divide="ignore"):
        inverses = np.float32(1) / addressed_values(types["inv_inp"], int(node.attributes["inv_table_size"]))
    inverse = _at_top_bits(
        total, types["inv_inp"], assigned(inverses, types["inv_table"]) * types["inv_table"].step
    )
    return [multiplied(power, inverse) for power in powers]


def _at_top_bits(wire: FVariable, precision: FixedPoint, entries: np.ndarray) -> FVariable:
    """Address a table with the highest bits of a type."""
    bits = len(entries).bit_length() - 1
    if len(entries) != 1 << bits or bits > precision.width:
        raise ConversionError(
            f"a softmax table of {len(entries)} entries cannot be addressed by the top bits of {precision}; choose a "
            f"power of two up to {1 << min(precision.width, 20)}"
        )
    top = FixedPoint(bits, precision.integer_bits, precision.signed)

    def function(x: np.ndarray) -> np.ndarray:
        return np.asarray(entries[np.round(x / top.step).astype(np.int64) & (len(entries) - 1)])

    return looked_up(cast_wire(wire, top), function)


def _one_hot(values: list[FVariable]) -> list[FVariable]:
    """Give 1 for the first largest value, 0 for the others."""
    wins = [[constant(1.0)] for _ in values]
    for j in range(len(values)):
        for i in range(j):
            later = is_negative(add(values[i], negated(values[j])))  # a later one must be strictly larger
            wins[j].append(later)
            wins[i].append(choose(later, constant(0.0), constant(1.0)))
    return [reduced(lambda a, b: choose(a, b, constant(0.0)), bits) for bits in wins]


TRACERS: Mapping[str, Tracer] = {
    "softmax": trace_softmax,
    DECISION: trace_decision,
}
"""How each kind of this family is traced."""
