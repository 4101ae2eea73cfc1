"""The settings of a design: strict, frozen, complete before any work starts; read from its `design.yaml`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    field_validator,
    model_validator,
)

from codesign.core.files import json_digest
from codesign.core.parts import DEFAULT_PART, check_part
from codesign.core.places import DESIGN, mistaken
from codesign.core.target import (
    DEFAULT_TOP,
    Backend,
    Control,
    Interface,
    IoType,
    Outputs,
    PortStyle,
    Reset,
    Strategy,
    Target,
    check_top,
)
from codesign.core.yaml_text import YAML_SUFFIXES, read_yaml
from codesign.errors import SettingsError, did_you_mean
from codesign.settings_base import ClockPeriod, Count, CountOrNone, Positive, Section, Seed
from codesign.settings_learning import (
    DistillationSettings,
    PruningSettings,
    QuantizationSettings,
    TeacherSettings,
)
from codesign.settings_learning import LearnedSettings as LearnedSettings
from codesign.settings_learning import PolishSettings as PolishSettings
from codesign.settings_learning import TermSettings as TermSettings
from codesign.settings_learning import TrainingSettings as TrainingSettings


class HeadSettings(Section):
    """One of several tasks; its task alone is enough.

    `columns` are those of its targets, by default the one of the head's name; `weight` is of its loss and its quality; `loss`
    is of a regression.
    """

    task: Literal["classification", "binary", "multi_label", "regression"]
    """What the head learns."""
    columns: tuple[str, ...] = ()
    """The columns of its targets; left out, the one of its name."""
    weight: Positive = 1.0
    """How much it counts among the heads, in the loss and in the quality."""
    loss: Literal["squared", "huber"] = "squared"
    """What a regression minimises."""

    @model_validator(mode="before")
    @classmethod
    def _task_alone(cls, value: Any) -> Any:
        return {"task": value} if isinstance(value, str) else value

    @field_validator("columns", mode="before")
    @classmethod
    def _columns(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _loss_fits(self) -> HeadSettings:
        if self.loss != "squared" and self.task != "regression":
            raise ValueError(f"the loss {self.loss!r} is of a regression, not of {self.task!r}; leave it out")
        return self


TASK_NAMES = ("auto", "classification", "binary", "multi_label", "regression", "reconstruction", "score")


class DataSettings(Section):
    """Where the data come from, what is to be learnt of them, and how they are split.

    `source` is ``digits``, ``openml:<id or name>``, a `.npz`, `.csv` or `.parquet` file, a folder of `.npy` files, a mapping of
    the parts ``train``, ``validation`` and ``test`` to files, or a `.py` file whose `make_data(seed)` makes the arrays; paths are
    relative to the design's folder. `task` is one of classification, binary, multi_label, regression, reconstruction and score,
    or a mapping of several heads; ``auto`` finds it where the data leave no doubt. `label_column` names the column or array of
    the targets. `fold` ``[i, k]`` divides train and validation part together anew into `k` parts, of which number `i`
    validates. `renumber` numbers labels such as 1 to n anew, `target_scaling` and `target_loss` are of regressions,
    `class_weights` are factors of the loss. `fractions` are of train, validation and test; `split_seed` is of the split and of
    data that are made; see `codesign.data.load_dataset`.
    """

    source: str | Mapping[str, str]
    """`digits`, `openml:<id or name>`, a `.npz`, `.csv` or `.parquet` file, a folder of `.npy` files, a mapping of
    `train`, `validation` and `test` to files, or a `.py` file whose `make_data(seed)` makes the arrays."""
    task: str | Mapping[str, HeadSettings] = "auto"
    """`classification`, `binary`, `multi_label`, `regression`, `reconstruction`, `score`, or a mapping of heads;
    `auto` finds it where the data leave no doubt."""
    scaling: Literal["auto", "none", "standard", "minmax", "shift"] | Positive = "auto"
    """Of the features: `none`, `standard` (mean 0, deviation 1), `minmax` (0 to 1), `shift` (mean 0, a power of two each, to
    fill the inputs' format), or a number to divide by; `auto` is usual for the source."""
    target_scaling: Literal["standard", "none"] = "standard"
    """Of the targets of a regression."""
    target_loss: Literal["squared", "huber"] = "squared"
    """What a regression minimises: `squared` differences of the scaled targets, or `huber`, linear beyond 1."""
    fractions: tuple[Positive, Positive, Positive] = (0.6, 0.2, 0.2)
    """The shares of train, validation and test part; they sum to 1."""
    split_seed: Seed = 0
    """Decides which sample is in which part, and what a `.py` file makes."""
    fold: tuple[CountOrNone, Annotated[int, Field(ge=2)]] | None = None
    """`[i, k]`: train and validation part together are divided anew into k parts, of which number i (from 0) validates."""
    max_samples: Count | None = None
    """At most so many samples are used, every class in proportion."""
    label_column: str | tuple[str, ...] | None = None
    """The name of the column or array of the labels or targets, or a list of names; left out, it is found."""
    renumber: bool = False
    """Labels such as 1 to n, or 0 and 0.5, are numbered anew from 0."""
    class_weights: Literal["balanced"] | Mapping[str, Positive] | None = None
    """Factors of the loss by class; `balanced` weighs every class alike."""
    input_shape: tuple[Count, ...] | None = None
    """The shape that a sample is given, such as `[8, 8, 1]`; left out, that of the source."""
    inputs: tuple[str, ...] | None = None
    """The arrays of several inputs by name, in the order of the network's inputs; left out, there is one."""

    @field_validator("source", "label_column", "class_weights", mode="wrap")
    @classmethod
    def _one_fault(cls, value: Any, check: Callable[[Any], Any], info: ValidationInfo) -> Any:
        try:
            # inside a validator of this kind a list is no tuple any more
            return check(tuple(value) if isinstance(value, list) else value)
        except ValidationError:
            # one fault, not one for each kind of value that there could be
            wanted = {
                "source": "a name or path, or a mapping of train, validation and test to paths",
                "label_column": "a name or a list of names",
                "class_weights": "balanced, or a mapping of class names to numbers above 0",
            }[str(info.field_name)]
            raise ValueError(f"must be {wanted}, not {value!r}") from None

    @field_validator("task", mode="wrap")
    @classmethod
    def _task(cls, value: Any, check: Callable[[Any], Any]) -> Any:
        if isinstance(value, str) and value not in TASK_NAMES:
            hint = did_you_mean(value, TASK_NAMES, "the tasks are")
            raise ValueError(f"there is no task {value!r}; {hint}")
        if isinstance(value, dict) and not value:
            raise ValueError("must name at least one head")
        try:
            return check(value)
        except ValidationError as error:
            if not isinstance(value, dict):
                raise ValueError(
                    f"must be {', '.join(TASK_NAMES)} or a mapping of heads, not {value!r}"
                ) from None
            fault = next(fault for fault in error.errors() if len(fault["loc"]) > 1)
            where = ".".join(
                str(part) for part in fault["loc"] if not str(part).startswith(("mapping", "dict"))
            )
            raise ValueError(f"{where}: {fault['msg'][0].lower()}{fault['msg'][1:]}") from None

    @field_validator("scaling", mode="wrap")
    @classmethod
    def _scaling(cls, value: Any, check: Callable[[Any], Any]) -> Any:
        try:
            return check(value)
        except ValidationError:
            # one fault, not one for each kind of value that there could be
            raise ValueError(
                f"must be auto, none, standard, minmax, shift or a number above 0, not {value!r}"
            ) from None

    @field_validator("fold")
    @classmethod
    def _fold(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError(
                f"must be a part's number, counted from 0, and the number of parts, not {list(value)}"
            )
        return value

    @field_validator("inputs")
    @classmethod
    def _several(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and (len(value) < 2 or len(set(value)) < len(value)):
            raise ValueError(f"must name at least two arrays, each once, not {list(value)}")
        return value

    @field_validator("fractions")
    @classmethod
    def _sum(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if abs(sum(value) - 1.0) > 1e-9:
            raise ValueError(f"must sum to 1, not {sum(value):g}")
        return value


class ScanSettings(Section):
    """The bit-width scan: `tolerance` is the loss of validation quality that is accepted, `cost` what is saved.

    `method` is how single tensors get their widths below the curve's knee: ``descent`` tries them one after another and
    measures; ``hessian`` weighs all of them at once by second derivatives (arXiv:2011.10680), estimated with up to
    `hessian_samples` random vectors, and measures the maps for falling budgets, or takes that of one `budget`, whatever it
    loses before the training: a fraction of the cost of `most_bits` everywhere.
    `quality` is the task's own if it is not given.

    `margin_bits` are integer bits beyond what the calibration set needs; a `percentile` below 100 leaves out its rarest
    magnitudes instead, which then saturate. `headroom_bits` above the knee of the curve the search of single tensors
    starts a second time. `input_bits` fixes the input's width. For each of `affine_widths` the quality of the same
    student with scales and zero points is measured too, for comparison.
    """

    method: Literal["descent", "hessian"] = "descent"
    """How single tensors get their widths: `descent` tries them one after another, `hessian` weighs all at once by
    second derivatives."""
    quality: Literal["accuracy", "auc", "r2"] | None = None
    """What is kept; left out, the task's own measure."""
    cost: Literal["bops", "luts"] = "bops"
    """What is saved: bit operations, or LUTs by an estimate."""
    tolerance: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.01
    """The loss of validation quality that is accepted; 0.01 is a point."""
    margin_bits: Annotated[int, Field(ge=0, le=8)] = 0
    """Integer bits beyond what the calibration set needs."""
    percentile: Annotated[float, Field(gt=0.0, le=100.0)] = 100.0
    """Of the magnitudes that a format must hold; below 100, the rarest saturate for finer steps."""
    headroom_bits: Annotated[int, Field(ge=0, le=8)] = 2
    """How far above the knee of the curve the search of single tensors starts a second time."""
    calibration_samples: Annotated[int, Field(ge=10, lt=2**31)] = 2000
    """Samples of the train part that decide the ranges."""
    most_bits: Annotated[int, Field(ge=2, le=16)] = 12
    """The widest formats that are tried."""
    least_bits: Annotated[int, Field(ge=1, le=16)] = 2
    """The narrowest formats that are tried."""
    input_bits: Annotated[int, Field(ge=1, le=24)] | None = None
    """Fixes the width of the input."""
    hessian_samples: Annotated[int, Field(ge=2)] = 256
    """Random vectors at most for the second derivatives."""
    budget: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Of the method `hessian`: what the widths may cost, as a fraction of the cost of `most_bits` everywhere; the tolerance
    decides nothing then."""
    affine_widths: tuple[Annotated[int, Field(ge=2, le=16)], ...] = ()
    """Bits at which the student with scales and zero points is measured too, for comparison."""

    @field_validator("affine_widths")
    @classmethod
    def _different(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"must be different widths, not {', '.join(map(str, value))}")
        return value

    @model_validator(mode="after")
    def _order(self) -> ScanSettings:
        if self.least_bits > self.most_bits:
            raise ValueError(f"least_bits must not be above most_bits, {self.least_bits} > {self.most_bits}")
        if self.budget is not None and self.method != "hessian":
            raise ValueError(
                f"the method {self.method!r} measures what keeps the quality and takes no budget; leave it out, or take "
                "the method 'hessian'"
            )
        return self


class LayerHardwareSettings(Section):
    """How one layer is built; what is left out follows the model."""

    reuse_factor: Count | None = None
    """How many multiplications one multiplier of this layer does."""
    strategy: Strategy | None = None
    """How hls4ml builds this layer."""


class HardwareSettings(Section):
    """Target and architecture of the HLS project; `open_rtl` also writes, counts and simulates unrolled Verilog.

    What the Verilog would take longer for than `rtl_limit_minutes`, by an estimate, is skipped. `top` names the top
    function and module, and begins the name of every module of the Verilog. `rtl_ports` gives each value as many bits as
    its type (``fixed``) or those alone that the logic has (``packed``); `rtl_control` adds valid bits or a handshake,
    `rtl_reset` a synchronous reset.
    """

    part: str = DEFAULT_PART
    """The FPGA, as Vivado names it."""
    clock_period_ns: ClockPeriod = 5.0
    """The clock that is asked for, in ns."""
    backend: Backend = "Vitis"
    """Whose HLS tool the project is for."""
    io_type: IoType = "io_parallel"
    """`io_parallel` takes a sample at once, `io_stream` value by value."""
    strategy: Strategy = "latency"
    """How hls4ml builds matrix products: `latency` unrolls, `resource` shares multipliers, `distributed_arithmetic`
    uses adders alone."""
    reuse_factor: Count = 1
    """How many multiplications one multiplier does: more is smaller and slower."""
    layers: Mapping[str, LayerHardwareSettings] = {}
    """Exceptions by layer name."""
    testbench_samples: Count = 100
    """Samples in the test bench of the project."""
    open_rtl: bool = True
    """Also write the network as unrolled Verilog, count it with Yosys and simulate it with Verilator."""
    rtl_limit_minutes: Positive = 10.0
    """Verilog that would take longer, by an estimate, is skipped."""
    top: str = DEFAULT_TOP
    """The name of the top function and module."""
    rtl_ports: PortStyle = "fixed"
    """How values lie at the ports of the Verilog."""
    rtl_control: Control = "none"
    """Handshake signals of the Verilog."""
    rtl_reset: Reset = "none"
    """The reset of the Verilog."""
    outputs: Outputs = "logits"
    """`decisions`: the Verilog ends with the class that the logits decide on, the first of equal ones; the HLS project ends
    at the logits."""

    @field_validator("part")
    @classmethod
    def _part(cls, value: str) -> str:
        try:
            check_part(value, setting="part")
        except SettingsError as error:
            raise ValueError(error.faults[0].removeprefix("part: ")) from None
        return value

    @field_validator("top")
    @classmethod
    def _top(cls, value: str) -> str:
        try:
            return check_top(value)
        except SettingsError as error:
            raise ValueError(error.faults[0].removeprefix("top: ")) from None

    @property
    def rtl_interface(self) -> Interface:
        """The border of the open RTL as one value."""
        return Interface(self.rtl_ports, self.rtl_control, self.rtl_reset, self.outputs)

    @property
    def target(self) -> Target:
        """Part, clock, back end and io type as one value."""
        return Target(self.part, self.clock_period_ns, self.backend, self.io_type)


Made = TypeVar("Made", bound=Section)

Choice = bool | int | float | str | tuple[bool | int | float | str, ...]
"""What a builder of a design may be given."""


def _student(value: Any, _: Callable[[Any], Any]) -> Any:
    """The student's choices as plain values, with one fault for each that is none."""
    if not isinstance(value, dict):
        raise ValueError(f"must be a mapping of choices of build_student to values, not {value!r}")
    plain = (bool, int, float, str)
    for name, chosen in value.items():
        if not str(name).isidentifier():
            raise ValueError(f"{name}: must be the name of an argument of build_student")
        parts = chosen if isinstance(chosen, list) else [chosen]
        if not all(isinstance(part, plain) for part in parts):
            raise ValueError(
                f"{name}: must be a number, a word, true or false, or a list of them, not {chosen!r}"
            )
    return {name: tuple(chosen) if isinstance(chosen, list) else chosen for name, chosen in value.items()}


class DesignSettings(Section):
    """A whole design.

    `student` are choices that `build_student` of the design's `networks.py` takes by name, beside `input_shape` and
    `n_classes`: widths, depths, anything that it builds differently.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
    """What the design is called; its runs lie in `hls_projects/<name>`."""
    seed: Seed = 0
    """Of everything random in training."""
    data: DataSettings
    """Where the data come from and how they are split."""
    teacher: TeacherSettings = TeacherSettings()
    """What the student learns from."""
    student: Annotated[Mapping[str, Choice], WrapValidator(_student)] = {}
    """Further arguments of `build_student` in `networks.py`, by name."""
    distillation: DistillationSettings = DistillationSettings()
    """How the student learns from the teacher."""
    pruning: PruningSettings = PruningSettings()
    """What is removed from the student."""
    scan: ScanSettings = ScanSettings()
    """How number formats are chosen."""
    quantization: QuantizationSettings = QuantizationSettings()
    """How the student is trained with its formats."""
    hardware: HardwareSettings = HardwareSettings()
    """What is built."""

    def section(self, name: str) -> Any:
        """A section as JSON-able values, for records and digests."""
        return self.model_dump(mode="json", include={name})[name]

    @property
    def digest(self) -> str:
        """SHA-256 over every setting."""
        return json_digest(self.model_dump(mode="json"))


def read_settings_file(path: str | Path, name: str, cure: str) -> tuple[dict[str, Any], Path]:
    """The plain values of a YAML file of settings and the file: a path, or the file of a name in a folder.

    Raises
    ------
    SettingsError
        If it cannot be read (`cure` says what to give), or is no mapping.
    """
    given = Path(path)
    path = given / name if given.is_dir() else given
    is_yaml = path.suffix in YAML_SUFFIXES

    def another_thing() -> SettingsError:
        return SettingsError(mistaken(given, Path(name).stem, name, cure))

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise another_thing() from error
    except UnicodeDecodeError as error:
        if not is_yaml:
            raise another_thing() from error
        raise SettingsError(f"{path} cannot be read (it is no UTF-8 text); {cure}") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}); {cure}") from error
    values = read_yaml(text, path)
    if not isinstance(values, dict):
        if not is_yaml:
            raise another_thing()
        raise SettingsError(f"must be a mapping of settings, not {type(values).__name__}", source=path)
    return values, path


def read_design(path: str | Path, overrides: Mapping[str, Any] | None = None) -> DesignSettings:
    """Read a `design.yaml` (or the one in a folder).

    Parameters
    ----------
    path
        The file or its folder.
    overrides
        Values by dotted path (``{"distillation.alpha": 0.5}``) that replace those of the file.

    Raises
    ------
    SettingsError
        With every fault of the file: unknown keys (with a suggestion), wrong types, impossible values.
    """
    values, path = read_settings_file(
        path, DESIGN, f"give a design folder with a {DESIGN}; codesign new my_design makes one"
    )
    for dotted, value in (overrides or {}).items():
        set_value(values, dotted, value)
    return make_design(values, source=path, overrides=tuple(overrides or ()))


def make_design(
    values: Mapping[str, Any], source: str | Path | None = None, *, overrides: Sequence[str] = ()
) -> DesignSettings:
    """Check plain values (as YAML gives them) and make the settings.

    Parameters
    ----------
    values
        Sections by name.
    source
        Where they came from, for the message.
    overrides
        Dotted paths of values that came from elsewhere: by ``--set``, or as overrides.

    Raises
    ------
    SettingsError
        With every fault.
    """
    return make_settings(DesignSettings, values, source, overrides=overrides)


def make_settings(
    kind: type[Made],
    values: Mapping[str, Any],
    source: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
) -> Made:
    """Check plain values and make settings of any kind; see `make_design`."""
    try:
        # through JSON, so that strict types still take a list for a tuple
        return kind.model_validate_json(json.dumps(values))
    except ValidationError as error:
        found = [(_sentence(kind, fault), _is_of(fault["loc"], overrides)) for fault in error.errors()]
        if all(given for _, given in found):
            raise SettingsError([f"--set {sentence}" for sentence, _ in found]) from None
        faults = [f"{sentence} (given by --set)" if given else sentence for sentence, given in found]
        raise SettingsError(faults, source) from None
    except (TypeError, RecursionError) as error:
        raise SettingsError(f"a value has no plain form: {error}", source) from None


def _is_of(location: tuple[Any, ...], overrides: Sequence[str]) -> bool:
    """Whether a fault is one of the values by dotted path: of one of them, or of a section that one of them is in."""
    path = [str(part) for part in location]
    for dotted in overrides:
        given = dotted.split(".")
        if path[: len(given)] == given or given[: len(path)] == path:
            return True
    return False


def set_value(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Put a value at its dotted path into plain settings; a `SettingsError` where the path leads through no section."""
    *parents, last = dotted.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise SettingsError(f"--set {dotted}: {parent} is no section")
    values[last] = value


def _sentence(kind: type[Section], fault: Any) -> str:
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _known(kind, fault["loc"][:-1])
        return f"{path}: unknown setting; {did_you_mean(str(fault['loc'][-1]), known, 'known are')}"
    if fault["type"] == "missing":
        return f"{path}: missing"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    message = message[0].lower() + message[1:]
    shown = "" if isinstance(fault["input"], dict) else f", not {fault['input']!r}"
    return f"{path}: {message}" + ("" if fault["type"] == "value_error" else shown)


def _known(kind: type[Section], location: tuple[Any, ...]) -> list[str]:
    """The settings that a section has; an index of a list or a key of a mapping stays in its kind of section."""
    section: Any = kind
    for part in location:
        if isinstance(part, str) and part in section.model_fields:
            section = _section_in(section.model_fields[part].annotation) or section
    return list(section.model_fields)


def _section_in(annotation: Any) -> type[Section] | None:
    """The section that an annotation is, or holds (``tuple[TermSettings, ...]``)."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_in(part))), None)
