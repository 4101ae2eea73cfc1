"""Magnitude pruning on a schedule, learning from the teacher all the while."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.data import Dataset
from codesign.errors import SettingsError
from codesign.networks.build import build_float, read_weights
from codesign.networks.description import Network
from codesign.settings import DistillationSettings, PruningSettings
from codesign.training.distill import Student, check_same_outputs, packed, student_record
from codesign.training.fit import History, fit, make_reproducible
from codesign.training.losses import DistillationLoss
from codesign.training.masks import hold_zeros
from codesign.training.teacher import Teacher


@dataclass(frozen=True)
class PrunedStudent:
    """A float student with zeros that stay.

    Parameters
    ----------
    network
        Its layers and weights.
    history
        Of its training; ``None`` if nothing was to prune.
    record
        The stage's evidence; its metrics hold each layer's sparsity, asked and reached.
    """

    network: Network
    history: History | None
    record: Record

    def model(self) -> keras.Model:
        """A new float Keras model of it."""
        return build_float(self.network)


def prune_student(
    student: Student,
    teacher: Teacher,
    dataset: Dataset,
    settings: PruningSettings,
    distillation: DistillationSettings,
    *,
    seed: int = 0,
    progress: Progress = SILENT,
) -> PrunedStudent:
    """Prune the smallest weights of each kernel step by step while training goes on (Zhu and Gupta, arXiv:1710.01878).

    Parameters
    ----------
    student
        What is pruned; unchanged.
    teacher, distillation
        The student goes on learning with these soft targets, temperature and alpha.
    dataset
        What they were made with.
    settings
        Sparsity for all kernels and by layer, epochs, ramp.

    Raises
    ------
    SettingsError
        If `settings.layers` names an unknown layer, or a sparsity would leave a layer without a weight.
    TrainingError
        If the loss is not finite.
    """
    targets = sparsity_targets(student.network, settings)
    model = build_float(student.network)
    check_same_outputs(teacher, model.output_shape[-1])
    started = time.monotonic()
    parents = {"student": student.record.digest, "teacher": teacher.record.digest, "dataset": dataset.digest}
    history = None
    if any(targets.values()):
        make_reproducible(seed)
        kernels = {layer.name: layer.weights["kernel"] for layer in student.network.weight_layers}
        masks = hold_zeros(model, {name: kernel != 0 for name, kernel in kernels.items()})
        ramp = max(1, round(settings.ramp * settings.epochs))
        history = fit(
            model,
            DistillationLoss(distillation.alpha, distillation.temperature),
            *packed(dataset, teacher),
            settings,
            callbacks=[_Pruner(masks, targets, ramp)],
            keep_from=ramp - 1,
            progress=progress,
            what="pruning",
        )
    network = read_weights(student.network, model)
    layers = {
        layer.name: {"asked": targets[layer.name], "reached": float((layer.weights["kernel"] == 0).mean())}
        for layer in network.weight_layers
    }
    record = student_record(
        "pruning", network, model, dataset, settings, seed, parents, started, {"layers": layers}
    )
    return PrunedStudent(network, history, record)


def sparsity_targets(network: Network, settings: PruningSettings) -> dict[str, float]:
    """The sparsity to reach in each layer with weights.

    Raises
    ------
    SettingsError
        If `settings.layers` names an unknown layer, or a sparsity would leave a layer without a weight; all faults
        together.
    """
    sizes = {layer.name: layer.weights["kernel"].size for layer in network.weight_layers}
    targets = {name: settings.layers.get(name, settings.sparsity) for name in sizes}
    faults = [
        f"pruning.layers.{name}: the student has no such layer; its layers with weights are {', '.join(sizes)}"
        for name in settings.layers
        if name not in sizes
    ]
    faults += [
        f"pruning: a sparsity of {target:g} leaves none of the {sizes[name]} weights of layer {name!r}; set "
        f"pruning.layers.{name} to less"
        for name, target in targets.items()
        if round(target * sizes[name]) >= sizes[name]
    ]
    if faults:
        raise SettingsError(faults)
    return targets


class _Pruner(keras.callbacks.Callback):
    """Raises the sparsity along `1 - (1 - t)^3` and fixes the masks of the smallest magnitudes each epoch."""

    def __init__(self, masks: Mapping[str, keras.Variable], targets: Mapping[str, float], ramp: int) -> None:
        super().__init__()
        self.masks, self.targets, self.ramp = masks, targets, ramp

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch >= self.ramp:
            return
        progress = (epoch + 1) / self.ramp
        for name, mask in self.masks.items():
            kernel = self.model.get_layer(name).kernel
            values = keras.ops.convert_to_numpy(kernel)
            new = smallest_masked(values, self.targets[name] * (1 - (1 - progress) ** 3))
            mask.assign(new)
            kernel.assign(values * new)


def smallest_masked(kernel: np.ndarray, sparsity: float) -> np.ndarray:
    """A float32 mask in the kernel's shape, 0 at the smallest magnitudes; exactly `round(sparsity * size)` zeros.

    Weights that are zero already are the first to be masked; ties are broken by position.
    """
    mask = np.ones(kernel.size, dtype=np.float32)
    mask[np.argsort(np.abs(kernel), axis=None, kind="stable")[: round(sparsity * kernel.size)]] = 0
    return mask.reshape(kernel.shape)
