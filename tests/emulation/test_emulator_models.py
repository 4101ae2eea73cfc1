"""The students of every design in `models/` are emulated to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from csim_harness import assert_equal_to_csim, convert, layer_config

from codesign.networks.design import load_networks

MODELS = Path(__file__).parents[2] / "models"
SHAPES = {
    "digits": ((64,), 10),
    "jets": ((16,), 5),
    "magic": ((10,), 2),
    "sequence": ((64,), 10),
    "tiny": ((64,), 10),
}


def test_every_design_is_listed():
    # those of tasks and cells of their own are emulated by their runs
    assert sorted([*SHAPES, "anomaly", "cnn", "momentum", "taus"]) == sorted(
        folder.name for folder in MODELS.iterdir() if folder.is_dir()
    )


@pytest.mark.slow
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("design", SHAPES)
def test_students_equal_their_csim(design, io_type, tmp_path):
    shape, classes = SHAPES[design]
    model = load_networks(MODELS / design).build_student(shape, classes)
    config = layer_config(model, default="fixed<12,5,RND,SAT>")
    hls_model = convert(model, tmp_path, config, io_type=io_type)
    assert_equal_to_csim(hls_model, np.random.default_rng(6).normal(0, 3, (200, *shape)))
