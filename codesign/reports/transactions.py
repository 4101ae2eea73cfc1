"""`read_transactions`: the cycles of each transaction of a co-simulation.

The table of `<top>_cosim.rpt` often prints `NA` although the simulator counted: this file has the counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from codesign.reports.fields import FieldReader
from codesign.reports.records import Report, ReportKind
from codesign.reports.text import read_kind

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
    path = Path(path)
    fields = FieldReader(path)
    text = read_kind(path, "transactions")
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
        path=path, stage="cosim", tool=None, version=None, part=None, top=None, date=None,
        latency_cycles=tuple(latencies), interval_cycles=tuple(intervals),
    )  # fmt: skip
