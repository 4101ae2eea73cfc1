"""The pruning stage: fewer weights, neurons or multipliers, learning from the teacher all the while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import keras
import numpy as np

from codesign.compression.pruning.budget import HardwareSelector, target_costs
from codesign.compression.pruning.dead import without_dead_units
from codesign.compression.pruning.masked import Selector, scorer, train_masked
from codesign.compression.pruning.sparsity import SparsitySelector
from codesign.compression.pruning.structured import prune_structured
from codesign.compression.pruning.targets import (
    LayerOutcome,
    SkipReason,
    checked_targets,
    sparsity_targets,
    weight_outcomes,
)
from codesign.compression.pruning.units import removable_units
from codesign.compression.scan_source import AnyStudent, as_student
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.core.shown import ShownStudent
from codesign.data import Dataset
from codesign.errors import SettingsError
from codesign.networks.build import build_float, read_weights
from codesign.networks.description import Network
from codesign.networks.prepare import fold_batch_norm
from codesign.settings import DistillationSettings, HardwareSettings, PruningSettings
from codesign.training.distill import Student, check_same_outputs, student_record, with_learnt_temperature
from codesign.training.fit import History, make_reproducible
from codesign.training.lesson import Lesson, make_lesson
from codesign.training.own import Own, OwnLoss, OwnMetrics
from codesign.training.teacher import Teacher, as_teacher


@dataclass(frozen=True)
class PrunedStudent(ShownStudent):
    """A float student with zeros that stay.

    Parameters
    ----------
    network
        Its layers and weights.
    history
        Of its training; ``None`` if nothing was to prune.
    record
        The stage's evidence; its metrics hold what was asked of each layer, what it reached, and why less.
    """

    network: Network
    history: History | None
    record: Record

    def model(self) -> keras.Model:
        """A new float Keras model of it."""
        return build_float(self.network)


def prune_student(
    student: Student | keras.Model,
    teacher: Teacher | keras.Model,
    dataset: Dataset,
    settings: PruningSettings,
    distillation: DistillationSettings,
    *,
    hardware: HardwareSettings | None = None,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    loss: OwnLoss | None = None,
    metrics: OwnMetrics = MappingProxyType({}),
    progress: Progress = SILENT,
) -> PrunedStudent:
    """Prune a student while it goes on learning from the teacher.

    Neurons and filters that change no output any more are removed from the network.

    Parameters
    ----------
    student
        What is pruned, a student or a trained float Keras model; unchanged.
    teacher, distillation
        The student goes on learning with these soft targets, temperature, alpha and terms.
    dataset
        What they were made with.
    settings
        Method, sparsity, schedule, epochs; see `codesign.settings.PruningSettings`.
    hardware
        The target of the method ``hardware``: strategies and reuse factors.
    seed
        Of the order of the samples.
    callbacks
        Keras callbacks of your own; they are told of epochs, not of steps.
    loss
        A loss of your own on `(targets, outputs)`, added to what is learnt; outputs are logits.
    metrics
        By name, `(targets, outputs) -> number`: measured on the validation part after each epoch
        (`history.measured`).

    Raises
    ------
    SettingsError
        If `settings.layers` names an unknown layer, a sparsity would leave a layer without a weight or unit, there is
        no network to rewind to, or so few weights are left that no path leads through the network.
    TrainingError
        If the loss is not finite.
    """
    teacher, student = as_teacher(teacher, dataset), as_student(student, dataset)
    network = student.network
    targets = check_pruning(network, settings)
    rewind_to = rewound(getattr(student, "early", {}), settings)
    model = build_float(network, side_by_side=True)
    check_same_outputs(teacher, model.output_shape[-1])
    distillation = with_learnt_temperature(distillation, student.record)
    history: History | None = None
    own = Own(callbacks, loss, metrics)
    dead: dict[str, int] = {}
    if settings.inside == "quantization" or not any([settings.sparsity, *settings.layers.values()]):
        outcomes = _untouched(network, settings)
    elif settings.method == "structured":
        make_reproducible(seed)
        result = prune_structured(
            network, teacher, dataset, settings, distillation, own=own, progress=progress
        )
        network, history, outcomes = result.network, result.history, dict(result.layers)
        model = build_float(network, side_by_side=True)
    else:
        make_reproducible(seed)
        lesson = make_lesson(model, teacher, dataset, distillation, own=own)
        selector = _selector(student, lesson, dataset, settings, targets, hardware or HardwareSettings())
        history = train_masked(
            lesson, selector, settings, settings, network.kernels, rewind_to=rewind_to, progress=progress
        )
        network = read_weights(network, model)
        if isinstance(selector, HardwareSelector):
            outcomes = selector.outcomes(network)
        else:
            outcomes = weight_outcomes(network, targets if settings.scope == "layer" else None)
        network, dead = without_dead_units(network, fold_batch_norm(network))
        model = build_float(network, side_by_side=True)
    extra = {
        "layers": {name: outcome.to_dict() for name, outcome in outcomes.items()},
        "weights_removed": network.weights_removed(student.network),
        "dead_units_removed": dead,
        "distillation": {"temperature": distillation.temperature, "alpha": distillation.alpha},
    }
    record = student_record(network, model, dataset, extra)
    return PrunedStudent(network, history, record)


def check_pruning(network: Network, settings: PruningSettings) -> dict[str, float]:
    """The fraction to remove of each layer's weights, or of its units for the method ``structured``.

    Raises
    ------
    SettingsError
        If `settings.layers` names a layer that has none, or a fraction would leave a layer without any.
    """
    if settings.method == "structured":
        removable, kept = removable_units(network)
        refused = [
            f"pruning.layers.{name}: cannot lose units: {kept[name]}"
            for name in settings.layers
            if name in kept
        ]
        if refused:
            raise SettingsError(refused)
        return checked_targets({name: units.count for name, units in removable.items()}, settings, "units")
    return sparsity_targets(network, settings)


def rewound(early: Mapping[str, Network], settings: PruningSettings) -> Network | None:
    """The network that the settings rewind to, of those that a student kept; ``None`` to go on from where it is."""
    if settings.rewind == "none":
        return None
    if settings.rewind not in early:
        raise SettingsError(
            f"pruning.rewind: {settings.rewind!r} needs the student's weights from its own training, which it does not "
            "have; distil it with distill_student, or set rewind: none"
        )
    return early[settings.rewind]


def _selector(
    student: AnyStudent,
    lesson: Lesson,
    dataset: Dataset,
    settings: PruningSettings,
    targets: Mapping[str, float],
    hardware: HardwareSettings,
) -> Selector:
    names = [layer.name for layer in student.network.weight_layers]
    if settings.method != "hardware":
        score = scorer(settings, settings.method, names, lesson)
        return SparsitySelector(score, settings, targets, student.network)
    calibration = dataset.calibration(min(settings.saliency_samples, len(dataset.x_train)))
    costs = target_costs(student.network, hardware, settings.assumed_bits, calibration)

    def current() -> Network:
        return read_weights(student.network, lesson.student)

    def folded() -> dict[str, np.ndarray]:
        # what is built has the normalisations folded in: a channel that they scale up matters more
        return {
            layer.name: np.abs(layer.weights["kernel"]) for layer in fold_batch_norm(current()).weight_layers
        }

    score = folded if settings.score == "magnitude" else scorer(settings, settings.score, names, lesson)
    return HardwareSelector(score, current, costs, settings)


def _untouched(network: Network, settings: PruningSettings) -> dict[str, LayerOutcome]:
    later = settings.inside == "quantization"
    kept = SkipReason.IN_QUANTIZATION if later else SkipReason.NOT_ASKED
    return {
        layer.name: LayerOutcome(
            settings.layers.get(layer.name, settings.sparsity),
            float((layer.weights["kernel"] == 0).mean()),
            kept,
        )
        for layer in network.weight_layers
    }
