from __future__ import annotations

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.data.labels import encode_labels

LETTERS = ["g", "z", "g", "q", "t", "w"]


def encode(y, **options):
    labels, names = encode_labels(y, where="jets.csv: y", **options)
    assert labels.dtype == np.int64
    return labels.tolist(), names


@pytest.mark.parametrize(
    "y",
    [
        np.array(LETTERS),
        np.array(LETTERS, dtype=object),
        np.array(LETTERS, dtype="S1"),
        np.array([letter.encode() for letter in LETTERS], dtype=object),
        pandas.Categorical(LETTERS, categories=["w", "g", "q", "z", "t"]),
        pandas.Series(LETTERS, dtype="string"),
        np.array([f"b'{letter}'" for letter in LETTERS]),
        np.array([f" {letter} " for letter in LETTERS]),
        np.array(LETTERS).reshape(-1, 1),
    ],
    ids=["text", "objects", "bytes", "bytes objects", "categorical", "pandas", "b''", "spaces", "column"],
)
def test_every_form_of_text_is_encoded_in_sorted_order(y):
    assert encode(y) == ([0, 4, 0, 1, 2, 3], ("g", "q", "t", "w", "z"))


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.float32, np.float64, object])
def test_every_form_of_whole_numbers_stays_as_it_is(dtype):
    assert encode(np.array([0, 2, 1, 2], dtype=dtype)) == ([0, 2, 1, 2], ("0", "1", "2"))


def test_booleans_and_one_hot_rows():
    assert encode(np.array([True, False])) == ([1, 0], ("0", "1"))
    assert encode(np.eye(3)[[2, 0, 1]]) == ([2, 0, 1], ("0", "1", "2"))


def test_numbers_written_as_text_are_ordered_by_value():
    assert encode(np.array(["10", "9", "-1"])) == ([2, 1, 0], ("-1", "9", "10"))


def test_class_names_give_the_order():
    names = ["g", "q", "w", "z", "t"]
    assert encode(LETTERS, class_names=names) == ([0, 3, 0, 1, 4, 2], tuple(names))


@given(st.lists(st.text("abcdef", min_size=1), min_size=2).filter(lambda texts: len(set(texts)) > 1))
def test_names_of_the_numbers_are_the_labels_again(texts):
    labels, names = encode(np.array(texts, dtype=object))
    assert [names[label] for label in labels] == texts
    assert list(names) == sorted(set(texts))


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (
            [1, 2, 3],
            "labels must be 0 to 2 without gaps for 3 classes, not 1, 2, 3; "
            "set data.renumber: true to have them numbered in rising order, or renumber them",
        ),
        (
            [0, 5, -1],
            "labels must be 0 to 2 without gaps for 3 classes, not -1, 0, 5; "
            "set data.renumber: true to have them numbered in rising order, or renumber them",
        ),
        (
            [0.0, 1.0, 0.25, 0.5],
            "labels must be whole numbers, but 2 of 4 are not, the first (0.25) at row 2 (counted from 0); "
            "is this the column of the classes? For a quantity set data.task: regression",
        ),
        (
            [0.0, float("nan"), 1.0],
            "1 of 3 labels are missing, the first at row 1 (counted from 0); remove these rows or label them",
        ),
        (
            [0.0, float("inf")],
            "labels must be whole numbers, but 1 of 2 are not, the first (inf) at row 1 (counted from 0); "
            "is this the column of the classes? For a quantity set data.task: regression",
        ),
        (
            np.array(["g", None, "q", pandas.NA], dtype=object),
            "2 of 4 labels are missing, the first at row 1 (counted from 0); remove these rows or label them",
        ),
        (
            ["g", "", "q", " "],
            "2 of 4 labels are missing, the first at row 1 (counted from 0); remove these rows or label them",
        ),
        (
            np.array(["g", 1], dtype=object),
            "labels must be all whole numbers or all text; row 0 (counted from 0) holds 'g' (str)",
        ),
        ([0, 0, 0], "every label is 0; a classifier needs samples of at least two classes"),
        (["g", "g"], "every label is g; a classifier needs samples of at least two classes"),
        (np.array([1j, 0]), "labels must be whole numbers or text, not complex128"),
        (np.zeros((2, 2, 2)), "labels must have shape (n,) or one-hot (n, classes), not (2, 2, 2)"),
        (
            np.array([[0.5, 0.5], [1, 0]]),
            "labels of shape (2, 2) must be one-hot (a single 1 in each row, else 0); "
            "give one class for each sample, or set data.task to multi_label or regression",
        ),
    ],
)
def test_labels_that_cannot_be_classes(refusal, y, sentence):
    assert refusal(encode_labels, y, where="jets.csv: y") == f"jets.csv: y: {sentence}"


@pytest.mark.parametrize(
    ("y", "class_names", "sentence"),
    [
        (
            ["g", "x"],
            ["g", "q"],
            "label 'x' at row 1 (counted from 0) is not among the class names g, q; "
            "add it there or remove its rows",
        ),
        ([0, 2], ["g", "q", "w"], "no sample of class q; every class needs samples"),
        (["g", "q"], ["g", "q", "w"], "no sample of class w; every class needs samples"),
        (
            [0, 1, 2],
            ["g", "q"],
            "labels must be 0 to 1 without gaps for 2 classes, not 0, 1, 2; "
            "set data.renumber: true to have them numbered in rising order, or renumber them",
        ),
        ([0, 1], ["g", "g"], "class names must differ, not g, g; rename one"),
    ],
)
def test_labels_that_do_not_fit_their_class_names(refusal, y, class_names, sentence):
    assert refusal(encode_labels, y, where="f", class_names=class_names) == f"f: {sentence}"
