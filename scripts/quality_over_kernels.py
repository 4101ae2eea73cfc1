"""How far a design's quality and size move with the kernels that TensorFlow computes with, as from machine to machine.

    python scripts/quality_over_kernels.py models/tiny

The design is run to its quantized student with TensorFlow's own kernels, with oneDNN's, and with those that oneDNN takes on an
older processor. Runs that are finished already are only read.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

KERNELS = {
    "tensorflow": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "onednn": {"TF_ENABLE_ONEDNN_OPTS": "1"},
    "avx2": {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}
"""Environment variables by the kernels' name."""


def main() -> int:
    """Run with each kind of kernels, print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("design", type=Path)
    parser.add_argument("--output", type=Path, default=Path("hls_projects/kernels"), help="where the runs go")
    arguments = parser.parse_args()
    for name, variables in KERNELS.items():
        folder = arguments.output / name
        words = [
            "-m",
            "codesign",
            "run",
            str(arguments.design),
            "--until",
            "quantization",
            "--output",
            str(folder),
        ]
        done = subprocess.run(
            [sys.executable, *words], env={**os.environ, **variables}, stdout=subprocess.DEVNULL, check=False
        )
        if done.returncode != 0:
            return done.returncode
        teacher, student = (
            json.loads((folder / stage / "stage.json").read_text(encoding="utf-8"))["record"]["metrics"]
            for stage in ("teacher", "quantization")
        )
        print(
            f"{name}: teacher {teacher['test_accuracy']:.4f}, student {student['test_accuracy']:.4f}, "
            f"{student['bops']:,.0f} BOPs",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
