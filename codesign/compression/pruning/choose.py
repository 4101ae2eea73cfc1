"""Which weights go: sparsities along a schedule, and masks of the lowest scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from codesign.compression.pruning.outcome import Kept, LayerOutcome
from codesign.errors import SettingsError
from codesign.networks.description import Network
from codesign.settings import PruningSettings

Masks = dict[str, np.ndarray]
"""By layer, float32 in the kernel's shape: 1 keeps, 0 removes."""


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


def smallest_masked(kernel: np.ndarray, sparsity: float) -> np.ndarray:
    """A float32 mask in the kernel's shape, 0 at the smallest magnitudes; exactly `round(sparsity * size)` zeros.

    Weights that are zero already are the first to be masked; ties are broken by position.
    """
    return lowest_masked(np.abs(kernel), np.ones_like(kernel), sparsity)


def lowest_masked(scores: np.ndarray, held: np.ndarray, sparsity: float) -> np.ndarray:
    """A float32 mask, 0 at the lowest scores, of exactly `round(sparsity * size)` zeros.

    Parameters
    ----------
    scores
        How much each weight matters, 0 or more.
    held
        The mask so far: what is masked stays masked before anything else goes.
    sparsity
        The fraction of zeros.
    """
    mask = np.ones(scores.size, dtype=np.float32)
    order = np.argsort(np.where(held == 0, -1.0, scores), axis=None, kind="stable")
    mask[order[: round(sparsity * scores.size)]] = 0
    return mask.reshape(scores.shape)


def lowest_of_all_masked(
    scores: Mapping[str, np.ndarray], held: Mapping[str, np.ndarray], sparsity: float
) -> Masks:
    """Masks of the lowest scores of all layers together; every layer keeps its highest.

    Parameters
    ----------
    scores, held
        By layer, as `lowest_masked` takes them.
    sparsity
        The fraction of zeros among all weights; less is reached only if every layer is down to one weight.
    """
    names = list(scores)
    flat = np.concatenate([np.where(held[name] == 0, -1.0, scores[name]).ravel() for name in names])
    sizes = [scores[name].size for name in names]
    starts = np.cumsum([0, *sizes[:-1]])
    # ranked after everything else: a layer without a weight cuts the network through
    last = [
        start + int(np.argmax(flat[start : start + size])) for start, size in zip(starts, sizes, strict=True)
    ]
    order = np.argsort(flat, kind="stable")
    order = order[~np.isin(order, last)]
    mask = np.ones(flat.size, dtype=np.float32)
    mask[order[: round(sparsity * flat.size)]] = 0
    return {
        name: mask[start : start + size].reshape(scores[name].shape)
        for name, start, size in zip(names, starts, sizes, strict=True)
    }


def weight_outcomes(network: Network, targets: Mapping[str, float] | None) -> dict[str, LayerOutcome]:
    """What each layer's weights came to; without targets there was one budget for all."""
    outcomes = {}
    for layer in network.weight_layers:
        kernel = layer.weights["kernel"]
        reached = float((kernel == 0).mean())
        asked = None if targets is None else targets[layer.name]
        kept = None
        if asked == 0:
            kept = Kept.NOT_ASKED
        elif asked is not None and round(asked * kernel.size) == 0:
            kept = Kept.LESS_THAN_ONE
        elif asked is None and np.count_nonzero(kernel) == 1:
            kept = Kept.LAST_UNITS
        outcomes[layer.name] = LayerOutcome(asked, reached, kept)
    return outcomes
