"""`codesign convert` as a user types it: QKeras models, float ones with a map, runs, and what cannot be."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from qkeras import QActivation, QDense, quantized_bits, quantized_relu
from scan_tasks import task
from typer.testing import CliRunner

import codesign.stages
from codesign.cli.program import app
from codesign.compression.formats import nominal_precision
from codesign.compression.quantize import quantized_student_of
from codesign.core.precision_map import PrecisionMap
from codesign.errors import CodesignError
from codesign.hls.project import open_project
from codesign.hls.testbench import read_vectors
from codesign.networks.build import build_float
from codesign.networks.prepare import prepare_for_quantization
from codesign.settings import make_design
from codesign.verification import ladder_rungs, verify_project


def dense(units: int, name: str) -> Any:
    bits = quantized_bits(6, 1, alpha=1)
    return QDense(units, kernel_quantizer=bits, bias_quantizer=bits, name=name)


def qkeras_model(shape: tuple[int, ...] = (5,), grid: bool = True) -> keras.Model:
    layers = [dense(6, "fc1"), QActivation(quantized_relu(6, 2), name="relu1"), dense(3, "out")]
    first = [QActivation(quantized_bits(8, 3, alpha=1), name="grid")] if grid else []
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input(shape), *first, *layers], name="mine")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("convert")
    student, dataset = task()
    parts = [dataset.part(name) for name in ("train", "validation", "test")]
    x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    np.savez(folder / "data.npz", X=x, y=y)
    np.savez(folder / "five.npz", X=x, y=np.arange(len(y)) % 5)
    build_float(student.network).save(folder / "float.keras")
    nominal_precision(prepare_for_quantization(student.network)).save(folder / "map.json")
    qkeras_model().save(folder / "q.keras")
    qkeras_model().save(folder / "q.h5")
    qkeras_model(grid=False).save(folder / "bare.keras")
    (folder / "saved").mkdir()
    (folder / "saved" / "saved_model.pb").write_bytes(b"")
    return folder


def invoke(*words: object) -> Any:
    return CliRunner().invoke(app, ["convert", *map(str, words)])


def golden_is_exact(folder: Path) -> None:
    table = verify_project(folder, rungs=ladder_rungs(["emulation"]))
    table.require_agreement()


def test_settings_of_a_layer_are_typed_with_dots(files: Path, tmp_path: Path) -> None:
    data, folder = files / "data.npz", tmp_path / "p"
    settings = ("--set", "hardware.layers.fc1.strategy=resource", "--set", "layers.fc1.reuse_factor=5")
    made = invoke(files / "q.h5", "--data", data, "-o", folder, *settings)
    assert made.exit_code == 0, made.output
    layer = next(node for node in open_project(folder).graph() if node.name == "fc1")
    assert (layer.attributes["strategy"], layer.attributes["reuse_factor"]) == ("resource", 5)


def test_a_qkeras_model_becomes_a_project_that_computes_it(files: Path, tmp_path: Path) -> None:
    name = "q.h5"
    made = invoke(
        files / name, "--data", files / "data.npz", "-o", tmp_path / "p", "--set", "clock_period_ns=3.0"
    )
    assert made.exit_code == 0, made.output
    assert f"at 3 ns. Next:\n  codesign verify {tmp_path / 'p'}\n" in made.output
    assert open_project(tmp_path / "p").target.clock_period_ns == 3
    golden_is_exact(tmp_path / "p")
    again = invoke(files / name, "--data", files / "data.npz", "-o", tmp_path / "p")
    assert isinstance(again.exception, CodesignError)
    words = ("--data", files / "data.npz", "-o", tmp_path / "p", "--overwrite")
    assert invoke(files / name, *words).exit_code == 0


def test_a_format_of_the_inputs_is_given_where_the_model_has_none(files: Path, tmp_path: Path) -> None:
    words = (files / "bare.keras", "--data", files / "data.npz", "-o", tmp_path / "p")
    assert "put QActivation(quantized_bits(...)) directly after it" in str(invoke(*words).exception)
    assert invoke(*words, "--input-format", "fixed<8,4>").exit_code == 0
    golden_is_exact(tmp_path / "p")


def test_a_float_model_takes_the_map_of_a_scan(files: Path, tmp_path: Path) -> None:
    words = (files / "float.keras", "--data", files / "data.npz", "-o", tmp_path / "p")
    made = invoke(*words, "--precision", files / "map.json")
    assert made.exit_code == 0, made.output
    golden_is_exact(tmp_path / "p")
    assert "no layer of it has a quantizer" in str(
        invoke(files / "float.keras", *words[1:], "--overwrite", "--input-format", "fixed<8,4>").exception
    )
    short = PrecisionMap.load(files / "map.json")
    first, *others = short.layers
    PrecisionMap(short.input, {**{name: short[name] for name in others}, "fc9": short[first]}).save(
        tmp_path / "short.json"
    )
    refused = str(invoke(*words, "--overwrite", "--precision", tmp_path / "short.json").exception)
    assert f"layers.{first}.weight: missing" in refused
    assert "layers.fc9.weight: the model has no such tensor" in refused


def test_a_run_gives_its_student_and_its_hardware_but_what_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, dataset = task()
    hardware = {"clock_period_ns": 4.0, "testbench_samples": 9}
    settings = make_design({"name": "d", "data": {"source": "digits"}, "hardware": hardware})
    run = SimpleNamespace(
        dataset=dataset, settings=settings, value={"quantization": quantized_student_of(qkeras_model())}.get
    )
    monkeypatch.setattr(codesign.stages, "open_run", lambda folder: run)
    made = invoke(tmp_path, "-o", tmp_path / "p", "--set", "testbench_samples=7")
    assert made.exit_code == 0, made.output
    project = open_project(tmp_path / "p")
    assert project.target.clock_period_ns == 4
    assert len(read_vectors(project.folder, project.n_outputs)[0]) == 7
    refused = invoke(tmp_path, "-o", tmp_path / "other", "--data", "digits")
    assert str(refused.exception).endswith("names the data; leave out --data")
    refused = invoke(tmp_path, "-o", tmp_path / "other", "--precision", "map.json")
    assert str(refused.exception) == "--precision: is for a model; the student of a run has its formats"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["q.keras"], "--data: missing; name the data that q.keras was trained on"),
        (["no.keras", "--data", "data.npz"], "does not exist; give a trained .keras or .h5 file, or the folder of a run"),
        (["saved", "--data", "data.npz"], "saved is a SavedModel without layers, which can only compute; save it"),
        (["q.keras", "--data", "digits"], "the input shape is (5,), but the data's samples have shape (64,)"),
        (["q.keras", "--data", "five.npz"], "the output shape is (3,), but the data have 5 classes"),
        (["q.keras", "--data", "no.npz"], "no.npz: no such file"),
        (["float.keras", "--data", "data.npz"], "is a float one: no layer of it has a quantizer; codesign scan chooses"),
        (["float.keras", "--data", "data.npz", "--precision", "no.json"], "no.json cannot be read"),
        (["q.keras", "--data", "data.npz", "--set", "reuse=2"], "hardware.reuse: unknown setting; did you mean reuse_factor?"),
        (["q.keras", "--data", "data.npz", "--input-format", "eight"], "'eight' is not a fixed-point format"),
        (["."], "is no run's folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_told(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    monkeypatch.chdir(files)
    made = invoke(*words, "--output", tmp_path / "out")
    assert isinstance(made.exception, CodesignError), made.output
    assert sentence in str(made.exception)
    assert not (tmp_path / "out").exists()
