"""One process at a time: locks that end with their process, on file systems with `flock` and without, and scratch folders.

Where the file system knows no `flock` (Lustre without its option, some FUSE), a lock is a file that only one process can
make. It names its host, process and that process's start, so that the next one can tell whether the holder still lives.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from codesign.errors import FolderInUseError, OutputFolderError

HELD = ".held"
"""What is added to a lock's name for the file that stands for it where there is no `flock`."""

_TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
_HALF_MADE_S = 10.0
"""A holder's file without its content is that of a process that died while it wrote it after this long."""

_LOOK_EVERY_S = 0.05
"""How often one that waits looks whether the holder's file is still there."""

_FOREIGN_LEFTOVER_S = 7 * 86400.0
"""Scratch of another machine, whose processes nobody here can see, is a leftover after this long."""

_SCRATCH = re.compile(r"-scratch-(?P<place>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>\d+)-")


@dataclass(frozen=True)
class Owner:
    """A process, told apart from every other one, also from one that gets its number later.

    Parameters
    ----------
    host
        The machine's name, for people.
    place
        Tells the machine, its boot and its container: numbers of processes mean nothing elsewhere.
    pid
        The process's number there.
    start
        When it began, in clock ticks since the boot; 0 where the system does not say.
    """

    host: str
    place: str
    pid: int
    start: int

    @classmethod
    def here(cls) -> Owner:
        """The process that asks."""
        parts = [socket.gethostname(), _text("/proc/sys/kernel/random/boot_id"), _link("/proc/self/ns/pid")]
        place = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
        return cls(parts[0], place, os.getpid(), _start(os.getpid()))

    def fate(self) -> Literal["alive", "gone", "unknown"]:
        """Whether the process lives; unknown on another machine."""
        if self.place != Owner.here().place:
            return "unknown"
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return "gone"
        except PermissionError:
            pass
        return "alive" if _start(self.pid) == self.start else "gone"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _start(pid: int) -> int:
    # the command's name stands in parentheses and may hold spaces; the start is the 20th field after it
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 else 0


@contextlib.contextmanager
def hold(path: str | Path, taken: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock; it goes with the process, however that ends.

    Parameters
    ----------
    path
        The lock's file, made if it is missing and left there; its folder exists.
    taken
        The sentence for another process that holds it: what works there, and what to do.
    wait
        Wait until a process that holds it ends, instead of refusing. Without `flock` nothing tells when one of another
        machine ends: that is refused all the same.

    Raises
    ------
    FolderInUseError
        Another process holds it.
    OutputFolderError
        No lock can be made there.
    """
    path = Path(path)
    with contextlib.ExitStack() as held:
        try:
            file = held.enter_context(path.open("a"))
        except IsADirectoryError:
            raise OutputFolderError(
                f"{path} is a folder, and a lock of this name is made there; remove it"
            ) from None
        except OSError as error:
            raise OutputFolderError(f"{path} cannot be written ({error.strerror})") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _TAKEN:
                raise FolderInUseError(taken) from None
            if error.errno not in _NO_FLOCK:
                raise OutputFolderError(f"{path} cannot be locked ({error.strerror})") from error
            held.enter_context(_hold_file(path.with_name(path.name + HELD), taken, wait))
        yield


def is_held(path: str | Path) -> bool:
    """Whether a process holds a lock at this moment."""
    path = Path(path)
    if not path.is_file():
        return False
    try:
        with hold(path, ""):
            return False
    except FolderInUseError:
        return True


@contextlib.contextmanager
def _hold_file(path: Path, taken: str, wait: bool) -> Iterator[None]:
    """A file that only one process can make stands for the lock."""
    mine = Owner.here()
    try:
        while not _made(path, mine):
            _refuse_living(path, taken, wait)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    except OSError as error:
        if error.filename not in (str(path), str(_clearing(path))):
            raise
        raise OutputFolderError(f"{error.filename} cannot be written ({error.strerror})") from error


def _made(path: Path, owner: Owner) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(asdict(owner), file)
    except FileExistsError:
        return False
    return True


def _refuse_living(path: Path, taken: str, wait: bool) -> None:
    """Remove the file of a holder that is gone; give one that lives a moment, or refuse."""
    try:
        age = time.time() - path.stat().st_mtime
        owner = _owner(path)
    except FileNotFoundError:  # it has just ended
        return
    fate = owner.fate() if owner is not None else "gone" if age > _HALF_MADE_S else "alive"
    if fate == "alive" and wait:
        time.sleep(_LOOK_EVERY_S)
        return
    if fate == "alive":
        raise FolderInUseError(taken)
    if owner is not None and fate == "unknown":
        raise FolderInUseError(
            f"{taken}; it is process {owner.pid} on {owner.host}, and this file system has no locks that end with their "
            f"process: if that one has ended, remove {path}"
        )
    _remove_once(path, owner)


def _clearing(path: Path) -> Path:
    return path.with_name(path.name + "-clearing")


def _remove_once(path: Path, owner: Owner | None) -> None:
    """Remove a dead holder's file, and never that of the next one, which may be made at any moment."""
    clearing = _clearing(path)
    try:
        clearing.open("x").close()
    except FileExistsError:
        with contextlib.suppress(FileNotFoundError):
            if time.time() - clearing.stat().st_mtime > _HALF_MADE_S:
                clearing.unlink()
        time.sleep(0.01)
        return
    try:
        with contextlib.suppress(FileNotFoundError):
            if _owner(path) == owner:
                path.unlink()
    finally:
        clearing.unlink(missing_ok=True)


def _owner(path: Path) -> Owner | None:
    """Who made a file; ``None`` while it has no content."""
    try:
        found = Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return None
    is_whole = isinstance(found.pid, int) and isinstance(found.start, int) and isinstance(found.place, str)
    return found if is_whole else None


@contextlib.contextmanager
def scratch(folder: str | Path, name: str) -> Iterator[Path]:
    """A temporary folder in `folder`; those that killed processes left under this name are removed first.

    Parameters
    ----------
    folder
        Made if it is missing.
    name
        What the temporary folder is for; its name begins with it, hidden.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    for left in leftovers(folder, name):
        shutil.rmtree(left, ignore_errors=True)
    made = make_scratch(folder, name)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def make_scratch(folder: str | Path, name: str) -> Path:
    """A temporary folder that tells by its name which process made it."""
    mine = Owner.here()
    prefix = f".{name}-scratch-{mine.place}-{mine.pid}-{mine.start}-"
    try:
        return Path(tempfile.mkdtemp(dir=folder, prefix=prefix))
    except FileNotFoundError as error:
        if not Path(folder).is_dir():
            raise
        # /proc and its like let nothing be made in them, and say that they are not there
        raise PermissionError(errno.EACCES, "nothing can be made there", str(folder)) from error


def leftovers(folder: str | Path, name: str) -> list[Path]:
    """The scratch folders of this name whose processes are gone."""
    found = Path(folder).glob(glob.escape(f".{name}-scratch-") + "*")
    return sorted(path for path in found if _is_leftover(path))


def _is_leftover(path: Path) -> bool:
    match = _SCRATCH.search(path.name)
    if match is None:
        return False
    fate = Owner("", match["place"], int(match["pid"]), int(match["start"])).fate()
    if fate != "unknown":
        return fate == "gone"
    try:
        return time.time() - path.stat().st_mtime > _FOREIGN_LEFTOVER_S
    except OSError:
        return False
