"""LUTs and test accuracy of a student before and after its signed digits are polished.

    python scripts/bench_polish.py --data pendigits.npz

Teacher, student, pruning and 6-bit quantization-aware training of n-32-16-C (weights of 6 bits, input and results of 5)
are trained once; each tolerance then polishes the same quantized student.
"""

from __future__ import annotations

import argparse
import sys
import time

from codesign.networks.backend import import_backend


def main() -> int:
    """Train, polish, print a row for each tolerance."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="digits, or an .npz, .csv or .parquet file")
    parser.add_argument("--hidden", default="32,16")
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--weight-bits", type=int, default=6)
    parser.add_argument("--result-bits", type=int, default=5)
    parser.add_argument("--tolerances", default="0.002,0.005,0.01,0.02")
    parser.add_argument("--epochs", type=int, default=60, help="of the student and of each stage after it")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    import_backend()
    from codesign.data import load_dataset

    dataset = load_dataset(arguments.data, seed=arguments.seed)
    started = time.monotonic()
    teacher, student, distillation = trained(dataset, arguments)
    print(f"trained in {time.monotonic() - started:.0f} s", flush=True)
    print("| tolerance | LUT | validation | test | live weights | digits a live weight | seconds |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    print(row("not polished", student, student.record.seconds))
    from codesign.compression.polish import polish_student
    from codesign.settings import PolishSettings

    for tolerance in map(float, arguments.tolerances.split(",")):
        settings = PolishSettings(tolerance=tolerance, batch_size=128)
        polished = polish_student(student, teacher, dataset, settings, distillation, seed=arguments.seed)
        print(row(f"{tolerance:g}", polished, polished.record.seconds), flush=True)
    return 0


def trained(dataset, arguments):
    """The teacher, the quantized student and how it learns."""
    import keras

    from codesign.compression.formats import Widths, measure_ranges, precision_of
    from codesign.compression.prune import prune_student
    from codesign.compression.quantize import quantize_student
    from codesign.networks.prepare import prepare_for_quantization
    from codesign.settings import DistillationSettings, PruningSettings, QuantizationSettings, TeacherSettings
    from codesign.training.distill import distill_student
    from codesign.training.teacher import train_teacher

    def network(*widths):
        layers = [keras.Input(dataset.input_shape)]
        for number, width in enumerate(widths, 1):
            layers += [keras.layers.Dense(width, name=f"fc{number}"), keras.layers.ReLU(name=f"relu{number}")]
        return keras.Sequential([*layers, keras.layers.Dense(dataset.n_classes, name="logits")])

    common = {"batch_size": 128, "epochs": arguments.epochs}
    teacher = train_teacher(
        network(128, 64),
        dataset,
        TeacherSettings(epochs=30, batch_size=128, learning_rate=2e-3),
        seed=arguments.seed,
    )
    distillation = DistillationSettings(learning_rate=5e-3, **common)
    hidden = map(int, arguments.hidden.split(","))
    student = distill_student(network(*hidden), teacher, dataset, distillation, seed=arguments.seed)
    pruned = prune_student(
        student,
        teacher,
        dataset,
        PruningSettings(sparsity=arguments.sparsity, learning_rate=3e-3, **common),
        distillation,
        seed=arguments.seed,
    )
    prepared = prepare_for_quantization(pruned.network)
    ranges = measure_ranges(prepared, dataset.calibration(2000), 99.0)
    widths = Widths(
        arguments.result_bits,
        {layer.name: arguments.weight_bits for layer in prepared.weight_layers},
        {layer.name: arguments.result_bits for layer in prepared.activations},
    )
    quantized = quantize_student(
        pruned.network,
        precision_of(prepared, ranges, widths),
        teacher,
        dataset,
        QuantizationSettings(learning_rate=3e-3, **common),
        distillation,
        seed=arguments.seed,
    )
    return teacher, quantized, distillation


def row(name, student, seconds) -> str:
    """What a student reaches, as a row of the table."""
    from codesign.compression.pruning.budget import signed_digits
    from codesign.cost import estimate_luts
    from codesign.networks.shapes import layer_shapes

    network, precision = student.hardware()
    kernels = {layer.name: layer.weights["kernel"] for layer in network.weight_layers}
    luts = estimate_luts(
        layer_shapes(student.network),
        student.precision,
        *(parts_of(student.network, part) for part in ("kernel", "bias")),
    )
    digits = [signed_digits(precision[key].weight.to_integers(kernel)) for key, kernel in kernels.items()]
    live = sum(int((one > 0).sum()) for one in digits)
    each = sum(int(one.sum()) for one in digits) / max(live, 1)
    metrics = student.record.metrics
    return (
        f"| {name} | {luts:,.0f} | {metrics['validation_accuracy']:.4f} | {metrics['test_accuracy']:.4f} | {live} "
        f"| {each:.2f} | {seconds:.0f} |"
    )


def parts_of(network, part):
    """Kernels or biases by layer."""
    return {layer.name: layer.weights[part] for layer in network.weight_layers if part in layer.weights}


if __name__ == "__main__":
    sys.exit(main())
