"""The traced logic of every kind of layer equals the emulated C++, for random formats, weights and inputs."""

from __future__ import annotations

import re

import numpy as np
import pytest
from small_graphs import KINDS, a_dense, chain, dense, emulated, inputs_of, layer, quantized_network

from codesign.core.fixed_point import FixedPoint
from codesign.errors import ConversionError
from codesign.hls.graph import Graph
from codesign.rtl.trace import trace_graph

NARROW = FixedPoint(8, 4)


def interpreted(graph: Graph, arrays: list[np.ndarray]) -> np.ndarray:
    flat = np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)
    return trace_graph(graph).predict(flat, n_threads=1)


def assert_equal_to_emulation(graph: Graph, rng: np.random.Generator, n_samples: int = 200) -> None:
    arrays = inputs_of(rng, graph, n_samples)
    expected = emulated(graph, arrays)
    if (expected == expected[0]).all():
        with pytest.raises(ConversionError, match=r"^every output of the network is a constant"):
            raise_if_constant(graph, arrays, expected)
        return
    np.testing.assert_array_equal(interpreted(graph, arrays), expected)


def raise_if_constant(graph: Graph, arrays: list[np.ndarray], expected: np.ndarray) -> None:
    """Some networks give the same for these inputs and yet are no constants: then the values count."""
    np.testing.assert_array_equal(interpreted(graph, arrays), expected)
    raise ConversionError("every output of the network is a constant (of these inputs)")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_equals_the_emulated_cpp(kind):
    for seed in range(8):
        rng = np.random.default_rng([seed, *kind.encode()])
        assert_equal_to_emulation(KINDS[kind](rng), rng)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_equals_the_emulated_cpp_in_many_formats(kind):
    for seed in range(100, 160):
        rng = np.random.default_rng([seed, *kind.encode()])
        assert_equal_to_emulation(KINDS[kind](rng), rng)


def test_a_quantized_network_equals_the_emulated_cpp():
    graph = quantized_network(0.5, (8, 12, 6, 3))
    assert_equal_to_emulation(graph, np.random.default_rng(0), 2000)


def test_two_outputs_come_side_by_side_in_their_order():
    rng = np.random.default_rng(3)
    first = a_dense(rng)
    second = layer("second", "activation", "x", (6,), {"result": NARROW}, activation="relu")
    graph = Graph((*first.nodes, second), first.inputs, ("second", "y"), first.io_type, first.backend)
    arrays = inputs_of(rng, graph, 100)
    np.testing.assert_array_equal(interpreted(graph, arrays), emulated(graph, arrays))


def test_weights_past_24_bits_are_split_not_rounded():
    weight = FixedPoint(40, 4)
    types = {"weight": weight, "bias": NARROW, "accum": FixedPoint(50, 10), "result": FixedPoint(50, 10)}
    rng = np.random.default_rng(4)
    graph = chain({"x": ((3,), FixedPoint(4, 2))}, dense(rng, "y", "x", 3, 2, types))
    arrays = inputs_of(rng, graph, 50)
    np.testing.assert_array_equal(interpreted(graph, arrays), emulated(graph, arrays))


def test_a_wide_bias_and_the_rounding_after_it_lose_no_bits():
    types = {
        "weight": FixedPoint(4, 2),
        "bias": FixedPoint(30, 8),
        "accum": FixedPoint(44, 14),
        "result": FixedPoint(30, 14, True, "RND", "WRAP"),
    }
    rng = np.random.default_rng(5)
    graph = chain({"x": ((3,), FixedPoint(30, 4))}, dense(rng, "y", "x", 3, 4, types))
    arrays = inputs_of(rng, graph, 200)
    np.testing.assert_array_equal(interpreted(graph, arrays), emulated(graph, arrays))


def test_all_layers_that_cannot_become_rtl_are_named_together():
    rng = np.random.default_rng(0)
    first = a_dense(rng).nodes[-1]
    unknown = [layer(name, "garnet", "y", (4,), {"result": NARROW}) for name in ("g1", "g2")]
    graph = chain({"x": ((6,), NARROW)}, first, *unknown)
    with pytest.raises(
        ConversionError,
        match=r"^the network has layers that cannot become RTL:\n  - g1: garnet\n  - g2: garnet\nthese can: dense, einsum_dense",
    ):
        trace_graph(graph)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (
            layer("y", "merge", ("x", "x"), (4,), {"result": NARROW}, op="dot1d"),
            "y (merge): merging by 'dot1d' cannot become RTL; use add, subtract, multiply, average, maximum, minimum",
        ),
        (
            layer("y", "softmax", "x", (4,), {"result": NARROW}, implementation="legacy"),
            "y (softmax): the legacy softmax cannot become RTL; use stable, latency or argmax, or end the network at "
            "its logits: a softmax does not change the class",
        ),
        (
            layer("y", "reshape", "x", (4,), {"result": FixedPoint(6, 3, True, "TRN", "WRAP_SM")}),
            "y (reshape): fixed<6,3,TRN,WRAP_SM,0> cannot become RTL: AP_WRAP_SM and saturation bits are not "
            "supported; use WRAP or SAT",
        ),
        (
            layer("y", "merge", ("w", "w"), (4,), {"result": FixedPoint(60, 30)}, op="multiply"),
            "y (merge): its result has 58 bits, and the RTL path holds 52; give it a narrower result",
        ),
        (
            layer("y", "merge", ("w", "w"), (4,), {"result": FixedPoint(40, 9, True, "TRN", "SAT")}, op="multiply"),
            "y (merge): fixed<40,9,TRN,SAT,0> cannot become RTL: a saturating type may have at most 24 bits without "
            "its sign; use fewer bits or WRAP",
        ),
        (
            layer(
                "y", "activation", "v", (4,), {"result": NARROW, "table": FixedPoint(18, 8)},
                activation="tanh", table_size=1024,
            ),
            "y (activation): its input is so large that the table's index overflows; give its input fewer bits",
        ),
    ],
)  # fmt: skip
def test_what_cannot_become_rtl_says_why_and_what_to_do(node, message):
    wide = FixedPoint(30, 15)
    graph = chain({"x": ((4,), NARROW), "w": ((4,), wide), "v": ((4,), FixedPoint(32, 30))}, node)
    with pytest.raises(ConversionError, match=f"^{re.escape(message)}$"):
        trace_graph(graph)


def test_a_network_of_constants_is_refused():
    node = layer("y", "reshape", "x", (4,), {"result": FixedPoint(4, 12)})
    with pytest.raises(
        ConversionError,
        match=r"^every output of the network is a constant: nothing depends on its inputs; prune or quantize it less$",
    ):
        trace_graph(chain({"x": ((4,), FixedPoint(6, 3, signed=False))}, node))
