"""LUTs at equal test accuracy: fronts of learned widths against the points of a peer.

    python scripts/bench_frontier.py --data pendigits.npz dry_bean.npz --peer hgq2_points.json --levels levels.json

For each data set and seed a teacher is trained, then for each network one front. Fronts keep what no cheaper point beats on
the validation part; LUTs at a level are interpolated in their logarithm along the front, with the test accuracies made
monotone. The peer's file has one row a point: data, seed, luts, validation, test.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from codesign.networks.backend import import_backend


def main() -> int:
    """Train, compare, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, nargs="+", type=Path, help=".npz files")
    parser.add_argument("--peer", type=Path, help="the peer's points, JSON")
    parser.add_argument("--levels", type=Path, help="JSON: test accuracies by data set")
    parser.add_argument("--hidden", nargs="+", default=["32-16"], help="hidden layers of each network")
    parser.add_argument("--steps", type=int, default=60_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--set", nargs="*", default=[], help="learned settings, for example learning_rate=0.005"
    )
    parser.add_argument("--output", type=Path, help="write the points here, JSON")
    arguments = parser.parse_args()
    import_backend()
    levels = json.loads(arguments.levels.read_text()) if arguments.levels else {}
    peer = json.loads(arguments.peer.read_text()) if arguments.peer else []
    rows, ratios = [], []
    print(
        "| data | seed | accuracy | LUT | peer's LUT | ratio |\n| --- | ---: | ---: | ---: | ---: | ---: |",
        flush=True,
    )
    for path in arguments.data:
        for seed in arguments.seeds:
            ours = points_of(path, seed, arguments)
            rows += [{"data": path.stem, "seed": seed, **row} for row in ours]
            theirs = [p for p in peer if (p["data"], p["seed"]) == (path.stem, seed)]
            found = []
            for level in levels.get(path.stem, ()):
                mine, other = luts_at(ours, level), luts_at(theirs, level)
                ratio = mine / other if mine and other else None
                found += [ratio] if ratio else []
                shown = " | ".join("-" if v is None else f"{v:,.0f}" for v in (mine, other))
                print(
                    f"| {path.stem} | {seed} | {level:.1%} | {shown} | {f'{ratio:.2f}' if ratio else '-'} |",
                    flush=True,
                )
            ratios += found
            if found:
                print(
                    f"| {path.stem} | {seed} | geometric mean | | | {np.exp(np.log(found).mean()):.2f} |",
                    flush=True,
                )
    if ratios:
        print(f"geometric mean of all {len(ratios)}: {np.exp(np.log(ratios).mean()):.2f}")
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1))
    return 0


def points_of(path, seed, arguments) -> list[dict]:
    """The joint front of the networks."""
    import keras

    from codesign.compression.learned.learn import learn_widths
    from codesign.core.yaml_text import read_assignments
    from codesign.data import load_dataset
    from codesign.settings import DistillationSettings, LearnedSettings, TeacherSettings
    from codesign.training.distill import distill_student
    from codesign.training.teacher import train_teacher

    dataset = load_dataset(path, seed=seed)

    def network(*widths):
        layers = [keras.Input(dataset.input_shape)]
        for number, width in enumerate(widths, 1):
            layers += [keras.layers.Dense(width, name=f"fc{number}"), keras.layers.ReLU(name=f"relu{number}")]
        return keras.Sequential([*layers, keras.layers.Dense(dataset.n_classes, name="logits")])

    settings = TeacherSettings(epochs=30, batch_size=128, learning_rate=2e-3)
    teacher = train_teacher(network(128, 64), dataset, settings, seed=seed)
    distillation = DistillationSettings(epochs=20, batch_size=128, learning_rate=5e-3)
    learned = LearnedSettings(steps=arguments.steps, **read_assignments(arguments.set, "--set"))
    rows = []
    for hidden in arguments.hidden:
        student = distill_student(
            network(*map(int, hidden.split("-"))), teacher, dataset, distillation, seed=seed
        )
        started = time.monotonic()
        front = learn_widths(student.network, teacher, dataset, learned, distillation, seed=seed)
        seconds = time.monotonic() - started
        print(
            f"{path.stem} {seed} {hidden}: {len(front.points)} points in {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        rows += [
            {
                "network": hidden,
                "steps": arguments.steps,
                "luts": point.luts,
                "validation": point.quality,
                "test": point.test_quality,
            }
            for point in front.points
        ]
    return rows


def luts_at(points, level) -> float | None:
    """LUTs at a test accuracy; ``None`` where the front does not reach it."""
    front: list[dict] = []
    for point in sorted(points, key=lambda point: (point["luts"], -point["validation"])):
        if not front or point["validation"] > front[-1]["validation"]:
            front.append(point)
    if not front:
        return None
    test = np.maximum.accumulate([point["test"] for point in front])
    logs = np.log([point["luts"] for point in front])
    place = int(np.searchsorted(test, level))
    if place == len(test):
        return None
    if place == 0:
        return float(np.exp(logs[0]))
    part = (level - test[place - 1]) / (test[place] - test[place - 1])
    return float(np.exp(logs[place - 1] + part * (logs[place] - logs[place - 1])))


if __name__ == "__main__":
    sys.exit(main())
