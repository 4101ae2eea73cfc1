"""Settings of everything that trains: teacher, distillation, pruning, quantization."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from codesign.settings_base import Count, CountOrNone, Fraction, LearningRate, NotNegative, Positive, Section

Weight = Annotated[float, Field(ge=0.0, le=1.0)]


class TrainingSettings(Section):
    """One training: Adam with a cosine-decayed learning rate; the weights of the best validation epoch are kept."""

    epochs: Count
    """How often the train part is seen."""
    batch_size: Count = 64
    """Samples a step."""
    learning_rate: LearningRate = 1e-3
    """Of Adam at the beginning; it falls by a cosine to a hundredth."""


class TeacherSettings(TrainingSettings):
    """What the student learns from.

    `kind` is ``single``: one network, trained here or read from a trained `.keras` `file`; ``ensemble``: `members`
    networks trained from different seeds, or the trained `files`, whose soft targets are averaged; ``specialists``:
    a generalist and one specialist for each of `clusters` groups of confusable classes (a number of groups to find, or
    the groups themselves, by class name or index; arXiv:1503.02531, section 5); ``logits``: a `file` of logits, `.npy`
    (one row for each row of the data's source) or `.npz` (entries `train`, `validation`, `test`).

    Files are relative to the design's folder. `workers` is how many trainings run side by side; left out, as many as
    pay on this machine.
    """

    kind: Literal["single", "ensemble", "specialists", "logits"] = "single"
    """`single` network, `ensemble`, generalist and `specialists`, or a file of `logits`."""
    epochs: Count = 60
    """How often the train part is seen."""
    file: str | None = None
    """A trained `.keras` or `.h5` model, or logits (`.npy`, `.npz`); relative to the design."""
    files: tuple[str, ...] = ()
    """The trained members of an ensemble."""
    members: Annotated[int, Field(ge=2)] = 5
    """How many networks an ensemble trains."""
    mean: Literal["arithmetic", "geometric"] = "arithmetic"
    """How an ensemble's soft targets are averaged."""
    clusters: Count | tuple[tuple[int | str, ...], ...] = 3
    """Groups of confusable classes: how many to find, or the groups by class name or index."""
    specialist_epochs: Count | None = None
    """Epochs of each specialist; left out, `epochs`."""
    workers: Count | None = None
    """Trainings side by side; left out, as many as pay on this machine."""

    @model_validator(mode="before")
    @classmethod
    def _kind_alone(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @field_validator("files", mode="before")
    @classmethod
    def _files(cls, value: Any) -> Any:
        return _tuples(value)

    @field_validator("clusters", mode="wrap")
    @classmethod
    def _clusters(cls, value: Any, check: Callable[[Any], Any]) -> Any:
        try:
            return check(_tuples(value))
        except ValidationError:
            # one fault, not one for each kind of value that there could be
            raise ValueError(
                f"must be a number of groups or lists of class names or indices, not {value!r}"
            ) from None

    @model_validator(mode="after")
    def _files_fit(self) -> TeacherSettings:
        if self.kind == "logits" and self.file is None:
            raise ValueError("the kind 'logits' needs a file of logits, .npy or .npz")
        if self.file is not None and self.kind not in ("single", "logits"):
            raise ValueError(
                f"the kind {self.kind!r} takes no file; give trained members of an ensemble as files"
            )
        if self.files and self.kind != "ensemble":
            raise ValueError(f"only the kind 'ensemble' takes files, not {self.kind!r}")
        if len(self.files) == 1:
            raise ValueError("an ensemble needs at least two files, not 1")
        for name, kind in _OF_A_KIND.items():
            if self.kind != kind and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f"{name} is for the kind {kind!r}, and nothing of the kind {self.kind!r} reads it; leave it out"
                )
        return self


_OF_A_KIND: Mapping[str, str] = {
    "members": "ensemble",
    "mean": "ensemble",
    "clusters": "specialists",
    "specialist_epochs": "specialists",
}
"""The settings of a teacher that one kind alone reads."""


class TermSettings(Section):
    """A further term of the student's loss, `weight` times it.

    `hint` (arXiv:1412.6550) and `attention` (arXiv:1612.03928) compare a layer of the teacher with one of the student;
    `distance` and `angle` (arXiv:1904.05068) do too, or compare the logits if no layers are named; `soft`,
    `decoupled`, `logits` and `bounded` are losses on the logits or values.
    """

    form: Literal["soft", "decoupled", "logits", "bounded", "hint", "attention", "distance", "angle"]
    """What the term compares."""
    weight: Positive = 1.0
    """Its factor in the loss."""
    teacher_layer: str | None = None
    """The layer of the teacher that is compared."""
    student_layer: str | None = None
    """The layer of the student that is compared."""

    @model_validator(mode="after")
    def _layers_fit(self) -> TermSettings:
        given = [name for name in ("teacher_layer", "student_layer") if getattr(self, name) is not None]
        if self.form in ("soft", "decoupled", "logits", "bounded") and given:
            raise ValueError(f"the form {self.form!r} works on the logits and takes no {given[0]}")
        if self.form in ("hint", "attention") and len(given) < 2:
            raise ValueError(f"the form {self.form!r} needs both teacher_layer and student_layer")
        if len(given) == 1:
            raise ValueError("give both teacher_layer and student_layer, or neither")
        return self


class SearchSettings(Section):
    """Where a temperature or an alpha that is not given is searched for.

    Every pair is tried with a training of `epochs` (left out: a quarter of the student's) from the same seed and
    judged on the validation part.
    """

    temperatures: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0, 2.0, 4.0, 8.0)
    """The temperatures that are tried."""
    alphas: Annotated[tuple[Weight, ...], Field(min_length=1)] = (0.1, 0.3, 0.6)
    """The alphas that are tried."""
    epochs: Count | None = None
    """Epochs of each trial; left out, a quarter of the student's."""
    workers: Count | None = None
    """Trials side by side; left out, as many as pay on this machine."""


class DistillationSettings(TrainingSettings):
    """How the student learns: `L = alpha * L_NLL + (1 - alpha) * L_KD + terms`.

    `form` is what `L_KD` is: ``soft``, Hinton's soft targets with the factor `T^2` (arXiv:1503.02531); ``decoupled``
    (arXiv:2203.08679) with `target_weight` and `other_weight`; ``logits``, their mean squared difference. Of values there are
    no soft targets: ``soft`` is their loss on the teacher's values, and ``bounded`` their loss on the targets wherever it is
    not better than the teacher's by `margin` (Chen et al., NeurIPS 2017). A
    `temperature` or an `alpha` of ``null`` is chosen on the validation part by a `search`. With `hint_epochs` the
    student first learns the hints alone (FitNets' first stage). Pruning and quantization go on with the same loss.

    The defaults are what validation parts chose most often for small students (docs/compression-study.md).
    """

    epochs: Count = 60
    """How often the train part is seen."""
    temperature: Positive | None = 1.0
    """Of the soft targets; `null` has it chosen on the validation part."""
    alpha: Weight | None = 0.1
    """Weight of the targets: L = alpha L_NLL + (1 - alpha) L_KD; `null` has it chosen."""
    form: Literal["soft", "decoupled", "logits", "bounded"] = "soft"
    """What L_KD is: Hinton's `soft` targets (or the teacher's values), `decoupled`, the difference of `logits`, or, of
    values, `bounded` by the teacher's error."""
    target_weight: NotNegative = 1.0
    """Of the true class in the form `decoupled`."""
    other_weight: NotNegative = 8.0
    """Of the other classes in the form `decoupled`."""
    margin: NotNegative = 0.0
    """In the form `bounded`: how much better than the teacher the student must be to be left alone."""
    terms: tuple[TermSettings, ...] = ()
    """Further terms of the loss."""
    hint_epochs: CountOrNone = 0
    """Epochs in which the student first learns the hints alone."""
    search: SearchSettings = SearchSettings()
    """Where temperature and alpha are searched for."""

    @model_validator(mode="after")
    def _hints_exist(self) -> DistillationSettings:
        if self.hint_epochs and not any(term.form in ("hint", "attention") for term in self.terms):
            raise ValueError("hint_epochs needs a term of the form 'hint' or 'attention'")
        return self


class PruningSettings(TrainingSettings):
    """What is pruned, when, and how the student recovers, distilling on.

    `method` ranks by ``magnitude``, by saliency (``taylor``, first order; ``hessian``, the diagonal), removes whole
    neurons or filters (``structured``, ranked by `score`) or what the target saves most with (``hardware``, ranked by
    `score` for each LUT of the shift-and-add network, or each multiplier of a reuse block).

    `sparsity` is the fraction to remove: of each kernel's weights (`scope` ``layer``, with exceptions by name in
    `layers`) or of all weights together (``global``); for ``structured`` of neurons; for ``hardware`` of the estimated
    cost, computed with `assumed_bits` everywhere.

    `schedule` ``polynomial`` (arXiv:1710.01878) raises the sparsity each epoch up to `ramp` of them, ``iterative``
    removes an equal share of what is left in each of `rounds` trainings, ``one_shot`` all at once; ``structured``
    and ``hardware`` take `rounds` in both. `rewind` puts the weights that stay back to the student's first ones
    (``initial``, the lottery ticket, arXiv:1803.03635) or to those of early training (``early``, arXiv:1912.05671)
    after each round, which then begins again: `epochs`, shared by the rounds, want to be as many trainings. With
    ``none`` the weights are fine-tuned. `l1` adds that times the sum of the weights' magnitudes to the loss.

    `inside` ``quantization`` prunes in rounds of quantization-aware training instead (arXiv:2102.11289).
    """

    epochs: Count = 30
    """How often the train part is seen."""
    method: Literal["magnitude", "taylor", "hessian", "structured", "hardware"] = "hessian"
    """What decides: `magnitude`, saliency (`taylor`, `hessian`), whole units (`structured`), or what the target saves
    (`hardware`)."""
    sparsity: Fraction = 0.5
    """The fraction to remove: of weights, of units, or of the estimated cost."""
    layers: Mapping[str, Fraction] = {}
    """Exceptions by layer name."""
    scope: Literal["layer", "global"] = "layer"
    """Whether each layer or the whole network reaches the sparsity."""
    schedule: Literal["polynomial", "iterative", "one_shot"] = "polynomial"
    """`polynomial` raises it each epoch, `iterative` in rounds, `one_shot` at once."""
    ramp: Annotated[float, Field(gt=0.0, le=1.0)] = 0.6
    """The part of the epochs over which a polynomial schedule rises."""
    rounds: Count = 5
    """Trainings of an iterative schedule, and of `structured` and `hardware`."""
    rewind: Literal["none", "initial", "early"] = "none"
    """After each round, weights go back to the student's `initial` or `early` ones; `none` fine-tunes."""
    score: Literal["magnitude", "taylor", "hessian"] = "hessian"
    """How `structured` and `hardware` rank what could go."""
    saliency_samples: Count = 1024
    """Samples that saliencies are computed on."""
    assumed_bits: Annotated[int, Field(ge=2, le=16)] = 8
    """The width for which `hardware` estimates costs."""
    l1: NotNegative = 0.0
    """Factor of the sum of the weights' magnitudes in the loss."""
    inside: Literal["float", "quantization"] = "float"
    """Whether the float student is pruned or, in rounds, the one under quantization."""

    @model_validator(mode="after")
    def _choices_fit(self) -> PruningSettings:
        if self.layers and (self.scope == "global" or self.method == "hardware"):
            what = "the scope 'global'" if self.scope == "global" else "the method 'hardware'"
            raise ValueError(f"{what} has one budget for the whole network and takes no layers")
        in_rounds = self.schedule == "iterative" or self.method in ("structured", "hardware")
        if self.inside == "float" and in_rounds and self.schedule != "one_shot" and self.epochs < self.rounds:
            raise ValueError(
                f"the epochs ({self.epochs}) cannot be shared by {self.rounds} rounds; raise epochs or lower rounds"
            )
        if self.rewind != "none" and self.schedule == "polynomial":
            raise ValueError("to rewind needs the schedule 'iterative' or 'one_shot'")
        if self.rewind != "none" and self.method == "structured":
            raise ValueError("the method 'structured' changes the shapes and cannot rewind")
        if self.inside == "quantization" and self.method in ("structured", "hardware"):
            raise ValueError(
                f"the method {self.method!r} prunes the float student only, not inside quantization"
            )
        if self.inside == "quantization" and self.schedule == "polynomial":
            raise ValueError(
                "inside quantization is pruned in rounds; use the schedule 'iterative' or 'one_shot'"
            )
        return self


class PolishSettings(TrainingSettings):
    """Dropping signed digits of the weights after quantization, those that cost least quality for what they save first.

    Up to `rounds` times the part `step` of the estimated LUTs goes, and the student trains on for `epochs`, again and
    again if its validation quality is more than `tolerance` below that of the quantized student. A round that three
    trainings do not bring back is undone and tried with half the step. How much a digit matters is the diagonal of the
    Hessian on `saliency_samples`, with predictions softened by `temperature`: those of a student that has converged are
    too sure to tell weights apart.
    """

    epochs: Count = 16
    """Epochs of each recovery."""
    learning_rate: LearningRate = 5e-3
    """Of Adam at the beginning."""
    tolerance: Fraction = 0.005
    """The loss of validation accuracy that is accepted."""
    rounds: Count = 40
    """How often digits are dropped at most."""
    step: Annotated[float, Field(gt=0.0, le=0.5)] = 0.1
    """The part of the estimated LUTs that goes in a round."""
    saliency_samples: Count = 1024
    """Samples on which the Hessian is computed."""
    temperature: Positive = 4.0
    """Softens the predictions that the Hessian is computed with."""


class LearnedSettings(Section):
    """One training of weights together with their widths, at a price of LUTs that rises from the first to the last.

    `steps` of `batch_size` samples with Adam, the learning rate falling in `cycles` cosines. Prices are in loss for each
    LUT. Of the front that comes out the best point within `budget_luts` is built, or the cheapest that loses at most
    `quality_loss` percent of validation quality against the float student; of neither, the best. With `latency_ns` it is the
    first of these that is as fast.
    """

    steps: Count = 60_000
    """Steps of Adam."""
    batch_size: Count = 256
    """Samples of a step."""
    learning_rate: LearningRate = 3e-2
    """Of Adam at the beginning of the first cycle, after a warm-up."""
    cycles: Count = 12
    """Cosines of the learning rate."""
    first_price: Positive = 5e-7
    """In loss for each LUT, at the beginning."""
    last_price: Positive = 1e-3
    """At the end."""
    weight_widths: Literal["element", "channel", "tensor"] = "element"
    """What shares a width: nothing, the weights of an output channel, or those of a layer."""
    result_widths: Literal["unit", "tensor"] = "unit"
    """What shares the binary point of results, whose width a layer shares: nothing, each unit is placed by its own range, or
    the units of a layer."""
    price_of: Literal["bits", "digits"] = "digits"
    """What of a weight is paid for: the bits of its magnitude, or its signed digits alone."""
    target_luts: Positive | None = None
    """Lead the LUTs down to so many and stay there for the last 40 % of the steps, with a price between the first and the
    last; without it the price rises from the first to the last."""
    budget_luts: Positive | None = None
    """The most LUTs of the point that is built, estimated by alkaid."""
    quality_loss: NotNegative | None = None
    """Percent of validation quality that the point may lose against the float student."""
    latency_ns: Positive | None = None
    """The longest latency of the point that is built: the stages of the open RTL at `hardware.clock_period_ns`."""

    @model_validator(mode="after")
    def _prices_rise(self) -> LearnedSettings:
        if self.last_price < self.first_price:
            raise ValueError(
                f"last_price must not be below first_price, {self.last_price:g} < {self.first_price:g}"
            )
        return self


class QuantizationSettings(TrainingSettings):
    """Quantization-aware training with QKeras, distilling on.

    `method` is where the widths come from: ``scan``, those of the scan; ``learned``, from this training, a width for each
    weight, with the settings of `learned` instead of those here.

    Before the `epochs` of learning from the teacher (tutoring), `self_study_epochs` train on the labels alone and
    `co_study_epochs` train a copy of the teacher together with the student (QKD, arXiv:1911.12491). With `polish`
    (``true``, or its settings) signed digits of the weights are dropped afterwards; of a point of learned widths within its
    `quality_loss`, if it has one.
    """

    epochs: Count = 30
    """Epochs of learning from the teacher under quantization."""
    learning_rate: LearningRate = 5e-4
    """Of Adam at the beginning."""
    self_study_epochs: CountOrNone = 0
    """Epochs on the labels alone before (QKD)."""
    co_study_epochs: CountOrNone = 0
    """Epochs together with a copy of the teacher before (QKD)."""
    polish: PolishSettings | None = None
    """Drop signed digits of the weights afterwards: `true`, or its settings."""
    method: Literal["scan", "learned"] = "scan"
    """Where the widths come from: the scan, or a training of their own, for which the scan's are only a comparison."""
    learned: LearnedSettings = LearnedSettings()
    """Of the method learned."""

    @model_validator(mode="after")
    def _method_fits(self) -> QuantizationSettings:
        if self.method == "learned" and (self.self_study_epochs or self.co_study_epochs):
            raise ValueError(
                "the method 'learned' has no phases: leave out self_study_epochs and co_study_epochs"
            )
        return self

    @field_validator("polish", mode="before")
    @classmethod
    def _polish_alone(cls, value: Any) -> Any:
        return ({} if value else None) if isinstance(value, bool) else value


def _tuples(value: Any) -> Any:
    """Lists as tuples, which strict settings take."""
    return tuple(_tuples(entry) for entry in value) if isinstance(value, list) else value
