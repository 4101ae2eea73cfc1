"""Which task the targets are of: found, asked for, refused."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.core.task import task_from_json
from codesign.data import dataset_from_arrays, load_dataset, read_dataset, save_dataset
from codesign.data.targets import HeadChoice

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(80, 3)).astype(np.float32)
MOMENTUM = 20 + 5 * X[:, 0] + RANDOM.normal(size=80)
LABELS = (X > 0).astype(int)


@pytest.mark.parametrize(
    ("y", "kind", "n_outputs"),
    [
        (np.arange(80) % 3, "classification", 3),
        (np.eye(3)[np.arange(80) % 3], "classification", 3),
        (np.where(X[:, 0] > 0, "signal", "background"), "classification", 2),
        (LABELS, "multi_label", 3),
        (MOMENTUM, "regression", 1),
        (np.c_[MOMENTUM, -MOMENTUM], "regression", 2),
    ],
)
def test_the_task_is_found_where_the_data_leave_no_doubt(y, kind, n_outputs):
    dataset = dataset_from_arrays(X, y)
    assert (dataset.task.kind, dataset.n_outputs) == (kind, n_outputs)
    assert task_from_json(dataset.task.to_json()) == dataset.task


def test_whole_numbers_and_shares_are_asked_for(refusal):
    energy = np.arange(80) % 41
    assert refusal(dataset_from_arrays, X, energy) == (
        "arrays: y holds 41 different whole numbers, which may be classes or a quantity; set data.task to classification "
        "or regression"
    )
    assert dataset_from_arrays(X, energy, task="regression").task.names == ("y",)
    shares = np.c_[X[:, :1] ** 2, 1 - X[:, :1] ** 2] * 0 + 0.5
    assert "set data.task to classification, multi_label or regression" in refusal(
        dataset_from_arrays, X, shares
    )


def test_one_hot_rows_with_a_few_wrong_ones_are_no_labels_of_their_own(refusal):
    wrong = np.eye(3)[np.arange(80) % 3]
    wrong[4] = 0
    assert refusal(dataset_from_arrays, X, wrong) == (
        "arrays: y is one-hot but for 1 of 80 rows, the first at row 4 (counted from 0); remove these samples, or set "
        "data.task: multi_label"
    )


@pytest.mark.parametrize(
    ("y", "options", "sentence"),
    [
        (np.arange(80) % 3, {"target_loss": "huber"}, "data.target_loss: huber is for one regression or reconstruction, and "
         "nothing of the task 'classification' reads it; leave it out"),
        (LABELS, {"target_scaling": "none"}, "data.target_scaling: none is for regressions, and nothing of the task "
         "'multi_label' reads it; leave it out"),
        (MOMENTUM, {"renumber": True}, "data.renumber: true is for labels that are whole numbers, and nothing of the task "
         "'regression' reads it; leave it out"),
    ],
)  # fmt: skip
def test_an_option_that_the_task_does_not_read_is_refused(y, options, sentence, refusal):
    assert refusal(dataset_from_arrays, X, y, **options) == f"arrays: {sentence}"


def test_fractions_of_few_values_are_a_quantity_that_is_said_or_classes_when_asked(refusal):
    half = (np.arange(80) % 2) / 2
    dataset = dataset_from_arrays(X, half)
    (note,) = dataset.notes
    assert note == (
        "y has 2 values only (0, 0.5) and was taken for a quantity: data.task: regression says so; classes they are with "
        "data.task: classification and data.renumber: true"
    )
    assert dataset.task.kind == "regression"
    assert note in dataset.warnings
    assert dataset_from_arrays(X, half, task="regression").notes == ()
    assert dataset_from_arrays(X, MOMENTUM).notes == ()
    classes = dataset_from_arrays(X, half, task="classification", renumber=True)
    assert classes.class_names == ("0.0", "0.5")
    assert "must be whole numbers" in refusal(dataset_from_arrays, X, half, task="classification")
    assert "must be whole numbers" in refusal(
        dataset_from_arrays, X, MOMENTUM, task="classification", renumber=True
    )


def test_targets_are_standardised_on_the_train_part_and_told_in_their_units():
    dataset = dataset_from_arrays(X, MOMENTUM, name="momentum")
    assert (dataset.y_train.dtype, dataset.y_train.shape) == (np.float32, (48, 1))
    np.testing.assert_allclose([dataset.y_train.mean(), dataset.y_train.std()], [0, 1], atol=1e-5)
    np.testing.assert_allclose(
        dataset.task.raw(dataset.y_test)[:, 0], MOMENTUM[dataset.split.test], rtol=1e-5
    )
    details = dataset.task.details(dataset.y_test, dataset.y_test + np.float32(0.1))
    assert details["rmse"] == pytest.approx(0.1 * dataset.task.divisor[0], rel=1e-4)
    assert [row["bias"] for row in details["targets"]] == pytest.approx([details["rmse"]] * 6, rel=1e-3)
    assert sum(row["samples"] for row in details["targets"][1:]) == len(dataset.y_test)
    raw = dataset_from_arrays(X, MOMENTUM, target_scaling="none")
    assert (raw.task.offset, raw.task.divisor) == ((0.0,), (1.0,))


def test_reconstruction_needs_no_targets():
    dataset = dataset_from_arrays(X, None, task="reconstruction")
    assert np.array_equal(dataset.y_train, dataset.x_train)
    assert (dataset.n_outputs, dataset.task.quality(dataset.y_test, dataset.y_test)) == (3, 1.0)


def test_a_score_takes_normal_and_anomalous_samples(refusal):
    dataset = dataset_from_arrays(X, LABELS[:, 0], task="score")
    assert dataset.n_outputs == 1
    assert dataset.task.class_places(1) == {}
    assert "takes 0 for normal and 1 for anomalous samples, not 3 classes" in refusal(
        dataset_from_arrays, X, np.arange(80) % 3, task="score"
    )


def test_heads_by_name(tmp_path, refusal):
    path = tmp_path / "particles.npz"
    np.savez(path, X=X, kind=np.arange(80) % 3, pt=MOMENTUM)
    heads = {
        "kind": HeadChoice("classification", ("kind",)),
        "momentum": HeadChoice("regression", ("pt",), 0.5),
    }
    dataset = load_dataset(path, task=heads)
    assert dataset.task.outputs_sentence == "4 outputs (3 for 'kind', then 1 for 'momentum')"
    assert dataset.y_train.shape == (50, 2)
    assert dataset.task.class_places(4) == {"kind": slice(0, 3)}
    assert set(np.unique(dataset.y_train[:, 0])) == {0, 1, 2}
    assert abs(dataset.y_train[:, 1].mean()) < 1e-5
    assert read_dataset(save_dataset(dataset, tmp_path / "kept.npz")) == dataset
    assert refusal(load_dataset, path, task={"x": HeadChoice("regression", ("energy",))}) == (
        f"{path}: no array energy for the targets among its keys (X, kind, pt)"
    )


@pytest.mark.parametrize(
    ("y", "task", "sentence"),
    [
        (np.where(np.arange(80) == 7, np.nan, MOMENTUM), "regression",
         "arrays: y: 1 of 80 samples have a target that is NaN or infinite, the first at row 7 (counted from 0); "
         "remove or fill these samples"),
        (np.full(80, 2.5), "regression",
         "dataset 'arrays': the target y is the same for every sample of the train part, so that there is nothing to "
         "learn; remove it"),
        (np.arange(80) % 3, "binary",
         "dataset 'arrays': the task 'binary' needs two classes, the data have 3; set data.task: classification"),
        (LABELS * 2, "multi_label",
         f"arrays: y: labels must be 0 or 1, but row {int(np.argmax(LABELS.any(axis=1)))} (counted from 0) holds "
         f"{(LABELS * 2.0)[int(np.argmax(LABELS.any(axis=1)))].tolist()}"),
        (np.c_[LABELS[:, :2], np.ones(80, int)], "multi_label",
         "dataset 'arrays': the label y2 is the same for every sample of the train part; remove it"),
    ],
)  # fmt: skip
def test_targets_that_cannot_be_of_the_task(refusal, y, task, sentence):
    assert refusal(dataset_from_arrays, X, y, task=task) == sentence
