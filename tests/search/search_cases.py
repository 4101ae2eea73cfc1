"""Searches for tests: a design folder, settings, and workers that answer at once, die, or fail as a script says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tiny_design import NETWORKS, write_design

from codesign.search.coordinator import Coordinator
from codesign.search.executor import Ended
from codesign.search.ledger import Ledger, mend
from codesign.search.proposer import Proposer
from codesign.search.run import make_plan
from codesign.search.settings import SearchSettings, read_search
from codesign.search.unit import Failure, Outcome, Unit

VARIED = NETWORKS.replace(
    "def build_student(input_shape, n_classes):",
    "def build_student(input_shape, n_classes, width1=6, width2=4):",
).replace("layers.Dense(6,", "layers.Dense(width1,")

SPACE: Mapping[str, Any] = {
    "student.width1": {"type": "int", "low": 2, "high": 16},
    "student.width2": {"type": "int", "low": 2, "high": 16},
}


def settings_of(**values: Any) -> SearchSettings:
    from codesign.settings import make_settings

    whole = {"space": SPACE, "budget": {"trials": 12}, "sampler": "random", **values}
    return make_settings(SearchSettings, whole)


def write_search(folder: Path, **values: Any) -> Path:
    import yaml

    write_design(folder / "design", VARIED)
    whole = {
        "design": "design",
        "space": dict(SPACE),
        "budget": {"trials": 12},
        "sampler": "random",
        **values,
    }
    (folder / "search.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    return folder / "search.yaml"


def found_by(unit: Unit) -> Outcome:
    """What the fake network of a unit reaches: wider is better and dearer."""
    one, two = (unit.overrides.get(f"student.width{n}", 4) for n in (1, 2))
    quality = 1 - 1 / (one + two) - 0.001 * unit.overrides["seed"]
    values = {
        "quality": quality,
        "luts": 10.0 * one * two,
        "parameters": float(one * two),
        "bops": 100.0 * one,
        "latency_cycles": float(one),
    }
    if unit.kind == "proof":
        return Outcome(
            {"lut": 9.0 * one * two, "latency_cycles": 4.0}, 2.0, "here:1", {"csim": "no compiler"}
        )
    if unit.kind == "vendor":
        return Outcome({"csynth_lut": 14.0 * one * two}, 3.0, "here:1")
    wanted = values if unit.kind == "rung" else {name: values[name] for name in unit.wanted}
    return Outcome(wanted, 1.0, "here:1")


class Died(BaseException):
    """The coordinator's own end, at a moment that a test chooses."""


class FakeExecutor:
    """Workers that answer in turn; `script` says what becomes of a unit instead of its result."""

    def __init__(
        self,
        slots: int = 3,
        script: Callable[[Unit, int], Ended | None] = lambda unit, attempt: None,
        die_after: int | None = None,
    ) -> None:
        self.n_slots, self.script, self.die_after = slots, script, die_after
        self.running: dict[str, tuple[Unit, Any, float]] = {}
        self.banned: dict[str, str] = {}
        self.hung: dict[str, str] = {}
        self.waiting: deque[Unit] = deque()
        self.submitted: list[Unit] = []
        self.renewed: list[str] = []
        self.dashboard = ""

    def slots(self) -> int:
        return 0 if self.banned else self.n_slots

    def submit(self, unit: Unit) -> None:
        assert unit.key not in self.running, "a run is never done twice at the same time"
        if self.die_after is not None and len(self.submitted) >= self.die_after:
            raise Died
        import time

        self.running[unit.key] = (unit, None, time.monotonic())
        self.waiting.append(unit)
        self.submitted.append(unit)

    def ended(self, timeout_s: float) -> list[Ended]:
        # the last of those that run ends first: results come in another order than they were asked for
        unit = self.waiting.pop()
        del self.running[unit.key]
        attempt = sum(other.key == unit.key for other in self.submitted)
        scripted = self.script(unit, attempt)
        return [scripted or Ended(unit, found_by(unit), "done")]

    def where(self) -> dict[str, str]:
        return dict.fromkeys(self.running, "tcp://here")

    def ban(self, address: str, reason: str) -> None:
        self.banned[address] = reason

    def renew(self, address: str) -> None:
        self.renewed.append(address)

    def end(self, key: str, reason: str) -> None:
        raise AssertionError("nothing hangs here")


def failing(unit: Unit, kind: Any = "trial", reason: str = "ToolFailedError: g++ ended") -> Ended:
    return Ended(unit, None, "error", reason, Failure(reason, kind, "tcp://here"))


def coordinate(file: Path, executor: FakeExecutor, tracker: Any = None) -> Ledger:
    """Run a search on fake workers, as `run_search` does on real ones."""
    settings, _ = read_search(file)
    folder = file.parent / "search"
    folder.mkdir(exist_ok=True)
    plan = make_plan(settings, file, folder)
    mend(folder / "ledger.jsonl")
    ledger = Ledger(folder)
    proposer = Proposer(folder, plan.space, settings)
    Coordinator(plan, proposer, ledger, executor, tracker=tracker).run()  # type: ignore[arg-type]
    return ledger
