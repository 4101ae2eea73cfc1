"""A network from elsewhere is of the data's task and has seen its inputs as they are scaled; weights of samples count."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from learning_tasks import dense

from codesign.cli.sources import read_model
from codesign.compression.scan import scan_bit_widths
from codesign.compression.scan_source import read_student
from codesign.data import Dataset, dataset_from_arrays
from codesign.errors import DataError
from codesign.settings import DistillationSettings, ScanSettings, TeacherSettings, make_design
from codesign.training.distill import distill_student
from codesign.training.given_teacher import outputs_by_scaling, qualities_of
from codesign.training.teacher import load_teacher, train_teacher

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(5, 3, (300, 3)).astype(np.float32)
ENERGY = X @ np.array([2.0, -1.0, 0.5], np.float32) + 30


def linear(
    dataset: Dataset, kernel: np.ndarray, bias: np.ndarray, activation: str | None = None
) -> keras.Model:
    model = keras.Sequential(
        [keras.Input(dataset.input_shape), keras.layers.Dense(len(bias), activation=activation, name="out")]
    )
    model.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return model


def of_raw_inputs(dataset: Dataset) -> keras.Model:
    """Right on the raw features: class 1 where the first exceeds 5."""
    return linear(dataset, np.array([[1.0], [0], [0]]), np.array([-5.0]), "sigmoid")


def test_a_teacher_of_raw_inputs_is_refused_where_the_data_are_scaled(tmp_path):
    y = (X[:, 0] > 5).astype(int)
    scaled, raw = (dataset_from_arrays(X, y, scaling=scaling) for scaling in ("standard", "none"))
    of_raw_inputs(raw).save(tmp_path / "raw.keras")
    with pytest.raises(
        DataError,
        match=r"reaches accuracy 0\.\d+ on the features with the scaling standard and 1\.0000 with none: scale the data",
    ):
        load_teacher(tmp_path / "raw.keras", scaled)
    assert load_teacher(tmp_path / "raw.keras", raw).record.metrics["test_accuracy"] == 1.0
    without_sigmoid = linear(raw, np.array([[1.0], [0], [0]]), np.array([-5.0]))
    found = qualities_of(outputs_by_scaling(without_sigmoid, raw), raw)
    assert next(iter(found.items())) == ("none", 1.0)


def test_a_teacher_of_scaled_inputs_is_refused_where_the_data_are_raw(tmp_path):
    y = (X[:, 0] > X[:, 0].mean()).astype(int)
    raw, scaled = (dataset_from_arrays(X, y, scaling=scaling) for scaling in ("none", "standard"))
    linear(scaled, np.array([[1.0], [0], [0]]), np.array([0.0]), "sigmoid").save(tmp_path / "scaled.keras")
    with pytest.raises(DataError, match=r"with the scaling none and .* with standard"):
        load_teacher(tmp_path / "scaled.keras", raw)


@pytest.mark.parametrize("knows", [True, False])
def test_a_student_that_knows_nothing_of_the_data_is_said_to(knows, tmp_path, capsys):
    y = (X[:, 0] > 5).astype(int)
    raw = dataset_from_arrays(X, y, scaling="none")
    of_raw_inputs(raw).save(tmp_path / "student.keras")
    # labels of another file: a coin's
    np.savez(tmp_path / "d.npz", X=X, y=y if knows else RANDOM.permutation(y))
    settings = make_design({"name": "d", "data": {"source": str(tmp_path / "d.npz")}}).data
    read_model(tmp_path / "student.keras", settings)
    sentence = (
        f"The student {tmp_path / 'student.keras'} knows no more of these data than a guess (accuracy 0."
    )
    assert (sentence in capsys.readouterr().out) is not knows


def test_grey_values_are_tried_divided_by_their_largest():
    grey = np.random.default_rng(3).integers(0, 256, (300, 3))
    grey[:3] = 255
    data = dataset_from_arrays(grey, (grey[:, 0] > 99).astype(int))
    divided = linear(data, np.array([[255.0], [0], [0]]), np.array([-99.5]))
    found = qualities_of(outputs_by_scaling(divided, data), data)
    assert list(found) == ["standard", "none", "minmax", 255.0]
    assert found[255.0] == 1.0
    assert found["none"] < 0.7


def trained_regression(tmp_path, name="energy.keras", **options) -> Dataset:
    dataset = dataset_from_arrays(X, ENERGY)
    solution, *_ = np.linalg.lstsq(
        np.c_[dataset.x_train, np.ones(len(dataset.x_train))], dataset.y_train, rcond=None
    )
    linear(dataset, solution[:3], solution[3], **options).save(tmp_path / name)
    return dataset


def test_a_regression_is_scanned_by_the_variance_that_it_explains(tmp_path):
    dataset = trained_regression(tmp_path)
    result = scan_bit_widths(
        read_student(tmp_path / "energy.keras", dataset), dataset, ScanSettings(tolerance=0.01)
    )
    assert result.float_quality > 0.999
    assert result.quality >= result.float_quality - 0.01
    metrics = result.record.metrics
    assert metrics["validation_r2"] == result.quality
    assert 0 < metrics["test_rmse"] < 0.15 * ENERGY.std()
    assert "test_accuracy" not in metrics


@pytest.mark.parametrize("in_units", [True, False])
def test_a_regression_from_a_file_is_measured_in_its_own_units(in_units, tmp_path, capsys):
    kernel, bias = np.array([[2.0], [-1.0], [0.5]]), np.array([30.0])
    dataset = dataset_from_arrays(X, ENERGY, scaling="none")
    offset, divisor = (0.0, 1.0) if in_units else dataset.task.output_scaling
    linear(dataset, kernel / divisor, (bias - offset) / divisor).save(tmp_path / "energy.keras")
    np.savez(tmp_path / "d.npz", X=X, y=ENERGY)
    settings = make_design({"name": "d", "data": {"source": str(tmp_path / "d.npz")}}).data
    model, read = read_model(tmp_path / "energy.keras", settings)
    assert read.scaling.kind == "none"
    np.testing.assert_allclose(model(read.x_test), read.y_test, atol=1e-3)
    printed = capsys.readouterr().out
    assert ("The outputs are in the units of the data: the targets are not scaled" in printed) is in_units
    assert "The features have the scaling none: r2 1.0000" in printed


@pytest.mark.parametrize("kind", ["multi_label", "reconstruction", "score", "binary"])
def test_trained_networks_of_the_other_tasks_are_scanned(tmp_path, kind):
    """Linear networks that are nearly right: labels, features or a score are read off the features themselves."""
    above = (X > 5).astype(int)
    y = {"multi_label": above, "reconstruction": None}.get(kind, above[:, 0])
    dataset = dataset_from_arrays(X, y, task=kind)
    # 5 is where the labels change, in the scaled features
    middle = dataset.scaling.apply(np.full((1, 3), 5.0, np.float32))[0]
    kernel, bias = {
        "multi_label": (np.eye(3), -middle),
        "reconstruction": (np.eye(3), np.zeros(3)),
    }.get(kind, (np.eye(3)[:, :1], -middle[:1]))
    linear(dataset, kernel, bias).save(tmp_path / "net.keras")
    result = scan_bit_widths(
        read_student(tmp_path / "net.keras", dataset), dataset, ScanSettings(tolerance=0.05)
    )
    assert result.float_quality > 0.99
    assert result.quality >= result.float_quality - 0.05
    assert result.record.metrics[f"validation_{dataset.task.measure}"] == result.quality


def test_a_network_of_another_task_is_refused(tmp_path):
    dataset = trained_regression(tmp_path, activation="sigmoid")
    with pytest.raises(DataError, match="it ends in a sigmoid, which is left out in hardware"):
        read_student(tmp_path / "energy.keras", dataset)
    labels = dataset_from_arrays(X, np.arange(300) % 3)
    with pytest.raises(
        DataError, match=r"the output shape is \(1,\), but the data have 3 classes; end with Dense\(3\)"
    ):
        read_student(tmp_path / "energy.keras", labels)


def test_weights_of_samples_count_in_every_training():
    """Two classes that no feature tells apart: the heavier one is always answered, by teacher and student."""
    x = RANDOM.normal(size=(240, 2))
    y = np.arange(240) % 2
    answers = []
    for heavy in (0, 1):
        weights = np.where(y == heavy, 20.0, 1.0)
        dataset = dataset_from_arrays(x, y, sample_weight=weights)
        teacher = train_teacher(dense(dataset, 4), dataset, TeacherSettings(epochs=12, learning_rate=0.05))
        student = distill_student(
            dense(dataset, 3),
            teacher,
            dataset,
            DistillationSettings(epochs=12, learning_rate=0.05, alpha=1.0),
        )
        logits = student.model().predict(dataset.x_test, verbose=0)
        answers.append((teacher.test_logits.argmax(axis=1).mean(), logits.argmax(axis=1).mean()))
    assert max(answers[0]) < 0.2
    assert min(answers[1]) > 0.8
