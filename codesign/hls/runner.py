"""Runs a plan with the vendor's tools on this machine, and never leaves a result that is not one.

Before anything runs, the tools are found, the folder is locked and the old reports are moved away. A step
counts as finished only when its tool ended with 0, printed no error and left every report it should, newer
than its start; vendor tools have been seen to fail each of these alone. Whatever ends a build is written
into the marker.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from codesign.core.files import write_text
from codesign.core.process import run_process
from codesign.core.progress import SILENT, Progress
from codesign.errors import OutputFolderError, ToolFailedError, ToolNotFoundError
from codesign.hls.failures import Failure, LogWatch
from codesign.hls.plan import BuildPlan, PlanStep, StepName, step_command
from codesign.hls.runner_marker import (
    BuildResult,
    Status,
    StepResult,
    begin_result,
    collect_reports,
    hold_lock,
    move_stale_reports,
    write_marker,
)
from codesign.hls.toolchain import FoundTool, Toolchain, find_toolchain

CLOCK_SLACK_S = 2.0
"""How far a file's time may lie before the step's start: file systems round, and servers' clocks differ."""

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
) -> BuildResult:
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
    BuildResult
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
    tools = [_tool_for(step, toolchain) for step in plan.steps]
    total = len(plan.steps)
    with hold_lock(plan.directory):
        build = _Build(plan, begin_result(plan, toolchain.versions))
        try:
            move_stale_reports(plan.directory, plan.project, plan.invalidates)
            for done, (step, tool) in enumerate(zip(plan.steps, tools, strict=True)):
                progress.step("vendor build", done, total, step.name)
                watch = _StepWatch(step, on_line, progress, done, total)
                build.run_step(step, step_command(step, tool), watch, timeout_s)
        except BaseException as error:
            build.give_up(error)
            if isinstance(error, OSError):
                raise OutputFolderError(f"{plan.directory} cannot be written ({error.strerror})") from error
            raise
        build.end("finished")
    progress.step("vendor build", total, total, "finished")
    return build.result


def _tool_for(step: PlanStep, toolchain: Toolchain) -> FoundTool:
    tool = toolchain.hls if step.tool == "hls" else toolchain.vivado
    if tool is None:
        raise ToolNotFoundError(f"the tool of the step {step.name}", [f"a toolchain without {step.tool}"])
    return tool


class _Build:
    """The record of a build under way; each change is written to the marker at once."""

    def __init__(self, plan: BuildPlan, result: BuildResult) -> None:
        self.plan = plan
        self.result = result
        self._entry: StepResult | None = None  # of the step begun last
        write_marker(result)

    def run_step(
        self, step: PlanStep, command: tuple[str, ...], watch: _StepWatch, timeout_s: float | None
    ) -> None:
        directory, started = self.plan.directory, time.time()
        log = directory / step.log
        project = self.plan.project
        entry = StepResult(
            step.name, "running", started=started, command=command, log=step.log, part=project.part,
            clock_period_ns=project.clock_period_ns,
        )  # fmt: skip
        self._put(entry)
        for name, text in step.files:
            write_text(directory / name, text)
        last_lines: tuple[str, ...] = ()
        exit_code: int | None = None
        try:
            run = run_process(
                command, cwd=directory, timeout_s=timeout_s, log_path=log, on_line=watch, check=False
            )
            last_lines, exit_code = run.last_lines, run.exit_code
        except ToolFailedError as error:  # the time ran out
            last_lines = error.last_lines
        failure = watch.log.failure(exit_code) or missing_reports(directory, step, started)
        reason = "" if failure is None else failure.sentence()
        reports = collect_reports(directory, step.name, self.plan.project)
        entry = replace(entry, exit_code=exit_code, reports=reports, reason=reason)
        self._put(replace(entry, status="failed" if failure else "finished", seconds=time.time() - started))
        if failure is not None:
            raise ToolFailedError(command, exit_code, last_lines, log, reason)

    def give_up(self, error: BaseException) -> None:
        """Write down that the build ended before its end."""
        status: Status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        entry = self._entry
        if entry is not None and entry.status == "running":
            reason = "interrupted" if status == "interrupted" else str(error)
            seconds = time.time() - (entry.started or 0.0)
            self.result = self.result.with_step(replace(entry, status=status, seconds=seconds, reason=reason))
        self.end(status)

    def end(self, status: Status) -> None:
        self.result = replace(self.result, status=status, finished=time.time())
        # a full disk ends a build, and then this may not be written either
        with contextlib.suppress(OSError):
            write_marker(self.result)

    def _put(self, entry: StepResult) -> None:
        self._entry = entry
        self.result = self.result.with_step(entry)
        write_marker(self.result)


class _StepWatch:
    """Passes on what a tool prints: to the caller, to the progress display, and to the watch for failures."""

    def __init__(
        self,
        step: PlanStep,
        on_line: Callable[[StepName, str], None] | None,
        progress: Progress,
        done: int,
        total: int,
    ) -> None:
        self.log = LogWatch()
        self._step, self._on_line, self._progress = step, on_line, progress
        self._done, self._total = done, total

    def __call__(self, line: str) -> None:
        self.log.feed(line)
        if self._on_line is not None:
            self._on_line(self._step.name, line)
        for pattern in _PHASES:
            if match := pattern.search(line):
                note = f"{self._step.name}: {match[1]}"
                self._progress.step("vendor build", self._done, self._total, note)
                break


def missing_reports(directory: Path, step: PlanStep, started: float) -> Failure | None:
    """Say which report a step should have left and did not: absent, empty, or older than its start."""
    for report in step.reports:
        path = directory / report.path
        if not path.is_file():
            what = f"it did not write {report.path}"
        elif path.stat().st_size == 0:
            what = f"it left {report.path} empty"
        elif path.stat().st_mtime < started - CLOCK_SLACK_S:
            what = f"{report.path} is older than the run"
        else:
            continue
        return Failure("report_missing", f"the tool reported no error, but {what}", "read its log")
    if not (directory / step.product).exists():
        return Failure("report_missing", f"the tool reported no error, but {step.product} is not there")
    return None
