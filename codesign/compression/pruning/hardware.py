"""Hardware-aware pruning: what goes is what matters least for what it costs on the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from codesign.compression.pruning.choose import Masks, scheduled
from codesign.compression.pruning.dead import UselessWeights
from codesign.compression.pruning.outcome import Kept, LayerOutcome
from codesign.compression.pruning.scores import unit_sums
from codesign.compression.pruning.target_cost import Costs, TargetCost
from codesign.networks.description import Network
from codesign.settings import PruningSettings

_CLOSE = 1.01  # the estimate may be above the target by this factor at the end
_MOST_STEPS = 6
_CAREFUL = (
    0.9  # the part of what is missing that one step takes: neurons that die save more than their weights
)


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
        outcomes = {layer.name: LayerOutcome(None, 0.0, Kept.NO_REUSE) for layer in network.weight_layers}
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
    return LayerOutcome(None, reached, Kept.LAST_UNITS if len(live) == 1 else None, details)
