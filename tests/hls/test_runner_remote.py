"""Plans written out, run by a plain shell, and read back: the same results as here, or a refusal."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from codesign.core.build_marker import BuildMarker
from codesign.core.files import tree_digests
from codesign.core.sealed import BUILD_PLAN
from codesign.errors import OutputFolderError, SettingsError, StaleProjectError, ToolFailedError
from codesign.hls.build_products import STALE
from codesign.hls.plan import STEPS, expected_reports, plan_build, read_project_script
from codesign.hls.runner import run_plan
from codesign.hls.runner_remote import collect_results, write_plan

XML = "myproject_prj/solution1/syn/report/myproject_csynth.xml"


def run_there(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the plan as a user of another machine would; every sh on this one must do."""
    return subprocess.run(["sh", "run.sh"], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture
def written(make_project: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """A project and the plan of all its steps."""
    project = make_project()
    return project, write_plan(plan_build(project, STEPS), tmp_path / "plan")


@pytest.mark.parametrize(("backend", "program"), [("Vitis", "vitis_hls"), ("Vivado", "vivado_hls")])
def test_a_plan_run_elsewhere_gives_what_it_gives_here(
    fake_tools,
    make_project: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    program: str,
) -> None:
    monkeypatch.setenv("FAKE_TIME", "1700000000")  # both runs print the same date
    here = make_project(backend)
    plan = write_plan(plan_build(here, STEPS), tmp_path / "plan")
    moved = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(plan, moved)
    done = run_there(moved)
    assert done.returncode == 0, done.stdout + done.stderr
    result = collect_results(moved)
    local = run_plan(plan_build(here, STEPS))
    assert [(s.name, s.status, s.exit_code, s.reports) for s in result.steps] == [
        (s.name, s.status, s.exit_code, s.reports) for s in local.steps
    ]
    assert result.versions == local.versions == {program: "2023.2", "vivado": "2023.2"}
    assert result.report("csynth_xml") == moved / "project" / XML
    assert BuildMarker.read(moved / "project") == result
    for step, twin in zip(result.steps, local.steps, strict=True):
        assert step.command[1:] == twin.command[1:]
        assert (moved / "project" / step.log).read_text() == (here / twin.log).read_text()


def test_the_script_takes_vitis_run_where_it_is_the_program(fake_tools, written: tuple[Path, Path]) -> None:
    fake_tools.version("2024.2")
    assert run_there(written[1]).returncode == 0
    assert collect_results(written[1]).versions == {"vitis-run": "2024.2", "vivado": "2024.2"}


def test_a_named_executable_wins_over_path(
    fake_tools, written: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = written[0].parent / "my own tools" / "vivado"
    elsewhere.parent.mkdir()
    elsewhere.symlink_to((fake_tools.folder / "vivado").resolve())
    (fake_tools.folder / "vivado").unlink()
    monkeypatch.setenv("CODESIGN_VIVADO", str(elsewhere))
    assert run_there(written[1]).returncode == 0


def test_results_are_taken_over_by_the_project(fake_tools, written: tuple[Path, Path]) -> None:
    project, plan = written
    (project / "vivado_synth.rpt").write_text("old")
    assert run_there(plan).returncode == 0
    result = collect_results(plan, into=project)
    assert result.directory == project
    assert BuildMarker.read(project) == result
    for step in STEPS:
        for report in expected_reports(step, read_project_script(project)):
            there, here = plan / "project" / report.path, project / report.path
            assert there.read_bytes() == here.read_bytes()
    (stale,) = (project / STALE).iterdir()
    assert (stale / "vivado_synth.rpt").read_text() == "old"
    # the tool's own state stays there, so that a later step here does not build on half of it
    with pytest.raises(SettingsError, match=r"add csynth$"):
        plan_build(project, ["cosim"])


def test_the_folder_holds_the_sources_alone(
    fake_tools, make_project: Callable[..., Path], tmp_path: Path
) -> None:
    project = make_project()
    sources = set(tree_digests(project))
    run_plan(plan_build(project, STEPS))
    plan = write_plan(plan_build(project, ["csynth"]), tmp_path / "plan")
    names = set(tree_digests(plan / "project"))
    assert {name for name in names if not name.startswith("codesign_build/")} == sources
    assert set(tree_digests(plan)) - {f"project/{name}" for name in names} == {
        "run.sh",
        "README.txt",
        BUILD_PLAN.manifest,
    }
    text = "".join((plan / name).read_text() for name in ("run.sh", "README.txt", BUILD_PLAN.manifest))
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("behaviour", "reason", "waiting"),
    [
        ("licence", "no licence for the tool or the device", 4),
        ("exit0_silent", f"the tool reported no error, but it did not write {XML}", 4),
        ("half", "a process of the run was killed, most probably because memory ran out", 4),
    ],
)
def test_a_step_that_failed_there_fails_here_with_its_reason(
    fake_tools, written: tuple[Path, Path], behaviour: str, reason: str, waiting: int
) -> None:
    project, plan = written
    fake_tools.behave(csynth=behaviour)
    done = run_there(plan)
    assert done.returncode != 0
    assert "ERROR: the step csynth" in done.stderr
    with pytest.raises(ToolFailedError, match=re.escape(reason)) as caught:
        collect_results(plan, into=project)
    assert caught.value.log_path == project / "codesign_build/logs/csynth.log"
    assert caught.value.last_lines
    marker = BuildMarker.read(project)
    assert marker is not None
    assert marker.status == "failed"
    assert [step.status for step in marker.steps] == ["finished", "failed", *["waiting"] * waiting]


def test_a_second_run_moves_the_first_away(fake_tools, written: tuple[Path, Path]) -> None:
    _, plan = written
    assert run_there(plan).returncode == 0
    fake_tools.behave(csynth="licence")
    assert run_there(plan).returncode == 1
    assert not (plan / "project" / XML).exists()
    (stale,) = (plan / "project" / STALE).iterdir()
    assert (stale / XML).exists()
    with pytest.raises(ToolFailedError, match="no licence"):
        collect_results(plan)


def test_a_machine_without_the_tools_says_so(no_vendor_tools: Path, written: tuple[Path, Path]) -> None:
    done = run_there(written[1])
    assert done.returncode == 127
    assert done.stderr == "ERROR: neither vitis-run nor vitis_hls is on PATH; source settings64.sh first\n"


def spoil_source(plan: Path) -> None:
    (plan / "project/firmware/weights/w2.txt").write_text("0\n")


def spoil_report(plan: Path) -> None:
    with (plan / "project" / XML).open("a") as file:
        file.write(" ")


def lose_report(plan: Path) -> None:
    (plan / "project" / XML).unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            spoil_source,
            r"1 of \d+ files were changed after the manifest, first project/firmware/weights/w2\.txt; "
            r"write the plan anew$",
        ),
        (
            lambda plan: (plan / "run.sh").write_text("true\n"),
            r"1 of \d+ files were changed after the manifest, first run\.sh; write the plan anew$",
        ),
        (
            spoil_report,
            rf"1 of \d+ files are missing or were changed, first {re.escape(XML)}, "
            r"since the plan was run; bring its folder back again$",
        ),
        (
            lose_report,
            rf"1 of \d+ files are missing or were changed, first {re.escape(XML)}, since the plan was run",
        ),
        (
            lambda plan: (plan / "project/codesign_build/products.sha256").unlink(),
            r"the run did not come to its end; run it again there$",
        ),
        (
            lambda plan: (plan / "project/codesign_build/steps.tsv").unlink(),
            r"the plan has not been run; run `sh run\.sh` on a machine with the tools$",
        ),
        (
            lambda plan: (plan / "project/codesign_build/steps.tsv").write_text("csim\tx\n"),
            r"steps\.tsv is damaged \('csim\\tx'\); run the plan again$",
        ),
        (
            lambda plan: (plan / BUILD_PLAN.manifest).write_text("{}"),
            r"has format None, not 1; write the plan anew$",
        ),
        (
            lambda plan: (plan / BUILD_PLAN.manifest).unlink(),
            r"is no build plan \(it has no codesign_plan\.json\)",
        ),
    ],
)
def test_a_plan_folder_that_does_not_fit_is_refused(
    fake_tools, written: tuple[Path, Path], spoil: Callable[[Path], object], message: str
) -> None:
    project, plan = written
    assert run_there(plan).returncode == 0
    before = tree_digests(project)
    spoil(plan)
    with pytest.raises(StaleProjectError, match=message):
        collect_results(plan, into=project)
    assert tree_digests(project) == before


def test_results_of_another_project_are_refused(fake_tools, written: tuple[Path, Path]) -> None:
    project, plan = written
    assert run_there(plan).returncode == 0
    (project / "firmware/myproject.cpp").write_text("// changed since\n")
    with pytest.raises(
        StaleProjectError, match=r"first firmware/myproject\.cpp, so the results are not of this project"
    ):
        collect_results(plan, into=project)


def test_a_run_that_was_stopped_between_steps_is_refused(fake_tools, written: tuple[Path, Path]) -> None:
    _, plan = written
    assert run_there(plan).returncode == 0
    home = plan / "project/codesign_build"
    table = home / "steps.tsv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:2]))
    digests = (home / "products.sha256").read_text().splitlines(keepends=True)
    (home / "products.sha256").write_text("".join(line for line in digests if "steps.tsv" not in line))
    with pytest.raises(StaleProjectError, match=r"the run ended before the step cosim; run it again there$"):
        collect_results(plan)


def test_a_plan_must_stand_by_itself_and_in_an_empty_folder(
    fake_tools, make_project: Callable[..., Path], tmp_path: Path
) -> None:
    project = make_project()
    run_plan(plan_build(project, ["csynth"]))
    message = "steps: cosim works on what csynth leaves; add csynth to the plan"
    with pytest.raises(SettingsError, match=f"^{message}$"):
        write_plan(plan_build(project, ["cosim"]), tmp_path / "plan")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    for taken in (tmp_path / "full", tmp_path / "full" / "file"):
        message = f"{taken} is not an empty folder; choose a new one for the plan"
        with pytest.raises(OutputFolderError, match=f"^{re.escape(message)}$"):
            write_plan(plan_build(project, ["csynth"]), taken)
    (tmp_path / "empty").mkdir()
    assert write_plan(plan_build(project, ["csynth"]), tmp_path / "empty") == tmp_path / "empty"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_the_code_of_the_guide_runs(
    fake_tools, make_project: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "vendor-tools.md").read_text()
    here, there = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    make_project(folder=tmp_path / "hls_projects/jets/student")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(here, names)
    assert (
        names["result"].report("utilization") == tmp_path / "hls_projects/jets/student/vivado_synth_opted.rpt"
    )
    write, read = re.split(r"# copy jets-plan.*\n", there)
    exec(write, names)
    assert run_there(Path("jets-plan")).returncode == 0
    exec(read, names)
    assert [step.name for step in names["result"].steps] == ["csim", "csynth", "cosim"]
