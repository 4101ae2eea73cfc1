"""Every task through the chain's functions, from a teacher to a quantized student, and one through a whole run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from codesign.compression.phases import check_study
from codesign.compression.prune import prune_student
from codesign.compression.quantize import quantize_student
from codesign.compression.scan import scan_bit_widths
from codesign.core.task import Reconstruction, Regression
from codesign.data import Dataset, dataset_from_arrays, load_dataset
from codesign.data.targets import HeadChoice
from codesign.errors import DataError, SettingsError
from codesign.flow import run_design
from codesign.settings import make_design
from codesign.training.distill import distill_student, with_learnt_temperature
from codesign.training.fit import read_history
from codesign.training.given_teacher import require_knowledge, suspicion
from codesign.training.logits_teacher import load_logits
from codesign.training.specialists import require_classes
from codesign.training.teacher import load_teacher, train_teacher
from codesign.verification import ladder_rungs, verify_project

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(600, 4)).astype(np.float32)
VALUES = np.stack([5 + 3 * X[:, 0] - X[:, 1], 100 * np.tanh(X[:, 2])], axis=1) + RANDOM.normal(
    scale=0.05, size=(600, 2)
)


def dense(dataset: Dataset, *widths: int) -> keras.Model:
    hidden = [keras.layers.Dense(width, activation="relu", name=f"fc{n}") for n, width in enumerate(widths)]
    last = keras.layers.Dense(dataset.n_outputs, name="out")
    return keras.Sequential([keras.Input(dataset.input_shape), *hidden, last])


def settings(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "name": "task",
        "data": {"source": "none.npz"},
        "teacher": {"epochs": 15, "learning_rate": 0.02, "batch_size": 32},
        "distillation": {"epochs": 15, "learning_rate": 0.02, "batch_size": 32, "alpha": 0.5},
        "pruning": {"epochs": 5, "sparsity": 0.3, "learning_rate": 0.01, "batch_size": 32},
        "scan": {"tolerance": 0.05},
        "quantization": {"epochs": 6, "learning_rate": 0.005, "batch_size": 32},
    }
    for name, own in changes.items():
        values[name] |= own
    return make_design(values)


def chain(dataset: Dataset, asked: Any) -> dict[str, Any]:
    """All stages up to the quantized student."""
    teacher = train_teacher(dense(dataset, 24, 24), dataset, asked.teacher)
    student = distill_student(dense(dataset, 10), teacher, dataset, asked.distillation)
    pruned = prune_student(student, teacher, dataset, asked.pruning, asked.distillation)
    scan = scan_bit_widths(pruned, dataset, asked.scan)
    learnt = with_learnt_temperature(asked.distillation, student.record)
    quantized = quantize_student(pruned.network, scan.precision, teacher, dataset, asked.quantization, learnt)
    return {"teacher": teacher, "student": student, "pruning": pruned, "scan": scan, "quantized": quantized}


def test_two_targets_in_other_units_go_through_all_stages() -> None:
    dataset = dataset_from_arrays(X, VALUES)
    assert isinstance(dataset.task, Regression)
    made = chain(dataset, settings())
    for stage, value in made.items():
        metrics = value.record.metrics
        assert metrics["validation_r2"] > 0.9, stage
        assert "test_accuracy" not in metrics
        whole = [row for row in metrics["test_targets"] if row["samples"] == len(dataset.x_test)]
        # told in the units of the source, where the second target is far wider than the first
        assert whole[1]["rmse"] > 5 * whole[0]["rmse"]
        assert 0 < whole[0]["rmse"] < 1.0
    logits = made["quantized"].model().predict(dataset.x_test, verbose=0)
    truth = VALUES[dataset.split.test]
    error = np.sqrt(np.square(dataset.task.raw(logits) - truth).mean(axis=0))
    rows = made["quantized"].record.metrics["test_targets"]
    found = [row["rmse"] for row in rows if row["samples"] == len(truth)]
    np.testing.assert_allclose(found, error, rtol=1e-3)


def test_the_epoch_with_the_best_r2_is_kept() -> None:
    dataset = dataset_from_arrays(X, VALUES)
    teacher = train_teacher(dense(dataset, 8), dataset, settings().teacher)
    history = teacher.history
    assert history.measure == "r2"
    assert history.quality == ()
    assert history.best_epoch == int(np.argmax(history.validation_quality))
    best = dataset.task.quality(dataset.y_validation, teacher.validation_logits)
    assert max(history.validation_quality) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"distillation": {"form": "bounded"}},
        {
            "distillation": {
                "terms": [{"form": "hint", "weight": 0.1, "teacher_layer": "fc0", "student_layer": "fc0"}]
            }
        },
        {"pruning": {"method": "taylor"}, "quantization": {"self_study_epochs": 2, "co_study_epochs": 2}},
        {"pruning": {"method": "structured"}, "scan": {"method": "hessian"}},
        {"quantization": {"polish": {"epochs": 1, "rounds": 1}}},
        {"distillation": {"alpha": None, "temperature": None, "search": {"epochs": 2, "workers": 1}}},
    ],
    ids=["bounded", "hint", "taylor and QKD", "structured and hessian", "polish", "search"],
)
@pytest.mark.slow
def test_every_way_to_compress_takes_values(changes: dict[str, Any]) -> None:
    dataset = dataset_from_arrays(X, VALUES, target_loss="huber")
    made = chain(dataset, settings(**changes))
    assert made["quantized"].record.metrics["validation_r2"] > 0.9


@pytest.mark.slow
def test_several_labels_go_through_all_stages() -> None:
    labels = (np.stack([X[:, 0] + X[:, 1], X[:, 2], X[:, 3] - X[:, 0]], axis=1) > 0).astype(int)
    dataset = dataset_from_arrays(X, labels, task="multi_label")
    for stage, value in chain(dataset, settings()).items():
        metrics = value.record.metrics
        assert metrics["validation_accuracy"] > 0.88, stage
        assert metrics["test_auc"] > 0.9


@pytest.mark.slow
def test_an_autoencoder_is_distilled_and_judged_by_the_labels_of_anomalies(tmp_path: Path) -> None:
    x, y = anomalies()
    np.savez(tmp_path / "plane.npz", X=x, y=y)
    dataset = load_dataset(tmp_path / "plane.npz", task="reconstruction", label_column="y")
    task = dataset.task
    assert isinstance(task, Reconstruction)
    assert dataset.y_train.shape == (len(dataset.x_train), 5)
    made = chain(dataset, settings(pruning={"sparsity": 0.1}))
    for stage, value in made.items():
        metrics = value.record.metrics
        # two of four features follow the others: ten hidden units reconstruct all of them
        assert metrics["validation_r2"] > 0.9, stage
        assert metrics["test_auc"] > 0.9
        assert "test_targets" not in metrics
    outputs = made["quantized"].model().predict(dataset.x_test, verbose=0)
    labels = dataset.y_test[:, -1]
    errors = task.errors(dataset.y_test, outputs)
    assert errors[labels == 1].mean() > 2 * errors[labels == 0].mean()


def test_a_student_regresses_the_score_of_an_autoencoder() -> None:
    x, y = anomalies()
    dataset = dataset_from_arrays(x, y, task="score")
    narrow = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(2, name="latent"),
            keras.layers.Dense(4),
        ]
    )
    asked = settings(teacher={"epochs": 40})
    teacher = train_teacher(narrow, dataset, asked.teacher)
    assert teacher.train_logits.shape == (len(dataset.x_train), 1)
    # standardised, with what undoes it in the record
    assert abs(teacher.train_logits.mean()) < 1e-4
    assert teacher.train_logits.std() == pytest.approx(1.0, abs=1e-4)
    metrics = teacher.record.metrics
    network = keras.Model(teacher.model.inputs, teacher.model.layers[-2].output)
    error = np.square(network.predict(dataset.x_test, verbose=0) - dataset.x_test).mean(axis=1)
    raw = teacher.test_logits[:, 0] * metrics["score_divisor"] + metrics["score_offset"]
    np.testing.assert_allclose(raw, np.log(error), rtol=1e-3, atol=1e-3)
    assert metrics["test_auc"] > 0.95
    # the labels change nothing that is learnt: with others the student is the same
    students = []
    for labels in (dataset.y_train, 1 - dataset.y_train):
        other = replace(dataset, y_train=labels)
        student = distill_student(dense(dataset, 12), teacher, other, asked.distillation)
        students.append([layer.weights["kernel"] for layer in student.network.weight_layers])
    for one, again in zip(*students, strict=True):
        np.testing.assert_array_equal(one, again)


def test_a_score_that_cannot_be_made_or_judged_is_refused() -> None:
    x, y = anomalies()
    dataset = dataset_from_arrays(x, y, task="score")
    with pytest.raises(
        DataError, match=r"hold no scores to train one output on; let build_teacher return an autoencoder"
    ):
        train_teacher(dense(dataset, 4), dataset, settings().teacher)
    wrong = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(
        DataError, match=r"\(3,\), but the data have one anomaly score; end with Dense\(1\) or Dense\(4\)$"
    ):
        train_teacher(wrong, dataset, settings().teacher)
    asked = settings(quantization={"self_study_epochs": 1})
    with pytest.raises(
        SettingsError, match=r"^quantization.self_study_epochs: the task 'score' is learnt from the teacher"
    ):
        check_study(asked.quantization, dataset.task)
    with pytest.raises(SettingsError, match=r"^teacher.kind: specialists tell groups of classes apart"):
        require_classes(dataset.task)
    with pytest.raises(
        DataError, match=r"test part: all \d+ samples have the label 0; a score is judged by normal"
    ):
        replace(dataset, y_test=np.zeros_like(dataset.y_test))


def test_a_given_teacher_in_the_units_of_the_data_is_scaled_and_one_of_other_targets_refused(
    tmp_path: Path,
) -> None:
    dataset = dataset_from_arrays(X, VALUES)
    rows = np.concatenate([dataset.x_train, np.ones((len(dataset.x_train), 1))], axis=1)
    solution, *_ = np.linalg.lstsq(rows, VALUES[dataset.split.train], rcond=None)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="raw")])
    model.set_weights([solution[:-1], solution[-1]])
    model.save(tmp_path / "raw.keras")
    teacher = load_teacher(tmp_path / "raw.keras", dataset)
    assert teacher.record.metrics["validation_r2"] > 0.8
    (note,) = teacher.record.metrics["notes"]
    assert (
        note
        == "the teacher raw.keras gives its values in the units of the data; they were standardised for the student"
    )
    found = dataset.task.raw(teacher.test_logits)
    np.testing.assert_allclose(found, model.predict(dataset.x_test, verbose=0), rtol=1e-3, atol=1e-2)
    model.set_weights([solution[:-1, ::-1], solution[-1, ::-1]])  # the targets in another order
    model.save(tmp_path / "other.keras")
    with pytest.raises(
        DataError, match=r"and a constant gets 0: it was trained for other targets, another order of them"
    ):
        load_teacher(tmp_path / "other.keras", dataset)


@pytest.mark.parametrize("kind", ["classification", "multi_label", "reconstruction", "heads"])
def test_a_given_teacher_that_knows_nothing_of_the_targets_is_refused(kind: str, tmp_path: Path) -> None:
    """Equal numbers of outputs do not make it one of this task."""
    three = np.argmax(X[:, :3], axis=1)
    labels = (X[:, :3] > 0).astype(int)
    made = {"X": X, "three": three, "labels": labels, "energy": VALUES[:, 0]}
    np.savez(tmp_path / "data.npz", **made)
    heads = {
        "three": HeadChoice("classification", ("three",)),
        "energy": HeadChoice("regression", ("energy",)),
    }
    column = {"classification": "three", "multi_label": "labels"}.get(kind)
    task: Any = heads if kind == "heads" else kind
    dataset = load_dataset(tmp_path / "data.npz", task=task, label_column=column)
    # exact answers: of three classes, of labels, of the features; the last head is a constant
    weights = np.eye(4, dataset.n_outputs)
    right = weights.copy()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(dataset.n_outputs)])
    if kind == "heads":
        slopes = np.linalg.lstsq(dataset.x_train, dataset.y_train[:, -1], rcond=None)[0]
        right[:, -1] = slopes
        wrong, where = right.copy(), "in the head 'energy'"
        wrong[:, -1] = -slopes
    else:
        # of other classes in another order
        wrong, where = right[:, np.roll(np.arange(dataset.n_outputs), 1)], "on the validation part, and"
    model.set_weights([right, np.zeros(dataset.n_outputs)])
    model.save(tmp_path / "right.keras")
    assert load_teacher(tmp_path / "right.keras", dataset).record.metrics
    model.set_weights([wrong, np.zeros(dataset.n_outputs)])
    model.save(tmp_path / "wrong.keras")
    with pytest.raises(DataError, match=where + r".* gets .*: it was trained for other targets"):
        load_teacher(tmp_path / "wrong.keras", dataset)
    if kind == "classification":
        np.save(tmp_path / "wrong.npy", X @ wrong)
        with pytest.raises(DataError, match="trained for other targets"):
            load_logits(tmp_path / "wrong.npy", dataset)


def test_a_teacher_of_rare_classes_is_taken_though_it_never_says_them() -> None:
    rare = (X[:, 0] > 1.9).astype(int)
    dataset = dataset_from_arrays(X, rare)
    timid = np.stack([np.zeros(len(dataset.x_validation)), dataset.x_validation[:, 0] - 9], axis=1)
    require_knowledge(timid.astype(np.float32), "the teacher", dataset)


@pytest.mark.parametrize(
    ("task", "overrides", "sentence"),
    [
        (
            "classification",
            {"distillation.form": "bounded"},
            "distillation.form: 'bounded' is not for classes",
        ),
        (
            "regression",
            {"distillation.form": "decoupled"},
            "distillation.form: 'decoupled' is not for values",
        ),
        (
            "regression",
            {"distillation.terms": [{"form": "decoupled"}]},
            r"distillation.terms\[0\].form: 'decoupled' is not for values",
        ),
        (
            "regression",
            {"distillation.temperature": 3.0},
            "distillation.temperature: 3 softens logits, and the outputs are values; leave it out",
        ),
        ("score", {"quantization.self_study_epochs": 1}, "quantization.self_study_epochs: the task 'score'"),
        (
            "regression",
            {"scan.quality": "accuracy"},
            "scan.quality: 'accuracy' is not for the task 'regression'",
        ),
        (
            "classification",
            {
                "quantization.method": "learned",
                "distillation.terms": [{"form": "hint", "teacher_layer": "dense", "student_layer": "fc"}],
            },
            "quantization.method: learned learns from the teacher's logits, not from layers",
        ),
    ],
)
def test_what_a_task_lacks_is_told_before_any_training(
    task: str, overrides: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    y = VALUES[:, 0] if task == "regression" else (X[:, 0] > 0).astype(int)
    np.savez(tmp_path / "data.npz", X=X, y=y)
    autoencoder = NETWORKS.replace("layers.Dense(n_outputs)])\n\ndef", "layers.Dense(4)])\n\ndef")
    (tmp_path / "networks.py").write_text(autoencoder if task == "score" else NETWORKS)
    values = settings(data={"source": "data.npz", "task": task}).model_dump(mode="json")
    (tmp_path / "design.yaml").write_text(json.dumps(values))
    with pytest.raises(SettingsError, match=sentence):
        run_design(tmp_path, output=tmp_path / "run", overrides=overrides)
    assert not list((tmp_path / "run").glob("teacher*"))


def test_a_teacher_that_knows_the_test_part_is_said() -> None:
    dataset = dataset_from_arrays(X, (X[:, 0] > 0).astype(int))
    fair = {"validation_accuracy": 0.90, "test_accuracy": 0.93}
    assert suspicion(fair, dataset, "it") == ()
    (note,) = suspicion({"validation_accuracy": 0.80, "test_accuracy": 1.0}, dataset, "it")
    assert note.startswith(
        "it reaches accuracy 1.0000 on the test part and 0.8000 on the validation part, more than chance"
    )


def test_a_given_teacher_that_saw_the_test_part_is_said_in_its_record(tmp_path: Path) -> None:
    """Its last feature is the class in the rows of the test part alone: what it has learnt by heart."""
    y = (X[:, 0] > 0).astype(int)
    x = np.c_[X, RANDOM.normal(scale=0.1, size=600)]
    x[dataset_from_arrays(x, y).split.test, -1] = 9 * (2 * y[dataset_from_arrays(x, y).split.test] - 1)
    dataset = dataset_from_arrays(x, y, scaling="none")
    model = dense(dataset)
    kernel = np.zeros((5, 2), np.float32)
    kernel[[0, 1, -1], 1] = 1, 1, 9
    model.set_weights([kernel, np.zeros(2, np.float32)])
    model.save(tmp_path / "cheat.keras")
    notes = load_teacher(tmp_path / "cheat.keras", dataset).record.metrics["notes"]
    assert notes[0].startswith("the teacher cheat.keras reaches accuracy 1.0000 on the test part and 0.7")


def anomalies() -> tuple[np.ndarray, np.ndarray]:
    """Normal samples on a plane, anomalous ones off it."""
    plane = RANDOM.normal(size=(900, 2))
    x = np.concatenate([plane, plane @ np.array([[1.0, 0.5], [-0.5, 1.0]])], axis=1)
    x += RANDOM.normal(scale=0.05, size=x.shape)
    y = (np.arange(900) % 6 == 0).astype(int)
    x[y == 1, 2:] += RANDOM.choice([-2.0, 2.0], (int(y.sum()), 2))
    return x, y


NETWORKS = """
import keras
from keras import layers

def build_teacher(input_shape, n_outputs):
    return keras.Sequential([keras.Input(input_shape), layers.Dense(24, activation="relu"), layers.Dense(n_outputs)])

def build_student(input_shape, n_outputs):
    return keras.Sequential([
        keras.Input(input_shape), layers.Dense(8, activation="relu", name="fc"), layers.Dense(n_outputs, name="out")
    ])
"""

DATA = """
import numpy as np

def make_data(seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(600, 4))
    return {"X": x, "energy": 50 + 10 * x[:, 0] + 5 * np.tanh(x[:, 1]) + random.normal(size=600)}
"""


@pytest.mark.slow
def test_a_regression_of_made_data_runs_to_its_verified_project(tmp_path: Path) -> None:
    design = tmp_path / "energy"
    design.mkdir()
    (design / "networks.py").write_text(NETWORKS)
    (design / "data.py").write_text(DATA)
    values = settings(data={"source": "data.py", "label_column": "energy"}).model_dump(mode="json")
    values["hardware"] |= {"open_rtl": False}
    (design / "design.yaml").write_text(json.dumps(values))
    result = run_design(design, output=tmp_path / "run")
    summary = result.summary
    assert summary is not None
    assert summary["measure"] == "r2"
    rungs = [rung for rung in summary["verification"]["rungs"] if rung["skipped"] is None]
    assert {rung["name"] for rung in rungs} >= {"emulation", "csim"}
    assert not any(rung["mismatches"] for rung in rungs)
    assert {rung["argmax_flips"] for rung in rungs} == {None}
    # the project by itself knows it too
    table = verify_project(tmp_path / "run" / "project" / "hls", rungs=ladder_rungs(["emulation"]))
    assert [rung.argmax_flips for rung in table.rungs] == [None]
    assert set(summary["targets"]) == {"teacher", "quantization"}
    assert read_history(tmp_path / "run" / "student" / "history.json").measure == "r2"
    page = (tmp_path / "run" / "run.html").read_text()
    text = (tmp_path / "run" / "summary.md").read_text()
    for words in ("accuracy", "class changes"):
        assert words not in text
    assert "class changes" not in page
    for title in ("Residuals", "Bias and resolution of energy", "Test r2 by stage"):
        assert title in page
