"""What is checked before a run's long work: everything that would otherwise end it later."""

from __future__ import annotations

from typing import Any

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
    _check_learning(context, student, network)
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
    settings = context.settings.teacher
    if settings.kind == "logits":
        from codesign.training.logits_teacher import load_logits

        return int(load_logits(context.design / str(settings.file), context.dataset).train_logits.shape[1])
    if settings.files:
        from codesign.training.ensemble import check_members
        from codesign.training.teacher import load_model

        paths = [context.design / name for name in settings.files]
        members = [load_model(path, context.dataset) for path in paths]
        check_members(members, [f"the member {path}" for path in paths], context.dataset)
        return int(members[0].output_shape[-1])
    teacher = _one_network(context)
    if settings.kind == "specialists":
        from codesign.networks.logits import ending_in_logits
        from codesign.training.specialists import given_clusters, last_dense

        given_clusters(teacher, settings, context.dataset.class_names)
        last_dense(ending_in_logits(teacher))
    return int(teacher.output_shape[-1])


def _one_network(context: Context) -> Any:
    """The architecture of the teacher, or of each of its members."""
    settings = context.settings.teacher
    if settings.file is not None:
        from codesign.training.teacher import load_model

        return load_model(context.design / settings.file, context.dataset)
    if context.networks.build_teacher is None:
        raise SettingsError(
            f"{context.networks.path} defines no build_teacher and teacher.file is not set; give one of them"
        )
    return context.build("teacher")


def _check_learning(context: Context, student: Any, network: Any) -> None:
    """Check what distillation, pruning and quantization ask of the teacher's and the student's layers."""
    from codesign.compression.phases import check_rounds
    from codesign.compression.prune import check_pruning
    from codesign.training.lesson import check_terms

    settings = context.settings
    check_pruning(network, settings.pruning)
    if settings.scan.affine_widths:
        from codesign.affine.ptq import affine_form

        affine_form(network)
    if settings.pruning.inside == "quantization":
        check_rounds(settings.quantization, settings.pruning)
    single = settings.teacher.kind == "single"
    if settings.quantization.co_study_epochs and not single:
        raise SettingsError(
            "quantization.co_study_epochs: the teacher learns too and must be one network, not the kind "
            f"{settings.teacher.kind!r}; set it to 0 or use the kind 'single'"
        )
    terms = [term for term in settings.distillation.terms if term.teacher_layer is not None]
    if terms and not single:
        raise SettingsError(
            f"distillation.terms: {terms[0].form!r} takes features from a layer of one teacher, but the teacher is of "
            f"the kind {settings.teacher.kind!r}; use the kind 'single', or terms without layers"
        )
    if terms:
        check_terms(student, _one_network(context), settings.distillation)
