"""Accuracy against bits: fixed-point and affine PTQ, and QAT with uniform, scanned and Hessian-aware widths.

    python -m studies.precision --data pendigits.npz --seeds 3 --output studies

For every seed the data are split and a student n-64-32-32-C is distilled anew. Every choice (which affine calibrator,
which scan, which budget) is made on the validation part, every accuracy in the table is that of the test part. Each
result is kept in a JSON file as soon as it is there; the same command goes on where an interrupted one ended.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from codesign.networks.backend import import_backend

PTQ_BITS = (3, 4, 5, 6, 7, 8, 10, 12)
QAT_BITS = (3, 4, 5, 6, 7, 8)
CLIPPED_BITS = (3, 4, 5, 6)
PERCENTILE = 99.0
TOLERANCES = (0.005, 0.01, 0.03)
BUDGETS = (0.65, 0.5, 0.4, 0.3)
REFERENCE_BITS = 6


@dataclass(frozen=True)
class Effort:
    """How long everything trains."""

    teacher_epochs: int
    student_epochs: int
    qat_epochs: int


class Seed:
    """One seed: its data, teacher and student are made when a result is first missing.

    Parameters
    ----------
    data
        A file or the name of a data set.
    seed
        Of the split and of every training.
    effort
        Epochs.
    """

    def __init__(self, data: str, seed: int, effort: Effort) -> None:
        self.data, self.seed, self.effort = data, seed, effort

    @cached_property
    def dataset(self) -> Any:
        from codesign.data import load_dataset

        return load_dataset(self.data, seed=self.seed)

    @cached_property
    def batch_size(self) -> int:
        return 32 if len(self.dataset.x_train) < 3000 else 128

    @cached_property
    def distillation(self) -> Any:
        from codesign.settings import DistillationSettings

        return DistillationSettings(
            epochs=self.effort.student_epochs, batch_size=self.batch_size, learning_rate=3e-3
        )

    @cached_property
    def teacher(self) -> Any:
        from codesign.settings import TeacherSettings
        from codesign.training.teacher import train_teacher

        settings = TeacherSettings(
            epochs=self.effort.teacher_epochs, batch_size=self.batch_size, learning_rate=2e-3
        )
        return train_teacher(self._network(128, 64), self.dataset, settings, seed=self.seed)

    @cached_property
    def student(self) -> Any:
        from codesign.training.distill import distill_student

        return distill_student(
            self._network(64, 32, 32), self.teacher, self.dataset, self.distillation, seed=self.seed
        )

    def _network(self, *widths: int) -> Any:
        import keras

        hidden = [
            keras.layers.Dense(width, activation="relu", name=f"fc{i}") for i, width in enumerate(widths, 1)
        ]
        last = keras.layers.Dense(self.dataset.n_classes, name="logits")
        return keras.Sequential([keras.Input(self.dataset.input_shape), *hidden, last], name="net")

    @cached_property
    def prepared(self) -> Any:
        from codesign.networks.prepare import prepare_for_quantization

        return prepare_for_quantization(self.student.network)

    @cached_property
    def ranges(self) -> Any:
        from codesign.compression.formats import measure_ranges

        return measure_ranges(self.prepared, self.dataset.calibration(2000))

    @cached_property
    def clipped(self) -> Any:
        """Ranges without the outliers."""
        from codesign.compression.formats import measure_ranges

        return measure_ranges(self.prepared, self.dataset.calibration(2000), PERCENTILE)

    def uniform(self, bits: int, ranges: Any = None) -> Any:
        """The map of one width."""
        from codesign.compression.formats import precision_of, uniform_widths

        return precision_of(self.prepared, ranges or self.ranges, uniform_widths(self.prepared, bits))

    @cached_property
    def runner(self) -> Any:
        from codesign.compression.scan_trials import ScannedNetwork
        from codesign.core.quality import accuracy

        data = self.dataset
        return ScannedNetwork(
            self.prepared, data.x_validation, data.y_validation, data.calibration(2000), accuracy
        )


def float_student(seed: Seed) -> list[dict[str, Any]]:
    """The student before quantization, and its teacher."""
    metrics, teacher = seed.student.record.metrics, seed.teacher.record.metrics
    return [
        {
            "bits": 32,
            "validation": metrics["validation_accuracy"],
            "test": metrics["test_accuracy"],
            "teacher_test": teacher["test_accuracy"],
            "bops": metrics["bops"],
        }
    ]


def fixed_ptq(seed: Seed) -> list[dict[str, Any]]:
    """The student rounded to fixed point, computed by the bit-exact emulator."""
    from codesign.core.quality import accuracy

    rows, data = [], seed.dataset
    for bits in PTQ_BITS:
        precision = seed.uniform(bits)
        rows.append(
            {
                "bits": bits,
                "validation": accuracy(data.y_validation, seed.runner.logits(precision)),
                "test": accuracy(data.y_test, seed.runner.logits_of(precision, data.x_test)),
                "bops": seed.runner.bops(precision),
            }
        )
    return rows


def affine_ptq(seed: Seed) -> list[dict[str, Any]]:
    """The student as an integer-only network; of the calibrators the best on the validation part."""
    from codesign.affine.ptq import affine_table

    data, network = seed.dataset, seed.student.network
    calibration = data.calibration(2000)
    tables = [
        affine_table(network, calibration, x, y, PTQ_BITS, allow_constant=True)
        for x, y in (data.part("validation"), data.part("test"))
    ]
    rows = []
    for bits in PTQ_BITS:
        validation, test = ([row for row in table if row.width == bits] for table in tables)
        best = max(range(len(validation)), key=lambda index: validation[index].quality or 0.0)
        rows.append(
            {
                "bits": bits,
                "calibrator": validation[best].calibrator,
                "validation": validation[best].quality,
                "test": test[best].quality,
            }
        )
    return rows


def trained(seed: Seed, precision: Any) -> dict[str, Any]:
    """Accuracy and cost after QAT with a map."""
    from codesign.compression.quantize import quantize_student
    from codesign.settings import QuantizationSettings

    settings = QuantizationSettings(
        epochs=seed.effort.qat_epochs, batch_size=seed.batch_size, learning_rate=1e-3
    )
    student = quantize_student(
        seed.student.network,
        precision,
        seed.teacher,
        seed.dataset,
        settings,
        seed.distillation,
        seed=seed.seed,
    )
    metrics = student.record.metrics
    return {
        "bits": metrics["average_weight_bits"],
        "activation_bits": precision.average_bits("result"),
        "validation": metrics["validation_accuracy"],
        "test": metrics["test_accuracy"],
        "bops": metrics["bops"],
        "map": precision.to_dict(),
    }


def uniform_qat(bits: int) -> Callable[[Seed], list[dict[str, Any]]]:
    """QAT with one width for every tensor."""
    return lambda seed: [trained(seed, seed.uniform(bits))]


def clipped_qat(bits: int) -> Callable[[Seed], list[dict[str, Any]]]:
    """The same with ranges that leave out the outliers: values beyond them saturate."""
    return lambda seed: [trained(seed, seed.uniform(bits, seed.clipped))]


def scanned_qat(tolerance: float, percentile: float = 100.0) -> Callable[[Seed], list[dict[str, Any]]]:
    """QAT with the map of a scan, without or with clipped ranges; a row without numbers if no map is found."""

    def run(seed: Seed) -> list[dict[str, Any]]:
        from codesign.compression.scan import scan_bit_widths
        from codesign.errors import ScanError
        from codesign.settings import ScanSettings

        settings = ScanSettings(tolerance=tolerance, percentile=percentile)
        try:
            scan = scan_bit_widths(seed.student, seed.dataset, settings)
        except ScanError as error:
            return [{"tolerance": tolerance, "failed": str(error)}]
        return [{"tolerance": tolerance, "trials": len(scan.trials), **trained(seed, scan.precision)}]

    return run


def hessian_qat(budget: float, clipped: bool = False) -> Callable[[Seed], list[dict[str, Any]]]:
    """QAT with the widths of least Hessian-weighted error under a budget, a fraction of the BOPs at 6 bits."""

    def run(seed: Seed) -> list[dict[str, Any]]:
        from codesign.compression.hessian_precision import HessianWidths
        from codesign.training.losses import DistillationLoss, pack_targets

        data, some = seed.dataset, slice(0, 1500)
        limit = budget * seed.runner.bops(seed.uniform(REFERENCE_BITS))
        start = seed.uniform(8, seed.clipped if clipped else None)
        chooser = HessianWidths(
            seed.prepared,
            DistillationLoss(seed.distillation.alpha, seed.distillation.temperature),
            data.x_train[some],
            pack_targets(data.y_train[some], seed.teacher.train_logits[some]),
            start,
            "bops",
            widths=range(2, 9),
            activation_widths=range(2, 9),
            input_widths=range(2, 9),
            samples=64,
        )
        return [{"budget": budget, **trained(seed, chooser.choose(limit).apply(start))}]

    return run


def experiments() -> Iterator[tuple[str, str, Callable[[Seed], list[dict[str, Any]]]]]:
    """Method, name of the result, what makes it."""
    yield "float", "float", float_student
    yield "fixed-point PTQ", "fixed-point PTQ", fixed_ptq
    yield "affine PTQ", "affine PTQ", affine_ptq
    for bits in QAT_BITS:
        yield "uniform QAT", f"uniform QAT {bits} bits", uniform_qat(bits)
    for bits in CLIPPED_BITS:
        yield "uniform QAT, clipped", f"uniform QAT, clipped, {bits} bits", clipped_qat(bits)
    for method, percentile in (("scanned QAT", 100.0), ("scanned QAT, clipped", PERCENTILE)):
        for tolerance in TOLERANCES:
            yield method, f"{method}, tolerance {tolerance}", scanned_qat(tolerance, percentile)
    for method, clipped in (("Hessian-aware QAT", False), ("Hessian-aware QAT, clipped", True)):
        for budget in BUDGETS:
            yield method, f"{method}, budget {budget}", hessian_qat(budget, clipped)


def main() -> int:
    """Run what is missing, then write the table and the plot."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.precision",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, help="digits, or an .npz, .csv or .parquet file")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("runs/studies"))
    parser.add_argument("--teacher-epochs", type=int, default=30)
    parser.add_argument("--student-epochs", type=int, default=40)
    parser.add_argument("--qat-epochs", type=int, default=30)
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds must be at least 2: a spread needs two runs")
    import_backend()
    from codesign.errors import CodesignError

    effort = Effort(arguments.teacher_epochs, arguments.student_epochs, arguments.qat_epochs)
    try:
        rows = measure(arguments.data, arguments.seeds, effort, arguments.output)
    except CodesignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    from studies.precision.results import write_results

    print(write_results(rows, Path(arguments.data).stem, arguments.output))
    return 0


def measure(data: str, seeds: int, effort: Effort, output: Path) -> list[dict[str, Any]]:
    """Every row, from the file or measured now."""
    from codesign.core.files import read_json, write_json

    path = output / f"{Path(data).stem}.json"
    stamp = {"data": Path(data).name, **vars(effort)}
    kept = read_json(path) if path.is_file() else {}
    done: dict[str, list[dict[str, Any]]] = kept["results"] if kept.get("study") == stamp else {}
    plan = [(number, *experiment) for number in range(seeds) for experiment in experiments()]
    made: dict[int, Seed] = {}
    for index, (number, _, name, run) in enumerate(plan, 1):
        key = f"seed {number}: {name}"
        if key not in done:
            started = time.monotonic()
            seed = made.setdefault(number, Seed(data, number, effort))
            done[key] = run(seed)
            write_json(path, {"study": stamp, "results": done})
            best = max(row.get("test") or 0.0 for row in done[key])
            result = done[key][0].get("failed", f"{best:.4f}")
            print(
                f"[{index}/{len(plan)}] {key}: {result} ({time.monotonic() - started:.0f} s)",
                file=sys.stderr,
                flush=True,
            )
        made = {known: seed for known, seed in made.items() if known == number}
    return [
        {"seed": number, "method": method, **row}
        for number, method, name, _ in plan
        for row in done[f"seed {number}: {name}"]
    ]


if __name__ == "__main__":
    sys.exit(main())
