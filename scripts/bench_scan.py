"""Time per candidate of the bit-width scan against hls4ml's own C simulation, outputs compared bit for bit.

    python scripts/bench_scan.py

The network is 16-64-32-32-5 with random weights; the data are made up (normal features, the float network's own classes
as labels), 166 000 validation samples as in the jet set. A whole per-layer scan runs, and every trial counts. Then a
few of its candidates are converted, written, compiled and run by hls4ml (`ModelGraph.compile` and `predict`, g++), and
their outputs must equal the scan's in every bit.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from codesign.networks.backend import import_backend


def main() -> int:
    """Run both sides and print the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=166_000)
    parser.add_argument("--candidates", type=int, default=2, help="how many to run through hls4ml")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    import_backend()
    from codesign.compression.scan import scan_bit_widths
    from codesign.compression.scan_trials import ScannedNetwork
    from codesign.core.quality import accuracy
    from codesign.networks.prepare import prepare_for_quantization
    from codesign.settings import ScanSettings

    network, dataset = make(arguments.samples, arguments.seed)
    student = SimpleNamespace(network=network, record=SimpleNamespace(digest=network.digest))
    settings = ScanSettings(tolerance=0.02, calibration_samples=2000)
    started = time.perf_counter()
    scan = scan_bit_widths(student, dataset, settings)
    whole = time.perf_counter() - started
    trials = len(scan.trials)
    ours = scan.record.metrics["seconds_per_trial"]
    print(
        f"scan: {trials} trials on {len(dataset.x_validation)} samples in {whole:.1f} s, {1000 * ours:.1f} ms a trial",
        flush=True,
    )

    prepared = prepare_for_quantization(network)
    runner = ScannedNetwork(
        prepared, dataset.x_validation, dataset.y_validation, dataset.calibration(2000), accuracy
    )
    seconds, equal = [], True
    for precision in candidates(scan.precision, arguments.candidates):
        outputs, spent = through_hls4ml(prepared, precision, dataset.x_validation)
        same = np.array_equal(outputs, runner.logits(precision))
        equal = equal and same
        seconds.append(sum(spent))
        steps = ", ".join(
            f"{name} {value:.1f} s"
            for name, value in zip(("convert and write", "compile", "predict"), spent, strict=True)
        )
        print(f"hls4ml csim: {steps}; outputs {'equal in every bit' if same else 'DIFFER'}", flush=True)
    theirs = float(np.median(seconds))
    print(f"ratio: {theirs / ours:.0f} (hls4ml csim {theirs:.2f} s a candidate, scan {ours:.4f} s)")
    return 0 if equal else 1


def make(samples: int, seed: int):
    """The network and a dataset whose validation part has `samples` samples."""
    import keras

    from codesign.data import dataset_from_arrays
    from codesign.networks.logits import predict_logits
    from codesign.networks.read_keras import read_keras

    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(n, activation="relu", name=f"fc{i}") for i, n in enumerate((64, 32, 32), 1)]
    model = keras.Sequential(
        [keras.Input((16,)), *layers, keras.layers.Dense(5, name="logits")], name="jets_student"
    )
    x = np.random.default_rng(seed).normal(size=(round(samples / 0.92), 16)).astype(np.float32)
    y = predict_logits(model, x).argmax(axis=1)
    return read_keras(model), dataset_from_arrays(x, y, scaling="none", fractions=(0.04, 0.92, 0.04))


def candidates(precision, count: int):
    """The scan's own map, and neighbours with one tensor changed."""
    yield precision
    for layer, tensor, given in list(precision.items())[: count - 1]:
        wider = replace(given, width=given.width + 1)
        yield precision.replaced(layer, tensor, wider)


def through_hls4ml(prepared, precision, x: np.ndarray):
    """hls4ml's outputs for a candidate, and the seconds of converting and writing, compiling, predicting."""
    from codesign.core.target import Target
    from codesign.hls.convert import HardwareChoices, convert_graph
    from codesign.networks.build import build_float
    from codesign.networks.prepare import hardware_form

    network, formats = hardware_form(prepared, precision)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        times = [time.perf_counter()]
        graph = convert_graph(
            build_float(network), formats, Target(), HardwareChoices(), Path(folder) / "project"
        )
        graph.write()
        times.append(time.perf_counter())
        graph._compile()
        times.append(time.perf_counter())
        outputs = np.asarray(graph.predict(np.ascontiguousarray(x)), dtype=np.float64)
        times.append(time.perf_counter())
    return outputs, tuple(np.diff(times))


if __name__ == "__main__":
    sys.exit(main())
