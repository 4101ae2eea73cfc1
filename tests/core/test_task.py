"""What targets, outputs and figures of a task are."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.core.task import Classification, Head, Heads, MultiLabel, Reconstruction, Regression
from codesign.errors import DataError

CLASSES = Classification(("a", "b", "c"))
VALUES = Regression(("pt", "mass"))


def test_the_summary_of_the_data_counts_the_targets():
    assert CLASSES.count(np.array([0, 2, 2, 2])) == {"train_samples_of_class": {"a": 1, "b": 0, "c": 3}}
    labels = np.array([[1, 0], [1, 1], [0, 0]], np.float32)
    assert MultiLabel(("x", "y")).count(labels) == {"train_samples_of_class": {"x": 2, "y": 1}}
    fitted = VALUES.fitted(np.array([[1.0, 10.0], [3.0, 30.0]]), "standard")
    assert fitted.offset == (2.0, 20.0)
    assert fitted.divisor == (1.0, 10.0)
    counted = fitted.count(fitted.scaled(np.array([[1.0, 10.0], [3.0, 30.0]])))
    assert counted == {
        "targets": {"pt": {"mean": 2.0, "spread": 1.0}, "mass": {"mean": 20.0, "spread": 10.0}}
    }


def test_the_figures_of_the_test_part_are_named_so():
    targets, outputs = np.array([0, 1, 2, 2]), np.eye(3, dtype=np.float32)[[0, 1, 2, 1]]
    figures = CLASSES.test_figures(targets, outputs)
    assert figures["test_accuracy"] == 0.75
    assert all(name.startswith("test_") for name in figures)
    values = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 6.0]], np.float32)
    found = VALUES.test_figures(values, values)
    assert found["test_r2"] == 1.0
    assert {row["target"] for row in found["test_targets"]} == {"pt", "mass"}
    assert all(row["rmse"] == 0.0 for row in found["test_targets"])


def test_labels_of_which_all_or_none_hold_are_refused_by_name():
    labels = np.array([[1, 0, 1], [1, 1, 0]], np.float32)
    with pytest.raises(DataError, match=r"\bx\b") as caught:
        MultiLabel(("x", "y", "z")).check_train(labels, "y_train")
    assert "y, z" not in str(caught.value)


@pytest.mark.parametrize(
    "targets", [np.zeros(3, np.float32), np.zeros((3, 1), np.float32), np.zeros((3, 2), np.int64)]
)
def test_targets_of_another_shape_or_type_are_refused(targets):
    with pytest.raises(DataError, match=r"y must be numbers of shape \(samples, 2\), not "):
        VALUES.check(targets, "y")
    VALUES.check(np.zeros((3, 2), np.float32), "y")


def test_the_targets_of_a_reconstruction_are_the_features_and_then_the_mark():
    features, marks = np.arange(6.0).reshape(3, 2), np.array([[0.0], [1.0], [0.0]])
    joined = Reconstruction(("u", "v"), labelled=True).with_features(marks, features)
    assert np.array_equal(joined, [[0, 1, 0], [2, 3, 1], [4, 5, 0]])


def test_every_head_has_its_columns_and_outputs():
    heads = Heads(heads=(Head("class", CLASSES), Head("momentum", VALUES), Head("more", Regression(("q",)))))
    placed = [(head.name, columns, outputs) for head, columns, outputs in heads.slices()]
    assert placed == [
        ("class", slice(0, 1), slice(0, 3)),
        ("momentum", slice(1, 3), slice(3, 5)),
        ("more", slice(3, 4), slice(5, 6)),
    ]


def test_the_order_of_labels_is_told_where_they_hold_for_some_samples_only():
    task = MultiLabel(("x", "y", "z"))
    targets = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]], np.float32)
    outputs = np.array([[2, 0, 1], [1, 0, 4], [3, 0, 2], [0, 0, 3]], np.float32)
    assert task.details(targets, outputs) == {"auc": (1.0 + 0.5) / 2}
    assert task.details(targets[:, 1:2], outputs[:, 1:2]) == {}
