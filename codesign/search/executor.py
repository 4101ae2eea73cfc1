"""What executes the units: `dask.distributed`, a cluster of this machine or one that runs somewhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from codesign.errors import SettingsError, ToolError
from codesign.search.unit import Failure, Outcome, Unit, attempt

if TYPE_CHECKING:
    from codesign.search.cluster import ClusterSettings

_CONNECT_S = 10.0
_WORKERS_S = 300.0
_RESULT_S = 60.0
_KEEP_UP_S = 15.0
_LOOK_S = 0.5
_READERS = 16
_MEMORY_A_WORKER = 1.5e9
"""Bytes that a worker with TensorFlow and a small training takes, rounded up."""

RESOURCE = "vitis"
"""What workers that may run the vendor's tools offer: ``dask worker --resources vitis=1``."""

Work = Callable[[Unit], Outcome]


@dataclass(frozen=True)
class Ended:
    """A unit that is no longer running.

    Parameters
    ----------
    unit
        The unit.
    outcome
        What came of it; ``None`` if nothing did.
    how
        ``done``; ``error``, it raised; ``death``, its worker died; ``lost``, the cluster forgot it.
    reason
        In words.
    failure
        What it raised.
    """

    unit: Unit
    outcome: Outcome | None
    how: Literal["done", "error", "death", "lost"]
    reason: str = ""
    failure: Failure | None = None


class _Told:
    """What the scheduler tells when it is asked; asked again beside, so that one that is busy keeps nobody waiting.

    Parameters
    ----------
    ask
        Asks, and waits for the answer.
    every_s
        How old an answer may be before it is asked again.
    """

    def __init__(self, ask: Callable[[], Any], every_s: float) -> None:
        self._ask, self._every_s = ask, every_s
        self._answer: Any = None
        self._at: float | None = None
        self._asked: Future[Any] | None = None

    def last(self, threads: ThreadPoolExecutor) -> Any:
        """The last answer; the first is waited for."""
        if self._at is None:
            self._answer, self._at = self._ask(), time.monotonic()
        elif self._asked is not None and self._asked.done():
            self._answer, self._at, self._asked = self._asked.result(), time.monotonic(), None
        elif self._asked is None and time.monotonic() - self._at > self._every_s:
            self._asked = threads.submit(self._ask)
        return self._answer


class Executor:
    """Units on a Dask cluster.

    Parameters
    ----------
    client
        Of the cluster.
    work
        What is done with a unit; importable on the workers.
    keep_up
        Called now and then, to start workers again that did not come up.
    kill
        Kills the process of the worker of an address; a worker that hangs may listen to nothing less. ``None`` where
        workers are on other machines.
    """

    def __init__(
        self,
        client: Any,
        work: Work,
        keep_up: Callable[[], None] | None = None,
        kill: Callable[[str], None] | None = None,
    ) -> None:
        self.client, self.work, self._keep_up, self._kill = client, work, keep_up, kill
        self._kept = time.monotonic()
        self._workers = _Told(self._ask_workers, _LOOK_S)
        self._places = _Told(self._ask_places, _LOOK_S)
        self._dashboard = _Told(lambda: str(client.dashboard_link or ""), _KEEP_UP_S)
        self._offered = False
        self.running: dict[str, tuple[Unit, Any, float]] = {}
        """Unit, future and the time of its submission (monotonic, s), by key."""
        self.banned: dict[str, str] = {}
        """Workers that refused, with their reason."""
        self.hung: dict[str, str] = {}
        self._ended: queue.SimpleQueue[tuple[Any, Ended]] = queue.SimpleQueue()
        self._count = 0
        self._readers = ThreadPoolExecutor(_READERS, "codesign-results")

    @property
    def dashboard(self) -> str:
        """The link of Dask's dashboard."""
        return self._dashboard.last(self._readers)

    def slots(self) -> int:
        """How many units can run side by side now.

        Raises
        ------
        ToolError
            If the scheduler is gone.
        """
        if self.client.status not in ("running", "connecting", "newly-created"):
            raise ToolError(
                f"the Dask scheduler {self.client.scheduler.address if self.client.scheduler else ''} is gone; what has ended "
                "is kept: start it, and the same command goes on"
            )
        threads = self._threads()
        if self._keep_up is not None and time.monotonic() - self._kept > _KEEP_UP_S:
            self._kept = time.monotonic()
            self._keep_up()
        return sum(count for address, count in threads.items() if address not in self.banned)

    def _threads(self) -> Mapping[str, int]:
        """The threads of each worker."""
        return self._workers.last(self._readers)

    def _ask_workers(self) -> dict[str, int]:
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        self._offered |= any(worker.get("resources", {}).get(RESOURCE) for worker in workers.values())
        return {address: int(worker["nthreads"]) for address, worker in workers.items()}

    def _offers_licences(self) -> bool:
        """Whether some worker has said that it runs the vendor's tools; once one has, only such workers get them."""
        self._threads()
        return self._offered

    def submit(self, unit: Unit) -> None:
        """Begin a unit."""
        self._count += 1
        allowed: dict[str, Any] = {}
        if self.banned:
            allowed = {"workers": [address for address in self._threads() if address not in self.banned]}
        if unit.kind == "vendor" and self._offers_licences():
            allowed["resources"] = {RESOURCE: 1}
        # a name of its own for each attempt: a scheduler that still knows an earlier one would answer with it; and the same
        # first word for all: of tasks with names of many kinds Dask knows no times, and gives one to a busy worker
        name = f"unit-{unit.key}-{os.getpid()}-{self._count}"
        future = self.client.submit(attempt, self.work, unit, key=name, pure=False, **allowed)
        self.running[unit.key] = (unit, future, time.monotonic())
        future.add_done_callback(lambda done: self._read_later(unit, done))

    def ended(self, timeout_s: float) -> list[Ended]:
        """Wait for units to end, at most so long; all that have."""
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self._ended.get(timeout=timeout_s))
            while True:
                found.append(self._ended.get_nowait())
        mine = []
        for future, ended in found:
            if self._is_current(ended.unit.key, future):
                del self.running[ended.unit.key]
                mine.append(ended)
        return mine

    def _is_current(self, key: str, future: Any) -> bool:
        """Whether this is the last attempt of a unit that is still wanted."""
        return self.running.get(key, (None, None))[1] is future

    def _read_later(self, unit: Unit, future: Any) -> None:
        """Read a result beside: it is asked of the scheduler, which asks the worker, while other workers end."""

        def read() -> None:
            if self._is_current(unit.key, future):
                self._ended.put((future, self._outcome_of(unit.key, unit, future)))

        with contextlib.suppress(RuntimeError):  # given up meanwhile
            self._readers.submit(read)

    def _outcome_of(self, key: str, unit: Unit, future: Any) -> Ended:
        from distributed.scheduler import KilledWorker

        hung = self.hung.pop(key, None)
        try:
            if future.status == "finished":
                found: Outcome | Failure = future.result(timeout=_RESULT_S)
                if isinstance(found, Failure):
                    return Ended(unit, None, "error", found.reason, found)
                return Ended(unit, found, "done")
            if future.status == "error":
                error = future.exception(timeout=_RESULT_S)
                if isinstance(error, KilledWorker):
                    return Ended(unit, None, "death", hung or "its worker died (killed, or out of memory)")
                # such as a function that this worker cannot import
                failure = Failure(f"{type(error).__name__}: {error}", "trial", "")
                return Ended(unit, None, "error", failure.reason, failure)
        except Exception as error:  # the worker died with the result
            return Ended(unit, None, "lost", f"its result was lost: {error}")
        return Ended(unit, None, "death" if hung else "lost", hung or "the cluster forgot it")

    def where(self) -> dict[str, str]:
        """The worker that each running unit is on, by the unit's key, as the scheduler last told."""
        return self._places.last(self._readers)

    def _ask_places(self) -> dict[str, str]:
        names = {future.key: key for key, (_, future, _) in list(self.running.items())}
        found: dict[str, str] = {}
        with contextlib.suppress(Exception):  # for display, and for ending what hangs
            for address, keys in self.client.processing().items():
                found |= {names[key]: address for key in keys if key in names}
        return found

    def ban(self, address: str, reason: str) -> None:
        """Give a worker nothing more."""
        self.banned[address] = reason

    def end(self, key: str, reason: str) -> None:
        """End a unit that takes too long, with its worker; it then ends as a death with this reason."""
        _, future, _ = self.running[key]
        address = self._ask_places().get(key)
        self.hung[key] = reason
        if address is not None and self._kill is not None:
            self._kill(address)
            return
        if address is not None:
            self.ban(address, reason)  # until its nanny has another one in its place, at another address
            self.renew(address)
        future.cancel(force=True)

    def renew(self, address: str) -> None:
        """Restart a worker whose process may have been spoilt by what it ran."""
        if address:
            with contextlib.suppress(Exception):
                self.client.restart_workers([address], timeout=30, raise_for_error=False)

    def forget(self) -> None:
        """Give up what runs."""
        for _, future, _ in self.running.values():
            with contextlib.suppress(Exception):
                future.cancel()
        self.running.clear()
        self._readers.shutdown(wait=False, cancel_futures=True)


def workers_that_pay() -> int:
    """How many workers this machine feeds: one a core, as far as the memory goes."""
    cores = len(os.sched_getaffinity(0))
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return cores
    return max(1, min(cores, int(free / _MEMORY_A_WORKER)))


@contextlib.contextmanager
def local_executor(work: Work, workers: int | None = None) -> Iterator[Executor]:
    """Workers on this machine, which listen on the loopback alone and end with this process."""
    import dask
    from distributed import Client, LocalCluster, Status

    count = workers_that_pay() if workers is None else workers
    threads = str(max(1, len(os.sched_getaffinity(0)) // count))
    environment = {
        name: threads for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    }
    settings = {
        # a death is this program's to count
        "distributed.scheduler.allowed-failures": 0,
        "distributed.worker.daemon": True,
        "distributed.nanny.environ": {"TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        "distributed.admin.tick.limit": "60s",
    }
    with _quiet(), dask.config.set(settings):
        cluster = LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )

        def keep_up() -> None:
            for name, worker in list(cluster.workers.items()):
                if worker.status in (Status.failed, Status.closed):
                    del cluster.workers[name]
            cluster.scale(count)

        def kill(address: str) -> None:
            for nanny in list(cluster.workers.values()):
                if nanny.worker_address == address and nanny.pid:
                    _kill_process(nanny.pid)

        try:
            keep_up()
            with Client(cluster) as client:
                missing = f"no worker came up on this machine within {_WORKERS_S:g} s; try again with fewer --workers"
                with _serving(Executor(client, work, keep_up, kill), _WORKERS_S, missing) as executor:
                    yield executor
        finally:
            processes = [nanny.pid for nanny in cluster.workers.values() if nanny.pid]
            with contextlib.suppress(Exception):
                cluster.close(timeout=10)
            # one that is stopped hears no end, and this process would wait for it for ever
            for process in processes:
                _kill_process(process)


@contextlib.contextmanager
def _serving(executor: Executor, wait_s: float, missing: str) -> Iterator[Executor]:
    """An executor that has a worker in time; a `ToolError` that says what is missing otherwise."""
    try:
        executor.client.wait_for_workers(1, timeout=wait_s)
    except TimeoutError:
        raise ToolError(missing) from None
    try:
        yield executor
    finally:
        executor.forget()


@contextlib.contextmanager
def remote_executor(work: Work, address: str, wait_s: float = _WORKERS_S) -> Iterator[Executor]:
    """The workers of a scheduler that runs somewhere.

    Raises
    ------
    ToolError
        If it does not answer, or has no worker in time.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=_CONNECT_S, name="codesign-search")
    except (OSError, TimeoutError, ValueError) as error:
        raise ToolError(_no_scheduler(address, error or type(error).__name__)) from None
    with client:
        missing = f"--scheduler {address}: it has no worker after {wait_s:g} s; start some with `dask worker {address}`"
        with _serving(Executor(client, work), wait_s, missing) as executor:
            yield executor


@contextlib.contextmanager
def cluster_executor(work: Work, settings: ClusterSettings) -> Iterator[Executor]:
    """Workers that a batch system starts (`codesign.search.cluster`)."""
    from distributed import Client

    from codesign.search.cluster import open_cluster

    with open_cluster(settings) as cluster, Client(cluster) as client:
        missing = (
            f"--cluster: no job started a worker within {settings.wait_minutes:g} minutes; look at the queue, or raise "
            "wait_minutes"
        )
        with _serving(Executor(client, work), 60 * settings.wait_minutes, missing) as executor:
            yield executor


@dataclass(frozen=True)
class Workers:
    """Which workers are asked for; by default of this machine, as many as pay.

    Parameters
    ----------
    scheduler
        The address of a scheduler that runs somewhere.
    cluster
        How a batch system starts them.
    count
        How many of this machine.
    """

    scheduler: str | None = None
    cluster: ClusterSettings | None = None
    count: int | None = None


def read_workers(
    scheduler: str | None, cluster: str | Path | None, count: int | None
) -> tuple[Workers, list[str]]:
    """What is asked for, and what is wrong with it, known before anything is begun: a scheduler must be there."""
    faults: list[str] = []
    settings: ClusterSettings | None = None
    if scheduler is not None and cluster is not None:
        faults.append("--scheduler and --cluster: give one of them")
    elif scheduler is not None and (fault := _unreachable(scheduler)):
        faults.append(fault)
    if cluster is not None:
        from codesign.search.cluster import read_cluster

        try:
            settings = read_cluster(cluster)
        except SettingsError as error:
            faults += error.located
    return Workers(scheduler, settings, count), faults


def _unreachable(address: str) -> str | None:
    """Why there is no scheduler at an address; ``None`` if something listens there, or only Dask can tell."""
    kind, _, place = address.rpartition("://")
    if kind not in ("", "tcp", "tls"):
        return None
    host, _, port = place.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        return f"--scheduler {address}: must be an address such as tcp://host:8786"
    until = time.monotonic() + _CONNECT_S
    while True:
        try:
            socket.create_connection(
                (host.strip("[]"), int(port)), max(0.5, until - time.monotonic())
            ).close()
            break
        except OSError as error:  # one that has just been started is waited for
            if time.monotonic() + _LOOK_S > until:
                return _no_scheduler(address, error.strerror or error)
            time.sleep(_LOOK_S)
    return None if _speaks_dask(address) else _no_scheduler(address, "what listens there is something else")


def _speaks_dask(address: str) -> bool:
    """Whether a Dask process listens; its client waits for ever for the words of anything else, or has no memory for them."""
    from distributed.comm import connect

    async def greet() -> None:
        comm = await asyncio.wait_for(connect(address, timeout=_CONNECT_S), _CONNECT_S)
        await comm.close()

    with ThreadPoolExecutor(1) as beside:  # where a notebook runs its own loop
        try:
            beside.submit(lambda: asyncio.run(greet())).result()
        except Exception:
            return False
    return True


def _no_scheduler(address: str, why: object) -> str:
    return (
        f"--scheduler {address}: no Dask scheduler answered within {_CONNECT_S:g} s ({why}); start one with `dask scheduler`, "
        "or leave the option out for workers on this machine"
    )


def open_executor(work: Work, asked: Workers) -> contextlib.AbstractContextManager[Executor]:
    """The executor that is asked for: of this machine, of a scheduler, or of a batch system."""
    if asked.scheduler is not None:
        return remote_executor(work, asked.scheduler)
    if asked.cluster is not None:
        return cluster_executor(work, asked.cluster)
    return local_executor(work, asked.count)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what Dask says of workers that die: the search says it in its own words."""
    names = (
        "distributed",
        "distributed.nanny",
        "distributed.scheduler",
        "distributed.core",
        "tornado.application",
    )
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _kill_process(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
