"""Compare the resources of runs, HLS projects, build folders and report files, and keep the comparison.

    python scripts/compare_resources.py hls_projects/digits/run small=hls_projects/digits/small --output comparison
    python scripts/compare_resources.py builds/*/ --reference builds/baseline

Prints a table for each stage (estimate, C synthesis, Yosys, Vivado synthesis, routed) and what each design differs by
from the reference, and writes comparison.html, .md, .csv and .json. Ends with 1 if a build cannot be trusted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from codesign.comparison import compare
from codesign.comparison.forms import comparison_tables, write_comparison
from codesign.errors import CodesignError
from codesign.terminal import show_tables


def main() -> int:
    """Parse the arguments, compare, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sources", nargs="+", metavar="[NAME=]PATH", help="run, project, build folder or report"
    )
    parser.add_argument(
        "--reference", help="name or path of what the others are held against; else the first"
    )
    parser.add_argument("--each-seed", action="store_true", help="no means over seeds")
    parser.add_argument("--output", type=Path, default=Path("comparison"), help="the folder that is written")
    arguments = parser.parse_args()
    try:
        comparison = compare(arguments.sources, reference=arguments.reference, each_seed=arguments.each_seed)
        show_tables(comparison_tables(comparison), comparison.notes)
        for ending in ("html", "md", "csv", "json"):
            print(write_comparison(comparison, arguments.output / f"comparison.{ending}"))
    except CodesignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if comparison.is_trustworthy else 1


if __name__ == "__main__":
    sys.exit(main())
