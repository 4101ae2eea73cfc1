"""The emulator equals hls4ml's C++ to the last bit, in every layer of random networks."""

from __future__ import annotations

import pytest
from csim_harness import assert_equal_to_csim, convert
from random_networks import dense_network, image_network


def check(network, folder):
    build, model, config = network
    hls_model = convert(model, folder, config, io_type=build.io_type, backend=build.backend)
    return assert_equal_to_csim(hls_model, build.samples())


@pytest.mark.parametrize("seed", range(3))
def test_random_dense_networks(seed, tmp_path):
    check(dense_network(seed), tmp_path)


@pytest.mark.parametrize("seed", range(2))
def test_random_image_networks(seed, tmp_path):
    check(image_network(seed), tmp_path)


@pytest.mark.parametrize("seed", range(2))
def test_random_sequence_networks(seed, tmp_path):
    check(image_network(seed, flat=True), tmp_path)
