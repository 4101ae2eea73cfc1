"""Make an HLS project from a finished run or from a quantized Keras model.

    python scripts/make_hls_project.py hls_projects/digits/run my_project --set clock_period_ns=3.0
    python scripts/make_hls_project.py my_student.keras my_project --data my_data.npz

The project gets test samples of the data as test-bench vectors and the student's own outputs as golden ones: the
vendor's simulations of it fail if they differ in one bit.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from codesign import FixedPoint, convert, load_dataset
from codesign.errors import CodesignError, SettingsError
from codesign.settings import make_design
from codesign.stages import open_run


def main() -> int:
    """Parse the arguments, load the student, convert it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="the folder of a run, or a QKeras model (.keras, .h5)")
    parser.add_argument("output", type=Path, help="the project's folder")
    parser.add_argument("--data", help="with a model: digits, openml:..., or a .npz, .csv or .parquet file")
    parser.add_argument("--scaling", default="auto", help="with --data: auto, none, standard or minmax")
    parser.add_argument(
        "--input-format", help="of a model without a quantizer of its input: its values' format, fixed<8,3>"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a hardware setting")
    parser.add_argument("--overwrite", action="store_true", help="replace a project that is there")
    arguments = parser.parse_args()
    hardware = {
        key: yaml.safe_load(value) for key, _, value in (pair.partition("=") for pair in arguments.set)
    }
    try:
        student, dataset, settings = load_student(arguments, hardware)
        converted = convert(student, dataset, settings, arguments.output, overwrite=arguments.overwrite)
    except CodesignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{converted.project.folder}: {converted.project.top} for {converted.project.target.part}")
    for note in converted.record.metrics["notes"]:
        print(f"note: {note}")
    return 0


def load_student(arguments: argparse.Namespace, hardware: dict[str, object]):
    """The student, its data and the hardware settings: a run's own, with the given ones replaced."""
    if arguments.source.is_dir() and not (arguments.source / "saved_model.pb").exists():
        run = open_run(arguments.source)
        values = {**run.settings.section("hardware"), **hardware}
        settings = make_design({"name": "project", "data": {"source": "digits"}, "hardware": values}).hardware
        return run.value("quantization"), run.dataset, settings
    if arguments.data is None:
        raise SettingsError("--data: missing; a model needs the data that its test bench is made of")
    from codesign.networks.backend import import_backend

    import_backend()
    from codesign.compression.quantize import quantized_student_of
    from codesign.networks.design import check_fits
    from codesign.networks.loading import load_model

    settings = make_design({"name": "project", "data": {"source": "digits"}, "hardware": hardware}).hardware
    model = load_model(arguments.source)
    dataset = load_dataset(arguments.data, scaling=arguments.scaling)
    check_fits(model, f"the model {arguments.source}", dataset.input_shape, dataset.n_classes)
    text = getattr(arguments, "input_format", None)
    given = FixedPoint.parse(text) if text else None
    return quantized_student_of(model, dataset.x_test, input_format=given), dataset, settings


if __name__ == "__main__":
    sys.exit(main())
