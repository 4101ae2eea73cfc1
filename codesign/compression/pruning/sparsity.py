"""Which weights a sparsity masks: the lowest scores, in each layer by itself or in all together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from codesign.compression.pruning.dead import UselessWeights
from codesign.compression.pruning.scores import Masks, Scores
from codesign.compression.pruning.targets import scheduled
from codesign.networks.description import Network
from codesign.settings import PruningSettings

_ALL = ""
"""The name of all layers together."""

_AT_ONCE = 0.05
"""Of what is left, the most that goes at once."""


class SparsitySelector:
    """Masks the lowest scores, in each layer by itself or in all together.

    Parameters
    ----------
    score
        The scores of the model as it is when called.
    settings
        Sparsity, scope, schedule.
    targets
        The sparsity of each layer at the end.
    network
        Whose layers are masked: the weights of a unit that has lost all its inputs or readers go first.
    """

    def __init__(
        self,
        score: Callable[[], Scores],
        settings: PruningSettings,
        targets: Mapping[str, float],
        network: Network,
    ) -> None:
        self.score, self.settings, self.targets = score, settings, targets
        self.useless = UselessWeights(network)

    def __call__(self, held: Masks, progress: float) -> Masks:
        """The masks at a point of the schedule; `SettingsError` if they leave no path through the network."""
        scores = {name: values for name, values in self.score().items() if name in held}
        wanted = self._fractions(held, progress)
        now = _fractions_of(held, wanted)
        left = min(((1 - wanted[name]) / (1 - now[name]) for name in wanted if now[name] < 1), default=1.0)
        steps = max(1, int(np.ceil(np.log(max(left, 1e-9)) / np.log(1 - _AT_ONCE))))
        masks = held
        # in small steps: what the first of them leave without use goes in the next, instead of what is in use
        for step in range(1, steps + 1):
            useless = self.useless(masks)
            ranked = {name: np.where(useless[name], 0.0, values) for name, values in scores.items()}
            fractions = {name: _between(now[name], wanted[name], step / steps) for name in wanted}
            masks = self._lowest(ranked, masks, wanted if step == steps else fractions)
        self.useless.check_connected(masks)
        return masks

    def _fractions(self, held: Masks, progress: float) -> dict[str, float]:
        """What is to be masked by now, of each layer or of all together."""
        schedule = self.settings.schedule
        if self.settings.scope == "global":
            return {_ALL: scheduled(self.settings.sparsity, progress, schedule)}
        return {name: scheduled(self.targets[name], progress, schedule) for name in held}

    def _lowest(self, scores: Scores, held: Masks, fractions: Mapping[str, float]) -> Masks:
        if self.settings.scope == "global":
            return lowest_of_all_masked(scores, held, fractions[_ALL])
        return {name: lowest_masked(values, held[name], fractions[name]) for name, values in scores.items()}


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


def _fractions_of(masks: Masks, names: Iterable[str]) -> dict[str, float]:
    """What is masked already."""
    every = np.concatenate([mask.ravel() for mask in masks.values()])
    return {name: float(((every if name == _ALL else masks[name]) == 0).mean()) for name in names}


def _between(now: float, wanted: float, part: float) -> float:
    """A fraction on the way: the same share of what is left at every step."""
    return wanted if now >= 1 else 1 - (1 - now) * ((1 - wanted) / (1 - now)) ** part
