"""Stages that several runs share: found by the digest of all that they depend on, made once, limited in size."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from codesign.core.files import json_digest
from codesign.core.locks import hold
from codesign.core.sealed import STAGE
from codesign.errors import OutputFolderError
from codesign.run_folder import RunFolder, StageEvidence

SHARED = ("teacher", "student")
"""The stages that runs of one search have in common; what comes behind them differs from trial to trial."""

_LOCKS = "locks"


class StageCache:
    """A folder of finished stages by key.

    Removing the folder, or any entry of it, costs only time. An entry that is damaged is made again.

    Parameters
    ----------
    path
        Made when something is kept first.
    limit_bytes
        What it may hold; the entries that were not used for longest go first.
    """

    def __init__(self, path: str | Path, limit_bytes: float) -> None:
        self.path, self.limit_bytes = Path(path), limit_bytes
        self._entries = RunFolder(path)

    @contextlib.contextmanager
    def turn(self, key: str) -> Iterator[None]:
        """Wait until nobody else makes the stage of a key; the turn goes with the process, however it ends."""
        locks = self.path / _LOCKS
        locks.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as turn:
            # where no lock is to be had the stage is made twice, to the same result
            with contextlib.suppress(OutputFolderError):
                turn.enter_context(hold(locks / json_digest(key)[:16], "the stage is made there", wait=True))
            yield

    def take(self, key: str, folder: Path) -> StageEvidence | None:
        """Copy the stage of a key into a folder that is there; ``None`` if it is not kept, or damaged."""
        found = self._entries.evidence(key)
        if found is None:
            return None
        try:
            entry = self.path / key
            shutil.copytree(entry, folder, dirs_exist_ok=True, ignore=lambda at, _: _evidence_at(at, entry))
            os.utime(entry)
        except OSError:  # another process made room
            for left in folder.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            return None
        return found

    def keep(self, key: str, folder: Path, evidence: StageEvidence) -> None:
        """Keep a copy of a finished stage, and make room for it."""
        try:
            with self._entries.writing(key) as temporary:
                shutil.copytree(
                    folder, temporary, dirs_exist_ok=True, ignore=lambda at, _: _evidence_at(at, folder)
                )
                self._entries.commit(key, temporary, evidence)
        except OSError:  # no room on the disk: the run has what it needs
            shutil.rmtree(self.path / key, ignore_errors=True)
        self._make_room(key)

    def _make_room(self, newest: str) -> None:
        entries = []
        for entry in self.path.glob("[!.]*"):
            if entry.is_dir() and entry.name not in (_LOCKS, newest):
                with contextlib.suppress(OSError):
                    entries.append((entry.stat().st_mtime, _size(entry), entry))
        total = sum(size for _, size, _ in entries) + _size(self.path / newest)
        for _, size, entry in sorted(entries, key=lambda found: found[0]):
            if total <= self.limit_bytes:
                return
            gone = entry.with_name(f".{entry.name}-{os.getpid()}-{time.monotonic_ns()}")
            with contextlib.suppress(OSError):
                entry.rename(gone)  # at once: a reader finds all of it or nothing
                shutil.rmtree(gone, ignore_errors=True)
            total -= size


def _evidence_at(folder: str | os.PathLike[str], top: Path) -> list[str]:
    return [STAGE.manifest] if Path(folder) == top else []


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total
