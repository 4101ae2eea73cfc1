"""`read_export`: what HLS prints after it ran Vivado on an exported design."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from codesign.reports.fields import Column, Columns, FieldReader
from codesign.reports.records import Finding, Report, ReportKind, Resources, Stage, unmet
from codesign.reports.text import REPORT_KINDS, KnownReport, read_kind

_ENTRY = re.compile(r"([A-Z][A-Za-z -]*?):\s+(\S.*?)\s*")
_TOOL = re.compile(r"Xilinx Vivado v\.(\S+)")
_USAGE = re.compile(r"^#=== Post-(Synthesis|Implementation) Resource usage ===", re.MULTILINE)
_STAGES: dict[str, Stage] = {"Synthesis": "synthesis", "Implementation": "post-route"}
_VERDICTS = {"Timing met": True, "Timing not met": False, "No Sequential Path": None}
_USED: Columns = {
    "lut": Column("LUT"), "ff": Column("FF"), "dsp": Column("DSP"), "bram_18k": Column("BRAM"),
    "uram": Column("URAM", optional=True),
}  # fmt: skip
_FIELDS: Columns = {
    "part": Column("Device target", "text"), "project": Column("Project", "text"),
    "solution": Column("Solution", "text"),
    # not every version and part has these
    "slice": Column("SLICE", optional=True), "clb": Column("CLB", optional=True),
    "latch": Column("LATCH", optional=True), "srl": Column("SRL", optional=True),
    "target_clock_ns": Column("CP required", "number"),
    "synthesis_clock_ns": Column("CP achieved post-synthesis", "number"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ExportReport(Report):
    """Resources and clock of an exported design after Vivado's synthesis or implementation.

    Parameters
    ----------
    project, solution
        Where HLS worked.
    used
        Resources; here block RAM is counted in units of 18 Kb.
    slice, clb, latch, srl
        Further counts, as far as the version prints them; 0 for what the part does not have.
    target_clock_ns
        The clock period asked for (`CP required`).
    synthesis_clock_ns, achieved_clock_ns
        The shortest periods in ns after synthesis and after implementation; the latter is not printed by
        ``-flow syn``.
    is_met
        Whether the timing is met; ``None`` for a design without a register.
    """

    kind: ClassVar[ReportKind] = "export"
    derived: ClassVar[tuple[str, ...]] = ("wns_ns", "fmax_mhz")

    project: str
    solution: str
    used: Resources
    slice: int | None
    clb: int | None
    latch: int | None
    srl: int | None
    target_clock_ns: float | None
    synthesis_clock_ns: float | None
    achieved_clock_ns: float | None
    is_met: bool | None

    @property
    def clock_ns(self) -> float | None:
        """The shortest period in ns at the report's stage."""
        return self.achieved_clock_ns if self.stage == "post-route" else self.synthesis_clock_ns

    @property
    def wns_ns(self) -> float | None:
        """The slack in ns at the report's stage."""
        if self.clock_ns is None or self.target_clock_ns is None:
            return None
        return self.target_clock_ns - self.clock_ns

    @property
    def fmax_mhz(self) -> float | None:
        """The highest clock in MHz at the report's stage."""
        return 1000.0 / self.clock_ns if self.clock_ns else None

    def doubts(self) -> Iterator[Finding]:
        """That the timing is not met."""
        if self.is_met is False:
            yield self.doubt("timing", unmet(self.wns_ns or 0.0))


def read_export(path: str | Path) -> ExportReport:
    """Read `<top>_export.rpt` of Vivado HLS or Vitis HLS.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ReportMissingError
        There is no such file.
    ReportFormatError
        The file is empty, damaged, cut, or no export report; the message names the field.
    """
    return parse_export(Path(path), read_kind(path, "export"))


def parse_export(path: Path, text: str) -> ExportReport:
    """The same of a file whose text is read and known to be one."""
    fields = FieldReader(path)
    lines = [line.strip() for line in text.split("\n")]
    entries = {m[1]: m[2] for line in lines if (m := _ENTRY.fullmatch(line))}
    tool = _TOOL.fullmatch(fields.text("version", entries.get("Implementation tool")))
    if tool is None:
        raise fields.error("version", f"{entries['Implementation tool']!r} is no version of Vivado")
    version = fields.use_version("Vivado", tool[1])
    usage = _USAGE.search(text)
    stage = _STAGES[usage[1]] if usage else None
    verdicts = [_VERDICTS[line] for line in lines if line in _VERDICTS]
    if len(verdicts) != 1:
        raise fields.error(
            "is_met", "no verdict on the timing at the end; the file is half written or was cut"
        )
    achieved = None
    if stage == "post-route":
        achieved = fields.decimal("achieved_clock_ns", entries.get("CP achieved post-implementation"))
    return ExportReport(
        path=path, stage=stage, tool="Vivado", version=version,
        date=fields.date(entries.get("Report date")),
        used=Resources(**fields.fill(_USED, entries.get, "used.")), **fields.fill(_FIELDS, entries.get),
        achieved_clock_ns=achieved, is_met=verdicts[0], unknown_fields=tuple(fields.unknown),
    )  # fmt: skip


REPORT_KINDS["export"] = KnownReport(
    parse_export,
    "an HLS export report",
    marks=(r"^#=== Post-(?:Synthesis|Implementation) Resource usage ===",),
    files=r".*_export\.rpt",
    names=("{top}_export.rpt",),
    steps=("export",),
)
