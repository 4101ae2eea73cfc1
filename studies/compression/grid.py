"""The grid of this study: its cells, what it depends on, and its results on disk."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from codesign.core.files import file_digest, json_digest, read_json

TEACHERS = ("scratch", "kd", "ensemble", "specialists")
"""Labels alone; the best member of the ensemble; the ensemble; a generalist, that member, with specialists."""

NAMES = {
    "scratch": "labels alone",
    "kd": "one teacher",
    "ensemble": "ensemble",
    "specialists": "specialists",
}
"""What tables call them."""

Row = Mapping[str, Any]
Key = tuple[str, str, float, str]
"""A result, and which cell it is of: teacher, precision, sparsity, method."""

SCANNED = "scan"
FLOAT = "float"

AS_DESIGNED = "design"

METHODS: Mapping[str, Mapping[str, Any]] = {
    AS_DESIGNED: {},
    "layer": {"method": "magnitude", "scope": "layer"},
    "global": {"method": "magnitude", "scope": "global"},
    "taylor": {"method": "taylor", "scope": "global"},
    "hessian": {"method": "hessian", "scope": "global"},
    "l1": {"method": "magnitude", "scope": "global", "l1": 1e-4},
    "lottery": {"method": "magnitude", "scope": "global", "schedule": "iterative", "rewind": "initial"},
    "structured": {"method": "structured", "scope": "layer"},
    "hardware": {"method": "hardware", "scope": "layer"},
}
"""Ways to prune, laid over the design's settings of it; for `hardware` the sparsity is that of the estimated LUTs, for
`structured` of the neurons."""


@dataclass(frozen=True)
class Cell:
    """One student of the grid.

    Parameters
    ----------
    teacher
        One of `TEACHERS`.
    precision
        ``float``; ``scan``: quantization-aware training with the widths of a scan, after pruning; or a number of bits:
        the same width everywhere, and pruning in rounds of quantization-aware training.
    sparsity
        The fraction that is removed.
    method
        One of `METHODS`: what it is a fraction of, and how it is removed.
    """

    teacher: str
    precision: str
    sparsity: float
    method: str = AS_DESIGNED

    @property
    def key(self) -> str:
        """Its name in the results."""
        method = "" if self.method == AS_DESIGNED else f" {self.method}"
        return f"{self.teacher} {self.precision} {self.sparsity:g}{method}"


@dataclass(frozen=True)
class Study:
    """What is measured, and where the results go.

    Parameters
    ----------
    name
        Of the data and the design.
    design
        A design folder: its networks and settings are those of the study.
    overrides
        Settings by dotted path.
    members
        How many teachers the ensemble has.
    cells
        The grid.
    folder
        Where the results go.
    seeds
        How many.
    """

    name: str
    design: Path
    overrides: Mapping[str, Any]
    members: int
    cells: tuple[Cell, ...]
    folder: Path
    seeds: int

    def checked(self) -> Study:
        """Refuse what cannot be measured, before anything is trained; two classes have no specialists."""
        from studies.compression.seed import SeedStudy

        seed = SeedStudy(self, 0)
        print(f"{self.name}: {seed.dataset!r}", file=sys.stderr)
        if seed.n_outputs > 2:
            return self
        print("no specialists: they need at least three classes", file=sys.stderr)
        return replace(self, cells=tuple(cell for cell in self.cells if cell.teacher != "specialists"))

    @property
    def digest(self) -> str:
        """Of all that the results depend on, but not of which are asked for."""
        from codesign.settings import read_design

        settings = read_design(self.design, self.overrides)
        data = self.overrides["data.source"]
        digest = file_digest(data) if Path(data).is_file() else data
        plain = settings.model_dump(mode="json", exclude={"data": {"source"}})
        networks = file_digest(self.design / "networks.py")
        return json_digest([plain, networks, digest, self.members, METHODS])

    def rows(self) -> list[dict[str, Any]]:
        """Every result that is there: one row for each cell and seed, with its RTL's figures where they are known."""
        found = []
        for seed in range(self.seeds):
            results = read_results(self.folder, seed)
            for cell in self.cells:
                if "test" in results.get(cell.key, {}):
                    rtl = results.get(f"rtl {cell.key}", {})
                    found.append({**asdict(cell), "seed": seed, **results[cell.key], **rtl})
        return found

    def skipped(self) -> list[str]:
        """A sentence for each student that could not be made."""
        every = [(seed, read_results(self.folder, seed)) for seed in range(self.seeds)]
        return [
            f"seed {seed}, {key}: {results[key]['skipped']}"
            for seed, results in every
            for cell in self.cells
            for key in (cell.key, f"rtl {cell.key}")
            if "skipped" in results.get(key, {})
        ]

    def teachers(self) -> list[dict[str, Any]]:
        """What is known of every seed's teachers."""
        every = [read_results(self.folder, seed) for seed in range(self.seeds)]
        return [results["teachers"] for results in every if "teachers" in results]


def read_results(folder: Path, seed: int) -> dict[str, dict[str, Any]]:
    """What is known of a seed."""
    path = folder / f"seed{seed}" / "results.json"
    return read_json(path) if path.is_file() else {}
