"""`codesign build` with fake tools: here, elsewhere by a plan, without tools, interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import codesign
from codesign.core.files import read_json, write_json

ROOT = Path(codesign.__file__).parents[1]


def marker(project):
    return read_json(project / "codesign_build.json")


def test_steps_run_here_and_their_reports_are_shown(command, fake_tools, make_project):
    project = make_project()
    code, out, err = command("build", project, "--steps", "cosim, csynth,vsynth")
    assert code == 0, err
    assert [step["name"] for step in marker(project)["steps"]] == ["csynth", "cosim", "vsynth"]
    assert "co-simulation, Verilog" in out
    assert "C synthesis (percent of the VU9P)" in out
    assert "Vivado, optimised (percent of the VU9P)" in out
    assert "csynth: " not in out


def test_everything_that_the_tools_print_can_be_seen(command, fake_tools, make_project):
    code, out, _ = command("build", make_project(), "--verbose")
    assert code == 0
    assert "csynth: ****** vitis-run v" in out or "csynth: ****** Vitis HLS" in out


def test_the_folder_of_a_run_stands_for_its_project(command, fake_tools, make_project, tmp_path):
    project = make_project(folder=tmp_path / "run" / "project" / "hls")
    write_json(tmp_path / "run" / "run.json", {})
    assert command("build", tmp_path / "run")[0] == 0
    assert marker(project)["status"] == "finished"


def test_a_plan_is_written_run_elsewhere_and_collected(command, fake_tools, make_project, tmp_path):
    project, plan = make_project(), tmp_path / "plan"
    code, out, _ = command("build", project, "--steps", "csynth,cosim", "--plan", plan)
    assert code == 0
    assert f"codesign build {project} --collect {plan}" in out
    assert not (project / "codesign_build.json").exists()
    code, _, err = command("build", project, "--collect", plan)
    assert code == 1
    assert "the plan has not been run" in err
    subprocess.run(["sh", "run.sh"], cwd=plan, check=True, capture_output=True, timeout=60)
    code, out, _ = command("build", project, "--collect", plan)
    assert code == 0
    assert marker(project)["status"] == "finished"
    assert "C synthesis (percent of the VU9P)" in out
    # without a project the results stay in the plan
    code, out, _ = command("build", "--collect", plan)
    assert code == 0
    assert marker(plan / "project")["status"] == "finished"


def test_without_tools_it_says_how_to_build_elsewhere(command, no_vendor_tools, make_project):
    project = make_project()
    code, out, err = command("build", project, "--steps", "csynth,cosim")
    assert (code, out) == (1, "")
    assert err.startswith("error: Vitis HLS was not found (looked for vitis-run on PATH, ")
    assert err.endswith(f":\n  codesign build {project} --steps csynth,cosim --plan FOLDER\n")
    assert not (project / "codesign_build.json").exists()


def test_a_step_that_fails_fails_the_command_with_the_reason(command, fake_tools, make_project):
    fake_tools.behave(csynth="licence")
    project = make_project()
    code, _, err = command("build", project)
    assert code == 1
    assert "licen" in err.splitlines()[0]
    assert marker(project)["status"] == "failed"
    assert command("report", project)[0] == 1


STEP_NAMES = "csim, csynth, cosim, export, vsynth, impl"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "name the HLS project to build, or the folder of a run"),
        (
            "p --plan x --collect y",
            "--plan: does nothing beside --collect, which reads what has run; leave one of them out",
        ),
        ("p --steps csynth,synth", f"steps: synth is none of {STEP_NAMES}"),
        ("p --steps ,", f"steps: no step was asked for; choose among {STEP_NAMES}"),
        ("p --collect q", "{}/q: there is no such file or folder; write one first"),
    ],
)
def test_bad_input_is_one_message(command, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert command("build", *words.split()) == (1, "", f"error: {message.format(tmp_path)}\n")


def test_sigterm_ends_the_tools_as_ctrl_c_does(fake_tools, make_project):
    fake_tools.behave(csynth="hang")
    project = make_project()
    process = subprocess.Popen(
        [sys.executable, "-m", "codesign", "build", str(project)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until(Path(os.environ["FAKE_PIDS"]).is_file)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    wait_until(lambda: not any(is_alive(pid) for pid in fake_tools.pids))
    assert marker(project)["status"] == "interrupted"


def wait_until(condition, seconds=30.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
