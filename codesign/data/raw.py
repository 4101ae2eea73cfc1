"""Raw data: what every reader returns, before it is checked, split and scaled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codesign.core.ports import Port
from codesign.core.shown import Brief
from codesign.core.task import Task
from codesign.core.text_table import counted
from codesign.data.arrays import require_finite
from codesign.data.targets import TargetChoice, encode_targets, require_read
from codesign.errors import DataError

OWN_PARTS = ("train", "validation", "test")

_ENOUGH = 20
"""Samples from which on a feature that tells the target of each is no chance."""


@dataclass(frozen=True, eq=False)
class RawData(Brief):
    """Features and target columns as a source has them.

    Parameters
    ----------
    x
        Numbers in the units of the source, shape `(n_samples, *features)`.
    columns
        The target columns or arrays by name.
    name
        What the data is called.
    where
        Where it came from, for messages.
    feature_names
        One for each feature, in C order of the feature axes; ``None``: ``x0``, ``x1``, ...
    class_names
        ``None`` if the source has none.
    weights
        Of each sample, ``None`` if the source has none.
    parts
        How many samples of each of the user's own parts there are, which follow each other in the order of
        `OWN_PARTS`; empty where the split is to be drawn.
    guessed
        Whether nothing named the target column: the last one was taken.
    notes
        What was not read.
    inputs
        Of several inputs, which stand side by side in `x`, their names and shapes; empty for one.
    """

    x: np.ndarray
    columns: Mapping[str, np.ndarray]
    name: str
    where: str
    feature_names: Sequence[str] | None = None
    class_names: Sequence[str] | None = None
    weights: np.ndarray | None = None
    parts: Mapping[str, int] = field(default_factory=dict)
    guessed: bool = False
    notes: tuple[str, ...] = ()
    inputs: tuple[Port, ...] = ()


@dataclass(frozen=True, eq=False)
class CheckedData(Brief):
    """Raw data that can be split.

    Parameters
    ----------
    raw
        As it was read.
    x
        Finite and within float32.
    targets
        In the form of the task, values in the units of the source.
    task
        The task, whose scaling is not fitted yet.
    feature_names
        One for each feature.
    weights
        float64 above 0, or ``None``.
    """

    raw: RawData
    x: np.ndarray
    targets: np.ndarray
    task: Task
    feature_names: tuple[str, ...]
    weights: np.ndarray | None


def check(raw: RawData, choice: TargetChoice) -> CheckedData:
    """Check raw data and encode the targets.

    Raises
    ------
    DataError
        For shapes that do not fit together, nothing in it, values that are not finite real numbers within
        float32, repeated names, weights that cannot be, or targets that do not fit the task.
    """
    where, x = raw.where, np.asarray(raw.x)
    if x.dtype.kind not in "biuf":
        raise DataError(f"{where}: X must be real numbers, not {x.dtype}; convert it to float32")
    if x.ndim < 2:
        raise DataError(f"{where}: X must have shape (samples, features...), not {x.shape}")
    if x.size == 0:
        raise DataError(f"{where}: X is empty, shape {x.shape}; give at least a few samples of every class")
    columns = {name: np.asarray(array) for name, array in raw.columns.items()}
    for name, array in columns.items():
        if array.ndim == 0 or len(array) != len(x):
            count = "no length" if array.ndim == 0 else counted(len(array), "label")
            raise DataError(
                f"{where}: X has {counted(len(x), 'sample')} but {name} has {count}; give one label each"
            )
    given = raw.feature_names
    if given is None and raw.inputs:
        given = [f"{port.name}[{index}]" for port in raw.inputs for index in range(port.size)]
    names = _feature_names(given, math.prod(x.shape[1:]), where)
    require_finite(x, names, f"{where}: X", "remove or fill these samples")
    largest = np.abs(x.astype(np.float64, copy=False)).max()
    if largest > np.finfo(np.float32).max:
        raise DataError(f"{where}: X holds {largest:g}, beyond float32 (3.4e38); rescale it")
    targets, task = encode_targets(
        columns, choice, x, names, where=where, class_names=raw.class_names, guessed=raw.guessed
    )
    require_read(choice, task, where)
    _require_no_target_in_features(x, targets, task, names, where)
    return CheckedData(raw, x, targets, task, names, _weights(raw.weights, len(x), where))


def _require_no_target_in_features(
    x: np.ndarray, targets: np.ndarray, task: Task, names: tuple[str, ...], where: str
) -> None:
    """Refuse a feature that is the target under another name, as a table has whose columns stand in it twice."""
    if not task.needs_targets or len(x) < _ENOUGH:
        return
    flat, wide = x.reshape(len(x), -1), targets.reshape(len(targets), -1)
    same = np.zeros(flat.shape[1], dtype=bool)
    for column in wide.T:
        if np.ptp(column):
            same |= (flat == column[:, None]).all(axis=0)
    if task.has_classes:
        # by any numbers: one value a class, and another for each
        of_class = [flat[targets == label] for label in np.unique(targets)]
        lows, highs = (np.array([edge(part, axis=0) for part in of_class]) for edge in (np.min, np.max))
        apart = (np.diff(np.sort(lows, axis=0), axis=0) != 0).all(axis=0)
        same |= (lows == highs).all(axis=0) & apart
    if same.any():
        found = ", ".join(names[index] for index in np.flatnonzero(same)[:4])
        raise DataError(
            f"{where}: the feature {found} tells the target of all {len(x)} samples: a network would learn to copy it; "
            "remove it from the features"
        )


def _weights(weights: Any, n_samples: int, where: str) -> np.ndarray | None:
    if weights is None:
        return None
    weights = np.asarray(weights)
    if weights.dtype.kind not in "biuf" or weights.shape not in ((n_samples,), (n_samples, 1)):
        raise DataError(
            f"{where}: the weights must be one number for each of the {n_samples} samples, not {weights.dtype} of "
            f"shape {weights.shape}"
        )
    weights = weights.reshape(-1).astype(np.float64)
    bad = ~(np.isfinite(weights) & (weights > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{where}: {int(bad.sum())} of {n_samples} weights are not above 0 and finite, the first ({weights[row]}) at "
            f"row {row} (counted from 0); remove these samples"
        )
    return weights


def _feature_names(names: Sequence[str] | None, n_features: int, where: str) -> tuple[str, ...]:
    if names is None:
        return tuple(f"x{index}" for index in range(n_features))
    names = tuple(str(name) for name in names)
    if len(names) != n_features:
        raise DataError(
            f"{where}: {counted(len(names), 'feature name')} for {counted(n_features, 'feature')}; give one name each"
        )
    repeated = (
        sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    )
    if repeated:
        raise DataError(
            f"{where}: feature names are repeated ({', '.join(repeated[:8])}); give each feature its own"
        )
    return names


def joined(pieces: Mapping[str, RawData], name: str, where: str) -> RawData:
    """The user's own parts as one source, one after another.

    Parameters
    ----------
    pieces
        By part: ``train``, perhaps ``validation``, and ``test``.
    name, where
        As in `RawData`.

    Raises
    ------
    DataError
        For parts that are missing, or that differ in their features, targets or weights.
    """
    for part in ("train", "test"):
        if part not in pieces:
            raise DataError(
                f"{where}: no {part} part among {', '.join(pieces)}; give it, or one part to be split"
            )
    ordered = {part: pieces[part] for part in OWN_PARTS if part in pieces}
    first = pieces["train"]
    for part, piece in ordered.items():
        ours, theirs = (
            None if one.feature_names is None else list(one.feature_names) for one in (piece, first)
        )
        if ours is not None and theirs is not None and ours != theirs:
            other = sorted(set(ours) ^ set(theirs)) or ["the same in another order"]
            raise DataError(
                f"{where}: the {part} part has other features than the train part ({', '.join(other[:8])}); give "
                "all parts the same columns in the same order"
            )
        if piece.inputs != first.inputs:
            has, wants = (
                ", ".join(f"{port.name} {port.shape}" for port in one.inputs) for one in (piece, first)
            )
            raise DataError(
                f"{where}: the {part} part has the inputs {has}, the train part {wants}; give all parts the same"
            )
        if np.shape(piece.x)[1:] != np.shape(first.x)[1:]:
            raise DataError(
                f"{where}: the {part} part has samples of shape {np.shape(piece.x)[1:]}, the train part of "
                f"{np.shape(first.x)[1:]}; give all parts the same features"
            )
        sizes = {**piece.columns, **({} if piece.weights is None else {"the weights": piece.weights})}
        for column, values in sizes.items():
            if np.shape(values)[:1] != (len(piece.x),):
                raise DataError(
                    f"{where}: the {part} part has {counted(len(piece.x), 'sample')} but {counted(np.size(values, 0), 'row')} of "
                    f"{column}; give one for each sample"
                )
        same = {
            "targets": tuple(piece.columns) == tuple(first.columns),
            "weights": (piece.weights is None) == (first.weights is None),
        }
        for what, agrees in same.items():
            if not agrees:
                raise DataError(
                    f"{where}: the {part} part has other {what} than the train part; give all parts the same"
                )
    pieces_of = list(ordered.values())
    weights = None if first.weights is None else np.concatenate([np.asarray(p.weights) for p in pieces_of])
    for column in first.columns:
        if len({np.shape(piece.columns[column])[1:] for piece in pieces_of}) > 1:
            raise DataError(f"{where}: {column} has another shape in another part; give all parts the same")
    return RawData(
        np.concatenate([piece.x for piece in pieces_of]),
        {c: np.concatenate([np.asarray(piece.columns[c]) for piece in pieces_of]) for c in first.columns},
        name,
        where,
        first.feature_names,
        next((piece.class_names for piece in pieces_of if piece.class_names is not None), None),
        weights,
        {part: len(piece.x) for part, piece in ordered.items()},
        first.guessed,
        tuple(dict.fromkeys(note for piece in pieces_of for note in piece.notes)),
        first.inputs,
    )
