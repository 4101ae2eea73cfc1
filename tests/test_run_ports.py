"""A whole run of a network with several inputs: every stage, and every rung equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from codesign.flow import run_design

SETTINGS = {
    "name": "particles",
    "data": {"source": "data.npz", "inputs": ["event", "particles"]},
    "teacher": {"epochs": 3, "learning_rate": 0.02},
    "distillation": {"epochs": 3, "learning_rate": 0.02, "temperature": 2.0, "alpha": 0.5},
    "pruning": {"epochs": 5, "learning_rate": 0.01, "sparsity": 0.4},
    "scan": {"tolerance": 0.05, "most_bits": 8, "least_bits": 3, "calibration_samples": 100},
    "quantization": {"epochs": 2, "learning_rate": 0.005, "polish": {"rounds": 1}},
}

NETWORKS = """
import keras
from keras import layers


def build(input_shape, n_classes, wide):
    given = {name: keras.Input(shape, name=name) for name, shape in input_shape.items()}
    each = layers.Dense(wide, activation="relu", name="each")(given["particles"])
    mean = layers.GlobalAveragePooling1D(name="mean")(each)
    one = layers.Dense(wide, activation="relu", name="one")(given["event"])
    hidden = layers.Dense(wide, activation="relu", name="hidden")(layers.Concatenate(name="both")([mean, one]))
    return keras.Model(given, layers.Dense(n_classes, activation="softmax", name="kind")(hidden))


def build_teacher(input_shape, n_classes):
    return build(input_shape, n_classes, 16)


def build_student(input_shape, n_classes):
    return build(input_shape, n_classes, 5)
"""


def write_design(folder: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    particles, event = rng.normal(size=(600, 4, 3)), 3 * rng.normal(size=(600, 5))
    particles[..., 0] += (y == 1)[:, None] * 1.5
    event[:, 0] += (y == 2) * 6
    np.savez(folder / "data.npz", particles=particles, event=event, y=y)
    (folder / "networks.py").write_text(NETWORKS)
    (folder / "design.yaml").write_text(yaml.safe_dump(SETTINGS))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "scan"), [("magnitude", "descent"), ("structured", "hessian"), ("hardware", "descent")]
)
def test_two_inputs_go_through_every_stage(method: str, scan: str, tmp_path: Path) -> None:
    write_design(tmp_path)
    choices = {
        "pruning.method": method,
        "scan.method": scan,
        "scan.input_bits": 6 if scan == "hessian" else None,
    }
    overrides = {name: value for name, value in choices.items() if value is not None}
    result = run_design(tmp_path, output=tmp_path / "run", overrides=overrides)
    rungs = result.summary["verification"]["rungs"]
    climbed = [rung for rung in rungs if rung["skipped"] is None]
    assert {rung["name"] for rung in climbed} >= {
        "QKeras, as read",
        "emulation",
        "csim",
        "alkaid interpreter",
    }
    assert not any(rung["mismatches"] for rung in climbed)
    if scan == "hessian":
        types = result.summary["hardware"]["layers"] if "hardware" in result.summary else {}
        assert all("<6," in types[name]["result"] for name in ("event", "particles") if name in types)
