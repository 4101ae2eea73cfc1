"""How far the hardware student stays behind its teacher: mean and spread over seeds, on the test part.

    python scripts/quality_over_seeds.py models/digits --seeds 3
    python scripts/quality_over_seeds.py models/cnn --name learned --set quantization.method=learned

Each seed is a whole run, with its own folder, and the equality ladder: the accuracy is that of the hardware. Runs that
are finished already are only read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import mean, stdev

from codesign import run_design
from codesign.core.yaml_text import read_assignments
from codesign.errors import CodesignError


def main() -> int:
    """Parse the arguments, run every seed, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("design", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="where the runs go; by default hls_projects/<design>")
    parser.add_argument("--set", nargs="*", default=[], help="settings, for example quantization.polish=true")
    parser.add_argument("--name", help="of the runs, before their seed; needed for settings of your own")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds must be at least 2: a spread needs two runs")
    if arguments.set and not (arguments.name or arguments.output):
        parser.error("--set: give these runs a --name or an --output of their own")
    given = read_assignments(arguments.set, "--set")
    rows = []
    for seed in range(arguments.seeds):
        place = (
            {"name": f"{arguments.name}-seed{seed}" if arguments.name else f"seed{seed}"}
            if arguments.output is None
            else {"output": arguments.output / f"seed{seed}"}
        )
        try:
            result = run_design(arguments.design, **place, overrides={**given, "seed": seed})
        except CodesignError as error:
            print(f"error: seed {seed}: {error}", file=sys.stderr)
            return 1
        stages = {row["stage"]: row for row in result.summary["stages"]}
        rows.append((stages["teacher"]["test_accuracy"], stages["quantization"]["test_accuracy"]))
        mismatches = sum(rung["mismatches"] for rung in result.summary["verification"]["rungs"])
        counted = (result.summary.get("rtl") or {}).get("lut")
        luts = "uncounted" if counted is None else f"{counted:,.0f}"
        print(
            f"seed {seed}: teacher {rows[-1][0]:.4f}, hardware {rows[-1][1]:.4f}, {luts} LUTs, {mismatches} mismatches",
            flush=True,
        )
    for name, values in (
        ("teacher", [teacher for teacher, _ in rows]),
        ("hardware", [student for _, student in rows]),
        ("teacher - hardware", [teacher - student for teacher, student in rows]),
    ):
        print(
            f"{name:20} {mean(values):.4f} +- {stdev(values):.4f} (mean and standard deviation of {len(values)} seeds)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
