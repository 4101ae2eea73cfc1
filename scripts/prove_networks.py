"""Convert and verify networks in the style of published ones: random weights and widths, every rung, no mismatch.

    python scripts/prove_networks.py            # all of them, some minutes
    python scripts/prove_networks.py --quick    # one of each kind of layer, without the Verilog
    python scripts/prove_networks.py --only conv --seed 7

Every network is quantized with random formats, converted by hls4ml, and computed by QKeras, the emulation and the
project's C++ (g++); those that are small enough also by alkaid's interpreter and by the Verilated RTL. The exit code is
1 if one bit of one sample differs; then the mismatch doctor says where and why.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codesign.networks.backend import import_backend

import_backend()

import keras  # noqa: E402
from keras import layers  # noqa: E402

from codesign.core.fixed_point import FixedPoint  # noqa: E402
from codesign.core.precision_map import LayerPrecision, PrecisionMap  # noqa: E402
from codesign.core.target import Strategy, Target  # noqa: E402
from codesign.emulation import Emulator  # noqa: E402
from codesign.errors import ConversionError  # noqa: E402
from codesign.hardware import with_proven_accumulators  # noqa: E402
from codesign.hls.convert import HardwareChoices, LayerHardware, convert_graph  # noqa: E402
from codesign.hls.graph import read_graph  # noqa: E402
from codesign.hls.project import HlsProject, write_project  # noqa: E402
from codesign.hls.reuse import legal_reuse_factors, shape_of  # noqa: E402
from codesign.networks.build import build_float, build_quantized  # noqa: E402
from codesign.networks.describe import describe  # noqa: E402
from codesign.networks.description import Network  # noqa: E402
from codesign.networks.layer_outputs import trace_layers  # noqa: E402
from codesign.networks.logits import predict_logits  # noqa: E402
from codesign.networks.prepare import hardware_form, prepare_for_quantization  # noqa: E402
from codesign.rtl.project import write_rtl  # noqa: E402
from codesign.verification import RUNGS, Verification, climb, diagnose_project, rtl_rungs  # noqa: E402

Weights = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Subject:
    """A network to prove: what makes it, what its weights are, and how much of the ladder it climbs."""

    name: str
    make: Callable[[], keras.Model]
    weights: Weights | None = None
    rungs: str = "interpreter"  # or "verilated", or "software"
    quick: bool = False


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
)


def dense(*units: int, n_in: int, normalised: bool = False) -> keras.Model:
    """Dense layers with rectifiers between."""
    x = inputs = keras.Input((n_in,))
    for index, count in enumerate(units):
        x = layers.Dense(count, name=f"fc{index + 1}")(x)
        if index < len(units) - 1:
            x = layers.BatchNormalization(name=f"bn{index + 1}")(x) if normalised else x
            x = layers.Activation("relu", name=f"relu{index + 1}")(x)
    return keras.Model(inputs, x)


def conv1d() -> keras.Model:
    """A convolution over a sequence, as for waveforms."""
    inputs = keras.Input((16, 3))
    x = layers.Conv1D(6, 3, padding="same", activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling1D(2, name="pool1")(x)
    x = layers.Conv1D(4, 3, activation="relu", name="conv2")(x)
    return keras.Model(inputs, layers.Dense(5, name="logits")(layers.Flatten(name="flat")(x)))


def lenet() -> keras.Model:
    """Convolution, pooling, convolution, pooling, dense, dense (LeCun et al. 1998, made small)."""
    inputs = keras.Input((12, 12, 1))
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Conv2D(6, 2, activation="relu", name="conv2")(x)
    x = layers.AveragePooling2D(2, name="pool2")(x)
    x = layers.Dense(16, activation="relu", name="fc1")(layers.Flatten(name="flat")(x))
    return keras.Model(inputs, layers.Dense(10, name="logits")(x))


def separable() -> keras.Model:
    """A depthwise convolution followed by a pointwise one (Howard et al. 2017)."""
    inputs = keras.Input((8, 8, 3))
    x = layers.DepthwiseConv2D(3, name="depthwise")(inputs)
    x = layers.Activation("relu", name="relu1")(x)
    x = layers.Conv2D(6, 1, activation="relu", name="pointwise")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    return keras.Model(inputs, layers.Dense(4, name="logits")(layers.Flatten(name="flat")(x)))


def residual() -> keras.Model:
    """A dense block with a shortcut around it (He et al. 2016)."""
    inputs = keras.Input((16,))
    x = layers.Dense(16, activation="relu", name="fc1")(inputs)
    y = layers.Dense(16, activation="relu", name="fc2")(x)
    y = layers.Dense(16, name="fc3")(y)
    x = layers.Activation("relu", name="joined")(layers.Add(name="add")([x, y]))
    return keras.Model(inputs, layers.Dense(5, name="logits")(x))


def residual_conv() -> keras.Model:
    """A convolution with a shortcut around it."""
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="conv1")(inputs)
    y = layers.Conv2D(3, 3, padding="same", name="conv2")(x)
    x = layers.Activation("relu", name="joined")(layers.Add(name="add")([x, y]))
    x = layers.MaxPooling2D(2, name="pool")(x)
    return keras.Model(inputs, layers.Dense(4, name="logits")(layers.Flatten(name="flat")(x)))


def branches() -> keras.Model:
    """Two branches side by side, joined by a concatenation."""
    inputs = keras.Input((10,))
    a = layers.Dense(8, activation="relu", name="left")(inputs)
    b = layers.Dense(6, activation="relu", name="right")(inputs)
    x = layers.Dense(8, activation="relu", name="fc")(layers.Concatenate(name="both")([a, b]))
    return keras.Model(inputs, layers.Dense(4, name="logits")(x))


def pooling() -> keras.Model:
    """Maximum and average pooling in both kinds of padding, and explicit zeros."""
    inputs = keras.Input((10, 10, 2))
    x = layers.ZeroPadding2D(1, name="zeros")(inputs)
    x = layers.MaxPooling2D(2, name="most")(x)
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    x = layers.AveragePooling2D(2, name="mean")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(layers.Flatten(name="flat")(x)))


def pruned(kernel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Zero the smallest 80 %."""
    return np.where(np.abs(kernel) < np.quantile(np.abs(kernel), 0.8), 0.0, kernel)


def binary(kernel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Minus one and one (Courbariaux et al. 2016)."""
    return rng.choice([-1.0, 1.0], kernel.shape)


def ternary(kernel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Minus one, zero and one (Li et al. 2016)."""
    return rng.choice([-1.0, 0.0, 1.0], kernel.shape)


SUBJECTS = (
    Subject("jets 16-64-32-32-5", lambda: dense(64, 32, 32, 5, n_in=16)),
    Subject("pruned 80 % 16-64-32-32-5", lambda: dense(64, 32, 32, 5, n_in=16), pruned),
    Subject("normalised 16-32-16-5", lambda: dense(32, 16, 5, n_in=16, normalised=True)),
    Subject("ternary 16-32-16-5", lambda: dense(32, 16, 5, n_in=16), ternary),
    Subject("binary 16-32-16-5", lambda: dense(32, 16, 5, n_in=16), binary),
    Subject("small 8-10-4", lambda: dense(10, 4, n_in=8), rungs="verilated", quick=True),
    Subject("pruned 80 % 16-24-5", lambda: dense(24, 5, n_in=16), pruned, rungs="verilated"),
    Subject("residual add", residual, rungs="verilated"),
    Subject("concatenation", branches, rungs="verilated"),
    Subject("conv1d", conv1d),
    Subject("conv2d (LeNet)", lenet),
    Subject("depthwise separable", separable, quick=True),
    Subject("residual conv2d", residual_conv),
    Subject("pooling", pooling),
)


def random_formats(network: Network, rng: np.random.Generator, weights: Weights | None) -> PrecisionMap:
    """Random widths, narrow enough that QKeras' float32 is exact: 24 bits hold every sum."""

    def fixed(least: int, most: int, integer: int, signed: bool = True) -> FixedPoint:
        width = int(rng.integers(least, most, endpoint=True))
        return FixedPoint(width, integer + signed, signed, "RND_CONV", "SAT")

    two_bits = FixedPoint(2, 2, True, "RND_CONV", "SAT")
    formats = {}
    for layer in network.layers:
        if "kernel" in layer.weights:
            kernel = (
                two_bits
                if weights in (binary, ternary)
                else fixed(4, 7, int(rng.integers(0, 1, endpoint=True)))
            )
            formats[layer.name] = LayerPrecision(kernel, fixed(4, 7, 1) if "bias" in layer.weights else None)
        elif layer.kind in ("relu", "linear"):
            result = fixed(4, 7, int(rng.integers(1, 3, endpoint=True)), signed=layer.kind == "linear")
            formats[layer.name] = LayerPrecision(result=result)
    return PrecisionMap(fixed(5, 8, int(rng.integers(1, 3, endpoint=True))), formats)


def random_network(subject: Subject, rng: np.random.Generator) -> Network:
    """The subject's network with random weights, its normalisations folded."""
    keras.utils.set_random_seed(int(rng.integers(1 << 30)))
    network = prepare_for_quantization(describe(subject.make()))

    def fill(layer):
        if "kernel" not in layer.weights:
            return layer
        shape = layer.weights["kernel"].shape
        kernel = rng.normal(0, 2 / np.sqrt(np.prod(shape[:-1])), shape)
        new = {"kernel": kernel if subject.weights is None else subject.weights(kernel, rng)}
        if "bias" in layer.weights:
            new["bias"] = rng.normal(0, 0.5, layer.weights["bias"].shape)
        return layer.with_weights(**new)

    return network.map_layers(fill)


def random_choices(graph, start: HardwareChoices, io_type: str, rng: np.random.Generator) -> HardwareChoices:
    """A legal reuse factor for every layer that can have another one than 1; latency takes 1."""
    chosen = dict(start.layers)
    for layer in graph.get_layers():
        shape = shape_of(layer)
        if shape is not None and start.strategy != "latency":
            legal = legal_reuse_factors(shape, start.strategy, io_type)
            chosen[layer.name] = LayerHardware(int(rng.choice(legal[:6])), start.strategy)
    return replace(start, layers=chosen)


def convert(
    network: Network, precision: PrecisionMap, variant: Variant, rng: np.random.Generator, folder: Path
):
    """Make hls4ml's graph as the chain does: with accumulators that are proved to be wide enough."""
    network, precision = hardware_form(network, precision)
    model, target = build_float(network), Target(backend=variant.backend, io_type=variant.io_type)
    # hls4ml has no depthwise convolution of resource strategy for io_parallel
    depthwise = [layer.name for layer in network.layers if layer.kind == "depthwise_conv2d"]
    start = HardwareChoices(variant.strategy, 1, dict.fromkeys(depthwise, LayerHardware(1, "latency")))
    graph = convert_graph(model, precision, target, start, folder)
    choices = random_choices(graph, start, variant.io_type, rng)
    precision = with_proven_accumulators(precision, Emulator.of(read_graph(graph)))
    return convert_graph(model, precision, target, choices, folder), target


def prove(
    subject: Subject, variant: Variant, seed: int, folder: Path, *, samples: int, quick: bool
) -> tuple[Verification, str]:
    """Climb every rung that there is; also say what was left out, or what the doctor found."""
    rng = np.random.default_rng(seed)
    network = random_network(subject, rng)
    precision = random_formats(network, rng, subject.weights)
    graph, target = convert(network, precision, variant, rng, folder / "hls")
    model = build_quantized(network, precision)
    shape = (samples, *network.input_shape)
    low, high = precision.input.code_limits
    x = (rng.integers(low, high, shape, endpoint=True) * precision.input.step).astype(np.float32)
    golden = predict_logits(model, x)
    project = write_project(graph, folder / "hls", target, vectors=x[:20], golden=golden[:20])
    rungs, note = dict(RUNGS), ""
    if not quick and variant is VARIANTS[0] and subject.rungs != "software":
        try:
            open_rungs = rtl_rungs(write_rtl(project.graph(), folder / "rtl"))
            wanted = open_rungs if subject.rungs == "verilated" else list(open_rungs)[:1]
            rungs |= {name: open_rungs[name] for name in wanted}
        except ConversionError as reason:
            note = f"no RTL: {reason}"
    table = climb(project, x, golden, rungs=rungs)
    return table, note if table.agrees else what_differs(project, model, x)


def what_differs(project: HlsProject, model: keras.Model, x: np.ndarray) -> str:
    """Ask the mismatch doctor."""
    names = [node.name for node in project.graph()]
    found = diagnose_project(project, x, reference=trace_layers(model, x, names))
    return "no layer of the emulation or the C++ differs" if found is None else found.sentence


def plan(only: str, quick: bool) -> list[tuple[int, Subject, Variant]]:
    """Every network in two variants of hardware, all four in turn; the quick ones in one. The number makes the seed."""
    pairs = []
    for index, subject in enumerate(SUBJECTS):
        if only in subject.name and (subject.quick or not quick):
            second = VARIANTS[1 + index % (len(VARIANTS) - 1)]
            pairs += [] if quick else [(2 * index, subject, VARIANTS[0])]
            pairs.append((2 * index + 1, subject, second))
    return pairs


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, prove one network after the other, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few small networks, without the Verilog")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=1000)
    given = parser.parse_args(arguments)
    print("| network | hardware | samples | rung: mismatches | seconds |\n| --- | --- | --- | --- | --- |")
    climbed = mismatches = compared = 0
    pairs = plan(given.only, given.quick)
    for number, subject, variant in pairs:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            table, note = prove(
                subject,
                variant,
                given.seed * 1000 + number,
                Path(folder),
                samples=given.samples,
                quick=given.quick,
            )
        cells = ", ".join(
            f"{rung.name}: {rung.mismatches if rung.skipped is None else 'skipped'}" for rung in table.rungs
        )
        print(
            f"| {subject.name} | {variant} | {given.samples} | {cells} | {time.monotonic() - started:.0f} |",
            flush=True,
        )
        if note:
            print(f"  {note}", flush=True)
        done = [rung for rung in table.rungs if rung.skipped is None]
        climbed += len(done)
        compared += sum(rung.samples for rung in done)
        mismatches += sum(rung.mismatches for rung in done)
    print(
        f"\n{len(pairs)} projects, {climbed} rungs, {compared} samples compared with QKeras, {mismatches} mismatches"
    )
    return 1 if mismatches or not climbed else 0


if __name__ == "__main__":
    sys.exit(main())
