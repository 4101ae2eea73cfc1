"""The training of widths, compiled: many epochs a call, with the data in memory and a snapshot of every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from codesign.compression.learned.values import LearnableNetwork, Tensors, clip_widths, tied
from codesign.core.shown import Brief
from codesign.settings import LearnedSettings
from codesign.training.lesson import Lesson

Arrays = dict[str, np.ndarray]

_STEPS_A_CALL = 1000
_MOST_VALUES = 20_000_000
"""Of the snapshots and logits that one call gives back."""
_RAMP = 0.95
"""The part of the training in which the price rises."""
_LEAD = 0.6
"""The part of the training in which the LUTs are led down to a target; the rest stays there."""
_INTEGRAL, _MOST_INTEGRAL, _PROPORTIONAL = 60.0, 5e-3, 2.0
"""Of the controller, changes of the price's logarithm for an error of the LUTs' logarithm: over the whole training at the
full learning rate, in one step at most, and at once."""
_CYCLE_DECAY = 0.94
_WARM_UP = 0.03
"""The part of the training in which the learning rate rises: at once it would tear a trained network to pieces."""
_SLOWER = 0.3
"""Of the learning rate, for fractional bits: what a weight loses by rounding says little of its width in a single step, and Adam
moves it as far all the same."""
_BETA1, _BETA2, _TINY = 0.9, 0.99, 1e-7
"""Of Adam. Gradients grow by orders of magnitude with the price, which the usual memory of a thousand steps follows too late."""
_SURVEYED = 4096
"""Train samples that say before the training and after each epoch what is normalised by and where results saturate."""


@dataclass
class State:
    """All that a training goes on from.

    Parameters
    ----------
    params, ranges
        Of the network.
    first, second
        Both moments of Adam.
    step
        Steps done.
    price, integral, begun
        Of the controller that leads to a target: logarithms of the price, of its integral part and of the LUTs after
        the first epoch.
    """

    params: Tensors
    ranges: Tensors
    first: Tensors
    second: Tensors
    step: Any
    price: Any
    integral: Any
    begun: Any

    def arrays(self) -> Arrays:
        """As NumPy arrays by `part|name`."""
        parts = {name: part for name, part in vars(self).items() if isinstance(part, dict)}
        plain = {
            f"{name}|{key}": value.numpy() for name, part in parts.items() for key, value in part.items()
        }
        scalars = {f"{name}|": np.float32(value) for name, value in vars(self).items() if name not in parts}
        return {**plain, **scalars}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> State:
        """The inverse of `arrays`."""
        parts: dict[str, Any] = {name: {} for name in ("params", "ranges", "first", "second")}
        for name, value in arrays.items():
            part, key = name.split("|")
            if part in parts:
                parts[part][key] = tf.constant(value)
            else:
                parts[part] = tf.constant(np.float32(value))
        return cls(**parts)


@dataclass(frozen=True)
class Epochs(Brief):
    """What a call gives back, one row an epoch.

    Parameters
    ----------
    snapshots
        The network of each epoch, normalisations folded, with its ranges.
    logits
        On the validation part, `(n_epochs, n_samples, n_outputs)`.
    prices
        By weight layer, `(n_epochs,)`.
    loss
        Mean train loss, `(n_epochs,)`.
    """

    snapshots: Arrays
    logits: np.ndarray
    prices: Arrays
    loss: np.ndarray


class Loop:
    """Trains a learnable network; all of an epoch runs in one compiled function.

    Parameters
    ----------
    network
        What is trained.
    lesson
        Its data and its loss.
    settings
        Steps, batch, rate, prices.
    seed
        Of the order of the samples.
    """

    def __init__(
        self, network: LearnableNetwork, lesson: Lesson, settings: LearnedSettings, seed: int
    ) -> None:
        self.network, self.lesson, self.settings, self.seed = network, lesson, settings, seed
        count = len(lesson.train[0])
        self.batch = min(settings.batch_size, count)
        self.steps = max(count // self.batch, 1)
        self._started = network.begin()
        params, _ = self._started
        size = sum(int(np.prod(value.shape)) for value in params.values())
        size += len(lesson.validation[0]) * int(lesson.student.output_shape[-1])
        whole = max(round(settings.steps / self.steps), 1)
        self.epochs_a_call = min(max(_STEPS_A_CALL // self.steps, 1), max(_MOST_VALUES // size, 1), whole)
        self.calls = max(round(whole / self.epochs_a_call), 1)
        self._train = [tf.constant(part, tf.float32) for part in lesson.train]
        self._validation = tf.constant(lesson.validation[0], tf.float32)
        self._run = tf.function(self._epochs, jit_compile=True)

    @property
    def epochs(self) -> int:
        """Of the whole training."""
        return self.calls * self.epochs_a_call

    def begin(self) -> State:
        """Where the training begins."""
        params, _ = self._started
        ranges = self.network.compute(params, {}, None, self._train[0][:_SURVEYED], train=True).ranges
        zeros = {key: tf.zeros_like(value) for key, value in params.items()}
        price = tf.constant(np.float32(np.log(self.settings.first_price)))
        none = tf.constant(0.0)
        return State(params, ranges, zeros, dict(zeros), none, price, price, none)

    def run(
        self, call: int, state: State, factors: Mapping[str, float], gentleness: float = 1.0
    ) -> tuple[State, Epochs]:
        """Train for one call.

        Parameters
        ----------
        call
            Its number; it decides the order of the samples, the learning rate and the price.
        state
            Where it goes on.
        factors
            LUTs for each unit of price, by weight layer.
        gentleness
            Of learning rate and price, at most 1.
        """
        order = np.random.default_rng([self.seed, call])
        used, size = self.steps * self.batch, len(self._train[0])
        shuffled = np.stack([order.permutation(size)[:used] for _ in range(self.epochs_a_call)])
        first = call * self.epochs_a_call * self.steps
        steps = first + np.arange(self.epochs_a_call * self.steps).reshape(self.epochs_a_call, self.steps)
        after, snapshots, logits, prices, loss = self._run(
            state.__dict__,
            tf.constant(shuffled.reshape(self.epochs_a_call, self.steps, self.batch), tf.int32),
            tf.constant(self._rates(steps) * gentleness, tf.float32),
            tf.constant(self._prices(steps) * gentleness, tf.float32),
            tf.constant(gentleness, tf.float32),
            {name: tf.constant(factor, tf.float32) for name, factor in factors.items()},
        )
        plain = ({name: value.numpy() for name, value in part.items()} for part in (snapshots, prices))
        snapshots, prices = plain
        return State(**after), Epochs(snapshots, logits.numpy(), prices, loss.numpy())

    def _rates(self, steps: np.ndarray) -> np.ndarray:
        """Cosines from the learning rate to a hundredth, again and again, each from a little lower, after a warm-up."""
        cycles = self.settings.cycles
        length = self.epochs * self.steps / cycles
        cycle = np.minimum(steps // length, cycles - 1)
        part = steps / length - cycle
        warm = np.minimum((steps + 1) / max(_WARM_UP * self.epochs * self.steps, 1.0), 1.0)
        rate = self.settings.learning_rate * warm * _CYCLE_DECAY**cycle
        return rate * (0.505 + 0.495 * np.cos(np.pi * part))

    def _prices(self, steps: np.ndarray) -> np.ndarray:
        """A rising exponential."""
        first, last = self.settings.first_price, self.settings.last_price
        part = np.minimum(steps / (_RAMP * self.epochs * self.steps), 1.0)
        return first * (last / first) ** part

    def _led(self, state: Any, luts: Any, rate: Any) -> Any:
        """The state after an epoch at so many LUTs: the controller's price for the next one."""
        settings, target = self.settings, float(np.log(self.settings.target_luts or 1.0))
        now = tf.math.log(tf.maximum(luts, 1.0))
        begun = tf.where(state["begun"] > 0, state["begun"], now)
        left = tf.maximum(1 - state["step"] / (_LEAD * self.epochs * self.steps), 0.0)
        error = now - (target + left * tf.maximum(begun - target, 0.0))
        ends = float(np.log(settings.first_price)), float(np.log(settings.last_price))
        # what is learned slowly answers slowly
        gain = min(_INTEGRAL / (self.epochs * self.steps), _MOST_INTEGRAL) * rate / settings.learning_rate
        integral = tf.clip_by_value(state["integral"] + gain * self.steps * error, *ends)
        price = tf.clip_by_value(integral + _PROPORTIONAL * error, *ends)
        return {**state, "begun": begun, "integral": integral, "price": price}

    def _epochs(
        self, state: Any, order: Any, rates: Any, prices: Any, gentleness: Any, factors: Tensors
    ) -> Any:
        """The compiled function: a loop over epochs around a loop over steps."""
        network, count = self.network, int(order.shape[0])
        taken = {**network.snapshot(*self._started), **state["ranges"]}
        kept = {
            "snapshots": {key: tf.zeros([count, *value.shape]) for key, value in taken.items()},
            "logits": tf.zeros([count, self._validation.shape[0], int(self.lesson.student.output_shape[-1])]),
            "prices": {name: tf.zeros([count]) for name in factors},
            "loss": tf.zeros([count]),
        }
        surveyed = self._train[0][:_SURVEYED]

        def epoch(number: Any, state: Any, kept: Any) -> Any:
            def step(place: Any, state: Any, total: Any) -> Any:
                at = (number, place)
                price = (
                    prices[at] if self.settings.target_luts is None else gentleness * tf.exp(state["price"])
                )
                state, loss = self._step(state, order[at], rates[at], price, factors)
                return place + 1, state, total + loss

            _, state, total = tf.while_loop(
                lambda place, *_: place < self.steps, step, (tf.constant(0), state, tf.constant(0.0))
            )
            params = state["params"]
            # of the network as it is now: moving averages would be those of other networks
            now = network.compute(params, {}, None, surveyed, train=True)
            state = {**state, "ranges": now.ranges}
            taken = {**network.snapshot(params, now.statistics), **now.ranges}
            found = network.compute(taken, {}, taken, self._validation)
            state = self._led(
                state, tf.add_n([factors[name] * found.prices[name] for name in factors]), rates[number, -1]
            )
            new = {
                "snapshots": taken,
                "logits": found.logits,
                "prices": found.prices,
                "loss": total / self.steps,
            }
            place = tf.reshape(number, [1, 1])
            kept = tf.nest.map_structure(
                lambda rows, row: tf.tensor_scatter_nd_update(rows, place, row[None]), kept, new
            )
            return number + 1, state, kept

        _, state, kept = tf.while_loop(
            lambda number, *_: number < count, epoch, (tf.constant(0), state, kept)
        )
        return state, kept["snapshots"], kept["logits"], kept["prices"], kept["loss"]

    def _step(self, state: Any, rows: Any, rate: Any, price: Any, factors: Tensors) -> Any:
        """One step of Adam."""
        x, targets, *weights = (tf.gather(part, rows) for part in self._train)
        params = state["params"]
        with tf.GradientTape() as tape:
            tape.watch(params)
            found = self.network.compute(params, {}, state["ranges"], x, train=True)
            each = self.lesson.loss.call(targets, found.logits)
            loss = tf.reduce_mean(each * weights[0] if weights else each)
            luts = tf.add_n([factors[name] * found.prices[name] for name in factors])
            total = loss + price * luts
        slopes = tape.gradient(total, params, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        slopes = tied(slopes, self.settings.weight_widths)
        step = state["step"] + 1
        one, two = 1 - tf.pow(_BETA1, step), 1 - tf.pow(_BETA2, step)
        first = {key: _BETA1 * state["first"][key] + (1 - _BETA1) * slope for key, slope in slopes.items()}
        second = {
            key: _BETA2 * state["second"][key] + (1 - _BETA2) * slope**2 for key, slope in slopes.items()
        }
        rates = {key: rate * (_SLOWER if key.endswith("/fraction") else 1.0) for key in params}
        moved = {
            key: value - rates[key] * (first[key] / one) / (tf.sqrt(second[key] / two) + _TINY)
            for key, value in params.items()
        }
        state = {
            **state,
            "params": clip_widths(moved),
            "first": first,
            "second": second,
            "step": step,
        }
        return state, loss
