"""Networks that hypothesis draws, with any format anywhere, against `ap_fixed` arithmetic in fractions."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
from exact_reference import OVERFLOWS, ROUNDINGS, assign
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs_emulation import perceptron

from codesign.core.fixed_point import FixedPoint
from codesign.emulation import Emulator, count_overflows


@st.composite
def formats(draw, integer_bits=None):
    overflow = draw(st.sampled_from(OVERFLOWS))
    width = draw(st.integers(2 if overflow == "SAT_SYM" else 1, 14))
    integer_bits = draw(st.integers(-3, width + 3) if integer_bits is None else integer_bits)
    return FixedPoint(width, integer_bits, draw(st.booleans()), draw(st.sampled_from(ROUNDINGS)), overflow)


# narrow enough for what comes in that sums overflow now and then
FORMATS = {"x": formats(st.integers(2, 5)), "accum": formats(st.integers(0, 4))}


@st.composite
def networks(draw):
    """A perceptron of up to three dense layers, and a format for each tensor that is not left as it is."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    graph = perceptron(sizes, seed=draw(st.integers(0, 1000)))
    types = {}
    for node in graph:
        chosen = {
            tensor: draw(FORMATS.get("x" if node.kind == "input" else tensor, formats()))
            for tensor in node.types
            if draw(st.booleans())
        }
        types[node.name] = chosen
    return graph, {name: chosen for name, chosen in types.items() if chosen}


def exactly(graph, x):
    """Compute one sample in fractions, step by step in the order of the C++."""
    known = {}
    for node in graph:
        values = [Fraction(float(value)) for value in x] if node.kind == "input" else known[node.inputs[0]]
        if node.kind == "dense":
            values = [_sum(values, node, column) for column in range(node.attributes["n_out"])]
        elif node.kind == "activation":
            values = [max(value, Fraction(0)) for value in values]
        known[node.name] = [assign(value, node.result)[0] for value in values]
    return known


def _sum(values, node, column):
    accumulator = node.types["accum"]
    total = assign(Fraction(float(node.weights["bias"][column])), accumulator)[0]
    for value, weight in zip(values, node.weights["weight"][:, column], strict=True):
        product = assign(value * Fraction(float(weight)), accumulator)[0]
        total = assign(total + product, accumulator)[0]
    return total


@settings(max_examples=100, deadline=None)
@given(networks(), st.integers(0, 1000))
def test_every_layer_is_exact(network, seed):
    graph, types = network
    emulator = Emulator.of(graph).with_types(types)
    x = np.random.default_rng(seed).normal(0, 4, (6, *graph["x"].output_shape))
    traced = emulator.run(x, trace=True)
    for row, sample in enumerate(x):
        for name, values in exactly(emulator.graph, sample).items():
            assert [Fraction(value) for value in traced[name][row]] == values, name


@settings(max_examples=30, deadline=None)
@given(networks(), st.integers(0, 1000))
def test_what_is_proved_exact_never_overflows(network, seed):
    graph, types = network
    emulator = Emulator.of(graph).with_types(types)
    kind = emulator.graph["x"].result
    ends = np.random.default_rng(seed).choice([kind.minimum, kind.maximum], (20, *graph["x"].output_shape))
    report = count_overflows(emulator, ends)
    for name, accumulator in emulator.accumulators.items():
        counted = report.of(name, "accumulator")
        if accumulator.method == "exact":
            assert counted.wrapped == counted.saturated == 0
            held = replace(accumulator.precision, overflow="SAT")
            assert held.minimum <= accumulator.least
            assert accumulator.most <= held.maximum
