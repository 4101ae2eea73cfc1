"""Does a search pay: LUTs of its front at the quality of a design made by hand; a random search of the same budget beside it.

    python scripts/bench_search_pays.py --design models/digits
    python scripts/bench_search_pays.py --design models/digits --data pendigits.npz --data dry_bean.npz

For each set of data the design is trained as it stands with every seed; its mean validation quality is what a search has to
reach, its LUTs (the estimate, as for every trial) what it has to save. Then TPE and random search vary the student's widths
and the learning rate and target of learned widths, each trial with all seeds; further points of their fronts become trials
without training. The table says the fewest LUTs of a trial of at least that validation quality, their share of the design's, and
the test quality of both, which no search reads. Everything is kept below --output; the same command goes on, with more --trials
too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import yaml

from codesign.core.yaml_text import read_assignments
from codesign.flow import run_design
from codesign.search.ledger import Ledger
from codesign.search.objectives import measure
from codesign.search.run import run_search
from codesign.stages import open_run

STEPS = "quantization.learned.steps"
TARGET = "quantization.learned.target_luts"
SPACE = {
    "student.width1": {"type": "int", "low": 8, "high": 64},
    "student.width2": {"type": "int", "low": 8, "high": 32},
    "quantization.learned.learning_rate": {"type": "float", "low": 0.002, "high": 0.05, "log": True},
}
TARGETS = (0.3, 0.9)
"""Of the LUTs of the design made by hand: between them the search looks for its own."""


def main() -> None:
    """Measure what is missing and print a line for each set and sampler."""
    options = _options()
    rows = []
    for data in options.data or [None]:
        name = options.design.name if data is None else Path(data).stem
        source = {} if data is None else {"data.source": _source(data)}
        hand = _by_hand(options, name, source)
        for sampler in options.samplers.split(","):
            row = {"data": name, "sampler": sampler, **_search(options, name, source, sampler, hand), **hand}
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    print(_table(rows))
    (options.output / "rows.json").write_text(json.dumps(rows, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--design", type=Path, required=True, help="the design made by hand")
    parser.add_argument("--data", action="append", help="instead of the design's; again for more")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samplers", default="tpe,random")
    parser.add_argument(
        "--steps", type=int, help="of learned widths, by hand and in a trial; left out, the design's"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="for design and trials"
    )
    parser.add_argument("--workers", type=int)
    parser.add_argument("--output", type=Path, default=Path("runs/search-pays"))
    options = parser.parse_args()
    if options.steps is not None:  # a quality is the best of all epochs, so both have as many
        options.set.append(f"{STEPS}={options.steps}")
    return options


def _source(data: str) -> str:
    return str(Path(data).resolve()) if Path(data).is_file() else data


def _by_hand(options: argparse.Namespace, name: str, source: dict[str, Any]) -> dict[str, float]:
    """The design as it stands: means over the seeds."""
    found = []
    for seed in range(options.seeds):
        folder = options.output / name / "by-hand" / f"seed{seed}"
        given = {**read_assignments(options.set, "--set"), **source, "seed": seed}
        run_design(options.design, output=folder, overrides=given, until="quantization")
        found.append({**measure(folder, ("quality", "luts")), "test": _test_quality(folder)})
    return {f"hand_{key}": statistics.fmean(row[key] for row in found) for key in found[0]}


def _search(
    options: argparse.Namespace, name: str, source: dict[str, Any], sampler: str, hand: dict[str, float]
) -> dict[str, Any]:
    home = options.output / name / sampler
    home.mkdir(parents=True, exist_ok=True)
    fixed = {
        **read_assignments(options.set, "--set"),
        **source,
        # learned widths prune by themselves
        "pruning.sparsity": 0.0,
        "pruning.epochs": 1,
        "quantization.method": "learned",
        "quantization.learned.last_price": 1e-3,
        # the widths of the scan are not read: one measurement of it is enough
        "scan.least_bits": 12,
        "scan.most_bits": 12,
        "scan.tolerance": 0.5,
    }
    low, high = (round(part * hand["hand_luts"]) for part in TARGETS)
    asked = {
        "design": str(options.design.resolve()),
        "space": {**SPACE, TARGET: {"type": "float", "low": low, "high": high, "log": True}},
        "settings": fixed,
        # a short training may not come down to its target, and a trial without a point within its budget fails
        "derived": {"quantization.learned.budget_luts": f"1.2 * {TARGET}"},
        "constraints": ["student.width2 <= student.width1"],
        "seeds": list(range(options.seeds)),
        "budget": {"trials": options.trials},
        # few at random, so that a short search is guided too
        "sampler": {"kind": sampler, "startup_trials": 4},
        "points": 8 * options.trials,
        "proof": False,
    }
    (home / "search.yaml").write_text(yaml.safe_dump(asked, sort_keys=False))
    ledger = run_search(home, workers=options.workers).ledger
    return _best(home / "search", ledger, hand)


def _best(folder: Path, ledger: Ledger, hand: dict[str, float]) -> dict[str, Any]:
    """The trial of fewest LUTs at the quality of the design."""
    complete = [line for line in ledger.trials.values() if line.state == "complete"]
    trained = sum(line.of is None for line in complete)
    able = [line for line in complete if line.values["quality"] >= hand["hand_quality"]]
    if not able:
        most = max((line.values["quality"] for line in complete), default=float("nan"))
        return {"trials": trained, "luts": None, "most_quality": most}
    line = min(able, key=lambda one: one.values["luts"])
    runs = sorted((folder / "runs" / f"{line.number:05}").glob("seed*"))
    return {
        "trials": trained,
        "trial": line.number,
        "quality": line.values["quality"],
        "luts": line.values["luts"],
        "share": line.values["luts"] / hand["hand_luts"],
        "test": statistics.fmean(_test_quality(run) for run in runs),
    }


def _test_quality(run: Path) -> float:
    context = open_run(run)
    return float(context.records["quantization"].metrics[f"test_{context.dataset.task.measure}"])


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| data | sampler | trained | LUTs by hand | LUTs found | share | validation by hand | found | test by hand | found |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        found = ["none", "", "", ""]
        if row["luts"] is not None:
            found = [
                f"{row['luts']:,.0f}",
                f"{row['share']:.2f}",
                f"{row['quality']:.4f}",
                f"{row['test']:.4f}",
            ]
        cells = [row["data"], row["sampler"], str(row["trials"]), f"{row['hand_luts']:,.0f}", *found[:2]]
        cells += [f"{row['hand_quality']:.4f}", found[2], f"{row['hand_test']:.4f}", found[3]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
