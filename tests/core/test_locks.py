"""Locks that end with their process, on file systems with `flock` and without, and scratch folders."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tiny_design import environment

from codesign.core import locks
from codesign.core.locks import HELD, Owner, hold, is_held, scratch
from codesign.errors import OutputFolderError

TAKEN = "another one works here; wait for it"

CHILD = """
import errno, fcntl, os, sys, time
from codesign.core.locks import hold, scratch

def refuse(file, how):
    raise OSError(getattr(errno, sys.argv[3]), os.strerror(getattr(errno, sys.argv[3])))

if sys.argv[3] != "flock":
    fcntl.flock = refuse
with hold(sys.argv[1], "taken"), scratch(sys.argv[2], "child") as folder:
    (folder / "half").write_text("half")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["flock", "ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system with `flock`, and those that refuse it."""
    number = getattr(errno, request.param, None)

    def refuse(file: object, how: int) -> None:
        raise OSError(number, os.strerror(number or 0))

    if number is not None:
        monkeypatch.setattr(fcntl, "flock", refuse)
    return str(request.param)


def child(lock: Path, system: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", CHILD, str(lock), str(lock.parent), system]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def refusal(lock: Path) -> str:
    with pytest.raises(OutputFolderError) as caught, hold(lock, TAKEN):
        pass
    return str(caught.value)


def test_one_at_a_time(tmp_path: Path, system: str) -> None:
    lock = tmp_path / "lock"
    assert not is_held(lock)
    for _ in range(2):
        with hold(lock, TAKEN):
            assert refusal(lock) == TAKEN
            assert is_held(lock)
        assert not is_held(lock)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_goes_with_its_process_and_its_scratch_with_the_next_one(
    tmp_path: Path, system: str, end: signal.Signals
) -> None:
    lock = tmp_path / "lock"
    process = child(lock, system)
    try:
        assert refusal(lock) == TAKEN
        with scratch(tmp_path, "child"):
            assert len(list(tmp_path.glob(".child-*"))) == 2  # that of a living process stays
    finally:
        process.send_signal(end)
        process.communicate()
    assert len(list(tmp_path.glob(".child-*/half"))) == 1
    with hold(lock, TAKEN), scratch(tmp_path, "child") as mine:
        assert list(tmp_path.glob(".child-*")) == [mine]
    assert list(tmp_path.glob(".child-*")) == []


def test_one_that_waits_comes_when_the_holder_has_ended(tmp_path: Path, system: str) -> None:
    lock = tmp_path / "lock"
    process = child(lock, system)

    def stop() -> None:
        process.kill()
        process.communicate()  # one that nobody has asked for is still a process

    end = threading.Timer(0.3, stop)
    end.start()
    with hold(lock, TAKEN, wait=True):
        assert refusal(lock) == TAKEN
    end.join()
    assert process.returncode == -signal.SIGKILL


def test_an_error_of_the_work_under_a_lock_is_not_the_locks(tmp_path: Path, system: str) -> None:
    with pytest.raises(OSError, match="No space left"), hold(tmp_path / "lock", TAKEN):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "model"))
    assert not is_held(tmp_path / "lock")


@pytest.fixture
def without_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, how: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("without_flock")
def test_on_another_machine_it_is_said_what_to_do(tmp_path: Path) -> None:
    other = {"host": "node7", "place": "0123abcd", "pid": 4711, "start": 5}
    (tmp_path / f"lock{HELD}").write_text(json.dumps(other))
    with pytest.raises(OutputFolderError), hold(tmp_path / "lock", TAKEN, wait=True):
        pass  # nothing would tell when the wait is over
    assert refusal(tmp_path / "lock") == (
        f"{TAKEN}; it is process 4711 on node7, and this file system has no locks that end with their process: if that "
        f"one has ended, remove {tmp_path / f'lock{HELD}'}"
    )


@pytest.mark.usefixtures("without_flock")
def test_a_process_that_has_the_number_of_a_dead_one_is_another(tmp_path: Path) -> None:
    mine = Owner.here()
    assert mine.fate() == "alive"
    for dead in (
        Owner(mine.host, mine.place, mine.pid, mine.start - 1),
        Owner(mine.host, mine.place, 2**22, 1),
    ):
        assert dead.fate() == "gone"
        (tmp_path / f"lock{HELD}").write_text(json.dumps(vars(dead)))
        with hold(tmp_path / "lock", TAKEN):
            assert json.loads((tmp_path / f"lock{HELD}").read_text()) == vars(mine)


@pytest.mark.usefixtures("without_flock")
@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": 1}', '{"host":"a","place":1,"pid":"2","start":3}'])
def test_a_half_made_lock_counts_for_ten_seconds(tmp_path: Path, text: str) -> None:
    held = tmp_path / f"lock{HELD}"
    held.write_text(text)
    assert refusal(tmp_path / "lock") == TAKEN
    old = time.time() - 11
    os.utime(held, (old, old))
    with hold(tmp_path / "lock", TAKEN):
        pass
    assert not held.exists()


def test_a_folder_in_the_place_of_a_lock_is_named(tmp_path: Path, system: str) -> None:
    (tmp_path / "lock").mkdir()
    assert refusal(tmp_path / "lock") == (
        f"{tmp_path / 'lock'} is a folder, and a lock of this name is made there; remove it"
    )


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, system: str) -> None:
    lock = tmp_path / "nowhere" / "lock"
    assert refusal(lock) == f"{lock} cannot be written (No such file or directory)"


def test_another_fault_of_flock_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, how: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert refusal(tmp_path / "lock") == f"{tmp_path / 'lock'} cannot be locked (Input/output error)"


RACE = """
import errno, fcntl, os, sys, time
from pathlib import Path
from codesign.core.locks import hold
from codesign.errors import OutputFolderError

def refuse(file, how):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

fcntl.flock = refuse
lock, until = Path(sys.argv[1]), time.monotonic() + float(sys.argv[2])
inside = lock.with_name("inside")
while time.monotonic() < until:
    try:
        with hold(lock, "taken"):
            inside.open("x").close()  # fails if another one is in here
            inside.unlink()
            with lock.with_name("count").open("a") as count:
                count.write("x")
            if os.getpid() % 2 and lock.with_name("count").stat().st_size % 5 == 0:
                os._exit(0)  # as if it had been killed
    except OutputFolderError:
        pass
"""


def test_two_are_never_inside_at_once_and_dead_ones_keep_nobody_out(tmp_path: Path) -> None:
    words = [sys.executable, "-c", RACE, str(tmp_path / "lock"), "3"]
    processes = [
        subprocess.Popen(words, env=environment(), stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert [process.communicate()[1] for process in processes] == [""] * 4
    assert len((tmp_path / "count").read_text()) >= 2  # how often is the scheduler's
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", lambda file, how: (_ for _ in ()).throw(OSError(errno.ENOSYS, "no")))
        with hold(tmp_path / "lock", TAKEN):
            pass


def test_scratch_of_another_machine_is_left_for_a_week(tmp_path: Path) -> None:
    other = tmp_path / ".work-scratch-0123abcd-17-23-xyz"
    other.mkdir()
    with scratch(tmp_path, "work"):
        assert other.is_dir()
    old = time.time() - 8 * 86400
    os.utime(other, (old, old))
    with scratch(tmp_path, "work"):
        assert not other.exists()


def test_a_name_with_the_signs_of_patterns_is_a_name(tmp_path: Path) -> None:
    mine = Owner.here()
    dead = tmp_path / f".a[1]*-scratch-{mine.place}-{mine.pid}-{mine.start - 1}-q"
    dead.mkdir()
    assert locks.leftovers(tmp_path, "a[1]*") == [dead]
