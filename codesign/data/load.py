"""`load_dataset`: from the name of a source to a `Dataset`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codesign.data.arrays import require_count, require_shape
from codesign.data.dataset import Dataset
from codesign.data.frames import read_csv_table, read_parquet_table
from codesign.data.npz import read_npz_table
from codesign.data.openml import read_openml_table
from codesign.data.scaling import Scaling
from codesign.data.split import DEFAULT_FRACTIONS, Split, stratified_sample, stratified_split
from codesign.data.table import Table, make_table
from codesign.errors import DataError

DIGITS_DIVISOR = 16
"""Grey values of the digits run from 0 to 16: divided by 16 they lie on a grid of 4 fractional bits."""

FILE_KINDS = (".npz", ".csv", ".parquet")


def load_dataset(
    source: str | Path,
    *,
    seed: int = 0,
    scaling: str | float | Scaling = "auto",
    fractions: Sequence[float] = DEFAULT_FRACTIONS,
    max_samples: int | None = None,
    label_column: str | None = None,
    input_shape: Sequence[int] | None = None,
    cache_dir: str | Path | None = None,
) -> Dataset:
    """Load, check, split and scale a classification dataset.

    Parameters
    ----------
    source
        `digits` (1797 images of 8 x 8 pixels that scikit-learn carries), `openml:<number or name>`, or the
        path of a `.npz` (`X`, `y`, perhaps `feature_names` and `class_names`), `.csv` or `.parquet` file.
    seed
        Of the split and of `max_samples`, 0 to 2**32 - 1.
    scaling
        `none`, `standard`, `minmax`, a number to divide by, or a fitted `Scaling`. `auto` divides the digits
        by 16, which keeps them exactly on a fixed-point grid, and standardises everything else.
    fractions
        Shares of the train, validation and test parts.
    max_samples
        Use a stratified sample of at most this size.
    label_column
        The column of the labels in a `.csv`, a `.parquet` or an OpenML dataset.
    input_shape
        The shape of one sample, for instance `(8, 8, 1)` for the digits as images; by default the source's.
    cache_dir
        Where OpenML data are kept; see `codesign.data.openml.default_cache_dir`.

    Returns
    -------
    Dataset
        The same for the same file, seed and options.

    Raises
    ------
    DataError
        For a source that is unknown, missing or malformed, labels that cannot be classes, a class too small
        for the split, or an impossible option; says where and what to do.
    """
    table = _read(source, label_column, cache_dir)
    if isinstance(scaling, str) and scaling == "auto":
        scaling = DIGITS_DIVISOR if str(source) == "digits" else "standard"
    return _build(table, seed, scaling, fractions, max_samples, input_shape)


def dataset_from_arrays(
    x: Any,
    y: Any,
    *,
    name: str = "arrays",
    seed: int = 0,
    scaling: str | float | Scaling = "standard",
    fractions: Sequence[float] = DEFAULT_FRACTIONS,
    max_samples: int | None = None,
    input_shape: Sequence[int] | None = None,
    feature_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """Check, split and scale arrays in memory.

    Parameters
    ----------
    x
        Raw features, shape `(n_samples, *features)`, any real dtype.
    y
        Labels: whole numbers 0 to n - 1, text, bytes, or one-hot rows.
    name
        What the data is called.
    seed, scaling, fractions, max_samples, input_shape
        As in `load_dataset`.
    feature_names, class_names
        Defaults: `x0`, `x1`, ... and the labels themselves.

    Raises
    ------
    DataError
        As in `load_dataset`.
    """
    table = make_table(x, y, name=name, where=name, feature_names=feature_names, class_names=class_names)
    return _build(table, seed, scaling, fractions, max_samples, input_shape)


def _build(
    table: Table,
    seed: int,
    scaling: str | float | Scaling,
    fractions: Sequence[float],
    max_samples: int | None,
    input_shape: Sequence[int] | None,
) -> Dataset:
    shape = table.x.shape[1:]
    if input_shape is not None:
        shape = require_shape(input_shape, len(table.feature_names), table.where)
    rows = np.arange(len(table.labels))
    if max_samples is not None:
        rows = stratified_sample(table.labels, require_count(max_samples, "max_samples"), seed)
    drawn = stratified_split(
        table.labels[rows], table.class_names, seed=seed, fractions=fractions, where=table.where
    )
    split = Split(
        rows[drawn.train],
        rows[drawn.validation],
        rows[drawn.test],
        seed=drawn.seed,
        fractions=drawn.fractions,
    )
    fitted = Scaling.fit(scaling, table.x[split.train])

    def scaled(part: np.ndarray) -> np.ndarray:
        return fitted.apply(table.x[part]).reshape(-1, *shape)

    return Dataset(
        name=table.name,
        x_train=scaled(split.train),
        y_train=table.labels[split.train],
        x_validation=scaled(split.validation),
        y_validation=table.labels[split.validation],
        x_test=scaled(split.test),
        y_test=table.labels[split.test],
        feature_names=table.feature_names,
        class_names=table.class_names,
        scaling=fitted,
        split=split,
    )


def _read(source: str | Path, label_column: str | None, cache_dir: str | Path | None) -> Table:
    text = str(source)
    kind, _, identifier = text.partition(":")
    if kind == "openml":
        return read_openml_table(identifier, label_column=label_column, cache_dir=cache_dir)
    path = Path(source).expanduser()
    if label_column is not None and path.suffix.lower() not in (".csv", ".parquet"):
        raise DataError(
            f"{text}: label_column {label_column!r} is only for .csv, .parquet and openml: sources; "
            f"leave it out"
        )
    if text == "digits":
        return _digits()
    if path.suffix.lower() not in FILE_KINDS:
        raise DataError(
            f"{text}: unknown source; use digits, openml:<number or name>, or a file ending in "
            f"{', '.join(FILE_KINDS)}"
        )
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {what}; check the path (a relative one starts at {Path.cwd()})")
    if path.suffix.lower() == ".npz":
        return read_npz_table(path)
    reader = read_csv_table if path.suffix.lower() == ".csv" else read_parquet_table
    return reader(path, label_column)


def _digits() -> Table:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return make_table(
        digits.data,
        digits.target,
        name="digits",
        where="digits",
        feature_names=digits.feature_names,
        class_names=[str(number) for number in digits.target_names],
    )
