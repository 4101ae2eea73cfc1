"""Polishing a quantized student: signed digits of its weights go, one by one, where they cost least for what they save.

A weight that is a constant costs an adder for each signed digit (`codesign.cost`), so the cheapest weights are single
powers of two. A digit is dropped exactly: what is left is a value of the kernel's format. Biases end half-way between two
values of their sums' grid, so that rounding costs no adder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from codesign.compression.pruning.budget import signed_digits
from codesign.compression.pruning.dead import without_dead_units
from codesign.compression.pruning.masked import concatenate_histories
from codesign.compression.pruning.scores import HessianScores
from codesign.core.fixed_point import FLOAT32_BITS, FixedPoint
from codesign.core.precision_map import PrecisionMap, WeightWidths
from codesign.core.progress import SILENT, Progress
from codesign.cost import estimate_luts, luts_by_layer
from codesign.data import Dataset
from codesign.networks.build import build_quantized, kernel_variable, read_weights, value_formats
from codesign.networks.description import Network
from codesign.networks.logits import predict_logits
from codesign.networks.prepare import hardware_form
from codesign.networks.shapes import layer_shapes
from codesign.settings import DistillationSettings, PolishSettings
from codesign.training.distill import student_record
from codesign.training.fit import History, make_reproducible
from codesign.training.lesson import make_lesson
from codesign.training.objectives import objective_of
from codesign.training.own import Own, OwnLoss, OwnMetrics
from codesign.training.teacher import Teacher

if TYPE_CHECKING:
    from codesign.compression.quantize import QuantizedStudent

Codes = NDArray[np.int64]

_CHANCES = 3
"""Trainings of a round before it is undone: what a first one does not recover, a second often does."""

_SMALLEST_STEP = 0.1
"""Of the step that the settings name: below it no further round is tried."""


def polish_student(
    student: QuantizedStudent,
    teacher: Teacher,
    dataset: Dataset,
    settings: PolishSettings,
    distillation: DistillationSettings,
    *,
    renamed: Mapping[str, str] | None = None,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    loss: OwnLoss | None = None,
    metrics: OwnMetrics = MappingProxyType({}),
    progress: Progress = SILENT,
) -> QuantizedStudent:
    """Drop signed digits of a quantized student's weights while it goes on learning, as long as it keeps its quality.

    Parameters
    ----------
    student
        Unchanged. Weights with widths of their own are values of their tensor's format from here on.
    teacher, distillation
        What it goes on learning with.
    dataset
        The digits that matter least are found on its train part, the quality that must be kept on its validation part.
    settings
        Tolerance, rounds, step, training between.
    renamed
        Student layers that have another name than in the distillation's terms.
    seed
        Of the order of the samples.
    callbacks
        Keras callbacks of your own; they are told of epochs, not of steps.
    loss
        A loss of your own on `(targets, outputs)`, added to what is learnt; outputs are logits.
    metrics
        By name, `(targets, outputs) -> number`: measured on the validation part after each epoch
        (`history.measured`).
    progress
        Told after every round.

    Returns
    -------
    QuantizedStudent
        Its kernels are values on their grids, in the narrowest format that holds them, with a width for each weight
        (`LayerPrecision.weight_widths`). If no round keeps the quality, its weights are those of the given student.

    Raises
    ------
    TrainingError
        If the loss is not finite.

    Notes
    -----
    The order is that of `h d^2 / 2` for the LUTs saved, with the change `d` of a weight and the diagonal `h` of the
    Hessian (LeCun et al., Optimal Brain Damage, 1989); LUTs are a layer's estimate shared by its digits.
    """
    make_reproducible(seed)
    begin = _measured(student.network, student.precision, dataset)
    polisher = _Polisher(student, dataset, settings)
    own = Own(callbacks, loss, metrics)
    lesson = make_lesson(polisher.model, teacher, dataset, distillation, renamed=renamed, own=own)
    least, measured = begin.quality - settings.tolerance, f"validation_{dataset.task.measure}"
    best, kept = begin, _on_grid(student.network, student.precision)
    rows: list[dict[str, Any]] = []
    histories: list[History] = []
    step = settings.step
    data = lesson.ready(settings)
    for number in range(1, settings.rounds + 1):
        undo = polisher.state()
        if not polisher.drop(step):
            break
        trainings: list[History] = []
        for _ in range(_CHANCES):
            trainings.append(lesson.fit(settings, what=f"polish {number}", data=data))
            form = polisher.form()
            now = _measured(*form, dataset)
            holds = now.quality >= least
            if holds:
                break
        rows.append({"luts": now.luts, measured: now.quality, "step": step, "kept": holds})
        note = f"{now.luts:,.0f} LUTs, validation {now.quality:.4f}{'' if holds else ': undone'}"
        progress.step("polish", number, settings.rounds, note)
        if holds:
            best, kept = now, form
            histories += trainings
            continue
        polisher.restore(undo)
        step /= 2
        if step < _SMALLEST_STEP * settings.step:
            break
    progress.step("polish", settings.rounds, settings.rounds, f"{begin.luts:,.0f} to {best.luts:,.0f} LUTs")
    network, dead = without_dead_units(kept[0], hardware_form(*kept)[0])
    network, precision = fitted(network, kept[1])
    on_grid, formats = hardware_form(network, precision)
    extra = {
        "average_weight_bits": precision.average_bits("weight"),
        "dead_units_removed": dead,
        "polish": {
            "luts_before": begin.luts,
            "luts_after": _measured(network, precision, dataset).luts,
            f"{measured}_before": begin.quality,
            "rounds": rows,
        },
    }
    model = build_quantized(network, precision)
    record = student_record(on_grid, model, dataset, extra, formats)
    before = [student.history] if student.history is not None else []
    history = concatenate_histories([*before, *histories]) if before or histories else None
    return replace(student, network=network, precision=precision, history=history, record=record)


def with_digits(codes: Codes, digits: Codes) -> Codes:
    """The integers that are left of `codes` with at most so many signed digits each, the largest first.

    Each digit is the power of two nearest to what the digits before it leave, of two as near the larger; so many digits
    are the fewest that a number needs, those of its canonical form.
    """
    most = int(digits.max(initial=0))
    kept = _cut(codes.astype(np.float32), digits.astype(np.float32), most)
    return np.asarray(ops.convert_to_numpy(kept), np.int64)


def fitted(network: Network, precision: PrecisionMap) -> tuple[Network, PrecisionMap]:
    """The network with its kernels on their grids, and the narrowest signed formats and widths that hold exactly these."""
    network, precision = _on_grid(network, precision)
    layers = dict(precision.layers)
    for layer in network.weight_layers:
        formats, kernel = layers[layer.name], layer.weights["kernel"]
        narrow = FixedPoint.narrowest(kernel, widest=64)
        assert formats.weight is not None
        assert narrow is not None
        narrow = narrow.with_modes(formats.weight.rounding, formats.weight.overflow)
        widths = _needed_widths(narrow, narrow.to_integers(kernel))
        layers[layer.name] = replace(formats, weight=narrow, weight_widths=WeightWidths.of(widths))
    return network, replace(precision, layers=layers)


def with_free_rounding(network: Network, precision: PrecisionMap) -> tuple[Network, PrecisionMap]:
    """The network with biases half-way between two values of their sums' grid, in formats that hold exactly these.

    No sum then lies half-way between two results, and rounding to the nearest is another bias and dropping bits
    (`codesign.rtl.cast`). Of dense layers and convolutions whose sums a point rounds; a bias moves by less than the sums'
    last bit, and stays where QKeras' float32 could not compute the sums exactly.
    """
    formats, layers, biases = value_formats(network, precision), dict(precision.layers), {}
    for layer in network.weight_layers:
        own, given, point = layers[layer.name], formats[layer.inputs[0]], network.point_behind(layer.name)
        result = None if point is None else formats[point]
        if not layer.row.matrix or own.weight is None or own.bias is None or given is None or result is None:
            continue
        codes = own.weight.to_integers(layer.weights["kernel"]).reshape(-1, len(layer.weights["bias"]))
        live = codes.any(axis=0)
        last = np.where(codes == 0, np.iinfo(np.int64).max, codes & -codes).min(axis=0)
        step = np.where(live, last, 1) * own.weight.step * given.step
        given_bias = layer.weights["bias"].astype(np.float64)
        between = (np.floor(given_bias / step) + 0.5) * step
        rounds = live & (step < result.step) & result.rounding.startswith("RND")
        bias = np.where(rounds, between, own.bias.quantize(given_bias))
        reach = np.abs(codes).sum(axis=0) * own.weight.step * max(-given.minimum, given.maximum)
        format_ = FixedPoint.narrowest(bias)
        if format_ is not None and (reach + np.abs(bias) < 2.0**FLOAT32_BITS * step / 2)[rounds].all():
            biases[layer.name] = bias
            layers[layer.name] = replace(own, bias=format_)
    moved = network.map_layers(
        lambda layer: layer.with_weights(bias=biases[layer.name]) if layer.name in biases else layer
    )
    return moved, replace(precision, layers=layers)


def _on_grid(network: Network, precision: PrecisionMap) -> tuple[Network, PrecisionMap]:
    """Kernels as the values that are built, and their formats alone."""
    built = hardware_form(network, precision)[0]
    kernels = {layer.name: built[layer.name].weights["kernel"] for layer in network.weight_layers}
    layers = {name: replace(layer, weight_widths=None) for name, layer in precision.layers.items()}
    return network.with_kernels(kernels), replace(precision, layers=layers)


def _needed_widths(precision: FixedPoint, codes: Codes) -> Codes:
    """The least width of each weight that still has its value; 0 for zero."""
    kept = precision.width - _trailing_zeros(np.where(codes == 0, 1, codes))
    return np.where(codes == 0, 0, kept)


def _trailing_zeros(codes: Codes) -> Codes:
    """Of integers that are not zero."""
    return np.bitwise_count(((codes & -codes) - 1).astype(np.uint64)).astype(np.int64)


@dataclass(frozen=True)
class _Measured:
    """What a state of the student reaches."""

    quality: float
    luts: float


def _measured(network: Network, precision: PrecisionMap, dataset: Dataset) -> _Measured:
    logits = predict_logits(build_quantized(network, precision), dataset.x_validation)
    luts = estimate_luts(layer_shapes(network), precision, network.kernels, network.biases)
    return _Measured(dataset.task.quality(dataset.y_validation, logits), luts)


def _cut(codes: Any, digits: Any, most: int) -> Any:
    """Keep so many signed digits of whole numbers in a float32 tensor; no number may keep more than `most`."""
    # a power 2^e is the nearest to what lies from 0.75 2^e to 1.5 2^e
    powers = np.concatenate([[0.0], 2.0 ** np.arange(FLOAT32_BITS)]).astype(np.float32)
    thresholds = np.float32(0.75) * powers[1:]
    rest, kept = ops.convert_to_tensor(codes), ops.zeros_like(codes)
    for number in range(most):
        size = ops.reshape(ops.abs(rest), (-1,))
        place = ops.reshape(ops.searchsorted(thresholds, size, side="right"), ops.shape(rest))
        digit = ops.sign(rest) * ops.take(powers, place)
        kept = kept + ops.where(digits > number, digit, ops.zeros_like(digit))
        rest = rest - digit
    return kept


class _DigitQuantizer:
    """QKeras' quantizer of a kernel, followed by dropping digits; gradients pass straight through."""

    def __init__(self, quantizer: Any, precision: FixedPoint, digits: Codes, name: str) -> None:
        self.quantizer, self.step = quantizer, precision.step
        self.most = max(int(digits.max(initial=0)), 1)
        self.digits = keras.Variable(digits.astype(np.float32), trainable=False, name=f"{name}_digits")

    def __call__(self, kernel: Any) -> Any:
        values = self.quantizer(kernel)
        # a power of two as a step: both divisions are exact
        cut = _cut(values / self.step, self.digits.value, self.most) * self.step
        return values + ops.stop_gradient(cut - values)


class _Polisher:
    """The student's model with digits that may be dropped, trained in place."""

    def __init__(self, student: QuantizedStudent, dataset: Dataset, settings: PolishSettings) -> None:
        self.student = student
        self.model = build_quantized(student.network, student.precision, side_by_side=True)
        self.names = [layer.name for layer in student.network.weight_layers]
        self.quantizers: dict[str, _DigitQuantizer] = {}
        # a digit more than the format has at its upper end: of 2 bits 1 and -2, but a power of two is one digit
        self.formats = {name: _one_wider(student.precision[name].weight) for name in self.names}
        for name in self.names:
            layer, weight = self.model.get_layer(name), student.precision[name].weight
            assert weight is not None
            which = "depthwise" if hasattr(layer, "depthwise_kernel") else "kernel"
            kernel = ops.convert_to_numpy(kernel_variable(layer))
            digits = signed_digits(weight.to_integers(weight.quantize(kernel)))
            inner = getattr(layer, f"{which}_quantizer_internal")
            self.quantizers[name] = _DigitQuantizer(inner, weight, digits, name)
            setattr(layer, f"{which}_quantizer_internal", self.quantizers[name])
        count = min(settings.saliency_samples, len(dataset.x_train))
        objective = objective_of(dataset.task, int(self.model.output_shape[-1]))
        self.scores = HessianScores(
            self.model, self.names, dataset.x_train[:count], objective, settings.temperature
        )

    def state(self) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """All that a round changes."""
        digits = {name: ops.convert_to_numpy(one.digits) for name, one in self.quantizers.items()}
        return self.model.get_weights(), digits

    def restore(self, state: tuple[list[np.ndarray], dict[str, np.ndarray]]) -> None:
        """Undo a round."""
        weights, digits = state
        self.model.set_weights(weights)
        for name, values in digits.items():
            self.quantizers[name].digits.assign(values)

    def form(self) -> tuple[Network, PrecisionMap]:
        """The student as it is now: kernels on their grids, biases between two values of the sums' grids."""
        network = read_weights(self.student.network, self.model).with_kernels(self._kernels())
        layers = {
            name: layer.replaced("weight", self.formats[name]) if name in self.formats else layer
            for name, layer in self.student.precision.layers.items()
        }
        return with_free_rounding(network, replace(self.student.precision, layers=layers))

    def drop(self, part: float) -> bool:
        """Drop the digits that matter least until about a part of the LUTs is saved; false if there are none."""
        network, precision = self.form()
        luts = luts_by_layer(layer_shapes(network), precision, network.kernels, network.biases)
        curvature = self.scores.diagonal()
        cut, lost, saved = {}, [], []
        for name, kernel in self._kernels().items():
            format_ = self.formats[name]
            codes = format_.to_integers(kernel)
            digits = signed_digits(codes)
            cut[name] = digits
            fewer = with_digits(codes, np.maximum(digits - 1, 0))
            change = (codes - fewer) * format_.step
            each = luts[name] / max(int(digits.sum()), 1)
            lost.append(
                np.where(digits > 0, 0.5 * curvature[name] * change**2 / max(each, 1e-9), np.inf).ravel()
            )
            saved.append(np.full(digits.size, each))
        order = np.argsort(np.concatenate(lost), kind="stable")
        worth = np.cumsum(np.concatenate(saved)[order])
        live = int(np.isfinite(np.concatenate(lost)).sum())
        count = min(live, int(np.searchsorted(worth, part * sum(luts.values()))) + 1)
        gone = np.zeros(len(order), np.int64)
        gone[order[:count]] = 1
        start = 0
        for name, digits in cut.items():
            fewer = digits - gone[start : start + digits.size].reshape(digits.shape)
            self.quantizers[name].digits.assign(fewer.astype(np.float32))
            start += digits.size
        return count > 0

    def _kernels(self) -> dict[str, np.ndarray]:
        """The values that the layers multiply with."""
        return {
            name: np.asarray(ops.convert_to_numpy(one(kernel_variable(self.model.get_layer(name)))))
            for name, one in self.quantizers.items()
        }


def _one_wider(precision: FixedPoint | None) -> FixedPoint:
    """With an integer bit more: fewer digits of the largest number may be the power of two above it."""
    assert precision is not None
    return replace(precision, width=precision.width + 1, integer_bits=precision.integer_bits + 1)
