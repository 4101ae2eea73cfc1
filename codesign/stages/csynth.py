"""The vendor's C synthesis of a converted student, where its tools are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.core.files import json_digest
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.errors import ToolNotFoundError
from codesign.hls.plan import plan_build
from codesign.hls.runner import run_plan
from codesign.hls.toolchain import vendor_tool
from codesign.reports import read_csynth
from codesign.stages.context import Context, Stage
from codesign.stages.project import ConvertedStudent


@dataclass(frozen=True)
class SynthesisedStudent:
    """What the vendor's C synthesis said.

    Parameters
    ----------
    record
        The stage's evidence; its metrics hold the `csynth` report, or `skipped` with the reason.
    """

    record: Record


class Csynth(Stage):
    """`synthesise`."""

    name = "csynth"
    title = "vendor C synthesis"
    formerly = "synthesis"
    parents = ("project", "verification")
    sections = ("hardware",)

    def depends(self, context: Context) -> dict[str, str]:
        """Whether the vendor's tool is there."""
        tool = vendor_tool(context.settings.hardware.backend)
        return {**super().depends(context), "the vendor's HLS tool": json_digest(tool)}

    def check(self, context: Context) -> None:
        """A path that a variable names leads to the tool."""
        vendor_tool(context.settings.hardware.backend)

    def make(self, context: Context, folder: Path) -> Any:
        """Run the vendor's C synthesis on the project, or note what is missing."""
        return synthesise(context.reopened("project"), progress=context.progress)

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """The record: the reports are in the project."""
        return SynthesisedStudent(record)


def synthesise(converted: ConvertedStudent, *, progress: Progress = SILENT) -> SynthesisedStudent:
    """Run the vendor's C synthesis on a project and read its report; without the tool, say what is missing.

    Raises
    ------
    ToolFailedError
        If the tool is there and fails, with the recognised reason.
    ReportError
        If it ends well and leaves no report that can be trusted.
    """
    plan = plan_build(converted.project.folder, ("csynth",))
    metrics: dict[str, object]
    try:
        result = run_plan(plan, progress=progress)
        metrics = {
            "csynth": read_csynth(result.report("csynth_xml")).to_dict(),
            "versions": dict(result.versions),
        }
    except ToolNotFoundError as missing:
        metrics = {"skipped": f"{missing}; codesign build --plan writes what to run on a machine that has it"}
    return SynthesisedStudent(Record.of(json_digest(metrics), metrics))
