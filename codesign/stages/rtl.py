"""The open RTL of a converted student."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.core.shown import Shown
from codesign.errors import ConversionError, SettingsError, ToolError
from codesign.rtl.project import RtlProject, open_rtl
from codesign.rtl.synthesise import synthesise as count_cells
from codesign.settings import HardwareSettings
from codesign.stages.context import Context, Stage
from codesign.stages.project import ConvertedStudent
from codesign.verification.rungs import write_project_rtl

NOT_ASKED = "hardware.open_rtl is false"


@dataclass(frozen=True)
class RtlStudent(Shown):
    """A student as open RTL.

    Parameters
    ----------
    project
        The Verilog on disk; ``None`` if the network has no RTL here.
    record
        The stage's evidence; its metrics hold the figures, or `skipped` with the reason.
    """

    project: RtlProject | None
    record: Record

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        return (
            self.project.facts()
            if self.project is not None
            else {"skipped": str(self.record.metrics.get("skipped"))}
        )


class Rtl(Stage):
    """`build_rtl`."""

    name = "rtl"
    title = "open RTL"
    parents = ("project",)
    sections = ("hardware",)

    def check(self, context: Context) -> None:
        """Decisions need classes to decide on."""
        task = context.dataset.task
        if context.settings.hardware.outputs == "decisions" and not task.has_classes:
            raise SettingsError(
                f"hardware.outputs: decisions gives the index of a class, and the task is {task.kind}; set it to logits"
            )

    def make(self, context: Context, folder: Path) -> Any:
        """Write the open RTL and count what it takes."""
        hardware = context.settings.hardware
        return build_rtl(context.reopened("project"), hardware, folder / "verilog", progress=context.progress)

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """The Verilog, checked against its manifest."""
        verilog = folder / "verilog"
        return RtlStudent(open_rtl(verilog) if verilog.is_dir() else None, record)

    def was_asked(self, context: Context) -> bool:
        """By an `open_rtl: true` that stands in the design; without one it is written where it can be."""
        hardware = context.settings.hardware
        return hardware.open_rtl and "open_rtl" in hardware.model_fields_set


def build_rtl(
    converted: ConvertedStudent,
    settings: HardwareSettings,
    folder: str | Path,
    *,
    progress: Progress = SILENT,
) -> RtlStudent:
    """Write a converted student as pipelined Verilog and count what it takes, without vendor tools.

    Every layer is unrolled and takes a new sample each clock, whatever strategy and reuse factor the HLS project has.
    A network that cannot be traced, or a Yosys that is missing or fails, is no failure: the record says what was left
    out and why.

    Parameters
    ----------
    converted
        The HLS project, whose graph decides every bit.
    settings
        Part and clock.
    folder
        The directory of the Verilog.
    """
    project: RtlProject | None = None
    metrics: dict[str, Any] = {"skipped": NOT_ASKED}
    if settings.open_rtl:
        project, metrics = _written_and_counted(converted, settings, folder, progress)
    digest = project.digest if project is not None else converted.project.digest
    return RtlStudent(project, Record.of(digest, metrics))


def _written_and_counted(
    converted: ConvertedStudent, settings: HardwareSettings, folder: str | Path, progress: Progress
) -> tuple[RtlProject | None, dict[str, Any]]:
    project: RtlProject | None = None
    metrics: dict[str, Any] = {}
    try:
        graph = converted.project.graph()
        project = write_project_rtl(
            converted.project,
            folder,
            top=settings.top,
            interface=settings.rtl_interface,
            clock_period_ns=settings.clock_period_ns,
            part=settings.part,
            limit_minutes=settings.rtl_limit_minutes,
            progress=progress,
        )
        metrics = project.figures()
        progress.step("rtl", len(graph), len(graph) + 1, "Yosys")
        metrics |= count_cells(project).to_dict()
    except (ConversionError, ToolError) as reason:
        metrics["skipped"] = str(reason)
    progress.step("rtl", 1, 1)
    return project, metrics
