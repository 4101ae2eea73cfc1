"""How each stage of the flow is made from what came before, and kept in its folder.

One class a stage: `make` calls the one public function of the stage, `save` and `load` are the files that it leaves.
The order of the stages is in `codesign.flow`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from codesign.core.files import file_digest, read_json, write_arrays, write_json
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.data import Dataset, load_dataset
from codesign.errors import ReportMissingError, SettingsError, StaleProjectError
from codesign.run_folder import RunFolder
from codesign.settings import DesignSettings, make_design

RUN = "run.json"
"""Where a run keeps its design's folder, its settings and the versions it ran with."""


@dataclass
class Context:
    """What the stages of one run share; values of earlier stages are loaded from their folders when first asked for."""

    design: Path
    settings: DesignSettings
    folder: Path
    progress: Progress = SILENT
    values: dict[str, Any] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)

    @cached_property
    def dataset(self) -> Dataset:
        """The data of the design."""
        return read_data(self.design, self.settings)

    @cached_property
    def networks(self) -> Any:
        """The builders of the design."""
        from codesign.networks.design import load_networks

        return load_networks(self.design)

    @property
    def networks_digest(self) -> str:
        """SHA-256 of `networks.py`, without loading it."""
        path = self.design / "networks.py"
        if not path.is_file():
            raise SettingsError(
                f"{self.design} has no networks.py; copy one from models/digits and define build_teacher and "
                "build_student in it"
            )
        return file_digest(path)

    def value(self, stage: str) -> Any:
        """What a stage made, from memory or from its folder; `ReportMissingError` if it is not finished."""
        if stage not in self.values and stage not in self.records:
            raise ReportMissingError(f"{self.folder} has no finished stage {stage!r}; run the design further")
        if stage not in self.values:
            self.values[stage] = _STAGES[stage].load(self, self.folder / stage, self.records[stage])
        return self.values[stage]

    def reopened(self, stage: str) -> Any:
        """What a stage made, read from its folder: a project has moved there since it was written."""
        self.values.pop(stage, None)
        return self.value(stage)

    def build(self, which: str) -> Any:
        """An untrained teacher or student of the design, checked against the data."""
        import keras

        from codesign.networks.design import build_network

        # layers without a name are numbered by the session: the same network gets the same names every time
        keras.utils.clear_session()
        builder = getattr(self.networks, f"build_{which}")
        return build_network(builder, self.networks.path, self.dataset.input_shape, self.dataset.n_classes)


def open_run(folder: str | Path) -> Context:
    """The context of a run's folder: its settings, and the values that its finished stages left.

    Raises
    ------
    StaleProjectError
        If the folder is no run.
    """
    folder = Path(folder)
    if not (folder / RUN).is_file():
        raise StaleProjectError(
            f"{folder} is no run of codesign (it has no {RUN}); give the folder that a run named"
        )
    found = read_json(folder / RUN)
    settings = make_design(found["settings"], source=folder / RUN)
    context = Context(Path(found["design"]), settings, folder)
    run_folder = RunFolder(folder)
    for name in _STAGES:
        evidence = run_folder.evidence(name)
        if evidence is not None:
            context.records[name] = evidence.record
    return context


def read_data(design: Path, settings: DesignSettings) -> Dataset:
    """The dataset that a design names; a relative file is looked for in the design's folder."""
    data = settings.data
    source: str | Path = data.source
    if Path(data.source).suffix in (".npz", ".csv", ".parquet"):
        source = design / data.source
    return load_dataset(
        source,
        seed=data.split_seed,
        scaling=data.scaling,
        fractions=data.fractions,
        max_samples=data.max_samples,
        label_column=data.label_column,
        input_shape=data.input_shape,
    )


class Stage(Protocol):
    """One arrow of the chain.

    Its result depends on the data, the seed, the settings of its `sections`, what its `parents` made and, if it
    `uses_networks`, on `networks.py`.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def parents(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def sections(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def uses_networks(self) -> bool: ...  # noqa: D102

    def make(self, context: Context, folder: Path) -> Any:
        """Call the stage's public function; `folder` is where its files will be, under a temporary name."""

    def save(self, value: Any, folder: Path) -> None:
        """Keep what `make` returned."""

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read back what `save` kept."""


class Teacher:
    """`train_teacher` or `load_teacher`."""

    name = "teacher"
    parents = ()
    sections = ("teacher",)
    uses_networks = True

    def make(self, context: Context, folder: Path) -> Any:
        """Train the teacher or load the given one."""
        from codesign.training.teacher import load_teacher, train_teacher

        settings = context.settings.teacher
        if settings.file is not None:
            return load_teacher(context.design / settings.file, context.dataset, settings)
        model = context.build("teacher")
        return train_teacher(
            model, context.dataset, settings, seed=context.settings.seed, progress=context.progress
        )

    def save(self, value: Any, folder: Path) -> None:
        """Keep the model, its logits and its history."""
        value.model.save(folder / "teacher.keras")
        logits = {
            "train": value.train_logits,
            "validation": value.validation_logits,
            "test": value.test_logits,
        }
        write_arrays(folder / "logits.npz", logits)
        _save_history(value, folder)

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        import keras
        import numpy as np

        from codesign.training.teacher import Teacher as Value

        model = keras.models.load_model(folder / "teacher.keras", compile=False)
        with np.load(folder / "logits.npz") as logits:
            train, validation, test = (logits[part] for part in ("train", "validation", "test"))
        return Value(model, train, validation, test, _load_history(folder), record)


class _StudentStage:
    """What the two float students share: a network, its Keras model and its history."""

    def save(self, value: Any, folder: Path) -> None:
        """Keep the network, a Keras model of it and the history."""
        value.network.save(folder / "network.npz")
        value.model().save(folder / "student.keras")
        _save_history(value, folder)


class Student(_StudentStage):
    """`distill_student`."""

    name = "student"
    parents = ("teacher",)
    sections = ("distillation",)
    uses_networks = True

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

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        from codesign.networks.description import Network
        from codesign.training.distill import Student as Value

        return Value(Network.load(folder / "network.npz"), _load_history(folder), record)


class Pruning(_StudentStage):
    """`prune_student`."""

    name = "pruning"
    parents = ("student", "teacher")
    sections = ("pruning", "distillation")
    uses_networks = False

    def make(self, context: Context, folder: Path) -> Any:
        """Prune the student."""
        from codesign.compression.prune import prune_student

        settings = context.settings
        return prune_student(
            context.value("student"),
            context.value("teacher"),
            context.dataset,
            settings.pruning,
            settings.distillation,
            seed=settings.seed,
            progress=context.progress,
        )

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        from codesign.compression.prune import PrunedStudent
        from codesign.networks.description import Network

        return PrunedStudent(Network.load(folder / "network.npz"), _load_history(folder), record)


class Scan:
    """`scan_bit_widths`."""

    name = "scan"
    parents = ("pruning",)
    sections = ("scan",)
    uses_networks = False

    def make(self, context: Context, folder: Path) -> Any:
        """Find the number formats."""
        from codesign.compression.scan import scan_bit_widths

        student = context.value("pruning")
        return scan_bit_widths(student, context.dataset, context.settings.scan, progress=context.progress)

    def save(self, value: Any, folder: Path) -> None:
        """Keep the formats and every trial."""
        value.save(folder)

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        from codesign.compression.scan import ScanResult

        return ScanResult.load(folder, record)


class Quantization:
    """`quantize_student`."""

    name = "quantization"
    parents = ("pruning", "scan", "teacher")
    sections = ("quantization", "distillation")
    uses_networks = False

    def make(self, context: Context, folder: Path) -> Any:
        """Train on under quantization."""
        from codesign.compression.quantize import quantize_student

        settings = context.settings
        return quantize_student(
            context.value("pruning").network,
            context.value("scan").precision,
            context.value("teacher"),
            context.dataset,
            settings.quantization,
            settings.distillation,
            seed=settings.seed,
            progress=context.progress,
        )

    def save(self, value: Any, folder: Path) -> None:
        """Keep the network behind the quantizers, the formats, the QKeras model and the history."""
        value.network.save(folder / "network.npz")
        value.precision.save(folder / "precision_map.json")
        value.model().save(folder / "student.keras")
        _save_history(value, folder)

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        from codesign.compression.quantize import QuantizedStudent
        from codesign.core.precision_map import PrecisionMap
        from codesign.networks.description import Network

        network = Network.load(folder / "network.npz")
        return QuantizedStudent(
            network, PrecisionMap.load(folder / "precision_map.json"), _load_history(folder), record
        )


class Project:
    """`convert`."""

    name = "project"
    parents = ("quantization",)
    sections = ("hardware",)
    uses_networks = False

    def make(self, context: Context, folder: Path) -> Any:
        """Convert the quantized student and write the project into the stage's folder."""
        from codesign.hardware import convert

        return convert(
            context.value("quantization"),
            context.dataset,
            context.settings.hardware,
            folder / "hls",
            progress=context.progress,
        )

    def save(self, value: Any, folder: Path) -> None:
        """Nothing is left to do: the project is its folder."""

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Open the project, checked against its manifest."""
        from codesign.hardware import ConvertedStudent
        from codesign.hls.project import open_project

        return ConvertedStudent(open_project(folder / "hls"), record)


class Rtl:
    """`build_rtl`."""

    name = "rtl"
    parents = ("project",)
    sections = ("hardware",)
    uses_networks = False

    def make(self, context: Context, folder: Path) -> Any:
        """Write the open RTL and count what it takes."""
        from codesign.hardware import build_rtl

        hardware = context.settings.hardware
        return build_rtl(context.reopened("project"), hardware, folder / "verilog", progress=context.progress)

    def save(self, value: Any, folder: Path) -> None:
        """Nothing is left to do: the Verilog is its folder."""

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Open the Verilog, checked against its manifest."""
        from codesign.hardware import RtlStudent
        from codesign.rtl.project import open_rtl

        verilog = folder / "verilog"
        return RtlStudent(open_rtl(verilog) if verilog.is_dir() else None, record)


class Verification:
    """`verify`."""

    name = "verification"
    parents = ("project", "rtl", "quantization")
    sections = ()
    uses_networks = False

    def make(self, context: Context, folder: Path) -> Any:
        """Climb the equality ladder on the whole test set; a rung that differs ends the run."""
        from codesign.hardware import verify

        return verify(
            context.value("quantization"),
            context.reopened("project"),
            context.dataset,
            context.reopened("rtl"),
            progress=context.progress,
        )

    def save(self, value: Any, folder: Path) -> None:
        """Keep the table."""
        write_json(folder / "verification.json", value.verification.to_dict())

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        from codesign.hardware import VerifiedStudent
        from codesign.verification import Verification as Table

        return VerifiedStudent(Table.from_dict(read_json(folder / "verification.json")), record)


def _save_history(value: Any, folder: Path) -> None:
    if value.history is not None:
        write_json(folder / "history.json", asdict(value.history))


def _load_history(folder: Path) -> Any:
    from codesign.training.fit import History

    path = folder / "history.json"
    if not path.is_file():
        return None
    kept: dict[str, Any] = read_json(path)
    return History(**{key: tuple(value) if isinstance(value, list) else value for key, value in kept.items()})


_STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Teacher(),
        Student(),
        Pruning(),
        Scan(),
        Quantization(),
        Project(),
        Rtl(),
        Verification(),
    )
}
