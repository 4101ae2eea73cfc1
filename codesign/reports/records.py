"""What all reports share: resources with units, the stage of the numbers, and a JSON-able form.

A ``None`` in a record has one of two meanings, and `Report.unknown_fields` tells them apart: a field named there
was printed by the tool as unknown (``?``, ``undef``, ``-``, ``NA``, ``---``); any other ``None`` belongs to a form
that has no such field (Vivado HLS 2018 knows no URAM, a cosim report prints no part). Nothing else becomes
``None``: a field that the form must have and that is not there is a `ReportFormatError`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from codesign.core.shown import Brief

Stage = Literal["csim", "csynth", "cosim", "synthesis", "post-opt", "post-place", "post-route"]
"""How far the design had come when the numbers were made.

`csynth` is the HLS scheduler's estimate; `cosim` cycles were counted in RTL simulation; the others are
Vivado's netlist after synthesis, `opt_design`, placement and routing.
"""

STAGES: tuple[Stage, ...] = get_args(Stage)
"""All stages, in the order of the flow."""

ReportKind: TypeAlias = str
"""The word of a kind of report, such as `csynth`: `codesign.reports.text.REPORT_KINDS` has them all."""


BuildStatus = Literal["finished", "running", "failed", "interrupted", "unmarked"]
"""What the run's marker says; `unmarked` if there is none, as in projects that hls4ml wrote and built."""

Reason = Literal[
    "stale", "damaged", "unfinished", "foreign", "missing", "failed", "timing", "unverified", "note"
]
"""Why a file was left out, except the last four: those files were read."""

HARMLESS: frozenset[Reason] = frozenset({"unverified", "note"})
"""Reasons that say nothing against the design."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a build that its reader must know.

    Parameters
    ----------
    reason
        `stale`: older than the sources, the run or the synthesis it rests on. `damaged`: empty, cut or malformed.
        `unfinished`: the step or the run that wrote it did not end well. `foreign`: of another part or design.
        `missing`: the run says that it wrote it. `failed`: a simulation did not pass.
        `timing`: the constraints are not met. `unverified`: read, but nothing tells how old it is. `note`: read, and
        worth a word.
    path
        The file.
    message
        The whole sentence.
    """

    reason: Reason
    path: Path
    message: str


@dataclass(frozen=True)
class Resources:
    """Counts of FPGA resources; ``None`` where the report's form has no such count.

    Parameters
    ----------
    lut
        Look-up tables.
    ff
        Flip-flops (all registers, latches included, as the tools count them).
    dsp
        DSP blocks of the part's own kind (DSP48E1, DSP48E2, DSP58).
    bram_18k
        Block RAM in units of 18 Kb. Vivado counts 36 Kb tiles and a lone 18 Kb block as half a tile: one tile is
        two of these.
    uram
        UltraRAM blocks.
    carry8
        8-bit carry blocks; on Versal its successor LOOKAHEAD8. 7-series parts have none (their CARRY4 is no row of
        the report).
    """

    lut: int | None = None
    ff: int | None = None
    dsp: int | None = None
    bram_18k: int | None = None
    uram: int | None = None
    carry8: int | None = None

    derived: ClassVar[tuple[str, ...]] = ("bram_36k",)

    @property
    def bram_36k(self) -> float | None:
        """Block RAM in tiles of 36 Kb, in steps of a half."""
        return None if self.bram_18k is None else self.bram_18k / 2

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form with both block-RAM units."""
        return plain(self)


@dataclass(frozen=True, kw_only=True)
class Report(Brief):
    """What every report says about itself.

    Parameters
    ----------
    path
        The file.
    stage
        The stage of its numbers; ``None`` if the file does not tell (Vivado 2019 timing without paths).
    tool
        The program that wrote it (`Vivado HLS`, `Vitis HLS`, `Vivado`).
    version
        Its version, for example ``2019.2.1``.
    part
        The part as printed; Vivado and HLS spell it differently (see `same_part`).
    top
        The top function or design.
    date
        The date printed in the report, in the local time of the machine that wrote it.
    unknown_fields
        Names of the fields that the tool printed as unknown.
    """

    path: Path
    stage: Stage | None
    tool: str | None = None
    version: str | None = None
    part: str | None = None
    top: str | None = None
    date: datetime | None = None
    unknown_fields: tuple[str, ...] = ()

    kind: ClassVar[ReportKind]
    derived: ClassVar[tuple[str, ...]] = ()

    @property
    def headline(self) -> object:
        """What a second report of the same run must say too; ``None`` where nothing is compared."""
        return None

    def doubts(self) -> Iterator[Finding]:
        """What it says against the design: a simulation that failed or was not run, a timing that is not met."""
        yield from ()

    def doubt(self, reason: Reason, rest: str) -> Finding:
        """One of these; the sentence begins with the file."""
        return Finding(reason=reason, path=self.path, message=f"{self.path} {rest}")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form: `kind`, then every field and derived value by name."""
        return {"kind": self.kind, **plain(self)}


def plain(value: Any) -> Any:
    """Turn records, paths, dates, tuples and mappings into what JSON knows."""
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value)] + list(getattr(value, "derived", ()))
        head = {"kind": value.kind} if isinstance(value, Report) else {}
        return {**head, **{name: plain(getattr(value, name)) for name in names}}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    return value.isoformat(sep=" ") if isinstance(value, datetime) else value


def unmet(slack_ns: float) -> str:
    """How a timing that is not met is told; only a slack below 0 says by how much."""
    return "says that the timing constraints are not met" + (
        f", by {-slack_ns:.3f} ns at worst" if slack_ns < 0 else ""
    )


def same_part(first: str, second: str) -> bool:
    """Whether two spellings can mean the same part.

    Vivado prints ``7z020clg400-1`` or ``xcu250-figd2104`` where HLS prints ``xc7z020-clg400-1`` and
    ``xcu250-figd2104-2L-e``: the prefix ``xc``, the hyphens and the grades at the end come and go.
    """
    one, two = (name.lower().removeprefix("xc").replace("-", "") for name in (first, second))
    return one.startswith(two) or two.startswith(one)
