"""Structured pruning: whole neurons and filters leave the network, in rounds of training between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from codesign.compression.pruning.masked import (
    concatenate_histories,
    hold_zeros,
    n_rounds,
    shared_epochs,
    shrink_magnitudes,
)
from codesign.compression.pruning.scores import HessianScores, TaylorScores, unit_sums
from codesign.compression.pruning.targets import LayerOutcome, SkipReason, checked_targets, scheduled
from codesign.compression.pruning.units import Units, removable_units, remove_units
from codesign.core.progress import SILENT, Progress
from codesign.core.shown import Brief
from codesign.data import Dataset
from codesign.networks.build import build_float, read_weights
from codesign.networks.description import Network
from codesign.networks.prepare import fold_batch_norm
from codesign.settings import DistillationSettings, PruningSettings
from codesign.training.fit import History
from codesign.training.lesson import Lesson, make_lesson
from codesign.training.objectives import objective_of
from codesign.training.own import NOTHING, Own
from codesign.training.teacher import Teacher


@dataclass(frozen=True)
class StructuredResult(Brief):
    """A smaller network.

    Parameters
    ----------
    network
        With fewer neurons or filters.
    history
        Of all its trainings.
    layers
        What became of each layer; `reached` is the fraction of units removed.
    """

    network: Network
    history: History
    layers: Mapping[str, LayerOutcome]


def prune_structured(
    network: Network,
    teacher: Teacher,
    dataset: Dataset,
    settings: PruningSettings,
    distillation: DistillationSettings,
    *,
    own: Own = NOTHING,
    progress: Progress = SILENT,
) -> StructuredResult:
    """Remove the neurons and filters that matter least, and train what is left, in `settings.rounds` rounds.

    Parameters
    ----------
    network
        A trained float network; unchanged.
    teacher, dataset, distillation
        What it goes on learning with.
    settings
        Sparsity (the fraction of units), layers, scope, score, schedule, rounds, epochs in all.
    own
        Callbacks, loss and metrics of the user's own.
    progress
        Told after every epoch.

    Raises
    ------
    SettingsError
        If `settings.layers` names a layer without removable units, or a layer would lose all.
    TrainingError
        If the loss is not finite.
    """
    removable, kept = removable_units(network)
    before = {name: units.count for name, units in removable.items()}
    targets = checked_targets(before, settings, "units")
    rounds = n_rounds(settings)
    histories = []
    model = build_float(network, side_by_side=True)
    lesson = make_lesson(model, teacher, dataset, distillation, own=own)
    for number, epochs in enumerate(shared_epochs(settings.epochs, rounds)):
        scores = unit_scores(network, lesson, removable, settings)
        progressed = (number + 1) / rounds
        network = remove_units(network, _chosen(scores, before, targets, settings, progressed))
        model = build_float(network, side_by_side=True)
        shrink_magnitudes(model, [layer.name for layer in network.weight_layers], settings.l1)
        hold_zeros(model, {layer.name: layer.weights["kernel"] != 0 for layer in network.weight_layers})
        lesson = make_lesson(model, teacher, dataset, distillation, own=own)
        part = settings.model_copy(update={"epochs": epochs})
        what = f"structured pruning {number + 1} of {rounds}"
        histories.append(lesson.fit(part, progress=progress, what=what))
        network = read_weights(network, model)
    layers = {name: LayerOutcome(0.0, 0.0, reason) for name, reason in kept.items()}
    after = {layer.name: layer.weights["kernel"].shape[-1] for layer in network.weight_layers}
    for name, count in before.items():
        layers[name] = _outcome(count, after[name], None if settings.scope == "global" else targets[name])
    return StructuredResult(network, concatenate_histories(histories), layers)


def unit_scores(
    network: Network,
    lesson: Lesson,
    removable: Mapping[str, Units],
    settings: PruningSettings,
) -> dict[str, np.ndarray]:
    """How much each unit matters, by layer, shape `(n_units,)`.

    ``magnitude`` is the length of the unit's weights with its normalisation folded in (a unit whose normalisation
    scales it away matters little whatever its weights are); ``taylor`` the size of the summed `g w` of its weights
    (arXiv:1906.10771, eq. 8 for groups); ``hessian`` the sum of their saliencies.
    """
    names = list(removable)
    kernels = {name: network[name].weights["kernel"] for name in names}
    owner = {
        name: np.broadcast_to(np.arange(kernel.shape[-1]), kernel.shape) for name, kernel in kernels.items()
    }
    if settings.score == "magnitude":
        folded = fold_batch_norm(network)
        squares = {name: folded[name].weights["kernel"].astype(np.float64) ** 2 for name in names}
        return {name: np.sqrt(summed) for name, summed in unit_sums(squares, owner).items()}
    x, targets = lesson.train[:2]
    x, targets = x[: settings.saliency_samples], targets[: settings.saliency_samples]
    if settings.score == "taylor":
        products = TaylorScores(lesson.model, names, lesson.loss, x, targets).products()
        return {name: np.abs(summed).mean(axis=0) for name, summed in unit_sums(products, owner).items()}
    objective = objective_of(lesson.task, int(lesson.student.output_shape[-1]))
    saliency = HessianScores(lesson.model, names, x, objective)
    return unit_sums(saliency(), owner)


def _chosen(
    scores: Mapping[str, np.ndarray],
    before: Mapping[str, int],
    targets: Mapping[str, float],
    settings: PruningSettings,
    progress: float,
) -> dict[str, np.ndarray]:
    """Indices of the units that go now, by layer, of those that are left."""
    gone = {name: before[name] - len(values) for name, values in scores.items()}
    if settings.scope == "layer":
        chosen = {}
        for name, values in scores.items():
            wanted = round(scheduled(targets[name], progress, settings.schedule) * before[name])
            chosen[name] = np.argsort(values, kind="stable")[: max(0, wanted - gone[name])]
        return chosen
    wanted = round(scheduled(settings.sparsity, progress, settings.schedule) * sum(before.values()))
    # lengths differ from layer to layer: each layer's scores are divided by their norm (arXiv:1611.06440, section 2.2)
    ranked = sorted(
        (value / (np.linalg.norm(values) or 1.0), name, index)
        for name, values in scores.items()
        for index, value in enumerate(values)
        if index != int(np.argmax(values))  # a layer without a unit cuts the network through
    )
    now = ranked[: max(0, wanted - sum(gone.values()))]
    return {name: np.array([index for _, of, index in now if of == name], np.int64) for name in scores}


def _outcome(before: int, after: int, asked: float | None) -> LayerOutcome:
    kept = None
    if asked == 0:
        kept = SkipReason.NOT_ASKED
    elif asked is not None and round(asked * before) == 0:
        kept = SkipReason.LESS_THAN_ONE
    elif asked is None and after == 1:
        kept = SkipReason.LAST_UNITS
    return LayerOutcome(asked, (before - after) / before, kept, {"units": before, "units_left": after})
