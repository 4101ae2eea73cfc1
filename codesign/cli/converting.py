"""`codesign convert`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from codesign.cli.sources import (
    DataOption,
    LabelColumnOption,
    ScalingOption,
    TaskOption,
    given_about_data,
    require_given,
)


def convert(
    source: Annotated[
        Path,
        typer.Argument(help="A QKeras model (.keras, .h5), a float one with --precision, or a run's folder."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The project's folder.")],
    data: DataOption = None,
    label_column: LabelColumnOption = None,
    scaling: ScalingOption = None,
    task: TaskOption = None,
    precision: Annotated[
        Path | None,
        typer.Option(help="Of a float model: the formats that codesign scan wrote, precision_map.json."),
    ] = None,
    input_format: Annotated[
        str | None,
        typer.Option(
            help="Of a model without a quantizer of its input: the format of its values, fixed<8,3>; they are rounded to "
            "nearest even and saturate."
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A hardware setting: clock_period_ns=3.0, reuse_factor=4, part=..."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a project that is there.")] = False,
) -> None:
    """Make the HLS project of any trained model with number formats, with a test bench and its golden outputs.

    The test bench gets samples of the data's test part and the model's own outputs: the vendor's simulations fail if they
    differ in one bit. Beside a run, it is the way to another clock, part or reuse factor for the same student.
    """
    from codesign.core.yaml_text import read_assignments
    from codesign.networks.backend import import_backend
    from codesign.terminal import progress, say

    given = given_about_data(data, label_column, scaling, task)
    hardware = read_assignments([pair.removeprefix("hardware.") for pair in setting or []], "--set")
    require_given(source, given)
    import_backend()
    student, dataset, settings = load_student(
        source, given, hardware, precision=precision, input_format=input_format
    )
    from codesign.stages.project import convert as make_project

    with progress() as shown:
        converted = make_project(student, dataset, settings, output, overwrite=overwrite, progress=shown)
    for note in converted.record.metrics["notes"]:
        say(f"- {note}")
    project, folder = converted.project, shlex.quote(str(converted.project.folder))
    say(
        f"{project.folder}: {project.top} for {project.target.part} at {project.target.clock_period_ns:g} ns. Next:\n"
        f"  codesign verify {folder}\n  codesign rtl {folder}\n  codesign build {folder}"
    )


def load_student(
    source: Path,
    about: Mapping[str, Any],
    hardware: Mapping[str, Any],
    *,
    precision: Path | None = None,
    input_format: str | None = None,
) -> tuple[Any, Any, Any]:
    """The quantized student, its data and the hardware settings: of a run, or of a model and the options.

    Parameters
    ----------
    source
        A run's folder or a model.
    about
        The options of the data: `source`, `label_column`, `scaling`, `task`.
    hardware
        Settings of the section `hardware` by name, those of a layer with dots (`layers.fc1.strategy`); they replace a run's own.
    precision
        The formats of a float model.
    input_format
        Of a QKeras model that does not quantize its input.

    Raises
    ------
    CodesignError
        For everything that does not fit.
    """
    from codesign.cli.sources import data_settings, is_run_folder, read_model, refuse_data_options
    from codesign.compression.quantize import float_student_with, quantized_student_of
    from codesign.core.fixed_point import FixedPoint
    from codesign.core.precision_map import PrecisionMap
    from codesign.errors import SettingsError
    from codesign.settings import make_design, set_value
    from codesign.stages import open_run

    if is_run_folder(source):
        run = open_run(source)
        refuse_data_options(about, source)
        if precision is not None or input_format is not None:
            option = "--precision" if precision is not None else "--input-format"
            raise SettingsError(f"{option}: is for a model; the student of a run has its formats")
        values = run.settings.model_dump(mode="json")
        for name, value in hardware.items():
            set_value(values["hardware"], name, value)
        return run.value("quantization"), run.dataset, make_design(values, source="--set").hardware
    chosen: dict[str, Any] = {}
    for name, value in hardware.items():
        set_value(chosen, name, value)
    settings = data_settings(about, source, hardware=chosen)
    formats = None if precision is None else PrecisionMap.load(precision)
    given = FixedPoint.parse(input_format) if input_format else None
    if (
        given is not None and str(input_format).count(",") < 2
    ):  # the modes of QKeras, unless others were typed
        given = given.with_modes("RND_CONV", "SAT")
    model, dataset = read_model(source, settings.data)
    if formats is not None:
        return float_student_with(model, formats, dataset.x_validation), dataset, settings.hardware
    student = quantized_student_of(model, dataset.x_test, input_format=given)
    return student, dataset, settings.hardware
