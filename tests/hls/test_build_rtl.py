"""Vendor builds of open RTL, and of projects for another part or clock than their own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from codesign.cli import main
from codesign.comparison.sources import read_entry
from codesign.comparison.summary import summarise
from codesign.core.build_marker import BuildMarker
from codesign.core.files import tree_digests
from codesign.errors import SettingsError, StaleProjectError, ToolFailedError
from codesign.hls.plan import plan_build
from codesign.hls.runner import run_plan
from codesign.hls.runner_remote import collect_results, write_plan
from codesign.reports import read_build
from codesign.rtl import synthesise, write_rtl
from codesign.rtl.project import open_rtl

sys.path.insert(0, str(Path(__file__).parents[1] / "rtl"))
from small_graphs import quantized_network


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Open RTL whose cells are counted."""
    project = write_rtl(
        quantized_network(0.5, (4, 6, 3)),
        tmp_path_factory.mktemp("open") / "rtl",
        top="muons",
        clock_period_ns=4.0,
    )
    synthesise(project)
    return project.folder


@pytest.fixture
def rtl(written: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(written, tmp_path / "rtl"))


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command; give its exit code and what it printed."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["codesign", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out + captured.err

    return run


def test_open_rtl_is_synthesised_placed_packaged_and_read_back(fake_tools, rtl: Path) -> None:
    before = tree_digests(rtl)
    result = run_plan(plan_build(rtl, ["impl", "export", "vsynth"]))
    assert [step.name for step in result.steps] == ["export", "vsynth", "impl"]
    assert {step.status for step in result.steps} == {"finished"}
    assert (rtl / "ip" / "component.xml").is_file()
    after = tree_digests(rtl)
    assert {name: after[name] for name in before} == before
    assert open_rtl(rtl).top == "muons"
    build = read_build(rtl)
    assert (build.top, build.status, build.is_trustworthy, build.findings) == ("muons", "finished", True, ())
    assert set(build.utilization) == set(build.timing) == {"post-opt", "post-route"}
    script = (rtl / "codesign_build/vsynth/run.tcl").read_text()
    assert "synth_design -mode out_of_context -top muons -part xcvu9p-flga2104-2L-e" in script
    assert "set clock_period 4.0" in (rtl / "codesign_build/vsynth/clock.xdc").read_text()


def test_a_failure_after_reports_is_not_said_to_have_left_none(fake_tools, rtl: Path) -> None:
    fake_tools.behave(impl="licence")
    with pytest.raises(ToolFailedError):
        run_plan(plan_build(rtl, ["vsynth", "impl"]))
    description = summarise(rtl)
    assert not description.is_trustworthy
    assert any("not finished but failed: impl: no licence" in note for note in description.notes)
    assert not any("left no report" in note for note in description.notes)
    assert not any("left no report" in note for note in read_entry(rtl).notes)


def test_a_failure_without_reports_is_said(fake_tools, rtl: Path) -> None:
    fake_tools.behave(vsynth="licence")
    with pytest.raises(ToolFailedError):
        run_plan(plan_build(rtl, ["vsynth"]))
    assert [note for note in summarise(rtl).notes if "left no report; its status is failed: vsynth" in note]


def test_an_ip_is_packaged_for_the_part_and_clock_that_are_asked_for(fake_tools, rtl: Path) -> None:
    tkinter = pytest.importorskip("tkinter", reason="the script is tried with tkinter's Tcl")
    part = "xcku115-flvb2104-2-i"
    before = tree_digests(rtl)
    result = run_plan(plan_build(rtl, ["export"], clock_period_ns=2.5, part=part))
    assert (result.step("export").part, result.step("export").clock_period_ns) == (part, 2.5)
    assert before.items() <= tree_digests(rtl).items()

    def traced(script: Path) -> list[str]:
        tcl = tkinter.Tcl()
        tcl.eval(
            f"set trace {{}}; cd {{{script.parent}}}; namespace eval ipx {{}}; proc exit code {{return -code error done}}"
        )
        for name in ("create_project", "read_verilog", "set_property", "current_fileset", *IPX):
            tcl.eval(f"proc {name} args {{lappend ::trace [concat {name} $args]; return core}}")
        tcl.eval(f"set status [catch {{source {{{script}}}}} message]")
        return [str(line) for line in tcl.splitlist(tcl.eval("set trace"))]

    IPX = [
        f"ipx::{name}"
        for name in (
            "package_project", "current_core", "infer_bus_interface", "add_bus_parameter", "get_bus_interfaces",
            "get_bus_parameters", "create_xgui_files", "update_checksums", "check_integrity", "save_core",
        )
    ]  # fmt: skip
    asked, own = traced(rtl / "codesign_build/export/run.tcl"), traced(rtl / "vivado.tcl")
    assert f"create_project -in_memory -part {part}" in asked
    assert "set_property value 400000000 core" in asked
    assert any(line.startswith(f"ipx::package_project -root_dir {rtl}/ip ") for line in asked)
    # the same but for what was asked for: every source, and to the end
    other = [line for line in asked if line not in own]
    assert len(asked) == len(own)
    assert len(other) == 2
    assert asked[-1] == "ipx::save_core core"


def test_a_script_without_a_place_for_part_and_clock_is_refused(rtl: Path, monkeypatch) -> None:
    from codesign.hls import plan

    older = (rtl / "vivado.tcl").read_text().replace("set clock_period", "set period")
    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, **o: older if path.name == plan.PACKAGE else read(path, **o)
    )
    plan_build(rtl, ["export"])
    with pytest.raises(StaleProjectError, match="has no place for another part or clock"):
        plan_build(rtl, ["export"], clock_period_ns=2.5)


def test_the_stage_stands_in_the_names_and_in_the_marker(fake_tools, rtl: Path) -> None:
    run_plan(plan_build(rtl, ["vsynth", "impl"]))
    marker = json.loads((rtl / "codesign_build.json").read_text())
    stages = {report["path"]: report["stage"] for step in marker["steps"] for report in step["reports"]}
    assert stages == {
        f"vivado_{step}{kind}.rpt": stage
        for step, stage in (("synth_opted", "post-opt"), ("impl_routed", "post-route"))
        for kind in ("", "_hierarchical", "_timing", "_power")
    }
    # without a printed state the name tells it, and without names the marker
    path = rtl / "vivado_impl_routed.rpt"
    text = path.read_text().replace("| Design State : Routed\n", "")
    path.write_text(text)
    for step in marker["steps"]:
        for report in step["reports"]:
            if report["path"] == path.name:
                import hashlib

                report["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (rtl / "codesign_build.json").write_text(json.dumps(marker))
    assert set(read_build(rtl).utilization) == {"post-opt", "post-route"}


def test_what_the_marker_says_of_the_stage_wins(fake_tools, rtl: Path) -> None:
    run_plan(plan_build(rtl, ["vsynth"]))
    marker = json.loads((rtl / "codesign_build.json").read_text())
    for report in marker["steps"][0]["reports"]:
        report["stage"] = "synthesis"
    (rtl / "codesign_build.json").write_text(json.dumps(marker))
    assert list(read_build(rtl).utilization) == ["synthesis"]


def test_report_shows_counts_signals_and_builds(fake_tools, rtl: Path, printed) -> None:
    code, out = printed("report", rtl)
    assert code == 0
    assert "Open RTL for xcvu9p-flga2104-2L-e (alkaid, Yosys" in out
    assert "Signals of muons" in out
    assert f"{synthesise(open_rtl(rtl)).lut:,}" in out
    run_plan(plan_build(rtl, ["vsynth", "impl"]))
    code, out = printed("report", rtl)
    assert code == 0
    assert "timing, post-route" in out
    entry = read_entry(rtl)
    assert entry.kind == "rtl"
    assert {number.step for number in entry.numbers} >= {"yosys", "post-route"}


def test_report_says_what_is_not_counted_and_what_was_changed(rtl: Path, printed) -> None:
    (rtl / "build_yosys" / "utilization.json").unlink()
    description = summarise(rtl)
    assert description.is_trustworthy
    assert any("its cells are not counted" in note for note in description.notes)
    source = rtl / "src" / "muons.v"
    source.write_text(source.read_text() + "\n")
    code, out = printed("report", rtl)
    assert code == 1
    assert "1 of" in out
    assert "src/muons.v" in out.replace("\n", "")
    (rtl / "codesign_rtl.json").write_text("{")
    code, out = printed("report", rtl)
    assert code == 1
    assert "is damaged" in out


def test_counts_of_other_verilog_are_not_shown(rtl: Path) -> None:
    path = rtl / "build_yosys" / "utilization.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "project": "0" * 64}))
    assert any("is of another Verilog" in note for note in summarise(rtl).notes)


def test_steps_of_hls_are_refused(rtl: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        plan_build(rtl, ["csynth", "vsynth"])
    assert str(caught.value) == (
        f"steps: csynth is of HLS, and {rtl} is open RTL; choose among export, vsynth, impl"
    )
    assert [step.name for step in plan_build(rtl).steps] == ["vsynth"]
    with pytest.raises(SettingsError, match=r"^steps: impl works on what vsynth leaves, which is not there"):
        plan_build(rtl, ["impl"])


def test_changed_verilog_is_not_built(rtl: Path) -> None:
    (rtl / "src" / "muons.v").write_text("")
    with pytest.raises(StaleProjectError, match=r"files were changed after the manifest, first src/muons\.v"):
        plan_build(rtl)


def test_a_failed_step_is_said(fake_tools, rtl: Path) -> None:
    fake_tools.behave(impl="oom")
    with pytest.raises(ToolFailedError, match="the machine ran out of memory"):
        run_plan(plan_build(rtl, ["vsynth", "impl"]))
    assert not read_build(rtl).is_trustworthy


def test_a_plan_for_another_machine_takes_the_sources_alone(fake_tools, rtl: Path, tmp_path: Path) -> None:
    import subprocess

    (rtl / "simulation").write_bytes(b"\x7fELF")  # a program that somebody left there
    plan = write_plan(plan_build(rtl, ["vsynth", "impl"], clock_period_ns=2.5), tmp_path / "plan")
    names = {
        path.relative_to(plan / "project").as_posix()
        for path in (plan / "project").rglob("*")
        if path.is_file()
    }
    assert "simulation" not in names
    assert not any(name.startswith("build_yosys") for name in names)
    assert {"src/muons.v", "codesign_rtl.json"} <= names
    for path in plan.rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()
    subprocess.run(["sh", "run.sh"], cwd=plan, check=True, capture_output=True)
    result = collect_results(plan, rtl)
    assert result.step("impl").clock_period_ns == 2.5
    build = read_build(rtl)
    assert build.is_trustworthy
    assert build.timing["post-route"].clocks[0].period_ns == 2.5


@pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
def test_part_and_clock_change_without_touching_the_project(
    fake_tools, make_project: Callable[..., Path], backend: str
) -> None:
    project = make_project(backend)
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    part = "xcku115-flvb2104-2-i"
    result = run_plan(plan_build(project, ["csynth", "vsynth"], clock_period_ns=2.5, part=part))
    assert {path: path.read_bytes() for path in before} == before
    assert {(step.part, step.clock_period_ns) for step in result.steps} == {(part, 2.5)}
    build = read_build(project)
    assert (build.is_trustworthy, build.part, build.csynth.target_clock_ns) == (True, part, 2.5)
    assert f"-part {part}" in (project / "codesign_build/vsynth/run.tcl").read_text()
    assert "-period 2.500" in (project / "codesign_build/vsynth/clock.xdc").read_text()
    # what was synthesised for that clock is not placed for another one
    with pytest.raises(SettingsError) as caught:
        run_plan(plan_build(project, ["vsynth"]))
    assert str(caught.value) == (
        f"steps: vsynth works on what csynth left, which was for {part} at 2.5 ns, not for xcvu9p-flga2104-2L-e at 5 ns; "
        "add csynth, or ask for that part and clock"
    )
    assert BuildMarker.read(project).status == "finished"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": "vu9p"}, r"^part: 'vu9p' is not a Xilinx part name"),
        ({"clock_period_ns": 0.0}, r"^clock_period_ns: must be between 0\.1 and 1e6 ns, not 0$"),
        ({"clock_period_ns": float("nan")}, r"^clock_period_ns: must be between 0\.1 and 1e6 ns, not nan$"),
    ],
)
def test_a_part_or_clock_that_is_none_is_refused(rtl: Path, options, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        plan_build(rtl, **options)


def test_the_command_builds_open_rtl(fake_tools, rtl: Path, printed) -> None:
    code, out = printed("build", rtl, "--steps", "vsynth,impl", "--clock-period", "3.125")
    assert code == 0, out
    assert "post-route" in out
    assert BuildMarker.read(rtl).step("impl").clock_period_ns == 3.125
