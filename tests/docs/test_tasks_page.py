"""Every design of docs/tasks.md: it is read, and its teacher and student are trained on its data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import yaml

from codesign.core.task import TASKS
from codesign.data import Dataset, load_design_data
from codesign.settings import make_design
from codesign.training.distill import distill_student
from codesign.training.teacher import train_teacher

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 6))
    strange = np.arange(300) % 5 == 0
    x[strange] *= 3
    np.savez(
        folder / "made.npz",
        X=x,
        energy=100 + 20 * x[:, 0],
        angle=x[:, 1] * x[:, 2],
        is_muon=(x[:, 0] > 0).astype(int),
        is_isolated=(x[:, 1] > x[:, 2]).astype(int),
        is_strange=strange.astype(int),
    )
    return folder


def network(dataset: Dataset, width: int, n_outputs: int) -> keras.Model:
    inputs = keras.Input(dataset.input_shape)
    hidden = keras.layers.Dense(width, activation="relu", name="wide")(inputs)
    hidden = keras.layers.Dense(3, activation="relu", name="latent")(hidden)
    if dataset.task.kind == "heads":
        outputs: Any = [keras.layers.Dense(1, name=name)(hidden) for name in dataset.task.names]
    else:
        outputs = keras.layers.Dense(n_outputs, name="out")(hidden)
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("text", SNIPPETS, ids=lambda text: re.search(r"task:\s*(\w+)", text)[1])  # type: ignore[index]
def test_a_design_of_the_page_trains(folder: Path, text: str) -> None:
    settings = make_design({"name": "page", **yaml.safe_load(text)})
    dataset = load_design_data(settings.data, folder)
    task = dataset.task
    n_teacher = dataset.n_features if not task.learns_targets else task.n_outputs
    teacher = train_teacher(network(dataset, 12, n_teacher), dataset, settings.teacher)
    student = distill_student(network(dataset, 8, task.n_outputs), teacher, dataset, settings.distillation)
    for made in (teacher, student):
        assert np.isfinite(made.record.metrics[f"validation_{task.measure}"])
        assert np.isfinite(made.record.metrics[f"test_{task.measure}"])
        assert made.history.measure in (task.measure, "r2")


def test_the_page_has_every_task() -> None:
    table = PAGE.split("| stage |")[0]
    for kind in TASKS:
        assert (f"`{kind}`" in table) or kind == "heads"
    found = {yaml.safe_load(text)["data"]["task"] for text in SNIPPETS if "is_muon: {" not in text}
    assert found == {"regression", "multi_label", "reconstruction", "score"}
