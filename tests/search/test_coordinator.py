"""The coordinator on fake workers: what it makes of results, failures and deaths, and that nothing is lost anywhere."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from search_cases import SPACE, Died, FakeExecutor, coordinate, failing, found_by, write_search

from codesign.core import interrupt
from codesign.errors import OutputFolderError, SearchError, ToolError
from codesign.search.executor import Ended
from codesign.search.ledger import Ledger, TrialLine, read_progress
from codesign.search.objectives import OBJECTIVES
from codesign.search.results import read_found, write_best
from codesign.search.unit import Unit


def told(ledger: Ledger) -> dict[int, Any]:
    return {number: (line.params, line.state, line.values) for number, line in sorted(ledger.trials.items())}


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe", "nsga2"])
def test_every_trial_of_the_budget_has_its_result_and_the_front_is_proved(
    tmp_path: Path, sampler: str
) -> None:
    file = write_search(tmp_path, sampler=sampler, constraints=["student.width2 <= student.width1"])
    ledger = coordinate(file, FakeExecutor())
    assert len(ledger.trials) == 12
    for line in ledger.trials.values():
        one, two = line.params["student.width1"], line.params["student.width2"]
        assert two <= one
        assert line.state == "complete"
        assert line.values == {"quality": pytest.approx(1 - 1 / (one + two)), "luts": 10.0 * one * two}
    found = read_found(tmp_path)
    assert {line.number for line in found.front} == set(ledger.proofs)
    for line in found.front:
        better = [
            other
            for other in ledger.trials.values()
            if other.values["quality"] >= line.values["quality"]
            and other.values["luts"] < line.values["luts"]
        ]
        assert not better


def test_a_grid_ends_by_itself(tmp_path: Path) -> None:
    space = {"student.width1": {"type": "int", "low": 2, "high": 4}}
    ledger = coordinate(write_search(tmp_path, space=space, sampler="grid", budget={}), FakeExecutor())
    assert sorted(line.params["student.width1"] for line in ledger.trials.values()) == [2, 3, 4]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_space_that_is_exhausted_ends_the_search(tmp_path: Path, sampler: str) -> None:
    space = {"student.width1": {"type": "int", "low": 2, "high": 5}}
    ledger = coordinate(write_search(tmp_path, space=space, sampler=sampler), FakeExecutor())
    assert sorted(line.params["student.width1"] for line in ledger.trials.values()) == [2, 3, 4, 5]


def test_seeds_and_folds_are_runs_of_one_trial(tmp_path: Path) -> None:
    file = write_search(tmp_path, seeds=[0, 3], folds=2, budget={"trials": 2}, proof=False)
    executor = FakeExecutor()
    ledger = coordinate(file, executor)
    runs = [
        (unit.overrides["seed"], unit.overrides["data.fold"])
        for unit in executor.submitted
        if unit.trial == 0
    ]
    assert sorted(runs) == [(0, [0, 2]), (0, [1, 2]), (3, [0, 2]), (3, [1, 2])]
    line = ledger.trials[0]
    width = line.params["student.width1"] + line.params["student.width2"]
    assert line.values["quality"] == pytest.approx(1 - 1 / width - 0.0015)
    assert line.spread["quality"] == pytest.approx(0.003 / 2 * (4 / 3) ** 0.5)
    assert line.seconds == 4.0


def through_deaths(file: Path, executor: Callable[[int], FakeExecutor]) -> Ledger:
    """Run a search to its end by executors whose coordinator dies after none, one or two units, again and again."""
    for deaths in range(60):
        try:
            ledger = coordinate(file, executor(deaths % 3))
            break
        except Died:
            continue
    assert deaths > 5
    return ledger


@pytest.mark.parametrize("sampler", ["random", "nsga2"])
def test_a_coordinator_that_dies_anywhere_goes_on_to_the_same_results(tmp_path: Path, sampler: str) -> None:
    undisturbed = coordinate(write_search(tmp_path / "calm", sampler=sampler), FakeExecutor(slots=1))
    file = write_search(tmp_path / "chaos", sampler=sampler)
    ledger = through_deaths(file, lambda after: FakeExecutor(slots=1, die_after=after))
    assert told(ledger) == told(undisturbed)
    assert set(ledger.proofs) == set(undisturbed.proofs)
    text = (tmp_path / "chaos" / "search" / "ledger.jsonl").read_text()
    assert len(text.splitlines()) == len(set(text.splitlines()))


@pytest.mark.parametrize("cut", [1, 40, 333])
def test_torn_journal_and_ledger_go_on(tmp_path: Path, cut: int) -> None:
    undisturbed = coordinate(write_search(tmp_path / "calm", proof=False), FakeExecutor(slots=1))
    file = write_search(tmp_path / "torn", proof=False)
    with pytest.raises(Died):
        coordinate(file, FakeExecutor(slots=1, die_after=7))
    for name in ("optuna.journal", "ledger.jsonl"):
        path = tmp_path / "torn" / "search" / name
        # no more than the last line: what stands before it was on the disk before anything followed from it
        whole = path.read_bytes()
        last = len(whole) - whole.rstrip(b"\n").rfind(b"\n") - 1
        path.write_bytes(whole[: len(whole) - min(cut, last)])
    ledger = coordinate(file, FakeExecutor(slots=1))
    values = {str(line.params): line.values for line in ledger.trials.values()}
    assert values == {str(line.params): line.values for line in undisturbed.trials.values()}


def test_a_result_that_was_written_down_and_not_told_is_told(tmp_path: Path) -> None:
    file = write_search(tmp_path, proof=False)
    with pytest.raises(Died):
        coordinate(file, FakeExecutor(slots=1, die_after=3))
    # the journal of a moment before the last trial was told
    journal = tmp_path / "search" / "optuna.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    told_at = max(index for index, line in enumerate(lines) if b'"state":1' in line)
    journal.write_bytes(b"".join(lines[:told_at]))
    executor = FakeExecutor(slots=1)
    ledger = coordinate(file, executor)
    assert len(ledger.trials) == 12
    assert len(executor.submitted) == 9  # none of the three that had ended


def test_nsga2_finds_the_generations_of_its_trials_again(tmp_path: Path) -> None:
    import optuna

    file = write_search(
        tmp_path, sampler={"kind": "nsga2", "population": 4}, budget={"trials": 16}, proof=False
    )
    with pytest.raises(Died):
        coordinate(file, FakeExecutor(slots=1, die_after=9))
    coordinate(file, FakeExecutor(slots=1))
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "search" / "optuna.journal"))
    study = optuna.load_study(study_name="search", storage=optuna.storages.JournalStorage(backend))
    generations = [
        next((value for name, value in trial.system_attrs.items() if name.endswith("generation")), None)
        for trial in study.trials
        if "ready" in trial.user_attrs
    ]
    assert None not in generations
    assert max(generations) >= 3
    assert not [trial for trial in study.trials if not trial.state.is_finished()]


def test_a_failure_is_tried_three_times_and_told_with_its_reason(tmp_path: Path) -> None:
    def script(unit: Unit, attempt: int) -> Ended | None:
        if unit.trial == 1:
            return failing(unit)
        return failing(unit) if unit.trial == 2 and attempt < 3 else None

    executor = FakeExecutor(script=script)
    ledger = coordinate(write_search(tmp_path, proof=False), executor)
    assert ledger.trials[1].state == "failed"
    assert ledger.trials[1].reason == "ToolFailedError: g++ ended (3 attempts)"
    assert ledger.trials[2].state == "complete"
    assert sum(unit.trial == 1 for unit in executor.submitted) == 3
    assert sum(line.state == "complete" for line in ledger.trials.values()) == 11


@pytest.mark.parametrize("how", ["lost", "death", "error", "refused"])
def test_other_runs_of_a_trial_that_failed_are_not_tried_again(tmp_path: Path, how: Any) -> None:
    def script(unit: Unit, attempt: int) -> Ended | None:
        if unit.trial != 1:
            return None
        if unit.overrides["seed"] == 2:  # the last of those that run ends first
            return failing(unit, "final", "TrainingError: nan")
        return failing(unit, "refused") if how == "refused" else Ended(unit, None, how)

    executor = FakeExecutor(slots=9, script=script)
    executor.ban = lambda address, reason: None  # type: ignore[method-assign]
    file = write_search(tmp_path, proof=False, seeds=[0, 1, 2], budget={"trials": 3})
    ledger = coordinate(file, executor)
    assert [ledger.trials[number].state for number in range(3)] == ["complete", "failed", "complete"]
    runs = [unit.overrides["seed"] for unit in executor.submitted if unit.trial == 1]
    assert len(runs) == len(set(runs))


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2"])
def test_no_trial_of_the_journal_runs_for_ever_and_optuna_alone_reads_it(
    tmp_path: Path, sampler: str
) -> None:
    file = write_search(
        tmp_path, sampler=sampler, proof=False, constraints=["student.width2 <= student.width1"]
    )
    for deaths in range(1, 4):
        with pytest.raises(Died):
            coordinate(file, FakeExecutor(slots=2, die_after=deaths))
    ledger = coordinate(file, FakeExecutor())
    # as optuna-dashboard opens it: nothing of this package
    code = (
        "import json, optuna; from optuna.storages.journal import JournalFileBackend, JournalStorage; "
        "study = optuna.load_study(study_name='search', storage=JournalStorage(JournalFileBackend('optuna.journal'))); "
        "assert {trial.state.is_finished() for trial in study.trials} == {True}; "
        "print(json.dumps([study.metric_names, [[trial.number, trial.params, trial.values] for trial in study.trials "
        "if trial.state.name == 'COMPLETE']]))"
    )
    read = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "search", capture_output=True, text=True, check=True
    )
    names, trials = json.loads(read.stdout)
    assert names == ["quality", "luts"]
    assert {number: (params, values) for number, params, values in trials} == {
        line.number: (line.params, [line.values[name] for name in names]) for line in ledger.trials.values()
    }


def test_clocks_that_differ_and_jump_decide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calm = coordinate(write_search(tmp_path / "calm", proof=False), FakeExecutor())
    dice = random.Random(0)

    class Jumping(FakeExecutor):
        def ended(self, timeout_s: float) -> list[Ended]:
            shift = dice.uniform(-1e6, 1e6)
            monkeypatch.setattr(time, "time", lambda: 1.8e9 + shift)
            return super().ended(timeout_s)

    file = write_search(tmp_path / "jumping", proof=False, budget={"trials": 12, "hours": 1})
    with pytest.raises(Died):
        coordinate(file, Jumping(die_after=5))
    assert told(coordinate(file, Jumping())) == told(calm)
    assert 0 <= read_progress(tmp_path / "jumping" / "search")["spent_s"] < 600


def test_a_signal_whose_exception_was_lost_ends_the_search_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Waiting(FakeExecutor):
        """Whose runs take long: nothing ends, and the signal's own exception is lost meanwhile."""

        def ended(self, timeout_s: float) -> list[Ended]:
            assert not interrupt._asked, "it waits on"
            monkeypatch.setattr(interrupt, "_asked", True)
            return []

    with pytest.raises(KeyboardInterrupt):
        coordinate(write_search(tmp_path), Waiting())


def test_what_would_fail_again_is_told_at_once(tmp_path: Path) -> None:
    script = lambda unit, attempt: failing(unit, "final", "TrainingError: nan") if unit.trial == 1 else None  # noqa: E731
    executor = FakeExecutor(script=script)
    ledger = coordinate(write_search(tmp_path, proof=False), executor)
    assert (ledger.trials[1].state, ledger.trials[1].reason) == ("failed", "TrainingError: nan")
    assert sum(unit.trial == 1 for unit in executor.submitted) == 1


def test_attempts_are_counted_over_calls(tmp_path: Path) -> None:
    file = write_search(tmp_path, proof=False, budget={"trials": 1})
    for _ in range(2):
        with pytest.raises(Died):
            coordinate(file, FakeExecutor(script=lambda unit, attempt: failing(unit), die_after=1))
    ledger = coordinate(file, FakeExecutor(script=lambda unit, attempt: failing(unit)))
    assert ledger.trials[0].reason == "ToolFailedError: g++ ended (3 attempts)"


def test_deaths_of_workers_are_not_the_trials_fault_ten_times(tmp_path: Path) -> None:
    def script(unit: Unit, attempt: int) -> Ended | None:
        dies = unit.trial == 0 or (unit.trial == 1 and attempt < 10)
        return Ended(unit, None, "death", "its worker died") if dies else None

    ledger = coordinate(write_search(tmp_path, proof=False), FakeExecutor(script=script))
    assert (ledger.trials[0].state, ledger.trials[0].reason) == ("failed", "its worker died (10 attempts)")
    assert ledger.trials[1].state == "complete"


def test_a_run_that_the_cluster_forgot_is_done_again_without_a_word(tmp_path: Path) -> None:
    script = lambda unit, attempt: Ended(unit, None, "lost") if attempt == 1 else None  # noqa: E731
    ledger = coordinate(write_search(tmp_path, proof=False), FakeExecutor(script=script))
    assert not ledger.attempts
    assert {line.state for line in ledger.trials.values()} == {"complete"}


def test_a_spoilt_worker_is_restarted(tmp_path: Path) -> None:
    script = lambda unit, attempt: failing(unit, "spoilt", "CUDA lost") if attempt == 1 else None  # noqa: E731
    executor = FakeExecutor(script=script)
    ledger = coordinate(write_search(tmp_path, proof=False), executor)
    assert executor.renewed == ["tcp://here"] * 12
    assert {line.state for line in ledger.trials.values()} == {"complete"}


def test_a_full_disk_ends_the_search_and_no_trial(tmp_path: Path) -> None:
    file = write_search(tmp_path, proof=False)
    script = lambda unit, attempt: failing(unit, "disk", "no space left") if unit.trial == 3 else None  # noqa: E731
    with pytest.raises(OutputFolderError, match=r"^trial 3: no space left$"):
        coordinate(file, FakeExecutor(script=script))
    ledger = coordinate(file, FakeExecutor())
    assert {line.state for line in ledger.trials.values()} == {"complete"}


def test_workers_of_another_version_are_refused_and_none_left_ends_the_search(tmp_path: Path) -> None:
    script = lambda unit, attempt: failing(unit, "refused", "here:1 is another worker")  # noqa: E731
    with pytest.raises(
        ToolError, match=r"^no worker is left that the search accepts: here:1 is another worker$"
    ):
        coordinate(write_search(tmp_path), FakeExecutor(slots=1, script=script))


def test_hopeless_trials_end_after_short_trainings_and_small_students_are_no_such(tmp_path: Path) -> None:
    file = write_search(
        tmp_path,
        pruner={"least_epochs": 1, "factor": 2},
        budget={"trials": 40},
        settings={"distillation.epochs": 4},
    )
    executor = FakeExecutor(slots=2)
    ledger = coordinate(file, executor)
    rungs = [unit for unit in executor.submitted if unit.kind == "rung"]
    assert {unit.overrides["distillation.epochs"] for unit in rungs} == {1, 2}
    assert all(unit.until == "student" for unit in rungs)
    pruned = [line for line in ledger.trials.values() if line.state == "pruned"]
    assert pruned
    assert all("behind" in line.reason for line in pruned)
    # nobody on the front of all points was taken for hopeless: a small student is not judged by a large one
    every = {
        (line.params["student.width1"], line.params["student.width2"]) for line in ledger.trials.values()
    }
    for line in pruned:
        one, two = line.params["student.width1"], line.params["student.width2"]
        assert any(
            a + b >= one + two and a * b <= one * two and (a + b, a * b) != (one + two, one * two)
            for a, b in every
        )


def test_points_that_the_proof_refutes_leave_the_front_and_the_next_are_proved(tmp_path: Path) -> None:
    refuted: list[int] = []

    def script(unit: Unit, attempt: int) -> Ended | None:
        if unit.kind == "proof" and len(refuted) < 2:
            refuted.append(unit.trial)
            return failing(unit, "final", "VerificationError: csim and the QKeras student disagree")
        return None

    ledger = coordinate(write_search(tmp_path), FakeExecutor(script=script))
    found = read_found(tmp_path)
    assert not set(refuted) & {line.number for line in found.front}
    assert all(found.proof(line) is not None for line in found.front)
    assert [ledger.proofs[number].state for number in refuted] == ["refuted"] * 2


def test_licences_are_counted_over_all_workers_and_refute_nothing(tmp_path: Path) -> None:
    side_by_side: list[int] = []

    class Watched(FakeExecutor):
        def submit(self, unit: Unit) -> None:
            super().submit(unit)
            side_by_side.append(sum(one.kind == "vendor" for one, _, _ in self.running.values()))

    def script(unit: Unit, attempt: int) -> Ended | None:
        if unit.kind == "vendor" and unit.trial in failing_trials:
            return failing(unit, reason="ToolFailedError: a licence was not found\nmore")
        return None

    failing_trials: set[int] = set()
    calm = coordinate(write_search(tmp_path / "calm"), FakeExecutor())
    failing_trials |= {min(calm.proofs)}
    executor = Watched(slots=6, script=script)
    ledger = coordinate(write_search(tmp_path / "two", licences=2), executor)
    assert len(ledger.proofs) > 2
    assert max(side_by_side) == 2
    for number, proof in ledger.proofs.items():
        assert proof.state == "proved"
        if number in failing_trials:
            assert proof.vendor == "failed"
            assert proof.notes["vendor C synthesis"] == "ToolFailedError: a licence was not found"
        else:
            assert proof.vendor == "done"
            assert proof.values["csynth_lut"] == pytest.approx(1.4 * ledger.trials[number].values["luts"])
    proofs = [unit for unit in executor.submitted if unit.kind == "proof"]
    vendors = {unit.trial: unit for unit in executor.submitted if unit.kind == "vendor"}
    assert {unit.until for unit in proofs} == {"verification"}
    assert {(unit.folder, None) for unit in proofs} == {
        (unit.folder, unit.until) for unit in vendors.values()
    }


def test_limits_reach_the_sampler_and_the_front(tmp_path: Path) -> None:
    ledger = coordinate(write_search(tmp_path, limits={"luts": 300, "quality": 0.8}), FakeExecutor())
    able = [line for line in ledger.trials.values() if line.is_within_limits]
    assert 0 < len(able) < 12
    assert all(line.values["luts"] <= 300 and line.values["quality"] >= 0.8 for line in able)
    assert all(line.is_within_limits for line in read_found(tmp_path).front)


def test_a_limit_that_nothing_meets_says_the_nearest(tmp_path: Path) -> None:
    coordinate(write_search(tmp_path, limits={"luts": 10}), FakeExecutor())
    found = read_found(tmp_path)
    nearest: TrialLine = min(found.ledger.trials.values(), key=lambda line: line.values["luts"])
    from codesign.search.results import choose_best, nearest_to_limits

    luts = nearest.values["luts"]
    told = f"no trial meets the limits; the nearest is trial {nearest.number}: luts {luts:,.0f} for a limit of 10"
    assert nearest_to_limits(found) == told
    with pytest.raises(SearchError, match=re.escape(told)):
        choose_best(found, budget_luts=1000)


def test_tpe_looks_where_the_constraints_allow_and_at_few_of_what_is_not_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import optuna

    from codesign.search import proposer

    others: list[list[int]] = []
    build = optuna.samplers.TPESampler._build_parzen_estimator

    def watched(self: Any, study: Any, search_space: Any, trials: Any, handle_below: bool) -> Any:
        if not handle_below:
            others.append([trial.number for trial in trials])
        return build(self, study, search_space, trials, handle_below)

    monkeypatch.setattr(optuna.samplers.TPESampler, "_build_parzen_estimator", watched)
    monkeypatch.setattr(proposer, "_MOST_OTHERS", 20)
    file = write_search(
        tmp_path,
        space={f"student.width{n}": {"type": "int", "low": 2, "high": 400} for n in (1, 2)},
        sampler="tpe",
        proof=False,
        # what TPE would like best lies beyond it
        constraints=["student.width2 <= 0.7 * student.width1"],
        objectives={"quality": "maximize", "parameters": "minimize"},
        budget={"trials": 60},
    )
    ledger = coordinate(file, FakeExecutor(slots=1))
    assert len(ledger.trials) == 60
    assert max(ledger.trials) + 1 < 100, "proposals that are refused"
    assert max(map(len, others)) <= 20
    assert max(others[-1]) > max(ledger.trials) - 10
    assert others[-1] == sorted(others[-1])


@pytest.mark.parametrize("objectives", [["quality"], ["quality", "luts"]])
def test_tpe_proposes_what_optunas_does_and_asks_once_which_are_best(
    objectives: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import optuna
    from optuna.samplers._tpe import sampler

    directions = {name: OBJECTIVES[name].direction for name in objectives}
    file = write_search(
        tmp_path,
        space={f"student.width{n}": {"type": "int", "low": 2, "high": 400} for n in (1, 2)},
        sampler="tpe",
        proof=False,
        objectives=directions,
        budget={"trials": 25},
    )
    splits: list[int] = []
    split = sampler._split_trials
    monkeypatch.setattr(
        sampler, "_split_trials", lambda study, trials, n: splits.append(n) or split(study, trials, n)
    )
    ledger = coordinate(file, FakeExecutor(slots=1))
    assert len(splits) == max(ledger.trials) + 1 - 10
    study = optuna.create_study(directions=list(directions.values()))
    for number in range(max(ledger.trials) + 1):
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=10, seed=number)
        trial = study.ask()
        params = {name: trial.suggest_int(name, 2, 400) for name in ("student.width1", "student.width2")}
        line = ledger.trials.get(number)
        if line is None:  # a point that stands already
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        assert line.params == params
        study.tell(trial, [line.values[name] for name in objectives])


def test_what_is_derived_follows_the_trial_and_the_seed(tmp_path: Path) -> None:
    file = write_search(
        tmp_path,
        derived={
            "data.split_seed": "seed",
            "quantization.epochs": "2 + 3 * (student.width1 > 8)",
            "pruning.epochs": "student.width3 // 2",
        },
        space={**SPACE, "student.width3": {"type": "int", "low": 4, "high": 8, "when": "student.width1 > 8"}},
        seeds=[3, 5],
    )
    networks = tmp_path / "design" / "networks.py"
    networks.write_text(networks.read_text().replace("width2=4", "width2=4, width3=4"))
    executor = FakeExecutor()
    ledger = coordinate(file, executor)
    runs = [unit for unit in executor.submitted if unit.kind == "run"]
    assert len(runs) == 24
    for unit in runs:
        given = unit.overrides
        assert given["data.split_seed"] == given["seed"]
        wide = given["student.width1"] > 8
        assert given["quantization.epochs"] == (5 if wide else 2)
        # what it is derived of is not varied there
        assert ("pruning.epochs" in given) == wide == ("student.width3" in given)
    digests = {unit.overrides["seed"]: unit.data for unit in runs}
    assert len(set(digests.values()) - {None}) == 2, "each seed has data of its own"
    number = next(iter(ledger.proofs))
    design = write_best(read_found(tmp_path / "search"), ledger.trials[number], tmp_path / "best")
    values = yaml.safe_load((design / "design.yaml").read_text())
    assert values["data"]["split_seed"] == values["seed"] == 3
    assert values["quantization"]["epochs"] in (2, 5)


def test_every_trial_is_proved_where_that_is_asked_for(tmp_path: Path) -> None:
    ledger = coordinate(write_search(tmp_path, proof="all"), FakeExecutor())
    assert set(ledger.proofs) == set(ledger.trials)
    assert len(ledger.proofs) == 12
    assert {proof.vendor for proof in ledger.proofs.values()} == {"", "done"}, (
        "the vendor's tools see the front alone"
    )


def with_fronts(home: Path, executor: FakeExecutor) -> FakeExecutor:
    """Workers whose trials leave fronts of learned widths: cheaper and worse points than the one they are built of."""

    def script(unit: Unit, attempt: int) -> Ended | None:
        outcome = found_by(unit)
        if unit.kind != "run":
            return None
        quality, luts = outcome.values["quality"], outcome.values["luts"]
        points = [
            {"luts": luts * part, "validation_quality": quality - 0.2 * (1 - part)}
            for part in (0.25, 0.5, 1.0)
        ]
        budget = unit.overrides.get("quantization.learned.budget_luts")
        if budget is not None:
            assert (home / unit.begins / "quantization" / "front.json").is_file()
            point = [point for point in points if point["luts"] <= budget][-1]
            values = {"quality": point["validation_quality"], "luts": point["luts"]}
            return Ended(unit, replace(outcome, values=values), "done")
        assert unit.begins == ""
        folder = home / unit.folder / "quantization"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "front.json").write_text(json.dumps({"points": points}))
        return None

    executor.script = script
    return executor


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2"])
def test_further_points_of_the_trainings_become_trials_that_are_proved(tmp_path: Path, sampler: str) -> None:
    file = write_search(tmp_path, sampler=sampler, seeds=[0, 3], points=5, budget={"trials": 6})
    ledger = coordinate(file, with_fronts(tmp_path / "search", FakeExecutor()))
    further = {number: line for number, line in ledger.trials.items() if line.of is not None}
    assert len(ledger.trials) - len(further) == 6
    assert 1 <= len(further) <= 5
    found = read_found(tmp_path)
    assert {line.number for line in found.front} == set(ledger.proofs)
    assert any(line.of is not None for line in found.front)
    for line in further.values():
        assert line.state == "complete"
        parent = ledger.trials[line.of]
        budget = line.params.pop("quantization.learned.budget_luts")
        assert line.params == parent.params
        assert line.values["luts"] <= budget <= parent.values["luts"]
        assert line.values["quality"] < parent.values["quality"]
    before = told(ledger)
    # another call has nothing to do
    again = FakeExecutor()
    assert told(coordinate(file, with_fronts(tmp_path / "search", again))).keys() == before.keys()
    assert not again.submitted


def test_a_coordinator_that_dies_among_further_points_goes_on_to_the_same_results(tmp_path: Path) -> None:
    def file_in(name: str) -> Path:
        return write_search(tmp_path / name, seeds=[0], points=3, budget={"trials": 4}, sampler="random")

    calm = file_in("calm")
    undisturbed = coordinate(calm, with_fronts(calm.parent / "search", FakeExecutor(slots=1)))
    file = file_in("chaos")
    ledger = through_deaths(
        file, lambda after: with_fronts(file.parent / "search", FakeExecutor(slots=1, die_after=after))
    )
    assert told(ledger) == told(undisturbed)
    assert set(ledger.proofs) == set(undisturbed.proofs)
    assert any(line.of is not None for line in ledger.trials.values())


@pytest.mark.parametrize(
    "values", [{"points": 0}, {"folds": 2}, {"objectives": {"quality": "maximize", "bops": "minimize"}}]
)
def test_no_further_points_where_they_are_not_wanted_or_no_means(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    file = write_search(tmp_path, budget={"trials": 3}, proof=False, seeds=[0], **values)
    ledger = coordinate(file, FakeExecutor())
    assert len(ledger.trials) == 3
