"""A plan for another machine: a folder with a script and a manifest, and the results read back from it.

The machine with the licences often has neither this package nor its Python. `write_plan` makes a folder
that needs a POSIX shell and the vendor's tools only; copy it there, run ``sh run.sh``, copy it back, and
`collect_results` reads it as if the steps had run here, provided that nothing was changed on the way.
"""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from codesign.core.build_marker import BuildMarker, StepResult
from codesign.core.files import write_text
from codesign.core.sealed import BUILD_PLAN, HLS_PROJECT, RTL_PROJECT, differences, field
from codesign.errors import OutputFolderError, SettingsError, StaleProjectError, ToolFailedError
from codesign.hls.build_products import collect_reports, hold_build, judge, move_stale_reports
from codesign.hls.plan import STEPS, BuildPlan, PlanStep, StepName, plan_build
from codesign.hls.runner_shell import PRODUCTS, STEPS_TABLE, shell_script
from codesign.hls.toolchain import parse_version

PROJECT = "project"

# what tools, simulators and earlier builds leave in a project; only looked at where no manifest lists the sources
_NOT_SOURCES = (
    "*_prj/*",
    "codesign_build*",
    "stale_reports/*",
    "build_gcc/*",
    ".Xil/*",
    "*.log",
    "*.jou",
    "*.so",
    "vivado_*.rpt",
)

README = """\
A build plan for an HLS project, written by codesign.

On a machine with the vendor's tools on PATH (source settings64.sh first):

    sh run.sh

It runs the steps {steps} in project/, one after the other, and stops at the
first that fails. CODESIGN_VITIS, CODESIGN_VITIS_HLS, CODESIGN_VIVADO_HLS and
CODESIGN_VIVADO name executables that are not on PATH. Then bring this whole
folder back, whatever became of the run, and read it with

    codesign build --collect FOLDER

Change nothing in between: {manifest} has the digest of every file.
"""


def write_plan(plan: BuildPlan, folder: str | Path) -> Path:
    """Write a plan out for another machine.

    Parameters
    ----------
    plan
        From `codesign.hls.plan.plan_build`.
    folder
        A new or empty folder.

    Returns
    -------
    Path
        The folder, with `run.sh`, `README.txt`, the manifest, and the project's sources below `project/`.

    Raises
    ------
    SettingsError
        A step builds on one that is not in the plan: earlier products stay here.
    OutputFolderError
        The folder is not empty, or cannot be written.
    """
    folder = Path(folder)
    names = {step.name for step in plan.steps}
    for step in plan.steps:
        needed = plan.project.needs(step.name)
        if needed is not None and needed not in names:
            raise SettingsError(f"steps: {step.name} works on what {needed} leaves; add {needed} to the plan")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputFolderError(f"{folder} is not an empty folder; choose a new one for the plan")
    BUILD_PLAN.write(folder, lambda temporary: _fill(plan, temporary))
    return folder


def _fill(plan: BuildPlan, folder: Path) -> dict[str, Any]:
    for name in _sources(plan.directory):
        target = folder / PROJECT / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(plan.directory / name, target)
    for step in plan.steps:
        for name, text in step.files:
            write_text(folder / PROJECT / name, text)
    script = write_text(folder / "run.sh", shell_script(plan))
    script.chmod(0o755)
    steps = [step.name for step in plan.steps]
    write_text(folder / "README.txt", README.format(steps=", ".join(steps), manifest=BUILD_PLAN.manifest))
    return {"steps": steps, "project": vars(plan.project)}


def _sources(directory: Path) -> Iterator[str]:
    """The files of a project that are not products of a build."""
    for seal in (HLS_PROJECT, RTL_PROJECT):
        if (directory / seal.manifest).is_file():
            yield from [*seal.read(directory).files, seal.manifest]
            return
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and not any(fnmatch.fnmatch(name, pattern) for pattern in _NOT_SOURCES):
            yield name


def collect_results(folder: str | Path, into: str | Path | None = None) -> BuildMarker:
    """Read back what a plan left after it ran elsewhere.

    Parameters
    ----------
    folder
        The plan's folder, brought back.
    into
        The project that the plan was made from; gets the reports and logs, and its older ones are moved
        away. If not given, the results stay in the plan's folder.

    Returns
    -------
    BuildMarker
        As from `run_plan`, its directory being `into` or the plan's `project/`; also written as the marker
        there.

    Raises
    ------
    StaleProjectError
        The folder is no plan, has not been run, was changed since, or `into` is no longer the project it
        was made from.
    ToolFailedError
        A step failed there, with the recognised reason; the reports of the steps before it are collected.
    """
    folder = Path(folder).absolute()
    manifest = BUILD_PLAN.open(folder)
    home = folder / PROJECT
    steps, target = manifest.of(_planned)
    plan = plan_build(home, steps, **target)
    rows = read_steps(home)
    _check_products(home)
    result = _result_of(plan, rows)
    if into is not None:
        result = _take_over(result, Path(into).absolute(), manifest.files, plan)
    result.write()
    for step in result.steps:
        if step.status == "failed":
            log = result.directory / step.log
            raise ToolFailedError(step.command, step.exit_code, tail(log), log, step.reason)
        if step.status == "waiting":
            raise StaleProjectError(
                f"{folder}: the run ended before the step {step.name}; run it again there"
            )
    return result


def _planned(values: Mapping[str, Any]) -> tuple[list[StepName], dict[str, Any]]:
    """The steps, and the part and clock that they were planned for."""
    steps: list[StepName] = field(values, "steps", list)
    if not steps or not set(steps) <= set(STEPS):
        raise ValueError(f"steps is {steps}")
    project = field(values, "project", dict)
    return steps, {
        "part": field(project, "part", str),
        "clock_period_ns": field(project, "clock_period_ns", float),
    }


def _check_digests(folder: Path, files: Mapping[str, str], advice: str) -> None:
    missing, changed = differences(folder, files)
    if wrong := [name for name in files if name in {*missing, *changed}]:
        raise StaleProjectError(
            f"{folder}: {len(wrong)} of {len(files)} files are missing or were changed, first {wrong[0]}, {advice}"
        )


def read_steps(home: Path) -> dict[str, tuple[str, ...]]:
    """The table of steps that the script wrote: name, exit code, start and end in Unix time, command."""
    path = home / STEPS_TABLE
    if not path.is_file():
        raise StaleProjectError(
            f"{home.parent}: the plan has not been run; run `sh run.sh` on a machine with the tools"
        )
    rows = [tuple(line.split("\t")) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if len(row) != 5 or row[0] not in STEPS or not all(cell.lstrip("-").isdigit() for cell in row[1:4]):
            raise StaleProjectError(f"{path} is damaged ({chr(9).join(row)!r}); run the plan again")
    return {row[0]: row for row in rows}


def _check_products(home: Path) -> None:
    path = home / PRODUCTS
    if not path.is_file():
        raise StaleProjectError(f"{home.parent}: the run did not come to its end; run it again there")
    lines = [line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines()]
    if any(len(line) != 2 for line in lines):
        raise StaleProjectError(f"{path} is damaged; run the plan again")
    digests = {name.lstrip("*"): digest for digest, name in lines}
    _check_digests(home, digests, "since the plan was run; bring its folder back again")


def _result_of(plan: BuildPlan, rows: Mapping[str, tuple[str, ...]]) -> BuildMarker:
    steps = tuple(_step_result(plan, step, rows.get(step.name)) for step in plan.steps)
    return BuildMarker(
        plan.directory,
        "finished" if all(step.status == "finished" for step in steps) else "failed",
        started=min((float(row[2]) for row in rows.values()), default=0.0),
        finished=max((float(row[3]) for row in rows.values()), default=0.0),
        steps=steps,
        versions=_versions(plan.directory, steps),
    )


def _step_result(plan: BuildPlan, step: PlanStep, row: tuple[str, ...] | None) -> StepResult:
    target: dict[str, Any] = {
        "part": plan.project.part,
        "clock_period_ns": plan.project.clock_period_ns,
    }
    if row is None:
        return StepResult(step.name, log=step.log, **target)
    exit_code, started, ended = int(row[1]), float(row[2]), float(row[3])
    reports = collect_reports(plan.directory, step.name, plan.project)
    failure = judge(plan.directory, step, exit_code)
    return StepResult(
        step.name,
        "finished" if failure is None else "failed",
        started,
        tuple(row[4].split()),
        exit_code,
        ended - started,
        step.log,
        reports,
        "" if failure is None else failure.sentence(),
        **target,
    )


def _versions(home: Path, steps: tuple[StepResult, ...]) -> dict[str, str]:
    """The tools' versions, from the banners with which their logs begin."""
    versions = {}
    for step in steps:
        log = home / step.log
        if step.command and log.is_file():
            with log.open(encoding="utf-8", errors="replace") as file:
                banner = "".join(line for line, _ in zip(file, range(20), strict=False))
            if version := parse_version(banner):
                versions[Path(step.command[0]).name] = version
    return versions


def _take_over(result: BuildMarker, into: Path, files: Mapping[str, str], plan: BuildPlan) -> BuildMarker:
    """Copy reports and logs into the project that the plan was made from."""
    prefix = f"{PROJECT}/"
    sources = {
        name.removeprefix(prefix): digest
        for name, digest in files.items()
        if name.startswith(prefix) and not name.startswith(f"{prefix}codesign_build/")
    }
    _check_digests(into, sources, "so the results are not of this project; build it again")
    with hold_build(into):
        move_stale_reports(into, plan.project, STEPS)
        for step in result.steps:
            for name in [step.log, *(report.path for report in step.reports)]:
                if (result.directory / name).is_file():
                    (into / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(result.directory / name, into / name)
    return BuildMarker(into, result.status, result.started, result.finished, result.steps, result.versions)


def tail(log: Path, count: int = 10) -> list[str]:
    """The last lines of a log that hold anything."""
    if not log.is_file():
        return []
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if line.strip()][-count:]
