"""The notebooks run from their first cell to their last, and the README's five lines do what they say."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from codesign import load_dataset

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((REPOSITORY / "docs" / "notebooks").glob("*.ipynb"))


def test_the_five_lines_of_the_readme_end_in_a_verified_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(ast.parse(snippet).body) == 5
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    np.savez("mine.npz", X=(rng.normal(size=(300, 4)) + 3 * np.eye(3, 4)[y]).astype("f"), y=y)
    data = load_dataset("mine.npz")
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(5, activation="relu"), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential([keras.Input(data.input_shape), *layers])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(data.x_train, data.y_train, epochs=20, verbose=0)
    short = snippet.replace(
        '"data": {"source": "mine.npz"}', '"data": {"source": "mine.npz"}, "quantization": {"epochs": 2}'
    )
    exec(compile(short, "README.md", "exec"), {"model": model})
    assert "bit-exact" in capsys.readouterr().out
    assert (tmp_path / "my_project" / "codesign_project.json").is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_small_and_without_outputs(path: Path) -> None:
    import json

    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert 3 <= len(code) <= 12
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_and_shows_tables_and_pictures(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown: list[Any] = [
        output["data"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    assert sum("text/html" in data for data in shown) >= 3
    assert all(len(data["text/plain"]) < 3000 for data in shown)
    if "plot_" in path.read_text(encoding="utf-8"):
        assert sum("image/png" in data for data in shown) == 3
