"""The fixed, seeded, stratified split, and stratified samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codesign.core.shown import Brief
from codesign.core.task import Task
from codesign.core.text_table import counted
from codesign.data.arrays import read_only, require_seed
from codesign.errors import DataError

Fractions = tuple[float, float, float]
DEFAULT_FRACTIONS: Fractions = (0.6, 0.2, 0.2)
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split(Brief):
    """Which sample of the source is in which part.

    Parameters
    ----------
    train, validation, test
        Row numbers of the source, int64, shape `(n_samples_of_the_part,)`; no row in two places.
    seed
        The seed that drew them.
    fractions
        The shares that were asked for.

    Raises
    ------
    DataError
        If a row is in two parts, or twice in one.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    seed: int = 0
    fractions: Fractions = DEFAULT_FRACTIONS

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", require_seed(self.seed))
        object.__setattr__(self, "fractions", require_fractions(self.fractions))
        for part in PARTS:
            object.__setattr__(self, part, read_only(getattr(self, part), np.int64))
        parts = [getattr(self, part) for part in PARTS]
        rows = np.sort(np.concatenate(parts))
        repeated = rows[1:][rows[1:] == rows[:-1]]
        if len(repeated):
            row = repeated[0]
            places = [
                name for name, part in zip(PARTS, parts, strict=True) for _ in range(np.sum(part == row))
            ]
            raise DataError(
                f"split: {counted(len(repeated), 'row')} named again, the first is row {row} "
                f"(in {' and '.join(places)}); keep each row in one part, once"
            )


def require_fractions(fractions: Sequence[float]) -> Fractions:
    """The shares of train, validation and test as floats.

    Raises
    ------
    DataError
        Unless they are three positive numbers that sum to 1.
    """
    try:
        shares = tuple(float(share) for share in fractions)
    except (TypeError, ValueError):
        shares = ()
    if len(shares) != 3 or not all(share > 0 for share in shares) or not math.isclose(sum(shares), 1):
        raise DataError(
            f"fractions must be three positive numbers that sum to 1 (train, validation, test), "
            f"not {fractions!r}"
        )
    return shares


def strata_of(task: Task, targets: np.ndarray) -> np.ndarray:
    """The group of each sample that a fair sample takes its share of, int64 `(n_samples,)`: one for all without classes."""
    groups = task.strata(targets)
    return np.zeros(len(targets), np.int64) if groups is None else groups


def stratified_split(
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    seed: int = 0,
    fractions: Sequence[float] = DEFAULT_FRACTIONS,
    where: str = "split",
) -> Split:
    """Divide the rows of every class among the parts by the same shares.

    Of a class with `n` rows each part gets its share of `n` within one row. The order within a part is
    shuffled, so that its first rows are a fair sample even if the source is sorted.

    Parameters
    ----------
    labels
        int64, shape `(n_samples,)`, in `[0, n_classes)`.
    class_names
        One for each class, for messages.
    seed
        Same seed, same labels: same split, under every version of NumPy.
    fractions
        Shares of train, validation and test.
    where
        What an error begins with.

    Raises
    ------
    DataError
        If a class is too small to be in every part, or the shares or the seed are impossible.
    """
    shares = require_fractions(fractions)
    # RandomState is the one generator whose stream NumPy promises never to change
    random = np.random.RandomState(require_seed(seed))
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for label, class_name in enumerate(class_names):
        rows = random.permutation(np.flatnonzero(labels == label))
        n_validation, n_test = (math.floor(len(rows) * share + 0.5) for share in shares[1:])
        sizes = (len(rows) - n_validation - n_test, n_validation, n_test)
        if min(sizes) < 1:
            empty = PARTS[sizes.index(min(sizes))]
            raise DataError(
                f"{where}: class {class_name!r} has {counted(len(rows), 'sample')}, too few for the fractions "
                f"{'/'.join(f'{share:g}' for share in shares)}: none is left for {empty}; "
                f"add samples or choose other fractions"
            )
        for part, piece in zip(parts, np.split(rows, np.cumsum(sizes)[:2]), strict=True):
            part.append(piece)
    train, validation, test = (random.permutation(np.concatenate(part)) for part in parts)
    return Split(train, validation, test, seed=require_seed(seed), fractions=shares)


def in_fold(split: Split, groups: np.ndarray, index: int, count: int, *, where: str = "split") -> Split:
    """Divide train and validation part together anew into `count` parts, each group in proportion.

    Parameters
    ----------
    split
        Whose test part stays as it is, and whose seed draws the parts.
    groups
        The group of each row of the source, int64, shape `(n_samples,)`.
    index, count
        Part number `index`, counted from 0, of `count` becomes the validation part, the others the train part.
    where
        What an error begins with.

    Raises
    ------
    DataError
        If there is no such part, or one would be empty.
    """
    rows = np.sort(np.concatenate([split.train, split.validation]))
    if not (2 <= count <= len(rows) and 0 <= index < count):
        raise DataError(
            f"{where}: fold must be a part's number, counted from 0, and a number of parts from 2 to the {len(rows)} "
            f"samples of train and validation, not [{index}, {count}]"
        )
    random = np.random.RandomState(split.seed)
    # dealt like cards, group by group: the parts differ by one sample at most, in all and in each group
    dealt = np.concatenate(
        [random.permutation(rows[groups[rows] == group]) for group in np.unique(groups[rows])]
    )
    is_validation = np.arange(len(dealt)) % count == index
    train, validation = (random.permutation(part) for part in (dealt[~is_validation], dealt[is_validation]))
    return Split(train, validation, split.test, seed=split.seed, fractions=split.fractions)


def stratified_sample(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Draw rows without replacement, the classes in proportion, every class at least once if `count` allows.

    Parameters
    ----------
    labels
        Class numbers, shape `(n_samples,)`.
    count
        How many rows; all rows if there are fewer.
    seed
        Same seed, same labels: same rows.

    Returns
    -------
    numpy.ndarray
        Row numbers, ascending, int64, shape `(min(count, n_samples),)`.
    """
    random = np.random.RandomState(require_seed(seed))
    if count >= len(labels):
        return np.arange(len(labels), dtype=np.int64)
    classes, sizes = np.unique(labels, return_counts=True)
    one_each = int(count >= len(classes))
    # whole numbers throughout: the largest remainders get what is left over, no class is asked for too much
    spare = sizes - one_each
    wanted, remainder = np.divmod(spare * (count - one_each * len(classes)), spare.sum())
    wanted += one_each
    wanted[np.argsort(-remainder, kind="stable")[: count - wanted.sum()]] += 1
    chosen = [
        random.permutation(np.flatnonzero(labels == label))[:size]
        for label, size in zip(classes, wanted, strict=True)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64, copy=False)
