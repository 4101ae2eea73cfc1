"""Train HGQ2 and write the points of its front; run by the Python of an environment of its own, which `make peers` builds.

    .peers/bin/python scripts/peer_hgq2.py --arrays arrays.npz --hidden 32-16 --steps 120000 --output points.json

`scripts/bench_frontier.py --peer-python .peers/bin/python` calls it with the same samples and splits that our side trains on.

The recipe is that of HGQ2's authors for tables: dense layers with a fused normalisation of their inputs, weights that saturate
symmetrically and begin with three bits, activations that wrap, whose integer bits are traced on train and validation part, a
width for each weight and each activation, and a price of EBOPs that rises exponentially over 95 % of the training; Adam with
twelve cosine restarts. An epoch is one compiled scan. Every epoch is a candidate: those that no other beats in validation
accuracy at its EBOPs are traced by alkaid, whose cost of the whole model is the LUTs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from functools import partial
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp
import keras
import numpy as np
from alkaid.converter import trace_model
from alkaid.trace import trace
from hgq.config import QuantizerConfig, QuantizerConfigScope
from hgq.layers import QBatchNormDense, QDense
from hgq.utils.minmax_trace import TrainingFlagWrapper

_CYCLES, _CYCLE_DECAY = 12, 0.94
_RAMP = 0.95
_STEPS_A_CALL = 2000
_WRAPS_TO = -1e9
"""Integer bits from which tracing begins."""


def main() -> int:
    """Train one network and write its front."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--arrays",
        required=True,
        type=Path,
        help=".npz: x_train, y_train and so on of the three parts, and teacher, logits on the train part",
    )
    parser.add_argument("--hidden", required=True, help="units of the hidden layers, for example 64-64-32")
    parser.add_argument("--steps", required=True, type=int)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--first-price", type=float, default=5e-7, help="in loss for each EBOP")
    parser.add_argument("--last-price", type=float, default=1e-3)
    parser.add_argument("--alpha", type=float, default=1.0, help="of the labels; the rest is the teacher's")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--plain", action="store_true", help="layers without normalisation")
    parser.add_argument("--most-ebops", type=float, default=20_000, help="of a point that is costed")
    parser.add_argument("--output", required=True, type=Path)
    arguments = parser.parse_args()
    with np.load(arguments.arrays) as kept:
        arrays = {name: kept[name] for name in kept.files}
    keras.utils.set_random_seed(arguments.seed)
    training = Training(arrays, arguments)
    started = time.monotonic()
    candidates = training.run()
    seconds = time.monotonic() - started
    rows = training.costed(candidates)
    said = ("learning_rate", "first_price", "last_price", "alpha", "temperature", "batch")
    chosen = {name: getattr(arguments, name) for name in said}
    about = {"network": f"hgq:{arguments.hidden}", "steps": training.total, **chosen}
    arguments.output.write_text(json.dumps([{**about, **row} for row in rows], indent=1))
    print(
        f"{arguments.hidden}: {training.total:,} steps in {seconds:.0f} s, {len(rows)} points in "
        f"{time.monotonic() - started - seconds:.0f} s",
        file=sys.stderr,
    )
    return 0


def build(n_features: int, hidden: list[int], n_outputs: int, plain: bool) -> keras.Model:
    """The network."""
    weights = QuantizerConfigScope(
        place="all", default_q_type="kbi", k0=True, b0=3, i0=0, overflow_mode="SAT_SYM"
    )
    lanes = QuantizerConfigScope(
        place="datalane", default_q_type="kif", k0=False, i0=3, f0=3, overflow_mode="WRAP"
    )
    with weights, lanes:
        dense = QDense if plain else QBatchNormDense
        layers = [keras.Input((n_features,))]
        for number, units in enumerate(hidden):
            first = {"iq_conf": QuantizerConfig(place="datalane", k0=True)} if number == 0 else {}
            layers.append(dense(units, activation="relu", **first))
        return keras.Sequential([*layers, dense(n_outputs)])


class Training:
    """One training: a front of validation accuracy against EBOPs."""

    def __init__(self, arrays: dict[str, np.ndarray], arguments: argparse.Namespace) -> None:
        self.arrays, self.arguments = arrays, arguments
        hidden = [int(units) for units in arguments.hidden.split("-")]
        classes = int(arrays["y_train"].max()) + 1
        self.model = build(arrays["x_train"].shape[1], hidden, classes, arguments.plain)
        count = len(arrays["x_train"])
        self.batch = min(arguments.batch, count)
        self.steps = max(count // self.batch, 1)
        whole = max(round(arguments.steps / self.steps), 1)
        self.a_call = min(max(_STEPS_A_CALL // self.steps, 1), whole)
        self.calls = max(round(whole / self.a_call), 1)
        self.total = self.calls * self.a_call * self.steps
        rates = keras.optimizers.schedules.CosineDecayRestarts(
            arguments.learning_rate, -(-self.total // _CYCLES), t_mul=1.0, m_mul=_CYCLE_DECAY, alpha=1e-6
        )
        self.optimizer = keras.optimizers.Adam(rates)
        self.optimizer.build(self.model.trainable_variables)
        self.x = jnp.asarray(arrays["x_train"], jnp.float32)
        self.y = jnp.asarray(arrays["y_train"], jnp.int32)
        self.teacher = jnp.asarray(arrays["teacher"], jnp.float32)
        self.validation = jnp.asarray(arrays["x_validation"], jnp.float32)
        self.traced = jnp.concatenate([self.x, self.validation])
        places = {id(variable): n for n, variable in enumerate(self.model.non_trainable_variables)}
        parts = list(self.model._flatten_layers())
        self.prices = [places[id(p._beta)] for p in parts if getattr(p, "_beta", None) is not None]
        self.ebops = [places[id(p._ebops)] for p in parts if getattr(p, "_ebops", None) is not None]
        wrapping = [part for part in parts if hasattr(part, "_i_decay_speed")]
        self.integers = [places[id(part._i)] for part in wrapping]
        self.signs = [places[id(part._k)] for part in wrapping]
        self._epochs = jax.jit(partial(jax.lax.scan, self._epoch))

    def run(self) -> list[dict]:
        """Train; candidates with the variables of their models."""
        state = tuple(
            [variable.value for variable in part]
            for part in (
                self.model.trainable_variables,
                self.model.non_trainable_variables,
                self.optimizer.variables,
            )
        )
        kept: list[dict] = []
        epochs = self.calls * self.a_call
        first, last = self.arguments.first_price, self.arguments.last_price
        for call in range(self.calls):
            numbers = call * self.a_call + np.arange(self.a_call)
            prices = first * (last / first) ** np.minimum(numbers / (_RAMP * epochs), 1.0)
            keys = jax.random.split(jax.random.key(self.arguments.seed * 1_000_003 + call), self.a_call)
            state, (logits, ebops, *parts) = self._epochs(state, (keys, jnp.asarray(prices, jnp.float32)))
            qualities = (np.argmax(logits, axis=-1) == self.arrays["y_validation"]).mean(axis=1)
            for number, (quality, cost) in enumerate(zip(qualities, np.asarray(ebops), strict=True)):
                if 0 < cost <= self.arguments.most_ebops:
                    kept.append({"validation": float(quality), "ebops": int(cost), "at": number})
            kept = best(kept, "ebops")
            for point in kept:
                if "at" in point:
                    number = point.pop("at")
                    point["variables"] = [[np.asarray(v[number]) for v in part] for part in parts]
        return kept

    def costed(self, candidates: list[dict]) -> list[dict]:
        """What alkaid says that the candidates cost, with their accuracies as they are built."""
        rows = []
        for point in candidates:
            trained, others = point.pop("variables")
            for variables, values in (
                (self.model.trainable_variables, trained),
                (self.model.non_trainable_variables, others),
            ):
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value)
            found = {
                name: float(
                    (
                        np.argmax(self.model.predict(self.arrays[f"x_{name}"], 4096, verbose=0), axis=1)
                        == self.arrays[f"y_{name}"]
                    ).mean()
                )
                for name in ("validation", "test")
            }
            luts = trace(*trace_model(self.model)).cost
            if luts > 0:
                rows.append({"luts": luts, "ebops": point["ebops"], **found})
        return best(rows, "luts")

    def _epoch(self, state, given):
        """Shuffle, train, trace the integer bits, and look at the validation part."""
        key, price = given
        trained, others, moments = state
        others = _replaced(others, self.prices, price)
        order = jax.random.permutation(key, len(self.x))[: self.steps * self.batch]
        state, _ = jax.lax.scan(self._step, (trained, others, moments), order.reshape(self.steps, self.batch))
        trained, others, _ = state
        begun = _replaced(_replaced(others, self.integers, _WRAPS_TO), self.signs, 0)
        logits, built = self.model.stateless_call(
            trained, begun, self.traced, training=TrainingFlagWrapper("tracing")
        )
        ebops = sum(jnp.asarray(built[place], jnp.float32) for place in self.ebops)
        return state, (logits[len(self.x) :], ebops, trained, built)

    def _step(self, state, rows):
        """One step of Adam."""
        trained, others, moments = state
        slope = jax.value_and_grad(self._loss, has_aux=True)
        (_, others), slopes = slope(trained, others, self.x[rows], self.y[rows], self.teacher[rows])
        trained, moments = self.optimizer.stateless_apply(moments, slopes, trained)
        return (trained, others, moments), None

    def _loss(self, trained, others, x, y, teacher):
        logits, others, priced = self.model.stateless_call(
            trained, others, x, training=True, return_losses=True
        )
        alpha, heat = self.arguments.alpha, self.arguments.temperature
        sure = jax.nn.log_softmax(logits)
        loss = -alpha * jnp.take_along_axis(sure, y[:, None], axis=1).mean()
        if alpha < 1:
            soft = jax.nn.softmax(teacher / heat)
            apart = jax.nn.log_softmax(teacher / heat) - jax.nn.log_softmax(logits / heat)
            loss += (1 - alpha) * heat**2 * (soft * apart).sum(axis=1).mean()
        return loss + sum(priced), others


def _replaced(values, places, value):
    """A list of arrays with one value in some of them."""
    return [jnp.full_like(old, value) if n in places else old for n, old in enumerate(values)]


def best(points: list[dict], cost: str) -> list[dict]:
    """The points that no cheaper point beats on validation."""
    kept: list[dict] = []
    for point in sorted(points, key=lambda point: (point[cost], -point["validation"])):
        if not kept or point["validation"] > kept[-1]["validation"]:
            kept.append(point)
    return kept


if __name__ == "__main__":
    sys.exit(main())
