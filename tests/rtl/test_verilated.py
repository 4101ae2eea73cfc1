"""The simulated Verilog computes the network: bit for bit, a vector each clock, with the latency it says."""

from __future__ import annotations

import importlib
import time

import numpy as np
import pytest
from small_graphs import KINDS, chain, dense, emulated, inputs_of, layer, quantized_network

from codesign.core.files import programs_folder
from codesign.core.fixed_point import FixedPoint
from codesign.errors import DataError, ToolFailedError
from codesign.hls.graph import Graph
from codesign.rtl import build_simulation, interpret, simulate, write_rtl
from codesign.rtl.simulate import PROGRAMS

# the package has a function of the module's name
SIMULATE = importlib.import_module("codesign.rtl.simulate")


def a_network_with_everything() -> Graph:
    """Two inputs, dense, rectifier, table, leaky rectifier, product, maximum, concatenation; two outputs."""
    rng = np.random.default_rng(11)
    exact = {"accum": FixedPoint(24, 10), "result": FixedPoint(24, 10)}
    types = {**exact, "weight": FixedPoint(5, 2), "bias": FixedPoint(5, 2)}
    narrow = {"result": FixedPoint(6, 3, True, "RND_CONV", "SAT")}
    positive = {"result": FixedPoint(5, 2, False, "RND", "SAT")}
    nodes = (
        dense(rng, "fc", "x", 5, 4, types),
        layer("relu", "activation", "fc", (4,), positive, activation="relu"),
        layer("leaky", "parametrized_activation", "fc", (4,), {**narrow, "param": FixedPoint(4, 1)},
              activation="LeakyReLU", activ_param=0.25),
        layer("tanh", "activation", "leaky", (4,), {**narrow, "table": FixedPoint(10, 2)},
              activation="tanh", table_size=1024),
        layer("product", "merge", ("relu", "z"), (4,), narrow, op="multiply"),
        layer("largest", "merge", ("product", "tanh"), (4,), narrow, op="maximum"),
        layer("both", "concatenate", ("largest", "relu"), (8,), {"result": FixedPoint(8, 4)}, axis=1),
        layer("out", "reshape", "both", (8,), {"result": FixedPoint(5, 3, True, "TRN_ZERO", "SAT_ZERO")}),
    )  # fmt: skip
    graph = chain({"x": ((5,), FixedPoint(6, 3)), "z": ((4,), FixedPoint(4, 2))}, *nodes)
    return Graph(graph.nodes, graph.inputs, ("out", "tanh"), graph.io_type, graph.backend)


@pytest.fixture(scope="module")
def graph():
    return a_network_with_everything()


@pytest.fixture(scope="module")
def project(graph, tmp_path_factory):
    return write_rtl(graph, tmp_path_factory.mktemp("verilated") / "rtl", clock_period_ns=3.0)


def test_the_simulation_equals_interpreter_and_emulation_and_is_built_once(project, graph, monkeypatch):
    arrays = inputs_of(np.random.default_rng(0), graph, 3000)
    first = build_simulation(project)
    assert first.build_seconds > 0
    expected = emulated(graph, arrays)
    np.testing.assert_array_equal(simulate(project, arrays), expected)
    np.testing.assert_array_equal(interpret(project, arrays), expected)
    again = build_simulation(project)
    assert (again.program, again.build_seconds) == (first.program, 0.0)
    # many processes share the samples, in order
    monkeypatch.setattr(SIMULATE, "_SAMPLES_A_PROCESS", 500)
    np.testing.assert_array_equal(simulate(project, arrays, processes=4), expected)


def test_one_sample_and_none(project, graph):
    arrays = inputs_of(np.random.default_rng(1), graph, 2)
    one = [array[:1] for array in arrays]
    np.testing.assert_array_equal(simulate(project, one), emulated(graph, arrays)[:1])
    assert simulate(project, [array[:0] for array in arrays]).shape == (0, 12)


def test_results_come_after_the_latency_and_not_before(project, graph, monkeypatch):
    arrays = inputs_of(np.random.default_rng(2), graph, 200)
    expected = emulated(graph, arrays)
    assert project.latency_cycles > 2
    for wrong in (project.latency_cycles - 1, project.latency_cycles + 1):
        # a harness that reads a clock too early or too late sees the neighbour's result
        altered = _with_latency(project, wrong)
        got = simulate(altered, arrays)
        assert not np.array_equal(got, expected)
        shift = project.latency_cycles - wrong
        kept = (slice(1, None), slice(None, -1)) if shift > 0 else (slice(None, -1), slice(1, None))
        np.testing.assert_array_equal(got[kept[0]], expected[kept[1]])


def _with_latency(project, cycles):
    from dataclasses import replace

    return replace(project, latency_cycles=cycles, digest=f"{project.digest}-{cycles}")


def test_inputs_that_do_not_fit_are_refused_before_anything_is_built(project, monkeypatch):
    monkeypatch.setattr(SIMULATE, "build_simulation", lambda *_: pytest.fail("it was built"))
    with pytest.raises(DataError, match=r"^the design has 2 inputs \(x, z\), not 1$"):
        simulate(project, np.zeros((3, 5)))
    with pytest.raises(
        DataError, match=r"^x has nan at index 0 \(of 5 values\), which fixed<6,3> cannot take$"
    ):
        simulate(project, [np.full((1, 5), np.nan), np.zeros((1, 4))])


def test_verilog_that_cannot_be_translated_is_reported_with_its_log(graph, tmp_path):
    project = write_rtl(graph, tmp_path / "rtl")
    (project.folder / "src" / "codesign_top.v").write_text("module codesign_top (input clk;\n")
    with pytest.raises(ToolFailedError, match="syntax error") as caught:
        build_simulation(project)
    log = caught.value.log_path
    assert (log.parent, log.suffix) == (programs_folder(PROGRAMS), ".log")
    assert not list(log.parent.glob(".building-*"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_as_verilog(kind, tmp_path):
    for seed in range(77, 177):
        rng = np.random.default_rng([seed, *kind.encode()])
        graph = KINDS[kind](rng)
        arrays = inputs_of(rng, graph, 2000)
        expected = emulated(graph, arrays)
        if not (expected == expected[0]).all():  # a constant has no logic
            break
    project = write_rtl(graph, tmp_path / "rtl", clock_period_ns=2.0)
    np.testing.assert_array_equal(simulate(project, arrays), expected)


@pytest.mark.slow
@pytest.mark.parametrize("sparsity", [0.0, 0.8])
def test_a_dense_network_of_the_jet_size(sparsity, tmp_path):
    graph = quantized_network(sparsity)
    arrays = inputs_of(np.random.default_rng(3), graph, 50_000)
    project = write_rtl(graph, tmp_path / "rtl")
    started = time.monotonic()
    outputs = simulate(project, arrays[0])
    assert time.monotonic() - started < 600  # a busy machine may take ten times the 30 s of a quiet one
    np.testing.assert_array_equal(outputs, emulated(graph, arrays))
