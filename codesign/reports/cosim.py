"""`read_cosim` and `read_transactions`: C/RTL co-simulation, and the cycles of each of its transactions.

The table of `<top>_cosim.rpt` often prints `NA` although the simulator counted: the list of transactions has the counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from codesign.reports.fields import Column, Columns, FieldReader
from codesign.reports.records import Finding, Report, ReportKind
from codesign.reports.tables import drawn_tables
from codesign.reports.text import REPORT_KINDS, KnownReport, read_kind

CosimStatus = Literal["Pass", "Fail", "NA"]
"""`NA`: the language was not simulated."""

_ENTRY = re.compile(r"(Report time|Solution|Simulation tool)\s*: (.+?)\.?\s*")
_STATUS: dict[str, CosimStatus] = {"Pass": "Pass", "Fail": "Fail", "NA": "NA"}


# Vitis HLS names the unit in the heads; it alone prints the total
_CYCLES: Columns = {
    **{
        f"{field}_cycles_{end}": Column((f"{label}(Clock Cycles) {end}", f"{label} {end}"))
        for field, label in (("latency", "Latency"), ("interval", "Interval"))
        for end in ("min", "avg", "max")
    },
    "total_cycles": Column("Total Execution Time (Clock Cycles)", optional=True),
}


@dataclass(frozen=True, kw_only=True)
class CosimResult:
    """The result for one language.

    Parameters
    ----------
    status
        `Pass`, `Fail`, or `NA` where it was not simulated.
    latency_cycles_min, latency_cycles_avg, latency_cycles_max
        Measured cycles from start to done; ``None`` where `NA` is printed.
    interval_cycles_min, interval_cycles_avg, interval_cycles_max
        Measured cycles from start to start; unknown after a single transaction.
    total_cycles
        Cycles of the whole test; Vitis HLS only.
    """

    status: CosimStatus
    latency_cycles_min: int | None
    latency_cycles_avg: int | None
    latency_cycles_max: int | None
    interval_cycles_min: int | None
    interval_cycles_avg: int | None
    interval_cycles_max: int | None
    total_cycles: int | None


@dataclass(frozen=True, kw_only=True)
class CosimReport(Report):
    """Co-simulation of a test bench with the RTL. The form prints neither tool, version, part nor top.

    Parameters
    ----------
    solution
        The solution's name.
    simulator
        The simulator; not printed when none ran.
    verilog, vhdl
        The results by language.
    """

    kind: ClassVar[ReportKind] = "cosim"
    derived: ClassVar[tuple[str, ...]] = ("passed",)

    solution: str
    simulator: str | None
    verilog: CosimResult
    vhdl: CosimResult

    @property
    def passed(self) -> bool:
        """Whether something was simulated and everything that was has passed."""
        ran = [result.status for result in (self.verilog, self.vhdl) if result.status != "NA"]
        return bool(ran) and all(status == "Pass" for status in ran)

    @property
    def result(self) -> CosimResult:
        """The language that was simulated; Verilog if both were."""
        return self.vhdl if self.verilog.status == "NA" and self.vhdl.status != "NA" else self.verilog

    def doubts(self) -> Iterator[Finding]:
        """That a language failed, or that none was simulated."""
        results = {"Verilog": self.verilog.status, "VHDL": self.vhdl.status}
        for name, status in results.items():
            if status == "Fail":
                yield self.doubt("failed", f"says that the co-simulation of the {name} failed")
        if set(results.values()) == {"NA"}:
            yield self.doubt("note", "says that no language was co-simulated")


def read_cosim(path: str | Path) -> CosimReport:
    """Read `<top>_cosim.rpt` of Vivado HLS (seven columns) or Vitis HLS (eight).

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ReportMissingError
        There is no such file.
    ReportFormatError
        The file is empty, damaged, cut, or no co-simulation report; the message names the field.
    """
    return parse_cosim(Path(path), read_kind(path, "cosim"))


def parse_cosim(path: Path, text: str) -> CosimReport:
    """The same of a file whose text is read and known to be one."""
    fields = FieldReader(path)
    lines = text.split("\n")
    entries = {m[1]: m[2] for line in lines if (m := _ENTRY.fullmatch(line))}
    tables = drawn_tables(lines, fields)
    rows = {row["RTL"]: row for table in tables for row in table.records() if "RTL" in row}
    simulator = entries.get("Simulation tool")
    return CosimReport(
        path=path,
        stage="cosim",
        date=fields.date(entries.get("Report time")),
        solution=fields.text("solution", entries.get("Solution")),
        simulator=simulator,
        verilog=_result(fields, "verilog", rows.get("Verilog")),
        vhdl=_result(fields, "vhdl", rows.get("VHDL")),
        unknown_fields=tuple(fields.unknown),
    )


REPORT_KINDS["cosim"] = KnownReport(
    parse_cosim,
    "a C/RTL co-simulation report",
    marks=(r"^\+\s*RTL\s*\+\s*Status\s*\+",),
    files=r".*_cosim\.rpt",
    names=("{top}_cosim.rpt",),
    steps=("cosim",),
)


def _result(fields: FieldReader, name: str, row: dict[str, str] | None) -> CosimResult:
    if row is None:
        raise fields.error(name, "the table has no row for this language")
    status = _STATUS.get(row.get("Status", ""))
    if status is None:
        raise fields.error(f"{name}.status", f"{row.get('Status')!r} is none of {', '.join(_STATUS)}")
    return CosimResult(status=status, **fields.fill(_CYCLES, row.get, f"{name}."))


_ROW = re.compile(r"transaction\s+([0-9]+)(:\s*|\s+)([0-9]+)(?:\s+([0-9]+|x)|(x))")


@dataclass(frozen=True, kw_only=True)
class TransactionReport(Report):
    """Cycles counted in RTL simulation, one entry a transaction. The form prints nothing else.

    Parameters
    ----------
    latency_cycles
        Cycles from start to done.
    interval_cycles
        Cycles to the next start; ``None`` where ``x`` is printed, and for the last transaction, which has no next
        one (some versions print 0 for it).
    """

    kind: ClassVar[ReportKind] = "transactions"
    derived: ClassVar[tuple[str, ...]] = (
        "latency_cycles_min", "latency_cycles_max", "interval_cycles_min", "interval_cycles_max",
    )  # fmt: skip

    latency_cycles: tuple[int, ...]
    interval_cycles: tuple[int | None, ...]

    @property
    def latency_cycles_min(self) -> int:
        """The shortest latency."""
        return min(self.latency_cycles)

    @property
    def latency_cycles_max(self) -> int:
        """The longest latency."""
        return max(self.latency_cycles)

    @property
    def interval_cycles_min(self) -> int | None:
        """The shortest interval; ``None`` after a single transaction."""
        return min((cycles for cycles in self.interval_cycles if cycles is not None), default=None)

    @property
    def interval_cycles_max(self) -> int | None:
        """The longest interval; ``None`` after a single transaction."""
        return max((cycles for cycles in self.interval_cycles if cycles is not None), default=None)


def read_transactions(path: str | Path) -> TransactionReport:
    """Read `<top>.performance.result.transaction.xml` (no XML at all) or `result.transaction.rpt`.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ReportMissingError
        There is no such file.
    ReportFormatError
        The file is empty, damaged, cut, or no list of transactions; the message names the field.
    """
    return parse_transactions(Path(path), read_kind(path, "transactions"))


def parse_transactions(path: Path, text: str) -> TransactionReport:
    """The same of a file whose text is read and known to be one."""
    fields = FieldReader(path)
    if not text.endswith("\n"):
        raise fields.error("end of file", "the last line breaks off; the file is half written or was cut")
    latencies: list[int] = []
    intervals: list[int | None] = []
    has_colon = True
    for line in text.split("\n")[1:]:
        if not line.strip():
            continue
        found = _ROW.fullmatch(line.strip())
        field = f"transaction {len(latencies)}"
        if found is None or found[1] != str(len(latencies)):
            raise fields.error(field, f"{line.strip()[:80]!r} is no row of it")
        has_colon = ":" in found[2]
        latencies.append(fields.known_integer(field, found[3]))
        intervals.append(fields.known_integer(field, found[4]) if found[4] and found[4] != "x" else None)
    if not latencies:
        raise fields.error("transaction 0", "is missing; the simulation counted nothing")
    # the list of a VHDL simulation, which has no colons, repeats the latency there
    if intervals[-1] and has_colon:
        raise fields.error(
            f"transaction {len(latencies)}", "is missing though the one before has an interval up to it"
        )
    intervals[-1] = None
    return TransactionReport(
        path=path, stage="cosim",
        latency_cycles=tuple(latencies), interval_cycles=tuple(intervals),
    )  # fmt: skip


REPORT_KINDS["transactions"] = KnownReport(
    parse_transactions,
    "a list of co-simulated transactions",
    marks=(r"\A *latency +interval *\n",),
    files=r".*\.performance\.result\.transaction\.xml|result\.transaction\.rpt",
    names=("{top}.performance.result.transaction.xml", "result.transaction.rpt"),
    steps=("cosim",),
)
