"""A sealed folder: made beside its place, with the digest of every file, moved there whole, and checked when it is opened.

HLS projects, RTL projects, build plans and the stages of a run are sealed folders, each with a manifest of its own.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from codesign.core.files import file_digest, read_json, tree_digests, write_json
from codesign.core.locks import leftovers, make_scratch, scratch
from codesign.core.shown import Brief
from codesign.errors import CodesignError, OutputFolderError, StaleProjectError

Value = TypeVar("Value")

_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, CodesignError)


@dataclass(frozen=True)
class Seal:
    """One kind of sealed folder.

    Parameters
    ----------
    manifest
        The name of the file that holds the digests and what the folder says of itself.
    what
        What such a folder is called: ``HLS project``.
    make
        What to do where there is none: ``convert a student into it``.
    again
        What to do when it is damaged: ``convert the student again``.
    version
        The form of the manifest, its `format`; ``None`` where it has none.
    may_be_empty
        Whether there are whole ones without any file, as a stage that was left out.
    """

    manifest: str
    what: str
    make: str
    again: str
    version: int | None = 1
    may_be_empty: bool = False

    def write(
        self, folder: str | Path, fill: Callable[[Path], Mapping[str, Any]], *, overwrite: bool = False
    ) -> None:
        """Make a folder beside its place and move it there when it is whole: old and new files never mix.

        Parameters
        ----------
        folder
            The folder's place.
        fill
            Writes all files into the folder that it is given, and returns what the manifest says beside their digests.
        overwrite
            Replace a folder of this kind.

        Raises
        ------
        OutputFolderError
            `folder` holds something else, or one of this kind that is not to be replaced, or cannot be written.
        """
        folder = Path(folder)
        with writable(folder):
            self.check_free(folder, overwrite=overwrite)
            with whole_folder(folder) as made:
                self.close(made, fill(made))

    def check_free(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Refuse a place that holds something else, or one of this kind that is not to be replaced."""
        folder = Path(folder)
        restore(folder)
        if folder.exists() and not folder.is_dir():
            raise OutputFolderError(f"{folder} is a file; choose another folder")
        if not folder.exists() or not any(folder.iterdir()):
            return
        if not (folder / self.manifest).is_file():
            raise OutputFolderError(f"{folder} is not empty and no {self.what}; choose another folder")
        if not overwrite:
            raise OutputFolderError(
                f"{folder} already holds {_a(self.what)}; choose another folder or ask to overwrite it"
            )

    def close(self, folder: Path, values: Mapping[str, Any]) -> None:
        """Write the manifest of a folder that is complete."""
        version = {} if self.version is None else {"format": self.version}
        write_json(folder / self.manifest, {**version, **values, "files": tree_digests(folder)})

    def open(self, folder: str | Path) -> Manifest:
        """Read a folder's manifest and hold every file against it.

        Raises
        ------
        StaleProjectError
            The folder is none of this kind, its manifest is damaged, or a file is missing or was changed.
        """
        folder = Path(folder)
        manifest = self.read(folder)
        missing, changed = differences(folder, manifest.files)
        for names, how in ((missing, "are missing"), (changed, "were changed after the manifest")):
            if names:
                raise StaleProjectError(
                    f"{folder}: {len(names)} of {len(manifest.files)} files {how}, first {names[0]}; {self.again}"
                    f"{_INSTEAD.get(names[0], '')}"
                )
        return manifest

    def read(self, folder: str | Path) -> Manifest:
        """Read a folder's manifest; its files are not looked at.

        Raises
        ------
        StaleProjectError
            The folder is none of this kind, or its manifest is damaged.
        """
        folder = Path(folder)
        restore(folder)
        path = folder / self.manifest
        if not path.is_file():
            from codesign.core.places import mistaken

            raise StaleProjectError(mistaken(folder, self.what, self.manifest, self.make))
        try:
            values = read_object(path)
        except (ValueError, OSError) as error:
            raise StaleProjectError(f"{path} is damaged ({error}); {self.again}") from error
        found = values.get("format")
        if self.version is not None and found != self.version:
            raise StaleProjectError(f"{path} has format {found!r}, not {self.version}; {self.again}")
        manifest = Manifest(path, values, {}, self.again)
        files = manifest.of(_files)
        if not files and not self.may_be_empty:
            raise StaleProjectError(
                f"{path} is damaged (it names no files, so nothing can be checked); {self.again}"
            )
        return Manifest(path, values, files, self.again)


@dataclass(frozen=True)
class Manifest(Brief):
    """What a sealed folder says of itself.

    Parameters
    ----------
    path
        The manifest.
    values
        Its content.
    files
        The digest of every file by its path relative to the folder.
    again
        What to do when it is damaged.
    """

    path: Path
    values: Mapping[str, Any]
    files: Mapping[str, str]
    again: str

    def of(self, make: Callable[[Mapping[str, Any]], Value]) -> Value:
        """What `make` reads from the content; it may use `field`.

        Raises
        ------
        StaleProjectError
            It raised: something is missing or of another type.
        """
        try:
            return make(self.values)
        except _DAMAGED as error:
            told = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
            raise StaleProjectError(f"{self.path} is damaged ({told}); {self.again}") from error


def field(values: Mapping[str, Any], name: str, kind: type[Value]) -> Value:
    """An entry of a manifest that must have a type; whole numbers serve as floats, booleans as no numbers.

    Raises
    ------
    ValueError
        It has another type.
    """
    value = values[name]
    kinds: tuple[type, ...] = (int, float) if kind is float else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name} is {_short(value)}, no {kind.__name__}")
    return value  # type: ignore[return-value]


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises
    ------
    ValueError
        It is no JSON, or holds something else.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"it holds {_short(value)}, no object")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _files(values: Mapping[str, Any]) -> Mapping[str, str]:
    files = field(values, "files", dict)
    for name, digest in files.items():
        place = PurePosixPath(name)
        if not isinstance(digest, str) or place.is_absolute() or ".." in place.parts:
            raise ValueError(f"files names {name!r} with the digest {_short(digest)}")
    return files


def _a(what: str) -> str:
    return f"an {what}" if what[0] in "AEFHILMNORSX" and what[1].isupper() else f"a {what}"


def differences(folder: Path, files: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The files that are missing, and those whose bytes are not those of their digests."""
    missing, changed = [], []
    for name, digest in files.items():
        path = folder / name
        try:
            if not path.is_file():
                missing.append(name)
            elif file_digest(path) != digest:
                changed.append(name)
        except (OSError, ValueError):  # it cannot be read; its name cannot be one
            changed.append(name)
    return missing, changed


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder beside its place, moved there at the end: whole, or not at all if an exception ends it."""
    with scratch(folder.parent, folder.name) as made:
        yield made
        made.chmod(0o755)
        replace_folder(made, folder)


def replace_folder(temporary: Path, folder: Path) -> None:
    """Move a finished folder into its place; a process that is killed on the way leaves the old one or the new one.

    What was there is set aside under a name by which `restore` finds it.
    """
    if folder.exists():
        old = make_scratch(folder.parent, _aside(folder)) / "old"
        try:
            folder.rename(old)
            temporary.rename(folder)
        except BaseException:
            if not folder.exists():
                with contextlib.suppress(OSError):
                    old.rename(folder)
            raise
        shutil.rmtree(old.parent, ignore_errors=True)
    else:
        temporary.rename(folder)
    for left in leftovers(folder.parent, _aside(folder)):
        shutil.rmtree(left, ignore_errors=True)


def restore(folder: Path) -> None:
    """Put back what a killed process had set aside, if nothing came into its place."""
    if folder.exists():
        return
    for aside in leftovers(folder.parent, _aside(folder)):
        # on a file system that is read-only all stays as it is
        with contextlib.suppress(OSError):
            (aside / "old").rename(folder)
            shutil.rmtree(aside, ignore_errors=True)
            return


def _aside(folder: Path) -> str:
    return f"{folder.name}-replaced"


@contextlib.contextmanager
def writable(folder: str | Path, advice: str = "choose another folder, or make room there") -> Iterator[None]:
    """Say in one sentence what the system refuses while a folder is written.

    Raises
    ------
    OutputFolderError
        The disk is full, read-only or gone, a file grew beyond what is allowed, the folder was removed meanwhile.
    """
    try:
        yield
    except OSError as error:
        if not is_refusal(error, folder):
            raise
        raise OutputFolderError(
            f"{error.filename or folder} cannot be written ({error.strerror or error}); {advice}"
        ) from error


REFUSALS = frozenset(
    getattr(errno, name)
    for name in (
        *(
            "ENOSPC",
            "EDQUOT",
            "EFBIG",
            "EROFS",
            "EACCES",
            "EPERM",
            "EIO",
            "ESTALE",
            "ENOLCK",
            "ENODEV",
            "ENXIO",
        ),
        *(
            "ENOTDIR",
            "EISDIR",
            "EEXIST",
            "ENOTEMPTY",
            "EBUSY",
            "ENAMETOOLONG",
            "EMLINK",
            "ENOTCONN",
            "ETIMEDOUT",
        ),
    )
)

"""What the system says where it does not let one read or write: no defect of the program."""


def is_refusal(error: OSError, folder: str | Path) -> bool:
    """Whether the system refuses to write below a folder, or its place was removed; anything else is a defect."""
    if error.errno == errno.ENOENT:
        where = Path(error.filename) if isinstance(error.filename, str) else Path(folder)
        return not where.parent.exists()
    return error.errno in REFUSALS or any(f"errno = {number}," in str(error) for number in REFUSALS)


_INSTEAD = {"project.tcl": " (for another clock or part codesign build takes --clock-period and --part)"}
"""What a file is changed for by hand, and what does it without."""

HLS_PROJECT = Seal(
    "codesign_project.json",
    "HLS project of codesign",
    "convert a student into it",
    "convert the student again",
)
RTL_PROJECT = Seal(
    "codesign_rtl.json", "RTL project of codesign", "write the RTL again", "write the RTL again", version=3
)
EMULATOR = Seal(
    "codesign_emulator.json", "emulator library", "codesign emulator writes one", "write it again"
)
BUILD_PLAN = Seal("codesign_plan.json", "build plan", "write one first", "write the plan anew")
STAGE = Seal(
    "stage.json", "finished stage", "run the design further", "run it again", version=None, may_be_empty=True
)
