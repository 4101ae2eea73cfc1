"""Training under masks that grow: each epoch along a ramp, or in rounds with fine-tuning or rewinding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np

from codesign.compression.pruning.scores import HessianScores, Masks, Scores, TaylorScores, magnitudes
from codesign.core.progress import SILENT, Progress
from codesign.networks.build import kernel_variable, write_weights
from codesign.networks.description import Network
from codesign.settings import PruningSettings, TrainingSettings
from codesign.training.fit import History
from codesign.training.lesson import Lesson
from codesign.training.objectives import objective_of


class Selector(Protocol):
    """What is masked at a point of the schedule."""

    def __call__(self, held: Masks, progress: float) -> Masks:
        """The masks at `progress` (0 to 1), from the masks so far and the model as it is now."""
        ...


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

    Raises
    ------
    ValueError
        Another method.
    """
    if method == "magnitude":
        return lambda: magnitudes(lesson.student, names)
    x, targets = lesson.train[:2]
    x, targets = x[: settings.saliency_samples], targets[: settings.saliency_samples]
    if method == "taylor":
        return TaylorScores(lesson.model, names, lesson.loss, x, targets)
    if method != "hessian":  # a new word of the settings must not be pruned by another's score
        raise ValueError(f"no score of weights is called {method!r}")
    objective = objective_of(lesson.task, int(lesson.student.output_shape[-1]))
    return HessianScores(lesson.student, names, x, objective)


def shrink_magnitudes(model: keras.Model, names: Sequence[str], l1: float) -> None:
    """Add `l1` times the sum of the kernels' magnitudes to the loss; before the model is compiled."""
    if l1 > 0:
        for name in names:
            # on the variable, not in the layer's configuration: a saved model needs nothing of ours
            kernel_variable(model.get_layer(name)).regularizer = keras.regularizers.L1(l1)


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
    return concatenate_histories(histories)


def n_rounds(settings: PruningSettings) -> int:
    """How many trainings the schedule has."""
    return 1 if settings.schedule == "one_shot" else settings.rounds


def shared_epochs(epochs: int, rounds: int) -> list[int]:
    """Epochs of each round; the last, which recovers from the whole pruning, has those that do not divide."""
    each = epochs // rounds
    return [*[each] * (rounds - 1), epochs - each * (rounds - 1)]


def concatenate_histories(histories: Sequence[History]) -> History:
    """One history of trainings after each other, whose best epoch is that of the last."""
    before = sum(len(history.loss) for history in histories[:-1])

    def column(name: str) -> tuple[float, ...]:
        return tuple(value for history in histories for value in getattr(history, name))

    best = before + histories[-1].best_epoch
    return History(
        column("loss"),
        column("validation_loss"),
        column("quality"),
        column("validation_quality"),
        best,
        histories[-1].measure,
        {
            name: tuple(value for history in histories for value in history.measured.get(name, ()))
            for name in histories[-1].measured
        },
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
            kernel = kernel_variable(self.model.get_layer(name))
            kernel.assign(keras.ops.convert_to_numpy(kernel) * mask)


class _Ramp(keras.callbacks.Callback):
    """Grows the masks at the beginning of each epoch of the ramp."""

    def __init__(self, masks: _Masks, ramp: int) -> None:
        super().__init__()
        self.masks, self.ramp = masks, ramp

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch < self.ramp:
            self.masks.grow((epoch + 1) / self.ramp)


def hold_zeros(model: keras.Model, masks: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Constrain kernels to their masks; the masks may be changed while training goes on.

    Parameters
    ----------
    model
        Not yet compiled.
    masks
        By layer name, float32 or bool in the kernel's shape: 1 keeps, 0 holds at zero.

    Returns
    -------
    dict
        The mask variables by layer name; assign to them to prune further.

    Notes
    -----
    A variable's constraint is applied by the Keras optimizer after each of its updates, so a masked weight is exactly
    zero after every step whatever its gradient and momentum are. It lives on the variable, not in the layer's
    configuration, so that a saved model needs nothing of ours.
    """
    variables = {}
    for name, mask in masks.items():
        kernel = kernel_variable(model.get_layer(name))
        mask = np.asarray(mask, dtype=np.float32)
        variable = keras.Variable(mask, trainable=False, name=f"{name}_mask")
        kernel.constraint = _Masked(variable)
        kernel.assign(keras.ops.convert_to_numpy(kernel) * mask)
        variables[name] = variable
    return variables


class _Masked(keras.constraints.Constraint):
    def __init__(self, mask: keras.Variable) -> None:
        self.mask = mask

    def __call__(self, weight: Any) -> Any:
        return weight * self.mask
