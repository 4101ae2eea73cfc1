"""The emulator equals hls4ml's C++ to the last bit, in every layer of random networks."""

from __future__ import annotations

import numpy as np
import pytest
from csim_harness import assert_equal_to_csim, convert
from random_networks import dense_network, image_network, sequence_network

from codesign.emulation import Emulator
from codesign.hls.graph import Graph, read_graph


def check(network, folder):
    build, model, config = network
    hls_model = convert(model, folder, config, io_type=build.io_type, backend=build.backend)
    return assert_equal_to_csim(hls_model, build.samples())


@pytest.mark.parametrize(
    ("make", "seed", "io_type"),
    [
        (dense_network, 0, "io_parallel"),
        pytest.param(dense_network, 1, "io_stream", marks=pytest.mark.slow),
        pytest.param(image_network, 1, "io_parallel", marks=pytest.mark.slow),
        (image_network, 4, "io_stream"),
        (sequence_network, 2, "io_stream"),
    ],
)
def test_random_networks(make, seed, io_type, tmp_path):
    check(make(seed, io_type=io_type), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 125))
@pytest.mark.parametrize("make", [dense_network, image_network, sequence_network])
def test_many_random_networks(make, seed, tmp_path):
    check(make(seed), tmp_path)


def test_a_saved_graph_computes_the_same_whatever_the_batches(tmp_path):
    build, model, config = dense_network(3, io_type="io_parallel")
    emulator = Emulator.of(read_graph(convert(model, tmp_path, config)))
    x = build.samples(300)
    expected = emulator.run(x, trace=True)
    loaded = Emulator.of(Graph.load(emulator.graph.save(tmp_path / "graph.npz")))
    for how in ({"batch_size": 1, "threads": 1}, {"batch_size": 7}, {"batch_size": 1000, "threads": 3}, {}):
        got = loaded.run(x[:50] if how.get("batch_size") == 1 else x, trace=True, **how)
        for name, values in got.items():
            np.testing.assert_array_equal(values, expected[name][: len(values)])
