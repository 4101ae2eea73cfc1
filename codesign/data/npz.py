"""Reading `.npz` and `.npy` files without ever unpickling, and without more memory than there is."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from codesign.core.ports import Port, side_by_side
from codesign.core.text_table import counted
from codesign.data.frames import looks_like_weights
from codesign.data.raw import RawData, joined
from codesign.errors import DataError

_DAMAGED = (
    EOFError,
    ValueError,
    TypeError,
    SyntaxError,
    OverflowError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    pickle.UnpicklingError,
)

_BOMB_RATIO, _BOMB_BYTES = 200, 2**28
"""An archive that inflates by more than this, to more than this, holds no measured data."""

_ROLES = {
    "x": ("x", "data", "features", "feature", "inputs", "input", "samples", "events"),
    "y": ("y", "label", "labels", "target", "targets", "class", "output", "outputs", "truth"),
    "weights": ("w", "weight", "weights", "sample_weight", "sample_weights", "event_weight", "event_weights"),
    "feature_names": ("feature_names", "features_names", "columns", "column_names", "feature_name"),
    "class_names": ("class_names", "classes", "target_names", "label_names", "class_name"),
}
"""What users call the arrays, in any case of letters, with the part's name before or behind it."""

_PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a `.npz`, by key.

    Raises
    ------
    DataError
        If the file is missing, unreadable, damaged or encrypted, needs more memory than there is, or an array needs
        pickle, which could run code.
    """
    return _opened(path, _read_archive)


def read_npy(path: Path) -> np.ndarray:
    """The array of a `.npy`; the errors are those of `read_npz`."""
    return _opened(path, _read_single)


def _opened(path: Path, read):
    try:
        # opened here, because numpy.load leaves a damaged file open
        with path.open("rb") as file:
            return read(file, path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); check the file") from error


def _read_single(file: BinaryIO, path: Path) -> np.ndarray:
    size = os.fstat(file.fileno()).st_size
    try:
        _check_header(file, size, path, path.name)
        file.seek(0)
        return np.load(file, allow_pickle=False)
    except _DAMAGED as error:
        raise _fault(error, path, path.stem) from error


def _read_archive(file: BinaryIO, path: Path) -> dict[str, np.ndarray]:
    if file.read(6) == b"\x93NUMPY":
        raise DataError(f"{path}: a single array, not a .npz; write X and y with numpy.savez")
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            _check_sizes(archive, os.fstat(file.fileno()).st_size, path)
    except _DAMAGED as error:
        raise DataError(f"{path}: not a readable .npz ({error}); write it with numpy.savez") from error
    file.seek(0)
    arrays = {}
    with np.load(file, allow_pickle=False) as stored:
        for key in stored.files:
            try:
                arrays[key] = stored[key]
            except _DAMAGED as error:
                raise _fault(error, path, key) from error
    return arrays


def _check_sizes(archive: zipfile.ZipFile, stored_bytes: int, path: Path) -> None:
    """Look at what the members say of themselves before any is inflated."""
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    if total > _BOMB_BYTES and total > _BOMB_RATIO * stored_bytes:
        raise DataError(
            f"{path}: {stored_bytes:,} bytes that inflate to {total:,}, which no measured data do; check the file, or "
            "write it with numpy.savez"
        )
    _require_memory(total, path)
    for member in members:
        if member.flag_bits & 0x1:
            raise DataError(f"{path}: {member.filename} is encrypted; write it with numpy.savez")
        if member.filename.endswith(".npy"):
            try:
                with archive.open(member) as opened:
                    _check_header(opened, member.file_size, path, member.filename)
            except _DAMAGED as error:
                raise _fault(error, path, member.filename.removesuffix(".npy")) from error


def _check_header(file, size: int, path: Path, name: str) -> None:
    """Refuse an array whose header claims more bytes than follow it."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        return
    wanted = dtype.itemsize
    for length in shape:
        wanted *= int(length)
    if wanted > size or min(shape, default=0) < 0:
        raise DataError(
            f"{path}: {name} claims {wanted:,} bytes (shape {shape}, {dtype}) but holds {size:,}; the file is damaged"
        )
    _require_memory(wanted, path)


def _require_memory(n_bytes: int, path: Path) -> None:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    available = max(free, _available())
    if n_bytes > available:
        raise DataError(
            f"{path}: its arrays take {n_bytes:,} bytes, more than the {available:,} of memory that are free; give fewer "
            "samples"
        )


def _available() -> int:
    """Memory that the system can free, where it says so."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _fault(error: Exception, path: Path, key: str) -> DataError:
    if isinstance(error, DataError):
        return error
    if "allow_pickle" in str(error):
        return DataError(
            f"{path}: {key} is an array of Python objects, which needs pickle and is never read; "
            f"save numbers, or text as numpy.asarray({key}, dtype=str)"
        )
    return DataError(f"{path}: {key} cannot be read, the file is damaged ({error})")


def read_npz_data(
    path: Path, wanted: tuple[str, ...] = (), inputs: tuple[str, ...] = (), *, name: str | None = None
) -> RawData:
    """Raw data from a `.npz`; see `arrays_data` for the names of its arrays."""
    arrays = read_npz(path)
    if "dataset" in arrays:
        raise DataError(f"{path}: a saved dataset, already split and scaled; read it with read_dataset")
    return arrays_data(arrays, name or path.stem, str(path), wanted, inputs)


def read_folder_data(folder: Path, wanted: tuple[str, ...] = (), inputs: tuple[str, ...] = ()) -> RawData:
    """Raw data from a folder of `.npy` files, each the array that its name says; see `arrays_data`."""
    paths = sorted(folder.glob("*.npy"))
    if not paths:
        raise DataError(f"{folder}: a folder without .npy files; give one with X.npy and y.npy, or a file")
    arrays = {path.stem: read_npy(path) for path in paths}
    return arrays_data(arrays, folder.name, str(folder), wanted, inputs)


def arrays_data(
    arrays: Mapping[str, np.ndarray],
    name: str,
    where: str,
    wanted: tuple[str, ...] = (),
    inputs: tuple[str, ...] = (),
) -> RawData:
    """Raw data from named arrays.

    Features are called `X`, `x`, `data`, ...; targets `y`, `labels`, ...; with `_train`, `_validation` (or `_val`) and
    `_test` they are the user's own parts; `_train_val` is a part that the validation part is drawn from.

    Parameters
    ----------
    arrays
        By the names that the user gave them.
    name, where
        As in `RawData`.
    wanted
        The names of the target arrays, without their part; by default the one with a name of targets, if there is any.
    inputs
        The names of the arrays of several inputs, without their part, in the order of the inputs; they stand side by side
        in the features. By default there is one input.

    Raises
    ------
    DataError
        If there are no features, or several arrays could be the same thing; those present are listed.
    """
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    unread = []
    listed = ", ".join(arrays) or "none"
    for key, array in arrays.items():
        part, rest = named(key)
        role = "target" if rest in wanted or key in wanted else _role(rest)
        if inputs:
            role = "x" if rest in inputs or key in inputs else None if role == "x" else role
        if role is None:
            unread.append(key)
            continue
        same = found.setdefault(part, {}).setdefault(role, {})
        if same and role != "target" and not (role == "x" and inputs):
            raise DataError(f"{where}: {next(iter(same))} and {key} could both be the {role}; rename one")
        same[key if part == "" or key in inputs else rest] = array
    for key in unread:
        if looks_like_weights(key) and arrays[key].ndim == 1:
            raise DataError(
                f"{where}: {key} may be weights of the samples; call it sample_weight, or leave it out of the file"
            )
    names = {role: _names(found.get("", {}), role) for role in ("feature_names", "class_names")}
    parts = {part: roles for part, roles in found.items() if "x" in roles}
    if not parts:
        several = [key for key in arrays if re.fullmatch(r"(?i)(x|input|inputs)_?\w+", key)]
        if len(several) > 1:
            raise DataError(
                f"{where}: {', '.join(several)} look like several inputs; name them in data.inputs, in the order of the "
                "network's inputs, or join them into one X"
            )
        if inputs:
            raise DataError(
                f"{where}: none of the inputs {', '.join(inputs)} is among its keys ({listed}); name the arrays as data.inputs "
                "does"
            )
        raise DataError(
            f"{where}: X not found among its keys ({listed}); name the features X and the labels y"
        )
    alone = [
        " ".join(filter(None, (part, role)))
        for part, roles in found.items()
        if part not in parts
        for role in roles
        if part or (role not in names and set(parts) != {"train"})
    ]
    if alone:
        raise DataError(
            f"{where}: the {', the '.join(alone)} among its keys ({listed}) belong to a part without features; name the "
            "arrays of a part alike"
        )
    if set(parts) == {"train"}:
        # one part alone is all there is: it is divided
        parts = {"": {**found.get("", {}), **parts["train"]}}
    if "" in parts and len(parts) > 1:
        raise DataError(f"{where}: both undivided features and own parts ({listed}); keep one of them")
    notes = (f"not read: {', '.join(unread)} of {where}",) if unread else ()
    pieces = {
        part: _piece(
            roles,
            name,
            f"{where}" if part == "" else f"{where}, {part} part",
            wanted,
            inputs,
            names,
            notes,
            listed,
        )
        for part, roles in parts.items()
    }
    return pieces[""] if "" in pieces else joined(_with_drawn(pieces, where), name, where)


def _piece(
    roles: Mapping[str, Mapping[str, np.ndarray]],
    name: str,
    where: str,
    wanted: tuple[str, ...],
    inputs: tuple[str, ...],
    names: Mapping[str, list[str] | None],
    notes: tuple[str, ...],
    listed: str,
) -> RawData:
    columns = roles.get("target") or roles.get("y") or {}
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise DataError(f"{where}: no array {', '.join(missing)} for the targets among its keys ({listed})")
    ports: tuple[Port, ...] = ()
    if inputs:
        x, ports = joined_inputs(roles["x"], inputs, where)
    else:
        (x,) = roles["x"].values()
    weights = next(iter(roles.get("weights", {}).values()), None)
    return RawData(
        x,
        columns,
        name,
        where,
        names["feature_names"],
        names["class_names"],
        weights,
        notes=notes,
        inputs=ports,
    )


def joined_inputs(
    arrays: Mapping[str, np.ndarray], inputs: Sequence[str], where: str
) -> tuple[np.ndarray, tuple[Port, ...]]:
    """Several inputs side by side, `(n_samples, n_values)`, and their names and shapes; numbers alone are inputs of one value.

    Raises
    ------
    DataError
        For an input that is missing, is empty, or has another number of samples.
    """
    missing = [name for name in inputs if name not in arrays]
    if missing:
        raise DataError(
            f"{where}: no array {', '.join(missing)} for the inputs; there are {', '.join(arrays)}; give one for each input"
        )
    parts = {name: np.asarray(arrays[name]) for name in inputs}
    first = next(iter(parts))
    for name, array in parts.items():
        if array.ndim == 0 or array.size == 0 or array.dtype.kind not in "biuf":
            raise DataError(
                f"{where}: the input {name} must be real numbers of shape (samples, ...), not {array.dtype} of shape "
                f"{array.shape}"
            )
        if len(array) != len(parts[first]):
            raise DataError(
                f"{where}: the input {name} has {counted(len(array), 'sample')} and {first} has {len(parts[first])}; give "
                "every input all samples"
            )
    ports = tuple(Port(name, array.shape[1:] or (1,)) for name, array in parts.items())
    return side_by_side(list(parts.values())), ports


def _with_drawn(pieces: dict[str, RawData], where: str) -> dict[str, RawData]:
    """The parts with `train_validation` as the train part: the validation part is drawn from it."""
    if "train_validation" not in pieces:
        return pieces
    if "train" in pieces or "validation" in pieces:
        raise DataError(f"{where}: both a train and a train_val part; keep one of them")
    return {("train" if part == "train_validation" else part): piece for part, piece in pieces.items()}


def named(key: str) -> tuple[str, str]:
    """The part that a key names (empty if none), and the rest of it in lower case."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", key) if word]
    parts = [_PARTS[word.lower()] for word in words if word.lower() in _PARTS]
    rest = "_".join(word for word in words if word.lower() not in _PARTS)
    if "trainval" in (word.lower() for word in words):
        return "train_validation", "_".join(word for word in words if word.lower() != "trainval").lower()
    if not parts and len(words) == 1:
        # xtrain, TrainX
        for word, part in _PARTS.items():
            for role in (key.lower().removesuffix(word), key.lower().removeprefix(word)):
                if role != key.lower() and _role(role) is not None:
                    return part, role
    if not parts:
        return "", key if _role(key.lower()) is None else key.lower()
    part = "train_validation" if sorted(set(parts)) == ["train", "validation"] else parts[0]
    return part, rest if _role(rest.lower()) is None else rest.lower()


def _role(name: str) -> str | None:
    return next((role for role, names in _ROLES.items() if name.lower() in names), None)


def _names(roles: Mapping[str, Mapping[str, np.ndarray]], role: str) -> list[str] | None:
    if role not in roles:
        return None
    (array,) = roles[role].values()
    return [
        name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        for name in np.atleast_1d(array).ravel().tolist()
    ]
