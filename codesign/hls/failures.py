"""Why a vendor run died, recognised from what it printed.

Vendor tools end with code 1 for everything, sometimes with 0 for a failure, and bury the cause under a
stack of Tcl frames. The table `FAILURE_PATTERNS` holds the causes met in practice, in the order in which
they win: a run that was killed for memory also prints that its reports are missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

FailureKind = Literal[
    "time_out",
    "disk_full",
    "licence",
    "part_not_installed",
    "library_missing",
    "out_of_memory",
    "killed",
    "crash",
    "unroll_limit",
    "date_overflow",
    "simulation_mismatch",
    "cosim_failed",
    "compile_error",
    "tool_error",
    "report_missing",
    "unknown",
]


@dataclass(frozen=True)
class FailurePattern:
    """One way in which a run dies.

    Parameters
    ----------
    kind
        A short name for programs.
    pattern
        What its line of the log looks like.
    meaning
        What happened, in plain words.
    advice
        What to do next.
    """

    kind: FailureKind
    pattern: re.Pattern[str]
    meaning: str
    advice: str


def _row(kind: FailureKind, pattern: str, meaning: str, advice: str) -> FailurePattern:
    return FailurePattern(kind, re.compile(pattern, re.IGNORECASE), meaning, advice)


_MEMORY_ADVICE = (
    "use a machine with more memory, or make the layers smaller: a higher reuse factor with the resource "
    "strategy, fewer bits, more pruning"
)

FAILURE_PATTERNS: tuple[FailurePattern, ...] = (
    _row(
        "disk_full",
        r"no space left on device|disk quota exceeded",
        "the disk is full",
        "free space in the project's folder and in the temporary folder, then run again",
    ),
    _row(
        "licence",
        r"\[Common 17-34[58]\]|valid license was not found|failed to get the license"
        r"|(checking out|checkout of) license .*fail|licen[cs]e check-?out failed"
        r"|\[LIC-\d+\].*fail|flex(net|lm)? licensing error",
        "no licence for the tool or the device",
        "check XILINXD_LICENSE_FILE and LM_LICENSE_FILE, that the licence server answers, and that the "
        "licence "
        "covers the part",
    ),
    _row(
        "part_not_installed",
        r"\[HLS 200-1023\]|part '[^']*' is not installed|\[Coretcl 2-106\]|specified part could not be found"
        r"|can't read \"lib_specifications\"|'set_part'.*device_specification",
        "the part is not installed, or unknown to this version of the tool",
        "install the device family with the vendor's installer, or correct the part name",
    ),
    _row(
        "library_missing",
        r"cannot open shared object file|application-specific initialization failed"
        r"|cannot find (crt[1in]\.o|-lstdc\+\+|-lm\b|-lc\b)|version .GLIBC(XX)?_[\d.]+. not found",
        "a system library that the tool needs is missing",
        "install it (often libtinfo5 or ncurses-compat-libs, or the C library's development files)",
    ),
    _row(
        "out_of_memory",
        r"std::bad_alloc|\bout of memory\b|cannot allocate memory|memory exhausted|insufficient memory",
        "the machine ran out of memory",
        _MEMORY_ADVICE,
    ),
    _row(
        "killed",
        r"^\s*killed\s*$|\bkilled\b.*RDI_PROG|unable to execute command: killed",
        "a process of the run was killed, most probably because memory ran out",
        _MEMORY_ADVICE,
    ),
    _row(
        "crash",
        r"realloc\(\): invalid pointer|udev_enumerate_scan_devices",
        "the tool crashed while it asked for the machine's identity, as it does in containers without udev",
        "put the system's libudev.so.1 into LD_PRELOAD for the run",
    ),
    _row(
        "crash",
        r"abnormal program termination|segmentation fault|an unrecoverable error has occurred"
        r"|stack smashing detected|\bcore dumped\b",
        "the tool itself crashed",
        "try again, then another version of the tool; hs_err_pid*.log in the project has its stack",
    ),
    _row(
        "unroll_limit",
        r"\[XFORM 203-504\]|stop unrolling loop|partitioned elements number \(\d+\) has exc?eeded",
        "a loop or an array is beyond the tool's unrolling limit",
        "choose the resource strategy with a higher reuse factor for the layer it names, prune the layer, "
        "or use "
        "Vitis HLS, whose limits are higher",
    ),
    _row(
        "date_overflow",
        r"bad lexical cast: source type value could not be interpreted|'2\d{9}' is an invalid argument",
        "this version of the tool cannot export IP at dates after 2021 (AMD answer record 76960)",
        "install AMD's y2k22 patch for it, or use a newer version",
    ),
    _row(
        "simulation_mismatch",
        r"^codesign: \d+ samples, \d+ compared, [1-9]\d* differ",
        "the simulated design does not give the golden outputs of its test vectors",
        "run `codesign verify` on the project: it finds the layer and the cause",
    ),
    _row(
        "simulation_mismatch",
        r"\bERROR: Test failed\b",
        "the RTL does not give the outputs of the C simulation",
        "compare tb_data/csim_results.log with tb_data/rtl_cosim_results.log",
    ),
    _row(
        "cosim_failed",
        r"\[COSIM 212-(5|303|320|344|345|360)\]|C/RTL co-simulation finished: FAIL",
        "the co-simulation did not run to its end",
        "read the simulator's messages above this line in the log",
    ),
    _row(
        "compile_error",
        r"\bCSim failed with errors|@E Simulation failed|compilation errors? found|\[HLS 200-1715\]"
        r"|fatal error: .*no such file|recipe for target .* failed|'csim_design' failed",
        "the C++ did not compile, or its simulation failed",
        "read the compiler's messages above this line in the log",
    ),
)
"""What is looked for in a log, the most telling cause first."""

BENIGN_ERRORS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"ERROR: \[HLS 200-101\] '?config_array_partition'?: Unknown option"),
        "hls4ml sets an option that only Vivado HLS 2018-2020 knows and catches the refusal",
    ),
)
"""Lines that look like errors of a run that went well, and why they do."""

_ERROR_LINE = re.compile(r"^\s*(ERROR|FATAL_ERROR|FATAL|ERR)\s*:|^\s*@E\b")

_EXIT_CODES: dict[int | None, tuple[FailureKind, str, str]] = {
    None: ("time_out", "the time allowed for it ran out", "allow more time, or make the design smaller"),
    -9: ("killed", "it was killed, most probably because memory ran out", _MEMORY_ADVICE),
    -11: (
        "crash",
        "the tool itself crashed (segmentation fault)",
        "try again, then another version of the tool",
    ),
    127: ("library_missing", "a program that it calls is missing", "source the vendor's settings64.sh"),
}
_EXIT_CODES[137] = _EXIT_CODES[-9]
_EXIT_CODES[139] = _EXIT_CODES[-11]


@dataclass(frozen=True)
class Failure:
    """A recognised failure.

    Parameters
    ----------
    kind
        A short name for programs.
    meaning
        What happened, in plain words.
    advice
        What to do next; empty when nothing certain can be said.
    evidence
        The line of the log that says so, if there is one.
    """

    kind: FailureKind
    meaning: str
    advice: str = ""
    evidence: str = ""

    def sentence(self) -> str:
        """Say it in one sentence: meaning, evidence, advice."""
        shown = f" ({_shorten(self.evidence)})" if self.evidence else ""
        return f"{self.meaning}{shown}" + (f"; {self.advice}" if self.advice else "")


@dataclass
class LogWatch:
    """Watches a log as it is written and remembers what tells why the run died.

    `feed` takes every line once, so a log of gigabytes is never held in memory.
    """

    _found: dict[int, str] = field(default_factory=dict)
    _first_error: str = ""
    _errors: int = 0

    def feed(self, line: str) -> None:
        """Take one line of the log."""
        for place, row in enumerate(FAILURE_PATTERNS):
            if place not in self._found and row.pattern.search(line):
                self._found[place] = line.strip()
        if _ERROR_LINE.search(line) and not any(pattern.search(line) for pattern, _ in BENIGN_ERRORS):
            self._errors += 1
            self._first_error = self._first_error or line.strip()

    @property
    def errors(self) -> int:
        """How many error lines were seen, benign ones left out."""
        return self._errors

    def failure(self, exit_code: int | None) -> Failure | None:
        """Say why the run failed; ``None`` when it exited with 0 and printed no error.

        Parameters
        ----------
        exit_code
            The exit code; negative for a signal, ``None`` for a time-out.
        """
        if exit_code == 0 and not self._errors:
            return None
        if exit_code is None:  # whatever else was printed, this is what ended the run
            return Failure(*_EXIT_CODES[None])
        if self._found:
            place = min(self._found)
            row = FAILURE_PATTERNS[place]
            return Failure(row.kind, row.meaning, row.advice, self._found[place])
        if exit_code in _EXIT_CODES:
            return Failure(*_EXIT_CODES[exit_code])
        if self._first_error:
            return Failure("tool_error", "the tool reported an error", evidence=self._first_error)
        return Failure("unknown", f"it ended with exit code {exit_code} and said no reason")


def explain_log(lines: Iterable[str], exit_code: int | None) -> Failure | None:
    """Say why a finished run failed, from the lines of its log; ``None`` when it went well."""
    watch = LogWatch()
    for line in lines:
        watch.feed(line)
    return watch.failure(exit_code)


def explain_log_file(path: str | Path, exit_code: int | None, printed: Iterable[str] = ()) -> Failure | None:
    """Say why a finished run failed, from its log file and what was printed beside it; an absent log has no lines."""
    path = Path(path)
    if not path.exists():
        return explain_log(printed, exit_code)
    with path.open(encoding="utf-8", errors="replace") as file:
        return explain_log(chain(file, printed), exit_code)


def _shorten(line: str, limit: int = 240) -> str:
    return line if len(line) <= limit else line[: limit - 3] + "..."
