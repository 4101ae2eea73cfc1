"""LUTs at equal test accuracy: fronts of learned widths against the points of a peer.

    python scripts/bench_frontier.py --data pendigits.npz dry_bean.npz --peer hgq2_points.json --levels levels.json
    python scripts/bench_frontier.py --data pendigits.npz --levels levels.json --steps 12000 --peer-python .peers/bin/python

For each data set and seed a teacher is trained, then for each network one front. What no cheaper point of any network beats on
the validation part is kept; LUTs at a level are interpolated in their logarithm along the front, with the test accuracies made
monotone. The peer's file has one row a point: data, seed, luts, validation, test.

With --peer-python, the Python of the environment that `make peers` builds, HGQ2 is trained here as well, on the same samples and
splits, for as many steps, with the same teacher (`scripts/peer_hgq2.py`).

With --ablation each ingredient is left out in turn: LUTs at equal test accuracy as multiples of those of the whole method,
geometric means over the levels that both reach.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
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
    parser.add_argument(
        "--hidden", nargs="+", default=["32-16", "16-16", "64-32"], help="hidden layers of each network"
    )
    parser.add_argument("--scaling", default="shift", help="of the features: data.scaling")
    parser.add_argument("--steps", type=int, default=120_000)
    parser.add_argument("--seeds", type=int, nargs="+", help="left out: those that the peer has points of")
    parser.add_argument(
        "--set", nargs="*", default=[], help="learned settings, for example learning_rate=0.005"
    )
    parser.add_argument("--peer-python", type=Path, help="train HGQ2 too, with this Python")
    parser.add_argument(
        "--peer-hidden",
        nargs="+",
        default=["64-64-32", "32-16", "16-16"],
        help="hidden layers of its networks",
    )
    parser.add_argument(
        "--peer-set", nargs="*", default=["alpha=0.1"], help="options of scripts/peer_hgq2.py"
    )
    parser.add_argument("--peer-output", type=Path, help="write its points here, JSON")
    parser.add_argument("--ablation", action="store_true", help="leave each ingredient out in turn")
    parser.add_argument("--output", type=Path, help="write the points here, JSON")
    arguments = parser.parse_args()
    if arguments.peer_python is not None and not arguments.peer_python.is_file():
        parser.error(
            f"--peer-python: there is no {arguments.peer_python}; make peers builds .peers/bin/python"
        )
    import_backend()
    levels = json.loads(arguments.levels.read_text()) if arguments.levels else {}
    if arguments.ablation:
        return ablate(arguments, levels)
    peer = json.loads(arguments.peer.read_text()) if arguments.peer else []
    rows, ratios = [], []
    print(
        "| data | seed | accuracy | LUT | peer's LUT | ratio |\n| --- | ---: | ---: | ---: | ---: | ---: |",
        flush=True,
    )
    for path in arguments.data:
        of_data = []
        for seed in arguments.seeds or sorted({p["seed"] for p in peer if p["data"] == path.stem}) or [0]:
            if arguments.peer_python is not None:
                peer += [
                    {"data": path.stem, "seed": seed, **row} for row in peer_points(path, seed, arguments)
                ]
                if arguments.peer_output:
                    arguments.peer_output.write_text(json.dumps(peer, indent=1))
            ours = points_of(path, seed, arguments)
            rows += [{"data": path.stem, "seed": seed, **row} for row in ours]
            theirs = [p for p in peer if (p["data"], p["seed"]) == (path.stem, seed)]
            for level in levels.get(path.stem, ()):
                mine, other = luts_at(ours, level), luts_at(theirs, level)
                ratio = mine / other if mine and other else None
                of_data += [ratio] if ratio else []
                shown = " | ".join("-" if v is None else f"{v:,.0f}" for v in (mine, other))
                print(
                    f"| {path.stem} | {seed} | {level:.1%} | {shown} | {f'{ratio:.2f}' if ratio else '-'} |",
                    flush=True,
                )
        if of_data:
            mean = np.exp(np.log(of_data).mean())
            print(f"| {path.stem} | all | geometric mean | | | {mean:.2f} |", flush=True)
        ratios += of_data
    if ratios:
        print(f"geometric mean of all {len(ratios)}: {np.exp(np.log(ratios).mean()):.2f}")
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1))
    return 0


def points_of(path, seed, arguments) -> list[dict]:
    """The joint front of the networks."""
    task = Task(path, seed, arguments.scaling)
    return [row for hidden in arguments.hidden for row in task.front(hidden, arguments)[0]]


def peer_points(path, seed, arguments) -> list[dict]:
    """The points of HGQ2's networks, trained by a Python of their own on standardised features, which it is tuned for."""
    task = Task(path, seed, "standard")
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "arrays.npz", teacher=task.teacher.train_logits, **task.dataset.part_arrays())
        for hidden in arguments.peer_hidden:
            script = Path(__file__).with_name("peer_hgq2.py")
            command = [arguments.peer_python, script, "--arrays", folder / "arrays.npz"]
            command += [word for given in arguments.peer_set for word in f"--{given}".split("=", 1)]
            command += ["--hidden", hidden, "--steps", str(arguments.steps), "--seed", str(seed)]
            subprocess.run([*map(str, command), "--output", str(folder / "points.json")], check=True)
            rows += json.loads((folder / "points.json").read_text())
    return rows


class Task:
    """A data set with its teacher.

    Parameters
    ----------
    path
        An .npz file.
    seed
        Of the split and all trainings.
    scaling
        Of the features.
    """

    def __init__(self, path, seed, scaling):
        from codesign.data import load_dataset
        from codesign.settings import DistillationSettings, TeacherSettings
        from codesign.training.teacher import train_teacher

        self.name, self.seed, self.dataset = path.stem, seed, load_dataset(path, seed=seed, scaling=scaling)
        settings = TeacherSettings(epochs=30, batch_size=128, learning_rate=2e-3)
        self.teacher = train_teacher(self.network("128-64"), self.dataset, settings, seed=seed)
        self.distillation = DistillationSettings(epochs=20, batch_size=128, learning_rate=5e-3)
        self.students = {}

    def network(self, hidden):
        """Dense layers of so many units."""
        import keras

        layers = [keras.Input(self.dataset.input_shape)]
        for number, width in enumerate(map(int, hidden.split("-")), 1):
            layers += [keras.layers.Dense(width, name=f"fc{number}"), keras.layers.ReLU(name=f"relu{number}")]
        return keras.Sequential([*layers, keras.layers.Dense(self.dataset.n_classes, name="logits")])

    def front(self, hidden, arguments, *, alpha=None, **changed):
        """Rows of a front, and the front itself; `alpha` and settings replace those of the method."""
        from codesign.compression.learned.learn import learn_widths
        from codesign.core.yaml_text import read_assignments
        from codesign.settings import LearnedSettings
        from codesign.training.distill import distill_student

        if hidden not in self.students:
            self.students[hidden] = distill_student(
                self.network(hidden), self.teacher, self.dataset, self.distillation, seed=self.seed
            ).network
        given = read_assignments(arguments.set, "--set")
        learned = LearnedSettings(steps=arguments.steps, **{**given, **changed})
        lesson = self.distillation if alpha is None else self.distillation.model_copy(update={"alpha": alpha})
        started = time.monotonic()
        front = learn_widths(
            self.students[hidden], self.teacher, self.dataset, learned, lesson, seed=self.seed
        )
        seconds = time.monotonic() - started
        print(
            f"{self.name} {self.seed} {hidden}: {len(front.points)} points in {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        rows = [
            {
                "network": hidden,
                "steps": arguments.steps,
                "luts": point.luts,
                "validation": point.quality,
                "test": point.test_quality,
            }
            for point in front.points
        ]
        return rows, front

    def with_adders(self, hidden, front) -> list[dict]:
        """The rows of a front whose roundings to nearest even are built as adders."""
        from unittest.mock import patch

        from codesign.compression.learned.formats import network_of
        from codesign.compression.learned.learn import luts_of
        from codesign.compression.learned.values import LearnableNetwork
        from codesign.cost import adder_trees, luts
        from codesign.networks.prepare import prepare_for_quantization

        learnable = LearnableNetwork(prepare_for_quantization(self.students[hidden]), self.dataset.x_train)
        never = patch.object(adder_trees, "_rounded", lambda _, total, __, result: (total, result.rounding))
        with never, patch.object(luts, "_memory", {}):
            return [
                {
                    "luts": luts_of(*network_of(learnable, point.snapshot)),
                    "validation": point.quality,
                    "test": point.test_quality,
                }
                for point in front.points
            ]


WITHOUT = {
    "weights: a width for each channel": {"weight_widths": "channel"},
    "weights: one width": {"weight_widths": "tensor"},
    "results: one binary point a layer": {"result_widths": "tensor"},
    "labels alone, no teacher": {"alpha": 1.0},
    "price of bits, not signed digits": {"price_of": "bits"},
}
"""What takes the place of an ingredient."""


def ablations(path, seed, arguments):
    """What each training is without, and its rows: that of the whole method first."""
    task, (first, *more) = Task(path, seed, arguments.scaling), arguments.hidden
    whole, front = task.front(first, arguments)
    yield "whole", whole
    yield "rounding by adders", task.with_adders(first, front)
    for name, change in WITHOUT.items():
        yield name, task.front(first, arguments, **change)[0]
    if arguments.scaling != "standard":
        yield "standardised features", Task(path, seed, "standard").front(first, arguments)[0]
    if more:
        others = [row for hidden in more for row in task.front(hidden, arguments)[0]]
        yield f"the best of {', '.join(arguments.hidden)}", whole + others


def ablate(arguments, levels) -> int:
    """Print what each ingredient is worth."""
    ratios: dict[tuple[str, str], list[float]] = {}
    missed: dict[tuple[str, str], int] = {}
    rows, seeds = [], arguments.seeds or [0]
    for path, seed in itertools.product(arguments.data, seeds):
        whole: list[dict] = []
        for name, found in ablations(path, seed, arguments):
            rows += [{"data": path.stem, "seed": seed, "ingredient": name, **row} for row in found]
            if arguments.output:
                arguments.output.write_text(json.dumps(rows, indent=1))
            whole = whole or found
            for level in levels[path.stem] if found is not whole else ():
                pair = luts_at(found, level), luts_at(whole, level)
                if all(pair):
                    ratios.setdefault((name, path.stem), []).append(pair[0] / pair[1])
                elif pair[1]:
                    missed[name, path.stem] = missed.get((name, path.stem), 0) + 1
    print(f"LUTs against the whole method, {arguments.steps:,} steps, seeds {seeds}\n")
    print(
        "| instead | data | LUTs | from | to | levels not reached |\n| --- | --- | ---: | ---: | ---: | ---: |"
    )
    for name, data in dict.fromkeys([*ratios, *missed]):
        found = ratios.get((name, data), [])
        figures = (np.exp(np.log(found).mean()), min(found), max(found)) if found else ()
        shown = " | ".join([f"{value:.2f}" for value in figures] or ["-"] * 3)
        print(f"| {name} | {data} | {shown} | {missed.get((name, data), 0)} |")
    return 0


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
