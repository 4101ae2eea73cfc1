"""The stages that make a student: teacher, distillation, pruning, scan, quantization."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from codesign.core.files import read_json, write_arrays, write_json
from codesign.core.record import Record
from codesign.stages.context import Context


class Teacher:
    """`train_teacher` or `load_teacher`."""

    name = "teacher"
    parents = ()
    sections = ("teacher",)
    uses_networks = True

    def make(self, context: Context, folder: Path) -> Any:
        """Train the teacher or load the given one."""
        from codesign.training.teacher import load_teacher, train_teacher

        settings = context.settings.teacher
        if settings.file is not None:
            return load_teacher(context.design / settings.file, context.dataset, settings)
        model = context.build("teacher")
        return train_teacher(
            model, context.dataset, settings, seed=context.settings.seed, progress=context.progress
        )

    def save(self, value: Any, folder: Path) -> None:
        """Keep the model, its logits and its history."""
        value.model.save(folder / "teacher.keras")
        logits = {
            "train": value.train_logits,
            "validation": value.validation_logits,
            "test": value.test_logits,
        }
        write_arrays(folder / "logits.npz", logits)
        _save_history(value, folder)

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        import keras
        import numpy as np

        from codesign.training.teacher import Teacher as Value

        model = keras.models.load_model(folder / "teacher.keras", compile=False)
        with np.load(folder / "logits.npz") as logits:
            train, validation, test = (logits[part] for part in ("train", "validation", "test"))
        return Value(model, train, validation, test, _load_history(folder), record)


class _StudentStage:
    """What the two float students share: a network, its Keras model and its history."""

    def save(self, value: Any, folder: Path) -> None:
        """Keep the network, a Keras model of it and the history."""
        value.network.save(folder / "network.npz")
        value.model().save(folder / "student.keras")
        _save_history(value, folder)


class Student(_StudentStage):
    """`distill_student`."""

    name = "student"
    parents = ("teacher",)
    sections = ("distillation",)
    uses_networks = True

    def make(self, context: Context, folder: Path) -> Any:
        """Distil the teacher into the student."""
        from codesign.training.distill import distill_student

        settings = context.settings
        return distill_student(
            context.build("student"),
            context.value("teacher"),
            context.dataset,
            settings.distillation,
            seed=settings.seed,
            progress=context.progress,
        )

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        from codesign.networks.description import Network
        from codesign.training.distill import Student as Value

        return Value(Network.load(folder / "network.npz"), _load_history(folder), record)


class Pruning(_StudentStage):
    """`prune_student`."""

    name = "pruning"
    parents = ("student", "teacher")
    sections = ("pruning", "distillation")
    uses_networks = False

    def make(self, context: Context, folder: Path) -> Any:
        """Prune the student."""
        from codesign.compression.prune import prune_student

        settings = context.settings
        return prune_student(
            context.value("student"),
            context.value("teacher"),
            context.dataset,
            settings.pruning,
            settings.distillation,
            seed=settings.seed,
            progress=context.progress,
        )

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        from codesign.compression.prune import PrunedStudent
        from codesign.networks.description import Network

        return PrunedStudent(Network.load(folder / "network.npz"), _load_history(folder), record)


class Scan:
    """`scan_bit_widths`."""

    name = "scan"
    parents = ("pruning",)
    sections = ("scan",)
    uses_networks = False

    def make(self, context: Context, folder: Path) -> Any:
        """Find the number formats."""
        from codesign.compression.scan import scan_bit_widths

        student = context.value("pruning")
        return scan_bit_widths(student, context.dataset, context.settings.scan, progress=context.progress)

    def save(self, value: Any, folder: Path) -> None:
        """Keep the formats and every trial."""
        value.save(folder)

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        from codesign.compression.scan import ScanResult

        return ScanResult.load(folder, record)


class Quantization:
    """`quantize_student`."""

    name = "quantization"
    parents = ("pruning", "scan", "teacher")
    sections = ("quantization", "distillation")
    uses_networks = False

    def make(self, context: Context, folder: Path) -> Any:
        """Train on under quantization."""
        from codesign.compression.quantize import quantize_student

        settings = context.settings
        return quantize_student(
            context.value("pruning").network,
            context.value("scan").precision,
            context.value("teacher"),
            context.dataset,
            settings.quantization,
            settings.distillation,
            seed=settings.seed,
            progress=context.progress,
        )

    def save(self, value: Any, folder: Path) -> None:
        """Keep the network behind the quantizers, the formats, the QKeras model and the history."""
        value.network.save(folder / "network.npz")
        value.precision.save(folder / "precision_map.json")
        value.model().save(folder / "student.keras")
        _save_history(value, folder)

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        from codesign.compression.quantize import QuantizedStudent
        from codesign.core.precision_map import PrecisionMap
        from codesign.networks.description import Network

        network = Network.load(folder / "network.npz")
        return QuantizedStudent(
            network, PrecisionMap.load(folder / "precision_map.json"), _load_history(folder), record
        )


def _save_history(value: Any, folder: Path) -> None:
    if value.history is not None:
        write_json(folder / "history.json", asdict(value.history))


def _load_history(folder: Path) -> Any:
    from codesign.training.fit import History

    path = folder / "history.json"
    if not path.is_file():
        return None
    kept: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in read_json(path).items()
    }
    return History(**kept)
