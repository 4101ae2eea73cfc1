"""Convert and verify networks in the style of published ones: random weights and widths, every rung, no mismatch.

    python scripts/prove_networks.py            # all of them, an hour or more on two cores
    python scripts/prove_networks.py --quick    # two small ones, without the Verilog
    python scripts/prove_networks.py --only conv --seed 7

Every network is quantized with random formats, converted by hls4ml in two kinds of hardware, and computed by QKeras, the
emulation and the project's C++ (g++); one of the two also by alkaid's interpreter and by the Verilated RTL, which know
no strategies and no reuse (and no recurrent layers). The networks hold every kind of layer of `codesign.core.layers`, which
are trained under quantization first. The exit code is 1 if one bit of one sample differs, or if a rung could not be climbed; the
mismatch doctor says where and why.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from codesign.networks.backend import import_backend

import_backend()

import keras  # noqa: E402
from proof_subjects import SUBJECTS, Subject, Weights, binary, ternary  # noqa: E402

from codesign import load_dataset  # noqa: E402
from codesign.compression.quantize import QuantizedStudent, quantize_student  # noqa: E402
from codesign.core.fixed_point import FixedPoint  # noqa: E402
from codesign.core.ports import side_by_side  # noqa: E402
from codesign.core.precision_map import LayerPrecision, PrecisionMap  # noqa: E402
from codesign.core.record import Record  # noqa: E402
from codesign.core.target import Strategy, Target  # noqa: E402
from codesign.emulation import Emulator  # noqa: E402
from codesign.emulation.emulator import with_proven_accumulators  # noqa: E402
from codesign.hls.convert import HardwareChoices, LayerHardware, convert_graph  # noqa: E402
from codesign.hls.graph import read_graph  # noqa: E402
from codesign.hls.project import HlsProject, write_project  # noqa: E402
from codesign.hls.reuse import legal_reuse_factors, shape_of  # noqa: E402
from codesign.networks.build import build_float, build_quantized  # noqa: E402
from codesign.networks.description import Network  # noqa: E402
from codesign.networks.exact import build_exact, exceeds_float32  # noqa: E402
from codesign.networks.layer_outputs import trace_layers  # noqa: E402
from codesign.networks.logits import predict_logits  # noqa: E402
from codesign.networks.prepare import hardware_form, prepare_for_quantization  # noqa: E402
from codesign.networks.read_keras import read_keras  # noqa: E402
from codesign.settings import DistillationSettings, QuantizationSettings  # noqa: E402
from codesign.training.teacher import Teacher  # noqa: E402
from codesign.verification import Verification, compare, diagnose_project, ladder_rungs  # noqa: E402


@dataclass(frozen=True)
class Variant:
    """One way to build hardware."""

    backend: str
    io_type: str
    strategy: Strategy

    def __str__(self) -> str:
        return f"{self.backend} {self.io_type} {self.strategy}"


VARIANTS = (
    Variant("Vitis", "io_parallel", "latency"),
    Variant("Vivado", "io_stream", "resource"),
    Variant("Vivado", "io_parallel", "resource"),
    Variant("Vitis", "io_stream", "latency"),
    Variant("Vitis", "io_stream", "unrolled"),
    # hls4ml's distributed arithmetic needs a package that is not always there
    *([Variant("Vitis", "io_parallel", "distributed_arithmetic")] if find_spec("da4ml") else []),
)


def random_formats(network: Network, rng: np.random.Generator, weights: Weights | None) -> PrecisionMap:
    """Random widths, narrow enough that QKeras' float32 is exact: 24 bits hold every sum."""

    def fixed(least: int, most: int, integer: int, signed: bool = True) -> FixedPoint:
        width = int(rng.integers(least, most, endpoint=True))
        return FixedPoint(width, integer + signed, signed, "RND_CONV", "SAT")

    two_bits = FixedPoint(2, 2, True, "RND_CONV", "SAT")
    formats = {}
    for layer in network.layers:
        if layer.row.role == "product":
            kernel = (
                two_bits
                if weights in (binary, ternary)
                else fixed(4, 7, int(rng.integers(0, 1, endpoint=True)))
            )
            formats[layer.name] = LayerPrecision(kernel, fixed(4, 7, 1) if "bias" in layer.weights else None)
        elif layer.kind == "input" and len(network.inputs) > 1:
            result = fixed(5, 8, int(rng.integers(1, 3, endpoint=True)))
            formats[layer.name] = LayerPrecision(result=network.index_formats.get(layer.name, result))
        elif layer.row.role == "point":
            result = fixed(4, 7, int(rng.integers(1, 3, endpoint=True)), signed=layer.row.signed)
            slope = fixed(6, 8, 1) if layer.row.parameter else None
            formats[layer.name] = LayerPrecision(weight=slope, result=result)
    given = fixed(5, 8, int(rng.integers(1, 3, endpoint=True)))
    return PrecisionMap(network.index_formats.get(network.inputs[0].name, given), formats)


def random_network(subject: Subject, rng: np.random.Generator) -> Network:
    """The subject's network with random weights, its normalisations folded."""
    keras.utils.set_random_seed(int(rng.integers(1 << 30)))
    network = prepare_for_quantization(read_keras(subject.make()))

    def fill(layer):
        if layer.row.role == "point" and not layer.row.recurrent:
            drawn = {key: rng.normal(0, 0.5, values.shape) for key, values in layer.weights.items()}
            return layer.with_weights(**drawn)
        if layer.row.role != "product":
            return layer
        shape = layer.weights["kernel"].shape
        kernel = rng.normal(0, 2 / np.sqrt(np.prod(shape[:-1])), shape)
        new = {"kernel": kernel if subject.weights is None else subject.weights(kernel, rng)}
        if "bias" in layer.weights:
            new["bias"] = rng.normal(0, 0.5, layer.weights["bias"].shape)
        return layer.with_weights(**new)

    return network.map_layers(fill)


def random_choices(graph, variant: Variant, rng: np.random.Generator) -> HardwareChoices:
    """A legal reuse factor for every layer that hls4ml has such a kernel for; the others stay as they are."""
    chosen = {}
    for layer in graph.get_layers():
        shape = shape_of(layer)
        if shape is not None and variant.strategy != "latency":
            legal = legal_reuse_factors(shape, variant.strategy, variant.io_type)
            if legal:
                chosen[layer.name] = LayerHardware(int(rng.choice(legal[:6])), variant.strategy)
    return HardwareChoices("latency", 1, chosen)


def convert(
    network: Network, precision: PrecisionMap, variant: Variant, rng: np.random.Generator, folder: Path
):
    """Make hls4ml's graph as the chain does: with accumulators that are proved to be wide enough."""
    network, precision = hardware_form(network, precision)
    model, target = build_float(network), Target(backend=variant.backend, io_type=variant.io_type)
    graph = convert_graph(model, precision, target, HardwareChoices(), folder)
    choices = random_choices(graph, variant, rng)
    precision = with_proven_accumulators(precision, Emulator.of(read_graph(graph)))
    return convert_graph(model, precision, target, choices, folder), target


def trained(
    network: Network, precision: PrecisionMap, rng: np.random.Generator, folder: Path
) -> QuantizedStudent:
    """The network after an epoch of training under quantization, with a teacher of random logits."""
    n_outputs = network.outputs[0].shape[-1]
    y = np.arange(120) % n_outputs
    x = rng.normal(size=(len(y), *network.input_shape)).astype(np.float32)
    if network.index_formats:
        x = on_grid(network, precision, len(y), rng)
    np.savez(folder / "random.npz", X=x, y=y)
    data = load_dataset(folder / "random.npz", scaling="none")
    parts = (data.y_train, data.y_validation, data.y_test)
    logits = (rng.normal(size=(len(part), n_outputs)).astype(np.float32) for part in parts)
    teacher = Teacher(None, *logits, None, Record.of("", {}))
    settings = QuantizationSettings(epochs=1, learning_rate=0.01)
    return quantize_student(network, precision, teacher, data, settings, DistillationSettings(), seed=0)


@dataclass(frozen=True)
class Proof:
    """What became of one network in one kind of hardware; `outputs` counts the different results of QKeras."""

    table: Verification
    outputs: int
    note: str = ""


def prove(subject: Subject, variant: Variant, seed: int, folder: Path, *, samples: int, quick: bool) -> Proof:
    """Climb every rung that there is; if one differs, also say what the mismatch doctor found."""
    rng = np.random.default_rng(seed)
    network = random_network(subject, rng)
    precision = random_formats(network, rng, subject.weights)
    if subject.trained:
        student = trained(network, precision, rng, folder)
        network, precision = student.network, student.precision
    graph, target = convert(network, precision, variant, rng, folder / "hls")
    model = build_quantized(network, precision)
    if exceeds_float32(network, precision):
        model = build_exact(network, precision)
    x = on_grid(network, precision, samples, rng)
    golden = predict_logits(model, x)
    project = write_project(graph, folder / "hls", target, vectors=x[:20], golden=golden[:20])
    recurrent = any(layer.row.recurrent for layer in network.layers)
    open_too = not quick and variant is VARIANTS[0] and not recurrent
    words = ["emulation", "csim", *(["interpreter", "rtl"] if open_too else [])]
    table = compare(project, x, golden, rungs=ladder_rungs(words))
    outputs = len(np.unique(golden, axis=0))
    return Proof(table, outputs, "" if table.agrees else what_differs(project, model, x))


def on_grid(network: Network, precision: PrecisionMap, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Inputs of any codes of their formats, several side by side."""
    parts = []
    for port in network.inputs:
        grid = precision.of_input(port.name)
        codes = rng.integers(*grid.code_limits, (samples, *port.shape), endpoint=True)
        parts.append((codes * grid.step).astype(np.float32))
    return parts[0] if len(parts) == 1 else side_by_side(parts)


def what_differs(project: HlsProject, model: keras.Model, x: np.ndarray) -> str:
    """Ask the mismatch doctor."""
    names = [node.name for node in project.graph()]
    found = diagnose_project(project, x, reference=trace_layers(model, x, names))
    return "no layer of the emulation or the C++ differs" if found is None else found.sentence


def plan(only: str, quick: bool) -> list[tuple[int, Subject, Variant]]:
    """Every network in two variants of hardware, the second in turn; the quick ones in one. The number makes the seed."""
    pairs = []
    for index, subject in enumerate(SUBJECTS):
        if only in subject.name and (subject.quick or not quick):
            others = [each for each in VARIANTS[1:] if each.io_type == "io_parallel" or not subject.parallel]
            second = others[index % len(others)]
            pairs += [] if quick else [(2 * index, subject, VARIANTS[0])]
            pairs.append((2 * index + 1, subject, second))
    return pairs


def show(subject: Subject, variant: Variant, proof: Proof, seconds: float) -> None:
    """Print a line of the table, and below it what was skipped or differs."""
    rungs = proof.table.rungs
    cells = ", ".join(f"{rung.name}: {'skipped' if rung.skipped else rung.mismatches}" for rung in rungs)
    print(f"| {subject.name} | {variant} | {proof.outputs} | {cells} | {seconds:.0f} |")
    for note in (*(f"{rung.name}: {rung.skipped}" for rung in rungs if rung.skipped), proof.note):
        if note:
            print(f"  {note}")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, prove one network after the other, print the table and the total."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two small networks, without the Verilog")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=1000)
    given = parser.parse_args(arguments)
    print(
        "| network | hardware | different outputs | rung: mismatches | seconds |\n| --- | --- | --- | --- | --- |"
    )
    proofs = []
    for number, subject, variant in plan(given.only, given.quick):
        started = time.monotonic()
        seed = given.seed * 1000 + number
        with tempfile.TemporaryDirectory() as folder:
            proof = prove(subject, variant, seed, Path(folder), samples=given.samples, quick=given.quick)
        show(subject, variant, proof, time.monotonic() - started)
        proofs.append(proof)
    rungs = [rung for proof in proofs for rung in proof.table.rungs]
    skipped, mismatches = (
        sum(rung.skipped is not None for rung in rungs),
        sum(rung.mismatches for rung in rungs),
    )
    print(
        f"\n{len(proofs)} projects, {len(rungs) - skipped} rungs, {skipped} skipped, "
        f"{sum(rung.samples for rung in rungs)} samples compared with QKeras, {mismatches} mismatches"
    )
    constant = any(proof.outputs < 2 for proof in proofs)
    return 1 if mismatches or skipped or constant or not rungs else 0


if __name__ == "__main__":
    sys.exit(main())
