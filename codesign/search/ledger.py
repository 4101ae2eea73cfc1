"""What a search knows, as lines that are only ever added: each is on the disk before anything follows from it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from codesign.core.files import read_json, write_json
from codesign.core.places import SEARCH, mistaken
from codesign.core.shown import Brief
from codesign.errors import OutputFolderError, StaleProjectError

LEDGER = "ledger.jsonl"
PROGRESS = "progress.json"
ABOUT = SEARCH
JOURNAL = "optuna.journal"
RUNS = "runs"
PLANS = "plans"

State = Literal["complete", "pruned", "failed"]


@dataclass
class TrialLine(Brief):
    """A trial that has ended.

    Parameters
    ----------
    number
        In the search, from 0.
    params
        What was varied, by dotted path.
    state
        ``complete``, ``pruned`` or ``failed``.
    values
        Of the objectives and limits, means over seeds and folds; empty unless complete.
    spread
        Their sample standard deviations; empty for one run.
    violations
        By how much of it each limit is missed.
    reason
        Why it was pruned or failed.
    seconds
        Of all its runs together.
    of
        The trial whose training it is another point of.
    """

    number: int
    params: dict[str, Any]
    state: State
    values: dict[str, float] = field(default_factory=dict)
    spread: dict[str, float] = field(default_factory=dict)
    violations: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    of: int | None = None

    @property
    def is_within_limits(self) -> bool:
        """Whether it is complete and misses no limit."""
        return self.state == "complete" and all(value <= 0 for value in self.violations.values())


@dataclass
class ProofLine:
    """What the hardware of a trial was found to be.

    Parameters
    ----------
    trial
        The trial's number.
    state
        ``proved``, or ``refuted`` with the reason.
    values
        Of the open RTL: `lut`, `latency_cycles`, ...
    notes
        What could not be done here, each with its reason.
    reason
        Why it is no result.
    folder
        The run's, below the search's.
    vendor
        What became of the vendor's steps: not yet (empty), ``done``, ``failed``, or ``planned``, to be run elsewhere.
    """

    trial: int
    state: Literal["proved", "refuted"]
    values: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    folder: str = ""
    vendor: Literal["", "done", "failed", "planned"] = ""


class Ledger:
    """The lines of a search's folder.

    Parameters
    ----------
    folder
        The search's.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / LEDGER
        self.trials: dict[int, TrialLine] = {}
        self.proofs: dict[int, ProofLine] = {}
        self.units: dict[str, dict[str, Any]] = {}
        """The outcome of each unit that has ended, by its key."""
        self.attempts: dict[str, list[dict[str, str]]] = {}
        """The failures of each unit, by its key."""
        self.seconds: dict[int, float] = {}
        """What the runs of each trial took together, by its number."""
        self._unsynced = False
        for line in _lines(self.path):
            self._take(line)

    def add(self, kind: Literal["trial", "proof", "unit", "attempt"], line: Mapping[str, Any]) -> None:
        """Add a line to the file and to what is known; `sync` puts it on the disk.

        Raises
        ------
        OutputFolderError
            If it cannot be written.
        """
        whole = {"kind": kind, **line}
        append(
            self.path, (json.dumps(whole, ensure_ascii=False, allow_nan=False) + "\n").encode(), durable=False
        )
        self._unsynced = True
        self._take(whole)

    def sync(self) -> None:
        """Put what was added on the disk, once for many lines.

        Raises
        ------
        OutputFolderError
            If it cannot be written.
        """
        if self._unsynced:
            append(self.path, b"")
            self._unsynced = False

    def _take(self, line: dict[str, Any]) -> None:
        kind = line.pop("kind")
        if kind == "trial":
            trial = TrialLine(**line)
            self.trials.setdefault(trial.number, trial)
        elif kind == "proof":
            self.proofs[line["trial"]] = ProofLine(**line)
        elif kind == "unit":
            if line["key"] not in self.units:  # the first result is the result
                self.units[line["key"]] = line
                number = line["trial"]
                self.seconds[number] = self.seconds.get(number, 0.0) + line["seconds"]
        elif kind == "attempt":
            self.attempts.setdefault(line["key"], []).append(line)


def append(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Add to a file; with `durable` wait until all of it, what was added before too, is on the disk.

    A process that is killed loses nothing that was added; a machine that loses its power, what was not waited for.

    Raises
    ------
    OutputFolderError
        If it cannot be written.
    """
    try:
        with path.open("ab") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
    except OSError as error:
        raise OutputFolderError(
            f"{path} cannot be written any more ({error.strerror}); what has ended is kept: mend that, and the same command "
            "goes on"
        ) from error


def mend(path: Path) -> None:
    """Take away a last line that a killed process, or a full disk, left half written.

    Parameters
    ----------
    path
        A file of JSON lines; nothing happens if it is not there.
    """
    if not path.is_file():
        return
    with path.open("rb+") as file:
        end = good = file.seek(0, os.SEEK_END)
        block = min(end, 1 << 20)
        file.seek(end - block)
        tail = file.read(block)
        while tail:
            start = tail.rfind(b"\n", 0, len(tail) - 1) + 1
            if tail.endswith(b"\n") and _is_json(tail[start:]):
                break
            good -= len(tail) - start
            tail = tail[:start]
        if good < end:
            file.truncate(good)
            os.fsync(file.fileno())


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file that another process may be adding to."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                found = json.loads(line)
                found["kind"]
            except (ValueError, TypeError, KeyError):
                raise StaleProjectError(
                    f"{path}: line {number} is damaged; take it out of the file: its trial is then made again"
                ) from None
            yield found


def write_progress(folder: Path, progress: Mapping[str, Any]) -> None:
    """Say what goes on, for `codesign search status`."""
    write_json(folder / PROGRESS, dict(progress))


def read_progress(folder: str | Path) -> dict[str, Any]:
    """What the search last said of itself; empty if it never did, or the file is damaged."""
    try:
        return dict(read_json(Path(folder) / PROGRESS))
    except (OSError, ValueError, TypeError):
        return {}


def read_about(folder: str | Path) -> dict[str, Any]:
    """What a search's folder is of: `file`, `design`, `settings`, digests.

    Raises
    ------
    StaleProjectError
        If the folder is no search, or the file is damaged.
    """
    path = Path(folder) / ABOUT
    if not path.is_file():
        raise StaleProjectError(
            mistaken(folder, "search's folder", ABOUT, "codesign search run SEARCH.yaml makes one")
        )
    try:
        found = dict(read_json(path))
        return {name: found[name] for name in ("file", "design", "settings", "digests", "overrides", "seeds")}
    except (OSError, ValueError, TypeError, KeyError):
        raise StaleProjectError(f"{path} is damaged; begin the search in another folder") from None
