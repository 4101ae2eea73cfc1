"""Quantization-aware training: a QKeras student with the scan's formats goes on learning from the teacher."""

from __future__ import annotations

import time
from dataclasses import dataclass

import keras

from codesign.core.precision_map import PrecisionMap
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.data import Dataset
from codesign.networks.build import build_quantized, read_weights
from codesign.networks.describe import describe_quantized
from codesign.networks.description import Network
from codesign.networks.prepare import hardware_form, prepare_for_quantization
from codesign.settings import DistillationSettings, QuantizationSettings
from codesign.training.distill import check_same_outputs, packed, student_record
from codesign.training.fit import History, fit, make_reproducible
from codesign.training.losses import DistillationLoss
from codesign.training.masks import hold_zeros
from codesign.training.teacher import Teacher


@dataclass(frozen=True)
class QuantizedStudent:
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
    """

    network: Network
    precision: PrecisionMap
    history: History | None
    record: Record

    def model(self) -> keras.Model:
        """A new QKeras model of it."""
        return build_quantized(self.network, self.precision)

    def hardware(self) -> tuple[Network, PrecisionMap]:
        """What is converted: weights on their grids, formats in hardware form."""
        return hardware_form(self.network, self.precision)


def quantized_student_of(model: keras.Model) -> QuantizedStudent:
    """Take a QKeras model that was trained elsewhere as a student.

    Parameters
    ----------
    model
        Of supported layers with fixed-point quantizers; see `codesign.networks.describe.describe_quantized`.

    Raises
    ------
    ConversionError
        For a layer or a quantizer that cannot become hardware; every fault is named.
    """
    started = time.monotonic()
    network, precision = describe_quantized(model)
    on_grid, _ = hardware_form(network, precision)
    parents = {"network": network.digest, "precision": precision.digest}
    metrics = {"parameters": on_grid.n_parameters, "sparsity": on_grid.sparsity}
    seconds = time.monotonic() - started
    record = Record("quantization", {}, None, parents, on_grid.digest, metrics, seconds)
    return QuantizedStudent(network, precision, None, record)


def quantize_student(
    network: Network,
    precision: PrecisionMap,
    teacher: Teacher,
    dataset: Dataset,
    settings: QuantizationSettings,
    distillation: DistillationSettings,
    *,
    seed: int = 0,
    progress: Progress = SILENT,
) -> QuantizedStudent:
    """Fine-tune a student under quantization; zeros of its kernels stay exactly zero.

    Parameters
    ----------
    network
        A (pruned) student's network; batch normalisation is folded first.
    precision
        From the scan, or any map for the prepared network.
    teacher, distillation
        The student goes on learning with these soft targets, temperature and alpha.
    dataset
        What they were made with.
    settings
        Epochs, batch size, learning rate.

    Raises
    ------
    ConversionError
        If a format has no QKeras form.
    TrainingError
        If the loss is not finite.
    """
    started = time.monotonic()
    make_reproducible(seed)
    prepared = prepare_for_quantization(network)
    model = build_quantized(prepared, precision)
    check_same_outputs(teacher, model.output_shape[-1])
    hold_zeros(model, {layer.name: layer.weights["kernel"] != 0 for layer in prepared.weight_layers})
    history = fit(
        model,
        DistillationLoss(distillation.alpha, distillation.temperature),
        *packed(dataset, teacher),
        settings,
        progress=progress,
        what="quantization",
    )
    trained = read_weights(prepared, model)
    parents = {
        "student": network.digest,
        "precision": precision.digest,
        "teacher": teacher.record.digest,
        "dataset": dataset.digest,
    }
    extra = {"average_weight_bits": precision.average_bits("weight")}
    on_grid, _ = hardware_form(trained, precision)
    record = student_record(
        "quantization", on_grid, model, dataset, settings, seed, parents, started, extra, precision
    )
    return QuantizedStudent(trained, precision, history, record)
