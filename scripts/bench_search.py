"""Measure what a search itself costs: time and memory of coordinator and page, and how busy it keeps its workers.

    python scripts/bench_search.py                                  # all of it, an hour or two, most of it for TPE
    python scripts/bench_search.py --part coordinator --trials 1000
    python scripts/bench_search.py --part workers --workers 16,64

`coordinator`: workers answer at once and in this process, so what takes time is the search: asking, the journal, the ledger,
telling. The time of a trial is that of the last tenth of the trials. Then the search is begun again, which reads
everything, and the page is written. `workers`: trials sleep for unequal times (`sleeping_trials.py`) on a Dask cluster in a
process of its own, whose workers are threads; journal, ledger, scheduler and coordinator are real. Efficiency is what the
trials slept, divided by workers times the wall time from the first trial's begin to the last one's end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
SEARCH = """
design: {design}
space:
  student.width1: {{type: int, low: 4, high: 256}}
  student.width2: {{type: int, low: 4, high: 128}}
  pruning.sparsity: {{type: float, low: 0.1, high: 0.9}}
  quantization.learning_rate: {{type: float, low: 0.0001, high: 0.01, log: true}}
constraints: [student.width2 <= student.width1]
budget: {{trials: {trials}}}
sampler: {{kind: {sampler}, population: 50}}
proof: false
{pruner}
"""
PRUNER = "pruner: {least_epochs: 10, factor: 3}"


def main() -> None:
    """Measure, print the tables, and write the figures where they are asked for."""
    options = _options()
    found: dict[str, Any] = {"cpus": len(os.sched_getaffinity(0))}
    if options.part in ("all", "coordinator"):
        found["coordinator"] = []
        for name in options.samplers.split(","):
            row = _alone(options.trials, name)
            found["coordinator"].append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    if options.part in ("all", "workers"):
        found["workers"] = []
        for count in (int(word) for word in options.workers.split(",")):
            row = _busy(count, options)
            found["workers"].append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    print(_tables(found))
    if options.output is not None:
        options.output.write_text(json.dumps(found, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=("all", "coordinator", "workers"), default="all")
    parser.add_argument("--trials", type=int, default=10_000, help="of the coordinator's part")
    parser.add_argument("--samplers", default="random,random with pruner,nsga2,tpe")
    parser.add_argument("--workers", default="1,2,4,8,16,64,256")
    parser.add_argument("--seconds", type=float, default=10.0, help="that a trial sleeps, in the mean")
    parser.add_argument("--each", type=int, default=30, help="trials for each worker")
    parser.add_argument("--output", type=Path, help="a JSON file")
    return parser.parse_args()


def _write(folder: Path, trials: int, name: str) -> Path:
    sampler, _, pruner = name.partition(" with ")
    text = SEARCH.format(
        design=REPOSITORY / "models" / "digits",
        trials=trials,
        sampler=sampler,
        pruner=PRUNER if pruner else "",
    )
    folder.mkdir(parents=True)
    (folder / "search.yaml").write_text(text)
    return folder / "search.yaml"


# the coordinator alone ----------------------------------------------------------------------------------------------


class AtOnce:
    """Workers that answer at once, in this process; what `Coordinator` wants of an executor."""

    def __init__(self, slots: int) -> None:
        self.count = slots
        self.running: dict[str, tuple[Any, Any, float]] = {}
        self.banned: dict[str, str] = {}
        self.hung: dict[str, str] = {}
        self.dashboard = ""
        self.waiting: deque[Any] = deque()
        self.times: list[tuple[float, float]] = []

    def slots(self) -> int:
        """How many."""
        return self.count

    def submit(self, unit: Any) -> None:
        """Keep it."""
        self.running[unit.key] = (unit, None, time.monotonic())
        self.waiting.append(unit)

    def ended(self, timeout_s: float) -> list[Any]:
        """The oldest, done."""
        from sleeping_trials import sleep

        from codesign.search.executor import Ended

        unit = self.waiting.popleft()
        del self.running[unit.key]
        self.times.append((time.perf_counter(), time.process_time()))
        return [Ended(unit, sleep(unit), "done")]

    def where(self) -> dict[str, str]:
        """Nobody looks."""
        return {}


def _alone(trials: int, name: str) -> dict[str, Any]:
    """A whole search in a process of its own, so that the memory is its own."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="codesign-bench-") as root, context.Pool(1) as pool:
        return pool.apply(_alone_here, (Path(root) / "search", trials, name))


def _alone_here(folder: Path, trials: int, name: str) -> dict[str, Any]:
    from codesign.search import run as search_run
    from codesign.search.page import write_results
    from codesign.search.results import read_found

    os.environ["CODESIGN_SLEEP_S"] = "0"
    file = _write(folder, trials, name)
    executor = AtOnce(64)

    @contextlib.contextmanager
    def opened(*_: Any, **__: Any) -> Iterator[AtOnce]:
        yield executor

    # `run_search` opens its executor by this name
    import codesign.search.executor as executors

    executors.open_executor = opened  # type: ignore[assignment]
    before = _memory_mb()
    started = time.perf_counter()
    search_run.run_search(file)
    whole = time.perf_counter() - started
    memory = _memory_mb()
    started = time.perf_counter()
    search_run.run_search(file)
    again = time.perf_counter() - started
    tenth = executor.times[-max(2, len(executor.times) // 10) :]
    started = time.perf_counter()
    found = read_found(folder)
    read = time.perf_counter() - started
    started = time.perf_counter()
    page = write_results(found)
    home = folder / "search"
    return {
        "sampler": name,
        "trials": len(found.ledger.trials),
        "whole_s": round(whole, 1),
        "runs": len(executor.times),
        "last_tenth_ms_a_run": _ms_a_run(tenth, 0),
        "of_it_cpu_ms": _ms_a_run(tenth, 1),
        "coordinator_mb": round(memory - before),
        "begun_again_s": round(again, 1),
        "status_s": round(read, 2),
        "page_s": round(time.perf_counter() - started, 1),
        "page_peak_mb": round(_memory_mb() - before),
        "page_mb": round(page.stat().st_size / 1e6, 2),
        "journal_mb": round((home / "optuna.journal").stat().st_size / 1e6, 1),
        "ledger_mb": round((home / "ledger.jsonl").stat().st_size / 1e6, 1),
    }


def _ms_a_run(times: list[tuple[float, float]], clock: int) -> float:
    return round(1000 * (times[-1][clock] - times[0][clock]) / (len(times) - 1), 2)


def _memory_mb() -> float:
    """The most that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# how busy workers are -----------------------------------------------------------------------------------------------


def _cluster(count: int, told: Any, end: Any, seconds: float) -> None:
    """A scheduler and so many workers as threads of one process, until `end`."""
    import logging

    import dask
    from distributed import LocalCluster

    os.environ["CODESIGN_SLEEP_S"] = str(seconds)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    settings = {
        "distributed.admin.tick.limit": "60s",
        # on a machine of its own a worker looks at itself at its own cost; here hundreds of them share a core
        "distributed.worker.profile.enabled": False,
        "distributed.admin.system-monitor.interval": "60s",
        "distributed.worker.memory.monitor-interval": "60s",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
            worker_dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        told.put(cluster.scheduler_address)
        end.wait()


def _busy(count: int, options: argparse.Namespace) -> dict[str, Any]:
    from sleeping_trials import sleep

    from codesign.search.ledger import Ledger
    from codesign.search.run import run_search

    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    before = children.ru_utime + children.ru_stime
    context = multiprocessing.get_context("spawn")
    told, end = context.Queue(), context.Event()
    process = context.Process(target=_cluster, args=(count, told, end, options.seconds))
    process.start()
    try:
        address = told.get(timeout=300)
        with tempfile.TemporaryDirectory(prefix="codesign-bench-") as root:
            file = _write(Path(root) / "search", count * options.each, "random")
            begun = time.process_time()
            run_search(file, scheduler=address, work=sleep)
            used = time.process_time() - begun
            home = file.parent / "search"
            spans = _spans(home)
            slept = sum(Ledger(home).seconds.values())
    finally:
        end.set()
        process.join(60)
        process.kill()
    cluster = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = max(end for _, end in spans) - min(begin for begin, _ in spans)
    return {
        "workers": count,
        "trials": len(spans),
        "mean_s": round(slept / len(spans), 2),
        "longest_s": round(max(end - begin for begin, end in spans), 2),
        "wall_s": round(wall, 1),
        "efficiency": round(slept / (count * wall), 3),
        # nobody can do better with these trials: the last to begin ends as late as it takes
        "idle_at_the_end": round(_idle_at_the_end(spans, count) / (count * wall), 3),
        "between_ms": round(1000 * _between(spans, count), 1),
        "coordinator_cpu_ms_a_trial": round(1000 * used / len(spans), 2),
        "cluster_cpu_s": round(cluster.ru_utime + cluster.ru_stime - before, 1),
    }


def _spans(home: Path) -> list[tuple[float, float]]:
    """When each trial began and ended (s), by the workers' clock."""
    from sleeping_trials import FINISHED

    lines = [line.split() for line in (home / FINISHED).read_text().splitlines()]
    return [(float(begin), float(end)) for _, begin, end in lines]


def _idle_at_the_end(spans: list[tuple[float, float]], count: int) -> float:
    """Worker seconds after the last trial of each worker, when there was nothing left to give."""
    last = max(end for _, end in spans)
    return sum(last - end for _, end in sorted(spans, key=lambda span: span[1])[-count:])


def _between(spans: list[tuple[float, float]], count: int) -> float:
    """What a worker waits from one trial's end to the next one's begin, in the mean (s)."""
    wall = max(end for _, end in spans) - min(begin for begin, _ in spans)
    slept = sum(end - begin for begin, end in spans)
    return (count * wall - slept - _idle_at_the_end(spans, count)) / len(spans)


def _tables(found: dict[str, Any]) -> str:
    lines = []
    for part in ("workers", "coordinator"):
        rows = found.get(part, [])
        if rows:
            lines += ["", _line([name.replace("_", " ") for name in rows[0]]), _line(["---"] * len(rows[0]))]
            lines += [
                _line([f"{value:,}" if not isinstance(value, str) else value for value in row.values()])
                for row in rows
            ]
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
