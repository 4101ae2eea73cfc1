"""The phases of quantization-aware training: self-study, co-study, and tutoring, in which weights may be removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from codesign.compression.pruning.masked import hold_zeros, n_rounds, scorer, train_masked
from codesign.compression.pruning.scores import kernels_of
from codesign.compression.pruning.sparsity import SparsitySelector
from codesign.compression.pruning.targets import sparsity_targets
from codesign.compression.qkd import co_study, require_one_network
from codesign.core.progress import Progress
from codesign.core.task import Task
from codesign.core.text_table import counted
from codesign.data import Dataset
from codesign.errors import SettingsError
from codesign.networks.description import Network
from codesign.settings import DistillationSettings, PruningSettings, QuantizationSettings
from codesign.training.fit import History
from codesign.training.lesson import Lesson, make_lesson, require_chosen
from codesign.training.own import NOTHING, Own
from codesign.training.teacher import Teacher


class Phases:
    """The trainings of one quantized student after each other.

    Parameters
    ----------
    model
        The student, quantized; trained in place.
    names
        Its layers with kernels.
    teacher, dataset, settings, distillation
        As `codesign.compression.quantize.quantize_student` takes them.
    renamed
        Layers that have another name in `model` than in the student.
    own
        Callbacks, loss and metrics of the user's own.
    progress
        Told after every epoch.
    """

    def __init__(
        self,
        model: keras.Model,
        names: Sequence[str],
        teacher: Teacher,
        dataset: Dataset,
        settings: QuantizationSettings,
        distillation: DistillationSettings,
        renamed: Mapping[str, str],
        own: Own,
        progress: Progress,
    ) -> None:
        self.model, self.names, self.teacher = model, names, teacher
        self.dataset, self.settings = dataset, settings
        self.distillation, self.renamed, self.own, self.progress = distillation, renamed, own, progress
        self.histories: list[History] = []
        self.rows: list[dict[str, Any]] = []
        check_study(settings, dataset.task)
        if settings.co_study_epochs:
            require_one_network(teacher)
            if own != NOTHING:
                raise SettingsError(
                    "quantization.co_study_epochs: two networks learn together there, which callbacks, a loss and metrics of "
                    "your own are not made for; set it to 0"
                )

    def study(self) -> None:
        """What comes before the teacher tutors: the student alone, then together with a copy of the teacher."""
        if self.settings.self_study_epochs:
            self._hold_zeros()
            labels_only = self.distillation.model_copy(update={"alpha": 1.0, "form": "soft", "terms": ()})
            lesson = make_lesson(self.model, self.teacher, self.dataset, labels_only, own=self.own)
            training = self._for(self.settings.self_study_epochs)
            self._note("self-study", lesson.fit(training, progress=self.progress, what="self-study"))
        if self.settings.co_study_epochs:
            self._hold_zeros()
            training = self._for(self.settings.co_study_epochs)
            numbers = require_chosen(self.distillation)
            self.teacher, history = co_study(
                self.model, self.teacher, self.dataset, training, *numbers, progress=self.progress
            )
            self._note("co-study", history)

    def tutor(self) -> None:
        """The student learns from the teacher; what is zero stays zero."""
        self._hold_zeros()
        history = self._lesson().fit(self.settings, progress=self.progress, what="quantization")
        self._note("tutoring", history)

    def tutor_pruned(self, prepared: Network, pruning: PruningSettings, rewind_to: Network | None) -> None:
        """The student learns from the teacher, losing weights in rounds."""
        targets = budget(prepared, pruning) or {}
        lesson, kernels = self._lesson(), kernels_of(self.model, self.names)
        score = scorer(pruning, pruning.method, list(kernels), lesson)
        selector = SparsitySelector(score, pruning, targets, prepared)
        history = train_masked(
            lesson,
            selector,
            pruning,
            self.settings,
            kernels,
            rewind_to=rewind_to,
            progress=self.progress,
            what="quantization-aware pruning",
        )
        self._note("tutoring", history)

    def _lesson(self) -> Lesson:
        return make_lesson(
            self.model, self.teacher, self.dataset, self.distillation, renamed=self.renamed, own=self.own
        )

    def _hold_zeros(self) -> None:
        kernels = kernels_of(self.model, self.names)
        hold_zeros(self.model, {name: kernel != 0 for name, kernel in kernels.items()})

    def _for(self, epochs: int) -> QuantizationSettings:
        return self.settings.model_copy(update={"epochs": epochs})

    def _note(self, phase: str, history: History) -> None:
        self.histories.append(history)
        self.rows.append(_row(phase, history))


def check_study(settings: QuantizationSettings, task: Task) -> None:
    """Refuse to study what is not learnt from targets: `SettingsError`."""
    for name in ("self_study_epochs", "co_study_epochs"):
        if getattr(settings, name) and not task.learns_targets:
            raise SettingsError(
                f"quantization.{name}: the task {task.kind!r} is learnt from the teacher alone, without targets to study; "
                "set it to 0"
            )


def check_rounds(settings: QuantizationSettings, pruning: PruningSettings) -> None:
    """Refuse fewer epochs than rounds of pruning: `SettingsError`."""
    rounds = n_rounds(pruning)
    if settings.epochs < rounds:
        raise SettingsError(
            f"quantization.epochs: {counted(settings.epochs, 'epoch')} cannot be shared by the {rounds} rounds of pruning; raise "
            "them or lower pruning.rounds"
        )


def budget(prepared: Network, pruning: PruningSettings) -> dict[str, float] | None:
    """Each layer's sparsity, or ``None`` where one budget holds for all; both are checked."""
    targets = sparsity_targets(prepared, pruning)
    return targets if pruning.scope == "layer" else None


def _row(phase: str, history: History) -> dict[str, Any]:
    """What a record says of a phase."""
    best = history.validation_quality[history.best_epoch]
    return {"phase": phase, "epochs": len(history.loss), f"validation_{history.measure}": best}
