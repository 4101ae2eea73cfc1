"""How fast widths are learned: an epoch of the compiled training against an epoch of the same network in plain float.

    python scripts/bench_learned.py

Random data of 6,600 x 16 and 10 classes, n-64-64-32-10, batches of 256; both in one process, one after another, the best
of several calls each. Compilation is told apart.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from codesign.networks.backend import import_backend


def main() -> int:
    """Time both, print the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=6600)
    parser.add_argument("--features", type=int, default=16)
    parser.add_argument("--hidden", default="64-64-32")
    parser.add_argument("--calls", type=int, default=4)
    arguments = parser.parse_args()
    import_backend()
    import keras

    from codesign.compression.learned.loop import Loop
    from codesign.compression.learned.values import LearnableNetwork
    from codesign.core.task import Classification
    from codesign.networks.prepare import prepare_for_quantization
    from codesign.networks.read_keras import read_keras
    from codesign.settings import LearnedSettings
    from codesign.training.lesson import Lesson
    from codesign.training.losses import DistillationLoss, pack_targets

    rng = np.random.default_rng(0)
    x = rng.normal(size=(arguments.samples, arguments.features)).astype(np.float32)
    logits = x @ rng.normal(size=(arguments.features, 10)).astype(np.float32)
    layers = [keras.Input((arguments.features,))]
    for number, width in enumerate(map(int, arguments.hidden.split("-")), 1):
        layers += [keras.layers.Dense(width, name=f"fc{number}"), keras.layers.ReLU(name=f"relu{number}")]
    model = keras.Sequential([*layers, keras.layers.Dense(10, name="logits")])
    targets = pack_targets(logits.argmax(axis=1), logits)
    validation = (x[: arguments.samples // 3], targets[: arguments.samples // 3])
    task = Classification(tuple(map(str, range(10))))
    lesson = Lesson(model, model, DistillationLoss(0.1, 1.0), (x, targets), validation, task)

    learnable = LearnableNetwork(prepare_for_quantization(read_keras(model)), x)
    loop = Loop(learnable, lesson, LearnedSettings(steps=100_000), seed=0)
    factors = {layer.name: 1.0 for layer in learnable.network.weight_layers}
    started = time.perf_counter()
    state, _ = loop.run(0, loop.begin(), factors)
    compiled = time.perf_counter() - started
    seconds = []
    for call in range(1, 1 + arguments.calls):
        started = time.perf_counter()
        state, _ = loop.run(call, state, factors)
        seconds.append((time.perf_counter() - started) / loop.epochs_a_call)
    learned = min(seconds)

    model.compile(keras.optimizers.Adam(1e-3), lesson.loss, jit_compile=False)
    model.fit(x, targets, batch_size=256, epochs=1, verbose=0)
    seconds = []
    for _ in range(arguments.calls):
        started = time.perf_counter()
        model.fit(x, targets, batch_size=256, epochs=5, verbose=0)
        seconds.append((time.perf_counter() - started) / 5)
    plain = min(seconds)

    print(
        f"learned widths: {learned:.4f} s an epoch, {loop.steps / learned:,.0f} steps/s (first call {compiled:.1f} s)"
    )
    print(f"plain float:    {plain:.4f} s an epoch, {len(x) / 256 / plain:,.0f} steps/s")
    print(f"ratio:          {learned / plain:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
