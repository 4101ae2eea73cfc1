"""The folder of one run: locked by one process, every stage whole in it or absent, nothing finished overwritten."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.core.files import read_json, tree_digests, write_json
from codesign.core.record import Record
from codesign.errors import DataError, OutputFolderError

EVIDENCE = "stage.json"
LOCK = ".codesign-lock"
"""Stands in every run's folder, locked while a run works there."""

_LEAST_FREE_BYTES = 200 * 2**20
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class StageEvidence:
    """What a finished stage says of itself.

    Parameters
    ----------
    key
        The digest of everything that the stage depends on.
    depends
        What went into the key, by name, to say what changed.
    record
        The stage's record.
    """

    key: str
    depends: dict[str, str]
    record: Record


class RunFolder:
    """A run's folder.

    Parameters
    ----------
    path
        Made when it is locked, if it is missing; reading needs no lock.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for writing; the lock goes with the process, however it ends.

        Raises
        ------
        OutputFolderError
            If the folder cannot be written, holds something that is no run, its disk has less than 200 MB left or
            becomes full, or another process holds it.
        """
        self._prepare()
        with (self.path / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
                    raise
                raise OutputFolderError(
                    f"another run works in {self.path}; wait for it or choose another folder with --output or --name"
                ) from None
            self._clear_leftovers()
            try:
                yield
            except OSError as error:
                if error.errno not in _UNWRITABLE:
                    raise
                raise OutputFolderError(
                    f"{error.filename or self.path} cannot be written any more ({error.strerror}); the finished "
                    "stages are kept: mend that, and the same command resumes"
                ) from error

    def _prepare(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".probe-{os.getpid()}"
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            raise OutputFolderError(
                f"the output folder {self.path} cannot be written ({error.strerror}); choose another with --output"
            ) from error
        if not (self.path / LOCK).exists() and any(self.path.glob("[!.]*")):
            raise OutputFolderError(
                f"{self.path} is not empty and holds no run; choose another folder with --output"
            )
        free = shutil.disk_usage(self.path).free
        if free < _LEAST_FREE_BYTES:
            raise OutputFolderError(
                f"the disk of {self.path} has {free / 2**20:.0f} MB left, and a run needs 200 MB; free some or choose "
                "another folder with --output"
            )

    def _clear_leftovers(self) -> None:
        """Remove what a killed run was writing: stages, and files of `codesign.core.files`."""
        for left in self.path.glob(".*-writing*"):
            shutil.rmtree(left, ignore_errors=True)
        for left in self.path.glob(".writing-*"):
            left.unlink(missing_ok=True)

    def evidence(self, stage: str) -> StageEvidence | None:
        """What a stage left, or ``None`` if it is absent or its files are not what it left."""
        folder = self.path / stage
        try:
            found: dict[str, Any] = read_json(folder / EVIDENCE)
            if tree_digests(folder, found["files"]) != found["files"]:
                return None
            return StageEvidence(found["key"], found["depends"], Record.from_dict(found["record"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, DataError):
            return None

    @contextlib.contextmanager
    def writing(self, stage: str) -> Iterator[Path]:
        """A temporary folder for a stage; `commit` moves it into place."""
        temporary = self.path / f".{stage}-writing"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def commit(self, stage: str, temporary: Path, evidence: StageEvidence) -> None:
        """Put a stage's finished folder in place of what was there."""
        files = tree_digests(temporary)
        write_json(
            temporary / EVIDENCE,
            {
                "key": evidence.key,
                "depends": evidence.depends,
                "files": files,
                "record": evidence.record.to_dict(),
            },
        )
        self.remove(stage)
        temporary.rename(self.path / stage)

    def remove(self, stage: str) -> None:
        """Forget a stage."""
        shutil.rmtree(self.path / stage, ignore_errors=True)
