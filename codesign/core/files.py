"""Files that are written whole or not at all, and the digests that tell whether anything changed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codesign.errors import OutputFolderError

RTL_COUNTS = "build_yosys/utilization.json"
"""Where Yosys' counts of open RTL lie in its folder, with the digest of what was counted."""


def write_with(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file beside `path`, then move it into place.

    Parameters
    ----------
    path
        The final file; its folder is made if it is missing.
    write
        Called with the temporary path, which ends like `path` (libraries choose a format by the ending).

    Returns
    -------
    Path
        The final path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # mkstemp gives 0600; a result is as readable as any file the user makes
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write `data` to `path`, whole or not at all."""
    return write_with(path, lambda temporary: temporary.write_bytes(data))


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    return write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> Path:
    """Write `value` as indented JSON to `path`, whole or not at all; NaN is refused by name, never written."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; `ValueError` for what is none, is nested too deep or has a name twice."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)} stands twice")
    return found


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write arrays as an uncompressed `.npz`, whole or not at all."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **dict(arrays))  # type: ignore[arg-type]

    return write_with(path, write)


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, or of all files of a folder with their names, in hexadecimal."""
    if Path(path).is_dir():
        files = sorted(file for file in Path(path).rglob("*") if file.is_file())
        held = {str(file.relative_to(path)): file_digest(file) for file in files}
        return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_saved_model(path: Path) -> bool:
    """Whether this is the folder of a SavedModel."""
    return (path / "saved_model.pb").is_file()


def is_checkpoint(path: Path) -> bool:
    """Whether this names a checkpoint of TensorFlow, which is several files that begin alike."""
    return path.suffix == ".index" or path.with_name(f"{path.name}.index").is_file()


def forget_moment(path: Path) -> None:
    """Write a `.keras` file again without its time and with objects numbered in order, so that equal models are equal bytes.

    Keras keeps the addresses of objects that layers share, which are others in each process.
    """
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    about = json.loads(entries["metadata.json"])
    entries["metadata.json"] = json.dumps({**about, "date_saved": ""}).encode()
    numbers: dict[bytes, bytes] = {}
    entries["config.json"] = re.sub(
        rb'("shared_object_id": )(\d+)',
        lambda match: match[1] + numbers.setdefault(match[2], b"%d" % (len(numbers) + 1)),
        entries["config.json"],
    )

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, data in entries.items():
                archive.writestr(zipfile.ZipInfo(name), data)

    write_with(path, write)


_DIGEST = ".sha256"


def keep(temporary: Path, program: Path) -> None:
    """Move a compiled program into its place in a `programs_folder`, of whose files the newest 32 stay.

    Its digest lies beside it: a program that was cut or changed is compiled again.
    """
    write_text(program.with_name(program.name + _DIGEST), file_digest(temporary))
    temporary.touch()
    temporary.replace(program)
    files = {
        path: _age(path) for path in program.parent.iterdir() if path.suffix != _DIGEST and path != program
    }
    newest = sorted((path for path in files if path.is_file()), key=files.__getitem__)
    for path in newest[_MOST_PROGRAMS - 1 :]:
        path.unlink(missing_ok=True)
        path.with_name(path.name + _DIGEST).unlink(missing_ok=True)


def is_kept(program: Path) -> bool:
    """Whether a program is there and is what `keep` put there; it counts as new from now on."""
    try:
        kept = program.with_name(program.name + _DIGEST).read_text(encoding="utf-8")
        if file_digest(program) != kept:
            return False
        program.touch()
    except (OSError, ValueError):
        return False
    return True


def _age(path: Path) -> float:
    """Seconds since the last use; one that another process has just thrown away is the oldest."""
    try:
        return -path.stat().st_mtime
    except OSError:
        return float("inf")


def arrays_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of arrays, independent of the order of the mapping."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def json_digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def tree_digests(folder: str | Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """Digests of files below `folder` by relative POSIX path, sorted; `names` limits them to those paths."""
    folder = Path(folder)
    if names is None:
        names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name: file_digest(folder / name) for name in sorted(names)}


CACHE_VARIABLE = "CODESIGN_CACHE"
CACHE_ADVICE = f"compiled programs lie and run there: name another folder in {CACHE_VARIABLE}"
"""What to do about a folder of programs that cannot be written."""

_MOST_PROGRAMS = 32


def programs_folder(kind: str) -> Path:
    """The folder for compiled programs, which belong to this machine and to no project.

    It is below the folder in CODESIGN_CACHE, or ``codesign`` in the user's cache.

    Parameters
    ----------
    kind
        What made them; the name of the folder.

    Raises
    ------
    OutputFolderError
        It cannot be made.
    """
    home = os.environ.get(CACHE_VARIABLE)
    if home:
        root = Path(home).expanduser()
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codesign"
    folder = root / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFolderError(f"{folder} cannot be made ({error.strerror}); {CACHE_ADVICE}") from error
    return folder


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
