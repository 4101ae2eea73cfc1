"""Does distillation pay, does pruning, and what is left of it in LUTs: a grid of students over seeds.

    python -m studies.compression --data pendigits.npz --design models/tiny --seeds 5

The grid is {labels alone, one teacher, an ensemble, an ensemble with specialists} x {float, quantization-aware training
with scanned widths} x {dense, pruned}. Every seed has its own split of the data, teachers and students; temperature,
alpha, widths and epochs are chosen on its validation part, all accuracies are those of its test part. Every quantized
student also becomes Verilog, whose LUTs, flip-flops and latency are counted (`--rtl-seeds` of the seeds, and its logic
is compared with the QKeras student on the whole test part).

`--precisions float,6` instead prunes inside quantization-aware training with 6 bits everywhere (arXiv:2102.11289), and
`--methods` compares ways to prune.

Results are kept in a file a seed as soon as they are there; the same command goes on where an interrupted one ended.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from pathlib import Path

from codesign.core.files import read_json, write_json
from codesign.core.yaml_text import read_assignments
from codesign.errors import CodesignError, SettingsError
from studies.compression.grid import AS_DESIGNED, FLOAT, METHODS, SCANNED, TEACHERS, Cell, Study
from studies.compression.seed import work


def main() -> int:
    """Run what is missing, then write the table and the plots."""
    arguments = _parse()
    try:
        study = _study(arguments)
        _measure(study, arguments.workers, arguments.rtl_seeds)
    except CodesignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    from studies.compression.results import write_results

    print(write_results(study, arguments.output / study.name))
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m studies.compression",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, help="digits, openml:..., or an .npz, .csv or .parquet file")
    parser.add_argument("--design", type=Path, required=True, help="a design folder: networks and settings")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rtl-seeds", type=int, help="how many seeds become Verilog; by default all")
    parser.add_argument("--teachers", default=",".join(TEACHERS))
    parser.add_argument("--precisions", default=f"{FLOAT},{SCANNED}", help="float, scan, or a number of bits")
    parser.add_argument("--sparsities", default="0,0.5,0.8,0.9")
    parser.add_argument("--methods", default=AS_DESIGNED, help=f"ways to prune, of {', '.join(METHODS)}")
    parser.add_argument("--members", type=int, default=5, help="teachers of the ensemble")
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="a setting of the design"
    )
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="seeds side by side"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/studies"))
    parser.add_argument("--name", help="the study's folder in there; by default of the data and the design")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds must be at least 2: a spread needs two runs")
    if arguments.rtl_seeds is None:
        arguments.rtl_seeds = arguments.seeds
    return arguments


def _study(arguments: argparse.Namespace) -> Study:
    """The grid, checked before anything is trained."""
    source = arguments.data
    if Path(source).suffix:
        source = str(Path(source).resolve())
    overrides = {**read_assignments(arguments.set, "--set"), "data.source": source}
    teachers = _words(arguments.teachers, TEACHERS, "--teachers")
    precisions = arguments.precisions.split(",")
    for word in precisions:
        if word not in (FLOAT, SCANNED) and not (word.isdigit() and 2 <= int(word) <= 16):
            raise SettingsError(f"--precisions: must be float, scan or 2 to 16, not {word!r}")
    sparsities = [float(word) for word in arguments.sparsities.split(",")]
    if any(not 0 <= sparsity < 1 for sparsity in sparsities):
        raise SettingsError(f"--sparsities: must be at least 0 and below 1, not {arguments.sparsities}")
    methods = _words(arguments.methods, tuple(METHODS), "--methods")
    grid = product(teachers, precisions, sparsities, methods)
    # what is not pruned is the same whatever the method
    cells = dict.fromkeys(
        Cell(teacher, precision, sparsity, method if sparsity > 0 else AS_DESIGNED)
        for teacher, precision, sparsity, method in grid
    )
    name = arguments.name or f"{Path(arguments.data).stem}-{arguments.design.name}"
    folder = arguments.output / name
    study = Study(name, arguments.design, overrides, arguments.members, tuple(cells), folder, arguments.seeds)
    return study.checked()


def _words(text: str, known: Sequence[str], option: str) -> list[str]:
    words = text.split(",")
    for word in words:
        if word not in known:
            raise SettingsError(f"{option}: must be of {', '.join(known)}, not {word!r}")
    return words


def _measure(study: Study, workers: int, rtl_seeds: int) -> None:
    """Every seed's students side by side; then their RTL."""
    stamp = {"study": study.digest}
    path = study.folder / "study.json"
    if path.is_file() and read_json(path) != stamp:
        raise SettingsError(f"{study.folder} holds another study; remove it or choose another --output")
    write_json(path, stamp)
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    context = multiprocessing.get_context("spawn")
    for rtl, seeds in ((False, study.seeds), (True, rtl_seeds)):
        with ProcessPoolExecutor(min(workers, max(1, seeds)), mp_context=context) as pool:
            for done in as_completed([pool.submit(work, study, seed, rtl) for seed in range(seeds)]):
                done.result()


if __name__ == "__main__":
    sys.exit(main())
