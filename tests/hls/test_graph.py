"""A graph keeps its values, is saved whole, and names what it cannot take."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.core.fixed_point import FixedPoint
from codesign.errors import StaleProjectError
from codesign.hls.graph import Graph, Node, printed_weights


@pytest.fixture
def graph():
    types = {
        "result": FixedPoint(8, 3),
        "accum": FixedPoint(20, 8),
        "weight": FixedPoint(6, 1, rounding="RND"),
    }
    source = np.random.default_rng(1).uniform(-0.5, 0.5, (4, 3))
    weights = {"weight": printed_weights(source, types["weight"])}
    nodes = (
        Node("x", "input", (), (4,), {}, {"result": FixedPoint(8, 1)}),
        Node("fc", "dense", ("x",), (3,), {"strategy": "latency"}, types, weights, {"weight": source}),
    )
    return Graph(nodes, ("x",), ("fc",), "io_parallel", "Vitis")


def test_a_saved_graph_comes_back_whole(graph, tmp_path):
    loaded = Graph.load(graph.save(tmp_path / "graph.npz"))
    assert loaded.digest == graph.digest
    assert (loaded.inputs, loaded.outputs, loaded.io_type, loaded.backend) == (
        ("x",),
        ("fc",),
        "io_parallel",
        "Vitis",
    )
    for before, after in zip(graph, loaded, strict=True):
        assert (before.name, before.kind, before.inputs) == (after.name, after.kind, after.inputs)
        assert dict(before.types) == dict(after.types)
        assert dict(before.attributes) == dict(after.attributes)
        assert before.weights.keys() == after.weights.keys()
    np.testing.assert_array_equal(loaded["fc"].weights["weight"], graph["fc"].weights["weight"])
    np.testing.assert_array_equal(loaded["fc"].sources["weight"], graph["fc"].sources["weight"])


def test_a_damaged_file_is_stale(graph, tmp_path):
    path = graph.save(tmp_path / "graph.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(
        StaleProjectError, match=r"graph\.npz holds no readable graph \(.*\); convert the network again$"
    ):
        Graph.load(path)


def test_weights_and_attributes_cannot_be_changed(graph):
    with pytest.raises(ValueError, match="read-only"):
        graph["fc"].weights["weight"][0, 0] = 1.0
    with pytest.raises(TypeError, match="does not support item assignment"):
        graph["fc"].attributes["strategy"] = "resource"


def test_another_weight_format_is_applied_to_the_source(graph):
    node = graph["fc"]
    finer = FixedPoint(12, 1)
    changed = node.with_types({"weight": finer})
    np.testing.assert_array_equal(changed.weights["weight"], printed_weights(node.sources["weight"], finer))
    assert changed.types["accum"] == node.types["accum"]
    assert node.types["weight"] == FixedPoint(6, 1, rounding="RND")
    with pytest.raises(KeyError, match="fc has no type scale; it has result, accum, weight"):
        node.with_types({"scale": finer})


def test_a_missing_layer_is_named_with_those_there_are(graph):
    with pytest.raises(KeyError, match="no layer 'fd'; the layers are x, fc"):
        graph["fd"]


def test_weights_are_rounded_in_decimal_before_they_reach_the_format():
    precision = FixedPoint(4, 2)
    np.testing.assert_array_equal(
        printed_weights(np.array([0.249, -0.249, 0.2, 1.0]), precision), [0.25, -0.25, 0, 1]
    )
    assert precision.quantize(np.array([0.249]))[0] == 0.0
    # no decimals at all for formats without fractional bits
    np.testing.assert_array_equal(
        printed_weights(np.array([0.6, 1.5, 2.5]), FixedPoint(4, 4)), [1.0, 2.0, 2.0]
    )


def test_values_on_the_grid_survive_the_printing():
    precision = FixedPoint(18, 3)
    codes = np.random.default_rng(2).integers(-(2**17), 2**17, 500)
    values = codes * precision.step
    np.testing.assert_array_equal(printed_weights(values, precision), values)
