"""What is checked before a run's long work: everything that would otherwise end it later."""

from __future__ import annotations

from codesign.errors import DataError, SettingsError
from codesign.hls.toolchain import GXX
from codesign.stages import Context


def check_before_work(context: Context) -> None:
    """Check compiler, data, networks and conversion.

    Raises
    ------
    ToolNotFoundError
        Without g++.
    SettingsError, DataError, ConversionError, NetworksFileError
        For settings, data or networks that do not fit.
    """
    from codesign.networks.backend import import_backend

    import_backend()
    from codesign.hardware import check_convertible
    from codesign.networks.describe import describe

    GXX.find()
    settings = context.settings
    if settings.teacher.file is not None:
        _check_teacher_file(context)
    elif context.networks.build_teacher is None:
        raise SettingsError(
            f"{context.networks.path} defines no build_teacher and teacher.file is not set; give one of them"
        )
    else:
        teacher = context.build("teacher")
    student = context.build("student")
    if settings.teacher.file is None and teacher.output_shape[-1] != student.output_shape[-1]:
        raise DataError(
            f"{context.networks.path}: the teacher has {teacher.output_shape[-1]} outputs but the student has "
            f"{student.output_shape[-1]}; give both the same classes in the same order"
        )
    network = describe(student)
    names = [layer.name for layer in network.weight_layers]
    faults = [
        f"{section}.layers.{name}: the student has no such layer; its layers with weights are {', '.join(names)}"
        for section, layers in (("pruning", settings.pruning.layers), ("hardware", settings.hardware.layers))
        for name in layers
        if name not in names
    ]
    if faults:
        raise SettingsError(faults, context.design / "design.yaml")
    check_convertible(network, settings.hardware, context.folder / "project")


def _check_teacher_file(context: Context) -> None:
    import keras

    from codesign.networks.design import check_fits

    path = context.design / str(context.settings.teacher.file)
    if not path.is_file():
        raise SettingsError(f"teacher.file: {path} does not exist; give the path of a trained .keras file")
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:
        raise DataError(f"the teacher {path} cannot be loaded: {type(error).__name__}: {error}") from error
    check_fits(model, f"the teacher {path}", context.dataset.input_shape, context.dataset.n_classes)
