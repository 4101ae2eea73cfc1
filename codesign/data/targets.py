"""From raw target columns to a task and its targets: found where the data leave no doubt, else asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from codesign.core.shown import Brief
from codesign.core.task import (
    Binary,
    Classification,
    Head,
    Heads,
    MultiLabel,
    Reconstruction,
    Regression,
    Score,
    Task,
)
from codesign.core.text_table import counted
from codesign.data.labels import MANY_CLASSES, encode_labels, is_one_hot
from codesign.errors import DataError

TaskName = Literal["auto", "classification", "binary", "multi_label", "regression", "reconstruction", "score"]

_FEW_ROWS = 0.02
"""The part of the rows of one-hot labels that may be wrong, where more are labels that hold beside one another."""


@dataclass(frozen=True)
class HeadChoice:
    """One of several tasks, as it is asked for.

    Parameters
    ----------
    kind
        Its task.
    columns
        The names of its target columns or arrays.
    weight
        Of its loss and its quality.
    loss
        As in `TargetChoice`.
    """

    kind: TaskName
    columns: tuple[str, ...]
    weight: float = 1.0
    loss: Literal["squared", "huber"] = "squared"


@dataclass(frozen=True)
class TargetChoice(Brief):
    """What a user says of the targets.

    Parameters
    ----------
    kind
        The task; ``auto`` finds it where that is safe.
    columns
        The names of the target columns or arrays; empty: found.
    heads
        Several tasks by name, in place of `kind` and `columns`.
    renumber
        Number labels such as 1 to n, -1 and 1, or 0 and 0.5 anew, in rising order.
    scaling
        Of the targets of a regression: ``standard`` or ``none``.
    loss
        Of a regression: ``squared`` or ``huber``.
    """

    kind: TaskName = "auto"
    columns: tuple[str, ...] = ()
    heads: tuple[tuple[str, HeadChoice], ...] = ()
    renumber: bool = False
    scaling: Literal["standard", "none"] = "standard"
    loss: Literal["squared", "huber"] = "squared"

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every column that is asked for by name."""
        return self.columns or tuple(column for _, head in self.heads for column in head.columns)


Columns = Mapping[str, np.ndarray]
"""Target columns or arrays by name, each of shape `(n_samples,)` or `(n_samples, n_values)`."""


def encode_targets(
    columns: Columns,
    choice: TargetChoice,
    x: np.ndarray,
    feature_names: Sequence[str],
    *,
    where: str,
    class_names: Sequence[str] | None = None,
    guessed: bool = False,
) -> tuple[np.ndarray, Task]:
    """Turn raw targets into the numbers of a task.

    Parameters
    ----------
    columns
        The raw targets; may be empty for a task that needs none.
    choice
        What was asked for.
    x
        The raw features, shape `(n_samples, *features)`.
    feature_names
        One for each.
    where
        What an error begins with.
    class_names
        Of the classes or labels, if the source has them.
    guessed
        Whether nothing named the column: then fractions in it are no sign of a regression.

    Returns
    -------
    targets, task
        Class numbers int64 `(n_samples,)`, labels int64 `(n_samples, n_labels)`, or values float64 `(n_samples, n)` in
        the units of the source; and the task, whose scaling is not fitted yet.

    Raises
    ------
    DataError
        For targets that do not fit the task, or could be of more than one.
    """
    if choice.kind == "reconstruction":
        return _reconstruction(columns, choice, x, feature_names, where)
    if choice.heads:
        return _encode_heads(columns, choice, x, feature_names, where)
    if not columns:
        raise DataError(
            f"{where}: no targets; name the column or array of the targets with data.label_column, or set data.task: "
            "reconstruction, which needs none"
        )
    kind = _found(columns, where, class_names, guessed) if choice.kind == "auto" else choice.kind
    label = " and ".join(columns)
    if kind in ("classification", "binary") and len(columns) > 1 and _are_one_hot(columns):
        class_names = class_names or tuple(columns)
        columns = {label: np.stack(list(columns.values()), axis=1)}
    at = f"{where}: {label}"
    if kind == "regression":
        return _values(columns, at, choice.loss)
    if kind == "multi_label":
        return _labels(columns, at, class_names)
    labels, names = encode_labels(
        _single(columns, at, kind), where=at, class_names=class_names, renumber=choice.renumber
    )
    if kind == "score":
        if len(names) != 2:
            raise DataError(
                f"{at}: the task 'score' takes 0 for normal and 1 for anomalous samples, not {len(names)} classes"
            )
        return labels, Score(names)
    return labels, (Binary if kind == "binary" else Classification)(names)


def doubts(choice: TargetChoice, task: Task, targets: np.ndarray) -> tuple[str, ...]:
    """A sentence on each target that was taken for a quantity unasked, and whose few values may be classes.

    Parameters
    ----------
    choice
        What was asked for.
    task, targets
        What `encode_targets` made of it.
    """
    if choice.kind != "auto" or choice.heads or not isinstance(task, Regression):
        return ()
    notes = []
    for name, column in zip(task.names, targets.T, strict=True):
        values = np.unique(column)
        if len(values) <= MANY_CLASSES:
            shown = ", ".join(f"{value:g}" for value in values[:5]) + (", ..." if len(values) > 5 else "")
            notes.append(
                f"{name} has {counted(len(values), 'value')} only ({shown}) and was taken for a quantity: data.task: regression "
                "says so; classes they are with data.task: classification and data.renumber: true"
            )
    return tuple(notes)


def require_read(choice: TargetChoice, task: Task, where: str) -> None:
    """Refuse an option of the targets that nothing of the task reads: `DataError`."""
    of_values = any(isinstance(one, Regression) for one in task.tasks) and not choice.heads
    scaled = any(type(one) is Regression for one in task.tasks)
    of_labels = any(
        one.labelled
        if isinstance(one, Reconstruction)
        else one.whole_targets and not isinstance(one, MultiLabel)
        for one in task.tasks
    )
    for option, unread, of in (
        (
            "target_loss: huber",
            choice.loss != "squared" and not of_values,
            "one regression or reconstruction",
        ),
        ("target_scaling: none", choice.scaling != "standard" and not scaled, "regressions"),
        ("renumber: true", choice.renumber and not of_labels, "labels that are whole numbers"),
    ):
        if unread:
            raise DataError(
                f"{where}: data.{option} is for {of}, and nothing of the task {task.kind!r} reads it; leave it out"
            )


def _encode_heads(
    columns: Columns, choice: TargetChoice, x: np.ndarray, feature_names: Sequence[str], where: str
) -> tuple[np.ndarray, Task]:
    heads, arrays = [], []
    for name, head in choice.heads:
        missing = [column for column in head.columns if column not in columns]
        if missing:
            raise DataError(
                f"{where}: the head {name!r} needs {', '.join(missing)}; the data have {', '.join(columns)}"
            )
        own = {column: columns[column] for column in head.columns}
        part = TargetChoice(
            head.kind, head.columns, renumber=choice.renumber, scaling=choice.scaling, loss=head.loss
        )
        targets, task = encode_targets(own, part, x, feature_names, where=where)
        heads.append(Head(name, task, head.weight))
        arrays.append(targets.reshape(len(targets), -1).astype(np.float64))
    return np.concatenate(arrays, axis=1), Heads(heads=tuple(heads))


def _reconstruction(
    columns: Columns, choice: TargetChoice, x: np.ndarray, feature_names: Sequence[str], where: str
) -> tuple[np.ndarray, Task]:
    """The labels of anomalies, where a column of them is named: the scaled features are put before them later."""
    if not choice.columns:
        return np.zeros((len(x), 0)), Reconstruction(tuple(feature_names), loss=choice.loss)
    label = _single(columns, where, "reconstruction")
    anomalous, names = encode_labels(label, where=f"{where}: {choice.columns[0]}", renumber=choice.renumber)
    if len(names) > 2:
        raise DataError(
            f"{where}: {choice.columns[0]} must be 0 for normal and 1 for anomalous samples, not {len(names)} classes; leave "
            "out label_column to reconstruct all samples alike"
        )
    task = Reconstruction(tuple(feature_names), loss=choice.loss, labelled=True)
    return anomalous[:, None].astype(np.float64), task


def _found(columns: Columns, where: str, class_names: Sequence[str] | None, guessed: bool) -> TaskName:
    """The task that the targets leave no doubt of; `DataError` asks for it otherwise."""
    if len(columns) > 1:
        if _are_one_hot(columns):
            return "classification"
        return (
            "regression" if all(_fractional(array) for array in columns.values()) else _asked(columns, where)
        )
    ((name, array),) = columns.items()
    array = np.asarray(array)
    if array.dtype.kind not in "biuf" or (class_names is not None and array.ndim == 1):
        return "classification"
    if array.ndim == 2 and array.shape[1] > 1:
        if is_one_hot(array):
            return "classification"
        if np.isin(array, (0, 1)).all():
            other = np.flatnonzero(array.sum(axis=1) != 1)
            if len(other) <= _FEW_ROWS * len(array):
                raise DataError(
                    f"{where}: {name} is one-hot but for {len(other)} of {len(array)} rows, the first at row {other[0]} "
                    "(counted from 0); remove these samples, or set data.task: multi_label"
                )
            return "multi_label"
        shares = (array >= 0).all() and np.allclose(array.sum(axis=1), 1, atol=1e-4)
        return _asked(columns, where) if shares or not _fractional(array) else "regression"
    if array.ndim > 2 or not len(array) or np.isnan(array.astype(np.float64)).any():
        return "classification"  # refused there, in a sentence
    if _fractional(array):
        return "classification" if guessed else "regression"
    values = np.unique(array)
    if len(values) > MANY_CLASSES:
        raise DataError(
            f"{where}: {name} holds {len(values)} different whole numbers, which may be classes or a quantity; "
            "set data.task to classification or regression"
        )
    return "classification"


def _are_one_hot(columns: Columns) -> bool:
    """Whether columns are the places of one-hot labels, named after the classes."""
    arrays = [np.asarray(array) for array in columns.values()]
    return all(a.ndim == 1 and a.dtype.kind in "biuf" for a in arrays) and is_one_hot(
        np.stack(arrays, axis=1)
    )


def _asked(columns: Columns, where: str) -> TaskName:
    raise DataError(
        f"{where}: {' and '.join(columns)} may be classes, labels or quantities; set data.task to classification, "
        "multi_label or regression"
    )


def _fractional(array: np.ndarray) -> bool:
    array = np.asarray(array)
    return array.dtype.kind == "f" and bool((np.isfinite(array) & (array != np.round(array))).any())


def _single(columns: Columns, where: str, kind: str) -> np.ndarray:
    if len(columns) > 1:
        raise DataError(
            f"{where}: the task {kind!r} has one column of labels, not {len(columns)}; name one, or columns of 0 and a single 1 "
            "in each row"
        )
    return next(iter(columns.values()))


def _stacked(columns: Columns, where: str) -> tuple[np.ndarray, list[str]]:
    """All columns side by side as float64, and a name for each."""
    arrays, names = [], []
    for name, array in columns.items():
        array = np.asarray(array)
        if array.dtype.kind == "O":
            with contextlib.suppress(TypeError, ValueError):  # refused below
                array = array.astype(np.float64)
        if array.dtype.kind not in "biuf" or array.ndim not in (1, 2):
            raise DataError(
                f"{where}: targets must be numbers of shape (samples,) or (samples, targets), not {array.dtype} of "
                f"shape {array.shape}"
            )
        wide = array.reshape(len(array), -1).astype(np.float64)
        names += [name] if wide.shape[1] == 1 else [f"{name}{index}" for index in range(wide.shape[1])]
        arrays.append(wide)
    return np.concatenate(arrays, axis=1), names


def _values(columns: Columns, where: str, loss: str) -> tuple[np.ndarray, Task]:
    values, names = _stacked(columns, where)
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = (int(index) for index in np.argwhere(bad)[0])
        which = f", {names[column]!r}" if len(names) > 1 else ""
        raise DataError(
            f"{where}: {int(bad.any(axis=1).sum())} of {len(values)} samples have a target that is NaN or infinite, the "
            f"first at row {row} (counted from 0){which}; remove or fill these samples"
        )
    if np.abs(values).max(initial=0) > np.finfo(np.float32).max:
        raise DataError(f"{where}: a target is beyond float32 (3.4e38); rescale it")
    return values, Regression(tuple(names), loss=loss)


def _labels(columns: Columns, where: str, class_names: Sequence[str] | None) -> tuple[np.ndarray, Task]:
    values, names = _stacked(columns, where)
    if not np.isin(values, (0, 1)).all():
        row = int(np.argmax((~np.isin(values, (0, 1))).any(axis=1)))
        raise DataError(
            f"{where}: labels must be 0 or 1, but row {row} (counted from 0) holds {values[row].tolist()}"
        )
    if class_names is not None:
        if len(class_names) != len(names):
            raise DataError(
                f"{where}: {counted(len(class_names), 'class name')} for {counted(len(names), 'label')}; give one name each"
            )
        names = [str(name) for name in class_names]
    return values.astype(np.int64), MultiLabel(tuple(names))
