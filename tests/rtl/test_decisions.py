"""Decisions in hardware: the class that the logits decide on, the first of equal ones, as in Python."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_graphs import chain, dense, emulated, inputs_of, layer, quantized_network

from codesign.core.fixed_point import FixedPoint
from codesign.core.quality import predicted_classes
from codesign.core.target import Interface
from codesign.emulation import Emulator
from codesign.errors import ConversionError
from codesign.hls.graph import Graph
from codesign.rtl import interpret, open_rtl, simulate, write_rtl
from codesign.rtl.trace import trace_graph

COARSE = FixedPoint(3, 2)
"""So few values that logits are often equal."""
DECIDES = Interface(outputs="decisions")


def logits(n: int, seed: int = 0) -> Graph:
    rng = np.random.default_rng(seed)
    types = {"weight": COARSE, "bias": COARSE, "accum": FixedPoint(12, 8), "result": FixedPoint(12, 8)}
    coarse = {"result": replace(COARSE, overflow="SAT")}
    return chain(
        {"x": ((4,), COARSE)},
        dense(rng, "fc", "x", 4, n, types),
        layer("out", "activation", "fc", (n,), coarse, activation="linear"),
    )


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 10])
def test_the_first_of_equal_logits_wins_in_emulation_and_logic(n):
    graph = logits(n, seed=n)
    x = inputs_of(np.random.default_rng(n), graph, 800)[0]
    outputs = emulated(graph, [x])
    if n > 1:
        ties = (outputs == outputs.max(axis=1, keepdims=True)).sum(axis=1) > 1
        assert ties.sum() > 20
    expected = predicted_classes(outputs)
    decided = graph.deciding()
    assert decided.outputs == ("out_class",)
    assert decided["out_class"].result == FixedPoint(
        max(1, int(np.ceil(np.log2(n)))), max(1, int(np.ceil(np.log2(n)))), False
    )
    np.testing.assert_array_equal(Emulator.of(decided).outputs(x)[:, 0], expected)
    np.testing.assert_array_equal(trace_graph(decided).predict(x)[:, 0], expected)


def test_the_verilog_gives_classes_and_says_so(tmp_path):
    graph = quantized_network(0.7, (6, 8, 5))
    both = replace(graph, outputs=("fc1", "fc0"))
    project = write_rtl(both, tmp_path / "rtl", interface=DECIDES, top="trigger")
    assert open_rtl(tmp_path / "rtl").interface == DECIDES
    assert project.is_of(both.digest, project.part, project.clock_period_ns)
    assert [(port.name, port.width) for port in project.outputs] == [("fc1_class", 3), ("fc0_class", 3)]
    x = inputs_of(np.random.default_rng(0), graph, 500)[0]
    parts = np.split(emulated(both, [x]), [5], axis=1)
    expected = np.stack([predicted_classes(part) for part in parts], axis=1)
    assert len(np.unique(expected)) > 3
    np.testing.assert_array_equal(simulate(project, x), expected)
    np.testing.assert_array_equal(interpret(project, x), expected)
    assert "out_fc1_class" in (project.folder / "README.md").read_text()


def test_an_output_that_is_no_vector_has_no_decision():
    shape = layer("image", "reshape", "x", (2, 2), {"result": COARSE})
    with pytest.raises(
        ConversionError, match=r"one vector of logits, and the output image has the shape \(2, 2\)"
    ):
        chain({"x": ((4,), COARSE)}, shape).deciding()
