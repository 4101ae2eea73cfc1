"""Hardware-aware pruning within a budget of LUTs or multipliers: what goes matters least for what it costs.

A layer with the strategy `latency` or `distributed_arithmetic` (and every layer of the open RTL) is a network of
adders, whose LUTs `codesign.cost` estimates. A layer with the strategy `resource` or `unrolled` has multipliers that
each work off `reuse_factor` weights in turn: one is saved only when all its weights are zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from codesign.compression.formats import measure_ranges, precision_of, uniform_widths
from codesign.compression.pruning.dead import UselessWeights
from codesign.compression.pruning.scores import Masks, unit_sums
from codesign.compression.pruning.targets import LayerOutcome, SkipReason, scheduled
from codesign.core.precision_map import PrecisionMap
from codesign.core.shown import Brief
from codesign.core.target import IoType
from codesign.cost import luts_by_layer
from codesign.networks.description import Network
from codesign.networks.prepare import prepare_for_quantization
from codesign.networks.shapes import layer_shapes
from codesign.settings import HardwareSettings, PruningSettings

CostUnit = Literal["LUT", "multiplier"]

_SHARING = ("resource", "unrolled")
_CLOSE = 1.01  # the estimate may be above the target by this factor at the end
_MOST_STEPS = 6
_CAREFUL = (
    0.9  # the part of what is missing that one step takes: neurons that die save more than their weights
)


@dataclass(frozen=True)
class Costs(Brief):
    """What layers of one kind cost now.

    Parameters
    ----------
    by_layer
        Estimated LUTs, or multipliers with a weight that is not zero.
    savings
        By layer and unit: about how much less it costs without the unit; 0 for a unit that is gone.
    """

    by_layer: Mapping[str, float]
    savings: Mapping[str, np.ndarray]

    @property
    def total(self) -> float:
        """Of all its layers."""
        return sum(self.by_layer.values())


@dataclass(frozen=True)
class ShiftAddCost(Brief):
    """LUTs of layers whose constants become shifts and additions; a unit is a weight.

    Parameters
    ----------
    layers
        The layers.
    units
        By layer, in the kernel's shape: each weight's own number.
    bits
        Assumed width of every tensor: the scan chooses the widths after pruning.
    io_type
        Under `io_parallel` a convolution is built once for each position.
    calibration
        Inputs for the ranges.
    """

    layers: tuple[str, ...]
    units: Mapping[str, np.ndarray]
    bits: int
    io_type: IoType
    calibration: np.ndarray = field(repr=False)
    unit: CostUnit = "LUT"

    def measure(self, network: Network) -> Costs:
        """Estimate the LUTs of a network's layers, each weight's part of them by its signed digits.

        An adder tree costs nearly the same for every non-zero digit of its constants (canonical signed digits): on
        16-64-32-32-5 at 8 bits 5.6 to 8.6 LUTs in every layer from no to 80 % sparsity.
        """
        prepared = prepare_for_quantization(network)
        precision = assumed_precision(prepared, self.calibration, self.bits)
        kernels = {layer.name: layer.weights["kernel"] for layer in prepared.weight_layers}
        biases = {
            layer.name: layer.weights["bias"] for layer in prepared.weight_layers if "bias" in layer.weights
        }
        luts = luts_by_layer(layer_shapes(prepared), precision, kernels, biases, io_type=self.io_type)
        savings = {}
        for name in self.layers:
            formats = precision[name]
            assert formats.weight is not None
            digits = signed_digits(formats.weight.to_integers(kernels[name])).astype(np.float64)
            # a weight that rounds to zero costs nothing, but may have to go so that no training brings it back
            digits = np.where((digits == 0) & (kernels[name] != 0), 0.5, digits)
            savings[name] = (digits * luts[name] / max(digits.sum(), 1.0)).ravel()
        return Costs({name: luts[name] for name in self.layers}, savings)


@dataclass(frozen=True)
class MultiplierCost(Brief):
    """Multipliers of layers that share them; a unit is all that one multiplier works off.

    hls4ml leaves out a multiplier whose weights are all zero under the strategy `unrolled`; its `resource` kernel keeps
    the multiplier, and the tool can at best find it idle.

    Parameters
    ----------
    layers
        The layers.
    units
        By layer, in the kernel's shape: the number of the multiplier.
    """

    layers: tuple[str, ...]
    units: Mapping[str, np.ndarray]
    unit: CostUnit = "multiplier"

    def measure(self, network: Network) -> Costs:
        """Count the multipliers that a network's layers need."""
        savings = {}
        for name in self.layers:
            used = network[name].weights["kernel"] != 0
            savings[name] = (np.bincount(self.units[name].ravel(), used.ravel()) > 0).astype(np.float64)
        return Costs({name: float(saved.sum()) for name, saved in savings.items()}, savings)


TargetCost = ShiftAddCost | MultiplierCost


def target_costs(
    network: Network, hardware: HardwareSettings, bits: int, calibration: np.ndarray
) -> tuple[TargetCost, ...]:
    """What the layers of a network cost on a target: those of each kind together.

    Parameters
    ----------
    network
        The student.
    hardware
        Strategies and reuse factors, for all layers and by layer.
    bits
        Assumed width of every tensor.
    calibration
        Inputs for the ranges.
    """
    adding: dict[str, np.ndarray] = {}
    sharing: dict[str, np.ndarray] = {}
    for layer in network.weight_layers:
        kernel = layer.weights["kernel"]
        own = hardware.layers.get(layer.name)
        strategy = (own.strategy if own else None) or hardware.strategy
        reuse = (own.reuse_factor if own else None) or hardware.reuse_factor
        if strategy not in _SHARING:
            adding[layer.name] = np.arange(kernel.size).reshape(kernel.shape)
        elif not layer.row.per_channel:
            sharing[layer.name] = multiplier_of_weights(kernel.shape, reuse)
    costs: list[TargetCost] = []
    if adding:
        costs.append(ShiftAddCost(tuple(adding), adding, bits, hardware.io_type, calibration))
    if sharing:
        costs.append(MultiplierCost(tuple(sharing), sharing))
    return tuple(costs)


def multiplier_of_weights(shape: Sequence[int], reuse_factor: int) -> np.ndarray:
    """Which multiplier works off which weight in hls4ml's kernels that share multipliers.

    Parameters
    ----------
    shape
        Of a dense kernel `(n_in, n_out)` or a convolution's `(*window, n_in, n_out)`.
    reuse_factor
        How many weights a multiplier has.

    Returns
    -------
    numpy.ndarray
        int64, in the kernel's shape. hls4ml 1.3 puts the outputs first and gives each multiplier `reuse_factor`
        weights that follow each other (`dense_resource_rf_leq_nin` and `_gt_nin_rem0` in `nnet_dense_resource.h`; the
        generator of `unrolled` counts zero multipliers so).
    """
    n_out = shape[-1]
    count = int(np.prod(shape))
    by_output = np.arange(count).reshape(n_out, count // n_out) // reuse_factor
    return by_output.T.reshape(shape)


def signed_digits(codes: np.ndarray) -> np.ndarray:
    """How many digits of each integer are not zero in canonical signed-digit form.

    The digits are 0, +1 and -1, and no two beside each other are not zero: the fewest that represent the integer.
    `n` and `3 n` differ in exactly as many bits (Prodinger, "On binary representations of integers with digits -1, 0,
    1", Integers 0, 2000).
    """
    magnitude = np.abs(codes.astype(np.int64))
    return np.bitwise_count((magnitude ^ (3 * magnitude)).astype(np.uint64)).astype(np.int64)


def assumed_precision(prepared: Network, calibration: np.ndarray, bits: int) -> PrecisionMap:
    """Formats of one width for a prepared network, with integer bits from the ranges on a calibration set."""
    return precision_of(prepared, measure_ranges(prepared, calibration), uniform_widths(prepared, bits))


class HardwareSelector:
    """Masks units by their score for each LUT or multiplier that they save, until the cost is down to its budget.

    The knapsack of Ramhorst et al., arXiv:2308.05170, section 3: of all weights, keep those of the greatest worth whose
    cost fits the budget. Costs are small against the budget, so that taking units in the order of worth for cost
    is as good as an integer program. LUTs of an adder tree are no sum over its weights: they are estimated anew
    after each step.

    Parameters
    ----------
    score
        The weights' scores by layer, as the model is when called.
    current
        The student's network as it is now.
    costs
        What its layers cost, by kind; each kind has a budget of its own.
    settings
        Sparsity (of the cost), schedule.
    """

    def __init__(
        self,
        score: Callable[[], Mapping[str, np.ndarray]],
        current: Callable[[], Network],
        costs: tuple[TargetCost, ...],
        settings: PruningSettings,
    ) -> None:
        self.score, self.current, self.costs, self.settings = score, current, costs, settings
        network = current()
        self.useless = UselessWeights(network)
        self.before = [cost.measure(network) for cost in costs]

    def __call__(self, held: Masks, progress: float) -> Masks:
        """The masks at a point of the schedule; the last point is held to the estimate."""
        fraction = scheduled(self.settings.sparsity, progress, self.settings.schedule)
        scores = comparable(self.score(), self.settings.score)
        masks = {name: mask.copy() for name, mask in held.items()}
        steps = _MOST_STEPS if progress >= 1 else 1
        for cost, before in zip(self.costs, self.before, strict=True):
            target = (1 - fraction) * before.total
            for step in range(steps):
                now = cost.measure(masked(self.current(), masks))
                missing = now.total - target
                if missing <= (_CLOSE - 1) * target:
                    break
                useless = self.useless(masks)
                used = {name: np.where(useless[name], 0.0, scores[name]) for name in cost.layers}
                of_units = unit_sums(used, cost.units)
                careful = _CAREFUL if cost.unit == "LUT" and step < steps - 1 else 1.0
                remove_cheapest(masks, of_units, now.savings, careful * missing, cost)
        self.useless.check_connected(masks)
        return masks

    def outcomes(self, network: Network) -> dict[str, LayerOutcome]:
        """What each layer's cost came to; layers without a cost of their own say why."""
        outcomes = {
            layer.name: LayerOutcome(None, 0.0, SkipReason.NO_REUSE) for layer in network.weight_layers
        }
        for cost, before in zip(self.costs, self.before, strict=True):
            after = cost.measure(network)
            for name in cost.layers:
                outcomes[name] = _outcome(cost, before, after, name, network)
        return outcomes


def comparable(scores: Mapping[str, np.ndarray], name: str) -> Mapping[str, np.ndarray]:
    """Scores that can be compared across layers and summed over units.

    Saliencies are parts of one loss already. Magnitudes are squared and divided by their layer's sum: what part of the
    layer's energy goes.
    """
    if name != "magnitude":
        return scores
    squares = {layer: values.astype(np.float64) ** 2 for layer, values in scores.items()}
    return {layer: values / max(values.sum(), 1e-300) for layer, values in squares.items()}


def masked(network: Network, masks: Masks) -> Network:
    """The network with its kernels multiplied by masks."""
    return network.with_kernels(
        {name: network[name].weights["kernel"] * mask for name, mask in masks.items()}
    )


def remove_cheapest(
    masks: Masks,
    scores: Mapping[str, np.ndarray],
    savings: Mapping[str, np.ndarray],
    wanted: float,
    cost: TargetCost,
) -> None:
    """Mask the units of the lowest score for what they save until `wanted` is saved; every layer keeps its best unit.

    Parameters
    ----------
    masks
        Changed in place.
    scores, savings
        Of the units, by layer.
    wanted
        In the unit of the savings.
    cost
        Which weights a unit has.
    """
    names = list(cost.layers)
    layer_of = np.concatenate([np.full(len(savings[name]), index) for index, name in enumerate(names)])
    unit_of = np.concatenate([np.arange(len(savings[name])) for name in names])
    saved = np.concatenate([savings[name] for name in names])
    score = np.concatenate([scores[name] for name in names])
    alive = saved > 0
    for index in range(len(names)):
        best = np.flatnonzero((layer_of == index) & alive)
        if len(best):
            alive[best[np.argmax(score[best])]] = False
    candidates = np.flatnonzero(alive)
    order = candidates[np.argsort(score[candidates] / saved[candidates], kind="stable")]
    reached = np.cumsum(saved[order])
    count = min(len(order), int(np.searchsorted(reached, wanted)) + 1)
    for index, name in enumerate(names):
        gone = unit_of[order[:count]][layer_of[order[:count]] == index]
        masks[name][np.isin(cost.units[name], gone)] = 0


def _outcome(cost: TargetCost, before: Costs, after: Costs, name: str, network: Network) -> LayerOutcome:
    kernel = network[name].weights["kernel"]
    live = np.unique(cost.units[name][kernel != 0])
    reached = 1 - after.by_layer[name] / before.by_layer[name] if before.by_layer[name] else 0.0
    details = {
        "cost_unit": cost.unit,
        "cost_before": before.by_layer[name],
        "cost_after": after.by_layer[name],
        "sparsity": float((kernel == 0).mean()),
    }
    return LayerOutcome(None, reached, SkipReason.LAST_UNITS if len(live) == 1 else None, details)
