"""`read_csim_log`: the log of a C simulation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from codesign.core.text_table import counted
from codesign.reports.fields import FieldReader
from codesign.reports.records import Finding, Report, ReportKind
from codesign.reports.text import REPORT_KINDS, KnownReport, identify, read_text, require_kind

CSIM_START = re.compile(r"INFO: \[SIM (?:211-)?2\] \*+ CSIM start \*+")
_FINISH = re.compile(r"INFO: \[SIM (?:211-)?3\] \*+ CSIM finish \*+")
_DONE = re.compile(r"INFO: \[SIM (?:211-)?1\] CSim done with ([0-9]+) errors?\.")
_FAILED = re.compile(r"ERR(?:OR)?: \[SIM (?:211-)?\d+\] (.+)")
_BANNER = re.compile(r"\*{6} (Vivado|Vitis)(?:\(TM\))? HLS - .* v(\d{4}\.\d+(?:\.\d+)*) \(64-bit\)")
_PART = re.compile(r"INFO: \[HLS 200-\d+\] Setting target device to '(.+)'")
_TOOL_LINE = re.compile(r"(?:INFO|WARNING|ERROR|ERR): \[[\w-]+ [\w-]+\] .*")
_OWN_START = "codesign: C simulation by g++ "
_OWN_TOTAL = re.compile(
    r"codesign: in all ([0-9]+) samples, ([0-9]+) compared, ([0-9]+) differ, first (-?[0-9]+)"
)
_COMPILED = re.compile(r"   Generating csim\.exe|make: .csim\.exe. is up to date\.")


@dataclass(frozen=True, kw_only=True)
class CsimReport(Report):
    """One run of the C test bench. A log of its own names neither tool, version, part, top nor date.

    Parameters
    ----------
    passed
        Whether the tool reports that it ended without errors; ``None`` after `csim_design -setup`, which compiles
        the test bench and does not run it.
    errors
        The errors it counts; ``None`` if it failed without counting.
    failure
        Why it failed, as printed; ``None`` if it passed.
    output
        The lines that the test bench printed.
    later_errors
        Of a log of the whole tool: the errors after the simulation.
    """

    kind: ClassVar[ReportKind] = "csim"

    passed: bool | None
    errors: int | None
    failure: str | None
    output: tuple[str, ...]
    later_errors: tuple[str, ...] = ()

    def doubts(self) -> Iterator[Finding]:
        """That it failed, or was compiled only, or that a later step of the tool's log died."""
        if self.passed is None:
            yield self.doubt("note", "compiled the C simulation and did not run it")
        elif not self.passed:
            yield self.doubt("failed", f"says that the C simulation failed: {self.failure}")
        if self.later_errors:
            count, first = len(self.later_errors), self.later_errors[0]
            yield self.doubt(
                "unfinished", f"says that a later step died ({counted(count, 'error')}, first {first!r})"
            )


def read_csim_log(path: str | Path) -> CsimReport:
    """Read `<top>_csim.log`, the C simulation in a log of the whole tool, or `build_gcc/csim.log`.

    Parameters
    ----------
    path
        The file. Of several simulations in one log the last counts.

    Raises
    ------
    ReportMissingError
        There is no such file.
    ReportFormatError
        The file is empty or no C simulation log, or the simulation was not finished; the message names the field.
    """
    text = read_text(path)
    # the log of a whole tool may hold a simulation
    if identify(text) != "log" or not any(CSIM_START.fullmatch(line.rstrip()) for line in text.split("\n")):
        require_kind(path, identify(text), "csim")
    return parse_csim_log(Path(path), text)


def parse_csim_log(path: Path, text: str) -> CsimReport:
    """The same of a file whose text is read and known to be one."""
    fields = FieldReader(path)
    lines = text.split("\n")
    if lines[0].startswith(_OWN_START):
        return _read_own(path, lines, fields)
    starts = [at for at, line in enumerate(lines) if CSIM_START.fullmatch(line.rstrip())]
    if not starts:
        raise fields.error("CSIM start", "the line is damaged")
    ends = [at for at, line in enumerate(lines) if _FINISH.fullmatch(line.rstrip()) and at > starts[-1]]
    if not ends:
        raise fields.error("CSIM finish", "the line is missing: the simulation is running still, or died")
    body = [line.rstrip() for line in lines[starts[-1] + 1 : ends[0]]]
    done = [fields.known_integer("errors", found[1]) for line in body if (found := _DONE.fullmatch(line))]
    failed = [found[1] for line in body if (found := _FAILED.fullmatch(line))]
    is_setup = (
        not done and not failed and any(_COMPILED.fullmatch(line) for line in body) and not _output(body)
    )
    if not done and not failed and not is_setup:
        raise fields.error("errors", "neither success nor failure is printed; the log is damaged")
    tool, version = _tool(lines[: starts[-1]], fields)
    parts = [found[1] for line in lines[: starts[-1]] if (found := _PART.fullmatch(line.rstrip()))]
    errors = done[-1] if done else None
    return CsimReport(
        path=path,
        stage="csim",
        tool=tool,
        version=version,
        part=parts[-1] if parts else None,
        passed=None if is_setup else not failed and errors == 0,
        errors=errors,
        failure=failed[0] if failed else f"{errors} errors" if errors else None,
        output=_output(body),
        later_errors=tool_errors(lines[ends[0] + 1 :]),
    )


REPORT_KINDS["csim"] = KnownReport(
    parse_csim_log,
    "a C simulation log",
    marks=(
        r"^INFO: \[SIM (?:211-)?2\] \*+ CSIM start \*+",
        rf"\A{re.escape(_OWN_START)}",
    ),
    files=r".*_csim\.log",
    names=("{top}_csim.log", "_csim.log"),
    steps=("csim",),
)


def tool_errors(lines: Iterable[str]) -> tuple[str, ...]:
    """The lines of a tool's log that say that a step did not do what it should."""
    return tuple(
        line.strip()
        for line in lines
        # hls4ml asks Vitis for an option of Vivado HLS and catches the refusal
        if line.startswith("ERROR: [") and "config_array_partition: Unknown option" not in line
    )


def _read_own(path: Path, lines: list[str], fields: FieldReader) -> CsimReport:
    """Read the log of a C simulation by g++, without the vendor's tool."""
    total = next((found for line in reversed(lines) if (found := _OWN_TOTAL.fullmatch(line))), None)
    if total is None:
        raise fields.error("in all", "the line is missing: the simulation is running still, or died")
    _, compared, differ, first = (
        fields.known_integer("in all", number, signed=True) for number in total.groups()
    )
    failure = f"{differ} of {compared} compared samples differ, first {first}" if differ else None
    return CsimReport(
        path=path,
        stage="csim",
        tool="g++",
        passed=not differ,
        errors=differ,
        failure=failure,
        output=tuple(line for line in lines[1:] if line),
    )


def _output(body: list[str]) -> tuple[str, ...]:
    """What the program printed: the lines after its compilation that are not the tool's own."""
    compiled = [at for at, line in enumerate(body) if _COMPILED.fullmatch(line)]
    begin = compiled[-1] + 1 if compiled else 0
    return tuple(line for line in body[begin:] if line and not _TOOL_LINE.fullmatch(line))


def _tool(lines: list[str], fields: FieldReader) -> tuple[str | None, str | None]:
    for line in lines:
        if found := _BANNER.fullmatch(line.strip()):
            tool = f"{found[1]} HLS"
            return tool, fields.use_version(tool, found[2])
    return None, None
