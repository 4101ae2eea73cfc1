"""The flow with fake stages: what is redone, what is refused, what survives an interrupt."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import fake_chain
import numpy as np
import pytest
from tiny_design import NETWORKS, environment, write_design

import codesign.flow
from codesign.core.files import json_digest, tree_digests
from codesign.errors import (
    CodesignError,
    DataError,
    OutputFolderError,
    ReportFormatError,
    SettingsError,
    StaleProjectError,
)
from codesign.flow import plan_run, run_design, stage_names
from codesign.stages import STAGES, open_run

ALL = tuple(stage.name for stage in STAGES)
TIMES = {"run.html", "summary.json", "summary.md", *(f"{name}/stage.json" for name in ALL)}
"""The files of a run that hold how long it took."""
FROM_PROJECT = ALL[ALL.index("project") :]


class Chain:
    """A tiny design, run by fake stages that note when they are made."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.design, self.log, self.output = folder / "tiny", log, folder / "run"

    def write(self, **changes: Any) -> None:
        write_design(self.design, **changes)

    def run(self, **options: Any) -> tuple[str, ...]:
        return run_design(self.design, output=self.output, **options).redone

    def made(self) -> list[str]:
        """What was made or checked since the last time this was asked."""
        lines = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    def state(self) -> dict[str, str]:
        return tree_digests(self.output)


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    fake_chain.install(monkeypatch.setattr, tmp_path / "log")
    chain = Chain(tmp_path, tmp_path / "log")
    chain.write()
    return chain


@pytest.fixture
def finished(chain: Chain) -> Chain:
    chain.run()
    chain.made()
    return chain


def after(name: str) -> tuple[str, ...]:
    return ALL[ALL.index(name) :]


def refusal(run: Callable[[], object], kind: type[CodesignError]) -> str:
    with pytest.raises(kind) as caught:
        run()
    return str(caught.value)


def test_the_chain_is_that_of_the_design_card() -> None:
    assert ALL[:7] == ("teacher", "student", "pruning", "scan", "quantization", "project", "rtl")
    assert stage_names() == list(ALL)
    for index, stage in enumerate(STAGES):
        assert set(stage.parents) <= set(ALL[:index]), f"{stage.name} needs what comes later"


def test_all_stages_run_in_order_after_the_checks(chain: Chain) -> None:
    result = run_design(chain.design, output=chain.output)
    assert chain.made() == ["checks", *ALL]
    assert (result.folder, result.redone) == (chain.output, ALL)
    assert result.summary == json.loads((chain.output / "summary.json").read_text())
    assert (chain.output / "summary.md").is_file()


def test_a_finished_run_is_left_as_it_is(finished: Chain) -> None:
    before = finished.state()
    assert finished.run() == ()
    assert finished.made() == []
    assert finished.state() == before


@pytest.mark.parametrize("name", ["run.html", "summary.json"])
def test_a_run_that_was_cut_off_before_its_last_file_gets_it(
    finished: Chain, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codesign.flow.write_run_page", lambda _, path: path.touch())
    (finished.output / name).unlink(missing_ok=True)
    assert finished.run() == ()
    assert (finished.output / name).is_file()


def test_the_default_folder_is_below_the_working_directory(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(chain.design.parent)
    assert run_design("tiny", name="first").folder == Path("hls_projects/tiny/first")
    assert run_design("tiny/design.yaml", name="first").redone == ()
    assert run_design("tiny", name="second").redone == ALL


CHANGES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"seed": 5}, ALL),
    ({"data": {"split_seed": 3}}, ALL),
    ({"data": {"max_samples": 401}}, ALL),
    ({"teacher": {"epochs": 4}}, ALL),
    ({"distillation": {"alpha": 0.9}}, after("student")),
    ({"distillation": {"epochs": 4}}, after("student")),
    ({"pruning": {"sparsity": 0.25}}, after("pruning")),
    ({"pruning": {"layers": {"fc1": 0.2}}}, after("pruning")),
    ({"scan": {"tolerance": 0.2}}, after("scan")),
    ({"quantization": {"learning_rate": 1e-5}}, after("quantization")),
    ({"hardware": {"clock_period_ns": 4.0}}, FROM_PROJECT),
    ({"hardware": {"layers": {"fc1": {"reuse_factor": 2}}}}, FROM_PROJECT),
    # settings that change nothing that a stage sees
    ({"name": "renamed"}, ()),
    ({"data": {"fractions": [0.6, 0.2, 0.2]}}, ()),
    ({"pruning": {"ramp": 0.6}}, ()),
]


@pytest.mark.parametrize(
    ("changes", "expected"), CHANGES, ids=lambda value: re.sub(r"\W+", "_", str(value))[:60]
)
def test_a_changed_setting_redoes_exactly_what_depends_on_it(
    finished: Chain, changes: dict[str, Any], expected: tuple[str, ...]
) -> None:
    before = {name: tree_digests(finished.output / name) for name in ALL}
    finished.write(**changes)
    assert finished.run(overwrite=True) == expected
    assert finished.made() == (["checks", *expected] if expected else [])
    for name in set(ALL) - set(expected):
        assert tree_digests(finished.output / name) == before[name]
    assert finished.run() == ()


def test_changing_a_setting_back_redoes_again(finished: Chain) -> None:
    before = finished.state()
    finished.write(scan={"tolerance": 0.2})
    assert finished.run(overwrite=True) == after("scan")
    finished.write()
    assert finished.run(overwrite=True) == after("scan")
    different = {name for name, digest in finished.state().items() if before.get(name) != digest}
    assert different <= TIMES


def test_changed_networks_redo_teacher_and_student_and_all_that_follows(finished: Chain) -> None:
    (finished.design / "networks.py").write_text(NETWORKS.replace("Dense(6", "Dense(7"))
    assert finished.run(overwrite=True) == ALL


def test_what_comes_out_the_same_ends_the_redoing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_chain.install(monkeypatch.setattr, tmp_path / "log", seen=fake_chain.sees_settings)
    chain = Chain(tmp_path, tmp_path / "log")
    chain.write()
    chain.run()
    (chain.design / "networks.py").write_text(NETWORKS + "\n# a remark\n")
    assert chain.run(overwrite=True) == ("teacher", "student")


def test_overrides_are_settings_like_those_of_the_file(finished: Chain) -> None:
    assert finished.run(overrides={"pruning.sparsity": 0.5}) == ()
    assert finished.run(overrides={"pruning.sparsity": 0.4}, overwrite=True) == after("pruning")
    kept = json.loads((finished.output / "run.json").read_text())
    assert kept["settings"]["pruning"]["sparsity"] == 0.4


def test_a_finished_run_is_not_overwritten_unasked(finished: Chain) -> None:
    before = finished.state()
    finished.write(pruning={"sparsity": 0.25}, distillation={"alpha": 0.9})
    assert refusal(finished.run, OutputFolderError) == (
        f"{finished.output} holds a finished run, and stage 'student' would be redone (changed: settings "
        "distillation); add --overwrite to redo it there, or --name to run beside it"
    )
    assert finished.made() == []
    assert finished.state() == before
    finished.write()
    assert finished.run() == ()


def test_a_finished_run_with_a_damaged_stage_says_so(finished: Chain) -> None:
    (finished.output / "scan" / "value.txt").write_text("other")
    assert refusal(finished.run, OutputFolderError) == (
        f"{finished.output} holds a finished run, and stage 'scan' would be redone (its files are missing or damaged); "
        "add --overwrite to redo it there, or --name to run beside it"
    )
    # it comes out as it was: nothing that follows is redone
    assert finished.run(overwrite=True) == ("scan",)


def test_a_new_file_of_the_teacher_is_named(finished: Chain) -> None:
    (finished.design / "trained.keras").write_bytes(b"model")
    finished.write(teacher={"file": "trained.keras"})
    message = refusal(finished.run, OutputFolderError)
    assert "(changed: settings teacher, the teacher's file trained.keras);" in message
    assert finished.run(overwrite=True) == ALL
    (finished.design / "trained.keras").write_bytes(b"another model")
    assert "(changed: the teacher's file trained.keras);" in refusal(finished.run, OutputFolderError)


def test_a_missing_file_of_the_teacher_is_a_sentence(chain: Chain) -> None:
    chain.write(teacher={"file": "trained.keras"})
    path = chain.design / "trained.keras"
    message = f"teacher: the file {path} does not exist; give the path of a trained teacher"
    assert refusal(chain.run, SettingsError) == message
    path.mkdir()
    assert refusal(chain.run, SettingsError).startswith(
        f"teacher: {path} is a folder and no SavedModel; give"
    )
    assert chain.made() == []


def test_an_unfinished_run_goes_on_with_changed_settings_unasked(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(chain, monkeypatch, "scan")
    chain.write(pruning={"sparsity": 0.25})
    assert chain.run() == after("pruning")


def stop_at(chain: Chain, monkeypatch: pytest.MonkeyPatch, name: str, **options: Any) -> None:
    """Interrupt a run in one of its stages."""
    stage = next(stage for stage in codesign.flow.STAGES if stage.name == name)

    def interrupt(value: Any, folder: Path) -> None:
        (folder / "value.txt").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            chain.run(**options)
    chain.made()


@pytest.mark.parametrize("name", ALL)
def test_an_interrupt_loses_the_running_stage_and_no_other(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stop_at(chain, monkeypatch, name)
    assert not (chain.output / name).exists()
    assert not (chain.output / "summary.json").exists()
    assert chain.run() == after(name)
    assert chain.made() == ["checks", *after(name)]


def test_a_run_that_ended_before_its_summary_only_writes_that(finished: Chain) -> None:
    before = finished.state()
    (finished.output / "summary.json").unlink()
    assert finished.run() == ()
    assert finished.state() == before


def test_from_redoes_a_stage_and_all_after_it(finished: Chain) -> None:
    assert finished.run(start_from="quantization") == after("quantization")
    assert finished.run() == ()
    assert finished.run(start_from=ALL[-1]) == ALL[-1:]
    assert finished.run(start_from=ALL[0]) == ALL


def test_from_redoes_earlier_stages_only_if_they_changed(finished: Chain) -> None:
    finished.write(pruning={"sparsity": 0.25})
    assert finished.run(start_from="quantization") == after("pruning")


@pytest.mark.parametrize("again", [{"start_from": "scan"}, {}], ids=["same command", "without from"])
def test_an_interrupted_from_goes_on(
    finished: Chain, monkeypatch: pytest.MonkeyPatch, again: dict[str, str]
) -> None:
    stop_at(finished, monkeypatch, "project", start_from="scan")
    # nothing of the old run is left behind the stage that was running
    assert [name for name in ALL if (finished.output / name).exists()] == list(ALL[: ALL.index("project")])
    stop_at(finished, monkeypatch, "rtl", **again)
    assert finished.run(**again) == after("rtl")
    assert finished.run() == ()


def test_a_finished_from_can_be_asked_for_again(finished: Chain) -> None:
    for _ in range(2):
        assert finished.run(start_from="scan") == after("scan")


def test_until_ends_early_and_the_next_call_goes_on(chain: Chain) -> None:
    result = run_design(chain.design, output=chain.output, until="scan")
    assert (result.redone, result.summary) == (ALL[: ALL.index("project") - 1], None)
    assert not (chain.output / "summary.json").exists()
    assert chain.made() == ["checks", *ALL[: ALL.index("quantization")]]
    assert chain.run(until="scan") == ()
    assert chain.run() == after("quantization")
    assert chain.run(until="scan") == ()
    assert (chain.output / "summary.json").is_file()


def test_a_plan_says_what_would_be_made_and_why_and_touches_nothing(chain: Chain) -> None:
    def plan(**options: Any) -> dict[str, str | None]:
        folder, planned = plan_run(chain.design, output=chain.output, **options)
        assert folder == chain.output
        return planned

    assert plan(until="pruning") == {
        "teacher": "not made yet",
        "student": "made of teacher",
        "pruning": "made of student, teacher",
    }
    assert not chain.output.exists()
    chain.run()
    before = chain.state()
    assert plan() == dict.fromkeys(ALL)
    chain.write(scan={"tolerance": 0.2})
    planned = plan()
    assert {name for name, why in planned.items() if why is None} == {"teacher", "student", "pruning"}
    assert (planned["scan"], planned["project"]) == ("changed: settings scan", "made of quantization")
    (chain.output / "student" / "value.txt").write_text("other")
    assert plan()["student"] == "its files are missing or damaged"
    chain.write()
    (chain.output / "student" / "value.txt").write_text(
        json.loads((chain.output / "student" / "stage.json").read_text())["record"]["digest"]
    )
    assert plan(start_from="project")["rtl"] == "--from project redoes all that follows"
    assert plan(start_from="project")["quantization"] is None
    assert chain.state() == before


def test_a_run_of_an_older_version_stands_with_its_synthesis(finished: Chain) -> None:
    old, new = finished.output / "synthesis", finished.output / "csynth"
    new.rename(old)
    evidence = json.loads((old / "stage.json").read_text())
    evidence["key"] = json_digest(["synthesis", evidence["depends"]])
    (old / "stage.json").write_text(json.dumps(evidence))
    assert finished.run() == ()
    assert finished.run(start_from="verification") == after("verification")
    assert (new.is_dir(), old.is_dir()) == (True, False)


def test_a_folder_is_not_shared_by_designs_of_one_name(finished: Chain) -> None:
    other = finished.design.with_name("other")
    write_design(other)
    assert refusal(lambda: run_design(other, output=finished.output), OutputFolderError) == (
        f"{finished.output} holds a run of {finished.design}, not of {other}: both designs have one name; choose another "
        "folder with --name or --output, or --overwrite to replace that run"
    )
    # a design that was moved is the same design
    shutil.rmtree(other)
    finished.design.rename(other)
    assert run_design(other, output=finished.output).redone == ()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-x", "\n"])
def test_a_name_that_is_no_folder_name_is_refused(chain: Chain, name: str) -> None:
    assert refusal(lambda: run_design(chain.design, name=name), SettingsError) == (
        f"--name: must be letters, digits, '.', '_' and '-', not {name!r}; give any other folder with --output"
    )


@pytest.mark.parametrize(
    "text", ["null", "[]", "{}", '{"design": 3, "settings": {}}', "{", "[" * 5000, "\x00"]
)
def test_a_damaged_run_file_is_a_sentence(finished: Chain, text: str) -> None:
    path = finished.output / "run.json"
    path.write_text(text)
    expected = f"{path} is damaged; remove it: the run's command writes it anew and keeps the finished stages"
    assert refusal(finished.run, StaleProjectError) == expected
    assert refusal(lambda: open_run(finished.output), StaleProjectError) == expected
    path.unlink()
    assert finished.run() == ()


def test_the_flow_writes_the_record_of_a_stage(finished: Chain) -> None:
    records = open_run(finished.output).records
    record = records["quantization"]
    settings = json.loads((finished.output / "run.json").read_text())["settings"]
    assert (record.stage, record.seed) == ("quantization", settings["seed"])
    assert record.settings == {name: settings[name] for name in ("quantization", "distillation")}
    assert set(record.parents) == {"dataset", "pruning", "scan", "teacher"}
    assert record.parents["scan"] == records["scan"].digest
    assert record.seconds >= 0


def test_from_needs_a_run(chain: Chain) -> None:
    assert refusal(lambda: chain.run(start_from="scan"), SettingsError) == (
        f"--from scan: {chain.output} holds no run whose earlier stages could stand; leave out --from, or name a run that "
        "is there"
    )
    assert not chain.output.exists()
    assert chain.run(start_from="teacher") == ALL


def test_from_an_unknown_stage(chain: Chain) -> None:
    message = f"--from: there is no stage 'prune'; the stages are {', '.join(ALL)}"
    assert refusal(lambda: chain.run(start_from="prune"), SettingsError) == message
    assert not chain.output.exists()


def test_a_failed_check_leaves_a_finished_run_finished(
    finished: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = finished.state()
    finished.write(pruning={"sparsity": 0.25})

    def fail(context: object) -> None:
        raise DataError("no")

    with monkeypatch.context() as patch:
        patch.setattr(codesign.flow.STAGES[0], "check", fail)
        assert refusal(lambda: finished.run(overwrite=True), DataError) == "no"
        assert refusal(lambda: finished.run(start_from="teacher"), DataError) == "no"
    assert finished.state() == before
    finished.write()
    assert finished.run() == ()


def test_a_design_without_networks_is_refused_at_once(chain: Chain) -> None:
    (chain.design / "networks.py").unlink()
    assert refusal(chain.run, SettingsError) == (
        f"{chain.design} has no networks.py; codesign new makes one to copy: define build_teacher and build_student "
        "in it"
    )
    assert chain.made() == []


def test_missing_data_are_refused_at_once(chain: Chain) -> None:
    chain.write(data={"source": "nothing.npz"})
    assert refusal(chain.run, DataError).startswith(f"{chain.design / 'nothing.npz'}: no such file; ")
    assert chain.made() == []


def test_a_run_can_be_opened_again(finished: Chain) -> None:
    context = open_run(finished.output)
    assert set(context.records) == set(ALL)
    assert context.design == finished.design
    assert context.value("scan").text == context.records["scan"].digest


def test_the_log_tells_every_stage(chain: Chain) -> None:
    steps: list[tuple[Any, ...]] = []

    class Told:
        def step(self, *step: Any) -> None:
            steps.append(step)

    chain.run(progress=Told())
    assert steps[:-1] == [("flow", index, len(ALL), name) for index, name in enumerate(ALL)]
    assert steps[-1] == ("flow", len(ALL), len(ALL))


def start(chain: Chain, seconds: float, number: int = 0, moments: str = "") -> subprocess.Popen[str]:
    command = [
        fake_chain.__file__,
        chain.log,
        seconds,
        number,
        moments,
        "run",
        chain.design,
        "--output",
        chain.output,
    ]
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_ended_at_random_moments_a_run_comes_out_as_if_it_had_not_been(
    chain: Chain, end: signal.Signals
) -> None:
    chain.run()
    whole = chain.state()
    chain.made()
    chain.output.rename(chain.output.with_name("whole"))
    moments = ",".join(str(moment) for moment in np.random.default_rng(end).uniform(0, 0.15, 8))
    process = start(chain, 0.05, end, moments)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    logs = sorted(chain.log.parent.glob("log-*"))
    codes = {int(path.name.split("-", 2)[2]) for path in logs}
    assert codes <= {-9 if end == signal.SIGKILL else 130, 0}
    made = [[name for name in path.read_text().split() if name != "checks"] for path in logs] + [
        chain.made()[1:]
    ]
    assert len(made) == 9
    began = [names for names in made if names]
    for earlier, later in pairwise(began):
        # with the stage that the end before it broke off, or with the next if it was whole already
        assert 0 <= ALL.index(later[0]) - ALL.index(earlier[-1]) <= 1
    assert began[0][0] == ALL[0]
    assert began[-1][-1] == ALL[-1]
    final = chain.state()
    assert {name for name in final if final[name] != whole.get(name)} <= TIMES
    assert set(final) == set(whole)


def test_a_page_that_cannot_be_drawn_does_not_undo_the_run(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(folder: Path, path: Path) -> None:
        raise ReportFormatError(folder, "run", "damaged")

    monkeypatch.setattr(codesign.flow, "write_run_page", fail)
    assert chain.run() == ALL
    assert (chain.output / "summary.json").is_file()
    assert "the run has ended, but its page was not written: " in caplog.text


def test_the_second_of_two_runs_in_a_folder_is_refused(chain: Chain) -> None:
    first = start(chain, 2.0)
    try:
        while not chain.log.exists() and first.poll() is None:
            time.sleep(0.01)
        second = start(chain, 0.0)
        out, error = second.communicate(timeout=60)
        assert (second.returncode, out) == (1, "")
        assert error == (
            f"error: another run works in {chain.output}; wait for it or choose another folder with --output or "
            "--name\n"
        )
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGINT)
        _, error = first.communicate(timeout=60)
    assert first.returncode == 130
    assert error.endswith("\n\nInterrupted; the finished stages are kept, the same command resumes.\n")


def test_a_students_choice_redoes_the_student_and_none_leaves_old_runs_standing(chain: Chain) -> None:
    chain.run()
    depends = open_run(chain.output)
    assert "settings student" not in (chain.output / "student" / "stage.json").read_text()
    assert depends.settings.student == {}
    redone = chain.run(overrides={"student.width1": 5}, overwrite=True)
    assert redone == after("student")
    assert open_run(chain.output).settings.student == {"width1": 5}
    assert chain.run(overrides={"student.width1": 5}) == ()
