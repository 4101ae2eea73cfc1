"""Verify an HLS project: everything that can compute its numbers on this machine, bit for bit.

    python scripts/verify_project.py hls_projects/digits/run/project/hls
    python scripts/verify_project.py my_project --vectors vectors.npz

The vectors are the project's own test bench, or a .npz with `x` (on the input grid) and `golden`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from codesign.comparison.summary import ladder_table
from codesign.errors import CodesignError
from codesign.verification import read_vector_file, verify_project


def main() -> int:
    """Parse the arguments, climb the ladder, print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--vectors", type=Path, help="a .npz with x and golden")
    arguments = parser.parse_args()
    x = golden = None
    try:
        if arguments.vectors is not None:
            x, golden = read_vector_file(arguments.vectors)
        table = verify_project(arguments.project, x, golden)
        print(ladder_table(table.to_dict()).markdown())
        table.require_agreement()
    except CodesignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
