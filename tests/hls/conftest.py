"""Fake vendor tools on PATH, and small projects in the form that hls4ml writes."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

FAKE_TOOLS = Path(__file__).parents[1] / "fake_tools" / "bin"
VENDOR_VARIABLES = ("XILINX_HLS", "XILINX_VITIS", "XILINX_VIVADO")
OWN_VARIABLES = ("CODESIGN_VITIS", "CODESIGN_VITIS_HLS", "CODESIGN_VIVADO_HLS", "CODESIGN_VIVADO")


@dataclass(frozen=True)
class FakeTools:
    """What the fake tools are told to do."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def behave(self, **steps: str) -> None:
        """Set what happens in each step (``csynth="licence"``); see fake_vendor.py."""
        self.monkeypatch.setenv("FAKE_BEHAVIOUR", ",".join(f"{step}={what}" for step, what in steps.items()))

    def version(self, version: str) -> None:
        self.monkeypatch.setenv("FAKE_VERSION", version)

    @property
    def pids(self) -> list[int]:
        """The processes of a hanging tool."""
        return [int(word) for word in Path(os.environ["FAKE_PIDS"]).read_text().split()]


@pytest.fixture
def no_vendor_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without vendor tools; the folder is the first on its PATH and empty."""
    for name in (*VENDOR_VARIABLES, *OWN_VARIABLES, "FAKE_BEHAVIOUR", "FAKE_VERSION"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "fake_bin"
    folder.mkdir()
    # the fake tools run under the python that runs the tests
    system = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{system}")
    return folder


@pytest.fixture
def install_fake_tools(no_vendor_tools: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Put fake tools on PATH: ``install_fake_tools("vivado")``; all of them without names."""

    def install(*names: str) -> FakeTools:
        for name in names or ("vitis-run", "vitis_hls", "vivado_hls", "vivado"):
            (no_vendor_tools / name).symlink_to(FAKE_TOOLS / name)
        monkeypatch.setenv("FAKE_PIDS", str(tmp_path / "pids"))
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        return FakeTools(no_vendor_tools, monkeypatch)

    return install


@pytest.fixture
def fake_tools(install_fake_tools: Callable[..., FakeTools]) -> FakeTools:
    return install_fake_tools()


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Path]:
    """Write a project as hls4ml does, with its own build script: ``make_project("Vitis")``."""

    def make(backend: str = "Vitis", name: str = "myproject", folder: Path | None = None) -> Path:
        spec = importlib.util.find_spec("hls4ml")
        assert spec is not None
        assert spec.origin is not None
        templates = Path(spec.origin).parent / "templates" / backend.lower()
        folder = tmp_path / "project" if folder is None else folder
        for part in ("firmware/weights", "tb_data"):
            (folder / part).mkdir(parents=True)
        (folder / "project.tcl").write_text(
            f'variable project_name\nset project_name "{name}"\nvariable backend\nset backend "{backend.lower()}"\n'
            'variable part\nset part "xcvu9p-flga2104-2L-e"\nvariable clock_period\nset clock_period 5\n'
            'variable clock_uncertainty\nset clock_uncertainty 27%\nvariable version\nset version "1.0.0"\n'
            "variable maximum_size\nset maximum_size 4096\n"
        )
        (folder / "build_prj.tcl").write_bytes((templates / "build_prj.tcl").read_bytes())
        if backend == "Vitis":
            (folder / "build_opt.tcl").write_bytes((templates / "build_opt.tcl").read_bytes())
        (folder / "firmware" / f"{name}.cpp").write_text("// the design\n")
        (folder / "firmware" / "weights" / "w2.txt").write_text("0.5, -0.25\n")
        (folder / f"{name}_test.cpp").write_text("// its test bench\n")
        (folder / "tb_data" / "tb_output_predictions.dat").write_text("0.5 0.25 \n1 -0.5 \n")
        return folder

    return make
