"""The one training loop: seeded, the best epoch kept, stopped as soon as the loss is not finite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from learning_tasks import clouds, dense

from codesign.core.quality import accuracy
from codesign.errors import TrainingError
from codesign.settings import TrainingSettings
from codesign.training.fit import History, fit, make_reproducible, ready
from codesign.training.losses import DistillationLoss, pack_targets

DATA = clouds()
TRAIN = (DATA.x_train, pack_targets(DATA.y_train))
VALIDATION = (DATA.x_validation, pack_targets(DATA.y_validation))
LOSS = DistillationLoss(alpha=1.0)


class Snapshots(keras.callbacks.Callback):
    """The weights after each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[list[np.ndarray]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.weights.append(self.model.get_weights())


class Steps:
    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int, str]] = []

    def step(self, what: str, done: int, total: int, note: str = "", values: Any = None) -> None:
        self.seen.append((what, done, total, note))


class Rates(keras.callbacks.Callback):
    """The learning rate after each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        optimizer = self.model.optimizer
        self.rates.append(float(optimizer._learning_rate(optimizer.iterations)))


def train(epochs: int, seed: int = 0, rate: float = 0.05, **options: Any) -> tuple[keras.Model, History]:
    make_reproducible(seed)
    model = dense(DATA, 8)
    history = fit(
        model, LOSS, TRAIN, VALIDATION, TrainingSettings(epochs=epochs, learning_rate=rate), **options
    )
    return model, history


@dataclass(frozen=True)
class Training:
    """A training that was watched in every way."""

    model: keras.Model
    history: History
    weights: list[list[np.ndarray]]
    rates: list[float]
    steps: list[tuple[str, int, int, str]]


@pytest.fixture(scope="module")
def training() -> Training:
    snapshots, rates, steps = Snapshots(), Rates(), Steps()
    model, history = train(8, callbacks=[snapshots, rates], progress=steps, what="teacher")
    return Training(model, history, snapshots.weights, rates.rates, steps.seen)


def test_training_learns_and_tells_the_truth_about_it(training: Training) -> None:
    history = training.history
    assert len(history.loss) == len(history.validation_quality) == len(training.weights) == 8
    assert history.loss[-1] < history.loss[0]
    model = dense(DATA, 8)
    for weights, said in zip(training.weights, history.validation_quality, strict=True):
        model.set_weights(weights)
        assert accuracy(DATA.y_validation, np.asarray(model(DATA.x_validation))) == pytest.approx(
            said, abs=1e-6
        )


def test_the_weights_of_the_best_epoch_are_kept(training: Training) -> None:
    history = training.history
    scores = list(zip(history.validation_quality, np.negative(history.validation_loss), strict=True))
    assert history.best_epoch == scores.index(max(scores))
    for kept, best in zip(training.model.get_weights(), training.weights[history.best_epoch], strict=True):
        np.testing.assert_array_equal(kept, best)


def test_the_learning_rate_falls_to_a_hundredth(training: Training) -> None:
    assert training.rates == sorted(training.rates, reverse=True)
    assert training.rates[0] < 0.05
    assert training.rates[-1] == pytest.approx(0.0005, rel=1e-4)


def test_every_epoch_is_told(training: Training) -> None:
    losses, accuracies = training.history.loss, training.history.validation_quality
    assert training.steps == [
        ("teacher", epoch + 1, 8, f"loss {losses[epoch]:.4g}, validation {accuracies[epoch]:.4f}")
        for epoch in range(8)
    ]


@pytest.mark.parametrize("keep_from", [2, 5])
def test_no_epoch_before_the_allowed_ones_is_kept(keep_from: int) -> None:
    # 5 is beyond the last: then the last is kept, never the untrained weights
    snapshots = Snapshots()
    model, history = train(4, callbacks=[snapshots], keep_from=keep_from)
    assert history.best_epoch >= min(keep_from, 3)
    np.testing.assert_array_equal(model.get_weights()[0], snapshots.weights[history.best_epoch][0])


def test_by_loss_the_smallest_loss_is_kept() -> None:
    _, history = train(5, rate=0.3, keep_by="loss")
    assert history.best_epoch == int(np.argmin(history.validation_loss))


def test_the_same_seed_gives_the_same_weights_another_gives_others() -> None:
    first, again, other = (train(1, seed=seed)[0].get_weights() for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_a_loss_that_is_not_finite_ends_the_training_at_once() -> None:
    snapshots, steps = Snapshots(), Steps()

    class Poison(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                kernel = self.model.get_layer("fc1").kernel
                kernel.assign(kernel * np.nan)

    make_reproducible(0)
    model = dense(DATA, 8)
    settings = TrainingSettings(epochs=50, learning_rate=0.02)
    with pytest.raises(TrainingError) as caught:
        fit(
            model,
            LOSS,
            TRAIN,
            VALIDATION,
            settings,
            callbacks=[Poison(), snapshots],
            keep_from=20,
            progress=steps,
            what="student",
        )
    assert str(caught.value) == (
        "student: the loss is nan in epoch 3 at learning rate 0.0198; the weights of the last good epoch are kept; lower "
        "the learning rate or check the data"
    )
    assert len(steps.seen) == 2
    good = [np.isfinite(weight).all() for weight in model.get_weights()]
    assert all(good)
    np.testing.assert_array_equal(model.get_weights()[0], snapshots.weights[1][0])


def test_a_trained_model_can_be_copied_and_saved(training: Training, tmp_path: Any) -> None:
    model = training.model
    model.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for other in (read, copy):
        np.testing.assert_array_equal(other(DATA.x_test), model(DATA.x_test))


class Stop(keras.callbacks.Callback):
    """Asks for the end after an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = epoch == self.epoch


@pytest.mark.parametrize("keep_from", [0, 4])
def test_a_callback_may_end_the_training(keep_from: int) -> None:
    snapshots = Snapshots()
    model, history = train(6, callbacks=[Stop(2), snapshots], keep_from=keep_from)
    assert len(history.loss) == 3
    # one that ended before an epoch may be kept keeps its last
    best = 2 if keep_from else int(np.argmax(history.validation_quality))
    assert history.best_epoch == best
    np.testing.assert_array_equal(model.get_weights()[0], snapshots.weights[best][0])
    again = train(6, callbacks=[Stop(9)])[1]
    assert len(again.loss) == 6


def test_trainings_that_share_what_is_compiled_are_those_that_compile_anew() -> None:
    settings = TrainingSettings(epochs=2, learning_rate=0.05)

    def twice(shared: bool) -> tuple[list[History], list[np.ndarray]]:
        make_reproducible(0)
        model = dense(DATA, 8)
        data = ready(model, LOSS, TRAIN, VALIDATION, settings) if shared else None
        histories = [fit(model, LOSS, TRAIN, VALIDATION, settings, data=data) for _ in range(2)]
        assert not model.compiled
        return histories, model.get_weights()

    (first, weights), (second, others) = twice(True), twice(False)
    assert first == second
    assert first[0] != first[1]
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)
