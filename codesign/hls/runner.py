"""Runs a plan with the vendor's tools on this machine, and never leaves a result that is not one.

Before anything runs, the tools are found, the folder is locked and the old reports are moved away. Then the plan's own
script runs step by step, and each is judged as one that was brought back from another machine (`build_products.judge`).
Whatever ends a build is written into the marker.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from codesign.core.build_marker import BuildMarker, Status, StepName, StepResult
from codesign.core.files import write_text
from codesign.core.process import run_process
from codesign.core.progress import SILENT, Progress
from codesign.errors import OutputFolderError, StaleProjectError, ToolFailedError, ToolNotFoundError
from codesign.hls.build_products import begin_marker, collect_reports, hold_build, judge, move_stale_reports
from codesign.hls.plan import BuildPlan, PlanStep, step_command
from codesign.hls.runner_remote import read_steps, tail
from codesign.hls.runner_shell import STEPS_TABLE, shell_script
from codesign.hls.toolchain import FoundTool, Toolchain, find_toolchain

SCRIPT = "codesign_build/run.sh"
"""The plan's script in the project."""

_PHASES = tuple(
    re.compile(pattern)
    for pattern in (
        r"^\*{5} (.+?) \*{5}",
        r"INFO: \[HLS 200-42\] -- (Implementing module '.+?')",
        r"INFO: \[HLS 200-10\] (Starting .+?)\s*\.*$",
        r"INFO: \[HLS 200-111\] Finished (.+?):? (?:CPU|Time)",
        r"INFO: \[COSIM 212-\d+\] (Starting .+?)\s*\.*$",
        r"^(?:Phase [\d.]+|Starting|Start) ([A-Z].{3,60}?)\s*(?:\||$)",
    )
)
"""Lines in which the tools say where they are."""


def run_plan(
    plan: BuildPlan,
    toolchain: Toolchain | None = None,
    *,
    timeout_s: float | None = None,
    on_line: Callable[[StepName, str], None] | None = None,
    progress: Progress = SILENT,
) -> BuildMarker:
    """Run every step of a plan in turn; stop at the first that fails.

    Parameters
    ----------
    plan
        From `codesign.hls.plan.plan_build`.
    toolchain
        The tools; found by `find_toolchain` if not given.
    timeout_s
        The longest a step may take.
    on_line
        Called with the step and each line that its tool prints.
    progress
        Told of each step and phase.

    Returns
    -------
    BuildMarker
        With every step finished; also in `codesign_build.json`.

    Raises
    ------
    ToolNotFoundError
        A tool is missing; nothing was touched.
    OutputFolderError
        Another build runs in the project, or it cannot be written.
    ToolFailedError
        A step failed, with the recognised reason; the marker and the logs are kept.
    KeyboardInterrupt
        Passed on after the tool's whole process group was ended; the marker says ``interrupted``.
    """
    if toolchain is None:
        toolchain = find_toolchain(plan.project.backend, hls=plan.needs_hls, vivado=plan.needs_vivado)
    for step in plan.steps:
        _require_tool(step, toolchain)
    total = len(plan.steps)
    with hold_build(plan.directory):
        build = _Build(plan, toolchain)
        try:
            move_stale_reports(plan.directory, plan.project, plan.invalidates)
            build.write_script()
            for done, step in enumerate(plan.steps):
                progress.step("vendor build", done, total, step.name)
                build.run_step(step, _StepWatch(step, on_line, progress, done, total), timeout_s)
        except BaseException as error:
            build.give_up(error)
            if isinstance(error, OSError):
                raise OutputFolderError(f"{plan.directory} cannot be written ({error.strerror})") from error
            raise
        build.end("finished")
    progress.step("vendor build", total, total, "finished")
    return build.marker


def _require_tool(step: PlanStep, toolchain: Toolchain) -> FoundTool:
    tool = toolchain.hls if step.tool == "hls" else toolchain.vivado
    if tool is None:
        raise ToolNotFoundError(f"the tool of the step {step.name}", [f"a toolchain without {step.tool}"])
    return tool


def _exit_code(directory: Path, step: PlanStep, script: int) -> int:
    """The tool's exit code by the row that the script wrote, or the script's own where it wrote none (a full disk)."""
    with contextlib.suppress(StaleProjectError):  # no table, or half a row
        if row := read_steps(directory).get(step.name):
            return int(row[1])
    return script


class _Build:
    """The record of a build under way; each change is written to the marker at once."""

    def __init__(self, plan: BuildPlan, tools: Toolchain) -> None:
        self.plan, self.tools = plan, tools
        self.marker = begin_marker(plan, tools.versions)
        self._entry: StepResult | None = None  # of the step begun last
        self.marker.write()

    def write_script(self) -> None:
        """Write the script and all that its steps run."""
        directory = self.plan.directory
        (directory / STEPS_TABLE).unlink(missing_ok=True)
        for step in self.plan.steps:
            for name, text in step.files:
                write_text(directory / name, text)
        write_text(directory / SCRIPT, shell_script(self.plan, "..", self.tools))

    def run_step(self, step: PlanStep, watch: _StepWatch, timeout_s: float | None) -> None:
        directory, started = self.plan.directory, time.time()
        log = directory / step.log
        command = step_command(step, _require_tool(step, self.tools))
        project = self.plan.project
        entry = StepResult(
            step.name, "running", started=started, command=command, log=step.log, part=project.part,
            clock_period_ns=project.clock_period_ns,
        )  # fmt: skip
        self._put(entry)
        try:
            run = run_process(
                ["/bin/sh", SCRIPT, step.name], cwd=directory, timeout_s=timeout_s, on_line=watch, check=False
            )
            exit_code, printed = _exit_code(directory, step, run.exit_code), run.last_lines
        except ToolFailedError:  # the time ran out
            exit_code, printed = None, ()
        failure = judge(directory, step, exit_code, started=started, printed=printed)
        reason = "" if failure is None else failure.sentence()
        reports = collect_reports(directory, step.name, self.plan.project)
        entry = replace(entry, exit_code=exit_code, reports=reports, reason=reason)
        self._put(replace(entry, status="failed" if failure else "finished", seconds=time.time() - started))
        if failure is not None:
            raise ToolFailedError(command, exit_code, tail(log) or printed, log, reason)

    def give_up(self, error: BaseException) -> None:
        """Write down that the build ended before its end."""
        status: Status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        entry = self._entry
        if entry is not None and entry.status == "running":
            reason = "interrupted" if status == "interrupted" else str(error)
            seconds = time.time() - (entry.started or 0.0)
            self.marker = self.marker.with_step(replace(entry, status=status, seconds=seconds, reason=reason))
        self.end(status)

    def end(self, status: Status) -> None:
        self.marker = replace(self.marker, status=status, finished=time.time())
        # a full disk ends a build, and then this may not be written either
        with contextlib.suppress(OSError):
            self.marker.write()

    def _put(self, entry: StepResult) -> None:
        self._entry = entry
        self.marker = self.marker.with_step(entry)
        self.marker.write()


class _StepWatch:
    """Passes on what a tool prints: to the caller and to the progress display."""

    def __init__(
        self,
        step: PlanStep,
        on_line: Callable[[StepName, str], None] | None,
        progress: Progress,
        done: int,
        total: int,
    ) -> None:
        self._step, self._on_line, self._progress = step, on_line, progress
        self._done, self._total = done, total

    def __call__(self, line: str) -> None:
        if self._on_line is not None:
            self._on_line(self._step.name, line)
        for pattern in _PHASES:
            if match := pattern.search(line):
                note = f"{self._step.name}: {match[1]}"
                self._progress.step("vendor build", self._done, self._total, note)
                break
