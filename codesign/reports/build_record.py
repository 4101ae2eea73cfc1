"""What a build directory holds: one record of each kind and stage, and what was left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from codesign.reports.cosim import CosimReport
from codesign.reports.csim import CsimReport
from codesign.reports.csynth_record import CsynthReport
from codesign.reports.export import ExportReport
from codesign.reports.power import PowerReport
from codesign.reports.records import HARMLESS, STAGES, Finding, plain
from codesign.reports.timing import TimingReport
from codesign.reports.transactions import TransactionReport
from codesign.reports.utilization_record import UtilizationReport

BuildStatus = Literal["finished", "running", "failed", "interrupted", "unmarked"]
"""What the run's marker says; `unmarked` if there is none, as in projects that hls4ml wrote and built."""


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """The reports of one build.

    Parameters
    ----------
    directory
        What was read.
    status
        What the marker says of the run.
    started
        Unix time at which the run began; ``None`` without a marker.
    top, part
        Of what, for what; ``None`` if no report says it.
    csim, csynth, cosim, transactions, export
        ``None`` if there is none that can be trusted; then `findings` says why, or nothing was run.
    utilization, hierarchy, timing, power
        By stage (`unknown` for timing whose stage is not printed).
    also_found
        Whole reports of a kind and stage of which a better one was taken.
    findings
        What was left out and why, and what could not be checked.
    """

    directory: Path
    status: BuildStatus
    started: float | None
    top: str | None
    part: str | None
    csim: CsimReport | None
    csynth: CsynthReport | None
    cosim: CosimReport | None
    transactions: TransactionReport | None
    export: ExportReport | None
    utilization: Mapping[str, UtilizationReport]
    hierarchy: Mapping[str, UtilizationReport]
    timing: Mapping[str, TimingReport]
    power: Mapping[str, PowerReport]
    also_found: tuple[Path, ...]
    findings: tuple[Finding, ...]

    @property
    def is_trustworthy(self) -> bool:
        """Whether the run ended well, nothing was left out, no simulation failed and the timing is met."""
        return self.status in ("finished", "unmarked") and all(f.reason in HARMLESS for f in self.findings)

    @property
    def last_utilization(self) -> UtilizationReport | None:
        """The utilisation of the latest stage."""
        return next(
            (self.utilization[stage] for stage in reversed(STAGES) if stage in self.utilization), None
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {"kind": "build", "is_trustworthy": self.is_trustworthy, **plain(self)}
