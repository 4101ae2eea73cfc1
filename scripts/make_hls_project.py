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

from codesign import convert, load_dataset
from codesign.errors import CodesignError, SettingsError
from codesign.settings import make_design
from codesign.stages import open_run


def main() -> int:
    """Parse the arguments, load the student, convert it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="the folder of a run, or a QKeras model (.keras)")
    parser.add_argument("output", type=Path, help="the project's folder")
    parser.add_argument("--data", help="with a model: digits, openml:..., or a .npz, .csv or .parquet file")
    parser.add_argument("--scaling", default="auto", help="with --data: auto, none, standard or minmax")
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
    return 0


def load_student(arguments: argparse.Namespace, hardware: dict[str, object]):
    """The student, its data and the hardware settings: a run's own, with the given ones replaced."""
    if arguments.source.suffix != ".keras":
        run = open_run(arguments.source)
        values = {**run.settings.section("hardware"), **hardware}
        settings = make_design({"name": "project", "data": {"source": "digits"}, "hardware": values}).hardware
        return run.value("quantization"), run.dataset, settings
    if arguments.data is None:
        raise SettingsError("--data: missing; a model needs the data that its test bench is made of")
    from codesign.networks.backend import import_backend

    import_backend()
    import keras
    import qkeras  # noqa: F401 - registers the layers that the file names

    from codesign.compression.quantize import quantized_student_of

    settings = make_design({"name": "project", "data": {"source": "digits"}, "hardware": hardware}).hardware
    student = quantized_student_of(keras.models.load_model(arguments.source, compile=False))
    return student, load_dataset(arguments.data, scaling=arguments.scaling), settings


if __name__ == "__main__":
    sys.exit(main())
