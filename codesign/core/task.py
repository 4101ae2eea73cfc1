"""What a network's outputs mean: one class a task, and the only place that knows it.

A task knows the form of its targets, which of them a fair split keeps in proportion, how outputs are judged, and
whether there are classes that could change. Loader and scan ask it; a new task is a class here, in `TASKS`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np

from codesign.core.quality import (
    QUALITIES,
    background_rejection,
    binned,
    efficiency_at,
    macro_auc,
)
from codesign.core.shown import Brief
from codesign.errors import DataError

FALSE_POSITIVES = 0.01
"""The fraction of background at which an efficiency is quoted."""

SIGNAL_EFFICIENCY = 0.9
"""The fraction of signal at which a background rejection is quoted."""

LOSSES = ("squared", "huber")
"""What a regression may minimise."""

N_BINS = 5
"""Bins of equal population in which a regression's bias and resolution are told."""


@dataclass(frozen=True)
class Task(Brief):
    """What every task has; the classes below say what is different.

    Parameters
    ----------
    names
        Of the classes, labels or targets.
    """

    names: tuple[str, ...]

    kind: ClassVar[str]
    measure: ClassVar[str]
    """The metric that decides: best epoch, scan and pruning; higher is better."""
    objective: ClassVar[str]
    """What is minimised, a kind of `codesign.training.objectives`."""
    pictures: ClassVar[tuple[str, ...]]
    """What a run's page draws of outputs against targets, by the names of `codesign.comparison.run_page`."""
    qualities: ClassVar[tuple[str, ...]] = ()
    """What a scan may keep instead of the measure, by the names of `codesign.core.quality.QUALITIES`."""
    has_classes: ClassVar[bool] = False
    """Whether a sample's outputs decide on one class."""
    endings: ClassVar[tuple[str, ...]] = ("softmax", "sigmoid")
    """The functions at a network's end that are left out because the outputs are logits, which decide as they do."""
    whole_targets: ClassVar[bool] = True
    """Whether targets are whole numbers."""
    needs_targets: ClassVar[bool] = True
    """Whether the data need a `y`."""
    learns_targets: ClassVar[bool] = True
    """Whether a student may learn from the targets; otherwise they only judge, and its teacher is all that it learns from."""
    a_guess: ClassVar[str] = "a guess"
    """What reaches `guess`."""
    knows_nothing: ClassVar[str] = "near chance"
    """What is said of a network that is not much better than `a_guess`."""
    score_name: ClassVar[str] = "score"
    """What orders the samples in `separation`."""
    much_better: ClassVar[float] = 0.25
    """The part of the way from a guess to perfection below which a network has learnt next to nothing."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))

    @property
    def n_outputs(self) -> int:
        """What the builders of a design are told: how many outputs the student has."""
        return len(self.names)

    @property
    def allowed_outputs(self) -> tuple[int, ...]:
        """The numbers of outputs that a student may have."""
        return (self.n_outputs,)

    @property
    def n_columns(self) -> int:
        """How many columns of targets travel to the loss."""
        return 1

    @property
    def outputs_sentence(self) -> str:
        """What the data have that the outputs must fit: ``3 classes``."""
        return f"{len(self.names)} {self.noun}"

    noun: ClassVar[str] = "classes"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The single tasks: itself, or those of the heads."""
        return (self,)

    def each(
        self, targets: np.ndarray, outputs: np.ndarray
    ) -> Iterator[tuple[str, Task, np.ndarray, np.ndarray]]:
        """Each single task's name (empty if there are no heads), itself, its targets in its own form, and its outputs."""
        yield "", self, targets, outputs

    @property
    def output_scaling(self) -> tuple[np.ndarray, np.ndarray]:
        """Offset and divisor of each output, float64: `scaled = (raw - offset) / divisor`."""
        return np.zeros(self.n_outputs), np.ones(self.n_outputs)

    def teacher_outputs(self, n_features: int) -> tuple[int, ...]:
        """Numbers of outputs that a teacher may have beside those of a student."""
        return ()

    def strata(self, targets: np.ndarray) -> np.ndarray | None:
        """Numbers of the groups that every part of a split gets its share of, shape `(n_samples,)`; or ``None``."""
        return targets

    def check(self, targets: np.ndarray, where: str) -> None:
        """Raise `DataError` for targets that are not of the task's form."""
        if targets.dtype.kind not in "iu" or targets.ndim != 1:
            raise DataError(
                f"{where} must be whole numbers of shape (samples,), not {targets.dtype} of shape {targets.shape}"
            )
        outside = np.flatnonzero((targets < 0) | (targets >= len(self.names)))
        if len(outside):
            raise DataError(
                f"{where}: label {targets[outside[0]]} at row {outside[0]} (counted from 0) is outside "
                f"0 to {len(self.names) - 1} of the {len(self.names)} classes"
            )

    def check_train(self, targets: np.ndarray, where: str) -> None:
        """Raise `DataError` if the train part cannot teach the task."""
        if len(self.names) < 2 or len(set(self.names)) != len(self.names):
            raise DataError(
                f"{where}: class names must be at least two and all different, not {self.names!r}"
            )
        present = np.unique(targets)
        if len(present) != len(self.names):
            absent = [self.names[label] for label in np.setdiff1d(np.arange(len(self.names)), present)]
            raise DataError(
                f"{where}: no sample of class {', '.join(absent)} in the train part; "
                f"every class needs one to be learnt"
            )

    def check_judged(self, targets: np.ndarray, where: str) -> None:
        """Raise `DataError` if the targets of a validation or test part cannot judge a network."""

    def fitted(self, train_targets: np.ndarray, scaling: str) -> Task:
        """The task with the scaling of its targets (``standard`` or ``none``) fitted on the raw ones of the train part."""
        return self

    def prepared(self, raw_targets: np.ndarray) -> np.ndarray:
        """Raw targets as a dataset holds them."""
        return raw_targets

    def with_features(self, raw_targets: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Raw targets, with the scaled features `(n_samples, n_features)` before them where they are targets."""
        return raw_targets

    def columns(self, targets: np.ndarray) -> np.ndarray:
        """Targets as they travel to a loss: float32 of shape `(n_samples, n_columns)`."""
        return np.asarray(targets, np.float32).reshape(len(targets), -1)

    def of_columns(self, columns: np.ndarray) -> np.ndarray:
        """The inverse of `columns`."""
        return columns.astype(np.int64)[:, 0]

    def quality(self, targets: np.ndarray, outputs: np.ndarray) -> float:
        """The `measure` of outputs `(n_samples, n_outputs)`; higher is better."""
        return QUALITIES[self.measure](targets, outputs)

    def guess(self, targets: np.ndarray) -> float:
        """The quality of what knows the targets' frequencies, or their mean, and no features."""
        return float(np.bincount(targets).max() / len(targets))

    def standard_error(self, quality: float, n_samples: int) -> float:
        """About how far a quality measured on so many samples may be from the true one: one standard deviation."""
        return math.sqrt(max(quality * (1 - quality), 0.0) / max(n_samples, 1))

    def log_loss(self, targets: np.ndarray, outputs: np.ndarray) -> tuple[float, float] | None:
        """What a sample's truth costs, in nats: by outputs as logits, and by how often each is true; ``None`` without logits."""
        return None

    def details(self, targets: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """Further figures of a report, by the names of `codesign.core.metrics` without their part."""
        return {}

    def figures(
        self, validation: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
    ) -> dict[str, Any]:
        """What a stage's record says of its quality: the measure on both parts, and the details on the test part.

        Parameters
        ----------
        validation, test
            Targets and outputs.
        """
        return {f"validation_{self.measure}": self.quality(*validation), **self.test_figures(*test)}

    def test_figures(self, targets: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """The measure and the details on the test part."""
        details = {f"test_{name}": value for name, value in self.details(targets, outputs).items()}
        return {f"test_{self.measure}": self.quality(targets, outputs), **details}

    def class_places(self, n_outputs: int) -> dict[str, slice]:
        """Where the outputs stand that decide on a class, by head (unnamed where there are none)."""
        return {"": slice(0, n_outputs)} if self.has_classes else {}

    def separation(
        self, targets: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]] | None:
        """Labels that hold or not, `(n_samples, n_labels)`, the scores that tell them, and their names; ``None`` without."""
        return None

    def is_told(self, targets: np.ndarray, outputs: np.ndarray) -> bool:
        """Whether outputs tell more of the targets than a guess does, beyond chance, by the quality or by their order."""
        guess = self.guess(targets)
        if self.quality(targets, outputs) > guess + self.standard_error(guess, len(targets)):
            return True
        auc = self._order(targets, outputs)
        return auc is None or auc > 0.5 + 0.5 / math.sqrt(len(targets))

    def _order(self, targets: np.ndarray, outputs: np.ndarray) -> float | None:
        """How outputs order the samples, which rare classes leave true of a network that never says them."""
        return macro_auc(targets, outputs) if len(np.unique(targets)) == len(self.names) else None

    def count(self, targets: np.ndarray) -> dict[str, Any]:
        """What a summary of the data says of the targets of the train part."""
        counts = np.bincount(targets, minlength=len(self.names)).tolist()
        return {"train_samples_of_class": dict(zip(self.names, counts, strict=True))}

    def to_json(self) -> dict[str, Any]:
        """Everything needed to build it again, as plain JSON values."""
        return {"kind": self.kind, **asdict(self), "names": list(self.names)}


@dataclass(frozen=True)
class Classification(Task):
    """One class for each sample; two classes may have one output, the logit of class 1."""

    kind = "classification"
    measure = "accuracy"
    objective = "classes"
    pictures = ("confusion", "roc")
    qualities = ("auc",)
    has_classes = True

    @property
    def allowed_outputs(self) -> tuple[int, ...]:
        """As many outputs as classes, or one for two classes."""
        return (2, 1) if len(self.names) == 2 else (len(self.names),)

    def log_loss(self, targets: np.ndarray, outputs: np.ndarray) -> tuple[float, float] | None:
        """Of the right class."""
        logits = outputs.astype(np.float64)
        if logits.shape[1] == 1:
            return _labels_loss(targets[:, None], logits)
        spread = np.logaddexp.reduce(logits, axis=1)
        shares = np.bincount(targets) / len(targets)
        own = float((spread - logits[np.arange(len(logits)), targets]).mean())
        return own, _entropy(shares)

    def details(self, targets: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """The area under the ROC curve and the background rejection, for two classes."""
        if len(self.names) != 2 or len(np.unique(targets)) != 2:
            return {}
        return {
            "auc": macro_auc(targets, outputs),
            "rejection": background_rejection(targets, outputs, SIGNAL_EFFICIENCY),
        }


@dataclass(frozen=True)
class Binary(Classification):
    """Two classes and one output, the logit of class 1."""

    kind = "binary"

    @property
    def n_outputs(self) -> int:
        """The logit of class 1."""
        return 1

    @property
    def allowed_outputs(self) -> tuple[int, ...]:
        """One."""
        return (1,)

    def check_train(self, targets: np.ndarray, where: str) -> None:
        """As for classes, and exactly two of them."""
        if len(self.names) != 2:
            raise DataError(
                f"{where}: the task 'binary' needs two classes, the data have {len(self.names)}; "
                "set data.task: classification"
            )
        super().check_train(targets, where)


@dataclass(frozen=True)
class MultiLabel(Task):
    """Several labels, each of which holds or not, whatever the others do: one logit each."""

    kind = "multi_label"
    measure = "accuracy"
    objective = "labels"
    qualities = ("auc",)
    pictures = ("separation",)
    noun = "labels"
    endings = ("sigmoid",)

    @property
    def n_columns(self) -> int:
        """One for each label."""
        return len(self.names)

    def log_loss(self, targets: np.ndarray, outputs: np.ndarray) -> tuple[float, float] | None:
        """The mean over the labels."""
        return _labels_loss(targets, outputs.astype(np.float64))

    def strata(self, targets: np.ndarray) -> np.ndarray | None:
        """None: combinations of labels may be too rare to be shared out."""
        return None

    def check(self, targets: np.ndarray, where: str) -> None:
        """Zeros and ones of shape `(n_samples, n_labels)`."""
        if targets.ndim != 2 or targets.shape[1] != len(self.names) or targets.dtype.kind not in "iu":
            raise DataError(
                f"{where} must be 0 and 1 of shape (samples, {len(self.names)}), not {targets.dtype} of shape {targets.shape}"
            )
        if not np.isin(targets, (0, 1)).all():
            raise DataError(f"{where} must hold 0 and 1 only, not {targets.min()} to {targets.max()}")

    def check_train(self, targets: np.ndarray, where: str) -> None:
        """Every label holds for some samples and not for others."""
        same = [
            name for name, column in zip(self.names, targets.T, strict=True) if column.min() == column.max()
        ]
        if same:
            raise DataError(
                f"{where}: the label {', '.join(same)} is the same for every sample of the train part; remove it"
            )

    def of_columns(self, columns: np.ndarray) -> np.ndarray:
        """Whole numbers."""
        return columns.astype(np.int64)

    def guess(self, targets: np.ndarray) -> float:
        """Every label as it is more often."""
        shares = targets.mean(axis=0)
        return float(np.maximum(shares, 1 - shares).mean())

    def quality(self, targets: np.ndarray, outputs: np.ndarray) -> float:
        """The fraction of all labels that are right."""
        return float(((outputs > 0) == (targets > 0)).mean())

    def details(self, targets: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """The area under the ROC curve, the mean over the labels."""
        auc = self._order(targets, outputs)
        return {} if auc is None else {"auc": auc}

    def _order(self, targets: np.ndarray, outputs: np.ndarray) -> float | None:
        """The mean over the labels that hold for some samples only."""
        both = [index for index, column in enumerate(targets.T) if column.min() != column.max()]
        return macro_auc(targets[:, both], outputs[:, both]) if both else None

    def separation(
        self, targets: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]] | None:
        """Each label and its logit."""
        return targets, outputs, self.names

    def count(self, targets: np.ndarray) -> dict[str, Any]:
        """How many samples have each label."""
        return {"train_samples_of_class": dict(zip(self.names, targets.sum(axis=0).tolist(), strict=True))}


@dataclass(frozen=True)
class Regression(Task):
    """One or several real numbers for each sample.

    Parameters
    ----------
    offset, divisor
        The scaling of each target, `scaled = (raw - offset) / divisor`, fitted on the train part; reports undo it.
    loss
        What is minimised, of scaled targets: ``squared`` differences, or ``huber``, which counts those above 1 linearly.
    """

    offset: tuple[float, ...] = ()
    divisor: tuple[float, ...] = ()
    loss: str = "squared"

    kind = "regression"
    measure = "r2"
    objective = "values"
    pictures = ("residuals", "bins")
    endings = ()
    whole_targets = False
    a_guess = "a constant"
    knows_nothing = "near a constant predictor"
    much_better = 0.1
    noun = "targets"

    def __post_init__(self) -> None:
        super().__post_init__()
        n = len(self.names)
        if self.loss not in LOSSES:
            raise DataError(f"the loss of a regression is one of {', '.join(LOSSES)}, not {self.loss!r}")
        object.__setattr__(self, "offset", tuple(float(x) for x in self.offset) or (0.0,) * n)
        object.__setattr__(self, "divisor", tuple(float(x) for x in self.divisor) or (1.0,) * n)
        usable = all(map(math.isfinite, (*self.offset, *self.divisor))) and all(self.divisor)
        if not usable or not len(self.offset) == len(self.divisor) == n:
            raise DataError(
                f"the scaling of {n} targets needs {n} finite offsets and divisors, none of them 0, "
                f"not {self.offset} and {self.divisor}"
            )

    @property
    def n_columns(self) -> int:
        """One for each target."""
        return len(self.names)

    def strata(self, targets: np.ndarray) -> np.ndarray | None:
        """None: there are no groups."""
        return None

    def check(self, targets: np.ndarray, where: str) -> None:
        """Finite numbers of shape `(n_samples, n_columns)`."""
        if targets.ndim != 2 or targets.shape[1] != self.n_columns or targets.dtype.kind != "f":
            raise DataError(
                f"{where} must be numbers of shape (samples, {self.n_columns}), not {targets.dtype} of shape {targets.shape}"
            )
        if not np.isfinite(targets).all():
            row, column = (int(i) for i in np.argwhere(~np.isfinite(targets))[0])
            raise DataError(
                f"{where}: the target {self.names[column]!r} is {targets[row, column]} at row {row} (counted from 0); "
                "remove or fill these samples"
            )

    def check_train(self, targets: np.ndarray, where: str) -> None:
        """No target is constant."""
        same = [
            name for name, column in zip(self.names, targets.T, strict=True) if column.min() == column.max()
        ]
        if same:
            raise DataError(
                f"{where}: the target {', '.join(same)} is the same for every sample of the train part, so that there "
                "is nothing to learn; remove it"
            )

    def check_judged(self, targets: np.ndarray, where: str) -> None:
        """Some target varies."""
        if len(targets) < 2 or not (targets != targets[:1]).any():
            raise DataError(
                f"{where}: every target is the same for all {len(targets)} samples; give more samples"
            )

    def fitted(self, train_targets: np.ndarray, scaling: str) -> Task:
        """Mean 0 and standard deviation 1 of each target on the train part, or as they are."""
        if scaling == "none":
            return self
        spread = train_targets.std(axis=0, dtype=np.float64)
        # a constant target is refused later, by its name
        spread = np.where(spread > 0, spread, 1.0)
        return replace(
            self,
            offset=tuple(train_targets.mean(axis=0, dtype=np.float64).tolist()),
            divisor=tuple(spread.tolist()),
        )

    def prepared(self, raw_targets: np.ndarray) -> np.ndarray:
        """Scaled, float32."""
        return self.scaled(raw_targets).astype(np.float32)

    @property
    def judged(self) -> bool:
        """Whether a last column of targets marks samples that are not to be learnt from."""
        return False

    @property
    def output_scaling(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each target."""
        return np.array(self.offset), np.array(self.divisor)

    def is_told(self, targets: np.ndarray, outputs: np.ndarray) -> bool:
        """Whether they are nearer to the targets than a constant."""
        return self.quality(targets, outputs) >= self.guess(targets)

    def raw(self, values: np.ndarray) -> np.ndarray:
        """Scaled targets or outputs in the units of the source, float64 of the same shape."""
        return np.asarray(values, np.float64) * np.array(self.divisor) + np.array(self.offset)

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `raw`."""
        return (np.asarray(values, np.float64) - np.array(self.offset)) / np.array(self.divisor)

    def of_columns(self, columns: np.ndarray) -> np.ndarray:
        """As they are."""
        return columns

    def guess(self, targets: np.ndarray) -> float:
        """The mean explains nothing."""
        return 0.0

    def standard_error(self, quality: float, n_samples: int) -> float:
        """Of R2, for many samples and normal differences."""
        return 2 * math.sqrt(max(quality, 0.0) / max(n_samples, 1)) * (1 - min(quality, 1.0))

    def details(self, targets: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """RMSE, bias and resolution of each target in the units of the source, over all and in bins of the target."""
        truth, found = self.raw(targets), self.raw(outputs)
        rows = [
            row
            for index, name in enumerate(self.names)
            for row in binned(name, truth[:, index], found[:, index], N_BINS)
        ]
        figures: dict[str, Any] = {"targets": rows}
        if len(self.names) == 1:
            figures |= {name: rows[0][name] for name in ("rmse", "bias", "resolution")}
        return figures

    def count(self, targets: np.ndarray) -> dict[str, Any]:
        """Mean and spread of each target, in the units of the source."""
        raw = self.raw(targets)
        rows = zip(self.names, raw.mean(axis=0).tolist(), raw.std(axis=0).tolist(), strict=True)
        return {"targets": {name: {"mean": mean, "spread": spread} for name, mean, spread in rows}}


@dataclass(frozen=True)
class Reconstruction(Regression):
    """The inputs themselves: an autoencoder. Targets are the scaled features, flattened.

    Parameters
    ----------
    labelled
        Whether a last column of the targets says what is anomalous (1): such samples are not learnt, and judge how well the
        error of the reconstruction tells them apart.
    """

    labelled: bool = False

    kind = "reconstruction"
    score_name = "mean squared error of the reconstruction"
    noun = "features"
    pictures = ("separation", "distribution")
    needs_targets = False

    @property
    def n_columns(self) -> int:
        """One for each feature, and the label."""
        return len(self.names) + self.labelled

    def strata(self, targets: np.ndarray) -> np.ndarray | None:
        """Normal and anomalous samples, where that is known."""
        return targets[:, -1].astype(np.int64) if self.labelled else None

    def fitted(self, train_targets: np.ndarray, scaling: str) -> Task:
        """Itself: the features are scaled already."""
        return self

    def prepared(self, raw_targets: np.ndarray) -> np.ndarray:
        """Float32."""
        return raw_targets.astype(np.float32)

    def with_features(self, raw_targets: np.ndarray, features: np.ndarray) -> np.ndarray:
        """The features, then the label where there is one."""
        return np.concatenate([features, raw_targets], axis=1)

    @property
    def judged(self) -> bool:
        """Whether anomalies are marked."""
        return self.labelled

    def separation(
        self, targets: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]] | None:
        """Anomalies by the error, where they are known."""
        if not self.labelled:
            return None
        return targets[:, -1:].astype(np.int64), self.errors(targets, outputs)[:, None], ("anomalous",)

    def check_train(self, targets: np.ndarray, where: str) -> None:
        """Some feature of the normal samples varies."""
        normal = self._normal(targets, targets)
        if not len(normal):
            raise DataError(
                f"{where}: no sample of label 0 (normal) in the train part; what is normal must be known"
            )
        if not (normal.min(axis=0) != normal.max(axis=0)).any():
            raise DataError(
                f"{where}: every feature is constant in the train part, so that there is nothing to learn"
            )

    def quality(self, targets: np.ndarray, outputs: np.ndarray) -> float:
        """The fraction of the variance of all features of the normal samples together that the outputs explain."""
        normal, found = self._normal(targets, targets), self._normal(targets, outputs)
        error = np.square(found.astype(np.float64) - normal).sum()
        return float(1 - error / np.square(normal - normal.mean(axis=0, dtype=np.float64)).sum())

    def details(self, targets: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """The root of the mean squared difference, in the scaled units that the network sees; how the error tells anomalies."""
        normal, found = self._normal(targets, targets), self._normal(targets, outputs)
        figures = {"rmse": float(np.sqrt(np.square(found.astype(np.float64) - normal).mean()))}
        if self.labelled and len(np.unique(targets[:, -1])) == 2:
            labels, score = targets[:, -1].astype(np.int64), self.errors(targets, outputs)
            figures["auc"] = macro_auc(labels, score[:, None])
            figures["efficiency"] = efficiency_at(labels, score, FALSE_POSITIVES)
        return figures

    def errors(self, targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """The mean squared difference of each sample, float64 of shape `(n_samples,)`: its anomaly score."""
        difference = outputs.astype(np.float64) - targets[:, : len(self.names)]
        return np.asarray(np.square(difference).mean(axis=1))

    def _normal(self, targets: np.ndarray, array: np.ndarray) -> np.ndarray:
        """The rows of an array that belong to normal samples, one value a feature."""
        rows = targets[:, -1] == 0 if self.labelled else slice(None)
        return array[rows][:, : len(self.names)]

    def count(self, targets: np.ndarray) -> dict[str, Any]:
        """How many samples are anomalous, where that is known."""
        return {"train_anomalies": int(targets[:, -1].sum())} if self.labelled else {}


@dataclass(frozen=True)
class Score(Task):
    """An anomaly score, one output; labels (1: anomalous) only judge how it orders the samples."""

    names: tuple[str, ...] = ("normal", "anomalous")

    kind = "score"
    measure = "auc"
    objective = "scores"
    pictures = ("separation", "distribution")
    endings = ()
    learns_targets = False

    @property
    def n_outputs(self) -> int:
        """The score."""
        return 1

    @property
    def outputs_sentence(self) -> str:
        """One score."""
        return "one anomaly score"

    def check_train(self, targets: np.ndarray, where: str) -> None:
        """There are normal samples."""
        if not (targets == 0).any():
            raise DataError(
                f"{where}: no sample of label 0 (normal) in the train part; what is normal must be known"
            )

    def teacher_outputs(self, n_features: int) -> tuple[int, ...]:
        """An autoencoder, whose error is the score."""
        return (n_features,)

    def check_judged(self, targets: np.ndarray, where: str) -> None:
        """There are samples of both kinds."""
        if len(np.unique(targets)) != 2:
            raise DataError(
                f"{where}: all {len(targets)} samples have the label {targets[0]}; a score is judged by normal (0) and "
                "anomalous (1) ones: give both"
            )

    def guess(self, targets: np.ndarray) -> float:
        """Any order."""
        return 0.5

    def separation(
        self, targets: np.ndarray, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]] | None:
        """Anomalies by the score."""
        return targets[:, None], outputs, ("anomalous",)

    def details(self, targets: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """The fraction of anomalies above the score that one normal sample in a hundred exceeds."""
        if len(np.unique(targets)) != 2:
            return {}
        return {"efficiency": efficiency_at(targets, outputs[:, 0], FALSE_POSITIVES)}


def _labels_loss(labels: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """`Task.log_loss` of labels that hold or not, `(n_samples, n_labels)`."""
    own = float((np.logaddexp(0, logits) - labels * logits).mean())
    shares = labels.mean(axis=0)
    return own, float(np.mean([_entropy(np.array([share, 1 - share])) for share in shares]))


def _entropy(shares: np.ndarray) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())


@dataclass(frozen=True)
class Head:
    """One of several tasks of a network.

    Parameters
    ----------
    name
        What it is called.
    task
        Its task.
    weight
        Of its quality, above 0.
    """

    name: str
    task: Task
    weight: float = 1.0


@dataclass(frozen=True)
class Heads(Task):
    """Several tasks at once: their outputs stand side by side in one output vector, in the order of the heads.

    Targets are float32, each head's columns after another.
    """

    names: tuple[str, ...] = ()
    heads: tuple[Head, ...] = ()

    kind = "heads"
    measure = "quality"
    objective = "heads"
    pictures = ()
    endings = ()
    whole_targets = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "heads", tuple(self.heads))
        object.__setattr__(self, "names", tuple(head.name for head in self.heads))

    @property
    def n_outputs(self) -> int:
        """Those of all heads."""
        return sum(head.task.n_outputs for head in self.heads)

    @property
    def n_columns(self) -> int:
        """Those of all heads."""
        return sum(head.task.n_columns for head in self.heads)

    @property
    def outputs_sentence(self) -> str:
        """Each head's, after another."""
        parts = (f"{head.task.n_outputs} for {head.name!r}" for head in self.heads)
        return f"{self.n_outputs} outputs ({', then '.join(parts)})"

    def slices(self) -> list[tuple[Head, slice, slice]]:
        """Each head with its columns of the targets and of the outputs."""
        found, column, output = [], 0, 0
        for head in self.heads:
            ends = column + head.task.n_columns, output + head.task.n_outputs
            found.append((head, slice(column, ends[0]), slice(output, ends[1])))
            column, output = ends
        return found

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Those of the heads, in order."""
        return tuple(head.task for head in self.heads)

    def each(
        self, targets: np.ndarray, outputs: np.ndarray
    ) -> Iterator[tuple[str, Task, np.ndarray, np.ndarray]]:
        """The heads' by name."""
        for head, columns, places in self.slices():
            yield head.name, head.task, self.of(head, targets[:, columns]), outputs[:, places]

    @property
    def output_scaling(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of the heads."""
        offsets, divisors = zip(*(task.output_scaling for task in self.tasks), strict=True)
        return np.concatenate(offsets), np.concatenate(divisors)

    def class_places(self, n_outputs: int) -> dict[str, slice]:
        """Of each head that has classes."""
        return {head.name: places for head, _, places in self.slices() if head.task.has_classes}

    def is_told(self, targets: np.ndarray, outputs: np.ndarray) -> bool:
        """Whether each head is."""
        return all(task.is_told(*own) for _, task, *own in self.each(targets, outputs))

    def of_columns(self, columns: np.ndarray) -> np.ndarray:
        """As they are."""
        return columns

    def of(self, head: Head, columns: np.ndarray) -> np.ndarray:
        """One head's targets, in the form of its own task."""
        return head.task.of_columns(columns)

    def guess(self, targets: np.ndarray) -> float:
        """The mean of the heads', by their weights."""
        return self._weighted([head.task.guess(self.of(head, targets[:, c])) for head, c, _ in self.slices()])

    def strata(self, targets: np.ndarray) -> np.ndarray | None:
        """Those of the first head that has any."""
        for head, columns, _ in self.slices():
            if (groups := head.task.strata(self.of(head, targets[:, columns]))) is not None:
                return groups
        return None

    def check(self, targets: np.ndarray, where: str) -> None:
        """Each head's columns are of its task's form."""
        if targets.ndim != 2 or targets.shape[1] != self.n_columns or not np.isfinite(targets).all():
            raise DataError(
                f"{where} must be finite numbers of shape (samples, {self.n_columns}), not of shape {targets.shape}"
            )
        for head, columns, _ in self.slices():
            head.task.check(self.of(head, targets[:, columns]), f"{where}, {head.name}")

    def check_train(self, targets: np.ndarray, where: str) -> None:
        """Each head can be learnt."""
        for head, columns, _ in self.slices():
            head.task.check_train(self.of(head, targets[:, columns]), f"{where}, {head.name}")

    def check_judged(self, targets: np.ndarray, where: str) -> None:
        """Each head can be judged."""
        for head, columns, _ in self.slices():
            head.task.check_judged(self.of(head, targets[:, columns]), f"{where}, {head.name}")

    def fitted(self, train_targets: np.ndarray, scaling: str) -> Task:
        """Each head fitted on its columns."""
        heads = [
            replace(head, task=head.task.fitted(self.of(head, train_targets[:, columns]), scaling))
            for head, columns, _ in self.slices()
        ]
        return replace(self, heads=tuple(heads))

    def prepared(self, raw_targets: np.ndarray) -> np.ndarray:
        """Each head's columns as it holds them, float32."""
        columns = [
            head.task.prepared(self.of(head, raw_targets[:, columns])).reshape(len(raw_targets), -1)
            for head, columns, _ in self.slices()
        ]
        return np.concatenate(columns, axis=1).astype(np.float32)

    def _weighted(self, values: Sequence[float]) -> float:
        total = sum(head.weight for head in self.heads)
        return sum(head.weight * value for head, value in zip(self.heads, values, strict=True)) / total

    def quality(self, targets: np.ndarray, outputs: np.ndarray) -> float:
        """The mean of the heads' qualities, by their weights."""
        return self._weighted([task.quality(*own) for _, task, *own in self.each(targets, outputs)])

    def details(self, targets: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """Each head's quality and figures."""
        found: dict[str, Any] = {"heads": {}, "targets": []}
        for name, task, own, given in self.each(targets, outputs):
            figures = task.details(own, given)
            found["targets"] += figures.pop("targets", [])
            found["heads"][name] = {task.measure: task.quality(own, given), **figures}
        return found

    def count(self, targets: np.ndarray) -> dict[str, Any]:
        """What each head says of its targets."""
        return {
            "heads": {
                head.name: head.task.count(self.of(head, targets[:, c])) for head, c, _ in self.slices()
            }
        }

    def to_json(self) -> dict[str, Any]:
        """Everything needed to build it again, as plain JSON values."""
        heads = [{"name": h.name, "task": h.task.to_json(), "weight": h.weight} for h in self.heads]
        return {"kind": self.kind, "heads": heads}


TASKS: Mapping[str, type[Task]] = {
    task.kind: task for task in (Classification, Binary, MultiLabel, Regression, Reconstruction, Score, Heads)
}
"""Every task by its kind."""


def task_from_json(value: Mapping[str, Any]) -> Task:
    """Build the task that `to_json` described; `DataError` for a kind that does not exist."""
    kind, fields = str(value.get("kind")), {name: entry for name, entry in value.items() if name != "kind"}
    if kind not in TASKS:
        raise DataError(f"there is no task {kind!r}; the tasks are {', '.join(TASKS)}")
    if kind == "heads":
        fields = {
            "heads": tuple(
                Head(head["name"], task_from_json(head["task"]), head["weight"]) for head in fields["heads"]
            )
        }
    return TASKS[str(kind)](**{name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()})
