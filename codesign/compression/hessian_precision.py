"""Widths from second derivatives (HAWQ): traces, sensitivities and costs of every choice, then the integer program."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, get_args

import numpy as np

from codesign.compression.hessian import Loss, activation_errors, hessian_traces
from codesign.compression.sensitivity import (
    Sensitivity,
    TensorName,
    check_widths,
    sensitivities,
    weight_errors,
    with_tensor_width,
)
from codesign.compression.width_program import CostTerm, WidthChoice, choose_widths, least_cost
from codesign.core.precision_map import PrecisionMap
from codesign.core.progress import SILENT, Progress
from codesign.core.target import IoType
from codesign.cost import INPUT, LayerShape, bops_of, estimate_luts, weight_bits_of
from codesign.cost.luts import result_formats, used_outputs
from codesign.errors import SettingsError
from codesign.networks.build import build_float
from codesign.networks.description import Network
from codesign.networks.shapes import layer_shapes

BudgetUnit = Literal["bops", "weight_bits", "luts"]
_UNIT_NAMES = {"bops": "BOPs", "weight_bits": "weight bits", "luts": "LUTs"}


class HessianWidths:
    """The widths of one network under any budget: sensitivities and costs are computed once.

    Parameters
    ----------
    network
        Prepared for quantization (`prepare_for_quantization`), so that its layers are those of the map.
    loss
        `loss(y, logits)`: the task's or the distillation loss.
    x, y
        Calibration samples and their targets, shapes `(n_samples, ...)`; some thousands are enough.
    precision
        Integer bits and modes of every tensor, from calibration; widths that are not chosen here stay.
    unit
        What a budget counts.
    widths
        Widths for each kernel, 2 to 16 bits.
    activation_widths
        Widths for each activation that a layer multiplies with; ``None`` keeps the map's. Under a budget of BOPs or
        LUTs the best maps come from choosing these too.
    input_widths
        Widths for the network's input; ``None`` keeps the map's.
    samples, seed, relative_error
        Of the traces, see `hessian_traces`.

    Attributes
    ----------
    rows
        The sensitivity of each tensor whose width is chosen.
    terms
        What the widths cost.

    Raises
    ------
    SettingsError
        If the map lacks a format, or for another unit.
    TrainingError
        If the loss or its derivatives are not finite.
    """

    def __init__(
        self,
        network: Network,
        loss: Loss,
        x: np.ndarray,
        y: np.ndarray,
        precision: PrecisionMap,
        unit: BudgetUnit,
        *,
        widths: Sequence[int] = range(2, 17),
        activation_widths: Sequence[int] | None = None,
        input_widths: Sequence[int] | None = None,
        samples: int = 256,
        seed: int = 0,
        relative_error: float | None = 0.05,
        progress: Progress = SILENT,
    ) -> None:
        if unit not in get_args(BudgetUnit):
            raise SettingsError(f"unit: must be one of {', '.join(get_args(BudgetUnit))}, not {unit!r}")
        shapes = layer_shapes(network)
        kernels = {layer.name: layer.weights["kernel"] for layer in network.weight_layers}
        chosen = check_widths(widths)
        model = build_float(network, side_by_side=True)
        traces = partial(
            hessian_traces,
            model,
            loss,
            x,
            y,
            samples=samples,
            seed=seed,
            relative_error=relative_error,
            progress=progress,
        )
        rows = sensitivities(traces(), weight_errors(kernels, precision, chosen))
        sources = dict.fromkeys(source for shape in shapes for source in shape.sources)
        inputs = {INPUT, *(port.name for port in network.inputs)}
        for what, some_widths, layers in (
            ("input_widths", input_widths, [source for source in sources if source in inputs]),
            ("activation_widths", activation_widths, [source for source in sources if source not in inputs]),
        ):
            if some_widths is not None and layers:
                errors = activation_errors(model, x, precision, check_widths(some_widths, what), layers)
                rows += sensitivities(traces(tensor="result", layers=layers), errors)
        self.unit: BudgetUnit = unit
        self.rows: tuple[Sensitivity, ...] = rows
        self.terms = _terms(unit, shapes, precision, network, rows)

    def choose(self, limit: float) -> WidthChoice:
        """The widths that keep the loss lowest within a budget; `SettingsError` says the smallest feasible one."""
        return choose_widths(self.rows, self.terms, limit, unit=_UNIT_NAMES[self.unit])

    def least_cost(self) -> float:
        """What the cheapest widths cost: the smallest feasible budget."""
        return least_cost(self.rows, self.terms)


def _terms(
    unit: BudgetUnit,
    shapes: Sequence[LayerShape],
    precision: PrecisionMap,
    network: Network,
    rows: Sequence[Sensitivity],
) -> tuple[CostTerm, ...]:
    kernels = {layer.name: layer.weights["kernel"] for layer in network.weight_layers}
    if unit == "bops":
        return bops_terms(shapes, precision, kernels, rows)
    if unit == "weight_bits":
        return weight_bit_terms(shapes, precision, rows)
    biases = {layer.name: layer.weights["bias"] for layer in network.weight_layers if "bias" in layer.weights}
    return lut_terms(shapes, precision, kernels, rows, biases=biases)


def weight_bit_terms(
    shapes: Sequence[LayerShape], precision: PrecisionMap, rows: Sequence[Sensitivity]
) -> tuple[CostTerm, ...]:
    """Bits of the stored kernels, zeros included.

    Parameters
    ----------
    shapes
        The network's layers.
    precision
        Formats of the tensors that have no row.
    rows
        The tensors whose widths are to be chosen.
    """
    return tuple(
        _term(
            shape, [(shape.name, "weight")], rows, precision, lambda one, trial: weight_bits_of([one], trial)
        )
        for shape in shapes
    )


def bops_terms(
    shapes: Sequence[LayerShape],
    precision: PrecisionMap,
    kernels: Mapping[str, np.ndarray],
    rows: Sequence[Sensitivity],
) -> tuple[CostTerm, ...]:
    """BOPs of each layer for each pair of weight and activation widths (see `codesign.cost.bops_of`).

    Parameters
    ----------
    shapes
        The network's layers.
    precision
        Integer bits and modes of all tensors, and widths of those that have no row.
    kernels
        The kernels by layer; zeros are counted after rounding to each width.
    rows
        The tensors whose widths are to be chosen.
    """
    return tuple(
        _term(shape, _factors(shape), rows, precision, lambda one, trial: bops_of([one], trial, kernels))
        for shape in shapes
    )


def lut_terms(
    shapes: Sequence[LayerShape],
    precision: PrecisionMap,
    kernels: Mapping[str, np.ndarray],
    rows: Sequence[Sensitivity],
    *,
    biases: Mapping[str, np.ndarray] | None = None,
    io_type: IoType = "io_parallel",
) -> tuple[CostTerm, ...]:
    """Estimated LUTs of each layer for each choice of weight, input and result widths.

    A layer is estimated by itself (see `codesign.cost.estimate_luts`): outputs that no weight reads cost nothing,
    but limits that a layer before it narrows are not known, so the sum is an estimate from above of the estimate of
    the whole network. Each combination is solved once and takes about 0.1 s for a layer of 64 x 32 weights: give few
    widths where activations are chosen too.

    Parameters
    ----------
    shapes
        The network's layers.
    precision
        Integer bits and modes of all tensors, and widths of those that have no row.
    kernels, biases
        By layer, in Keras' layout.
    rows
        The tensors whose widths are to be chosen.
    io_type
        As in `estimate_luts`.
    """
    used = used_outputs(shapes, kernels)

    def luts(shape: LayerShape, trial: PrecisionMap) -> float:
        kernel = {shape.name: _masked(shape, kernels[shape.name], used)}
        return estimate_luts([shape], trial, kernel, biases, io_type=io_type)

    terms = []
    for shape in shapes:
        results: list[TensorName] = [(name, "result") for name in result_formats(shape, precision)]
        terms.append(_term(shape, [*_factors(shape), *results], rows, precision, luts))
    return tuple(terms)


def _factors(shape: LayerShape) -> list[TensorName]:
    """The tensors that a layer multiplies."""
    return [(shape.name, "weight"), *((source, "result") for source in shape.sources)]


def _masked(shape: LayerShape, kernel: np.ndarray, used: Mapping[str, np.ndarray]) -> np.ndarray:
    """The kernel with zeros for the outputs that no later weight reads."""
    mask = used[shape.name]
    return kernel * (mask.reshape(kernel.shape[-2:]) if shape.per_channel and kernel.ndim > 1 else mask)


def _term(
    shape: LayerShape,
    tensors: Sequence[TensorName],
    rows: Sequence[Sensitivity],
    precision: PrecisionMap,
    cost: Callable[[LayerShape, PrecisionMap], float],
) -> CostTerm:
    """A layer's cost at every combination of the widths of those `tensors` that have a row."""
    chosen = {row.name: row for row in rows}
    free = [name for name in dict.fromkeys(tensors) if name in chosen]
    values = np.empty([len(chosen[name].widths) for name in free])
    for indices in itertools.product(*(range(size) for size in values.shape)):
        trial = precision
        for name, index in zip(free, indices, strict=True):
            trial = with_tensor_width(trial, name, chosen[name].widths[index])
        values[indices] = cost(shape, trial)
    return CostTerm(tuple(free), values)
