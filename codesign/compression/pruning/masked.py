"""Training under masks that grow: each epoch along a ramp, or in rounds with fine-tuning or rewinding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import keras
import numpy as np

from codesign.compression.pruning.choose import Masks, lowest_masked, lowest_of_all_masked, scheduled
from codesign.compression.pruning.dead import UselessWeights
from codesign.compression.pruning.scores import HessianScores, TaylorScores, magnitudes
from codesign.core.progress import SILENT, Progress
from codesign.networks.build import write_weights
from codesign.networks.description import Network
from codesign.settings import PruningSettings, TrainingSettings
from codesign.training.fit import History
from codesign.training.lesson import Lesson
from codesign.training.masks import hold_zeros

Scores = dict[str, np.ndarray]

_ALL = ""
"""The name of all layers together."""

_AT_ONCE = 0.05
"""Of what is left, the most that goes at once."""


class Selector(Protocol):
    """Says what is masked at a point of the schedule."""

    def __call__(self, held: Masks, progress: float) -> Masks:
        """The masks at `progress` (0 to 1), from the masks so far and the model as it is now."""
        ...


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


def _fractions_of(masks: Masks, names: Iterable[str]) -> dict[str, float]:
    """What is masked already."""
    every = np.concatenate([mask.ravel() for mask in masks.values()])
    return {name: float(((every if name == _ALL else masks[name]) == 0).mean()) for name in names}


def _between(now: float, wanted: float, part: float) -> float:
    """A fraction on the way: the same share of what is left at every step."""
    return wanted if now >= 1 else 1 - (1 - now) * ((1 - wanted) / (1 - now)) ** part


def scorer(
    settings: PruningSettings, method: str, names: Sequence[str], lesson: Lesson
) -> Callable[[], Scores]:
    """The scores that a method gives to the weights of a student, whenever called.

    Parameters
    ----------
    settings
        `saliency_samples`.
    method
        ``magnitude``, ``taylor`` or ``hessian``.
    names
        Layers with kernels.
    lesson
        Its student is scored; its loss and samples are those of the saliencies.
    """
    if method == "magnitude":
        return lambda: magnitudes(lesson.student, names)
    x, targets = lesson.train
    x, targets = x[: settings.saliency_samples], targets[: settings.saliency_samples]
    if method == "taylor":
        return TaylorScores(lesson.model, names, lesson.loss, x, targets)
    return HessianScores(lesson.student, names, x, int(lesson.student.output_shape[-1]))


def shrink_magnitudes(model: keras.Model, names: Sequence[str], l1: float) -> None:
    """Add `l1` times the sum of the kernels' magnitudes to the loss; before the model is compiled."""
    if l1 > 0:
        for name in names:
            # on the variable, not in the layer's configuration: a saved model needs nothing of ours
            model.get_layer(name).kernel.regularizer = keras.regularizers.L1(l1)


def train_masked(
    lesson: Lesson,
    selector: Selector,
    settings: PruningSettings,
    training: TrainingSettings,
    kernels: Mapping[str, np.ndarray],
    *,
    rewind_to: Network | None = None,
    progress: Progress = SILENT,
    what: str = "pruning",
) -> History:
    """Prune a student and train it, in place.

    Parameters
    ----------
    lesson
        The student, and what it learns with.
    selector
        What is masked when.
    settings
        Schedule, ramp, rounds, `l1`.
    training
        Epochs in all, batch size, learning rate.
    kernels
        Of the layers that are pruned, by name; what is zero there stays zero.
    rewind_to
        Put the weights back to this network's after each choice of masks.
    progress, what
        Told after every epoch.

    Returns
    -------
    History
        Of all epochs; the best is one with the last masks.

    Raises
    ------
    TrainingError
        If the loss is not finite.
    """
    model = lesson.student
    shrink_magnitudes(model, list(kernels), settings.l1)
    masks = _Masks(model, {name: kernel != 0 for name, kernel in kernels.items()}, selector)
    if settings.schedule == "polynomial" and settings.method != "hardware":
        ramp = max(1, round(settings.ramp * training.epochs))
        return lesson.fit(
            training, callbacks=[_Ramp(masks, ramp)], keep_from=ramp - 1, progress=progress, what=what
        )
    rounds = n_rounds(settings)
    histories = []
    for number, epochs in enumerate(shared_epochs(training.epochs, rounds)):
        masks.grow((number + 1) / rounds)
        if rewind_to is not None:
            write_weights(rewind_to, model)
            masks.apply()
        part = training.model_copy(update={"epochs": epochs})
        name = what if rounds == 1 else f"{what} {number + 1} of {rounds}"
        histories.append(lesson.fit(part, progress=progress, what=name))
    return joined(histories)


def n_rounds(settings: PruningSettings) -> int:
    """How many trainings the schedule has."""
    return 1 if settings.schedule == "one_shot" else settings.rounds


def shared_epochs(epochs: int, rounds: int) -> list[int]:
    """Epochs of each round; the last, which recovers from the whole pruning, has those that do not divide."""
    each = epochs // rounds
    return [*[each] * (rounds - 1), epochs - each * (rounds - 1)]


def joined(histories: Sequence[History]) -> History:
    """One history of trainings after each other, whose best epoch is that of the last."""
    before = sum(len(history.loss) for history in histories[:-1])

    def column(name: str) -> tuple[float, ...]:
        return tuple(value for history in histories for value in getattr(history, name))

    best = before + histories[-1].best_epoch
    return History(
        column("loss"), column("validation_loss"), column("accuracy"), column("validation_accuracy"), best
    )


class _Masks:
    """The masks of a model: grown by a selector, held by the optimizer."""

    def __init__(self, model: keras.Model, masks: Mapping[str, np.ndarray], selector: Selector) -> None:
        self.model, self.selector = model, selector
        self.variables = hold_zeros(model, masks)
        self.held: Masks = {name: np.asarray(mask, np.float32) for name, mask in masks.items()}

    def grow(self, progress: float) -> None:
        self.held = self.selector(self.held, progress)
        self.apply()

    def apply(self) -> None:
        for name, mask in self.held.items():
            self.variables[name].assign(mask)
            kernel = self.model.get_layer(name).kernel
            kernel.assign(keras.ops.convert_to_numpy(kernel) * mask)


class _Ramp(keras.callbacks.Callback):
    """Grows the masks at the beginning of each epoch of the ramp."""

    def __init__(self, masks: _Masks, ramp: int) -> None:
        super().__init__()
        self.masks, self.ramp = masks, ramp

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch < self.ramp:
            self.masks.grow((epoch + 1) / self.ramp)
