"""`Dataset`: the value that training, compression and verification take."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.core.files import arrays_digest, json_digest
from codesign.core.ports import Port, row_shape
from codesign.core.shown import Shown
from codesign.core.task import Task
from codesign.core.text_table import TextTable, counted
from codesign.data.arrays import read_only, require_count, require_finite, require_shape
from codesign.data.scaling import Scaling
from codesign.data.split import PARTS, Split, strata_of, stratified_sample
from codesign.errors import DataError

if TYPE_CHECKING:
    from pandas import DataFrame

_FEW = 30
"""Samples of a part below which its figures say little."""

_REPEATED = 0.01
"""The share of a part that may repeat another part without a word."""


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
class Dataset(Shown):
    """Scaled features and targets of a task, split once and for all.

    Every array is a read-only view; two datasets are equal if their digests are.

    Parameters
    ----------
    name
        What the data is called.
    x_train, x_validation, x_test
        Scaled features, float32, shape `(n_samples_of_the_part, *input_shape)`, finite.
    y_train, y_validation, y_test
        Targets in the form of the task: class numbers, int64, shape `(n_samples_of_the_part,)`; labels, int64, or
        scaled values, float32, shape `(n_samples_of_the_part, n_columns)`.
    feature_names
        One for each feature, in C order of `input_shape`.
    task
        What the targets are and how outputs are judged; knows the names of the classes.
    scaling
        What made the features from the raw ones; fitted on the train part.
    split
        The row of the source behind every sample, in the order of the parts, with the seed and the fractions.
    weights_train, weights_validation
        How much each sample counts in the loss, float32 above 0, mean 1 over the train part; ``None`` for all alike.
    notes
        What the loader has to say: arrays that were not read, samples that repeat.
    inputs
        Names and shapes of several inputs, which stand side by side in the features (see `codesign.core.ports`); empty
        for one.

    Raises
    ------
    DataError
        For a shape, a name, a target or a value that does not fit, or a train part that cannot teach the task.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    feature_names: tuple[str, ...]
    task: Task
    scaling: Scaling
    split: Split
    weights_train: np.ndarray | None = None
    weights_validation: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    inputs: tuple[Port, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature_names", tuple(self.feature_names))
        target_type = np.int64 if self.task.whole_targets else np.float32
        for part in PARTS:
            object.__setattr__(self, f"x_{part}", read_only(getattr(self, f"x_{part}"), np.float32))
            self._check_x(part)
            self._check_y(part)
            object.__setattr__(self, f"y_{part}", read_only(getattr(self, f"y_{part}"), target_type))
        for part in ("train", "validation"):
            self._check_weights(part)
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if self.inputs and self.input_shape != row_shape(self.inputs):
            raise DataError(
                f"dataset {self.name!r}: samples have shape {self.input_shape}, not that of the inputs "
                f"{', '.join(f'{port.name} {port.shape}' for port in self.inputs)} side by side, {row_shape(self.inputs)}"
            )
        self.task.check_train(self.y_train, f"dataset {self.name!r}")
        for part in ("validation", "test"):
            self.task.check_judged(getattr(self, f"y_{part}"), f"dataset {self.name!r}, {part} part")

    def _check_x(self, part: str) -> None:
        where = f"dataset {self.name!r}: x_{part}"
        x = getattr(self, f"x_{part}")
        if x.ndim < 2 or x.size == 0:
            raise DataError(f"{where} must have shape (samples, features...) and samples, not {x.shape}")
        if x.shape[1:] != self.input_shape:
            raise DataError(f"{where} has samples of shape {x.shape[1:]}, x_train of {self.input_shape}")
        if len(self.feature_names) != self.n_features:
            raise DataError(
                f"{where}: {counted(len(self.feature_names), 'feature name')} for {counted(self.n_features, 'feature')}; "
                f"give one each"
            )
        require_finite(x, self.feature_names, where, f"not representable after scaling {self.scaling.kind!r}")

    def _check_y(self, part: str) -> None:
        where = f"dataset {self.name!r}: y_{part}"
        y = np.asarray(getattr(self, f"y_{part}"))
        n_samples, n_rows = len(getattr(self, f"x_{part}")), len(getattr(self.split, part))
        self.task.check(y, where)
        if not len(y) == n_samples == n_rows:
            raise DataError(
                f"{where}: {counted(len(y), 'label')}, {counted(n_samples, 'sample')} and {counted(n_rows, 'row')} in the "
                "split differ"
            )

    def _check_weights(self, part: str) -> None:
        weights = getattr(self, f"weights_{part}")
        if weights is None:
            return
        weights = read_only(weights, np.float32)
        if weights.shape != (len(getattr(self, f"x_{part}")),) or not (weights > 0).all():
            raise DataError(
                f"dataset {self.name!r}: weights_{part} must be one number above 0 for each of the "
                f"{len(getattr(self, f'x_{part}'))} samples"
            )
        object.__setattr__(self, f"weights_{part}", weights)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample, for instance `(64,)` or `(8, 8, 1)`."""
        return self.x_train.shape[1:]

    @property
    def sample_shape(self) -> tuple[int, ...] | dict[str, tuple[int, ...]]:
        """What networks are built for: the shape of one sample, or the shapes of several inputs by name."""
        return {port.name: port.shape for port in self.inputs} if self.inputs else self.input_shape

    @property
    def n_features(self) -> int:
        """The number of values in one sample."""
        return math.prod(self.input_shape)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the task's classes, labels or targets."""
        return self.task.names

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def n_outputs(self) -> int:
        """How many outputs a student of the task has."""
        return self.task.n_outputs

    def part(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The features and labels of `train`, `validation` or `test`.

        Raises
        ------
        DataError
            For any other name.
        """
        if name not in PARTS:
            raise DataError(f"a part is one of {', '.join(PARTS)}, not {name!r}")
        return getattr(self, f"x_{name}"), getattr(self, f"y_{name}")

    def weighted(self, part: str, x: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, ...]:
        """Inputs and targets of `train` or `validation` for a training, with the samples' weights if there are any."""
        weights = getattr(self, f"weights_{part}")
        return (x, targets) if weights is None else (x, targets, weights)

    @functools.cached_property
    def constant_features(self) -> tuple[str, ...]:
        """Names of the features that never change in the train part: they teach a network nothing."""
        flat = self.x_train.reshape(len(self.x_train), -1)
        constant = np.flatnonzero(flat.min(axis=0) == flat.max(axis=0))
        return tuple(self.feature_names[index] for index in constant)

    @functools.cached_property
    def repeated_features(self) -> tuple[tuple[str, str], ...]:
        """Features that change and are equal to an earlier one in every train sample: the name and the earlier one's."""
        flat = self.x_train.reshape(len(self.x_train), -1)
        first: dict[bytes, str] = {}
        twice = []
        for key, name, column in zip(_row_keys(flat.T), self.feature_names, flat.T, strict=True):
            if column.min() == column.max():
                continue
            if first.setdefault(key, name) != name:
                twice.append((name, first[key]))
        return tuple(twice)

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
    def repeated_in_train(self) -> float:
        """The fraction of train samples whose features another one has: what data repeat by themselves."""
        counts = Counter(_row_keys(self.x_train)).values()
        return sum(count for count in counts if count > 1) / len(self.x_train)

    @functools.cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know before training on these data, a sentence each."""
        found = list(self.notes)
        small = [name for name in PARTS if len(self.part(name)[1]) < _FEW]
        if small:
            counts = ", ".join(f"{len(self.part(name)[1])} in {name}" for name in small)
            found.append(f"few samples ({counts}): a quality measured on them says little; add samples")
        constant = self.constant_features
        if constant:
            named = ", ".join(constant[:4]) + (", ..." if len(constant) > 4 else "")
            found.append(
                f"constant in the train part: {counted(len(constant), 'feature')} of {self.n_features} ({named})"
            )
        twice = self.repeated_features
        if twice:
            named = ", ".join(f"{name} is {first}" for name, first in twice[:4])
            found.append(
                f"{counted(len(twice), 'feature')} with the values of another ({named}{', ...' if len(twice) > 4 else ''}): such "
                "a one costs hardware and teaches nothing; remove it"
            )
        overlap = self.overlap
        for count, part, other in (
            (overlap.validation_in_train, "validation", "train"),
            (overlap.test_in_train, "test", "train"),
            (overlap.test_in_validation, "test", "validation"),
        ):
            if count > _REPEATED * len(self.part(part)[1]):
                found.append(
                    f"{count} of {len(self.part(part)[1])} {part} samples have the features of a {other} sample: the "
                    "quality there is too good if they are the same events; remove repeated rows"
                )
        largest = float(np.abs(self.x_train).max())
        if not 2.0**-10 <= largest <= 2.0**15:
            found.append(
                f"the largest scaled feature is {largest:.3g}: number formats for such inputs are wide or coarse; set "
                "data.scaling"
            )
        return tuple(found)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of all that a network can learn from: arrays, feature names, task, scaling.

        The name, and the seed and fractions that led to these arrays, are no part of it.
        """
        about: dict[str, Any] = {
            "arrays": arrays_digest(self.part_arrays()),
            "feature_names": self.feature_names,
            "scaling": self.scaling.to_json(),
        }
        # the most common task is told by its classes alone, as it was before there were others
        common = self.task.kind == "classification"
        about |= {"class_names": self.class_names} if common else {"task": self.task.to_json()}
        about |= {"inputs": [[port.name, port.shape] for port in self.inputs]} if self.inputs else {}
        return json_digest(about)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        sizes = "/".join(f"{len(self.part(name)[1]):,}" for name in PARTS)
        return {
            "name": self.name,
            "samples": f"{sizes} ({'/'.join(PARTS)})",
            "shape": str(self.input_shape),
            "task": f"{self.task.kind}, {self.task.outputs_sentence}",
            "scaling": self.scaling.kind,
        }

    def tables(self) -> Iterator[TextTable]:
        """What the loader has to say."""
        if self.warnings:
            yield TextTable("Notes", ("",), tuple((warning,) for warning in self.warnings))

    def to_frame(self, part: str = "train") -> DataFrame:
        """A part as a pandas table, a row a sample: its features, scaled, and its targets."""
        import pandas

        x, y = self.part(part)
        names = [
            f"y_{name}" if name in self.feature_names else name
            for name in (["y"] if y.ndim == 1 else [str(name) for name in self.task.names[: y.shape[1]]])
        ]
        features = pandas.DataFrame(x.reshape(len(x), -1), columns=list(self.feature_names))
        return features.join(pandas.DataFrame(y.reshape(len(y), -1), columns=names))

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
        groups = strata_of(self.task, self.y_train)
        rows = stratified_sample(groups, require_count(count, "calibration"), seed)
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
            count = len(y) if count is None else require_count(count, name)
            rows = stratified_sample(strata_of(self.task, y), count, seed)
            parts |= {f"x_{name}": x[rows], f"y_{name}": y[rows]}
            if (weights := getattr(self, f"weights_{name}", None)) is not None:
                parts[f"weights_{name}"] = weights[rows]
            rows_of[name] = getattr(self.split, name)[rows]
        return replace(self, **parts, split=replace(self.split, **rows_of))

    def reshaped(self, input_shape: Sequence[int]) -> Dataset:
        """Give the samples another shape, for instance `(8, 8, 1)` for a convolution.

        Raises
        ------
        DataError
            If the shape does not hold exactly the values of a sample.
        """
        if self.inputs:
            raise DataError(
                f"dataset {self.name!r}: input_shape is of one input, the data have {len(self.inputs)}; leave it out"
            )
        shape = require_shape(input_shape, self.n_features, f"dataset {self.name!r}")
        parts: dict[str, Any] = {f"x_{name}": self.part(name)[0].reshape(-1, *shape) for name in PARTS}
        return replace(self, **parts)

    def summary(self) -> dict[str, Any]:
        """Tell what a record says of the data, as plain JSON values."""
        return {
            "name": self.name,
            "digest": self.digest,
            "task": self.task.kind,
            "input_shape": list(self.input_shape),
            **({"inputs": {port.name: list(port.shape) for port in self.inputs}} if self.inputs else {}),
            "samples": {name: len(self.part(name)[1]) for name in PARTS},
            **self.task.count(self.y_train),
            "split": {"seed": self.split.seed, "fractions": list(self.split.fractions)},
            "scaling": self.scaling.kind,
            "constant_features": list(self.constant_features),
            "equal_samples": vars(self.overlap),
        }

    def part_arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name: `x_train`, ..., `y_test`, and the weights if there are any."""
        arrays = {f"{axis}_{name}": getattr(self, f"{axis}_{name}") for axis in "xy" for name in PARTS}
        weights = {f"weights_{name}": getattr(self, f"weights_{name}") for name in ("train", "validation")}
        return arrays | {name: array for name, array in weights.items() if array is not None}


def _row_keys(x: np.ndarray) -> list[bytes]:
    flat = x.reshape(len(x), -1) + np.float32(0)  # -0.0 becomes 0.0, which it equals
    return [row.tobytes() for row in flat]
