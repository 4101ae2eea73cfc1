"""Real Dask workers on this machine: only the loopback listens, a killed one is replaced, none is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from search_cases import coordinate, write_search
from sleeping_trials import FINISHED, sleep

from codesign.errors import FolderInUseError, ToolError, WorkerRefusedError
from codesign.search import unit as unit_module
from codesign.search.executor import (
    Executor,
    Workers,
    local_executor,
    open_executor,
    read_workers,
    workers_that_pay,
)
from codesign.search.unit import Outcome, Unit, attempt, pack, refuse_other_identity, unpack, worker_identity


def listening() -> dict[str, set[str]]:
    """The local addresses that this process and its children listen on (hexadecimal), by process."""
    sockets = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                sockets[fields[9]] = fields[1].rpartition(":")[0]
    found: dict[str, set[str]] = {}
    for process in (os.getpid(), *children()):
        for entry in Path(f"/proc/{process}/fd").iterdir():
            try:
                target = os.readlink(entry)
            except OSError:
                continue
            inode = target.removeprefix("socket:[").removesuffix("]")
            if inode in sockets:
                found.setdefault(str(process), set()).add(sockets[inode])
    return found


def children() -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            # Dask gives its workers a title where setproctitle is installed
            if parent == os.getpid() and (b"spawn_main" in words or words.startswith(b"dask worker")):
                found.append(int(entry.name))
    return found


class KillsOnce(Executor):
    """Kills the worker of the third unit."""

    def submit(self, unit: Unit) -> None:
        super().submit(unit)
        if unit.trial == 2 and not getattr(self, "killed", False):
            until = time.monotonic() + 60
            while not children() and time.monotonic() < until:
                time.sleep(0.05)
            os.kill(children()[0], signal.SIGKILL)
            self.killed = True


def test_a_search_on_workers_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODESIGN_SLEEP_S", "0.05")
    file = write_search(tmp_path, budget={"trials": 6}, proof=False)
    with local_executor(sleep, 1) as executor:
        executor.__class__ = KillsOnce
        ledger = coordinate(file, executor)  # type: ignore[arg-type]
        loopback = {"0100007F", "00000000000000000000000001000000"}
        addresses = listening()
        assert addresses
        assert set().union(*addresses.values()) <= loopback
    assert not children()
    assert {line.state for line in ledger.trials.values()} == {"complete"}
    assert len(ledger.trials) == 6
    assert [line["how"] for lines in ledger.attempts.values() for line in lines] in (["death"], [])
    finished = [line.split()[0] for line in (tmp_path / "search" / FINISHED).read_text().splitlines()]
    assert len(set(finished)) == 6


class StopsTwo(Executor):
    """Stops a worker, which then hangs with its unit, and another one at the very end."""

    def submit(self, unit: Unit) -> None:
        super().submit(unit)
        if unit.trial == 1 and not getattr(self, "stopped", None):
            until = time.monotonic() + 60
            while unit.key not in self.where() and time.monotonic() < until:
                time.sleep(0.05)
            self.stopped = children()
            for process in self.stopped:
                os.kill(process, signal.SIGSTOP)


@pytest.mark.slow
def test_a_worker_that_hangs_is_killed_and_one_that_is_stopped_does_not_hold_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODESIGN_SLEEP_S", "2")
    file = write_search(tmp_path, budget={"trials": 3}, proof=False, time_limit_minutes=0.2)
    with local_executor(sleep, 1) as executor:
        executor.__class__ = StopsTwo
        ledger = coordinate(file, executor)  # type: ignore[arg-type]
        reasons = [line["reason"] for lines in ledger.attempts.values() for line in lines]
        for process in children():
            os.kill(process, signal.SIGSTOP)
        started = time.monotonic()
    assert time.monotonic() - started < 60
    assert not children()
    assert "no end after 0.2 minutes" in reasons
    assert {line.state for line in ledger.trials.values()} == {"complete"}


def lost_gpu(unit: Unit) -> Outcome:
    """A process that loses its device at the third run: nothing goes well in it any more."""
    seen = Path(unit.home) / f"process-{os.getpid()}"
    with seen.open("a") as file:
        file.write("x")
    if len(seen.read_text()) >= 3:
        raise RuntimeError("CUDA_ERROR_DEVICE_UNAVAILABLE: the device was lost")
    return sleep(unit)


def whereabouts(unit: Unit) -> Outcome:
    """Which process ran it."""
    from distributed import get_worker

    told = Path(unit.home) / f"{unit.kind}-{unit.trial}"
    told.write_text(str(dict(get_worker().state.total_resources)))
    return sleep(unit)


@pytest.mark.slow
def test_a_worker_whose_gpu_got_lost_is_another_process_for_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODESIGN_SLEEP_S", "0.05")
    file = write_search(tmp_path, budget={"trials": 5}, proof=False)
    with local_executor(lost_gpu, 1) as executor:
        ledger = coordinate(file, executor)  # type: ignore[arg-type]
    assert {line.state for line in ledger.trials.values()} == {"complete"}
    reasons = [line["reason"] for lines in ledger.attempts.values() for line in lines]
    assert reasons
    assert all(reason.startswith("RuntimeError: CUDA_ERROR_DEVICE_UNAVAILABLE") for reason in reasons)
    assert len(list((tmp_path / "search").glob("process-*"))) >= 3


@pytest.mark.slow
def test_vendor_steps_run_where_the_resource_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Scheduler, SpecCluster, Worker

    monkeypatch.setenv("CODESIGN_SLEEP_S", "0")
    file = write_search(tmp_path, budget={"trials": 8})
    workers = {
        name: {"cls": Worker, "options": {"nthreads": 1, "resources": resources, "dashboard_address": None}}
        for name, resources in (("plain", {}), ("licensed", {"vitis": 1}))
    }
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
    with (
        SpecCluster(scheduler=scheduler, workers=workers) as cluster,
        open_executor(whereabouts, Workers(cluster.scheduler_address)) as executor,
    ):
        ledger = coordinate(file, executor)  # type: ignore[arg-type]
    home = tmp_path / "search"
    assert ledger.proofs
    for number in ledger.proofs:
        assert (home / f"vendor-{number}").read_text() == "{'vitis': 1}"


def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codesign.search.executor._CONNECT_S", 1.0)
    with (
        pytest.raises(
            ToolError, match=r"^--scheduler tcp://127\.0\.0\.1:9: no Dask scheduler answered within 1 s"
        ),
        open_executor(sleep, Workers("tcp://127.0.0.1:9")),
    ):
        pass


@pytest.mark.parametrize("words", [b"", b"HTTP/1.0 400 Bad request\r\n\r\n"])
def test_what_listens_and_is_no_scheduler_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, words: bytes
) -> None:
    monkeypatch.setattr("codesign.search.executor._CONNECT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=answer, args=(server, words))
        answering.start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        started = time.monotonic()
        _, faults = read_workers(address, None, None)
        assert time.monotonic() - started < 30
        server.shutdown(socket.SHUT_RDWR)
        answering.join()
    assert faults == [
        f"--scheduler {address}: no Dask scheduler answered within 1 s (what listens there is something else); start one "
        "with `dask scheduler`, or leave the option out for workers on this machine"
    ]


def answer(server: socket.socket, words: bytes) -> None:
    """Say the same to whoever calls, and keep the lines open until the end."""
    with contextlib.ExitStack() as kept, contextlib.suppress(OSError):
        while True:
            line = kept.enter_context(server.accept()[0])
            line.sendall(words)


def test_a_process_of_another_version_refuses_itself() -> None:
    refuse_other_identity(worker_identity())
    refuse_other_identity(worker_identity(), now=True)
    with pytest.raises(
        WorkerRefusedError, match=r"\(Python 3\.\d+\.\d+, not 2\.7\); install the same codesign"
    ):
        refuse_other_identity({**worker_identity(), "Python": "2.7"})


def test_what_a_unit_raises_comes_back_as_words() -> None:
    def work(unit: Unit) -> None:
        raise KeyError("lost")

    unit = Unit("k", 0, "run", "d", "f", "h", "m", {}, None, (), {})
    failure = attempt(work, unit)  # type: ignore[arg-type]
    assert failure == type(failure)("KeyError: 'lost'", "spoilt", "")  # type: ignore[call-arg,arg-type]


def test_dasks_threads_draw_no_random_number_of_the_training() -> None:
    import random

    from dask.sizeof import sizeof
    from distributed.protocol import compression

    unit = Unit("k", 0, "run", "d", "f", "h", "m", {}, None, (), {})
    attempt(lambda unit: None, unit)  # type: ignore[arg-type,return-value]
    random.seed(3)
    before = random.getstate()
    sizeof([{"a": 1}] * 30)
    compression.randint(0, 5)
    assert random.getstate() == before


def test_as_many_workers_as_cores_at_most() -> None:
    assert 1 <= workers_that_pay() <= len(os.sched_getaffinity(0))


def test_a_packed_folder_comes_whole_or_the_old_one_stays(tmp_path: Path) -> None:
    for name, text in (("one", "1"), ("two", "2")):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "file").write_text(text)
    one, two = pack(tmp_path / "one"), pack(tmp_path / "two")
    folder = tmp_path / "runs" / "trial"
    unpack(one, folder)
    (folder / "stray").write_text("of the old one")
    unpack(two, folder)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*")} == {"sub", "sub/file"}
    with pytest.raises((OSError, EOFError)):
        unpack(one[: len(one) // 2], folder)
    assert (folder / "sub" / "file").read_text() == "2"
    assert [path.name for path in folder.parent.iterdir()] == ["trial"]
    assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("begins", ["", "runs/00001/seed0"])
def test_a_worker_waits_for_another_process_in_a_run_s_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins: str
) -> None:
    tries = []

    def in_use(*_: object, **__: object) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise FolderInUseError("in use")

    first = "take_stages" if begins else "run_design"
    monkeypatch.setattr("codesign.flow.run_design", lambda *_, **__: None)
    monkeypatch.setattr(f"codesign.flow.{first}", in_use)
    monkeypatch.setattr(unit_module.time, "sleep", lambda seconds: None)
    unit = SimpleNamespace(kind="run", cache_bytes=1.0, overrides={}, until=None, begins=begins)
    unit_module._run(unit, tmp_path, tmp_path / "run", tmp_path)  # type: ignore[arg-type]
    assert len(tries) == 3
    monkeypatch.setattr(unit_module, "_WAIT_S", -1.0)
    tries.clear()
    with pytest.raises(FolderInUseError):
        unit_module._run(unit, tmp_path, tmp_path / "run", tmp_path)  # type: ignore[arg-type]
    assert len(tries) == 1
