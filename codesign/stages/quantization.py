"""The quantized student."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codesign.core.files import json_digest
from codesign.core.record import Record
from codesign.errors import SettingsError, StaleProjectError
from codesign.stages.context import Context, Stage, load_history, save_student

if TYPE_CHECKING:
    from codesign.compression.learned.front import Front, Point
    from codesign.compression.quantize import QuantizedStudent
    from codesign.settings import LearnedSettings


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
        # a latency is counted at the design's clock
        if context.settings.quantization.learned.latency_ns is not None:
            depends["settings hardware"] = json_digest(context.settings.section("hardware"))
        return depends

    def check(self, context: Context) -> None:
        """There are targets to study, the epochs are enough for the rounds, and a teacher that learns too is one network."""
        from codesign.compression.phases import check_rounds, check_study

        settings = context.settings
        check_study(settings.quantization, context.dataset.task)
        if settings.quantization.method == "learned":
            _check_learned(context)
        if settings.pruning.inside == "quantization":
            check_rounds(settings.quantization, settings.pruning)
        if settings.quantization.co_study_epochs and settings.teacher.kind != "single":
            raise SettingsError(
                "quantization.co_study_epochs: the teacher learns too and must be one network, not the kind "
                f"{settings.teacher.kind!r}; set it to 0 or use the kind 'single'"
            )

    def make(self, context: Context, folder: Path) -> Any:
        """Train on under quantization."""
        if context.settings.quantization.method == "learned":
            return _learned(context, folder)
        from codesign.compression.quantize import quantize_student
        from codesign.training.distill import with_learnt_temperature

        settings = context.settings
        student = context.value("student")
        return quantize_student(
            context.value("pruning").network,
            context.value("scan").precision,
            context.value("teacher"),
            context.dataset,
            settings.quantization,
            with_learnt_temperature(settings.distillation, student.record),
            pruning=settings.pruning,
            early=student.early,
            seed=settings.seed,
            progress=context.progress,
        )

    def settled(self, context: Context) -> None:
        """The front is in the result now."""
        shutil.rmtree(context.folder / FRONT, ignore_errors=True)

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


def _point_latency_ns(context: Context, front: Front, point: Point) -> float:
    from codesign.compression.learned.learn import student_at

    settings = context.settings.quantization.learned
    student = student_at(context.value("pruning").network, front, point, context.dataset, settings)
    latency = _latency_ns(context, student)
    context.progress.step("latency", 1, 1, f"{point.luts:,.0f} LUTs: {latency:g} ns")
    return latency


def _latency_ns(context: Context, student: QuantizedStudent) -> float:
    """The latency of a student's open RTL: its pipeline stages at the clock of the design."""
    from codesign.hls.graph import read_graph
    from codesign.rtl.project import latency_ns_of
    from codesign.stages.project import converted_graph

    hardware = context.settings.hardware
    graph, _ = converted_graph(*student.hardware(), hardware, context.folder / Quantization.name)
    return latency_ns_of(read_graph(graph), hardware.clock_period_ns, hardware.rtl_interface)


LEARNING = "learned-widths.npz"
"""What an interrupted training of widths goes on from, in the folder of the run."""

FRONT = ".learned-front"
"""A whole front of which no point was built yet, in the folder of the run: a budget that none meets costs no training."""


_SCAN_IS_NOT_READ = (
    "the widths are learned (quantization.method): those of the scan stand for comparison and were not read"
)


_POLISHED_IS_SLOW = "the polished student is slower than quantization.learned.latency_ns: the point is built as it was trained"


def _check_learned(context: Context) -> None:
    """The student's widths can be learned, and nothing asks for another training."""
    from codesign.compression.learned.front import TABLE
    from codesign.compression.learned.learn import check_logits_alone
    from codesign.compression.learned.values import check_learnable
    from codesign.networks.prepare import prepare_for_quantization

    if context.settings.pruning.inside == "quantization":
        raise SettingsError(
            "pruning.inside: quantization prunes while widths stay; with quantization.method: learned set it to float"
        )
    check_logits_alone(context.settings.distillation)
    check_learnable(prepare_for_quantization(context.untrained_network))
    if not any((folder / TABLE).is_file() for folder in _fronts_kept(context)):
        _check_target(context.settings.quantization.learned)


def _check_target(settings: LearnedSettings) -> None:
    """A new training comes down into the budget; of a front that stands, points below the target can be built."""
    target, budget = settings.target_luts, settings.budget_luts
    if target is not None and budget is not None and target > budget:
        raise SettingsError(
            f"quantization.learned: target_luts must not be above budget_luts, {target:,.0f} > {budget:,.0f}: the training "
            "stays at its target, and no point would be within the budget"
        )


def _fronts_kept(context: Context) -> tuple[Path, Path]:
    """Where the run's folder may hold a front: in the stage, or beside it if no point was built yet."""
    return context.folder / Quantization.name, context.folder / FRONT


def _learned(context: Context, folder: Path) -> Any:
    """Learn widths, or take the front that this stage left before, and build the point that the settings choose, polished."""
    from codesign.compression.learned.front import Front
    from codesign.compression.learned.learn import learn_widths, student_at, training_key
    from codesign.compression.polish import polish_student
    from codesign.compression.quantize import one_stage
    from codesign.networks.prepare import prepare_for_quantization
    from codesign.training.distill import with_learnt_temperature

    settings = context.settings.quantization.learned
    network, teacher, dataset = context.value("pruning").network, context.value("teacher"), context.dataset
    distillation = with_learnt_temperature(context.settings.distillation, context.value("student").record)
    seed = context.settings.seed
    key = training_key(network, teacher, dataset, settings, distillation, seed)
    front: Front | None = None
    for kept in _fronts_kept(context):
        with contextlib.suppress(StaleProjectError):
            front = Front.load(kept)
        if front is not None and front.key == key:
            break
    else:
        _check_target(settings)
        front = learn_widths(
            network,
            teacher,
            dataset,
            settings,
            distillation,
            checkpoint=context.folder / LEARNING,
            seed=seed,
            progress=context.progress,
        )
        beside = context.folder / FRONT
        shutil.rmtree(beside, ignore_errors=True)  # one of another training
        front.save(beside)
    front.save(folder)
    latency_of = partial(_point_latency_ns, context, front)
    point = front.choose(settings.budget_luts, settings.quality_loss, settings.latency_ns, latency_of)
    student = student_at(network, front, point, dataset, settings)
    notes = [_SCAN_IS_NOT_READ]
    if (polish := context.settings.quantization.polish) is not None:
        if settings.quality_loss is not None:
            spare = point.quality - (front.reference - settings.quality_loss / 100)
            polish = polish.model_copy(update={"tolerance": min(polish.tolerance, max(spare, 0.0))})
        polished = polish_student(
            student, teacher, dataset, polish, distillation, seed=seed, progress=context.progress
        )
        if settings.latency_ns is None or _latency_ns(context, polished) <= settings.latency_ns:
            student = one_stage(student, polished, prepare_for_quantization(network))
        else:
            notes.append(_POLISHED_IS_SLOW)
    metrics = {**student.record.metrics, "notes": notes}
    return replace(student, record=replace(student.record, metrics=metrics))
