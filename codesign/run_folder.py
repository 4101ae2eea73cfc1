"""The folder of one run: locked by one process, every stage whole in it or absent, nothing finished overwritten."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.core.locks import hold
from codesign.core.places import RUN as RUN
from codesign.core.record import Record
from codesign.core.sealed import STAGE, field, is_refusal, replace_folder
from codesign.errors import OutputFolderError, StaleProjectError

LOCK = ".codesign-lock"
"""Stands in every run's folder, locked while a run works there."""

_LEAST_FREE_BYTES = 200 * 2**20


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
    """A run's folder, or that of a search.

    Parameters
    ----------
    path
        Made when it is locked, if it is missing; reading needs no lock.
    what
        What works there: ``run`` or ``search``.
    mark
        The file that says so, also in a copy without the hidden lock.
    """

    def __init__(self, path: str | Path, what: str = "run", mark: str = RUN) -> None:
        self.path, self.what, self.mark = Path(path), what, mark

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for writing; the lock goes with the process, however it ends.

        Raises
        ------
        FolderInUseError
            Another process holds it.
        OutputFolderError
            If the folder cannot be written, holds something else, its disk has less than 200 MB left or becomes full.
        """
        self._prepare()
        taken = (
            f"another {self.what} works in {self.path}; wait for it or choose another folder with --output"
            + (" or --name" if self.what == "run" else "")
        )
        with hold(self.path / LOCK, taken):
            self._clear_leftovers()
            try:
                yield
            except OSError as error:
                if not is_refusal(error, self.path / LOCK):
                    raise
                if not self.path.is_dir():
                    raise OutputFolderError(
                        f"{self.path} was removed while the {self.what} worked there; run it again"
                    ) from error
                raise OutputFolderError(
                    f"{error.filename or self.path} cannot be written any more ({error.strerror or error}); the finished "
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
        if not self._holds_one() and any(self.path.glob("[!.]*")):
            raise OutputFolderError(
                f"{self.path} is not empty and holds no {self.what}; choose another folder with --output"
            )
        free = shutil.disk_usage(self.path).free
        if free < _LEAST_FREE_BYTES:
            raise OutputFolderError(
                f"the disk of {self.path} has {free / 2**20:.0f} MB left, and a {self.what} needs 200 MB; free some or choose "
                "another folder with --output"
            )

    def _holds_one(self) -> bool:
        """Whether a run or search works or worked here; a copy may lack the hidden lock."""
        evidence = self.mark == RUN and any(self.path.glob(f"*/{STAGE.manifest}"))
        return (self.path / LOCK).exists() or (self.path / self.mark).is_file() or evidence

    def _clear_leftovers(self) -> None:
        """Remove what a killed run was writing: stages, and files of `codesign.core.files`."""
        for left in self.path.glob(".*-writing*"):
            shutil.rmtree(left, ignore_errors=True)
        for left in self.path.glob(".writing-*"):
            left.unlink(missing_ok=True)

    def evidence(self, stage: str) -> StageEvidence | None:
        """What a stage left, or ``None`` if it is absent or its files are not what it left."""

        def read(values: Mapping[str, Any]) -> StageEvidence:
            record = Record.from_dict(field(values, "record", dict))
            for name, kind in (("digest", str), ("metrics", dict), ("parents", dict), ("seconds", float)):
                field(vars(record), name, kind)
            return StageEvidence(field(values, "key", str), field(values, "depends", dict), record)

        try:
            return STAGE.open(self.path / stage).of(read)
        except StaleProjectError:
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
        values = {"key": evidence.key, "depends": evidence.depends, "record": evidence.record.to_dict()}
        STAGE.close(temporary, values)
        replace_folder(temporary, self.path / stage)

    def take(self, stage: str, other: RunFolder) -> None:
        """Copy a stage of another run, whole or not at all."""
        with self.writing(stage) as temporary:
            shutil.copytree(other.path / stage, temporary, dirs_exist_ok=True)
            replace_folder(temporary, self.path / stage)

    def remove(self, stage: str) -> None:
        """Forget a stage."""
        shutil.rmtree(self.path / stage, ignore_errors=True)
