"""Time of one epoch of distillation against plain training and against Keras' own Distiller, in one run.

    python scripts/bench_distill.py

The data are made up, of the shape of the jet set (600 000 x 16, 5 classes); the student is 16-64-32-32-5, the teacher
256-256-128 with normalisations and dropout. All three train the same student on the same data with the same optimizer,
batch size and metric:

- plain: `fit` on the labels;
- codesign: the epochs of `codesign.training.fit` on labels and the teacher's logits, computed once before;
- Distiller: `keras.distillation.Distiller`, which runs the teacher on every batch.

Epochs alternate between the three, the first of each does not count (it traces the graph), and the least time is
taken: what else the machine does only adds to it.
With `--seeds N` it also trains N students by `codesign.training.jobs`, one after another and side by side.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from codesign.networks.backend import import_backend


def main() -> int:
    """Measure and print the ratios; the exit code is 1 if they miss what the project promises."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=600_000)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=6, help="how many epochs of each are timed")
    parser.add_argument("--seeds", type=int, default=0, help="also train so many students together")
    arguments = parser.parse_args()
    import_backend()
    import keras

    from codesign.networks.logits import predict_logits
    from codesign.training.losses import pack_targets

    keras.utils.set_random_seed(0)
    x, labels = make(arguments.samples)
    teacher = network((256, 256, 128), norm=True)
    started = time.perf_counter()
    logits = predict_logits(teacher, x)
    print(f"teacher's logits, once: {time.perf_counter() - started:.1f} s", flush=True)

    epochs = {
        "plain": plain(x, labels, arguments.batch_size),
        "codesign": cached(x, pack_targets(labels, logits), arguments.batch_size),
        "Distiller": distiller(x, labels, teacher, arguments.batch_size),
    }
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for turn in range(1 + arguments.epochs):
        for name, epoch in epochs.items():
            started = time.perf_counter()
            epoch()
            if turn > 0:
                seconds[name].append(time.perf_counter() - started)
    for name, times in seconds.items():
        print(f"{name}: {min(times):.2f} s an epoch (of {', '.join(f'{one:.2f}' for one in times)})")
    least = {name: min(times) for name, times in seconds.items()}
    to_plain, to_distiller = least["codesign"] / least["plain"], least["Distiller"] / least["codesign"]
    print(f"ratio: {to_plain:.2f} times plain fit (promised: at most 1.15)")
    print(f"ratio: {to_distiller:.2f} times faster than the Distiller (promised: at least 1.5)", flush=True)
    if arguments.seeds:
        together(x, pack_targets(labels, logits), arguments)
    return 0 if to_plain <= 1.15 and to_distiller >= 1.5 else 1


def make(samples: int):
    """Made-up features and labels."""
    random = np.random.default_rng(0)
    x = random.normal(size=(samples, 16)).astype(np.float32)
    return x, (x @ random.normal(size=(16, 5))).argmax(axis=1)


def network(widths, norm=False):
    """Dense layers that end at five logits."""
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((16,))])
    for width in widths:
        model.add(layers.Dense(width, use_bias=not norm))
        if norm:
            model.add(layers.BatchNormalization())
        model.add(layers.Activation("relu"))
        if norm:
            model.add(layers.Dropout(0.1))
    model.add(layers.Dense(5))
    return model


def student():
    """The student, as every side trains it."""
    return network((64, 32, 32))


def plain(x, labels, batch_size):
    """Labels alone."""
    import keras

    model = student()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"], jit_compile=False)
    return lambda: model.fit(x, labels, batch_size=batch_size, verbose=0)


def cached(x, targets, batch_size):
    """As `codesign.training.fit` trains: the teacher's logits lie beside the labels."""
    import keras

    from codesign.training.fit import Epochs
    from codesign.training.losses import DistillationLoss, packed_accuracy

    model = student()
    model.compile(
        keras.optimizers.Adam(), DistillationLoss(0.3, 3.0), metrics=[packed_accuracy], jit_compile=False
    )
    return Epochs(model, (x, targets), (x[:1], targets[:1]), batch_size).train


def distiller(x, labels, teacher, batch_size):
    """Keras' own, with the same mixture of losses."""
    import keras

    both = keras.distillation.Distiller(
        keras.models.clone_model(teacher),
        student(),
        keras.distillation.LogitsDistillation(temperature=3.0),
        student_loss_weight=0.3,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    both.compile(optimizer=keras.optimizers.Adam(), loss=loss, metrics=["accuracy"], jit_compile=False)
    return lambda: both.fit(x, labels, batch_size=batch_size, verbose=0)


def together(x, targets, arguments) -> None:
    """Several seeds, one after another and side by side."""
    from codesign.settings import TrainingSettings
    from codesign.training.jobs import FitJob, run_jobs
    from codesign.training.losses import DistillationLoss

    settings = TrainingSettings(epochs=arguments.epochs, batch_size=arguments.batch_size)
    part, rest = slice(0, -len(x) // 5), slice(-len(x) // 5, None)
    train, validation = (x[part], targets[part]), (x[rest], targets[rest])
    jobs = [
        FitJob(student(), DistillationLoss(0.3, 3.0), train, validation, settings, seed)
        for seed in range(arguments.seeds)
    ]
    spent = []
    for workers in (1, arguments.seeds):
        started = time.perf_counter()
        run_jobs(jobs, workers=workers)
        spent.append(time.perf_counter() - started)
    print(
        f"{arguments.seeds} students of {arguments.epochs} epochs: one after another {spent[0]:.1f} s, side by side "
        f"{spent[1]:.1f} s, ratio {spent[0] / spent[1]:.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
