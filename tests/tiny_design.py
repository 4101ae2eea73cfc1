"""A design that runs through the whole chain in seconds: 300 digits, a teacher of 16 neurons, a student of 6."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]

SETTINGS: Mapping[str, Any] = {
    "name": "tiny",
    "data": {"source": "digits", "max_samples": 400},
    "teacher": {"epochs": 3, "learning_rate": 0.01},
    "distillation": {"epochs": 3, "learning_rate": 0.01},
    "pruning": {"epochs": 2, "sparsity": 0.5},
    "scan": {"tolerance": 0.3, "most_bits": 6, "least_bits": 5},
    "quantization": {"epochs": 2},
    "hardware": {"testbench_samples": 5, "open_rtl": False},
}

NETWORKS = """
import keras
from keras import layers


def build_teacher(input_shape, n_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.1),
            layers.Dense(n_classes, activation="softmax"),
        ]
    )


def build_student(input_shape, n_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Dense(6, use_bias=False, name="fc1"),
            layers.BatchNormalization(name="norm1"),
            layers.Activation("relu", name="relu1"),
            layers.Dense(n_classes, name="logits"),
        ]
    )
"""


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values with those of `changes`, section by section, in their place; ``None`` takes one away."""
    result = dict(values)
    for key, change in changes.items():
        if isinstance(change, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], change)
        elif change is None:
            result.pop(key, None)
        else:
            result[key] = change
    return result


def write_design(folder: Path, networks: str | None = NETWORKS, **changes: Any) -> Path:
    """Write a design folder; `changes` are sections that differ from `SETTINGS`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "design.yaml").write_text(yaml.safe_dump(merged(SETTINGS, changes)), encoding="utf-8")
    if networks is not None:
        (folder / "networks.py").write_text(networks, encoding="utf-8")
    return folder


def environment(**variables: str) -> dict[str, str]:
    """The environment of a `codesign` command that runs this checkout."""
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "120", **variables}


def codesign(*words: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "codesign", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(**variables),
        check=False,
        timeout=300,
    )
