"""What the stages of one run share, and what a stage is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from codesign.core.files import file_digest
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.data import Dataset, load_dataset
from codesign.errors import ReportMissingError, SettingsError
from codesign.settings import DesignSettings


@dataclass
class Context:
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
                f"{self.design} has no networks.py; copy one from models/digits and define build_teacher and "
                "build_student in it"
            )
        return file_digest(path)

    def value(self, stage: str) -> Any:
        """What a stage made, from memory or from its folder; `ReportMissingError` if it is not finished."""
        if stage not in self.values and stage not in self.records:
            raise ReportMissingError(f"{self.folder} has no finished stage {stage!r}; run the design further")
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
        return build_network(builder, self.networks.path, self.dataset.input_shape, self.dataset.n_classes)


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
