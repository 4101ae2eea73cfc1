"""Small checks and conversions that every part of the data room shares."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from codesign.errors import DataError


def read_only(array: Any, dtype: Any = None) -> np.ndarray:
    """A read-only view of `array` that nobody else can write through; copy only if needed.

    Parameters
    ----------
    array
        Anything NumPy can turn into an array.
    dtype
        The dtype of the result; the array's own by default.
    """
    array = np.asarray(array, dtype=dtype)
    if not _is_closed(array):
        array = array.copy()
        array.flags.writeable = False
    # a view of a closed array cannot be opened again, its owner could
    return array.view()


def _is_closed(array: np.ndarray) -> bool:
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        if array.base is None:
            return True
        array = array.base
    return False  # memory that belongs to a buffer of unknown mutability


def require_finite(x: np.ndarray, feature_names: Sequence[str], where: str, advice: str) -> None:
    """Refuse NaN and infinity.

    Parameters
    ----------
    x
        Numbers, shape `(n_samples, *features)`.
    feature_names
        One name for each feature, in C order of the feature axes.
    where
        What the message begins with: the file and the array.
    advice
        What the message ends with.

    Raises
    ------
    DataError
        With the number of NaN and of infinite values, and the row and the feature of the first.
    """
    flat = x.reshape(len(x), -1)
    bad = ~np.isfinite(flat)
    if not bad.any():
        return
    row, column = (int(index) for index in np.argwhere(bad)[0])
    missing = int(np.isnan(flat).sum())
    kinds = [(missing, "NaN"), (int(bad.sum()) - missing, "infinite")]
    counts = " and ".join(f"{count} {kind}" for count, kind in kinds if count)
    raise DataError(
        f"{where}: {counts} of {flat.size} values, the first ({flat[row, column]}) at row {row}, "
        f"feature {feature_names[column]!r} (rows counted from 0); {advice}"
    )


def require_shape(shape: Sequence[int], n_features: int, where: str) -> tuple[int, ...]:
    """`shape` as a tuple if it holds exactly `n_features` values.

    Raises
    ------
    DataError
        For a shape that is empty, not positive, or of another size.
    """
    try:
        wanted = tuple(operator.index(length) for length in shape)
    except TypeError:
        wanted = ()
    if not wanted or min(wanted) < 1:
        raise DataError(f"{where}: input_shape must be positive whole numbers like (8, 8, 1), not {shape!r}")
    if math.prod(wanted) != n_features:
        raise DataError(
            f"{where}: input_shape {wanted} holds {math.prod(wanted)} values, but a sample has {n_features}; "
            f"give lengths whose product is {n_features}"
        )
    return wanted


def require_seed(seed: Any) -> int:
    """`seed` as an int from 0 to 2**32 - 1.

    Raises
    ------
    DataError
        For anything else.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise DataError(f"seed must be a whole number from 0 to {2**32 - 1}, not {seed!r}")
    return int(seed)


def require_count(count: Any, name: str) -> int:
    """`count` as an int of at least 1.

    Raises
    ------
    DataError
        For anything else.
    """
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise DataError(f"{name} must be a whole number of at least 1, not {count!r}")
    return int(count)
