"""Quantization-aware training: a QKeras student with the scan's formats goes on learning from the teacher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np

from codesign.compression.phases import Phases, budget, check_rounds
from codesign.compression.polish import polish_student
from codesign.compression.prune import check_pruning, rewound
from codesign.compression.pruning.dead import without_dead_units
from codesign.compression.pruning.masked import concatenate_histories
from codesign.compression.pruning.targets import weight_outcomes
from codesign.compression.scan_source import AnyStudent, as_student
from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import PrecisionMap
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.core.shown import ShownStudent
from codesign.data import Dataset
from codesign.errors import SettingsError
from codesign.networks.build import build_quantized, missing_formats, needed_formats, read_weights
from codesign.networks.description import Network
from codesign.networks.exact import build_exact, exceeds_float32, float64_outputs
from codesign.networks.loading import load_model
from codesign.networks.logits import BATCH_SIZE, ending_in_logits, predict_logits
from codesign.networks.prepare import hardware_form, prepare_for_quantization
from codesign.networks.read_keras import read_keras, read_qkeras
from codesign.settings import DistillationSettings, PruningSettings, QuantizationSettings
from codesign.training.distill import check_same_outputs, student_record
from codesign.training.fit import History, make_reproducible
from codesign.training.lesson import check_terms
from codesign.training.own import Own, OwnLoss, OwnMetrics
from codesign.training.teacher import Teacher, as_teacher


@dataclass(frozen=True)
class QuantizedStudent(ShownStudent):
    """A student with number formats.

    Parameters
    ----------
    network
        Folded, with explicit quantization points; its weights are the float values behind the quantized ones.
    precision
        The formats.
    history
        Of its training; ``None`` for a model that was trained elsewhere.
    record
        The stage's evidence.
    given
        The user's own model, or the file of it: what everything is compared with. ``None`` where there is none but this, or
        where the hardware computes other numbers on purpose, as the record then says (`differs_from_given`).
    """

    network: Network
    precision: PrecisionMap
    history: History | None
    record: Record
    given: keras.Model | Path | None = None

    @property
    def given_name(self) -> str:
        """What the reference of the equality ladder is called."""
        if self.given is None:
            return "the student in float64" if self.is_wide else "QKeras"
        name = "the model's own file" if isinstance(self.given, Path) else "the given model"
        return f"{name} in float64" if self.is_wide else name

    @property
    def is_wide(self) -> bool:
        """Whether its sums may exceed float32, in which QKeras computes: then it is compared in float64."""
        return exceeds_float32(self.network, self.precision)

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """What must come out for inputs on the input grid: logits of the user's own model where there is one.

        float32, or float64 where the student's sums exceed float32.
        """
        if self.given is None:
            return predict_logits(self.model(), x)
        model = load_model(self.given, "the student") if isinstance(self.given, Path) else self.given
        ends = ending_in_logits(model)
        return float64_outputs(ends, x, BATCH_SIZE) if self.is_wide else predict_logits(ends, x)

    def on_grid(self, x: np.ndarray) -> np.ndarray:
        """Samples `(n_samples, *input_shape)` on the grids of the inputs."""
        return self.precision.quantize_inputs(self.network.inputs, x)

    def model(self) -> keras.Model:
        """A new Keras model of it: QKeras', or where its sums may exceed float32, in which QKeras computes, one in float64."""
        if self.is_wide:
            return build_exact(self.network, self.precision)
        return self.qkeras()

    def qkeras(self) -> keras.Model:
        """A new QKeras model of it, to be trained, saved and shared."""
        return build_quantized(self.network, self.precision)

    def hardware(self) -> tuple[Network, PrecisionMap]:
        """What is converted: weights on their grids, formats in hardware form."""
        return hardware_form(self.network, self.precision)


def quantized_student_of(
    model: keras.Model, x: np.ndarray | None = None, *, input_format: FixedPoint | None = None
) -> QuantizedStudent:
    """Take a QKeras model that was trained elsewhere as a student.

    Parameters
    ----------
    model
        Of supported layers with fixed-point quantizers; see `codesign.networks.read_keras.read_qkeras`.
    x
        Inputs `(n_samples, *input_shape)` on which the student is compared with the model, to the last bit, on its input
        grid; random ones without.
    input_format
        The format of the inputs, for a model that does not quantize them itself.

    Raises
    ------
    ConversionError
        For a layer or a quantizer that cannot become hardware, every fault named; or if the student computes other numbers
        than the model.
    """
    read = read_qkeras(model, x, input_format=input_format)
    on_grid, _ = hardware_form(read.network, read.precision)
    metrics: dict[str, Any] = {"parameters": on_grid.n_parameters, "sparsity": on_grid.sparsity}
    if read.changes:
        metrics["differs_from_given"] = list(read.changes)
    record = Record.of(on_grid.digest, metrics)
    return QuantizedStudent(read.network, read.precision, None, record, None if read.changes else model)


def as_quantized(student: QuantizedStudent | keras.Model, dataset: Dataset) -> QuantizedStudent:
    """A student as it is, or a trained QKeras model as one; see `quantized_student_of`."""
    if isinstance(student, keras.Model):
        return quantized_student_of(student, dataset.x_test)
    return student


def float_student_with(
    model: keras.Model, precision: PrecisionMap, x: np.ndarray | None = None
) -> QuantizedStudent:
    """Give a trained float model number formats and train no further.

    Parameters
    ----------
    model
        As for `codesign.networks.read_keras.read_keras`.
    precision
        The formats that `scan_bit_widths` chose for this very model.
    x
        Inputs `(n_samples, *input_shape)` on which the network that is read is compared with the model.

    Raises
    ------
    ConversionError
        For a layer that cannot become hardware.
    SettingsError
        If the map's layers or tensors are not those of the model.
    """
    prepared = prepare_for_quantization(read_keras(model, x))
    faults = missing_formats(prepared, precision)
    known = needed_formats(prepared)
    faults += [
        f"layers.{layer}.{tensor}: the model has no such tensor; give the map that codesign scan chose for {model.name!r}"
        for layer, tensor, _ in precision.items()
        if tensor != "accum" and (layer, tensor) not in known
    ]
    if faults:
        raise SettingsError(faults, "precision map")
    on_grid, _ = hardware_form(prepared, precision)
    metrics = {
        "parameters": on_grid.n_parameters,
        "sparsity": on_grid.sparsity,
        "average_weight_bits": precision.average_bits("weight"),
    }
    return QuantizedStudent(prepared, precision, None, Record.of(on_grid.digest, metrics))


def quantize_student(
    network: Network | AnyStudent | keras.Model,
    precision: PrecisionMap,
    teacher: Teacher | keras.Model,
    dataset: Dataset,
    settings: QuantizationSettings,
    distillation: DistillationSettings,
    *,
    pruning: PruningSettings | None = None,
    early: Mapping[str, Network] | None = None,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    loss: OwnLoss | None = None,
    metrics: OwnMetrics = MappingProxyType({}),
    progress: Progress = SILENT,
) -> QuantizedStudent:
    """Fine-tune a student under quantization; zeros of its kernels stay exactly zero.

    Neurons and filters that no output depends on any more, once the weights are on their grids, are removed.

    With `pruning` that is `inside` quantization, weights are removed in rounds of this training: quantization-aware
    pruning, by fine-tuning or to a lottery ticket (Hawks et al., arXiv:2102.11289, section 4). With epochs of
    self-study and co-study it is QKD (Kim et al., arXiv:1911.12491). With `settings.polish` signed digits of the weights
    are dropped afterwards (`codesign.compression.polish.polish_student`).

    Parameters
    ----------
    network
        A (pruned) student or its network, or a trained float Keras model; batch normalisation is folded first.
    precision
        From the scan, or any map for the prepared network.
    teacher, distillation
        The student goes on learning with these soft targets, temperature, alpha and terms.
    dataset
        What they were made with.
    settings
        Epochs of each phase, batch size, learning rate.
    pruning
        Prune here if it says so; its epochs and learning rate do not count, those of `settings` do.
    early
        The student's early weights, for pruning that rewinds.
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
    ConversionError
        If a format has no QKeras form.
    SettingsError
        If widths are to be learned instead, phases (co-study with something of your own), rounds or sparsities cannot be,
        the early weights are of another network, or pruning leaves no path through the network.
    TrainingError
        If the loss is not finite.
    """
    if settings.method == "learned":
        raise SettingsError(
            "quantization.method: learned is no training with given formats, and has no callbacks and metrics; call "
            "codesign.compression.learned.learn.learn_widths, which takes a loss, or run the design"
        )
    if not isinstance(network, Network):
        network = as_student(network, dataset).network
    teacher = as_teacher(teacher, dataset)
    pruning = pruning if pruning is not None and pruning.inside == "quantization" else None
    rewind_to = None if pruning is None else _checked_rewind(network, settings, pruning, early or {})
    make_reproducible(seed)
    prepared = prepare_for_quantization(network)
    model = build_quantized(prepared, precision, side_by_side=True)
    check_same_outputs(teacher, model.output_shape[-1])
    names = [layer.name for layer in prepared.weight_layers]
    renamed = _folded_names(network)
    check_terms(model, teacher.model, distillation, renamed)
    own = Own(callbacks, loss, metrics)
    phases = Phases(model, names, teacher, dataset, settings, distillation, renamed, own, progress)
    phases.study()
    if pruning is None:
        phases.tutor()
    else:
        phases.tutor_pruned(prepared, pruning, rewind_to and prepare_for_quantization(rewind_to))
    trained = read_weights(prepared, model)
    on_grid, _ = hardware_form(trained, precision)
    extra: dict[str, Any] = {"average_weight_bits": precision.average_bits("weight")}
    if len(phases.rows) > 1:
        extra["phases"] = phases.rows
    if pruning is not None:
        outcomes = weight_outcomes(on_grid, budget(prepared, pruning))
        extra["layers"] = {name: outcome.to_dict() for name, outcome in outcomes.items()}
    trained, extra["dead_units_removed"] = without_dead_units(trained, on_grid)
    on_grid, formats = hardware_form(trained, precision)
    extra["weights_removed"] = on_grid.weights_removed(prepared)
    record = student_record(on_grid, model, dataset, extra, formats)
    student = QuantizedStudent(trained, precision, concatenate_histories(phases.histories), record)
    if settings.polish is None:
        return student
    polished = polish_student(
        student,
        teacher,
        dataset,
        settings.polish,
        distillation,
        renamed=renamed,
        seed=seed,
        callbacks=callbacks,
        loss=loss,
        metrics=metrics,
        progress=progress,
    )
    return one_stage(student, polished, prepared)


def one_stage(student: QuantizedStudent, polished: QuantizedStudent, prepared: Network) -> QuantizedStudent:
    """The polished student with the figures of its quantization, and its own over them."""
    first, second = student.record, polished.record
    dead = Counter(first.metrics["dead_units_removed"]) + Counter(second.metrics["dead_units_removed"])
    metrics = {
        **first.metrics,
        **second.metrics,
        "dead_units_removed": dict(dead),
        "weights_removed": polished.hardware()[0].weights_removed(prepared),
    }
    if "estimated_luts" in metrics:
        metrics["estimated_luts"] = metrics["polish"]["luts_after"]
    return replace(polished, record=Record.of(second.digest, metrics))


def _checked_rewind(
    network: Network, settings: QuantizationSettings, pruning: PruningSettings, early: Mapping[str, Network]
) -> Network | None:
    """The network that pruning rewinds to, if any; `SettingsError` for all that would end the training later."""
    check_rounds(settings, pruning)
    check_pruning(network, pruning)
    rewind_to = rewound(early, pruning)
    if rewind_to is not None and _shapes(rewind_to) != _shapes(network):
        raise SettingsError(
            "pruning.rewind: the early weights are of another network than this student, which was pruned before; "
            "prune it in one place only, or set rewind: none"
        )
    return rewind_to


def _shapes(network: Network) -> dict[str, tuple[int, ...]]:
    return {layer.name: layer.weights["kernel"].shape for layer in network.weight_layers}


def _folded_names(network: Network) -> dict[str, str]:
    """The layers that took in a normalisation, by its name: a hint's layer may be named after either."""
    return {layer.name: layer.inputs[0] for layer in network.layers if layer.row.role == "norm"}
