"""Checked raw data: what every loader returns, before it is split and scaled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from codesign.data.arrays import require_finite
from codesign.data.labels import encode_labels
from codesign.errors import DataError


@dataclass(frozen=True, eq=False)
class Table:
    """Raw features and class numbers.

    Parameters
    ----------
    x
        Numbers in the units of the source, shape `(n_samples, *features)`, finite and within float32.
    labels
        int64, shape `(n_samples,)`, in `[0, n_classes)`, every class present.
    name
        What the data is called.
    where
        Where it came from, for messages.
    feature_names
        One for each feature, in C order of the feature axes.
    class_names
        One for each class.
    """

    x: np.ndarray
    labels: np.ndarray
    name: str
    where: str
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]


def make_table(
    x: Any,
    y: Any,
    *,
    name: str,
    where: str,
    label_source: str = "y",
    feature_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
) -> Table:
    """Check raw arrays and encode the labels.

    Parameters
    ----------
    x
        Features, shape `(n_samples, *features)`, any real dtype.
    y
        Labels; see `codesign.data.labels.encode_labels`.
    name, where
        As in `Table`.
    label_source
        What the labels are called in the source, for messages.
    feature_names, class_names
        Defaults: `x0`, `x1`, ... and the labels themselves.

    Raises
    ------
    DataError
        For shapes that do not fit together, nothing in it, values that are not finite real numbers within
        float32, or labels that cannot be classes.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.dtype.kind not in "biuf":
        raise DataError(f"{where}: X must be real numbers, not {x.dtype}; convert it to float32")
    if x.ndim < 2:
        raise DataError(f"{where}: X must have shape (samples, features...), not {x.shape}")
    if x.size == 0:
        raise DataError(f"{where}: X is empty, shape {x.shape}; give at least a few samples of every class")
    if y.ndim == 0 or len(y) != len(x):
        count = "no length" if y.ndim == 0 else f"{len(y)} labels"
        raise DataError(
            f"{where}: X has {len(x)} samples but {label_source} has {count}; give one label each"
        )
    names = _feature_names(feature_names, math.prod(x.shape[1:]), where)
    require_finite(x, names, f"{where}: X", "remove or fill these samples")
    largest = np.abs(x.astype(np.float64, copy=False)).max()
    if largest > np.finfo(np.float32).max:
        raise DataError(f"{where}: X holds {largest:g}, beyond float32 (3.4e38); rescale it")
    labels, classes = encode_labels(y, where=f"{where}: {label_source}", class_names=class_names)
    return Table(x=x, labels=labels, name=name, where=where, feature_names=names, class_names=classes)


def _feature_names(names: Sequence[str] | None, n_features: int, where: str) -> tuple[str, ...]:
    if names is None:
        return tuple(f"x{index}" for index in range(n_features))
    names = tuple(str(name) for name in names)
    if len(names) != n_features:
        raise DataError(f"{where}: {len(names)} feature names for {n_features} features; give one name each")
    return names
