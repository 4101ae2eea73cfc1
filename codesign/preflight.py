"""What is checked before a run's long work: everything that would otherwise end it later."""

from __future__ import annotations

from codesign.errors import DataError, SettingsError
from codesign.hls.toolchain import GXX
from codesign.stages import Context


def check_before_work(context: Context) -> None:
    """Check compiler, data, networks, sparsities and conversion.

    Raises
    ------
    ToolNotFoundError
        Without g++.
    SettingsError, DataError, ConversionError, NetworksFileError
        For settings, data or networks that do not fit.
    """
    from codesign.networks.backend import import_backend

    GXX.find()
    import_backend()
    from codesign.compression.prune import sparsity_targets
    from codesign.hardware import check_convertible
    from codesign.networks.describe import describe

    settings = context.settings
    teacher_outputs = _teacher_outputs(context)
    student = context.build("student")
    if teacher_outputs != student.output_shape[-1]:
        raise DataError(
            f"{context.networks.path}: the teacher has {teacher_outputs} outputs but the student has "
            f"{student.output_shape[-1]}; give both the same classes in the same order"
        )
    network = describe(student)
    sparsity_targets(network, settings.pruning)
    names = [layer.name for layer in network.weight_layers]
    faults = [
        f"hardware.layers.{name}: the student has no such layer; its layers with weights are {', '.join(names)}"
        for name in settings.hardware.layers
        if name not in names
    ]
    if faults:
        raise SettingsError(faults, context.design / "design.yaml")
    check_convertible(network, settings.hardware, context.folder / "project")


def _teacher_outputs(context: Context) -> int:
    """The number of the teacher's outputs, after checking that it can be had and fits the data."""
    if context.settings.teacher.file is None:
        if context.networks.build_teacher is None:
            raise SettingsError(
                f"{context.networks.path} defines no build_teacher and teacher.file is not set; give one of them"
            )
        return int(context.build("teacher").output_shape[-1])
    from codesign.training.teacher import load_model

    return int(load_model(context.design / context.settings.teacher.file, context.dataset).output_shape[-1])
