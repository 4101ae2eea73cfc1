"""A precision map from second derivatives (HAWQ): traces, sensitivities and the integer program in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np

from codesign.compression.hessian import Loss, activation_errors, hessian_traces
from codesign.compression.sensitivity import Sensitivity, check_widths, sensitivities, weight_errors
from codesign.compression.width_costs import bops_terms, lut_terms, weight_bit_terms
from codesign.compression.width_program import CostTerm, choose_widths
from codesign.core.precision_map import PrecisionMap
from codesign.core.progress import SILENT, Progress
from codesign.cost import INPUT, LayerShape
from codesign.errors import SettingsError
from codesign.networks.build import build_float
from codesign.networks.description import Network
from codesign.networks.shapes import layer_shapes

BudgetUnit = Literal["bops", "weight_bits", "luts"]
_UNIT_NAMES = {"bops": "BOPs", "weight_bits": "weight bits", "luts": "LUTs"}


@dataclass(frozen=True)
class Budget:
    """How much the chosen widths may cost.

    Parameters
    ----------
    limit
        The largest cost for one sample, above 0.
    unit
        `bops`, `weight_bits` (bits of all kernels) or `luts` (estimated).

    Raises
    ------
    SettingsError
        For another unit, or a limit that is not above 0.
    """

    limit: float
    unit: BudgetUnit = "bops"

    def __post_init__(self) -> None:
        faults = []
        if self.unit not in get_args(BudgetUnit):
            faults.append(f"budget.unit: must be one of {', '.join(get_args(BudgetUnit))}, not {self.unit!r}")
        if not 0 < self.limit < float("inf"):
            faults.append(f"budget.limit: must be a number above 0, not {self.limit!r}")
        if faults:
            raise SettingsError(faults)


def hessian_aware_precision(
    network: Network,
    loss: Loss,
    x: np.ndarray,
    y: np.ndarray,
    precision: PrecisionMap,
    budget: Budget,
    *,
    widths: Sequence[int] = range(2, 17),
    activation_widths: Sequence[int] | None = None,
    input_widths: Sequence[int] | None = None,
    samples: int = 256,
    seed: int = 0,
    relative_error: float | None = 0.05,
    progress: Progress = SILENT,
) -> PrecisionMap:
    """Choose the widths that keep the loss lowest, to second order, within a budget.

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
    budget
        What the network may cost.
    widths
        Widths for each kernel, 2 to 16 bits.
    activation_widths
        Widths for each activation that a layer multiplies with; ``None`` keeps the map's. Under a budget of BOPs or
        LUTs the best maps come from choosing these too.
    input_widths
        Widths for the network's input; ``None`` keeps the map's.
    samples, seed, relative_error
        Of the traces, see `hessian_traces`.

    Returns
    -------
    PrecisionMap
        `precision` with the chosen widths; biases and outputs keep theirs.

    Raises
    ------
    SettingsError
        If no choice meets the budget (says the smallest feasible one), or the map lacks a format.
    TrainingError
        If the loss or its derivatives are not finite.
    """
    shapes = layer_shapes(network)
    kernels = {layer.name: layer.weights["kernel"] for layer in network.weight_layers}
    chosen = check_widths(widths)
    model = build_float(network)
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
    for what, some_widths, layers in (
        ("input_widths", input_widths, [INPUT]),
        ("activation_widths", activation_widths, [source for source in sources if source != INPUT]),
    ):
        if some_widths is not None and layers:
            errors = activation_errors(model, x, precision, check_widths(some_widths, what), layers)
            rows += sensitivities(traces(tensor="result", layers=layers), errors)
    terms = _terms(budget.unit, shapes, precision, network, rows)
    return choose_widths(rows, terms, budget.limit, unit=_UNIT_NAMES[budget.unit]).apply(precision)


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
