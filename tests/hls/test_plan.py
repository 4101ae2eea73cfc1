"""Plans: what would run, with which scripts, and what is refused before anything runs."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from codesign.core.files import json_digest, tree_digests, write_json
from codesign.errors import SettingsError, StaleProjectError
from codesign.hls.plan import (
    NEEDS,
    STEPS,
    TOOL_ARGUMENTS,
    BuildPlan,
    plan_build,
    read_project_script,
    step_command,
    step_product,
)
from codesign.hls.runner_scripts import HLS_OPTIONS, guarded
from codesign.hls.toolchain import VENDOR_TOOLS, VIVADO, FoundTool


def files_of(plan: BuildPlan) -> dict[str, str]:
    return {name: text for step in plan.steps for name, text in step.files}


def test_planning_writes_and_changes_nothing(make_project: Callable[..., Path]) -> None:
    project = make_project()
    before = tree_digests(project)
    plan_build(project, STEPS)
    assert tree_digests(project) == before


def test_steps_run_in_their_order_whatever_the_order_asked(make_project: Callable[..., Path]) -> None:
    plan = plan_build(make_project(), ["vsynth", "csim", "csynth"])
    assert [step.name for step in plan.steps] == ["csim", "csynth", "vsynth"]
    assert (plan.needs_hls, plan.needs_vivado) == (True, True)
    assert plan.project.part == "xcvu9p-flga2104-2L-e"
    assert plan.project.clock_period_ns == 5.0


@pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
def test_each_hls_step_switches_on_itself_alone(make_project: Callable[..., Path], backend: str) -> None:
    plan = plan_build(make_project(backend), ["csim", "csynth", "cosim", "export"])
    files = files_of(plan)
    on = {}
    for step in plan.steps:
        if backend == "Vitis":
            options = dict(
                re.findall(r"^ +(\w+) +(\d)$", files[f"codesign_build/{step.name}/build_opt.tcl"], re.M)
            )
        else:
            text = re.search(r'set ::argv \[list "(.*)"\]', files[step.script])
            assert text is not None
            options = dict(word.split("=") for word in text[1].split())
        assert tuple(options) == HLS_OPTIONS
        on[step.name] = {name for name, value in options.items() if value == "1"}
    # the first step begins afresh, and the last simulation is compared with the first
    assert on == {
        "csim": {"csim", "reset"},
        "csynth": {"synth"},
        "cosim": {"cosim", "validation"},
        "export": {"export"},
    }


def test_nothing_is_reset_or_compared_without_its_ground(make_project: Callable[..., Path]) -> None:
    project = make_project()
    assert "reset      0" in files_of(plan_build(project, ["csim"]))["codesign_build/csim/build_opt.tcl"]
    cosim = files_of(plan_build(project, ["csynth", "cosim"]))["codesign_build/cosim/build_opt.tcl"]
    assert "validation 0" in cosim


def test_the_scripts_are_hls4mls_own_but_for_what_vitis_refuses(make_project: Callable[..., Path]) -> None:
    project = make_project()
    original = (project / "build_prj.tcl").read_text().splitlines()
    ours = files_of(plan_build(project, ["csynth"]))["codesign_build/csynth/build_prj.tcl"].splitlines()
    changed = [(a, b) for a, b in zip(original, ours, strict=True) if a != b]
    assert changed == [
        (
            "catch {config_array_partition -maximum_size $maximum_size}",
            "# config_array_partition: Vivado HLS only",
        ),
        (
            "    export_design -format ip_catalog -version $version",
            "    export_design -format ip_catalog",
        ),
    ]
    vivado = make_project("Vivado", folder=project.parent / "vivado")
    files = files_of(plan_build(vivado, ["csynth"]))
    assert files["codesign_build/csynth/build_prj.tcl"] == (vivado / "build_prj.tcl").read_text()


def test_vivado_synthesises_out_of_context_with_the_clock(make_project: Callable[..., Path]) -> None:
    files = files_of(plan_build(make_project(), ["csynth", "vsynth", "impl"]))
    assert (
        files["codesign_build/vsynth/clock.xdc"]
        == "create_clock -name ap_clk -period 5.000 [get_ports ap_clk]\n"
    )
    script = files["codesign_build/vsynth/run.tcl"]
    assert "synth_design -mode out_of_context -top myproject -part xcvu9p-flga2104-2L-e" in script
    assert script.index("read_xdc") < script.index("synth_design") < script.index("report_timing_summary")
    impl = files["codesign_build/impl/run.tcl"]
    assert impl.index("open_checkpoint") < impl.index("route_design") < impl.index("report_power")


def test_commands_are_argument_lists_for_each_program(make_project: Callable[..., Path]) -> None:
    plan = plan_build(make_project(), ["csynth", "vsynth"])
    commands = {
        tool.program: step_command(plan.steps[0], FoundTool(tool, Path("/t"))) for tool in VENDOR_TOOLS
    }
    script = "codesign_build/csynth/run.tcl"
    assert commands["vitis-run"] == ("/t", "--mode", "hls", "--tcl", script)
    assert commands["vitis_hls"] == ("/t", "-f", script)
    assert commands["vivado_hls"] == ("/t", "-f", script)
    vivado = step_command(plan.steps[1], FoundTool(VIVADO, Path("/t")))
    assert vivado == ("/t", *TOOL_ARGUMENTS["vivado"], "codesign_build/vsynth/run.tcl")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([], "steps: no step was asked for; choose among csim, csynth, cosim, export, vsynth, impl"),
        (["synth"], "steps: synth is none of csim, csynth, cosim, export, vsynth, impl"),
        (
            ["cosim"],
            "steps: cosim works on what csynth leaves, which is not there "
            "(myproject_prj/solution1/syn/verilog); "
            "add csynth",
        ),
        (
            ["csynth", "impl"],
            "steps: impl works on what vsynth leaves, which is not there "
            "(codesign_build/vsynth/post_synth.dcp); "
            "add vsynth",
        ),
    ],
)
def test_steps_that_cannot_be_are_refused(
    make_project: Callable[..., Path], asked: list, message: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        plan_build(make_project(), asked)


def test_a_step_may_build_on_what_is_there(make_project: Callable[..., Path]) -> None:
    project = make_project()
    (project / "myproject_prj/solution1/syn/verilog").mkdir(parents=True)
    assert [step.name for step in plan_build(project, ["cosim"]).steps] == ["cosim"]


def test_a_plan_makes_stale_all_that_builds_on_its_steps(make_project: Callable[..., Path]) -> None:
    project = make_project()
    for step in STEPS:  # as if all had been done
        path = project / step_product(step, read_project_script(project))
        path.mkdir(parents=True, exist_ok=True)
    for asked in itertools.chain.from_iterable(itertools.combinations(STEPS, n) for n in range(1, 7)):
        stale = set(plan_build(project, asked).invalidates)
        assert stale >= set(asked)
        assert ("csynth" in asked) <= (stale == set(STEPS))
        for step, needed in NEEDS.items():
            assert (needed in stale) <= (step in stale)
    assert plan_build(project, ["vsynth"]).invalidates == ("vsynth", "impl")
    assert plan_build(project, ["csim"]).invalidates == ("csim",)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda p: (p / "project.tcl").unlink(),
            "{} is no HLS project (it has no project.tcl); convert a student into it first",
        ),
        (
            lambda p: (p / "project.tcl").write_text('set project_name "x"\n'),
            "{}/project.tcl: half written or damaged ('backend'); convert again",
        ),
        (
            lambda p: (p / "firmware" / "myproject.cpp").unlink(),
            "{}: half written (firmware/myproject.cpp is missing); convert again",
        ),
        (
            lambda p: (p / "project.tcl").write_text(
                'set project_name "x"\nset backend "quartus"\nset part "p"\nset clock_period 5\n'
            ),
            "{}/project.tcl: the back end is 'quartus'; builds are planned for Vitis, Vivado",
        ),
        (
            lambda p: shutil.rmtree(p),
            "{}: there is no such file or folder; convert a student into it first",
        ),
    ],
)
def test_a_folder_that_is_no_whole_project_is_refused(
    make_project: Callable[..., Path], damage: Callable[[Path], object], message: str
) -> None:
    project = make_project()
    damage(project)
    with pytest.raises(StaleProjectError, match=f"^{re.escape(message.format(project))}$"):
        plan_build(project)


def test_a_project_changed_after_its_manifest_is_refused(make_project: Callable[..., Path]) -> None:
    project = make_project()
    manifest = {
        "format": 1,
        "top": "myproject",
        "target": {
            "part": "xcvu9p-flga2104-2L-e",
            "clock_period_ns": 5.0,
            "backend": "Vitis",
            "io_type": "io_parallel",
        },
        "input_shape": [2],
        "n_outputs": 1,
        "settings": {},
        "settings_digest": json_digest({}),
        "files": tree_digests(project),
    }
    write_json(project / "codesign_project.json", manifest)
    plan_build(project)
    (project / "firmware" / "weights" / "w2.txt").write_text("0.5, 0.25\n")
    with pytest.raises(
        StaleProjectError, match=r"1 of \d+ files were changed after the manifest, first firmware"
    ):
        plan_build(project)


class Tcl:
    """An interpreter in which the vendor's commands only leave a trace."""

    def __init__(self, vendor_commands: str, cwd: Path) -> None:
        tkinter = pytest.importorskip("tkinter", reason="the scripts are tried with tkinter's Tcl")
        self.interpreter = tkinter.Tcl()
        self.interpreter.eval("set trace {}; set status none")
        self.interpreter.eval(f"cd {{{cwd}}}")
        for command in vendor_commands.split():
            self.interpreter.eval(f"proc {command} args {{lappend ::trace [concat {command} $args]}}")
        # exit would end the tests; a return through all levels ends the script in its stead
        self.interpreter.eval(
            "proc exit {{code 0}} {set ::status $code; return -code error -errorcode EXIT exit}"
        )
        self.interpreter.eval("proc puts args {lappend ::said [lindex $args end]}; set ::said {}")

    def run(self, script: str) -> str:
        self.interpreter.eval(f"catch {{source {script}}}")
        return self.interpreter.eval("set ::status")

    def trace(self) -> list[str]:
        return list(self.interpreter.splitlist(self.interpreter.eval("set ::trace")))


HLS_COMMANDS = (
    "open_project set_top add_files open_solution config_array_partition config_compile set_part "
    "config_schedule "
    "create_clock set_clock_uncertainty csim_design csynth_design cosim_design export_design"
)


def write_all(plan: BuildPlan) -> None:
    for name, text in files_of(plan).items():
        path = plan.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
@pytest.mark.parametrize(
    ("step", "work"), [("csim", "csim_design"), ("csynth", "csynth_design"), ("export", "export_design")]
)
def test_a_script_does_its_step_from_any_folder(
    make_project: Callable[..., Path], backend: str, step: str, work: str, tmp_path: Path
) -> None:
    project = make_project(backend)
    plan = plan_build(project, {step, "csynth"})
    write_all(plan)
    tcl = Tcl(HLS_COMMANDS, tmp_path)
    tcl.run(str(project / "codesign_build" / step / "run.tcl"))
    trace = tcl.trace()
    assert tcl.interpreter.eval("pwd") == str(project)
    assert [line for line in trace if line.split()[0].endswith("_design")] == [
        line for line in trace if work in line
    ]
    assert "set_part xcvu9p-flga2104-2L-e" in trace
    assert "create_clock -period 5 -name default" in trace
    assert any(line.startswith("config_array_partition") for line in trace) == (backend == "Vivado")
    reset = "open_project -reset myproject_prj"
    first = plan.steps[0].name == step
    assert (reset in trace) == first


def test_a_tcl_error_becomes_an_error_line_and_exit_code_1(make_project: Callable[..., Path]) -> None:
    project = make_project()
    write_all(plan_build(project, ["csynth"]))
    tcl = Tcl(HLS_COMMANDS, project)
    tcl.interpreter.eval("proc csynth_design args {error {Pre-synthesis failed.}}")
    assert tcl.run("codesign_build/csynth/run.tcl") == "1"
    assert "ERROR: [codesign] csynth: Pre-synthesis failed." in tcl.interpreter.eval("set ::said")


def test_the_vivado_scripts_run_through(make_project: Callable[..., Path]) -> None:
    project = make_project()
    plan = plan_build(project, ["csynth", "vsynth", "impl"])
    write_all(plan)
    commands = (
        "create_project add_files read_xdc synth_design opt_design report_utilization report_timing_summary "
        "report_power write_checkpoint open_checkpoint place_design phys_opt_design route_design"
    )
    tcl = Tcl(commands, project)
    for step in ("vsynth", "impl"):
        assert tcl.run(f"codesign_build/{step}/run.tcl") == "0"
    written = {line.split()[-1] for line in tcl.trace() if line.startswith(("report_", "write_"))}
    assert written >= {report.path for step in plan.steps[1:] for report in step.reports}
    assert written >= {step.product for step in plan.steps[1:]}


def test_a_guarded_script_ends_with_0_when_nothing_fails(tmp_path: Path) -> None:
    script = tmp_path / "codesign_build" / "x" / "run.tcl"
    script.parent.mkdir(parents=True)
    script.write_text(guarded("x", "set a 1"))
    assert Tcl("", tmp_path).run(str(script)) == "0"
