"""Raw data from tables with named columns: CSV, Parquet, and the frames that OpenML gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codesign.data.table import Table, make_table
from codesign.errors import DataError

if TYPE_CHECKING:
    import pandas

LABEL_NAMES = ("y", "label", "class", "target")
"""Column names that are taken for the labels, in any case of letters, if no column is named."""


def read_csv_table(path: Path, label_column: str | None = None) -> Table:
    """Raw data from a comma-separated file whose first line names the columns.

    Parameters
    ----------
    path
        The file, UTF-8.
    label_column
        The column of the labels; by default the one called like one of `LABEL_NAMES`, else the last.

    Raises
    ------
    DataError
        If the file cannot be read, has no header or no usable columns, or the content cannot be used.
    """
    import pandas

    try:
        # only an empty cell and nan mean "missing": NA or None may well be the name of a class
        frame = pandas.read_csv(path, keep_default_na=False, na_values=["", "nan", "NaN", "NAN"])
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable CSV file ({str(error).strip()}); check the file") from error
    names = [str(name) for name in frame.columns]
    if all(_is_number(name) for name in names):
        raise DataError(
            f"{path}: the first line must name the columns, not hold data ({', '.join(names[:4])}); "
            f"add a header"
        )
    for position, name in enumerate(names):
        if name.startswith("Unnamed: "):
            raise DataError(
                f"{path}: column {position} (counted from 0) has no name, perhaps a saved row index; "
                f"name it or remove it"
            )
    return frame_table(frame, label_column, name=path.stem, where=str(path))


def read_parquet_table(path: Path, label_column: str | None = None) -> Table:
    """Raw data from a Parquet file; parameters and errors as in `read_csv_table`."""
    import pandas

    try:
        frame = pandas.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: not a readable Parquet file ({str(error).strip()}); check the file"
        ) from error
    return frame_table(frame, label_column, name=path.stem, where=str(path))


def frame_table(frame: pandas.DataFrame, label_column: str | None, *, name: str, where: str) -> Table:
    """Split a frame into features and labels.

    Parameters
    ----------
    frame
        One row a sample; every column but the labels is a numeric feature.
    label_column
        As in `read_csv_table`.
    name, where
        As in `codesign.data.table.Table`.

    Raises
    ------
    DataError
        If the label column is not there or not the only candidate, or a feature is not numeric.
    """
    frame = frame.rename(columns=str)
    label = _label_column([str(column) for column in frame.columns], label_column, where)
    features = frame.drop(columns=label)
    if not len(features):
        raise DataError(
            f"{where}: no rows below the column names; give at least a few samples of every class"
        )
    for column in features.columns:
        _require_numeric(features[column], where)
    labels = frame[label]
    return make_table(
        features.to_numpy(dtype=np.float64, na_value=np.nan),
        labels.to_numpy()
        if labels.dtype.kind in "biuf" and not labels.hasnans
        else labels.to_numpy(dtype=object),
        name=name,
        where=where,
        label_source=f"label column {label!r}",
        feature_names=list(features.columns),
    )


def _label_column(columns: list[str], wanted: str | None, where: str) -> str:
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise DataError(
            f"{where}: {len(repeated)} column names are repeated ({', '.join(repeated)}); rename them"
        )
    if len(columns) < 2:
        raise DataError(
            f"{where}: features and labels need at least two columns, not {len(columns)} "
            f"({', '.join(columns)[:80]}); are the columns separated by commas?"
        )
    if wanted is not None:
        if wanted not in columns:
            raise DataError(f"{where}: no column {wanted!r} for the labels among {', '.join(columns)}")
        return wanted
    candidates = [column for column in columns if column.strip().lower() in LABEL_NAMES]
    if len(candidates) > 1:
        raise DataError(
            f"{where}: {' and '.join(candidates)} could all be the labels; say which with label_column"
        )
    return candidates[0] if candidates else columns[-1]


def _require_numeric(column: pandas.Series, where: str) -> None:
    import pandas

    if pandas.api.types.is_numeric_dtype(column) and not pandas.api.types.is_complex_dtype(column):
        return
    bad = (pandas.to_numeric(column.astype(object), errors="coerce").isna() & column.notna()).to_numpy()
    row = int(np.argmax(bad))
    raise DataError(
        f"{where}: feature {column.name!r} is not numeric: {column.iloc[row]!r} at row {row} "
        f"(counted from 0); turn it into numbers or remove it, or name it as label_column"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
