"""Draw the pictures of docs/precision.md into docs/images.

    python scripts/make_doc_pictures.py

A small student of the digits is trained for it, half a minute of work.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from codesign.comparison.run_charts import scan_figure
from codesign.compression.formats import Extremes, fit_format
from codesign.compression.scan import scan_bit_widths
from codesign.compression.scan_result import ScanResult
from codesign.core.files import write_with
from codesign.core.fixed_point import FixedPoint
from codesign.data import Dataset, load_dataset
from codesign.networks.backend import import_backend
from codesign.settings import ScanSettings

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
TOLERANCE = 0.03


def main() -> int:
    """Train, scan, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=IMAGES)
    output = parser.parse_args().output
    import_backend()
    student, dataset = trained()
    scan = scan_bit_widths(student, dataset, ScanSettings(tolerance=TOLERANCE))
    values = activations(student.network, dataset)
    figures = {
        "integer-bits": integer_bits_figure(values),
        "accumulator": accumulator_figure(student.network, scan, dataset),
        "scan": scan_figure([vars(trial) for trial in scan.trials], scan.float_quality, TOLERANCE),
    }
    for name, figure in figures.items():
        print(
            write_with(
                output / f"precision-{name}.png", lambda path, figure=figure: figure.savefig(path, dpi=100)
            )
        )
    return 0


def trained() -> tuple[Any, Dataset]:
    """A student of the digits: 64-32-16-10, plainly trained."""
    import keras

    from codesign.compression.scan_source import FloatStudent
    from codesign.core.record import Record
    from codesign.networks.read_keras import read_keras

    dataset = load_dataset("digits")
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(n, activation="relu", name=f"fc{i}") for i, n in enumerate((32, 16), 1)]
    model = keras.Sequential(
        [keras.Input((64,)), *hidden, keras.layers.Dense(10, name="logits")], name="digits"
    )
    model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(dataset.x_train, dataset.y_train, epochs=40, batch_size=32, verbose=0)
    network = read_keras(model)
    return FloatStudent(network, Record.of(network.digest, {})), dataset


def activations(network: Any, dataset: Dataset) -> np.ndarray:
    """The results of the first ReLU on the calibration set, flat."""
    kernel, bias = (network["fc1"].weights[part] for part in ("kernel", "bias"))
    return np.maximum(dataset.calibration(1000) @ kernel + bias, 0.0).ravel()


def integer_bits_figure(values: np.ndarray, width: int = 6) -> Figure:
    """One tensor in formats of one width: too few integer bits saturate, too many have coarse steps."""
    fitted = fit_format(Extremes(float(values.min()), float(values.max())), width)
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.hist(
        values[values > 0], bins=80, color="C7", alpha=0.5, log=True, label="values seen (zeros left out)"
    )
    choices = [fitted.integer_bits - 2, fitted.integer_bits, fitted.integer_bits + 2]
    for place, integer_bits in enumerate(choices):
        kind = FixedPoint(width, integer_bits, False, "RND_CONV", "SAT")
        left.axvline(
            kind.maximum,
            color=f"C{place}",
            label=f"{kind.ap()}\nends at {kind.maximum:g}, step {kind.step:g}",
        )
    left.set(
        xlabel="value", ylabel="how often", title=f"A ReLU's results, and where formats of {width} bits end"
    )
    # room for the legend between the second limit and the third
    left.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.62, 1.0), framealpha=1.0)
    grid = range(fitted.integer_bits - 4, fitted.integer_bits + 5)
    kinds = [FixedPoint(width, bits, False, "RND_CONV", "SAT") for bits in grid]
    errors = [np.sqrt(np.mean((kind.quantize(values) - values) ** 2)) for kind in kinds]
    gone = [100 * np.mean(values > kind.maximum + kind.step / 2) for kind in kinds]
    right.plot(grid, errors, "o-", color="C0", label="root mean square error")
    right.axvline(fitted.integer_bits, color="C1", label="chosen from the extremes")
    right.set(
        xlabel="integer bits", ylabel="error", yscale="log", title="Too few saturate, too many are coarse"
    )
    other = right.twinx()
    other.plot(grid, gone, "s--", color="C3", label="saturated")
    other.set_ylabel("saturated values (%)", color="C3")
    right.legend(loc="upper center")
    return figure


def accumulator_figure(network: Any, scan: ScanResult, dataset: Dataset) -> Figure:
    """The sums of one layer: seen, proved, and what two bits less would make of them."""
    first = network["fc1"]
    weight = scan.precision["fc1"].weight.quantize(first.weights["kernel"])
    bias = scan.precision["fc1"].bias.quantize(first.weights["bias"])
    sums = (scan.precision.input.quantize(dataset.x_validation) @ weight + bias).ravel()
    proof = next(proof for proof in scan.proofs if proof.layer == "fc1")
    proved = FixedPoint.parse(proof.precision)
    seen = int(np.ceil(np.log2(max(sums.max(), -sums.min())))) + 1
    narrow = FixedPoint(proved.fractional_bits + seen - 1, seen - 1)
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.hist(sums, bins=100, color="C7", alpha=0.6, log=True, label="sums on the validation part")
    left.axvspan(proof.least, proof.most, color="C2", alpha=0.12, label="proved: no input goes beyond")
    for limit in (proved.minimum, proved.maximum):
        left.axvline(limit, color="C2", label=proved.ap() if limit < 0 else None)
    for limit in (narrow.minimum, narrow.maximum):
        left.axvline(limit, color="C3", label=f"{narrow.ap()}: too narrow" if limit < 0 else None)
    left.set(xlabel="sum of products and bias", ylabel="how often", title="The accumulators of fc1")
    left.set_ylim(top=40 * left.get_ylim()[1])  # room for the legend
    left.legend(fontsize=8, loc="upper center", ncols=2)
    order = np.argsort(sums)
    right.plot(sums[order], narrow.quantize(sums[order]), ".", color="C3", markersize=2, label=narrow.ap())
    right.plot(sums[order], proved.quantize(sums[order]), "-", color="C2", label=proved.ap())
    right.set(xlabel="sum", ylabel="what the accumulator holds", title="A wrapped sum has the wrong sign")
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    sys.exit(main())
