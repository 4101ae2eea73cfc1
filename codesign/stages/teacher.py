"""The teacher: trained here, an ensemble, specialists, trained files, or logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codesign.core.files import file_digest, is_saved_model
from codesign.core.record import Record
from codesign.errors import SettingsError
from codesign.stages.context import Context, Stage, load_history, save_history


class Teacher(Stage):
    """`make_teacher`."""

    name = "teacher"
    title = "teacher"
    sections = ("teacher",)
    uses_networks = True

    def depends(self, context: Context) -> dict[str, str]:
        """Trained files count by their content."""
        teacher = context.settings.teacher
        files = {}
        for name in (*teacher.files, *([teacher.file] if teacher.file is not None else [])):
            path = context.design / name
            if path.is_dir() and not is_saved_model(path):
                raise SettingsError(
                    f"teacher: {path} is a folder and no SavedModel; give the file of a trained teacher, .keras or .h5"
                )
            if not path.exists():
                raise SettingsError(
                    f"teacher: the file {path} does not exist; give the path of a trained teacher"
                )
            files[f"the teacher's file {name}"] = file_digest(path)
        return {**super().depends(context), **files}

    def check(self, context: Context) -> None:
        """The teacher can be had, fits the data and has the student's classes."""
        from codesign.networks.backend import import_backend

        import_backend()
        from codesign.networks.joined import n_outputs
        from codesign.training.distill import check_same_outputs

        given = context.settings.teacher.file or ", ".join(context.settings.teacher.files)
        check_same_outputs(
            _outputs(context),
            n_outputs(context.untrained_student),
            f"{context.networks.path}: the teacher {given or 'of build_teacher'}",
            "the student of build_student",
        )

    def make(self, context: Context, folder: Path) -> Any:
        """Train the teacher or load the given one."""
        from codesign.training.teacher_files import make_teacher

        return make_teacher(
            context.settings.teacher,
            context.dataset,
            context.design,
            lambda: context.build("teacher"),
            seed=context.settings.seed,
            cache=_cache(context),
            progress=context.progress,
        )

    def save(self, value: Any, folder: Path) -> None:
        """Keep the networks, the logits and the history."""
        from codesign.training.teacher_files import save_teacher

        save_teacher(value, folder)
        save_history(value, folder)

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """The teacher of any kind."""
        from codesign.training.teacher_files import read_teacher

        settings = context.settings.teacher
        task = context.dataset.task
        return read_teacher(folder, settings, load_history(folder), record, _cache(context), task)


def untrained_teacher(context: Context) -> Any:
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


def _outputs(context: Context) -> int:
    """The number of the teacher's outputs, after checking that it can be had and fits the data."""
    from codesign.networks.joined import n_outputs

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
        return n_outputs(members[0])
    teacher = untrained_teacher(context)
    if settings.kind == "specialists":
        from codesign.networks.logits import ending_in_logits
        from codesign.training.specialists import given_clusters, last_dense, require_classes

        require_classes(context.dataset.task)
        given_clusters(teacher, settings, context.dataset.class_names)
        last_dense(ending_in_logits(teacher))
    return n_outputs(teacher) if context.dataset.task.learns_targets else 1


def _cache(context: Context) -> Any:
    """Where a run keeps what its teacher computed beside its logits."""
    from codesign.training.cache import OutputCache

    return OutputCache(context.folder / "teacher_outputs")
