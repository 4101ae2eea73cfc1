"""What pruning asks of each layer along its schedule, what it reached, and why it stopped short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from codesign.core.shown import Brief
from codesign.errors import SettingsError
from codesign.networks.description import Network
from codesign.settings import PruningSettings


class SkipReason(StrEnum):
    """Why a layer was not pruned, or less than asked."""

    NOT_ASKED = "nothing was asked of it"
    LESS_THAN_ONE = "the fraction is less than one unit"
    LAST_UNITS = "what is left stays: without it the network would be cut through"
    OUTPUT = "its outputs are the network's"
    SHARED = "an addition or a concatenation reads its outputs"
    RESHAPED = "a reshape gives its outputs other places"
    DEPTHWISE = "its channels are those of the layer before it"
    NO_REUSE = "a depthwise convolution has no reuse blocks"
    IN_QUANTIZATION = "it is pruned inside the quantization-aware training"


@dataclass(frozen=True)
class LayerOutcome(Brief):
    """What became of one layer.

    Parameters
    ----------
    asked
        The fraction to remove; ``None`` where one budget holds for the whole network.
    reached
        The fraction removed: of its weights, or of its neurons or filters.
    kept
        Why it is less than asked; ``None`` if it is not.
    details
        Numbers of the method, for example units before and after, or estimated costs.
    """

    asked: float | None
    reached: float
    kept: SkipReason | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form, for records."""
        kept = None if self.kept is None else str(self.kept)
        return {"asked": self.asked, "reached": self.reached, "kept": kept, **self.details}


def sparsity_targets(network: Network, settings: PruningSettings) -> dict[str, float]:
    """The sparsity to reach in each layer with weights.

    Raises
    ------
    SettingsError
        If `settings.layers` names an unknown layer, or a sparsity would leave a layer without a weight; all faults
        together.
    """
    sizes = {layer.name: layer.weights["kernel"].size for layer in network.weight_layers}
    return checked_targets(sizes, settings, "weights")


def checked_targets(sizes: Mapping[str, int], settings: PruningSettings, units: str) -> dict[str, float]:
    """The fraction of each layer's units to remove; `sizes` is how many it has. The errors are `sparsity_targets`'."""
    targets = {name: settings.layers.get(name, settings.sparsity) for name in sizes}
    faults = [
        f"pruning.layers.{name}: the student has no such layer; its layers with {units} are {', '.join(sizes)}"
        for name in settings.layers
        if name not in sizes
    ]
    if settings.method == "hardware":
        pass  # a fraction of the cost, not of what the layers have
    elif settings.scope == "global":
        total = sum(sizes.values())
        if round(settings.sparsity * total) > total - len(sizes):
            faults.append(
                f"pruning.sparsity: {settings.sparsity:g} of the {total} {units} leaves less than one for each of the "
                f"{len(sizes)} layers; set it to less"
            )
    else:
        faults += [
            f"pruning: a sparsity of {target:g} leaves none of the {sizes[name]} {units} of layer {name!r}; set "
            f"pruning.layers.{name} to less"
            for name, target in targets.items()
            if round(target * sizes[name]) >= sizes[name]
        ]
    if faults:
        raise SettingsError(faults)
    return targets


def scheduled(target: float, progress: float, schedule: str) -> float:
    """The fraction that is removed at a point of the schedule.

    Parameters
    ----------
    target
        The fraction at the end.
    progress
        0 to 1.
    schedule
        ``polynomial``: `target (1 - (1 - progress)^3)` (Zhu and Gupta, arXiv:1710.01878, eq. 1); ``iterative``: the
        same share of what is left at every step, `1 - (1 - target)^progress` (Frankle and Carbin,
        arXiv:1803.03635, section 1); ``one_shot``: the target.
    """
    if schedule == "polynomial":
        return target * (1 - (1 - progress) ** 3)
    if schedule == "iterative":
        return 1 - (1 - target) ** progress
    return target


def weight_outcomes(network: Network, targets: Mapping[str, float] | None) -> dict[str, LayerOutcome]:
    """What each layer's weights came to; without targets there was one budget for all."""
    outcomes = {}
    for layer in network.weight_layers:
        kernel = layer.weights["kernel"]
        reached = float((kernel == 0).mean())
        asked = None if targets is None else targets[layer.name]
        kept = None
        if asked == 0:
            kept = SkipReason.NOT_ASKED
        elif asked is not None and round(asked * kernel.size) == 0:
            kept = SkipReason.LESS_THAN_ONE
        elif asked is None and np.count_nonzero(kernel) == 1:
            kept = SkipReason.LAST_UNITS
        outcomes[layer.name] = LayerOutcome(asked, reached, kept)
    return outcomes
