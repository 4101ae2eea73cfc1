"""What the stages of one run share, and what a stage is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from codesign.core.files import file_digest, forget_moment, json_digest, write_json
from codesign.core.places import unfinished
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.core.shown import Brief
from codesign.data import Dataset, load_design_data
from codesign.errors import ReportMissingError, SettingsError
from codesign.settings import DesignSettings


@dataclass
class Context(Brief):
    """What the stages of one run share; values of earlier stages are loaded from their folders when first asked for."""

    design: Path
    settings: DesignSettings
    folder: Path
    stages: Mapping[str, Stage]
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
                f"{self.design} has no networks.py; codesign new makes one to copy: define build_teacher and "
                "build_student in it"
            )
        return file_digest(path)

    @cached_property
    def untrained_student(self) -> Any:
        """The student's architecture as a Keras model, for the checks before work."""
        return self.build("student")

    @cached_property
    def untrained_network(self) -> Any:
        """The student's architecture as a `Network`, for the checks before work."""
        from codesign.networks.read_keras import read_keras

        return read_keras(self.untrained_student, self.dataset.x_train)

    def value(self, stage: str) -> Any:
        """What a stage made, from memory or from its folder; `ReportMissingError` if it is not finished."""
        if stage not in self.values and stage not in self.records:
            raise ReportMissingError(unfinished(self.folder, f"the stage {stage!r}"))
        if stage not in self.values:
            self.values[stage] = self.stages[stage].load(self, self.folder / stage, self.records[stage])
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
        choices = self.settings.student if which == "student" else {}
        shape, task = self.dataset.sample_shape, self.dataset.task
        return build_network(builder, self.networks.path, shape, task, choices)


def read_data(design: Path, settings: DesignSettings) -> Dataset:
    """The dataset that a design names; a relative file is looked for in the design's folder."""
    return load_design_data(settings.data, design)


class Stage:
    """One arrow of the chain; a subclass says what it is made of, and how it is made, kept and read back.

    The runner times `make` and writes the record: settings, seed and parents are what is declared here.
    """

    name: str
    title: str
    """What the notes of a run call it."""
    formerly: str | None = None
    """Its name in the folders of older versions."""
    parents: tuple[str, ...] = ()
    """The stages whose results it takes."""
    sections: tuple[str, ...] = ()
    """The sections of the settings that decide its result."""
    uses_networks: bool = False
    """Whether it reads `networks.py`."""

    def depends(self, context: Context) -> dict[str, str]:
        """Everything beside its parents that its result depends on, as digests by name; one that changed redoes it."""
        settings = context.settings
        depends = {f"settings {name}": json_digest(settings.section(name)) for name in self.sections}
        depends["settings seed"] = json_digest(settings.seed)
        depends["the data"] = context.dataset.digest
        if self.uses_networks:
            depends["networks.py"] = context.networks_digest
        return depends

    def check(self, context: Context) -> None:
        """Refuse, before anything long begins, what would end the stage later."""

    def make(self, context: Context, folder: Path) -> Any:
        """The stage's result, with its digest and metrics as `record`; `folder` is where its files will be.

        The folder has a temporary name until the stage is whole.
        """
        raise NotImplementedError

    def save(self, value: Any, folder: Path) -> None:
        """Keep what `make` returned and did not write itself."""

    def settled(self, context: Context) -> None:
        """Remove what only an interrupted stage would have needed, once the finished one is in its place."""

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """What `make` returned, from what `save` kept."""
        raise NotImplementedError

    def not_done(self, context: Context) -> dict[str, str]:
        """What of the finished stage was left out, with the reason."""
        skipped = context.records[self.name].metrics.get("skipped")
        return {} if skipped is None else {self.title: skipped}

    def was_asked(self, context: Context) -> bool:
        """Whether what `not_done` leaves out was asked for by name: then the run is not what was asked for."""
        return False


def save_history(value: Any, folder: Path) -> None:
    """Keep the training history of a value, if it has one."""
    if value.history is not None:
        write_json(folder / "history.json", value.history.to_json())


def load_history(folder: Path) -> Any:
    """The training history of a stage's folder; ``None`` if nothing was trained."""
    from codesign.training.fit import read_history

    path = folder / "history.json"
    return read_history(path) if path.is_file() else None


def save_student(value: Any, folder: Path) -> None:
    """Keep a student: its network, a Keras model of it and its history."""
    value.network.save(folder / "network.npz")
    # a quantized student is kept as QKeras' model, whatever computes its reference
    getattr(value, "qkeras", value.model)().save(folder / "student.keras")
    forget_moment(folder / "student.keras")
    save_history(value, folder)
