"""Measure the open RTL path on the jet network: writing, Verilator, simulation and Yosys, dense and pruned.

    python scripts/bench_rtl.py
    python scripts/bench_rtl.py --bits 4 --samples 100000 --output bench.json

The network is that of the hls4ml papers, 16-64-32-32-5 (`models/jets`), with random weights: dense, and with the smallest
80 % of the weights of each layer zero. Weights, biases and activations have as many bits as asked for, the inputs two more.
The exit code is 1 if csim, the interpreter or the simulation differs from the emulation in one bit, or if building the simulation
takes 60 s or Yosys 180 s.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from proof_subjects import SUBJECTS, Subject
from prove_networks import VARIANTS, convert, random_network

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.emulation import emulate
from codesign.hls.csim import run_csim
from codesign.hls.graph import read_graph
from codesign.hls.project import HlsProject, write_project
from codesign.networks.description import Network
from codesign.rtl import build_simulation, interpret, simulate, synthesise, write_rtl

BUILD_LIMIT_S = 60.0
YOSYS_LIMIT_S = 180.0
NAMES = ("jets 16-64-32-32-5", "pruned 80 % 16-64-32-32-5")


def formats(network: Network, bits: int) -> PrecisionMap:
    """The same width everywhere; two integer bits, of which a sign takes one."""

    def fixed(width: int, signed: bool = True) -> FixedPoint:
        return FixedPoint(width, 2, signed, "RND_CONV", "SAT")

    layers = {}
    for layer in network.layers:
        if "kernel" in layer.weights:
            layers[layer.name] = LayerPrecision(fixed(bits), fixed(bits))
        elif layer.kind in ("relu", "linear"):
            layers[layer.name] = LayerPrecision(result=fixed(bits, signed=layer.kind == "linear"))
    return PrecisionMap(fixed(bits + 2), layers)


def make(subject: Subject, bits: int, samples: int, seed: int, folder: Path) -> tuple[HlsProject, np.ndarray]:
    """The converted network as a project, and its inputs."""
    rng = np.random.default_rng(seed)
    network = random_network(subject, rng)
    precision = formats(network, bits)
    converted, target = convert(network, precision, VARIANTS[0], rng, folder)
    shape = (samples, *network.input_shape)
    x = rng.integers(*precision.input.code_limits, shape, endpoint=True) * precision.input.step
    golden = emulate(read_graph(converted), x)
    return write_project(converted, folder, target, vectors=x[:100], golden=golden[:100]), x


def measure(project: HlsProject, x: np.ndarray, folder: Path) -> dict[str, Any]:
    """Climb the open path once, every part with its wall time."""
    graph = project.graph()
    right = emulate(graph, x)
    csim = run_csim(project, x)
    started = time.monotonic()
    rtl = write_rtl(graph, folder)
    written = time.monotonic()
    simulation = build_simulation(rtl)
    built = time.monotonic()
    simulated = simulate(rtl, x)
    done = time.monotonic()
    others = (csim.outputs, interpret(rtl, x), simulated)
    differ = [int((outputs != right).any(axis=1).sum()) for outputs in others]
    counts = synthesise(rtl)
    return {
        "csim_compile_seconds": csim.compile_seconds,
        "csim_seconds": csim.run_seconds,
        "write_seconds": written - started,
        "verilator_build_seconds": simulation.build_seconds,
        "simulation_seconds": done - built,
        "yosys_seconds": counts.seconds,
        "mismatches": sum(differ),
        "lut": counts.lut,
        "lut_by_size": dict(counts.lut_by_size),
        "ff": counts.ff,
        "carry8": counts.carry8,
        "dsp": counts.dsp,
        **rtl.figures(),
        "lut_per_estimate": counts.lut / rtl.estimated_lut,
    }


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, measure both networks, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bits", type=int, default=6)
    parser.add_argument("--samples", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    given = parser.parse_args(arguments)
    rows: dict[str, dict[str, Any]] = {}
    for subject in (subject for subject in SUBJECTS if subject.name in NAMES):
        with tempfile.TemporaryDirectory() as folder:
            project, x = make(subject, given.bits, given.samples, given.seed, Path(folder) / "hls")
            rows[subject.name] = measure(project, x, Path(folder) / "rtl")
    print(
        f"| {given.bits} bits, {os.cpu_count()} cores | "
        + " | ".join(rows)
        + " |\n| --- |"
        + " --- |" * len(rows)
    )
    for name in next(iter(rows.values())):
        cells = [row[name] for row in rows.values()]
        texts = [f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in cells]
        print(f"| {name} | " + " | ".join(texts) + " |")
    if given.output is not None:
        given.output.write_text(json.dumps({"bits": given.bits, "networks": rows}, indent=2) + "\n")
    slow = [
        row
        for row in rows.values()
        if row["verilator_build_seconds"] >= BUILD_LIMIT_S or row["yosys_seconds"] >= YOSYS_LIMIT_S
    ]
    return 1 if slow or any(row["mismatches"] for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
