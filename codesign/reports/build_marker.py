"""The marker `codesign_build.json` that a run of this package leaves: when it began, how it ended, what it wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.errors import ReportFormatError
from codesign.reports.build_files import MARKER
from codesign.reports.fields import FieldReader
from codesign.reports.records import BuildStatus

_STATUS: tuple[BuildStatus, ...] = ("finished", "running", "failed", "interrupted")


@dataclass(frozen=True)
class Marker:
    """What `codesign_build.json` says.

    Parameters
    ----------
    path
        The marker.
    status
        Of the whole run.
    started
        Unix time of its begin.
    steps
        Its steps as written; each may have `name`, `status`, `started`, and `reports` with `path` and `sha256`.
    """

    path: Path
    status: BuildStatus
    started: float
    steps: tuple[Mapping[str, Any], ...]

    def begin_of(self, step: Mapping[str, Any]) -> float:
        """When a step began, in Unix time; the run's begin if the marker does not say."""
        started = step.get("started")
        return float(started) if isinstance(started, (int, float)) else self.started

    def reports(self) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Every (step, report) that the marker lists."""
        for step in self.steps:
            listed = step.get("reports")
            for report in listed if isinstance(listed, list) else ():
                if isinstance(report, dict) and report.get("path"):
                    yield step, report


def read_marker(home: Path) -> Marker | None:
    """Read the marker of the run; ``None`` if there is none.

    Raises
    ------
    ReportFormatError
        It is half written or damaged.
    """
    path = home / MARKER
    if not path.is_file():
        return None
    fields = FieldReader(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReportFormatError(path, "JSON", f"is damaged ({error}); build again") from None
    if not isinstance(value, dict) or value.get("status") not in _STATUS:
        raise fields.error("status", f"is none of {', '.join(_STATUS)}; build again")
    if not isinstance(value.get("started"), (int, float)):
        raise fields.error("started", f"is {value.get('started')!r}, no Unix time; build again")
    steps = value.get("steps", [])
    if not isinstance(steps, list):
        raise fields.error("steps", "is no list; build again")
    return Marker(
        path, value["status"], float(value["started"]), tuple(s for s in steps if isinstance(s, dict))
    )
