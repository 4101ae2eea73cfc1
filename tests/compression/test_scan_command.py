from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from scan_tasks import task
from typer.testing import CliRunner

import codesign.stages
from codesign.cli.program import app
from codesign.core.files import read_json
from codesign.core.precision_map import PrecisionMap
from codesign.errors import CodesignError
from codesign.networks.build import build_float
from codesign.settings import make_design


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A trained model and its data as files."""
    folder = tmp_path_factory.mktemp("scan")
    student, dataset = task()
    parts = [dataset.part(name) for name in ("train", "validation", "test")]
    x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    np.savez(folder / "data.npz", X=x, y=y)
    build_float(student.network).save(folder / "model.keras")
    return folder


def invoke(*words):
    return CliRunner().invoke(app, ["scan", *map(str, words)])


def test_a_model_and_its_data_become_map_trials_and_picture(files, tmp_path):
    words = (files / "model.keras", "--data", files / "data.npz", "--tolerance", 0.05, "-o", tmp_path / "out")
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    assert "no input on the input grid can wrap an accumulator" in result.output
    out = tmp_path / "out"
    left = {"precision_map.json", "record.json", "scan.json", "scan.png", "trials.csv"}
    assert left == {path.name for path in out.iterdir() if not path.name.startswith(".")}
    assert (out / "scan.png").read_bytes()[:4] == b"\x89PNG"
    scan = read_json(out / "scan.json")
    assert scan["no_input_wraps"]
    record = read_json(out / "record.json")
    assert record["settings"]["tolerance"] == 0.05
    assert record["metrics"]["trials"] == len(scan["trials"])
    assert scan["quality"] >= scan["float_quality"] - 0.05
    assert PrecisionMap.load(out / "precision_map.json").input.width <= 12
    assert result.output.endswith(
        f"Next:\n  codesign convert {files}/model.keras --data {files}/data.npz "
        f"--precision {out}/precision_map.json -o my_project\n"
    )
    again = invoke(*words)
    assert str(again.exception) == f"{out} holds a finished scan; choose another folder with --output"


def test_a_run_gives_its_pruned_student_its_data_and_its_settings(tmp_path, monkeypatch):
    student, dataset = task()
    settings = make_design(
        {"name": "d", "data": {"source": "digits"}, "scan": {"tolerance": 0.2, "most_bits": 7}}
    )
    run = SimpleNamespace(dataset=dataset, settings=settings, value={"pruning": student}.get)
    monkeypatch.setattr(codesign.stages, "open_run", lambda folder: run)
    result = invoke(tmp_path, "--margin-bits", 1, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    trials = read_json(tmp_path / "out" / "scan.json")["trials"]
    assert trials[0]["bits"] == 7
    refused = invoke(tmp_path, "--data", "digits", "--output", tmp_path / "other")
    assert str(refused.exception).endswith("names the data; leave out --data")


def test_the_hessian_and_affine_widths_from_the_command_line(files, tmp_path):
    words = (files / "model.keras", "--data", files / "data.npz", "--tolerance", 0.05, "-o", tmp_path / "out")
    result = invoke(*words, "--method", "hessian", "--affine-widths", "4,6")
    assert result.exit_code == 0, result.output
    scan = read_json(tmp_path / "out" / "scan.json")
    assert "hessian" in {trial["phase"] for trial in scan["trials"]}
    assert [row["width"] for row in scan["affine"]] == [4, 6]
    assert "one width everywhere" in result.output
    assert f"{scan['affine'][0]['quality']:.4f}" in result.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["model.keras"], "--data: missing; name the data that"),
        (
            ["none.keras", "--data", "data.npz"],
            "does not exist; give a trained .keras or .h5 file",
        ),
        (["data.npz", "--data", "data.npz"], "must be a .keras or .h5 file, not .npz"),
        (["model.keras", "--data", "data.npz", "--tolerance", "2"], "scan.tolerance: should be less than 1"),
        (
            ["model.keras", "--data", "data.npz", "--percentile", "0"],
            "scan.percentile: should be greater than 0",
        ),
        (["model.keras", "--data", "data.npz", "--cost", "gates"], "scan.cost: should be 'bops' or 'luts'"),
        (
            ["model.keras", "--data", "digits"],
            "the input shape is (5,), but the data's samples have shape (64,)",
        ),
        (["."], "is no run's folder"),
        (
            ["model.keras", "--data", "data.npz", "--method", "guess"],
            "scan.method: should be 'descent' or 'hessian', not 'guess'",
        ),
        (
            ["model.keras", "--data", "data.npz", "--affine-widths", "4;6"],
            "--affine-widths: must be whole numbers with commas between, 4,6,8, not '4;6'",
        ),
    ],
)
def test_what_cannot_be_scanned_is_told(files, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(files)
    result = invoke(*words, "--output", tmp_path)
    assert isinstance(result.exception, CodesignError)
    assert sentence in str(result.exception)


def test_a_softmax_in_the_middle_gets_a_format(files, tmp_path):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(4, activation="softmax", name="gate"),
            layers.Dense(3, name="logits"),
        ]
    )
    model.save(tmp_path / "gate.keras")
    result = invoke(tmp_path / "gate.keras", "--data", files / "data.npz", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    formats = PrecisionMap.load(tmp_path / "out" / "precision_map.json")
    assert not formats.layers["gate_softmax"].result.signed
