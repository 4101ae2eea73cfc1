"""The student, distilled from the teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codesign.core.record import Record
from codesign.errors import SettingsError
from codesign.stages.context import Context, Stage, load_history, save_student
from codesign.stages.teacher import untrained_teacher


class Student(Stage):
    """`distill_student`."""

    name = "student"
    title = "distillation"
    parents = ("teacher",)
    sections = ("distillation", "student")
    uses_networks = True

    def depends(self, context: Context) -> dict[str, str]:
        """A student without choices is the one that older runs made."""
        depends = super().depends(context)
        if not context.settings.student:
            del depends["settings student"]
        return depends

    def check(self, context: Context) -> None:
        """The student can become hardware, the task has the forms of the loss, and the layers that terms name are there."""
        from codesign.training.lesson import check_terms
        from codesign.training.losses_combined import check_forms

        _ = context.untrained_network
        settings = context.settings
        check_forms(settings.distillation, context.dataset.task)
        terms = [term for term in settings.distillation.terms if term.teacher_layer is not None]
        if terms and settings.teacher.kind != "single":
            raise SettingsError(
                f"distillation.terms: {terms[0].form!r} takes features from a layer of one teacher, but the teacher is of "
                f"the kind {settings.teacher.kind!r}; use the kind 'single', or terms without layers"
            )
        if terms:
            check_terms(context.untrained_student, untrained_teacher(context), settings.distillation)

    def make(self, context: Context, folder: Path) -> Any:
        """Distil the teacher into the student."""
        from codesign.training.distill import distill_student

        settings = context.settings
        return distill_student(
            context.build("student"),
            context.value("teacher"),
            context.dataset,
            settings.distillation,
            seed=settings.seed,
            progress=context.progress,
        )

    def save(self, value: Any, folder: Path) -> None:
        """Keep the early networks too: pruning may rewind to them."""
        save_student(value, folder)
        for name, network in value.early.items():
            network.save(folder / f"{name}.npz")

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """The student with its early networks."""
        from codesign.networks.description import Network
        from codesign.training.distill import Student as Value

        paths = {name: folder / f"{name}.npz" for name in ("initial", "early")}
        early = {name: Network.load(path) for name, path in paths.items() if path.is_file()}
        return Value(Network.load(folder / "network.npz"), load_history(folder), record, early)
