"""Where the tools are, and which version: Vitis HLS, Vivado HLS, Vivado, g++ and make.

A tool is looked for at an explicit path, then at the path in its own environment variable, then on PATH,
then in the installations that the vendor's `settings64.sh` names. A path that was given and leads nowhere
is an error; nothing else is used in its stead.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codesign.core.process import capture
from codesign.core.target import Backend
from codesign.errors import ToolError, ToolNotFoundError

VERSION_TIMEOUT_S = 120.0
"""Vendor tools start a Java or Tcl machine, from a network disk, to print their version."""


@dataclass(frozen=True)
class Tool:
    """A program that may be installed.

    Parameters
    ----------
    label
        What people call it.
    program
        The name of its executable.
    variable
        The environment variable that names its executable, or the folder that holds it, or its installation.
    settings_variables
        Variables that the vendor's settings script sets to installations it may be in.
    version_argument
        What makes it print its version.
    advice
        What to do when it is missing.
    """

    label: str
    program: str
    variable: str
    settings_variables: tuple[str, ...] = ()
    version_argument: str = "--version"
    advice: str = ""

    def find(
        self, explicit: str | Path | None = None, environment: Mapping[str, str] | None = None
    ) -> FoundTool:
        """Find the executable.

        Parameters
        ----------
        explicit
            The executable, the folder that holds it, or the installation; wins over everything else.
        environment
            Variables to look in; this process's own if not given.

        Raises
        ------
        ToolNotFoundError
            With everything that was tried.
        """
        environment = os.environ if environment is None else environment
        named = explicit if explicit is not None else environment.get(self.variable) or None
        if named is not None:
            if path := self._in(Path(named).expanduser()):
                return FoundTool(self, path)
            # a wrong path is a mistake to mend, not a reason to take another installation
            raise ToolNotFoundError(self.label, [str(named)], variable=self.variable, advice=self.advice)
        tried = [f"{self.program} on PATH"]
        if on_path := shutil.which(self.program, path=environment.get("PATH", "")):
            return FoundTool(self, Path(on_path))
        for name in self.settings_variables:
            folder = environment.get(name)
            tried.append(f"${name}" if not folder else f"${name}={folder}")
            if folder and (path := self._in(Path(folder))):
                return FoundTool(self, path)
        raise ToolNotFoundError(self.label, tried, variable=self.variable, advice=self.advice)

    def search(
        self, explicit: str | Path | None = None, environment: Mapping[str, str] | None = None
    ) -> FoundTool | None:
        """Find the executable, or ``None``; a path that was given and is wrong still raises."""
        try:
            return self.find(explicit, environment)
        except ToolNotFoundError:
            given = os.environ if environment is None else environment
            if explicit is not None or given.get(self.variable):
                raise
            return None

    def _in(self, path: Path) -> Path | None:
        for candidate in (path, path / self.program, path / "bin" / self.program):
            if candidate.is_file() and os.access(candidate, os.X_OK):
                return candidate.absolute()
        return None


@dataclass(frozen=True)
class FoundTool:
    """A tool that is there.

    Parameters
    ----------
    tool
        Which one.
    path
        Its executable, absolute.
    """

    tool: Tool
    path: Path

    def read_version(self, timeout_s: float = VERSION_TIMEOUT_S) -> str:
        """Ask the program for its version, for example ``2023.2`` or ``12.2.0``.

        Raises
        ------
        ToolFailedError
            It fails or does not answer in time.
        ToolError
            It prints no version.
        """
        text = capture([self.path, self.tool.version_argument], timeout_s=timeout_s)
        version = parse_version(text)
        if version is None:
            first = next((line for line in text.splitlines() if line.strip()), "")
            raise ToolError(
                f"{self.path} {self.tool.version_argument} printed no version but {first!r}; "
                f"is it really {self.tool.label}?"
            )
        return version


_INSTALL = "source the vendor's settings64.sh, or build elsewhere from a written plan"

VITIS_RUN = Tool(
    "Vitis HLS (vitis-run)",
    "vitis-run",
    "CODESIGN_VITIS",
    ("XILINX_VITIS", "XILINX_HLS"),
    "--version",
    _INSTALL,
)
VITIS_HLS = Tool(
    "Vitis HLS", "vitis_hls", "CODESIGN_VITIS_HLS", ("XILINX_HLS", "XILINX_VITIS"), "-version", _INSTALL
)
VIVADO_HLS = Tool("Vivado HLS", "vivado_hls", "CODESIGN_VIVADO_HLS", ("XILINX_VIVADO",), "-version", _INSTALL)
VIVADO = Tool("Vivado", "vivado", "CODESIGN_VIVADO", ("XILINX_VIVADO",), "-version", _INSTALL)
GXX = Tool("the C++ compiler g++", "g++", "CODESIGN_GXX", advice="install g++ (Debian: apt install g++)")
MAKE = Tool("make", "make", "CODESIGN_MAKE", advice="install make (Debian: apt install make)")

VENDOR_TOOLS = (VITIS_RUN, VITIS_HLS, VIVADO_HLS, VIVADO)

_FIRST_VITIS_RUN = (2024, 2)
# a vendor version stands after a v or the word Version; a compiler prints its own last on the first line
_VENDOR_VERSION = re.compile(r"\b(?:v|version\s+v?)(20\d\d\.\d+(?:\.\d+)*)", re.IGNORECASE)
_PLAIN_VERSION = re.compile(r"\b(\d+(?:\.\d+)+)\b")


def parse_version(text: str) -> str | None:
    """Find the version in what a tool printed about itself; ``None`` if there is none."""
    if match := _VENDOR_VERSION.search(text):
        return match[1]
    for line in text.splitlines():
        if numbers := _PLAIN_VERSION.findall(line):
            return str(numbers[-1])
    return None


@dataclass(frozen=True)
class Toolchain:
    """The tools of a build, as far as they were found.

    Parameters
    ----------
    hls
        vitis-run, vitis_hls or vivado_hls.
    vivado
        Vivado.
    versions
        Program name to version, for those asked.
    """

    hls: FoundTool | None = None
    vivado: FoundTool | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def _year_and_release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")[:2])


def find_hls(backend: Backend, environment: Mapping[str, str] | None = None) -> tuple[FoundTool, str]:
    """Find the HLS tool for projects of an hls4ml back end, and its version.

    Returns
    -------
    tuple
        The tool and its version. For the Vitis back end that is `vitis-run` from 2024.2 on and `vitis_hls`
        before: both exist side by side in 2023.2-2024.2, and older `vitis-run` take no Tcl script.

    Raises
    ------
    ToolNotFoundError
        Neither is there.
    """
    if backend == "Vivado":
        found = VIVADO_HLS.find(environment=environment)
        return found, found.read_version()
    run = VITIS_RUN.search(environment=environment)
    if run is not None:
        version = run.read_version()
        if _year_and_release(version) >= _FIRST_VITIS_RUN:
            return run, version
    older = VITIS_HLS.search(environment=environment)
    if older is not None:
        return older, older.read_version()
    if run is not None:
        return run, version
    tried = [f"{tool.program} on PATH" for tool in (VITIS_RUN, VITIS_HLS)]
    tried += [f"${name}" for name in VITIS_RUN.settings_variables]
    raise ToolNotFoundError("Vitis HLS", tried, variable=VITIS_RUN.variable, advice=_INSTALL)


def vendor_tool(backend: Backend) -> str | None:
    """The path of the HLS tool that a back end would use, without starting it; ``None`` if there is none."""
    tools = (VIVADO_HLS,) if backend == "Vivado" else (VITIS_RUN, VITIS_HLS)
    found = (tool.search() for tool in tools)
    return next((str(tool.path) for tool in found if tool is not None), None)


def find_toolchain(
    backend: Backend, *, hls: bool, vivado: bool, environment: Mapping[str, str] | None = None
) -> Toolchain:
    """Find the tools that a build needs, before any long work.

    Parameters
    ----------
    backend
        The project's hls4ml back end.
    hls, vivado
        Which of the two are needed; one that is not needed is not looked for.
    environment
        Variables to look in; this process's own if not given.

    Raises
    ------
    ToolNotFoundError
        A needed one is missing.
    """
    versions: dict[str, str] = {}
    hls_tool = vivado_tool = None
    if hls:
        hls_tool, version = find_hls(backend, environment)
        versions[hls_tool.tool.program] = version
    if vivado:
        vivado_tool = VIVADO.find(environment=environment)
        versions[VIVADO.program] = vivado_tool.read_version()
    return Toolchain(hls_tool, vivado_tool, versions)
