"""The bit widths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codesign.core.record import Record
from codesign.stages.context import Context, Stage

SCAN_JOURNAL = ".scan-trials.jsonl"
"""What an interrupted scan had measured, in the folder of the run or of `codesign scan`."""


class Scan(Stage):
    """`scan_bit_widths`."""

    name = "scan"
    title = "scan"
    parents = ("pruning",)
    sections = ("scan",)

    def check(self, context: Context) -> None:
        """The task has the quality, and the student an affine form, if its quality is to be measured."""
        from codesign.compression.scan_trials import CheckedQuality

        CheckedQuality.of(context.settings.scan, None, context.dataset.task)
        if context.settings.scan.affine_widths:
            from codesign.affine.ptq import affine_form

            affine_form(context.untrained_network)

    def make(self, context: Context, folder: Path) -> Any:
        """Find the number formats."""
        from codesign.compression.scan import scan_bit_widths

        # beside the stage's folder, which an interruption takes along
        journal = context.folder / SCAN_JOURNAL
        return scan_bit_widths(
            context.value("pruning"),
            context.dataset,
            context.settings.scan,
            journal=journal,
            progress=context.progress,
        )

    def settled(self, context: Context) -> None:
        """The trials are in the result now."""
        (context.folder / SCAN_JOURNAL).unlink(missing_ok=True)

    def save(self, value: Any, folder: Path) -> None:
        """Keep the formats and every trial."""
        value.save(folder)

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """The formats and every trial."""
        from codesign.compression.scan import ScanResult

        return ScanResult.load(folder, record)
