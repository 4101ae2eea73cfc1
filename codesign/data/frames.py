"""Raw data from tables with named columns: CSV, Parquet, and the frames that OpenML gives."""

from __future__ import annotations

import csv
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codesign.data.raw import RawData
from codesign.errors import DataError

if TYPE_CHECKING:
    import pandas

LABEL_NAMES = ("y", "label", "class", "target", "labels", "classes", "targets")
"""Column names that are taken for the targets, in any case of letters, if no column is named."""

WEIGHT_NAMES = ("sample_weight", "sample_weights", "event_weight", "event_weights")
"""Column names that are taken for the weights of the samples, in any case of letters."""

_SEPARATORS = (",", ";", "\t")


def looks_like_weights(name: str) -> bool:
    """Whether a name may mean the weights of samples, though it is none of the names that are taken for them."""
    return re.fullmatch(r"(?i)w|.*(weight|wgt).*", name) is not None


def read_csv_data(path: Path, wanted: tuple[str, ...] = ()) -> RawData:
    """Raw data from a file of values between commas, semicolons or tabs, whose first line names the columns.

    Parameters
    ----------
    path
        The file, UTF-8; behind semicolons a comma may be the decimal sign.
    wanted
        The target columns; by default the one called like one of `LABEL_NAMES`, else the last.

    Raises
    ------
    DataError
        If the file cannot be read, has no header, repeated names or no usable columns, or the content cannot be used.
    """
    import pandas

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first, second = file.readline(), file.readline()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable CSV file ({str(error).strip()}); check the file") from error
    separator = max(_SEPARATORS, key=first.count)
    if first.count(";") >= first.count(",") - 1 > 0:
        separator = ";"  # the commas are decimal signs of a line without names
    # pandas would make label.1 of a second label
    names = [name.strip() for name in next(csv.reader([first], delimiter=separator), [])]
    _check_header(names, path)
    decimal = "," if separator == ";" and "," in second and "." not in second else "."
    try:
        # only an empty cell and nan mean "missing": NA or None may well be the name of a class
        with warnings.catch_warnings():
            # rows of more cells than names lose the last ones
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            frame = pandas.read_csv(
                path,
                sep=separator,
                decimal=decimal,
                encoding="utf-8-sig",
                keep_default_na=False,
                na_values=["", "nan", "NaN", "NAN"],
                index_col=False,
            )
    except pandas.errors.ParserWarning as error:
        raise DataError(
            f"{path}: the first line has {len(names)} names, but the rows have more values; name every column, that of the "
            "rows' own names or numbers too, or save the table without them"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable CSV file ({str(error).strip()}); check the file") from error
    return frame_data(frame, wanted, name=path.stem, where=str(path))


def _check_header(names: list[str], path: Path) -> None:
    """Refuse a first line that holds data, that has a column without a name, or the same name twice."""
    numbers = [name for name in names if _is_number(name)]
    # 0, 1, 2, ... is what a table of an array without names is saved with
    counted = numbers == [str(number) for number in range(len(numbers))] and len(numbers) < len(names)
    if numbers and not counted:
        raise DataError(
            f"{path}: the first line must name the columns, not hold data ({', '.join(names[:4])}); "
            f"add a header"
        )
    unnamed = [place for place, name in enumerate(names) if re.fullmatch(r"(Unnamed: \d+)?", name)]
    if len(names) > 1 and unnamed:
        raise DataError(
            f"{path}: column {unnamed[0]} (counted from 0) has no name, perhaps a saved row index; "
            f"name it or remove it"
        )
    _require_different(names, str(path))


def read_parquet_data(path: Path, wanted: tuple[str, ...] = ()) -> RawData:
    """Raw data from a Parquet file; parameters and errors as in `read_csv_data`."""
    import pandas

    try:
        frame = pandas.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: not a readable Parquet file ({str(error).strip()}); check the file"
        ) from error
    return frame_data(frame, wanted, name=path.stem, where=str(path))


def frame_data(frame: pandas.DataFrame, wanted: tuple[str, ...], *, name: str, where: str) -> RawData:
    """Split a frame into features, targets and weights.

    Parameters
    ----------
    frame
        One row a sample; every column but targets and weights is a numeric feature.
    wanted
        As in `read_csv_data`.
    name, where
        As in `codesign.data.raw.RawData`.

    Raises
    ------
    DataError
        If a target column is not there or not the only candidate, a name is repeated, or a feature is not numeric.
    """
    frame = frame.rename(columns=lambda column: str(column).strip())
    columns = [str(column) for column in frame.columns]
    _require_different(columns, where)
    targets, guessed = _target_columns(columns, wanted, where)
    weights = [column for column in columns if column.lower() in WEIGHT_NAMES and column not in targets]
    if len(weights) > 1:
        raise DataError(f"{where}: {' and '.join(weights)} could both be the weights; rename one")
    features = frame.drop(columns=[*targets, *weights])
    if not len(features):
        raise DataError(
            f"{where}: no rows below the column names; give at least a few samples of every class"
        )
    for column in features.columns:
        _require_numeric(features[column], where)
    if guessed:
        _require_no_one_hot(features, frame[targets[0]], where)
    return RawData(
        features.to_numpy(dtype=np.float64, na_value=np.nan),
        {f"label column {target!r}" if not wanted else target: _values(frame[target]) for target in targets},
        name,
        where,
        list(features.columns),
        weights=_values(frame[weights[0]]) if weights else None,
        guessed=guessed,
        notes=(
            *(
                f"{where}: the column {column!r} is taken for a feature; if it weighs the samples, call it sample_weight"
                for column in features.columns
                if looks_like_weights(column)
            ),
            *(
                f"{where}: the column {column!r} is taken for a feature, but only counts the rows; remove it"
                for column in features.columns
                if _counts_rows(features[column])
            ),
        ),
    )


def _require_no_one_hot(features: pandas.DataFrame, label: pandas.Series, where: str) -> None:
    """Refuse a last column that is the last of one-hot ones: the others would tell the class as features."""
    names = [str(label.name)]
    total = _values(label)
    if not np.isin(total, (0, 1)).all():
        return
    for name in reversed(features.columns):
        column = features[name].to_numpy()
        if not np.isin(column, (0, 1)).all():
            return
        names.insert(0, str(name))
        total = total + column
        if (total == 1).all():
            raise DataError(
                f"{where}: the last columns {', '.join(names)} are one-hot classes; name all of them as label_column, or "
                "keep one column of classes"
            )


def _counts_rows(column: pandas.Series) -> bool:
    values = column.to_numpy()
    return len(values) > 2 and values.dtype.kind in "iu" and bool((np.diff(values) == 1).all())


def _values(column: pandas.Series) -> np.ndarray:
    plain = column.dtype.kind in "biuf" and not column.hasnans
    return column.to_numpy() if plain else column.to_numpy(dtype=object)


def _require_different(columns: list[str], where: str) -> None:
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise DataError(
            f"{where}: {len(repeated)} column names are repeated ({', '.join(repeated)}); rename them"
        )


def _target_columns(columns: list[str], wanted: tuple[str, ...], where: str) -> tuple[list[str], bool]:
    """The target columns, and whether nothing named them."""
    if len(columns) < 2:
        raise DataError(
            f"{where}: features and labels need at least two columns, not {len(columns)} "
            f"({', '.join(columns)[:80]}); are the columns separated by commas?"
        )
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise DataError(f"{where}: no column {missing[0]!r} for the labels among {', '.join(columns)}")
    if wanted:
        return list(wanted), False
    candidates = [column for column in columns if column.lower() in LABEL_NAMES]
    if len(candidates) > 1:
        raise DataError(
            f"{where}: {' and '.join(candidates)} could all be the labels; say which with label_column"
        )
    if candidates:
        return candidates, False
    last = [column for column in columns if column.lower() not in WEIGHT_NAMES][-1:]
    if not last or looks_like_weights(last[0]):
        raise DataError(
            f"{where}: no column is called like labels, and the last one, {columns[-1]!r}, may be weights of the samples; say "
            "which are the labels with label_column"
        )
    return last, True


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
        float(text.replace(",", ".", 1))  # a comma may be the decimal sign
    except ValueError:
        return False
    return True
