"""`read_tool_log`: the log of a whole run of a tool, `vitis_hls.log`, `vivado_hls.log` or `vivado.log`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from codesign.core.text_table import counted
from codesign.errors import ReportFormatError
from codesign.reports.csim import CSIM_START, parse_csim_log, tool_errors
from codesign.reports.fields import FieldReader
from codesign.reports.records import Finding, Report, ReportKind
from codesign.reports.text import REPORT_KINDS, TOOL_BANNER, KnownReport, read_kind

_MATTER = frozenset({
    "HLS 200-871",  # the estimated clock exceeds the target
    "HLS 200-880", "SCHED 204-68", "SCHED 204-69",  # the initiation interval is missed
    "SCHED 204-21", "XFORM 203-503", "XFORM 203-504",  # clock missed, unrolling stopped
    "Timing 38-282", "Route 35-328", "Route 35-39", "Route 35-459",  # timing not met, not routed
    "Synth 8-3848", "Synth 8-3295",  # nets and pins that nothing drives
    "Power 33-232",  # no clock
})  # fmt: skip
"""The warnings, by their codes, that say that the design is not what it should be; critical ones all do."""

_UNMET = re.compile(r"CRITICAL WARNING: \[(?:Timing 38-282|Route 35-39)\] ")
"""The lines by which Vivado says at the end of a step that timing is not met."""

_MESSAGE = re.compile(r"(CRITICAL WARNING|WARNING): \[([\w-]+ [\w-]+)\] .*")
_CLOCKED = re.compile(
    r"(?:INFO: \[HLS 200-111\] Finished )?(.*?):? Time \(s\): cpu = (?P<cpu>[0-9:.]+) ; elapsed = (?P<elapsed>[0-9:.]+)"
    r" \. Memory \(MB\): peak = (?P<peak>[0-9.]+).*"
)
_FINISHED = re.compile(
    r"INFO: \[HLS 200-111\] +Finished (.+?): CPU user time: [0-9.]+ seconds\. .*?Elapsed time: ([0-9.]+) seconds; "
    r"current allocated memory: ([0-9.]+) ([KMG]B)\."
)
_TOTAL = re.compile(
    r"INFO: \[HLS 200-112\] Total .*?elapsed time: ([0-9.]+) seconds; peak allocated memory: ([0-9.]+) ([KMG]B)\."
)
_EXITING = re.compile(
    r"INFO: \[Common 17-206\] Exiting .*|INFO: \[vitis-run 60-\d+\] .*|INFO: \[HLS 200-112\] Total .*"
)
_WELL = re.compile(r"\w+ completed successfully|INFO: \[HLS 200-112\] Total .*")
_MB = {"KB": 1e-3, "MB": 1.0, "GB": 1e3}
_LAST_LINES = 12


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """One step of a tool, as far as the log times it.

    Parameters
    ----------
    name
        As printed.
    seconds
        Wall time.
    peak_memory_mb
        The memory of the process up to then, in MB.
    """

    name: str
    seconds: float
    peak_memory_mb: float


@dataclass(frozen=True, kw_only=True)
class ToolLogReport(Report):
    """What a tool said in one run.

    Parameters
    ----------
    errors
        Its error lines, whole.
    critical_warnings, warnings
        Critical warnings, and of the others those that say that the design is not what it should be.
    n_warnings
        All warnings that are not critical.
    steps
        Steps with their times, in order.
    seconds
        Wall time of the run where HLS prints it.
    peak_memory_mb
        The greatest memory that is printed, in MB.
    is_ended
        Whether the log has its end; one without is of a run that died, or runs still.
    went_on
        Whether a step ended well after the last error, as in an interactive session.
    csim_failure
        Why a C simulation in it failed.
    """

    kind: ClassVar[ReportKind] = "log"

    errors: tuple[str, ...]
    critical_warnings: tuple[str, ...]
    warnings: tuple[str, ...]
    n_warnings: int
    steps: tuple[StepTime, ...]
    seconds: float | None
    peak_memory_mb: float | None
    is_ended: bool
    went_on: bool
    csim_failure: str | None

    def doubts(self) -> Iterator[Finding]:
        """That a C simulation, a step or the timing failed, that it ends in the middle, and the warnings that matter."""
        if self.csim_failure is not None:
            yield self.doubt("failed", f"says that the C simulation failed: {self.csim_failure}")
        if self.errors and not self.went_on:
            yield self.doubt(
                "unfinished",
                f"says that a step died ({counted(len(self.errors), 'error')}, first {self.errors[0]!r})",
            )
        elif self.errors:
            yield self.doubt(
                "note",
                f"has {counted(len(self.errors), 'error')}, first {self.errors[0]!r}; steps ended well after the last",
            )
        if not self.is_ended:
            yield self.doubt(
                "unfinished", "ends in the middle: the run died, runs still, or the file was cut"
            )
        if unmet := [line for line in self.critical_warnings if _UNMET.match(line)]:
            yield self.doubt("timing", f"says that timing is not met: {unmet[-1]!r}")
        for what, lines in (
            ("critical warnings", self.critical_warnings),
            ("warnings that matter", self.warnings),
        ):
            if lines:
                yield self.doubt("note", f"has {len(lines)} {what}, first {lines[0]!r}")


def read_tool_log(path: str | Path) -> ToolLogReport:
    """Read the log of a whole run of Vivado HLS, Vitis HLS or Vivado.

    Parameters
    ----------
    path
        The file. Of several sessions in one file the last counts.

    Raises
    ------
    ReportMissingError
        There is no such file.
    ReportFormatError
        The file is empty or no such log; the message names the field.
    """
    return parse_tool_log(Path(path), read_kind(path, "log"))


def parse_tool_log(path: Path, text: str) -> ToolLogReport:
    """The same of a file whose text is read and known to be one."""
    fields = FieldReader(path)
    banners = list(TOOL_BANNER.finditer(text))
    tool = version = None
    if banners:
        # HLS starts Vivado within its own session; of its own sessions the last counts
        tool = _tool(banners[0])
        banner = [found for found in banners if _tool(found) == tool][-1]
        version = fields.use_version(tool, banner["version"])
        text = text[banner.start() :]
    lines = [line.strip() for line in text.split("\n")]
    errors = tool_errors(lines)
    messages = [found for line in lines if (found := _MESSAGE.fullmatch(line))]
    steps = tuple(_steps(lines, fields))
    totals = [found for line in lines if (found := _TOTAL.fullmatch(line))]
    memories = [step.peak_memory_mb for step in steps]
    memories += [_megabytes(found[2], found[3], fields) for found in totals]
    return ToolLogReport(
        path=path, stage=None, tool=tool, version=version,
        part=_last(r"(?:Setting target device to|for part:?) '?([\w-]+)'?", lines),
        top=_last(r"Command: synth_design .*-top (\w+)|Running: set_top (\w+)", lines),
        errors=errors,
        critical_warnings=tuple(found[0] for found in messages if found[1] == "CRITICAL WARNING"),
        warnings=tuple(found[0] for found in messages if found[1] == "WARNING" and found[2] in _MATTER),
        n_warnings=sum(found[1] == "WARNING" for found in messages),
        steps=steps,
        seconds=fields.known_decimal("seconds", totals[-1][1]) if totals else None,
        peak_memory_mb=max(memories, default=None),
        is_ended=any(_EXITING.fullmatch(line) for line in [line for line in lines if line][-_LAST_LINES:]),
        went_on=_went_on(lines, errors),
        csim_failure=_csim_failure(path, lines),
    )  # fmt: skip


REPORT_KINDS["log"] = KnownReport(parse_tool_log, "the log of a whole run of a tool")


def _tool(banner: re.Match[str]) -> str:
    if banner["hls"]:
        return f"{banner['hls']} HLS"
    return "Vitis HLS" if "vitis-run" in banner[0] else "Vivado"


def _steps(lines: Sequence[str], fields: FieldReader) -> Iterator[StepTime]:
    for line in lines:
        if found := _CLOCKED.fullmatch(line):
            if name := found[1].strip():
                peak = fields.known_decimal("peak_memory_mb", found["peak"])
                yield StepTime(name=name, seconds=_seconds(found["elapsed"], fields), peak_memory_mb=peak)
        elif found := _FINISHED.fullmatch(line):
            seconds = fields.known_decimal("seconds", found[2])
            yield StepTime(
                name=found[1], seconds=seconds, peak_memory_mb=_megabytes(found[3], found[4], fields)
            )


def _megabytes(number: str, unit: str, fields: FieldReader) -> float:
    return fields.known_decimal("peak_memory_mb", number) * _MB[unit]


def _seconds(clock: str, fields: FieldReader) -> float:
    """A time as ``hh:mm:ss``."""
    parts = clock.split(":")
    if len(parts) != 3:
        raise fields.error("seconds", f"{clock[:20]!r} is no time as hh:mm:ss")
    hours, minutes, seconds = (fields.known_decimal("seconds", part) for part in parts)
    return 3600 * hours + 60 * minutes + seconds


def _last(pattern: str, lines: Sequence[str]) -> str | None:
    found = [match for line in lines if (match := re.search(pattern, line))]
    return next((group for group in found[-1].groups() if group), None) if found else None


def _went_on(lines: Sequence[str], errors: Sequence[str]) -> bool:
    if not errors:
        return True
    last = max(at for at, line in enumerate(lines) if line in errors)
    return any(_WELL.fullmatch(line) for line in lines[last + 1 :])


def _csim_failure(path: Path, lines: Sequence[str]) -> str | None:
    """Why the last C simulation failed; ``None`` where there is none, it passed, or the log ends in it."""
    if not any(CSIM_START.fullmatch(line) for line in lines):
        return None
    try:
        return parse_csim_log(path, "\n".join(lines)).failure
    except ReportFormatError:  # that the log ends in the middle is said
        return None
