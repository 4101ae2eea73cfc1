"""`Dataset`: the value that training, compression and verification take."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codesign.core.files import arrays_digest, json_digest
from codesign.data.arrays import read_only, require_count, require_finite, require_shape
from codesign.data.scaling import Scaling
from codesign.data.split import PARTS, Split, stratified_sample
from codesign.errors import DataError


@dataclass(frozen=True)
class Overlap:
    """How many samples of one part have features equal to some sample of another part.

    Such samples are counted, not refused: measured data repeat themselves. Many of them make the
    validation and test figures too good.
    """

    validation_in_train: int
    test_in_train: int
    test_in_validation: int


@dataclass(frozen=True, eq=False)
class Dataset:
    """Scaled features and labels of a classification task, split once and for all.

    Every array is a read-only view; two datasets are equal if their digests are.

    Parameters
    ----------
    name
        What the data is called.
    x_train, x_validation, x_test
        Scaled features, float32, shape `(n_samples_of_the_part, *input_shape)`, finite.
    y_train, y_validation, y_test
        Class numbers, int64, shape `(n_samples_of_the_part,)`, in `[0, n_classes)`.
    feature_names
        One for each feature, in C order of `input_shape`.
    class_names
        One for each class, all different.
    scaling
        What made the features from the raw ones; fitted on the train part.
    split
        The row of the source behind every sample, in the order of the parts, with the seed and the fractions.

    Raises
    ------
    DataError
        For a shape, a name, a label or a value that does not fit, or a class that the train part lacks.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    scaling: Scaling
    split: Split

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature_names", tuple(self.feature_names))
        object.__setattr__(self, "class_names", tuple(self.class_names))
        for part in PARTS:
            object.__setattr__(self, f"x_{part}", read_only(getattr(self, f"x_{part}"), np.float32))
            self._check_x(part)
            self._check_y(part)
            object.__setattr__(self, f"y_{part}", read_only(getattr(self, f"y_{part}"), np.int64))
        self._check_classes()

    def _check_x(self, part: str) -> None:
        where = f"dataset {self.name!r}: x_{part}"
        x = getattr(self, f"x_{part}")
        if x.ndim < 2 or x.size == 0:
            raise DataError(f"{where} must have shape (samples, features...) and samples, not {x.shape}")
        if x.shape[1:] != self.input_shape:
            raise DataError(f"{where} has samples of shape {x.shape[1:]}, x_train of {self.input_shape}")
        if len(self.feature_names) != self.n_features:
            raise DataError(
                f"{where}: {len(self.feature_names)} feature names for {self.n_features} features; "
                f"give one each"
            )
        require_finite(x, self.feature_names, where, f"not representable after scaling {self.scaling.kind!r}")

    def _check_y(self, part: str) -> None:
        where = f"dataset {self.name!r}: y_{part}"
        y = np.asarray(getattr(self, f"y_{part}"))
        n_samples, n_rows = len(getattr(self, f"x_{part}")), len(getattr(self.split, part))
        if y.dtype.kind not in "iu" or y.ndim != 1:
            raise DataError(
                f"{where} must be whole numbers of shape (samples,), not {y.dtype} of shape {y.shape}"
            )
        if not len(y) == n_samples == n_rows:
            raise DataError(
                f"{where}: {len(y)} labels, {n_samples} samples and {n_rows} rows in the split differ"
            )
        outside = np.flatnonzero((y < 0) | (y >= self.n_classes))
        if len(outside):
            raise DataError(
                f"{where}: label {y[outside[0]]} at row {outside[0]} (counted from 0) is outside "
                f"0 to {self.n_classes - 1} of the {self.n_classes} classes"
            )

    def _check_classes(self) -> None:
        if self.n_classes < 2 or len(set(self.class_names)) != self.n_classes:
            raise DataError(
                f"dataset {self.name!r}: class names must be at least two and all different, "
                f"not {self.class_names!r}"
            )
        present = np.unique(self.y_train)
        if len(present) != self.n_classes:
            absent = [self.class_names[label] for label in np.setdiff1d(np.arange(self.n_classes), present)]
            raise DataError(
                f"dataset {self.name!r}: no sample of class {', '.join(absent)} in the train part; "
                f"every class needs one to be learnt"
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample, for instance `(64,)` or `(8, 8, 1)`."""
        return self.x_train.shape[1:]

    @property
    def n_features(self) -> int:
        """The number of values in one sample."""
        return math.prod(self.input_shape)

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    def part(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the features and labels of `train`, `validation` or `test`.

        Raises
        ------
        DataError
            For any other name.
        """
        if name not in PARTS:
            raise DataError(f"a part is one of {', '.join(PARTS)}, not {name!r}")
        return getattr(self, f"x_{name}"), getattr(self, f"y_{name}")

    @functools.cached_property
    def constant_features(self) -> tuple[str, ...]:
        """Names of the features that never change in the train part: they teach a network nothing."""
        flat = self.x_train.reshape(len(self.x_train), -1)
        constant = np.flatnonzero(flat.min(axis=0) == flat.max(axis=0))
        return tuple(self.feature_names[index] for index in constant)

    @functools.cached_property
    def overlap(self) -> Overlap:
        """Samples with equal features in different parts."""
        train, validation, test = (_row_keys(self.part(name)[0]) for name in PARTS)
        in_train, in_validation = set(train), set(validation)
        return Overlap(
            validation_in_train=sum(key in in_train for key in validation),
            test_in_train=sum(key in in_train for key in test),
            test_in_validation=sum(key in in_validation for key in test),
        )

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of all that a network can learn from: arrays, feature and class names, scaling.

        The name, and the seed and fractions that led to these arrays, are no part of it.
        """
        return json_digest(
            {
                "arrays": arrays_digest(self.part_arrays()),
                "feature_names": self.feature_names,
                "class_names": self.class_names,
                "scaling": self.scaling.to_json(),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        sizes = "/".join(str(len(self.part(name)[1])) for name in PARTS)
        return f"Dataset({self.name!r}, {sizes} samples of {self.input_shape}, {self.n_classes} classes)"

    def calibration(self, count: int, seed: int = 0) -> np.ndarray:
        """Draw a stratified sample of the train part, for ranges and sensitivities.

        Parameters
        ----------
        count
            How many samples; all of the train part if it has fewer.
        seed
            Same seed, same samples.

        Returns
        -------
        numpy.ndarray
            float32, shape `(min(count, n_train), *input_shape)`.
        """
        rows = stratified_sample(self.y_train, require_count(count, "calibration"), seed)
        return read_only(self.x_train[rows])

    def subset(
        self,
        train: int | None = None,
        validation: int | None = None,
        test: int | None = None,
        *,
        seed: int = 0,
    ) -> Dataset:
        """Make a smaller dataset: a stratified sample of each part that is given a size.

        The scaling stays as it is.

        Parameters
        ----------
        train, validation, test
            How many samples at most; all of them if left out.
        seed
            Same seed, same samples.

        Raises
        ------
        DataError
            If the train part would lose a class.
        """
        parts: dict[str, Any] = {}
        rows_of = {}
        for name, count in zip(PARTS, (train, validation, test), strict=True):
            x, y = self.part(name)
            rows = stratified_sample(y, len(y) if count is None else require_count(count, name), seed)
            parts |= {f"x_{name}": x[rows], f"y_{name}": y[rows]}
            rows_of[name] = getattr(self.split, name)[rows]
        return replace(self, **parts, split=replace(self.split, **rows_of))

    def reshaped(self, input_shape: Sequence[int]) -> Dataset:
        """Give the samples another shape, for instance `(8, 8, 1)` for a convolution.

        Raises
        ------
        DataError
            If the shape does not hold exactly the values of a sample.
        """
        shape = require_shape(input_shape, self.n_features, f"dataset {self.name!r}")
        parts: dict[str, Any] = {f"x_{name}": self.part(name)[0].reshape(-1, *shape) for name in PARTS}
        return replace(self, **parts)

    def summary(self) -> dict[str, Any]:
        """Tell what a record says of the data, as plain JSON values."""
        counts = np.bincount(self.y_train, minlength=self.n_classes).tolist()
        return {
            "name": self.name,
            "digest": self.digest,
            "input_shape": list(self.input_shape),
            "samples": {name: len(self.part(name)[1]) for name in PARTS},
            "train_samples_of_class": dict(zip(self.class_names, counts, strict=True)),
            "split": {"seed": self.split.seed, "fractions": list(self.split.fractions)},
            "scaling": self.scaling.kind,
            "constant_features": list(self.constant_features),
            "equal_samples": vars(self.overlap),
        }

    def part_arrays(self) -> dict[str, np.ndarray]:
        """Return the six arrays by name: `x_train`, ..., `y_test`."""
        return {f"{axis}_{name}": getattr(self, f"{axis}_{name}") for axis in "xy" for name in PARTS}


def _row_keys(x: np.ndarray) -> list[bytes]:
    flat = x.reshape(len(x), -1) + np.float32(0)  # -0.0 becomes 0.0, which it equals
    return [row.tobytes() for row in flat]
