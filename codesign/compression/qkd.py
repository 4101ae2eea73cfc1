"""Co-studying: a copy of the teacher learns together with the quantized student (QKD, arXiv:1911.12491)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from codesign.core.progress import SILENT, Progress
from codesign.data import Dataset
from codesign.errors import SettingsError
from codesign.networks.logits import ending_in_logits
from codesign.settings import TrainingSettings
from codesign.training.fit import History, fit
from codesign.training.losses import pack_targets, packed_accuracy
from codesign.training.objectives import Objective, objective_from_json, objective_of
from codesign.training.teacher import Teacher, teacher_of


@keras.saving.register_keras_serializable("codesign")
class CoStudyLoss(keras.losses.Loss):
    """Each of two networks learns from the labels and from the other's soft targets.

    `alpha L_NLL + (1 - alpha) T^2 KL(other || own)` for the student and for the teacher, summed; no gradient flows into
    the other's soft targets.

    Parameters
    ----------
    alpha
        The weight of the hard-label losses.
    temperature
        Of the soft targets.
    objective
        Of each network, or as `Objective.to_json` gives it; a number of outputs stands for those of classes. Outputs are the
        student's, then the teacher's.
    """

    def __init__(
        self,
        alpha: float,
        temperature: float,
        objective: Objective | Mapping[str, Any] | int,
        name: str = "co_study",
    ) -> None:
        super().__init__(name=name)
        if isinstance(objective, int):
            objective = Objective(objective)
        self.objective = objective if isinstance(objective, Objective) else objective_from_json(objective)
        self.alpha, self.temperature, self.n_outputs = alpha, temperature, self.objective.n_outputs

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample."""
        student, teacher = y_pred[:, : self.n_outputs], y_pred[:, self.n_outputs :]
        return self._own(y_true, student, teacher) + self._own(y_true, teacher, student)

    def _own(self, y_true: Any, own: Any, other: Any) -> Any:
        soft = self.objective.divergence(ops.stop_gradient(other), own, self.temperature)
        hard = self.objective.hard(y_true[:, : self.objective.n_columns], own)
        return self.alpha * hard + (1 - self.alpha) * soft

    def packed_accuracy(self, y_true: Any, y_pred: Any) -> Any:
        """Whether the student's class is the label, shape `(n,)`."""
        return packed_accuracy(y_true, y_pred[:, : self.n_outputs])

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {
            "alpha": self.alpha,
            "temperature": self.temperature,
            "objective": self.objective.to_json(),
            "name": self.name,
        }


def co_study(
    model: keras.Model,
    teacher: Teacher,
    dataset: Dataset,
    training: TrainingSettings,
    temperature: float,
    alpha: float,
    *,
    progress: Progress = SILENT,
) -> tuple[Teacher, History]:
    """Train a student together with a copy of its teacher.

    Parameters
    ----------
    model
        The student, quantized; trained in place.
    teacher
        A single network; unchanged, a copy of it learns.
    dataset
        What both learn from.
    training
        Epochs, batch size, learning rate.
    temperature, alpha
        Of both losses.
    progress
        Told after every epoch.

    Returns
    -------
    tuple
        The teacher that came of it, with its logits, and the history; the epoch that is kept is the student's best.

    Raises
    ------
    SettingsError
        If the teacher is no single network.
    TrainingError
        If the loss is not finite.
    """
    require_one_network(teacher)
    learning = ending_in_logits(teacher.model)
    inputs = keras.Input(dataset.input_shape, name="both")
    joined = keras.layers.Concatenate(name="student_and_teacher")(
        [_tensor(model(inputs)), _tensor(learning(inputs))]
    )
    both = keras.Model(inputs, joined)
    history = fit(
        both,
        CoStudyLoss(alpha, temperature, objective_of(dataset.task, int(model.output_shape[-1]))),
        dataset.weighted("train", dataset.x_train, pack_targets(dataset.y_train)),
        dataset.weighted("validation", dataset.x_validation, pack_targets(dataset.y_validation)),
        training,
        task=dataset.task,
        progress=progress,
        what="co-study",
    )
    made_of = {"teacher": teacher.record.digest}
    grown = teacher_of(learning, dataset, history, made_of=made_of, cache=teacher.cache)
    return grown, history


def require_one_network(teacher: Teacher) -> None:
    """Refuse to co-study with a teacher that is no single network: `SettingsError`."""
    if teacher.model is None:
        raise SettingsError(
            "quantization.co_study_epochs: the teacher learns too and must be one network, not an ensemble, "
            "specialists or logits; set it to 0 or use a single teacher"
        )


def _tensor(outputs: Any) -> Any:
    """The only output of a model, which gives it in a list if it was made with a list of one."""
    return outputs[0] if isinstance(outputs, list) else outputs
