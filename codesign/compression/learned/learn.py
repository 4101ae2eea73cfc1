"""Learning widths: one training, every point of its front a student that can be built."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from codesign.compression.learned.formats import network_of
from codesign.compression.learned.front import Front, Point, best, draw
from codesign.compression.learned.loop import Epochs, Loop, State
from codesign.compression.learned.values import LearnableNetwork, check_learnable
from codesign.compression.polish import fitted
from codesign.compression.pruning.dead import without_dead_units
from codesign.compression.quantize import QuantizedStudent
from codesign.core.files import json_digest, write_arrays
from codesign.core.precision_map import PrecisionMap
from codesign.core.progress import SILENT, Progress
from codesign.cost import estimate_luts, luts_by_layer
from codesign.data import Dataset
from codesign.errors import SettingsError, TrainingError
from codesign.networks.build import build_float, build_quantized
from codesign.networks.description import Network
from codesign.networks.logits import predict_logits
from codesign.networks.prepare import hardware_form, prepare_for_quantization
from codesign.networks.shapes import layer_shapes
from codesign.settings import DistillationSettings, LearnedSettings
from codesign.training.distill import check_same_outputs, student_record
from codesign.training.fit import make_reproducible
from codesign.training.lesson import make_lesson
from codesign.training.own import Own, OwnLoss
from codesign.training.teacher import Teacher

_METHOD = 4
"""Of the training, part of its key: a checkpoint or a front of another one is of no use."""
_CALIBRATIONS = 16
"""Times that alkaid says on the way what the price's units are worth."""
_DEAREST_CALIBRATION = 15_000
"""LUTs above which that would take alkaid longer than it is worth."""
_RESTORES = 3
_CHECKPOINT_SECONDS = 20.0
LIVE = ".png"
"""The suffix of the picture beside a checkpoint: the front on the way."""


def learn_widths(
    network: Network,
    teacher: Teacher,
    dataset: Dataset,
    settings: LearnedSettings,
    distillation: DistillationSettings,
    *,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    loss: OwnLoss | None = None,
    progress: Progress = SILENT,
) -> Front:
    """Train weights together with the widths of every weight and every result, at a rising price of LUTs.

    Parameters
    ----------
    network
        A student's network: a chain of dense layers, convolutions, ReLUs and the like (see `values.LEARNABLE`).
    teacher, distillation
        It learns from the teacher's logits all the way, with this temperature, alpha and form.
    dataset
        Its validation part says which epochs are kept, its test part is only measured.
    settings
        Steps, batch, learning rate, prices.
    checkpoint
        A file that an interrupted training goes on from, if it is there, and beside it a picture of the front so far; both
        are written every 20 seconds and removed at the end.
    seed
        Of the order of the samples.
    loss
        A loss of your own on `(targets, outputs)`, added to what is learnt; outputs are logits. It is compiled, so it must be
        made of `keras.ops`. Callbacks and metrics there are none: many epochs are one compiled call.
    progress
        Told after every few epochs.

    Returns
    -------
    Front
        Its LUTs are alkaid's (`codesign.cost.estimate_luts`), its qualities those of the emulated hardware.

    Raises
    ------
    SettingsError
        For layers whose widths cannot be learned, terms of the loss on layers, a checkpoint of another training, or a loss of
        your own that cannot be compiled or has a checkpoint, which could not tell it from others.
    TrainingError
        If no epoch gives a network that depends on its inputs.
    """
    if loss is not None and checkpoint is not None:
        raise SettingsError(
            "checkpoint: cannot tell a training with a loss of your own from others; leave checkpoint or loss out"
        )
    make_reproducible(seed)
    prepared = prepare_for_quantization(network)
    check_learnable(prepared)
    check_logits_alone(distillation)
    model = build_float(prepared)
    check_same_outputs(teacher, model.output_shape[-1])
    lesson = make_lesson(model, teacher, dataset, distillation, own=Own(loss=loss))
    learnable = LearnableNetwork(
        prepared,
        dataset.x_train,
        digits=settings.price_of == "digits",
        alike=settings.result_widths == "tensor",
    )
    loop = Loop(learnable, lesson, settings, seed)
    key = training_key(network, teacher, dataset, settings, distillation, seed)
    run = _Training(loop, dataset, key, None if checkpoint is None else Path(checkpoint), progress)
    try:
        run.train()
    except tf.errors.OpError as error:
        if loss is None:
            raise
        reason = str(error).splitlines()[0][:200]
        raise SettingsError(
            f"loss: cannot be compiled with the training of widths ({reason}); compute it by keras.ops"
        ) from error
    points = _measured(learnable, run.points, dataset, progress)
    if not points:
        raise TrainingError(
            "learned widths: no epoch gave a network that depends on its inputs; lower quantization.learned.last_price or "
            "train for more steps"
        )
    reference = dataset.task.quality(dataset.y_validation, predict_logits(model, dataset.x_validation))
    if run.checkpoint is not None:
        for left in (run.checkpoint, run.checkpoint.with_suffix(LIVE)):
            left.unlink(missing_ok=True)
    return Front(tuple(points), reference, dataset.task.measure, key)


def check_logits_alone(distillation: DistillationSettings) -> None:
    """Refuse terms on layers, whose features a network with learnt widths has not: `SettingsError`."""
    if any(term.teacher_layer is not None for term in distillation.terms):
        raise SettingsError(
            "quantization.method: learned learns from the teacher's logits, not from layers; take the terms with "
            "teacher_layer out of distillation.terms, or use the method scan"
        )


def training_key(
    network: Network,
    teacher: Teacher,
    dataset: Dataset,
    settings: LearnedSettings,
    distillation: DistillationSettings,
    seed: int,
) -> str:
    """SHA-256 of all that a front depends on; which of its points is built is not part of it."""
    plain = settings.model_dump(mode="json", exclude={"budget_luts", "quality_loss", "latency_ns"})
    parts = [network.digest, teacher.record.digest, dataset.digest]
    return json_digest([*parts, plain, distillation.model_dump(mode="json"), seed, _METHOD])


def student_at(
    network: Network, front: Front, point: Point, dataset: Dataset, settings: LearnedSettings
) -> QuantizedStudent:
    """The student of one point of a front.

    Parameters
    ----------
    network
        What the training began with.
    front
        The front that the record is to hold.
    point
        One of its points.
    dataset
        What it was trained on.
    settings
        How.
    """
    prepared = prepare_for_quantization(network)
    found = network_of(LearnableNetwork(prepared, dataset.x_train), point.snapshot)
    assert found is not None  # a point that cannot be built is not on a front
    built, precision = found
    built, dead = without_dead_units(built, hardware_form(built, precision)[0])
    built, precision = fitted(built, precision)
    on_grid, formats = hardware_form(built, precision)
    extra: dict[str, Any] = {
        "average_weight_bits": precision.average_bits("weight"),
        "dead_units_removed": dead,
        "weights_removed": on_grid.weights_removed(prepared),
        "estimated_luts": luts_of(built, precision),
        "front": [one.row for one in front.points],
    }
    record = student_record(on_grid, build_quantized(built, precision), dataset, extra, formats)
    return QuantizedStudent(built, precision, None, record)


def luts_of(network: Network, precision: PrecisionMap) -> float:
    """The LUTs of a network as alkaid estimates them."""
    return estimate_luts(layer_shapes(network), precision, network.kernels, network.biases)


def _measured(
    learnable: LearnableNetwork, candidates: list[Point], dataset: Dataset, progress: Progress
) -> list[Point]:
    """The candidates at what alkaid says they cost, and of these the front."""
    measured = []
    for number, point in enumerate(candidates, 1):
        found = network_of(learnable, point.snapshot)
        if found is not None and (luts := luts_of(*found)) > 0:
            logits = [
                learnable.compute(point.snapshot, {}, point.snapshot, part.astype(np.float32)).logits.numpy()
                for part in (dataset.x_validation, dataset.x_test)
            ]
            quality, test = (
                dataset.task.quality(y, z)
                for y, z in zip((dataset.y_validation, dataset.y_test), logits, strict=True)
            )
            measured.append(replace(point, luts=luts, quality=quality, test_quality=test))
        progress.step("front", number, len(candidates))
    return best(measured)


class _Training:
    """The training call by call: calibration, the front so far, collapses, checkpoints."""

    def __init__(
        self, loop: Loop, dataset: Dataset, key: str, checkpoint: Path | None, progress: Progress
    ) -> None:
        self.loop, self.dataset, self.key = loop, dataset, key
        self.checkpoint, self.progress = checkpoint, progress
        self.points: list[Point] = []
        names = [layer.name for layer in loop.network.network.weight_layers]
        self.factors = dict.fromkeys(names, 1.0)
        self.call, self.restores, self.gentleness = 0, 0, 1.0
        self.state = loop.begin()
        self.good: State = self.state
        self._resume()

    def train(self) -> None:
        """Run all calls that are left."""
        every = max(self.loop.calls // _CALIBRATIONS, 1)
        saved = time.monotonic()
        while self.call < self.loop.calls:
            state, epochs = self.loop.run(self.call, self.state, self.factors, self.gentleness)
            qualities = self._qualities(epochs)
            self._keep(epochs, qualities)
            self.call += 1
            if self._collapsed(epochs, qualities):
                self.restores += 1
                self.gentleness /= 2
                self.state = self.good
                if self.restores > _RESTORES:
                    break
            else:
                self.state = self.good = state
            if self.call % every == 0 or self.call == 1:
                self._calibrate(epochs)
            if self.checkpoint is not None and time.monotonic() - saved > _CHECKPOINT_SECONDS:
                self._save()
                saved = time.monotonic()
            luts = sum(self.factors[name] * float(price[-1]) for name, price in epochs.prices.items())
            note = f"about {luts:,.0f} LUTs, validation {qualities[-1]:.4f}"
            self.progress.step("learned widths", self.call, self.loop.calls, note)

    def _qualities(self, epochs: Epochs) -> list[float]:
        task, targets = self.dataset.task, self.dataset.y_validation
        finite = np.isfinite(epochs.logits).all(axis=(1, 2))
        return [
            task.quality(targets, logits) if fine else -math.inf
            for logits, fine in zip(epochs.logits, finite, strict=True)
        ]

    def _keep(self, epochs: Epochs, qualities: list[float]) -> None:
        luts = sum(self.factors[name] * price for name, price in epochs.prices.items())
        first = self.call * len(qualities)
        new = [
            Point(quality, float(cost), first + number, {})
            for number, (quality, cost) in enumerate(
                zip(qualities, np.broadcast_to(luts, len(qualities)), strict=True)
            )
            if math.isfinite(quality)
        ]
        kept = [point for point in best([*self.points, *new]) if not point.snapshot]
        taken = [replace(point, snapshot=_row(epochs, point.epoch - first)) for point in kept]
        # what cannot be built must not take the place of what can
        built = [point for point in taken if network_of(self.loop.network, point.snapshot) is not None]
        self.points = best([*self.points, *built])

    def _collapsed(self, epochs: Epochs, qualities: list[float]) -> bool:
        """Whether no epoch of a call is better than a guess, as earlier ones were, or its loss no number."""
        if not np.isfinite(epochs.loss).all():
            return True
        top = max((point.quality for point in self.points), default=-math.inf)
        return is_collapse(max(qualities), top, self.dataset.task.guess(self.dataset.y_validation))

    def _calibrate(self, epochs: Epochs) -> None:
        """Ask alkaid what the last epoch's layers cost for their price."""
        found = network_of(self.loop.network, _row(epochs, -1))
        about = sum(self.factors[name] * float(price[-1]) for name, price in epochs.prices.items())
        if found is None or about > _DEAREST_CALIBRATION:
            return
        network, precision = found
        luts = luts_by_layer(layer_shapes(network), precision, network.kernels, network.biases)
        for name, price in epochs.prices.items():
            if price[-1] > 0 and luts[name] > 0:
                now = min(max(luts[name] / float(price[-1]), 0.2), 2.0)
                self.factors[name] = math.sqrt(self.factors[name] * now)

    def _save(self) -> None:
        assert self.checkpoint is not None
        arrays = {f"state|{name}": value for name, value in self.state.arrays().items()}
        for number, point in enumerate(self.points):
            arrays |= {f"point{number}|{name}": value for name, value in point.snapshot.items()}
        numbers = [[point.quality, point.luts, point.epoch] for point in self.points]
        arrays["points"] = np.array(numbers).reshape(-1, 3)
        arrays["factors"] = np.array(list(self.factors.values()))
        arrays["progress"] = np.array([self.call, self.restores, self.gentleness])
        arrays["key"] = np.array(self.key)
        write_arrays(self.checkpoint, arrays)
        draw(self.checkpoint.with_suffix(LIVE), self.points, self.dataset.task.measure)

    def _resume(self) -> None:
        if self.checkpoint is None or not self.checkpoint.is_file():
            return
        try:
            with np.load(self.checkpoint, allow_pickle=False) as kept:
                arrays = {name: kept[name] for name in kept.files}
            key = str(arrays["key"])
        except (OSError, ValueError, KeyError) as error:
            raise SettingsError(
                f"the checkpoint {self.checkpoint} is damaged ({type(error).__name__}); remove it to train from the beginning"
            ) from error
        if key != self.key:
            raise SettingsError(
                f"the checkpoint {self.checkpoint} is of another network, data or settings; remove it to train from the "
                "beginning"
            )
        call, restores, self.gentleness = arrays["progress"].tolist()
        self.call, self.restores = int(call), int(restores)
        self.factors = dict(zip(self.factors, arrays["factors"].tolist(), strict=True))
        self.state = self.good = State.of(_under(arrays, "state|"))
        self.points = [
            Point(quality, luts, int(epoch), _under(arrays, f"point{number}|"))
            for number, (quality, luts, epoch) in enumerate(arrays["points"].tolist())
        ]


def is_collapse(quality: float, top: float, guess: float) -> bool:
    """Whether a quality fell back to a guess, of a network that had reached `top`: nothing will come of what follows."""
    return top > guess and quality <= guess + 0.05 * (top - guess)


def _row(epochs: Epochs, number: int) -> dict[str, np.ndarray]:
    return {name: rows[number].copy() for name, rows in epochs.snapshots.items()}


def _under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
