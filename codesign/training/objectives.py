"""What a task's outputs are pulled to: its loss on the targets, on a teacher's outputs, and the curvature of it.

`objective_of` chooses one for a task. Targets come as the columns of `Task.columns`, outputs as the network's last layer
gives them; every function returns one value for each sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from keras import ops

from codesign.core.shown import Brief
from codesign.core.task import Task
from codesign.errors import SettingsError
from codesign.training.losses import (
    decoupled_loss,
    hard_labels_loss,
    hard_loss,
    logits_loss,
    soft_labels_loss,
    soft_loss,
)


@dataclass(frozen=True)
class Following:
    """How a teacher is followed.

    Parameters
    ----------
    form
        ``soft``: its soft targets, or its values; ``decoupled``; ``logits``: squared differences; ``bounded``: the targets,
        where the student is worse than the teacher.
    temperature
        Of soft targets.
    target_weight, other_weight
        Of the parts of `decoupled`.
    margin
        Of `bounded`: how much better than the teacher, in the unit of the loss, the student must be to be left alone.
    """

    form: str = "soft"
    temperature: float = 1.0
    target_weight: float = 1.0
    other_weight: float = 8.0
    margin: float = 0.0


@dataclass(frozen=True)
class Objective(Brief):
    """One softmax over several classes, or one output, the logit of class 1."""

    n_outputs: int

    kind: ClassVar[str] = "classes"
    forms: ClassVar[tuple[str, ...]] = ("soft", "decoupled", "logits")
    """How a teacher can be followed."""
    has_temperature: ClassVar[bool] = True
    """Whether outputs are logits, whose distribution a temperature softens."""

    @classmethod
    def of(cls, task: Any, n_outputs: int) -> Objective:
        """That of a task with so many outputs."""
        return cls(n_outputs)

    @property
    def n_columns(self) -> int:
        """Columns of targets."""
        return 1

    def hard(self, targets: Any, outputs: Any) -> Any:
        """The loss on the targets `(n, n_columns)`, shape `(n,)`."""
        return hard_loss(targets[:, 0], outputs)

    def divergence(self, teacher: Any, outputs: Any, temperature: float) -> Any:
        """How far the outputs are from a teacher's, shape `(n,)`; zero, and least, where they are equal."""
        return soft_loss(teacher, outputs, temperature)

    def known(self, targets: Any, teacher: Any, outputs: Any, how: Following) -> Any:
        """The loss on the teacher's outputs, shape `(n,)`."""
        if how.form == "logits":
            return logits_loss(teacher, outputs)
        if how.form == "decoupled":
            weights = how.target_weight, how.other_weight
            return decoupled_loss(targets[:, 0], teacher, outputs, how.temperature, *weights)
        return self.divergence(teacher, outputs, how.temperature)

    def curvature(self, outputs: Any, temperature: float) -> tuple[Any, Any]:
        """Values and weights `(n, k)` with which the Gauss-Newton matrix is the sum of `weight (d value / d w)^2`.

        It is the Fisher information: targets are drawn from what the network predicts, so that none are needed.
        """
        if self.n_outputs == 1:
            outputs = ops.concatenate([ops.zeros_like(outputs), outputs], axis=-1)
        log_p = ops.log_softmax(outputs / temperature)
        return log_p, ops.exp(log_p)

    def mean(self, outputs: np.ndarray, of_classes: Any) -> np.ndarray:
        """What the members of an ensemble, `(n_members, n, n_outputs)`, say together.

        `of_classes` is the mean of soft targets of one distribution.
        """
        return np.asarray(of_classes(outputs))

    def check(self, form: str, place: str = "form") -> None:
        """Raise `SettingsError` for a way to follow a teacher that there is not for these outputs."""
        if form not in self.forms:
            raise SettingsError(
                f"distillation.{place}: {form!r} is not for {self.kind}; choose one of {', '.join(self.forms)}"
            )

    def to_json(self) -> dict[str, Any]:
        """What `objective_from_json` needs."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class Labels(Objective):
    """Every output the logit of a label of its own."""

    kind = "labels"
    forms = ("soft", "logits")

    @property
    def n_columns(self) -> int:
        """One for each label."""
        return self.n_outputs

    def hard(self, targets: Any, outputs: Any) -> Any:
        """Binary cross entropy, mean over the labels."""
        return hard_labels_loss(targets, outputs)

    def divergence(self, teacher: Any, outputs: Any, temperature: float) -> Any:
        """Bernoulli divergences, mean over the labels."""
        return soft_labels_loss(teacher, outputs, temperature)

    def curvature(self, outputs: Any, temperature: float) -> tuple[Any, Any]:
        """Of Bernoulli distributions: `p (1 - p)`."""
        p = ops.sigmoid(outputs / temperature)
        return outputs / temperature, p * (1 - p) / self.n_outputs

    def mean(self, outputs: np.ndarray, of_classes: Any) -> np.ndarray:
        """Label by label."""
        parts = [of_classes(outputs[..., index : index + 1]) for index in range(self.n_outputs)]
        return np.concatenate(parts, axis=-1)


@dataclass(frozen=True)
class Values(Objective):
    """Every output a number.

    Parameters
    ----------
    loss
        ``squared`` differences, or Huber's, which grows linearly beyond a difference of 1.
    judged
        Whether a last column of targets marks samples (above 0) that are not to be learnt from.
    """

    loss: str = "squared"
    judged: bool = False

    kind = "values"
    forms: ClassVar[tuple[str, ...]] = ("soft", "logits", "bounded")
    has_temperature = False

    @classmethod
    def of(cls, task: Any, n_outputs: int) -> Objective:
        """Of a task that says how differences count."""
        return cls(n_outputs, task.loss, task.judged)

    @property
    def n_columns(self) -> int:
        """One for each output, and the mark."""
        return self.n_outputs + self.judged

    def hard(self, targets: Any, outputs: Any) -> Any:
        """The mean over the outputs."""
        return self._learnt(targets, self._distance(targets[:, : self.n_outputs], outputs))

    def divergence(self, teacher: Any, outputs: Any, temperature: float) -> Any:
        """The same loss on the teacher's values."""
        return self._distance(teacher, outputs)

    def known(self, targets: Any, teacher: Any, outputs: Any, how: Following) -> Any:
        """On the teacher's values, or bounded by them.

        Chen et al., "Learning efficient object detection models with knowledge distillation" (NeurIPS 2017), section 3.3: a
        teacher may be wrong anywhere on the real line, so its error is only a bound that the student's is to keep.
        """
        if how.form == "bounded":
            wanted = targets[:, : self.n_outputs]
            ours, theirs = self._distance(wanted, outputs), self._distance(wanted, teacher)
            loss = ops.where(ours + how.margin > theirs, ours, ops.zeros_like(ours))
        elif how.form == "logits":
            loss = logits_loss(teacher, outputs)
        else:
            loss = self._distance(teacher, outputs)
        return self._learnt(targets, loss)

    def curvature(self, outputs: Any, temperature: float) -> tuple[Any, Any]:
        """Of the squared loss, which is that of normal distributions around the outputs."""
        return outputs, 2 * ops.ones_like(outputs) / self.n_outputs

    def mean(self, outputs: np.ndarray, of_classes: Any) -> np.ndarray:
        """The mean of the values."""
        return np.asarray(outputs, np.float64).mean(axis=0).astype(np.float32)

    def _learnt(self, targets: Any, loss: Any) -> Any:
        return loss * ops.cast(targets[:, self.n_outputs] <= 0, loss.dtype) if self.judged else loss

    def _distance(self, wanted: Any, outputs: Any) -> Any:
        difference = outputs - wanted
        if self.loss == "huber":
            size = ops.abs(difference)
            # the scale of the squared loss: both are the square below 1
            values = ops.where(size <= 1.0, ops.square(difference), 2 * size - 1)
        else:
            values = ops.square(difference)
        return ops.mean(values, axis=-1)


@dataclass(frozen=True)
class Scores(Values):
    """One output, a teacher's score; the column of targets only judges."""

    kind = "scores"
    forms = ("soft", "logits")

    @classmethod
    def of(cls, task: Any, n_outputs: int) -> Objective:
        """Of squared differences."""
        return cls(n_outputs)

    @property
    def n_columns(self) -> int:
        """The label."""
        return 1

    def known(self, targets: Any, teacher: Any, outputs: Any, how: Following) -> Any:
        """On the teacher's score alone."""
        return self._distance(teacher, outputs)

    def hard(self, targets: Any, outputs: Any) -> Any:
        """Nothing: what is anomalous is not learnt."""
        return ops.zeros_like(outputs[:, 0])


@dataclass(frozen=True)
class Several(Objective):
    """Several objectives side by side: columns and outputs of one after another's.

    Parameters
    ----------
    parts
        In order.
    weights
        What the loss of each is multiplied by.
    """

    parts: tuple[Objective, ...] = ()
    weights: tuple[float, ...] = ()

    kind = "heads"

    @classmethod
    def of(cls, task: Any, n_outputs: int) -> Objective:
        """Of a task that has heads."""
        parts = tuple(objective_of(head.task) for head in task.heads)
        return cls(n_outputs, parts, tuple(head.weight for head in task.heads))

    @property
    def forms(self) -> tuple[str, ...]:  # type: ignore[override]
        """All of the parts'; a part that lacks one follows the teacher's ``soft`` targets or values."""
        return tuple(dict.fromkeys(form for part in self.parts for form in part.forms))

    @property
    def has_temperature(self) -> bool:  # type: ignore[override]
        """Whether any part has."""
        return any(part.has_temperature for part in self.parts)

    @property
    def n_columns(self) -> int:
        """Of all parts."""
        return sum(part.n_columns for part in self.parts)

    def hard(self, targets: Any, outputs: Any) -> Any:
        """The weighted sum."""
        return self._sum(lambda part, c, o: part.hard(targets[:, c], outputs[:, o]))

    def divergence(self, teacher: Any, outputs: Any, temperature: float) -> Any:
        """The weighted sum."""
        return self._sum(lambda part, c, o: part.divergence(teacher[:, o], outputs[:, o], temperature))

    def known(self, targets: Any, teacher: Any, outputs: Any, how: Following) -> Any:
        """The weighted sum, each part in the form that it has."""

        def one(part: Objective, c: slice, o: slice) -> Any:
            own = how if how.form in part.forms else Following("soft", how.temperature)
            return part.known(targets[:, c], teacher[:, o], outputs[:, o], own)

        return self._sum(one)

    def curvature(self, outputs: Any, temperature: float) -> tuple[Any, Any]:
        """Those of the parts, by their weights."""
        found = [
            (*part.curvature(outputs[:, o], temperature), weight)
            for (part, _, o), weight in zip(self._slices(), self.weights, strict=True)
        ]
        values = ops.concatenate([values for values, _, _ in found], axis=-1)
        return values, ops.concatenate([weights * weight for _, weights, weight in found], axis=-1)

    def mean(self, outputs: np.ndarray, of_classes: Any) -> np.ndarray:
        """Part by part."""
        parts = [part.mean(outputs[..., o], of_classes) for part, _, o in self._slices()]
        return np.concatenate(parts, axis=-1)

    def to_json(self) -> dict[str, Any]:
        """With that of every part."""
        return {
            "kind": self.kind,
            "n_outputs": self.n_outputs,
            "parts": [part.to_json() for part in self.parts],
            "weights": list(self.weights),
        }

    def _slices(self) -> list[tuple[Objective, slice, slice]]:
        found, column, output = [], 0, 0
        for part in self.parts:
            found.append(
                (part, slice(column, column + part.n_columns), slice(output, output + part.n_outputs))
            )
            column, output = column + part.n_columns, output + part.n_outputs
        return found

    def _sum(self, one: Any) -> Any:
        values = [weight * one(*place) for place, weight in zip(self._slices(), self.weights, strict=True)]
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total


_KINDS: Mapping[str, type[Objective]] = {
    objective.kind: objective for objective in (Objective, Labels, Values, Scores, Several)
}


def objective_from_json(value: Mapping[str, Any]) -> Objective:
    """The inverse of `Objective.to_json`."""
    fields = {name: entry for name, entry in value.items() if name != "kind"}
    if "parts" in fields:
        fields["parts"] = tuple(map(objective_from_json, fields["parts"]))
        fields["weights"] = tuple(fields["weights"])
    return _KINDS[value["kind"]](**fields)


def objective_of(task: Task, n_outputs: int | None = None) -> Objective:
    """The objective of a task.

    Parameters
    ----------
    task
        What the outputs mean.
    n_outputs
        How many the network has; by default as many as a student has.
    """
    return _KINDS[task.objective].of(task, task.n_outputs if n_outputs is None else n_outputs)
