"""The adviser's table of a converted network."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.core.fixed_point import FixedPoint
from codesign.errors import SettingsError
from codesign.hls.graph import Graph, Node
from codesign.hls.reuse import MatrixShape, advise_reuse, legal_reuse_factors
from codesign.hls.reuse_table import advise_graph, shape_of_node

ANY = FixedPoint(8, 4)


def node(name, kind, source, shape, kernel=None, **attributes):
    weights = {} if kernel is None else {"weight": kernel, "bias": np.zeros(kernel.shape[-1])}
    types = dict.fromkeys(("result", "accum", "weight", "bias") if weights else ("result",), ANY)
    common = {"strategy": "resource", "reuse_factor": 2}
    return Node(
        name, kind, (source,) if source else (), shape, {**common, **attributes}, types, weights, weights
    )


@pytest.fixture
def graph():
    kernel = np.ones((3, 3, 2, 4))
    sizes = {"in_height": 6, "in_width": 6, "out_height": 4, "out_width": 4}
    dense = np.ones((64, 10))
    dense[:32] = 0
    return Graph(
        (
            node("x", "input", None, (6, 6, 2)),
            node("conv", "conv_2d", "x", (4, 4, 4), kernel, **sizes),
            node("relu", "activation", "conv", (4, 4, 4)),
            node("fc", "dense", "relu", (10,), dense),
        ),
        ("x",),
        ("fc",),
        "io_parallel",
        "Vitis",
    )


def test_shapes_are_those_of_the_kernels(graph):
    assert shape_of_node(graph["relu"]) is None
    assert shape_of_node(graph["conv"]) == MatrixShape(
        "conv", "conv", 18, 4, in_positions=36, out_positions=16
    )
    assert shape_of_node(graph["fc"]) == MatrixShape("fc", "dense", 64, 10, zero_weights=320)


def test_every_layer_with_products_is_advised_for_its_own_strategy(graph):
    conv, fc = advise_graph(graph)
    assert (conv.shape.name, conv.strategy, conv.now) == ("conv", "resource", 2)
    assert [option.factor for option in conv.options] == list(
        legal_reuse_factors(conv.shape, "resource", "io_parallel")
    )
    assert fc.options == advise_reuse(fc.shape, "resource", "io_parallel")
    assert [layer.now for layer in advise_graph(graph, "resource")] == [conv.now, fc.now]


def test_another_strategy_can_be_asked_for(graph):
    conv, fc = advise_graph(graph, "unrolled")
    assert (conv.now, fc.now) == (None, None)
    assert conv.options == ()  # hls4ml has no such kernel under io_parallel
    assert fc.options == advise_reuse(fc.shape, "unrolled", "io_parallel")
    with pytest.raises(SettingsError) as caught:
        advise_graph(graph, "fastest")  # type: ignore[arg-type]
    assert str(caught.value) == (
        "strategy: 'fastest' is not one of latency, resource, unrolled, distributed_arithmetic"
    )
