"""What a build will run: steps with their scripts and the reports they must leave, before anything is started.

A plan is a value. `codesign.hls.runner` runs it here, `codesign.hls.runner_remote` writes it out for another
machine; both leave the same products in the same places.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from codesign.core.build_marker import STEPS as STEPS
from codesign.core.build_marker import StepName as StepName
from codesign.core.parts import check_part
from codesign.core.places import mistaken
from codesign.core.sealed import RTL_PROJECT, field
from codesign.core.shown import Brief
from codesign.core.target import Backend
from codesign.errors import SettingsError, StaleProjectError
from codesign.hls.project import MANIFEST, open_project
from codesign.hls.runner_scripts import (
    hls_files,
    implementation_files,
    packaging_files,
    rtl_synthesis_files,
    synthesis_files,
)
from codesign.hls.toolchain import FoundTool

ProductKind = Literal[
    "csim_log",
    "csim_results",
    "csynth_xml",
    "csynth_rpt",
    "cosim_rpt",
    "cosim_results",
    "ip",
    "utilization",
    "utilization_hierarchical",
    "timing",
    "power",
]

NEEDS: dict[StepName, StepName] = {
    "cosim": "csynth",
    "export": "csynth",
    "vsynth": "csynth",
    "impl": "vsynth",
}
"""The step whose products a step works on."""

PACKAGE = "vivado.tcl"
"""The script of open RTL that packages an IP."""

RTL_STEPS: tuple[StepName, ...] = ("export", "vsynth", "impl")
"""The steps of a folder of open RTL: packaging an IP, synthesis, placing and routing."""

STAGE_OF_STEP: Mapping[StepName, str] = {"vsynth": "post-opt", "impl": "post-route"}
"""How far the netlist has come that a step of Vivado reports on; the names of the reports say it too."""


@dataclass(frozen=True)
class ProjectScript:
    """What hls4ml's `project.tcl` says, or the manifest of a folder of open RTL.

    Parameters
    ----------
    name
        The project's and the top function's or module's name.
    backend
        The hls4ml back end that wrote it.
    part
        The FPGA part.
    clock_period_ns
        The clock period in ns.
    kind
        ``hls``, or ``rtl`` for open RTL.
    """

    name: str
    backend: Backend
    part: str
    clock_period_ns: float
    kind: Literal["hls", "rtl"] = "hls"

    @property
    def steps(self) -> tuple[StepName, ...]:
        """The steps that there are for it."""
        return STEPS if self.kind == "hls" else RTL_STEPS

    def needs(self, step: StepName) -> StepName | None:
        """The step whose products a step works on."""
        needed = NEEDS.get(step)
        return needed if needed in self.steps else None

    @property
    def solution(self) -> str:
        """The folder of the tool's solution, relative to the project."""
        return f"{self.name}_prj/solution1"


@dataclass(frozen=True)
class ExpectedReport:
    """A file that a step must leave.

    Parameters
    ----------
    path
        Relative to the project.
    kind
        What it is.
    """

    path: str
    kind: ProductKind


@dataclass(frozen=True)
class PlanStep(Brief):
    """One run of one tool.

    Parameters
    ----------
    name
        The step.
    tool
        ``hls`` or ``vivado``.
    script
        The Tcl script it runs, relative to the project.
    files
        Path and text of everything to write before it runs, the script included.
    reports
        What it must leave.
    product
        What later steps need of it; exists if and only if the step was done.
    """

    name: StepName
    tool: Literal["hls", "vivado"]
    script: str
    files: tuple[tuple[str, str], ...]
    reports: tuple[ExpectedReport, ...]
    product: str

    @property
    def log(self) -> str:
        """The log that keeps all it prints, relative to the project."""
        return f"codesign_build/logs/{self.name}.log"


@dataclass(frozen=True)
class BuildPlan(Brief):
    """Everything a build will run.

    Parameters
    ----------
    directory
        The hls4ml project.
    project
        What its `project.tcl` says.
    steps
        In running order.
    """

    directory: Path
    project: ProjectScript
    steps: tuple[PlanStep, ...]

    @property
    def needs_hls(self) -> bool:
        """Whether an HLS tool runs in it."""
        return any(step.tool == "hls" for step in self.steps)

    @property
    def needs_vivado(self) -> bool:
        """Whether Vivado runs in it."""
        return any(step.tool == "vivado" for step in self.steps)

    @property
    def invalidates(self) -> tuple[StepName, ...]:
        """The steps whose earlier reports this plan makes stale: its own and all that build on them."""
        stale = {step.name for step in self.steps}
        if "csynth" in stale:  # begins by resetting the whole HLS project
            stale |= set(STEPS)
        for step in STEPS:
            if self.project.needs(step) in stale:
                stale.add(step)
        return tuple(step for step in STEPS if step in stale)


def read_project_script(directory: str | Path) -> ProjectScript:
    """Read `project.tcl` of an hls4ml project, or the manifest of a folder of open RTL.

    Raises
    ------
    StaleProjectError
        The folder is no hls4ml project, is half written, or belongs to a back end without vendor steps here.
    """
    if (Path(directory) / RTL_PROJECT.manifest).is_file():
        return RTL_PROJECT.open(directory).of(_rtl_project)
    path = Path(directory) / "project.tcl"
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise StaleProjectError(
            mistaken(directory, "HLS project", path.name, "convert a student into it first")
        ) from None
    values = dict(re.findall(r'^set (\w+) "?([^"\n]*)"?\s*$', text, re.MULTILINE))
    try:
        backend = values["backend"].capitalize()
        name, part, period = values["project_name"], values["part"], float(values["clock_period"])
    except (KeyError, ValueError) as error:
        raise StaleProjectError(f"{path}: half written or damaged ({error}); convert again") from None
    if backend not in get_args(Backend):
        raise StaleProjectError(
            f"{path}: the back end is {values['backend']!r}; builds are planned for "
            f"{', '.join(get_args(Backend))}"
        )
    for needed in ("build_prj.tcl", f"firmware/{name}.cpp", f"{name}_test.cpp"):
        if not (path.parent / needed).is_file():
            raise StaleProjectError(f"{directory}: half written ({needed} is missing); convert again")
    return ProjectScript(name, "Vitis" if backend == "Vitis" else "Vivado", part, period)


def _rtl_project(values: Mapping[str, Any]) -> ProjectScript:
    figures = field(values, "figures", dict)
    period = field(figures, "clock_period_ns", float)
    return ProjectScript(field(figures, "top", str), "Vivado", field(figures, "part", str), period, "rtl")


def plan_build(
    directory: str | Path,
    steps: Iterable[StepName] | None = None,
    *,
    clock_period_ns: float | None = None,
    part: str | None = None,
) -> BuildPlan:
    """Plan the vendor steps of an HLS project or a folder of open RTL; nothing is written or run.

    Parameters
    ----------
    directory
        A project written by hls4ml 1.3, back end Vitis or Vivado, or open RTL; one with a manifest must still fit it.
    steps
        Which of `STEPS` (of `RTL_STEPS`), in any order; by default C synthesis, for open RTL Vivado's synthesis.
    clock_period_ns, part
        Another clock or part than the project's own. The project itself stays as it is: C++ and Verilog are the same for
        every target.

    Raises
    ------
    SettingsError
        An unknown step, or one whose groundwork is neither done nor asked for; a part or clock that is none.
    StaleProjectError
        The folder is no complete project, or was changed after its manifest.
    """
    directory = Path(directory).absolute()
    asked = None if steps is None else set(steps)
    if unknown := (asked or set()) - set(STEPS):
        raise SettingsError(f"steps: {', '.join(sorted(unknown))} is none of {', '.join(STEPS)}")
    if asked is not None and not asked:
        raise SettingsError(f"steps: no step was asked for; choose among {', '.join(STEPS)}")
    if clock_period_ns is not None and not 0.1 <= clock_period_ns <= 1e6:
        raise SettingsError(f"clock_period_ns: must be between 0.1 and 1e6 ns, not {clock_period_ns:g}")
    if part is not None:
        check_part(part, setting="part")
    project = own = read_project_script(directory)
    if clock_period_ns is not None:
        project = replace(project, clock_period_ns=clock_period_ns)
    if part is not None:
        project = replace(project, part=part)
    if asked is None:
        asked = {"csynth"} if project.kind == "hls" else {"vsynth"}
    if other := asked - set(project.steps):
        raise SettingsError(
            f"steps: {', '.join(sorted(other))} is of HLS, and {directory} is open RTL; choose among "
            f"{', '.join(project.steps)}"
        )
    if project.kind == "hls" and (directory / MANIFEST).exists():
        open_project(directory)
    texts = {
        name: (directory / name).read_text(encoding="utf-8")
        for name in ("build_prj.tcl", "project.tcl", f"src/{project.name}.xdc", PACKAGE)
        if (directory / name).is_file()
    }
    if project != own:
        texts = {name: _retargeted(text, project) for name, text in texts.items()}
        if "export" in asked and PACKAGE in texts and "\nset clock_period " not in texts[PACKAGE]:
            raise StaleProjectError(
                f"{directory / PACKAGE} has no place for another part or clock (an older version wrote it); write the RTL again "
                "with codesign rtl --overwrite"
            )
    planned = [_plan_step(name, project, asked, texts) for name in STEPS if name in asked]
    for step in planned:
        needed = project.needs(step.name)
        if needed is None or needed in asked:
            continue
        product = step_product(needed, project)
        if not (directory / product).exists():
            raise SettingsError(
                f"steps: {step.name} works on what {needed} leaves, which is not there ({product}); add "
                f"{needed}"
            )
    return BuildPlan(directory, project, tuple(planned))


def _retargeted(text: str, project: ProjectScript) -> str:
    """A script of the project with another part and clock."""
    text = re.sub(r'^set part "?[^"\n]*"?', f'set part "{project.part}"', text, flags=re.MULTILINE)
    return re.sub(
        r"^set clock_period .*", f"set clock_period {project.clock_period_ns:g}", text, flags=re.MULTILINE
    )


def step_command(step: PlanStep, tool: FoundTool) -> tuple[str, ...]:
    """Give the argument list of a step with the tool that was found."""
    return (str(tool.path), *TOOL_ARGUMENTS[tool.tool.program], step.script)


TOOL_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "vitis-run": ("--mode", "hls", "--tcl"),
    "vitis_hls": ("-f",),
    "vivado_hls": ("-f",),
    "vivado": ("-mode", "batch", "-nojournal", "-nolog", "-notrace", "-source"),
}
"""What each program wants before the script; the HLS ones take nothing after it."""


def expected_reports(step: StepName, project: ProjectScript) -> tuple[ExpectedReport, ...]:
    """List what a step must leave in the project."""
    name, solution = project.name, project.solution
    stem = "vivado_synth_opted" if step == "vsynth" else "vivado_impl_routed"
    vivado: tuple[tuple[str, ProductKind], ...] = (
        (f"{stem}.rpt", "utilization"),
        (f"{stem}_hierarchical.rpt", "utilization_hierarchical"),
        (f"{stem}_timing.rpt", "timing"),
        (f"{stem}_power.rpt", "power"),
    )
    table: dict[StepName, tuple[tuple[str, ProductKind], ...]] = {
        "csim": (
            (f"{solution}/csim/report/{name}_csim.log", "csim_log"),
            ("tb_data/csim_results.log", "csim_results"),
        ),
        "csynth": (
            (f"{solution}/syn/report/{name}_csynth.xml", "csynth_xml"),
            (f"{solution}/syn/report/{name}_csynth.rpt", "csynth_rpt"),
        ),
        "cosim": (
            (f"{solution}/sim/report/{name}_cosim.rpt", "cosim_rpt"),
            ("tb_data/rtl_cosim_results.log", "cosim_results"),
        ),
        "export": (
            (f"{solution}/impl/ip/component.xml" if project.kind == "hls" else "ip/component.xml", "ip"),
        ),
        "vsynth": vivado,
        "impl": vivado,
    }
    return tuple(ExpectedReport(path, kind) for path, kind in table[step])


def step_product(step: StepName, project: ProjectScript) -> str:
    """Give the path of what later steps need of a step; it is there if and only if the step was done."""
    products: dict[StepName, str] = {
        "csynth": f"{project.solution}/syn/verilog",
        "vsynth": "codesign_build/vsynth/post_synth.dcp",
        "impl": "codesign_build/impl/post_route.dcp",
    }
    return products.get(step) or expected_reports(step, project)[0].path


def _plan_step(
    name: StepName, project: ProjectScript, asked: set[StepName], texts: Mapping[str, str]
) -> PlanStep:
    if project.kind == "rtl" and name == "export":
        files = packaging_files(texts[PACKAGE])
    elif project.kind == "rtl" and name == "vsynth":
        files = rtl_synthesis_files(project.name, project.part, texts[f"src/{project.name}.xdc"])
    elif name == "vsynth":
        verilog = step_product("csynth", project)
        files = synthesis_files(project.name, project.part, project.clock_period_ns, verilog)
    elif name == "impl":
        files = implementation_files()
    else:
        switches: dict[str, bool] = {"synth" if name == "csynth" else name: True}
        # the first HLS step of a plan that synthesises begins afresh; the same sources then give the same result
        first = next(step for step in STEPS if step in asked)
        switches["reset"] = name == first and "csynth" in asked
        # the build script compares the two simulations, if both are of this plan
        switches["validation"] = name == "cosim" and "csim" in asked
        files = hls_files(name, project.backend, switches, texts["build_prj.tcl"], texts["project.tcl"])
    return PlanStep(
        name,
        "vivado" if name in ("vsynth", "impl") or project.kind == "rtl" else "hls",
        f"codesign_build/{name}/run.tcl",
        tuple(files.items()),
        expected_reports(name, project),
        step_product(name, project),
    )
