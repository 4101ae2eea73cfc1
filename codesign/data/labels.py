"""Labels of any common encoding to class numbers 0 to n - 1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from codesign.errors import DataError

MANY_CLASSES = 25
"""More different numbers than this may be classes or a quantity: the user must say which."""


def encode_labels(
    y: Any, *, where: str, class_names: Sequence[str] | None = None, renumber: bool = False
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Turn labels into class numbers and class names.

    Whole numbers (of any dtype) must already be 0 to n - 1, unless they are to be numbered anew. Text and bytes are
    encoded in sorted order, by value if every label is a whole number in digits ("9" before "10"). A one-hot row is its
    place.

    Parameters
    ----------
    y
        Labels, shape `(n_samples,)` or `(n_samples, 1)`, or one-hot `(n_samples, n_classes)`.
    where
        What an error begins with: the file and the array or column.
    class_names
        The names of the classes in their order; for text labels this replaces the sorted order.
    renumber
        Number the different numbers in rising order, and call the classes by them: whole ones, or a few fractions (0, 0.5).

    Returns
    -------
    labels, class_names
        Labels int64, shape `(n_samples,)`, in `[0, n_classes)`; names, one for each class.

    Raises
    ------
    DataError
        For missing, fractional or non-contiguous labels, a label that `class_names` lacks, a class without
        samples, a single class, or a dtype that cannot be labels.
    """
    y, columns = _flatten(np.asarray(y), where)
    names = None if class_names is None else tuple(str(name) for name in class_names)
    if names is None and columns:
        # a one-hot column without a 1 is a class without samples, not a class less
        names = tuple(str(number) for number in range(columns))
    if names is not None and len(set(names)) != len(names):
        raise DataError(f"{where}: class names must differ, not {', '.join(names)}; rename one")
    if y.dtype.kind == "O":
        y = _from_objects(y, where)
    if y.dtype.kind in "SU":
        labels, names = _from_text(y, where, names)
    elif y.dtype.kind in "biuf":
        labels = y if renumber and _are_few_fractions(y) else _from_numbers(y, where)
        if renumber:
            values, labels = np.unique(labels, return_inverse=True)
            names = names or tuple(str(value) for value in values)
    else:
        raise DataError(f"{where}: labels must be whole numbers or text, not {y.dtype}")
    found = np.unique(labels)
    if len(found) < 2:
        only = names[found[0]] if names and 0 <= found[0] < len(names) else found[0]
        raise DataError(
            f"{where}: every label is {only!s}; a classifier needs samples of at least two classes"
        )
    if names is None:
        names = tuple(str(number) for number in range(len(found)))
    _check_contiguous(found, names, where)
    return labels, names


def is_one_hot(y: np.ndarray) -> bool:
    """Whether every row of a matrix of numbers holds a single 1, else 0."""
    return y.dtype.kind in "biuf" and bool(np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all())


def _flatten(y: np.ndarray, where: str) -> tuple[np.ndarray, int]:
    """One label for each sample, and how many columns there were if they were one-hot."""
    if y.ndim == 1:
        return y, 0
    if y.ndim == 2 and y.shape[1] == 1:
        return y[:, 0], 0
    if y.ndim != 2:
        raise DataError(f"{where}: labels must have shape (n,) or one-hot (n, classes), not {y.shape}")
    if not is_one_hot(y):
        raise DataError(
            f"{where}: labels of shape {y.shape} must be one-hot (a single 1 in each row, else 0); "
            f"give one class for each sample, or set data.task to multi_label or regression"
        )
    return np.argmax(y, axis=1), y.shape[1]


def _from_objects(y: np.ndarray, where: str) -> np.ndarray:
    """Objects that are all text, all bytes or all numbers, in a plain dtype."""
    # NaN and pandas' NaT differ from themselves; None and pandas' NA are found by name and need no import
    missing = [row for row, value in enumerate(y) if _is_missing(value)]
    if missing:
        raise DataError(_missing_message(where, len(missing), len(y), missing[0]))
    values = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in y]
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=str)
    numbers = (bool, int, float, np.number, np.bool_)
    for row, value in enumerate(values):
        if not isinstance(value, numbers):
            raise DataError(
                f"{where}: labels must be all whole numbers or all text; "
                f"row {row} (counted from 0) holds {value!r} ({type(value).__name__})"
            )
    return np.array(values, dtype=np.float64)


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _from_text(
    y: np.ndarray, where: str, names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    if y.dtype.kind == "S":
        y = np.strings.decode(y, "utf-8", "replace")
    texts, inverse = np.unique(np.strings.strip(y), return_inverse=True)
    if "" in texts:
        empty = np.flatnonzero(inverse == list(texts).index(""))
        raise DataError(_missing_message(where, len(empty), len(y), int(empty[0])))
    clean = [_unwrap_bytes_literal(str(text)) for text in texts]
    if names is None:
        by_value = all(re.fullmatch(r"[+-]?\d+", text) for text in clean)
        names = tuple(sorted(set(clean), key=lambda text: (int(text) if by_value else 0, text)))
    number_of = {name: number for number, name in enumerate(names)}
    for index, text in enumerate(clean):
        if text not in number_of:
            row = int(np.argmax(inverse == index))
            raise DataError(
                f"{where}: label {text!r} at row {row} (counted from 0) is not among the class names "
                f"{', '.join(names)}; add it there or remove its rows"
            )
    return np.array([number_of[text] for text in clean], dtype=np.int64)[inverse], names


def _unwrap_bytes_literal(text: str) -> str:
    """`g` for the text `b'g'`, which is what a column of bytes becomes in a CSV file."""
    wrapped = len(text) > 3 and text[0] == "b" and text[1] in "'\"" and text[-1] == text[1]
    return text[2:-1] if wrapped else text


def _from_numbers(y: np.ndarray, where: str) -> np.ndarray:
    if y.dtype.kind == "f":
        missing = np.flatnonzero(np.isnan(y))
        if len(missing):
            raise DataError(_missing_message(where, len(missing), len(y), int(missing[0])))
        fractional = np.flatnonzero((y != np.round(y)) | (np.abs(y) > 2**53))
        if len(fractional):
            row = int(fractional[0])
            raise DataError(
                f"{where}: labels must be whole numbers, but {len(fractional)} of {len(y)} are not, "
                f"the first ({y[row]}) at row {row} (counted from 0); is this the column of the classes? "
                "For a quantity set data.task: regression"
            )
    return y.astype(np.int64)


def _are_few_fractions(y: np.ndarray) -> bool:
    """Whether numbers are fractions of so few values that they may be classes."""
    few = np.unique(y)
    is_few = y.dtype.kind == "f" and len(few) <= MANY_CLASSES and bool(np.isfinite(few).all())
    return is_few and bool((few != np.round(few)).any())


def _check_contiguous(found: np.ndarray, names: tuple[str, ...], where: str) -> None:
    expected = np.arange(len(names))
    if np.array_equal(found, expected):
        return
    if found[0] >= 0 and found[-1] < len(names):
        empty = [names[number] for number in np.setdiff1d(expected, found)]
        raise DataError(f"{where}: no sample of class {', '.join(empty)}; every class needs samples")
    shown = ", ".join(str(label) for label in found[:8]) + (", ..." if len(found) > 8 else "")
    raise DataError(
        f"{where}: labels must be 0 to {len(names) - 1} without gaps for {len(names)} classes, not {shown}; "
        f"set data.renumber: true to have them numbered in rising order, or renumber them"
    )


def _missing_message(where: str, count: int, total: int, row: int) -> str:
    return (
        f"{where}: {count} of {total} labels are missing, the first at row {row} (counted from 0); "
        f"remove these rows or label them"
    )
