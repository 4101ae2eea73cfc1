"""GRU and LSTM: two matrix products a step, activations by table, and a state of the result's type.

The static and the other form of hls4ml compute the same numbers, and so do parallel code and streams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.core.rounding import like
from codesign.emulation.batches import Buffers
from codesign.emulation.cast import Cast, Tally, plan_cast
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
from codesign.emulation.layers.activations import plan_activation
from codesign.emulation.layers.linear import order_of_terms
from codesign.emulation.layers.reduce import in_own_unit
from codesign.emulation.layers.step import Planner, Step, Tallies, tally_of
from codesign.emulation.products import SumOfProducts, Weights, plan_sum, whole_codes
from codesign.hls.graph import Graph, Node


@dataclass(frozen=True, eq=False)
class Blend:
    """A sum of products of tensors, exact until it is assigned to a type.

    Parameters
    ----------
    shifts
        For each product, the bits by which its codes are finer in the common unit.
    arithmetic
        The number type of the sum.
    result
        The assignment.
    """

    shifts: tuple[int, ...]
    arithmetic: Arithmetic
    result: Cast

    @property
    def signal(self) -> Signal:
        """What is known of the sum after the assignment."""
        return Signal(self.result.fraction, self.result.low, self.result.high, self.result.precision)

    def run(self, *products: tuple[Array, ...], tally: Tally | None = None) -> Array:
        """Compute codes of the result from those of the factors of each product."""
        total: Array | None = None
        for factors, shift in zip(products, self.shifts, strict=True):
            term = convert(factors[0], self.arithmetic)
            for codes in factors[1:]:
                term = term * convert(codes, self.arithmetic)
            term = scaled(term, shift)
            total = term if total is None else total + term
        assert total is not None  # a plan has at least one product
        return self.result.apply(total, tally)


def plan_blend(products: Sequence[tuple[Signal, ...]], precision: FixedPoint) -> Blend:
    """Plan a sum of products of one or two tensors each, assigned to a type."""
    fractions = [sum(signal.fraction for signal in factors) for factors in products]
    unit = max(fractions)
    low, high, bound = np.array(0.0), np.array(0.0), 0.0
    for factors, fraction in zip(products, fractions, strict=True):
        corners = [np.array(2.0 ** (unit - fraction))]
        for signal in factors:
            corners = [corner * end for corner in corners for end in (signal.low, signal.high)]
        ends = np.minimum.reduce(corners), np.maximum.reduce(corners)
        low, high = low + ends[0], high + ends[1]
        bound += max(magnitude(*ends), *(signal.bound for signal in factors))
    result = plan_cast(unit, low, high, precision)
    arithmetic = widest(arithmetic_for(bound), result.work)
    return Blend(tuple(unit - fraction for fraction in fractions), arithmetic, result)


@dataclass(frozen=True, eq=False)
class RecurrentStep(Step):
    """What both layers have: a product with the input, one with the state, and activations."""

    of_input: SumOfProducts
    of_state: SumOfProducts
    gates: Blend
    gate: Step
    candidate: Step
    state: Blend

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result: the last state, or that of each step."""
        x, n_state = inputs[0], self.node.output_shape[-1]
        states = [np.zeros((len(x), n_state), dtype=self.signal.arithmetic) for _ in ("state", "cell")]
        results = []
        for step in range(x.shape[1]):
            tally = tally_of(tallies, "accumulator")
            products = self.of_input.run(x[:, step], tally), self.of_state.run(states[0], tally)
            states = self.advance(*products, states, tallies)
            results.append(states[0])
        return np.stack(results, axis=1) if len(self.node.output_shape) == 2 else results[-1]

    def advance(self, a: Array, b: Array, states: list[Array], tallies: Tallies | None) -> list[Array]:
        """Compute the next states from the two products."""
        raise NotImplementedError

    def own_unit(self, blend: Blend, codes: Array) -> Array:
        """Bring codes of a state to the unit and the number type of its type."""
        return convert(in_own_unit(blend.result, codes), self.signal.arithmetic)


@dataclass(frozen=True, eq=False)
class LstmStep(RecurrentStep):
    """`s = i c + f s`, `h = o act(s)`; the gates in Keras' order i, f, c, o."""

    squashed: Step
    output: Blend

    def advance(self, a: Array, b: Array, states: list[Array], tallies: Tallies | None) -> list[Array]:
        """Compute the next output and cell."""
        total = self.gates.run((a,), (b,), tally=tally_of(tallies, "accumulator"))
        i, f, c, o = np.split(total, 4, axis=1)
        i, f, o = np.split(self.gate.run([np.concatenate([i, f, o], axis=1)]), 3, axis=1)
        tally = tally_of(tallies, "result")
        cell = self.state.run((self.candidate.run([c]), i), (states[1], f), tally=tally)
        cell = self.own_unit(self.state, cell)
        output = self.output.run((o, self.squashed.run([cell])), tally=tally)
        return [self.own_unit(self.output, output), cell]


@dataclass(frozen=True, eq=False)
class GruStep(RecurrentStep):
    """`h = z h + (1 - z) act(a + r b)`, the reset gate after the product; the gates in Keras' order z, r, h."""

    reset: Blend
    proposal: Blend
    complement: Signal

    def advance(self, a: Array, b: Array, states: list[Array], tallies: Tallies | None) -> list[Array]:
        """Compute the next output."""
        n_state, tally = states[0].shape[1], tally_of(tallies, "accumulator")
        total = self.gates.run((a[:, : 2 * n_state],), (b[:, : 2 * n_state],), tally=tally)
        z, r = np.split(self.gate.run([total]), 2, axis=1)
        proposed = self.reset.run((r, b[:, 2 * n_state :]), tally=tally)
        proposed = self.candidate.run([self.proposal.run((a[:, 2 * n_state :],), (proposed,), tally=tally)])
        finer = convert(z, widest(self.gate.signal.arithmetic, self.complement.arithmetic))
        finer = scaled(finer, self.complement.fraction - self.gate.signal.fraction)
        rest = like(finer, 2.0**self.complement.fraction) - finer
        state = self.state.run((proposed, rest), (states[0], z), tally=tally_of(tallies, "result"))
        return [self.own_unit(self.state, state), states[1]]


@dataclass(frozen=True, eq=False)
class BidirectionalStep(Step):
    """Two recurrent layers side by side, the second one from the last step to the first."""

    forward: Step
    backward: Step

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result, both layers' values one after the other."""
        first, second = self.forward.run(inputs, tallies), self.backward.run([inputs[0][:, ::-1]], tallies)
        if len(self.node.output_shape) == 2:
            second = second[:, ::-1]
        return np.concatenate([convert(part, self.signal.arithmetic) for part in (first, second)], axis=-1)


def plan_bidirectional(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a GRU or an LSTM in both directions."""
    steps = []
    for direction in ("forward", "backward"):
        prefix = f"{direction}_"

        def own(values: Mapping[str, Any], prefix: str = prefix) -> dict[str, Any]:
            return {
                name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)
            }

        attributes = {**node.attributes, **own(node.attributes)}
        shape = (*node.output_shape[:-1], int(attributes["n_states"]))
        types = {**node.types, **own(node.types)}
        part = Node(
            node.name, str(attributes["class_name"]).lower(), (), shape, attributes, types, own(node.weights)
        )
        steps.append(plan_recurrent(part, inputs, graph))
    low, high = (
        np.concatenate([getattr(step.signal, end) for step in steps], axis=-1) for end in ("low", "high")
    )
    signal = Signal(steps[0].signal.fraction, low, high, node.result, steps[0].signal.integer)
    arithmetic = widest(signal.arithmetic, *(step.arithmetic for step in steps))
    return BidirectionalStep(node, signal, arithmetic, *steps)


def plan_recurrent(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a GRU or an LSTM."""
    accumulator, n_state, lstm = node.types["accum"], node.output_shape[-1], node.kind == "lstm"
    own = Signal(node.result.fractional_bits, *type_bounds(node.result, (n_state,)), node.result)
    of_input = _products(node, inputs[0].fraction, inputs[0].low, inputs[0].high, "")
    of_state = _products(node, own.fraction, own.low[None], own.high[None], "recurrent_")
    a, b = (_signal(sums, accumulator) for sums in (of_input, of_state))
    n_gates = 4 if lstm else 2
    gates = plan_blend([(_part(a, 0, n_gates * n_state),), (_part(b, 0, n_gates * n_state),)], accumulator)
    parts = [_part(gates.signal, k * n_state, n_state) for k in range(n_gates)]

    def activation(name: str, signal: Signal) -> Step:
        attributes = {"activation": name, "table_size": node.attributes["table_size"], "integer_types": ()}
        types = {"result": accumulator, "table": node.types["table"]}
        return plan_activation(
            Node(node.name, "activation", (), signal.shape, attributes, types), [signal], graph
        )

    gate_name, name = (str(node.attributes[key]) for key in ("recurrent_activation", "activation"))
    if lstm:
        gate = activation(gate_name, _joined(parts[0], parts[1], parts[3]))
        candidate, squashed = activation(name, parts[2]), activation(name, own)
        i, f, o = (_part(gate.signal, k * n_state, n_state) for k in range(3))
        state = plan_blend([(candidate.signal, i), (own, f)], node.result)
        output = plan_blend([(o, squashed.signal)], node.result)
        steps, blends = [gate, candidate, squashed], [gates, state, output]
    else:
        gate = activation(gate_name, gates.signal)
        z, r = (_part(gate.signal, k * n_state, n_state) for k in range(2))
        reset = plan_blend([(r, _part(b, 2 * n_state, n_state))], accumulator)
        proposal = plan_blend([(_part(a, 2 * n_state, n_state),), (reset.signal,)], accumulator)
        candidate = activation(name, proposal.signal)
        complement = _complement(z)
        state = plan_blend([(candidate.signal, complement), (own, z)], node.result)
        steps, blends = [gate, candidate], [gates, reset, proposal, state]
    # the state of an LSTM that is kept is the cell too, so that it has all of the type's range
    low, high = type_bounds(node.result, node.output_shape)
    if not lstm:
        factor = 2.0 ** (own.fraction - state.result.fraction)
        low, high = (
            np.broadcast_to(end * factor, node.output_shape) for end in (state.result.low, state.result.high)
        )
    signal = Signal(own.fraction, low, high, node.result, "result" in node.attributes["integer_types"])
    arithmetic = widest(
        signal.arithmetic,
        of_input.arithmetic,
        of_state.arithmetic,
        *(step.arithmetic for step in steps),
        *(blend.arithmetic for blend in blends),
    )
    common = (node, signal, arithmetic, of_input, of_state, gates, gate, candidate, state)
    return LstmStep(*common, squashed, output) if lstm else GruStep(*common, reset, proposal, complement)


def _products(node: Node, fraction: int, low: Array, high: Array, prefix: str) -> SumOfProducts:
    """Plan the product of `(n_places, n_terms)` bounds with one of the two kernels."""
    kernel, kernel_fraction = whole_codes(node.weights[f"{prefix}weight"], node.types[f"{prefix}weight"])
    accumulator = node.types["accum"]
    bias, bias_fraction = whole_codes(node.weights[f"{prefix}bias"].ravel(), accumulator)
    order = order_of_terms(
        str(node.attributes["strategy"]), int(node.attributes[f"{prefix}reuse_factor"]), kernel
    )
    return plan_sum(
        fraction, low, high, Weights(kernel, kernel_fraction, bias, bias_fraction), accumulator, order
    )


def _signal(sums: SumOfProducts, precision: FixedPoint) -> Signal:
    return Signal(sums.fraction, sums.low.min(axis=0), sums.high.max(axis=0), precision)


def _part(signal: Signal, start: int, size: int) -> Signal:
    where = slice(start, start + size)
    return Signal(signal.fraction, signal.low[where], signal.high[where], signal.precision)


def _joined(*signals: Signal) -> Signal:
    low, high = (np.concatenate([getattr(signal, end) for signal in signals]) for end in ("low", "high"))
    return Signal(signals[0].fraction, low, high, signals[0].precision)


def _complement(signal: Signal) -> Signal:
    """Give what is known of one minus a tensor."""
    fraction = max(signal.fraction, 0)
    one, factor = 2.0**fraction, 2.0 ** (fraction - signal.fraction)
    return Signal(fraction, one - signal.high * factor, one - signal.low * factor, signal.precision)


PLANNERS: Mapping[str, Planner] = {
    "lstm": plan_recurrent,
    "gru": plan_recurrent,
    "bidirectional": plan_bidirectional,
}
"""How each kind of this family computes."""
