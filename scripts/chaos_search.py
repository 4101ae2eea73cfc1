"""Kill a search at random, again and again, and count what it lost: nothing, if all is well.

python scripts/chaos_search.py                       # 40 trials, 6 workers, 30 kills, 5 repeats
python scripts/chaos_search.py --repeats 1 --kills 10 --output chaos.json

The trials sleep (`sleeping_trials.py`); coordinator, scheduler, workers, journal and ledger are the real ones. A kill is
one of: kill -9 of a worker, of all workers, of the coordinator (with the scheduler in it); SIGTERM of the coordinator, as
a batch system ends a job; SIGSTOP of a worker, which then hangs. A search whose coordinator is gone is begun again with
the same command. At the end every trial and every proof must have the result of a search that nobody disturbed, once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sleeping_trials import FINISHED

REPOSITORY = Path(__file__).resolve().parents[1]
SEARCH = """
design: {design}
space:
  student.width1: {{type: int, low: 4, high: 64}}
  student.width2: {{type: int, low: 4, high: 32}}
constraints: [student.width2 <= student.width1]
budget: {{trials: {trials}}}
sampler: {{kind: {sampler}, population: 8}}
time_limit_minutes: 0.4
"""
KINDS = {"worker": 60, "all workers": 7, "coordinator": 18, "coordinator, SIGTERM": 8, "worker hangs": 7}


@dataclass
class Chaos:
    """What one repeat saw."""

    kills: Counter[str] = field(default_factory=Counter)
    begun: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    again: int = 0

    def told(self, trials: int) -> str:
        """In a line."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kills.items()) if count)
        end = f"all {trials} results, none double" if not self.faults else "; ".join(self.faults)
        return (
            f"{sum(self.kills.values())} kills ({kinds}), begun {self.begun} times, {self.seconds:.0f} s: {end} "
            f"({self.again} runs were done again after their worker was killed with the result)"
        )


def main() -> None:
    """Run the repeats, print a line for each, exit with 1 if anything was lost."""
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        _child(options)
        return
    run_repeats(_repeat, options)


def arguments(about: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """The options of a script that disturbs a search of sleeping trials."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a trial, in the mean")
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    return parser


def run_repeats(
    repeat: Callable[[Path, argparse.Namespace, random.Random, dict[Any, Any]], Chaos],
    options: argparse.Namespace,
) -> None:
    """Disturb the search again and again, compare with a calm one, exit with 1 if anything was lost."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="codesign-chaos-") as root:
        wanted = undisturbed(Path(root) / "calm", options)
        for number in range(options.repeats):
            chaos = repeat(Path(root) / str(number), options, random.Random(options.seed + number), wanted)
            print(f"repeat {number}: {chaos.told(options.trials)}", flush=True)
            rows.append({**chaos.__dict__, "kills": dict(chaos.kills)})
    if options.output is not None:
        options.output.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(1 if any(row["faults"] for row in rows) else 0)


def _child(options: argparse.Namespace) -> None:
    """The command that is killed: a search of sleeping trials."""
    from sleeping_trials import sleep

    from codesign.core.interrupt import listening
    from codesign.search.run import run_search

    with listening():  # as the command line
        run_search(options.child, workers=options.workers, work=sleep)


def _begin(home: Path, options: argparse.Namespace, seconds: float) -> subprocess.Popen[bytes]:
    words = [sys.executable, __file__, "--child", home, "--workers", str(options.workers)]
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "scripts")])
    environment = {**os.environ, "PYTHONPATH": path, "CODESIGN_SLEEP_S": str(seconds)}
    with (home / "log").open("ab") as log:
        return subprocess.Popen([str(word) for word in words], env=environment, stdout=log, stderr=log)


def write(home: Path, options: argparse.Namespace) -> None:
    """The search's file."""
    home.mkdir(parents=True)
    design = REPOSITORY / "models" / "digits"
    text = SEARCH.format(design=design, trials=options.trials, sampler=options.sampler)
    (home / "search.yaml").write_text(text)


def undisturbed(home: Path, options: argparse.Namespace) -> dict[Any, Any]:
    """The results of the same search without a kill; its trials sleep a tenth as long."""
    write(home, options)
    child = _begin(home, options, options.seconds / 10)
    if child.wait(timeout=600) != 0:
        sys.exit(f"the search fails undisturbed:\n{(home / 'log').read_text()[-2000:]}")
    return results(home)[0]


def _repeat(home: Path, options: argparse.Namespace, dice: random.Random, wanted: dict[Any, Any]) -> Chaos:
    chaos = Chaos()
    write(home, options)
    started = time.monotonic()
    child = _begin(home, options, options.seconds)
    chaos.begun = 1
    while time.monotonic() - started < 1800:
        time.sleep(dice.uniform(0.3, 1.7))
        if child.poll() is not None:
            if child.returncode == 0:
                break
            child = _begin(home, options, options.seconds)
            chaos.begun += 1
        elif sum(chaos.kills.values()) < options.kills:
            kind = dice.choices(list(KINDS), list(KINDS.values()))[0]
            chaos.kills[kind] += _kill(child, home, kind, dice)
            chaos.kills += Counter()
    else:
        chaos.faults.append("no end after half an hour")
        child.kill()
    chaos.seconds = time.monotonic() - started
    for process in _workers(None, home):  # what was stopped when its coordinator died
        os.kill(process, signal.SIGCONT)
    until = time.monotonic() + 60  # a worker whose coordinator was killed ends when it notices
    while (left := _workers(None, home)) and time.monotonic() < until:
        time.sleep(0.5)
    if left:
        chaos.faults.append(f"{len(left)} processes left behind")
        for process in left:
            os.kill(process, signal.SIGKILL)
    judge(home, wanted, chaos, options)
    return chaos


def judge(home: Path, wanted: dict[Any, Any], chaos: Chaos, options: argparse.Namespace) -> None:
    """Note what was lost, or done twice to two results, and whether all kills were there to survive."""
    if chaos.faults:
        chaos.faults.append((home / "log").read_text()[-500:])
        return
    found, double = results(home)
    if options.sampler in ("random", "qmc", "grid"):
        wrong = [key for key in wanted.keys() | found.keys() if found.get(key) != wanted.get(key)]
        if wrong:
            chaos.faults.append(f"{len(wrong)} of {len(wanted)} results differ from those of a calm search")
    else:
        complete = sum(key[0] == "trial" and line[1] == "complete" for key, line in found.items())
        if complete != options.trials:
            chaos.faults.append(f"{complete} results of {options.trials}")
    if double:
        chaos.faults.append(f"{double} runs have two results")
    kills = sum(chaos.kills.values())
    if kills < options.kills:
        chaos.faults.append(f"the search ended after {kills} of {options.kills} kills: give longer --seconds")
    finished = Counter(line.split()[0] for line in (home / "search" / FINISHED).read_text().splitlines())
    chaos.again = sum(count - 1 for count in finished.values())


def results(home: Path) -> tuple[dict[tuple[str, int], Any], int]:
    """What came of each trial and of each proof, and how many runs, trials or proofs have a second result."""
    found: dict[tuple[str, int], Any] = {}
    keys: Counter[str] = Counter()
    for text in (home / "search" / "ledger.jsonl").read_text().splitlines():
        line = json.loads(text)
        if line["kind"] == "trial":
            found["trial", line["number"]] = (line["params"], line["state"], line["values"])
            keys[f"trial {line['number']}"] += 1
        elif line["kind"] == "proof":
            # once as it is proved, once more with what the vendor's tool says
            found["proof", line["trial"]] = (line["state"], line["values"], line["vendor"])
            keys[f"proof {line['trial']} {line['vendor']}"] += 1
        elif line["kind"] == "unit":
            keys[line["key"]] += 1
    return found, sum(count - 1 for count in keys.values())


def _kill(child: subprocess.Popen[bytes], home: Path, kind: str, dice: random.Random) -> int:
    """Do it; how many times (0 if there was nobody to kill)."""
    workers = _workers(child.pid, None)
    if (
        not _works(child, home) and dice.random() < 0.97
    ):  # most kills meet a search that works, some one that begins
        return 0
    if kind == "coordinator":
        child.kill()
        child.wait()
    elif kind == "coordinator, SIGTERM":
        child.terminate()
    elif not workers:
        return 0
    elif kind == "worker hangs":
        os.kill(dice.choice(workers), signal.SIGSTOP)
    else:
        for process in workers if kind == "all workers" else [dice.choice(workers)]:
            _kill_process(process)
    return 1


def _works(child: subprocess.Popen[bytes], home: Path) -> bool:
    try:
        said = json.loads((home / "search" / "progress.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(said["owner"]["pid"] == child.pid and said["running"])


def _kill_process(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _workers(parent: int | None, home: Path | None) -> list[int]:
    """Processes that a coordinator spawned as workers: of one coordinator, or all whose environment names a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes()
            above = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if b"spawn_main" not in words and not words.startswith(b"dask worker"):
                continue
            own = (entry / "environ").read_bytes()
        except (OSError, ValueError, IndexError):
            continue
        if parent == above or (home is not None and b"CODESIGN_SLEEP_S" in own and _started_by_us(own)):
            found.append(int(entry.name))
    return found


def _started_by_us(environment: bytes) -> bool:
    return f"PYTHONPATH={REPOSITORY}".encode() in environment


if __name__ == "__main__":
    main()
