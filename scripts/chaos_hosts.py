"""A search whose scheduler and workers are on other hosts, which lose their processes and their network while it runs.

sudo python scripts/chaos_hosts.py                   # 40 trials, 2 hosts of 3 workers, a host of the scheduler, 30 faults

Three hosts are made of network namespaces on a bridge (`ip netns`; root is needed, the script says so and ends with 0
where it cannot). The search runs here with `--scheduler`. A fault is one of: kill -9 of a worker, of all workers of a host
with what starts them again, of the scheduler, of the search; SIGTERM of all processes of a host, as a batch system ends a
job; SIGSTOP of a worker; a host's network that is away for some seconds. What was killed is started again, as a batch system
or a service manager does. Where `faketime` is installed, one host's clock is two hours fast and the other's a day slow.
Judged as `chaos_search.py`: every trial and proof has the result of a calm search, once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos_search import REPOSITORY, Chaos, arguments, judge, run_repeats, write

KINDS = {
    "worker": 42,
    "worker hangs": 6,
    "all workers of a host": 8,
    "wall time of a host": 6,
    "scheduler": 8,
    "search": 14,
    "network": 16,
}
BRIDGE, NET = "codesign-br", "10.213.77"
CLOCKS = {"codesign-a": "+2h", "codesign-b": "-1d"}
PORT = 8786


@dataclass
class Host:
    """A network namespace, with what runs in it."""

    name: str
    address: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    back_at: float | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, log: Path) -> None:
        """Start what runs there, unless it does."""
        if self.process is not None and self.process.poll() is None:
            return
        with log.open("ab") as file:
            words = ["ip", "netns", "exec", self.name, *self.command]
            self.process = subprocess.Popen(
                words, env=self.environment, stdout=file, stderr=file, start_new_session=True
            )

    def processes(self) -> list[int]:
        """Everything that runs in the namespace."""
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True)
        return [int(word) for word in found.stdout.split()]

    def workers(self) -> list[int]:
        """The processes that work, not those that start them."""
        return [
            process for process in self.processes() if b"spawn_main" in _words(process) or _titled(process)
        ]

    def network(self, is_up: bool) -> None:
        """Take the cable out, or put it in."""
        _ip("link", "set", f"{self.name}-v", "up" if is_up else "down")


def main() -> None:
    """Run the repeats; exit with 1 if anything was lost."""
    options = arguments(__doc__, repeats=1).parse_args()
    why_not = _cannot()
    if why_not:
        print(f"skipped: {why_not}")
        return
    run_repeats(_repeat, options)


def _cannot() -> str | None:
    """Why no hosts can be made here; ``None`` if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "ip (iproute2) is not installed"
    made = subprocess.run(["ip", "netns", "add", "codesign-try"], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"no network namespace can be made here ({made.stderr.strip()})"
    _ip("netns", "delete", "codesign-try")
    return None


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _make_hosts(options: argparse.Namespace) -> list[Host]:
    """The scheduler's host, then those of workers."""
    python = sys.executable
    scheduler = [python, "-m", "distributed.cli.dask_scheduler", "--port", str(PORT), "--no-dashboard"]
    worker = [python, "-m", "distributed.cli.dask_worker", f"tcp://{NET}.10:{PORT}", "--nthreads", "1"]
    worker += ["--nworkers", str(options.workers // 2), "--no-dashboard", "--death-timeout", "20"]
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "scripts")])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "CODESIGN_SLEEP_S": str(options.seconds),
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "15s",
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "20s",
    }
    _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("addr", "add", f"{NET}.1/24", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    hosts = []
    for name, last, command in (
        ("codesign-s", 10, scheduler),
        ("codesign-a", 11, worker),
        ("codesign-b", 12, worker),
    ):
        _ip("netns", "add", name)
        _ip("link", "add", f"{name}-v", "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", f"{name}-v", "master", BRIDGE, "up")
        for words in (["addr", "add", f"{NET}.{last}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
            _ip("-n", name, *words)
        _ip("-n", name, "link", "set", "lo", "up")
        if name in CLOCKS and shutil.which("faketime") is not None:
            command = ["faketime", "-f", CLOCKS[name], *command]
        own = {**environment, "TMPDIR": tempfile.mkdtemp(prefix=f"{name}-")}
        hosts.append(Host(name, f"{NET}.{last}", command, environment=own))
    return hosts


def _remove(hosts: list[Host]) -> None:
    for host in hosts:
        for process in host.processes():
            _kill(process)
        # a namespace goes when its last process has gone, and its end of the cable with it; the next repeat wants the name
        subprocess.run(["ip", "link", "delete", f"{host.name}-v"], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "delete", host.name], check=False, capture_output=True)
        shutil.rmtree(host.environment["TMPDIR"], ignore_errors=True)
    subprocess.run(["ip", "link", "delete", BRIDGE], check=False, capture_output=True)


def _begin(home: Path) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from sleeping_trials import sleep; from codesign.search.run import run_search; "
        "run_search(sys.argv[1], scheduler=sys.argv[2], work=sleep)"
    )
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "scripts")])
    words = [sys.executable, "-c", code, str(home), f"tcp://{NET}.10:{PORT}"]
    with (home / "log").open("ab") as log:
        return subprocess.Popen(words, env={**os.environ, "PYTHONPATH": path}, stdout=log, stderr=log)


def _repeat(home: Path, options: argparse.Namespace, dice: random.Random, wanted: dict[Any, Any]) -> Chaos:
    chaos = Chaos()
    write(home, options)
    hosts = _make_hosts(options)
    started = time.monotonic()
    child: subprocess.Popen[bytes] | None = None
    try:
        while time.monotonic() - started < 1800:
            for host in hosts:
                host.start(home / f"{host.name}.log")
                if host.back_at is not None and time.monotonic() > host.back_at:
                    host.network(is_up=True)
                    host.back_at = None
            if child is None or child.poll() not in (None, 0):
                child = _begin(home)
                chaos.begun += 1
            elif child.poll() == 0:
                break
            time.sleep(dice.uniform(0.5, 3.0))
            if sum(chaos.kills.values()) < options.kills and child.poll() is None:
                kind = dice.choices(list(KINDS), list(KINDS.values()))[0]
                chaos.kills[kind] += _fault(kind, hosts, child, dice)
        else:
            chaos.faults.append("no end after half an hour")
    finally:
        if child is not None and child.poll() is None:
            child.kill()
        _remove(hosts)
    chaos.seconds = time.monotonic() - started
    judge(home, wanted, chaos, options)
    return chaos


def _fault(kind: str, hosts: list[Host], child: subprocess.Popen[bytes], dice: random.Random) -> int:
    """Do it; 1, or 0 if there was nothing to do it to."""
    scheduler, *others = hosts
    host = dice.choice(others)
    workers = host.workers()
    if kind == "search":
        child.kill()
        child.wait()
    elif not workers:
        return 0
    elif kind == "worker":
        _kill(dice.choice(workers))
    elif kind == "worker hangs":
        _kill(dice.choice(workers), signal.SIGSTOP)
    elif kind == "all workers of a host":
        for process in host.processes():
            _kill(process)
    elif kind == "wall time of a host":
        for process in host.processes():
            _kill(process, signal.SIGTERM)
    elif kind == "scheduler":
        for process in scheduler.processes():
            _kill(process)
    else:
        away = dice.choice(hosts)
        away.network(is_up=False)
        away.back_at = time.monotonic() + dice.choice([2.0, 5.0, 30.0])
    return 1


def _words(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def _titled(process: int) -> bool:
    """Dask gives its workers a title where setproctitle is installed; what starts them has another."""
    return _words(process).startswith(b"dask worker [")


def _kill(process: int, how: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, how)


if __name__ == "__main__":
    main()
