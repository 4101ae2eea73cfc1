"""The coordinator of a search: asks for trials, gives their runs to workers, and writes down what comes of them.

Everything is in the ledger before anything follows from it, so that a search that is ended at any moment goes on with
the same command: open trials are those of Optuna's journal, ended runs those of the ledger, half a run its folder.
"""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codesign.compression.learned.front import TABLE
from codesign.core.files import read_json
from codesign.core.interrupt import stop_if_asked
from codesign.core.locks import Owner
from codesign.core.progress import SILENT, Progress
from codesign.core.shown import Brief
from codesign.errors import OutputFolderError, ToolError
from codesign.search.executor import Ended, Executor
from codesign.search.front import FurtherPoint, further_points, non_dominated_ranks, points_of, result_front
from codesign.search.ledger import (
    RUNS,
    Ledger,
    ProofLine,
    TrialLine,
    read_progress,
    write_progress,
)
from codesign.search.objectives import last_stage, violations
from codesign.search.proposer import Proposer
from codesign.search.settings import SearchSettings
from codesign.search.space import Params, Space
from codesign.search.unit import CSYNTH, Outcome, Unit, pack, unpack
from codesign.search.vendor import read_vendor_plan, write_vendor_plan

if TYPE_CHECKING:
    from codesign.search.tracking import Tracker

_log = logging.getLogger(__name__)

_POLL_S = 1.0
_SAY_S = 2.0
_TRACK_S = 10.0
_TOGETHER = 16
"""Units that are written down together before they run."""

_DEATHS = 10
"""Workers that may die under one run before it is given up: they die of themselves more often than of the run."""

_LEAST_LIMIT_S = 20 * 60
_TIMES_LONGEST = 10


@dataclass(frozen=True)
class Plan(Brief):
    """What a search is, checked and complete.

    Parameters
    ----------
    folder
        The search's folder.
    settings, space
        Of the search.
    design
        The design's folder.
    seeds
        Of each trial.
    epochs
        Of the design's distillation.
    overrides
        Settings of every run.
    mark, identity
        What workers are known by.
    data
        The digest of the data by seed and fold (``None`` for the design's own split); empty where trials have data of their
        own.
    packed
        The design's folder, for workers that do not see it.
    """

    folder: Path
    settings: SearchSettings
    space: Space
    design: Path
    seeds: tuple[int, ...]
    epochs: int
    overrides: Mapping[str, Any]
    mark: str
    identity: Mapping[str, str]
    data: Mapping[tuple[int, int | None], str]
    packed: bytes | None = None


@dataclass
class _Open:
    """A trial on its way: its runs of the step that it is in, and what they gave."""

    number: int
    params: Params
    step: int = -1
    waiting: set[str] = field(default_factory=set)
    keys: list[str] = field(default_factory=list)


class Coordinator:
    """Runs a search to its end; whoever makes one holds the lock of its folder.

    Parameters
    ----------
    plan
        What to do.
    proposer
        What proposes.
    ledger
        What is known.
    executor
        What executes.
    progress
        Told of every trial.
    tracker
        Where trials are logged besides.
    """

    def __init__(
        self,
        plan: Plan,
        proposer: Proposer,
        ledger: Ledger,
        executor: Executor,
        progress: Progress = SILENT,
        tracker: Tracker | None = None,
    ) -> None:
        self.plan, self.proposer, self.ledger = plan, proposer, ledger
        self.executor, self.progress, self.tracker = executor, progress, tracker
        self._tracked = time.monotonic()
        self.open: dict[int, _Open] = {}
        self.ready: deque[Unit] = deque()
        self.licensed: deque[Unit] = deque()
        """Runs that wait for a licence of the vendor's tools."""
        self.packed: set[int] = set()
        """Trials whose proof was made on a worker that does not see this folder."""
        self.proving: dict[int, str] = {}
        self.rungs: dict[int, dict[int, Mapping[str, float]]] = {}
        self.longest_s = max((line["seconds"] for line in ledger.units.values()), default=0.0)
        self.exhausted = False
        self.spent_before = float(read_progress(plan.folder).get("spent_s", 0.0))
        self.started = time.monotonic()
        self.ended_here = 0
        self._said = 0.0
        self.began = _now()

    def run(self) -> None:
        """Search until the budget is used, then prove the front.

        Raises
        ------
        CodesignError
            What ends the search as a whole: no worker that is accepted, a disk that is full, constraints that nothing
            meets. What has ended is kept.
        """
        self._resume()
        self._collect_plans()
        try:
            self._until_idle()
            while self._take_points():
                self._until_idle()
            while self.plan.settings.proof and (self._prove_front() or self._synthesise_front()):
                self._until_idle()
        finally:
            self._say(force=True)

    def _resume(self) -> None:
        """Tell what was written down and not told, and go on with the trials that are open."""
        for line in self.ledger.trials.values():
            self.proposer.tell(line)
        for unit in self.ledger.units.values():
            if unit["unit_kind"] == "rung":
                self.rungs.setdefault(unit["step"], {})[unit["trial"]] = unit["values"]
        for number, params in sorted(self.proposer.proposed.items()):
            if number not in self.ledger.trials:
                self._begin(number, params)

    def _until_idle(self) -> None:
        while True:
            stop_if_asked()
            self._fill()
            # without a worker for the moment nothing runs, and yet there is more to propose
            if not (self.executor.running or self.ready or self.licensed or self._may_propose()):
                return
            for ended in self.executor.ended(_POLL_S):
                self._take(ended)
            self._end_hung()
            self._say()

    @property
    def spent_s(self) -> float:
        """Wall time of all calls together."""
        return self.spent_before + time.monotonic() - self.started

    def _may_propose(self) -> bool:
        budget = self.plan.settings.budget
        if self.exhausted or (budget.hours is not None and self.spent_s >= 3600 * budget.hours):
            return False
        return budget.trials is None or self.proposer.n_proposed < budget.trials

    def _fill(self) -> None:
        """Give every free worker a unit; ask for as few trials ahead as that takes, so that each knows the most."""
        slots = self.executor.slots()
        if not slots and self.executor.banned and not self.executor.running:
            raise ToolError(
                f"no worker is left that the search accepts: {next(iter(self.executor.banned.values()))}"
            )
        while chosen := self._chosen(slots):
            # what a run is of stands on the disk before it runs, all of these at once
            self._sync()
            for unit in chosen:
                self.executor.submit(unit)
        self._sync()

    def _chosen(self, slots: int) -> list[Unit]:
        """Units for free workers, few enough that the first of them need not wait for the last to be proposed."""
        chosen: list[Unit] = []
        while len(chosen) < _TOGETHER and len(self.executor.running) + len(chosen) < slots:
            while not self.ready and self._may_propose():
                asked = self.proposer.ask()
                if asked is None:
                    self.exhausted = True
                    break
                self._begin(*asked)
            if not self.ready:
                break
            chosen.append(self.ready.popleft())
        # licences are counted over all workers
        vendors = sum(unit.kind == "vendor" for unit, _, _ in self.executor.running.values())
        free = min(self.plan.settings.licences - vendors, slots - len(self.executor.running) - len(chosen))
        chosen += [self.licensed.popleft() for _ in range(min(max(0, free), len(self.licensed)))]
        return chosen

    def _sync(self) -> None:
        """Put results, then trials, on the disk: what was told of a trial that has no result is no loss."""
        self.ledger.sync()
        self.proposer.sync()

    # one trial ------------------------------------------------------------------------------------------------------

    def _steps(self, trial: _Open) -> list[int | None]:
        """Epochs of the short trainings of a trial, then ``None`` for its full runs."""
        pruner = self.plan.settings.pruner
        steps: list[int | None] = []
        if pruner is not None and trial.number not in self.proposer.parents:
            epochs = pruner.least_epochs
            while epochs < self.plan.epochs:
                steps.append(epochs)
                epochs *= pruner.factor
        return [*steps, None]

    def _begin(self, number: int, params: Params) -> None:
        trial = self.open[number] = _Open(number, params)
        self._next_step(trial)

    def _next_step(self, trial: _Open) -> None:
        """Begin the next step of a trial; what the ledger knows of it is not done again."""
        while True:
            trial.step += 1
            units = self._units(trial)
            trial.keys = [unit.key for unit in units]
            left = [unit for unit in units if unit.key not in self.ledger.units]
            trial.waiting = {unit.key for unit in left}
            self.ready.extend(left)
            if left or self._step_done(trial):
                return

    def _units(self, trial: _Open) -> list[Unit]:
        epochs = self._steps(trial)[trial.step]
        if epochs is not None:
            return [self._unit(trial, "rung", self.plan.seeds[0], 0, epochs)]
        folds = range(self.plan.settings.folds)
        return [self._unit(trial, "run", seed, fold, None) for seed in self.plan.seeds for fold in folds]

    def _unit(self, trial: _Open, kind: Any, seed: int, fold: int, epochs: int | None) -> Unit:
        plan, settings = self.plan, self.plan.settings
        overrides = {**plan.overrides, **plan.space.overrides(trial.params, seed)}
        name = f"seed{seed}"
        in_fold = settings.folds > 1 and kind not in ("proof", "vendor")
        if in_fold:
            name += f"-fold{fold}"
            overrides["data.fold"] = [fold, settings.folds]
        until: str | None = None
        if kind == "rung":
            name += f"-epochs{epochs}"
            overrides["distillation.epochs"] = epochs
            until = "student"
        elif kind == "run":
            until = last_stage(self._wanted())
        elif kind == "proof":
            until = "verification"
        folder = _folder(trial.number, name)
        of = self.proposer.parents.get(trial.number)
        begins = "" if of is None or kind == "vendor" else _folder(of, name)
        sent = begins or (folder if kind == "vendor" and trial.number in self.packed else "")
        return Unit(
            key=f"{trial.number:05}-{kind}-{name}",
            trial=trial.number,
            kind=kind,
            design=str(plan.design),
            folder=folder,
            home=str(plan.folder),
            mark=plan.mark,
            overrides=overrides,
            until=until,
            wanted=tuple(self._wanted()),
            identity=plan.identity,
            data=plan.data.get((seed, fold if in_fold else None)),
            cache_bytes=settings.cache_gb * 1e9,
            packed=plan.packed,
            begins=begins,
            run=pack(plan.folder / sent) if sent else None,
        )

    def _wanted(self) -> list[str]:
        settings = self.plan.settings
        return list(dict.fromkeys([*settings.objectives, *settings.limits]))

    def _step_done(self, trial: _Open) -> bool:
        """What follows from a step whose runs have all ended; whether the trial has ended with it."""
        results = [self.ledger.units[key] for key in trial.keys]
        epochs = self._steps(trial)[trial.step]
        if epochs is not None:
            rung = self.rungs.setdefault(trial.step, {})
            rung[trial.number] = results[0]["values"]
            reason = self._hopeless(trial, rung, epochs)
            if reason is None:
                return False
            self._end_trial(trial, TrialLine(trial.number, trial.params, "pruned", reason=reason))
            return True
        names = self._wanted()
        columns = {name: [result["values"][name] for result in results] for name in names}
        values = {name: statistics.fmean(column) for name, column in columns.items()}
        spread = {name: statistics.stdev(column) for name, column in columns.items() if len(column) > 1}
        missed = violations(values, self.plan.settings.limits)
        line = TrialLine(trial.number, trial.params, "complete", values, spread, missed)
        self._end_trial(trial, line)
        return True

    def _hopeless(self, trial: _Open, rung: Mapping[int, Mapping[str, float]], epochs: int) -> str | None:
        """Why a trial is not worth a longer training; by fronts, so that a small student is not judged by a large one."""
        pruner = self.plan.settings.pruner
        if pruner is None:
            return None
        numbers = list(rung)
        points = [(-rung[number]["quality"], rung[number]["parameters"]) for number in numbers]
        ranks = dict(zip(numbers, non_dominated_ranks(points), strict=True))
        better = sum(rank < ranks[trial.number] for rank in ranks.values())
        if better < max(1, math.ceil(len(numbers) / pruner.factor)):
            return None
        quality = rung[trial.number]["quality"]
        return (
            f"after {epochs} epochs its quality of {quality:.4f} was on front {ranks[trial.number] + 1}, behind {better} of "
            f"{len(numbers)} trials"
        )

    def _end_trial(self, trial: _Open, line: TrialLine) -> None:
        line.seconds = round(self.ledger.seconds.get(trial.number, 0.0), 3)
        line.of = self.proposer.parents.get(trial.number)
        self.ledger.add("trial", asdict(line))
        self.proposer.tell(line)
        self.open.pop(trial.number, None)
        self.ready = deque(unit for unit in self.ready if unit.trial != trial.number or unit.kind == "proof")
        self.ended_here += 1
        done, total = len(self.ledger.trials), self.plan.settings.budget.trials
        self.progress.step("search", done, max(done, total or self.proposer.n_proposed), line.state)

    # what comes back ------------------------------------------------------------------------------------------------

    def _take(self, ended: Ended) -> None:
        unit = ended.unit
        if ended.how == "lost":
            self._again(unit)
        elif ended.outcome is not None:
            self._done(unit, ended)
        else:
            self._failed(unit, ended)

    def _done(self, unit: Unit, ended: Ended) -> None:
        outcome = ended.outcome
        assert outcome is not None
        if outcome.packed is not None:
            unpack(outcome.packed, self.plan.folder / unit.folder)
        if unit.kind in ("proof", "vendor"):
            if outcome.packed is not None:
                self.packed.add(unit.trial)
            (self._proved if unit.kind == "proof" else self._synthesised)(unit, outcome)
            return
        step = -1 if unit.kind == "run" else self.open[unit.trial].step if unit.trial in self.open else -1
        line = {
            "key": unit.key,
            "trial": unit.trial,
            "unit_kind": unit.kind,
            "step": step,
            "values": dict(outcome.values),
            "seconds": round(outcome.seconds, 3),
            "worker": outcome.worker,
            "folder": unit.folder,
        }
        if unit.key not in self.ledger.units:
            self.ledger.add("unit", line)
        self.longest_s = max(self.longest_s, outcome.seconds)
        trial = self.open.get(unit.trial)
        if trial is None:
            return
        trial.waiting.discard(unit.key)
        if not trial.waiting and not self._step_done(trial):
            self._next_step(trial)

    def _again(self, unit: Unit, *, at_once: bool = True) -> None:
        """Run a unit again; one of a trial that another of its runs has ended is worth nothing."""
        if unit.kind == "vendor":
            self.licensed.append(unit)
        elif unit.kind != "proof" and unit.trial not in self.open:
            return
        elif at_once:
            self.ready.appendleft(unit)
        else:
            self.ready.append(unit)

    def _failed(self, unit: Unit, ended: Ended) -> None:
        failure = ended.failure
        if failure is not None and failure.kind == "disk":
            # not the trial's fault
            raise OutputFolderError(f"trial {unit.trial}: {failure.reason}")
        if failure is not None and failure.kind == "refused":
            self.executor.ban(failure.address, failure.reason)
            _log.warning("%s", failure.reason)
            self._again(unit)
            return
        line = {"key": unit.key, "trial": str(unit.trial), "how": ended.how, "reason": ended.reason}
        self.ledger.add("attempt", line)
        attempts = self.ledger.attempts[unit.key]
        errors = sum(attempt["how"] == "error" for attempt in attempts)
        deaths = len(attempts) - errors
        is_final = failure is not None and failure.kind == "final"
        if failure is not None and failure.kind == "spoilt":
            self.executor.renew(failure.address)
        if not is_final and errors < self.plan.settings.attempts and deaths < _DEATHS:
            self._again(unit, at_once=False)
            return
        reason = ended.reason if len(attempts) == 1 else f"{ended.reason} ({len(attempts)} attempts)"
        if unit.kind == "proof":
            self.proving.pop(unit.trial, None)
            refuted = ProofLine(unit.trial, "refuted", reason=reason, folder=unit.folder)
            self.ledger.add("proof", asdict(refuted))
        elif unit.kind == "vendor":
            # what the vendor's tool could not do refutes nothing
            self._amend(unit.trial, {}, {CSYNTH: reason.splitlines()[0]}, "failed")
        elif unit.trial in self.open:
            trial = self.open[unit.trial]
            self._end_trial(trial, TrialLine(trial.number, trial.params, "failed", reason=reason))

    # the front ------------------------------------------------------------------------------------------------------

    def _take_points(self) -> bool:
        """Begin a trial for each further point of the trainings that no trial beats; whether there was one."""
        settings = self.plan.settings
        left = settings.points - len(self.proposer.parents)
        if left < 1 or settings.folds > 1 or not {"quality", "luts"} <= settings.objectives.keys():
            return False
        lines = self.ledger.trials.values()
        points = [point for line in lines if line.state == "complete" for point in self._points_of(line)]
        begun = [
            trial
            for point in further_points(points, lines, settings.limits, left)
            if (trial := self.proposer.further(point.of, point.budget_luts)) is not None
        ]
        for number, params in begun:
            self._begin(number, params)
        return bool(begun)

    def _points_of(self, line: TrialLine) -> Iterator[FurtherPoint]:
        """The points of a trial's trainings, if it learned widths and is not itself a further point."""
        if line.of is not None:
            return
        runs = [_folder(line.number, f"seed{seed}") for seed in self.plan.seeds]
        tables = [self.plan.folder / run / "quantization" / TABLE for run in runs]
        if all(table.is_file() for table in tables):
            yield from points_of(line.number, [read_json(table)["points"] for table in tables])

    def _prove_front(self) -> bool:
        """Begin the proof of every point of the front, or of all, that has none; whether there was one."""
        points = result_front(self.ledger, self.plan.settings.objectives)
        if self.plan.settings.proof == "all":
            points = [line for line in self.ledger.trials.values() if line.state == "complete"]
        new = [line for line in points if line.number not in self.ledger.proofs]
        for line in new:
            trial = _Open(line.number, line.params)
            unit = self._unit(trial, "proof", self.plan.seeds[0], 0, None)
            self.proving[line.number] = unit.key
            self.ready.append(unit)
        if new:
            self.progress.step("proofs", 0, len(new))
        return bool(new)

    def _proved(self, unit: Unit, outcome: Outcome) -> None:
        self.proving.pop(unit.trial, None)
        proof = ProofLine(unit.trial, "proved", dict(outcome.values), dict(outcome.notes), folder=unit.folder)
        self.ledger.add("proof", asdict(proof))
        self.progress.step("proofs", len(self.ledger.proofs), len(self.ledger.proofs) + len(self.proving))

    # the vendor's tools ---------------------------------------------------------------------------------------------

    def _synthesise_front(self) -> bool:
        """Begin the vendor's steps of every proved point of the front that has not had them; whether there was one."""
        front = result_front(self.ledger, self.plan.settings.objectives)
        new = [line for line in front if not self.ledger.proofs[line.number].vendor]
        for line in new:
            self.licensed.append(
                self._unit(_Open(line.number, line.params), "vendor", self.plan.seeds[0], 0, None)
            )
        return bool(new)

    def _synthesised(self, unit: Unit, outcome: Outcome) -> None:
        if CSYNTH not in outcome.notes:
            self._amend(unit.trial, outcome.values, {}, "done")
            return
        plan = write_vendor_plan(self.plan.folder, unit.trial, unit.folder)
        why = f"{outcome.notes[CSYNTH].partition(';')[0]}; {plan.parent} has a plan for each point: run it where the tool is, "
        why += "bring it back, and the same command reads it"
        self._amend(unit.trial, {}, {CSYNTH: why}, "planned")

    def _collect_plans(self) -> None:
        """Read what became of plans that were run elsewhere."""
        for proof in list(self.ledger.proofs.values()):
            if proof.vendor == "planned":
                found = read_vendor_plan(self.plan.folder, proof.trial, proof.folder)
                if isinstance(found, str):
                    self._amend(proof.trial, {}, {CSYNTH: found}, "planned")
                elif found is not None:
                    self._amend(proof.trial, found, {}, "done")

    def _amend(self, trial: int, values: Mapping[str, float], notes: Mapping[str, str], vendor: Any) -> None:
        """Add what the vendor's tools say to a proof."""
        proof = self.ledger.proofs[trial]
        kept = {what: why for what, why in proof.notes.items() if what != CSYNTH}
        amended = replace(proof, values={**proof.values, **values}, notes={**kept, **notes}, vendor=vendor)
        if amended != proof:
            self.ledger.add("proof", asdict(amended))

    # watching -------------------------------------------------------------------------------------------------------

    def _end_hung(self) -> None:
        minutes = self.plan.settings.time_limit_minutes
        limit = 60 * minutes if minutes is not None else max(_LEAST_LIMIT_S, _TIMES_LONGEST * self.longest_s)
        now = time.monotonic()
        for key, (unit, _, since) in list(self.executor.running.items()):
            # a proof takes the hardware stages too
            allowed = limit * (3 if unit.kind in ("proof", "vendor") and minutes is None else 1)
            if now - since > allowed and key not in self.executor.hung:
                self.executor.end(key, f"no end after {allowed / 60:.3g} minutes")

    def _say(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if self.tracker is not None and (force or now - self._tracked > _TRACK_S):
            self.tracker.write(self.ledger)
            self._tracked = time.monotonic()
        if not force and now - self._said < _SAY_S:
            return
        self._said = now
        where = self.executor.where() if self.executor.running and not force else {}
        running = [
            {
                "trial": unit.trial,
                "unit": key,
                "worker": where.get(key, ""),
                "for_s": round(now - since, 1),
            }
            for key, (unit, _, since) in self.executor.running.items()
        ]
        left = self._left_s()
        about = {
            "owner": asdict(Owner.here()),
            "began": self.began,
            "said": _now(),
            "ended": force,
            "dashboard": self.executor.dashboard,
            "running": running,
            "proposed": self.proposer.n_proposed,
            "spent_s": round(self.spent_s, 1),
            "left_s": left,
        }
        write_progress(self.plan.folder, about)

    def _left_s(self) -> float | None:
        """How long the trials still take at the pace of this call; ``None`` where nobody can say."""
        budget = self.plan.settings.budget
        left = None
        if budget.trials is not None and self.ended_here:
            pace = (time.monotonic() - self.started) / self.ended_here
            left = pace * max(0, budget.trials - len(self.ledger.trials))
        if budget.hours is not None:
            rest = max(0.0, 3600 * budget.hours - self.spent_s)
            left = rest if left is None else min(left, rest)
        return None if left is None else round(left, 1)


def _folder(trial: int, name: str) -> str:
    """Of a trial's run, below the search's."""
    return f"{RUNS}/{trial:05}/{name}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
