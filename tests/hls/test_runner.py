"""Running plans with tools that behave, misbehave, hang and die; what is left behind each time."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from codesign.core.build_marker import MARKER, BuildMarker
from codesign.core.files import file_digest, read_json, write_json, write_text
from codesign.core.process import capture
from codesign.errors import (
    OutputFolderError,
    ReportFormatError,
    ReportMissingError,
    ToolFailedError,
    ToolNotFoundError,
)
from codesign.hls import runner
from codesign.hls.build_products import STALE, hold_build, is_running, judge, move_stale_reports
from codesign.hls.plan import STEPS, expected_reports, plan_build, read_project_script
from codesign.hls.runner import run_plan
from codesign.hls.runner_shell import STEPS_TABLE, shell_script
from codesign.hls.toolchain import Toolchain
from codesign.reports import read_build

XML = "myproject_prj/solution1/syn/report/myproject_csynth.xml"


@pytest.fixture(autouse=True)
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codesign.core.process.TERMINATE_GRACE_S", 0.2)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def statuses(result: BuildMarker | None) -> dict[str, str]:
    assert result is not None
    return {step.name: step.status for step in result.steps}


@pytest.mark.parametrize(("backend", "program"), [("Vitis", "vitis_hls"), ("Vivado", "vivado_hls")])
def test_all_steps_run_and_leave_every_report(
    fake_tools, make_project: Callable[..., Path], backend: str, program: str
) -> None:
    project = make_project(backend)
    before = time.time()
    result = run_plan(plan_build(project, STEPS))
    assert (result.status, set(statuses(result).values())) == ("finished", {"finished"})
    assert tuple(statuses(result)) == STEPS
    assert result.versions == {program: "2023.2", "vivado": "2023.2"}
    for step in result.steps:
        reports = expected_reports(step.name, read_project_script(project))
        assert [(report.path, report.kind) for report in step.reports] == [(r.path, r.kind) for r in reports]
        assert all(file_digest(project / report.path) == report.sha256 for report in step.reports)
        assert step.exit_code == 0
        assert step.seconds is not None
        assert step.started is not None
        assert before <= step.started
        assert (project / step.log).read_text().startswith("******")
        assert Path(step.command[0]).name == (program if step.name not in ("vsynth", "impl") else "vivado")
    assert BuildMarker.read(project) == result
    assert result.report("csynth_xml") == project / XML
    assert result.report("utilization") == project / "vivado_impl_routed.rpt"
    assert result.report("utilization", "vsynth") == project / "vivado_synth_opted.rpt"


def test_vitis_run_is_used_where_it_is_the_program(fake_tools, make_project: Callable[..., Path]) -> None:
    fake_tools.version("2025.1")
    result = run_plan(plan_build(make_project(), ["csynth"]))
    assert result.steps[0].command[1:] == ("--mode", "hls", "--tcl", "codesign_build/csynth/run.tcl")


def test_the_projects_own_files_are_left_alone(fake_tools, make_project: Callable[..., Path]) -> None:
    project = make_project()
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    run_plan(plan_build(project, STEPS))
    assert {path: path.read_bytes() for path in before} == before


def test_lines_and_progress_are_passed_on(fake_tools, make_project: Callable[..., Path]) -> None:
    lines: list[tuple[str, str]] = []
    notes: list[tuple[int, int, str]] = []

    class Display:
        def step(self, what: str, done: int, total: int, note: str = "") -> None:
            assert what == "vendor build"
            notes.append((done, total, note))

    project = make_project()
    run_plan(
        plan_build(project, ["csim", "csynth"]),
        on_line=lambda step, line: lines.append((step, line)),
        progress=Display(),
    )
    assert ("csynth", "***** C/RTL SYNTHESIS *****") in lines
    assert [line for step, line in lines if step == "csim"] == (
        project / "codesign_build/logs/csim.log"
    ).read_text().splitlines()
    assert (0, 2, "csim") in notes
    assert (1, 2, "csynth: C/RTL SYNTHESIS") in notes
    assert notes[-1] == (2, 2, "finished")


@pytest.mark.parametrize(
    ("behaviour", "exit_code", "reason"),
    [
        ("licence", 1, "no licence for the tool or the device (ERROR: [Common 17-345] A valid license"),
        (
            "part",
            1,
            "the part is not installed, or unknown to this version of the tool (ERROR: [HLS 200-1023]",
        ),
        ("oom", 1, "the machine ran out of memory"),
        ("unroll", 1, "a loop or an array is beyond the tool's unrolling limit (ERROR: [XFORM 203-504]"),
        ("disk", 1, "the disk is full (couldn't flush: No space left on device)"),
        ("error", 1, "the tool reported an error (ERROR: [HLS 200-70] Pre-synthesis failed.)"),
        ("killed", 137, "a process of the run was killed, most probably because memory ran out (Killed)"),
        ("half", 137, "a process of the run was killed, most probably because memory ran out (Killed)"),
        ("exit0_error", 0, "the tool reported an error (ERROR: [Synth 8-439] module 'mul_8s' not found)"),
        ("exit0_silent", 0, f"the tool reported no error, but it did not write {XML}; read its log"),
        ("empty_report", 0, f"the tool reported no error, but it left {XML} empty; read its log"),
    ],
)
def test_a_failed_step_ends_the_build_with_its_reason(
    fake_tools, make_project: Callable[..., Path], behaviour: str, exit_code: int, reason: str
) -> None:
    project = make_project()
    fake_tools.behave(csynth=behaviour)
    with pytest.raises(ToolFailedError, match=re.escape(reason)) as caught:
        run_plan(plan_build(project, ["csim", "csynth", "cosim"]))
    error = caught.value
    assert error.exit_code == exit_code
    assert error.log_path == project / "codesign_build/logs/csynth.log"
    assert error.log_path.exists()
    result = BuildMarker.read(project)
    assert result is not None
    assert result.status == "failed"
    assert statuses(result) == {"csim": "finished", "csynth": "failed", "cosim": "waiting"}
    assert result.steps[1].reason == error.reason
    assert result.steps[1].exit_code == exit_code
    with pytest.raises(
        ReportMissingError, match=r"no csynth_xml report of any finished step; run that step$"
    ):
        result.report("csynth_xml")


def test_simulations_that_disagree_fail_the_cosimulation(
    fake_tools, make_project: Callable[..., Path]
) -> None:
    fake_tools.behave(cosim="mismatch")
    with pytest.raises(ToolFailedError, match="the RTL does not give the outputs of the C simulation"):
        run_plan(plan_build(make_project(), ["csim", "csynth", "cosim"]))


@pytest.mark.parametrize("target", ["/dev/full", "codesign_build/other.tsv"])
def test_a_row_that_could_not_be_written_is_no_other_machines_fault(
    fake_tools, make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr(
        runner,
        "shell_script",
        lambda *arguments: shell_script(*arguments).replace(f">> {STEPS_TABLE}", f">> {target}"),
    )
    project = make_project()
    assert statuses(run_plan(plan_build(project, ["csynth"]))) == {"csynth": "finished"}
    fake_tools.behave(csynth="licence")
    with pytest.raises(ToolFailedError, match="no licence") as caught:
        run_plan(plan_build(project, ["csynth"]))
    assert caught.value.exit_code == 1
    assert statuses(BuildMarker.read(project)) == {"csynth": "failed"}


def test_odd_bytes_do_no_harm(fake_tools, make_project: Callable[..., Path]) -> None:
    project = make_project()
    fake_tools.behave(csynth="odd_bytes")
    assert run_plan(plan_build(project, ["csynth"])).status == "finished"
    assert "caf\N{REPLACEMENT CHARACTER} 10%\n20%\n100%\n" in (
        project / "codesign_build/logs/csynth.log"
    ).read_text(errors="replace")


def test_a_hanging_tool_is_ended_with_all_its_children(fake_tools, make_project: Callable[..., Path]) -> None:
    project = make_project()
    fake_tools.behave(csynth="hang")
    with pytest.raises(ToolFailedError, match="ran out of time: the time allowed for it ran out") as caught:
        run_plan(plan_build(project, ["csynth"]), timeout_s=3.0)
    assert caught.value.exit_code is None
    assert not any(is_alive(pid) for pid in fake_tools.pids)
    result = BuildMarker.read(project)
    assert (result and result.status, statuses(result)) == ("failed", {"csynth": "failed"})


def test_ctrl_c_ends_the_tool_and_is_written_down(
    fake_tools, make_project: Callable[..., Path], tmp_path: Path
) -> None:
    project = make_project()
    fake_tools.behave(csynth="hang")

    def interrupt() -> None:
        while not (tmp_path / "pids").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan_build(project, ["csim", "csynth", "cosim"]), timeout_s=60)
    thread.join()
    assert not any(is_alive(pid) for pid in fake_tools.pids)
    result = BuildMarker.read(project)
    assert result is not None
    assert result.status == "interrupted"
    assert statuses(result) == {"csim": "finished", "csynth": "interrupted", "cosim": "waiting"}
    assert result.finished is not None


def test_nothing_old_is_left_where_results_are_read(fake_tools, make_project: Callable[..., Path]) -> None:
    project = make_project()
    run_plan(plan_build(project, STEPS))
    old = {step: [r.path for r in expected_reports(step, read_project_script(project))] for step in STEPS}
    fake_tools.behave(csynth="licence")
    with pytest.raises(ToolFailedError):
        run_plan(plan_build(project, ["csynth"]))
    (stale,) = (project / STALE).iterdir()
    for step in STEPS:  # all of them build on the synthesis that failed
        for path in old[step]:
            assert not (project / path).exists(), path
            assert (stale / path).exists(), path
    assert (stale / "codesign_build/logs/impl.log").exists()
    assert statuses(BuildMarker.read(project)) == {"csynth": "failed"}
    fake_tools.behave()
    with pytest.raises(Exception, match="cosim works on what csynth leaves, which is not there"):
        plan_build(project, ["cosim"])


def test_results_that_still_hold_are_kept(fake_tools, make_project: Callable[..., Path]) -> None:
    project = make_project()
    first = run_plan(plan_build(project, ["csynth", "vsynth"]))
    second = run_plan(plan_build(project, ["cosim"]))
    assert statuses(second) == {"csynth": "finished", "cosim": "finished", "vsynth": "finished"}
    # a reader that wants everything newer than the start must not refuse what was kept
    assert second.started == first.steps[0].started
    assert second.step("csynth") == first.step("csynth")
    assert second.versions == {"vitis_hls": "2023.2", "vivado": "2023.2"}
    third = run_plan(plan_build(project, ["csynth"]))
    assert statuses(third) == {"csynth": "finished"}
    assert third.started > first.started


def test_two_runs_in_one_second_keep_both_old_results(make_project: Callable[..., Path]) -> None:
    project = make_project()
    script = read_project_script(project)
    folders = []
    for text in ("first", "second"):
        write_text(project / XML, text)
        folders.append(move_stale_reports(project, script, ["csynth"], now=1_700_000_000))
    assert [folder.name for folder in folders if folder] == ["20231114T221320Z", "20231114T221320Z-2"]
    assert [(folder / XML).read_text() for folder in folders if folder] == ["first", "second"]
    assert move_stale_reports(project, script, STEPS) is None


def test_a_report_older_than_the_run_does_not_count(make_project: Callable[..., Path]) -> None:
    project = make_project()
    step = plan_build(project, ["csynth"]).steps[0]
    for report in step.reports:
        write_text(project / report.path, "text")
    (project / step.product).mkdir()
    assert judge(project, step, 0, started=time.time()) is None
    os.utime(project / XML, (1_700_000_000, 1_700_000_000))
    failure = judge(project, step, 0, started=time.time())
    assert failure is not None
    assert failure.meaning == f"the tool reported no error, but {XML} is older than the run"


def test_without_the_tool_nothing_is_touched(install_fake_tools, make_project: Callable[..., Path]) -> None:
    install_fake_tools("vitis_hls")
    project = make_project()
    before = sorted(project.rglob("*"))
    with pytest.raises(ToolNotFoundError, match=r"^Vivado was not found"):
        run_plan(plan_build(project, ["csynth", "vsynth"]))
    with pytest.raises(ToolNotFoundError, match=r"^the tool of the step csynth was not found"):
        run_plan(plan_build(project, ["csynth"]), Toolchain())
    assert sorted(project.rglob("*")) == before


def test_a_second_build_in_the_same_project_is_refused(fake_tools, make_project: Callable[..., Path]) -> None:
    project = make_project()
    plan = plan_build(project, ["csynth"])
    assert not is_running(project)
    with hold_build(project):
        assert is_running(project)
        message = f"{project}: another build is running there; wait for it or stop it"
        with pytest.raises(OutputFolderError, match=f"^{re.escape(message)}$"):
            run_plan(plan)
    assert run_plan(plan).status == "finished"
    assert not is_running(project)


def test_a_folder_that_cannot_be_written_is_named(
    fake_tools, make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project()
    plan = plan_build(project, ["csynth"])

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("codesign.hls.runner.write_text", full)
    with pytest.raises(
        OutputFolderError, match=rf"^{project} cannot be written \(No space left on device\)$"
    ):
        run_plan(plan)
    marker = BuildMarker.read(project)
    assert (marker and marker.status, statuses(marker)) == ("failed", {"csynth": "waiting"})


def test_a_killed_build_leaves_no_result(fake_tools, make_project: Callable[..., Path]) -> None:
    project = make_project()
    run_plan(plan_build(project, ["csynth"]))
    # as kill -9 of the whole program leaves it
    value = read_json(project / MARKER)
    value["status"] = "running"
    value["steps"][0] |= {"status": "running", "exit_code": None, "reports": []}
    write_json(project / MARKER, value)
    marker = BuildMarker.read(project)
    assert marker is not None
    assert (marker.status, is_running(project)) == ("running", False)
    with pytest.raises(ReportMissingError):
        marker.report("csynth_xml")
    assert run_plan(plan_build(project, ["csynth"])).status == "finished"


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "[" * 200_000, '{"format": 2, "steps": []}', '{"format": 1, "steps": []}'),
        '{"status": "done", "started": 1}',
        '{"status": "failed", "started": "now"}',
        '{"status": "failed", "started": 1, "steps": 3}',
        '{"status": "failed", "started": 1, "steps": [3]}',
        '{"status": "failed", "started": 1, "steps": [{"name": "route"}]}',
        '{"status": "failed", "started": 1, "steps": [{"name": "impl", "status": "odd"}]}',
        '{"status": "failed", "started": 1, "steps": [{"name": "impl", "exit_code": "0"}]}',
        '{"status": "failed", "started": 1, "steps": [{"name": "impl", "reports": [{"path": 3}]}]}',
    ],
)
def test_a_damaged_marker_is_refused(make_project: Callable[..., Path], text: str) -> None:
    project = make_project()
    assert BuildMarker.read(project) is None
    (project / MARKER).write_text(text)
    with pytest.raises(
        ReportFormatError, match=r"codesign_build\.json: marker: is damaged \(.*\); build again$"
    ):
        BuildMarker.read(project)


def test_building_again_mends_a_damaged_marker(fake_tools, make_project: Callable[..., Path]) -> None:
    project = make_project()
    (project / MARKER).write_text("{")
    assert run_plan(plan_build(project, ["csynth"])).status == "finished"
    assert statuses(BuildMarker.read(project)) == {"csynth": "finished"}


def test_a_full_disk_that_cuts_the_log_is_told(
    fake_tools, make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tee = tmp_path / "full" / "tee"
    tee.parent.mkdir()
    tee.write_text('#!/bin/sh\ncat >/dev/null\necho "tee: $1: No space left on device"\n')
    tee.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tee.parent}:{os.environ['PATH']}")
    fake_tools.behave(csynth="exit0_silent")
    with pytest.raises(ToolFailedError, match=re.escape(f"it did not write {XML}")):
        run_plan(plan_build(make_project(), ["csynth"]))
    tee.write_text(
        "#!/bin/sh\ncat >/dev/null\nrm -f codesign_build/exit_code\nmkdir codesign_build/exit_code\n"
        'echo "tee: $1: No space left on device"\n'
    )
    with pytest.raises(ToolFailedError, match="the disk is full"):
        run_plan(plan_build(make_project(folder=tmp_path / "again"), ["csynth"]))


def test_every_report_of_a_run_is_read_and_none_is_doubted(
    fake_tools, make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "fake_tools")
    import fake_reports
    import fake_vivado_reports

    project = make_project()
    run_plan(plan_build(project, STEPS))
    build = read_build(project)
    assert (build.findings, build.status) == ((), "finished")
    assert build.csim is not None
    assert build.csim.passed
    assert build.csynth is not None
    assert build.csynth.used.lut == fake_reports.LUT
    assert build.csynth.latency_cycles_max == fake_reports.LATENCY_CYCLES
    assert build.cosim is not None
    assert build.cosim.verilog.status == "Pass"
    for stage in ("post-opt", "post-route"):
        assert build.utilization[stage].used.lut == fake_vivado_reports.LUT_USED
        assert build.hierarchy[stage].used.ff == fake_vivado_reports.FF_USED
        assert build.timing[stage].wns_ns == fake_vivado_reports.WNS_NS
        assert build.power[stage].power_w == fake_vivado_reports.POWER_W
    # and after a run that failed, nothing of this one is
    fake_tools.behave(csynth="half")
    with pytest.raises(ToolFailedError):
        run_plan(plan_build(project, ["csynth"]))
    build = read_build(project)
    assert build.status == "failed"
    assert (build.csynth, build.cosim, build.utilization, build.timing) == (None, None, {}, {})


def test_vendor_modules_load_no_heavy_library() -> None:
    modules = "runner runner_remote toolchain failures reuse plan"
    code = (
        "import sys\n"
        f"for name in {modules!r}.split(): __import__('codesign.hls.' + name)\n"
        "print(sorted({'tensorflow', 'keras', 'qkeras', 'hls4ml', 'alkaid'} & set(sys.modules)))"
    )
    assert capture([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) == "[]"


@pytest.mark.vendor
def test_a_real_tool_synthesises_a_project(tmp_path: Path) -> None:
    folder = os.environ.get("CODESIGN_VENDOR_PROJECT")
    if not folder:
        pytest.skip("CODESIGN_VENDOR_PROJECT names no HLS project to synthesise")
    result = run_plan(plan_build(folder, ["csim", "csynth"]), timeout_s=7200)
    assert result.status == "finished"
