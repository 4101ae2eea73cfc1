"""The quantized student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codesign.core.files import json_digest
from codesign.core.record import Record
from codesign.errors import SettingsError
from codesign.stages.context import Context, Stage, load_history, save_student


class Quantization(Stage):
    """`quantize_student`."""

    name = "quantization"
    title = "quantization"
    parents = ("pruning", "scan", "teacher")
    sections = ("quantization", "distillation")

    def depends(self, context: Context) -> dict[str, str]:
        """Pruning inside quantization happens here."""
        depends = super().depends(context)
        if context.settings.pruning.inside == "quantization":
            depends["settings pruning"] = json_digest(context.settings.section("pruning"))
        return depends

    def check(self, context: Context) -> None:
        """The epochs are enough for the rounds, and a teacher that learns too is one network."""
        from codesign.compression.phases import check_rounds

        settings = context.settings
        if settings.pruning.inside == "quantization":
            check_rounds(settings.quantization, settings.pruning)
        if settings.quantization.co_study_epochs and settings.teacher.kind != "single":
            raise SettingsError(
                "quantization.co_study_epochs: the teacher learns too and must be one network, not the kind "
                f"{settings.teacher.kind!r}; set it to 0 or use the kind 'single'"
            )

    def make(self, context: Context, folder: Path) -> Any:
        """Train on under quantization."""
        from codesign.compression.quantize import quantize_student
        from codesign.training.distill import settled

        settings = context.settings
        student = context.value("student")
        return quantize_student(
            context.value("pruning").network,
            context.value("scan").precision,
            context.value("teacher"),
            context.dataset,
            settings.quantization,
            settled(settings.distillation, student.record),
            pruning=settings.pruning,
            early=student.early,
            seed=settings.seed,
            progress=context.progress,
        )

    def save(self, value: Any, folder: Path) -> None:
        """Keep the network behind the quantizers, the formats, the QKeras model and the history."""
        save_student(value, folder)
        value.precision.save(folder / "precision_map.json")

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """The quantized student."""
        from codesign.compression.quantize import QuantizedStudent
        from codesign.core.precision_map import PrecisionMap
        from codesign.networks.description import Network

        network = Network.load(folder / "network.npz")
        precision = PrecisionMap.load(folder / "precision_map.json")
        file = folder / "student.keras"
        given = file if file.is_file() else None
        return QuantizedStudent(network, precision, load_history(folder), record, given)
