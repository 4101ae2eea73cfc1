"""Networks that hypothesis draws, with any format anywhere, against `ap_fixed` arithmetic in fractions."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from exact_reference import OVERFLOWS, ROUNDINGS, assert_within_bounds, assign, random_format
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs_emulation import PLAIN, perceptron

from codesign.core.fixed_point import FixedPoint
from codesign.emulation import Emulator, count_overflows
from codesign.hls.graph import DECISION, Graph, Node


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
    assert_within_bounds(emulator, traced)
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


def activation(attributes, function):
    """An activation of one value that hls4ml computes in both forms alike: `(value, node) -> exact result`."""
    return attributes, lambda values, node, stream: ([function(value, node) for value in values], 0)


def ternary(values, node, stream):
    """Parallel code doubles the value in the input's own type."""
    doubled = values if stream else [assign(2 * value, node.types["x"])[0] for value in values]
    return [Fraction((value > 1) - (value <= -1)) for value in doubled], 0


def largest(values, node, stream):
    """Three windows of two pixels, two channels: parallel code assigns to the accumulator after the search."""
    accumulator, out = node.types["accum"], 0
    if stream:
        values, lost = zip(*(assign(value, accumulator) for value in values), strict=True)
        out = sum(lost)
    found = [max(values[4 * k + c], values[4 * k + 2 + c]) for k in range(3) for c in range(2)]
    if not stream:
        found, lost = zip(*(assign(value, accumulator) for value in found), strict=True)
        out = sum(lost)
    return found, out


def mean(values, node, stream):
    """A sum in the accumulator's type, divided towards zero in its unit."""
    accumulator, found, out = node.types["accum"], [], 0
    if stream:
        values = [assign(value, accumulator)[0] for value in values]
    for k in range(3):
        for c in range(2):
            terms, total, lost = [values[4 * k + c], values[4 * k + 2 + c]], Fraction(0), False
            if stream:
                total, lost = assign(sum(terms), accumulator)
            else:
                for term in terms:
                    total, over = assign(total + term, accumulator)
                    lost |= over
            code = total * Fraction(2) ** accumulator.fractional_bits
            found.append(Fraction(int(code / 2)) / Fraction(2) ** accumulator.fractional_bits)
            out += lost
    return found, out


def constant(node, name):
    """A parameter as its type holds it."""
    return assign(Fraction(node.attributes[name]), node.types["param" if name == "activ_param" else name])[0]


def hard(value, node):
    return min(max(value * constant(node, "slope") + constant(node, "shift"), Fraction(0)), Fraction(1))


ALONE = {
    "relu": ("activation", *activation({"activation": "relu"}, lambda value, node: max(value, 0))),
    "relu6": ("activation", *activation({"activation": "relu6"}, lambda value, node: min(max(value, 0), 6))),
    "binary_tanh": (
        "activation",
        *activation({"activation": "binary_tanh"}, lambda value, node: 1 if value >= 0 else -1),
    ),
    "ternary_tanh": ("activation", {"activation": "ternary_tanh"}, ternary),
    "hard_sigmoid": (
        "hard_activation",
        *activation({"activation": "hard_sigmoid", "slope": 0.2, "shift": 0.5}, hard),
    ),
    "hard_tanh": (
        "hard_activation",
        *activation(
            {"activation": "hard_tanh", "slope": 0.7, "shift": 0.25}, lambda value, node: 2 * hard(value, node) - 1
        ),
    ),
    "leaky": (
        "parametrized_activation",
        *activation(
            {"activation": "leakyrelu", "activ_param": 0.3},
            lambda value, node: value if value > 0 else value * constant(node, "activ_param"),
        ),
    ),
    "thresholded": (
        "parametrized_activation",
        *activation(
            {"activation": "thresholdedrelu", "activ_param": 0.7},
            lambda value, node: value if value > constant(node, "activ_param") else 0,
        ),
    ),
    "max pooling": ("pooling_1d", {"pool_op": "Max", "pool_width": 2, "stride_width": 2}, largest),
    "average pooling": ("pooling_1d", {"pool_op": "Average", "pool_width": 2, "stride_width": 2}, mean),
}  # fmt: skip


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("name", ALONE)
def test_every_layer_by_itself_is_exact_and_counts_what_overflows(name, io_type):
    kind, attributes, reference = ALONE[name]
    rng = np.random.default_rng([*name.encode(), len(io_type)])
    pools, stream = kind == "pooling_1d", io_type == "io_stream"
    for _ in range(12):
        x, result, parameter = (random_format(rng, least=2, most=8) for _ in range(3))
        accumulator = random_format(rng, least=3, most=10, overflows=("SAT", "SAT_SYM", "SAT_ZERO"))
        types = {
            "result": result,
            "slope": parameter,
            "shift": parameter,
            "param": parameter,
            "accum": accumulator,
        }
        node = Node(
            "y", kind, ("x",), (3, 2) if pools else (6, 2), {**PLAIN, **attributes}, {**types, "x": x}
        )
        graph = Graph(
            (Node("x", "input", (), (6, 2), PLAIN, {"result": x}), node), ("x",), ("y",), io_type, "Vitis"
        )
        emulator = Emulator.of(graph)
        samples = rng.normal(0, 2 * x.maximum, (12, 6, 2))
        traced = emulator.run(samples, trace=True)
        assert_within_bounds(emulator, traced)
        overflowed = lost = inside = 0
        for sample, got in zip(samples, traced["y"], strict=True):
            given_values = [assign(Fraction(value), x)[0] for value in sample.ravel()]
            exact, sums = reference(given_values, node, stream)
            wanted = [assign(Fraction(value), result) for value in exact]
            assert [Fraction(value) for value in got.ravel()] == [value for value, _ in wanted], (x, types)
            inside += sums
            overflowed += sum(out for _, out in wanted)
            lost += sum(
                old != 0 and new == 0 and not out for old, (new, out) in zip(exact, wanted, strict=True)
            )
        report = count_overflows(emulator, samples)
        if pools:
            row = report.of("y", "accumulator")
            assert (row.values, row.saturated, row.wrapped) == (
                12 * (12 if name.startswith("max") and stream else 6),
                inside,
                0,
            )
        if not name.endswith("ary_tanh"):  # levels are chosen, not assigned
            row = report.of("y", "result")
            assert (row.values, row.wrapped + row.saturated, row.lost) == (traced["y"].size, overflowed, lost)


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_a_decision_is_the_first_largest_or_the_sign(classes):
    x, whole = FixedPoint(4, 2), FixedPoint(4, 4, signed=False)
    nodes = (
        Node("x", "input", (), (classes,), PLAIN, {"result": x}),
        Node("y", DECISION, ("x",), (1,), PLAIN, {"result": whole}),
    )
    emulator = Emulator.of(Graph(nodes, ("x",), ("y",), "io_parallel", "Vitis"))
    samples = np.random.default_rng(classes).integers(-8, 8, (200, classes)) / 4
    wanted = samples > 0 if classes == 1 else samples.argmax(axis=1)[:, None]
    traced = emulator.run(samples, trace=True)
    np.testing.assert_array_equal(traced["y"], wanted)
    assert_within_bounds(emulator, traced)
    assert emulator.signals["y"].high == max(classes - 1, 1)
