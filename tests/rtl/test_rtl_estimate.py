"""What the open RTL will take is said before the work, and long work can be ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_graphs import quantized_network

from codesign.errors import ConversionError
from codesign.rtl import estimate_rtl, trace_graph, write_rtl
from codesign.rtl.apart import pipelined
from codesign.rtl.trace import pipeline


class Told:
    """Keeps what it was told."""

    def __init__(self):
        self.notes = []

    def step(self, what, done, total, note=""):
        self.notes.append((what, done, total, note))


@pytest.mark.parametrize("sizes", [(16, 24, 5), (32, 32, 8)])
def test_the_estimate_of_luts_is_near_alkaids_own(sizes):
    graph = quantized_network(0.1, sizes)
    estimate = estimate_rtl(graph)
    assert estimate.lut == pytest.approx(trace_graph(graph).cost, rel=0.6)
    assert [layer.layer for layer in estimate.layers] == [node.name for node in graph if node.weights]


def test_time_grows_with_the_square_of_a_matrix_and_luts_with_its_size():
    small, large = (estimate_rtl(quantized_network(0.0, (size, size))) for size in (100, 400))
    assert 10 < large.tracing_s / small.tracing_s < 300
    assert 12 < large.lut / small.lut < 20


def test_more_than_the_limit_is_refused_before_the_work(tmp_path):
    graph = quantized_network(0.0, (700, 700))
    started = time.monotonic()
    with pytest.raises(
        ConversionError,
        match=r"^the open RTL would take about [\d,]+ minutes and [\d,]+ LUTs, every layer unrolled, and the limit is "
        r"10 minutes; most of it is layer '\w+' with [\d,]+ weights at 1 place; raise hardware.rtl_limit_minutes "
        r"\(codesign rtl --limit MINUTES or --force\), or prune the layer$",
    ):
        write_rtl(graph, tmp_path / "rtl")
    assert time.monotonic() - started < 5
    assert not (tmp_path / "rtl").exists()
    with pytest.raises(ConversionError, match=r"the limit is 0\.001 minutes"):
        write_rtl(quantized_network(0.0, (8, 8)), tmp_path / "rtl", limit_minutes=0.001)


def test_a_process_of_its_own_gives_the_same_design_and_tells_its_layers(monkeypatch):
    graph, told = quantized_network(0.2, (6, 10, 4)), Told()
    here = pipeline(trace_graph(graph), 2.0)
    monkeypatch.setattr("codesign.rtl.apart._HERE_S", 0.0)
    apart = pipelined(graph, 2.0, ternary_adders=False, progress=told)
    assert apart.n_stages == here.n_stages
    x = np.random.default_rng(0).normal(size=(50, 6))
    x = graph[graph.inputs[0]].result.quantize(x)
    np.testing.assert_array_equal(apart.logic.predict(x), here.logic.predict(x))
    assert [note[3] for note in told.notes] == [node.name for node in graph]


def test_what_a_process_of_its_own_refuses_is_said_as_it_is_here(monkeypatch):
    monkeypatch.setattr("codesign.rtl.apart._HERE_S", 0.0)
    graph = quantized_network(0.0, (3, 2))
    nodes = [replace(node, weights={name: 0 * a for name, a in node.weights.items()}) for node in graph]
    graph = replace(graph, nodes=tuple(nodes))
    with pytest.raises(ConversionError, match=r"^every output of the network is a constant"):
        pipelined(graph, 2.0, ternary_adders=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_within_a_second_and_leaves_nothing(tmp_path, number):
    code = (
        "import sys; sys.path.insert(0, 'tests/rtl')\n"
        "from codesign.core.interrupt import listening\n"
        "from small_graphs import quantized_network; from codesign.rtl import write_rtl\n"
        "class Told:\n"
        "    def step(self, what, done, total, note=''): print(note, flush=True)\n"
        "with listening():\n"
        f"    write_rtl(quantized_network(0.0, (400, 400)), {str(tmp_path / 'rtl')!r}, limit_minutes=None, progress=Told())"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=root,
        env=environment,
    ) as process:
        assert process.stdout is not None
        while "about" not in process.stdout.readline():
            assert process.poll() is None
        time.sleep(0.5)  # now it is in the solver
        process.send_signal(number)
        started = time.monotonic()
        process.wait(timeout=20)
        assert time.monotonic() - started < 1.5
    assert list(tmp_path.iterdir()) == []
