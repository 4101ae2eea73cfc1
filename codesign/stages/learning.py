"""The stages that make a student: teacher, distillation, pruning, scan, quantization."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from codesign.core.files import write_json
from codesign.core.record import Record
from codesign.stages.context import Context


class Teacher:
    """`train_teacher`, or what else the settings name: an ensemble, specialists, trained files, logits."""

    name = "teacher"
    parents = ()
    sections = ("teacher",)
    uses_networks = True

    def make(self, context: Context, folder: Path) -> Any:
        """Train the teacher or load the given one."""
        from codesign.training.teacher_files import make_teacher

        return make_teacher(
            context.settings.teacher,
            context.dataset,
            context.design,
            lambda: context.build("teacher"),
            seed=context.settings.seed,
            cache=_cache(context),
            progress=context.progress,
        )

    def save(self, value: Any, folder: Path) -> None:
        """Keep the networks, the logits and the history."""
        from codesign.training.teacher_files import save_teacher

        save_teacher(value, folder)
        _save_history(value, folder)

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        from codesign.training.teacher_files import read_teacher

        settings = context.settings.teacher
        return read_teacher(folder, settings, _load_history(folder), record, _cache(context))


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

    def save(self, value: Any, folder: Path) -> None:
        """Keep the early networks too: pruning may rewind to them."""
        super().save(value, folder)
        for name, network in value.early.items():
            network.save(folder / f"{name}.npz")

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        from codesign.networks.description import Network
        from codesign.training.distill import Student as Value

        paths = {name: folder / f"{name}.npz" for name in ("initial", "early")}
        early = {name: Network.load(path) for name, path in paths.items() if path.is_file()}
        return Value(Network.load(folder / "network.npz"), _load_history(folder), record, early)


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
            hardware=settings.hardware,
            seed=settings.seed,
            progress=context.progress,
        )

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        from codesign.compression.prune import PrunedStudent
        from codesign.networks.description import Network

        return PrunedStudent(Network.load(folder / "network.npz"), _load_history(folder), record)


SCAN_JOURNAL = ".scan-trials.jsonl"
"""What an interrupted scan had measured, in the run's folder."""


class Scan:
    """`scan_bit_widths`."""

    name = "scan"
    parents = ("pruning",)
    sections = ("scan",)
    uses_networks = False

    def make(self, context: Context, folder: Path) -> Any:
        """Find the number formats."""
        from codesign.compression.scan import scan_bit_widths

        # beside the stage's folder, which an interruption takes along
        journal = context.folder / SCAN_JOURNAL
        found = scan_bit_widths(
            context.value("pruning"),
            context.dataset,
            context.settings.scan,
            journal=journal,
            progress=context.progress,
        )
        journal.unlink()
        return found

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


def _cache(context: Context) -> Any:
    """Where a run keeps what its teacher computed beside its logits."""
    from codesign.training.cache import OutputCache

    return OutputCache(context.folder / "teacher_outputs")


def _save_history(value: Any, folder: Path) -> None:
    if value.history is not None:
        write_json(folder / "history.json", asdict(value.history))


def _load_history(folder: Path) -> Any:
    from codesign.training.fit import read_history

    path = folder / "history.json"
    return read_history(path) if path.is_file() else None
