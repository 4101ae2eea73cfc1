"""Raw data from OpenML, kept in a local cache and read from there without the network."""

from __future__ import annotations

import http.client
import os
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from codesign.core.files import write_arrays
from codesign.data.frames import frame_data
from codesign.data.npz import read_npz_data
from codesign.data.raw import RawData, check
from codesign.data.targets import TargetChoice
from codesign.errors import DataError, OutputFolderError

DATASET_IDS = {"hls4ml_lhc_jets_hlf": 42468, "magictelescope": 1120, "pendigits": 32}
"""Numbers of the datasets that this field uses; a name alone may mean any of several versions on OpenML."""

_NAMES = {number: name for name, number in DATASET_IDS.items()}


def default_cache_dir() -> Path:
    """`codesign` in the user's cache folder: `$XDG_CACHE_HOME`, else `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codesign"


def read_openml_data(
    identifier: str, *, label_column: str | None = None, cache_dir: str | Path | None = None
) -> RawData:
    """Raw data of an OpenML dataset.

    Parameters
    ----------
    identifier
        Its number or its name; of the names in `DATASET_IDS` the number given there.
    label_column
        The column of the labels; OpenML's own choice by default.
    cache_dir
        Where the table is kept as `openml_<identifier>.npz`, in the form that `load_dataset` reads; by
        default `default_cache_dir()`. The raw answers of OpenML are kept below it too, as scikit-learn does.

    Raises
    ------
    DataError
        If OpenML cannot be reached and nothing is cached, has no such dataset, or the data cannot be used.
    OutputFolderError
        If the cache folder cannot be written.
    """
    key = identifier.strip().lower()
    if not re.fullmatch(r"[\w.()-]+", key):
        raise DataError(
            f"openml:{identifier}: must be the number or the name of a dataset, like openml:42468"
        )
    number = int(key) if key.isdecimal() else DATASET_IDS.get(key)
    name = _NAMES.get(number, key) if number is not None else key
    column = "" if label_column is None else "_" + re.sub(r"[^\w.-]", "-", label_column)
    cache = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    cached = cache / f"openml_{key if number is None else number}{column}.npz"
    if cached.is_file():
        return read_npz_data(cached, name=name)
    _require_writable(cache)
    source = f"openml:{identifier}"
    bunch = _fetch(key if number is None else number, source, label_column, cache, cached)
    raw = _bunch_data(bunch, name, source)
    write_arrays(cached, _cacheable(raw))
    return raw


def _cacheable(raw: RawData) -> dict[str, np.ndarray]:
    """The table as the arrays that it is read from next time: numbers stay as they are, text is numbered."""
    ((_, column),) = raw.columns.items()
    arrays = {"X": np.asarray(raw.x), "feature_names": np.array(raw.feature_names)}
    if column.dtype.kind in "biuf":
        return arrays | {"y": column}
    checked = check(raw, TargetChoice("classification"))
    return arrays | {"y": checked.targets, "class_names": np.array(checked.task.names)}


def _fetch(key: str | int, source: str, label_column: str | None, cache: Path, cached: Path) -> Any:
    from sklearn.datasets import fetch_openml

    which = {"data_id": key} if isinstance(key, int) else {"name": key}
    try:
        with warnings.catch_warnings():
            # the error below says it better than a warning for each new attempt
            warnings.filterwarnings("ignore", "A network error occurred")
            return fetch_openml(
                **which,
                target_column=label_column or "default-target",
                data_home=str(cache),
                as_frame=True,
                parser="auto",
                n_retries=1,
            )
    except (OSError, EOFError, http.client.HTTPException) as error:
        raise DataError(
            f"{source}: cannot be fetched ({error}) and is not cached at {cached}; connect to the "
            f"network once, or give a file instead: a .npz with X and y, a .csv or a .parquet"
        ) from error
    except (ValueError, KeyError) as error:
        raise DataError(
            f"{source}: OpenML gave nothing usable ({type(error).__name__}: {error}); check the "
            f"number or name, or give a file instead"
        ) from error


def _bunch_data(bunch: Any, name: str, source: str) -> RawData:
    if bunch.target is None or getattr(bunch.target, "ndim", 1) != 1:
        raise DataError(f"{source}: OpenML names no single label column for it; name one with label_column")
    # the label column comes last and is named: a feature called "class" is then no candidate
    frame = bunch.data.assign(**{str(bunch.target.name): bunch.target})
    raw = frame_data(frame, (str(bunch.target.name),), name=name, where=source)
    return replace(raw, columns={f"label column {key!r}": column for key, column in raw.columns.items()})


def _require_writable(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        writable = os.access(cache, os.W_OK)
        reason = "no permission"
    except OSError as error:
        writable, reason = False, str(error)
    if not writable:
        raise OutputFolderError(
            f"{cache}: the cache for OpenML data cannot be written ({reason}); name another with cache_dir"
        )
