"""Report files as text: whole, decoded, and told apart by what is in them."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from codesign.errors import ReportFormatError, ReportMissingError
from codesign.reports.records import ReportKind

TOOL_BANNER = re.compile(
    r"^(?:[*#]+ )?(?:(?P<hls>Vivado|Vitis)(?:\(TM\))? HLS - .*?|Vivado |vitis-run )v(?P<version>\d{4}\.\d+(?:\.\d+)*) \(64-bit\)",
    re.MULTILINE,
)
"""The line with which a tool begins its log; `vitis-run` is Vitis HLS."""

_HEAD = 4000
"""A log's first banner stands in as many characters."""

_MARKS: tuple[tuple[ReportKind, re.Pattern[str]], ...] = (
    ("csynth", re.compile(r"\A\s*(?:<\?xml[^>]*>\s*)?<profile>")),
    ("csynth", re.compile(r"^== (?:Vivado|Vitis) HLS Report for '", re.MULTILINE)),
    ("csynth", re.compile(r"^== Synthesis Summary Report of '", re.MULTILINE)),
    ("utilization", re.compile(r"^\| Command\s*: report_(?:accelerator_)?utilization\b", re.MULTILINE)),
    ("timing", re.compile(r"^\| Command\s*: report_timing_summary\b", re.MULTILINE)),
    ("power", re.compile(r"^\| Command\s*: report_power\b", re.MULTILINE)),
    ("export", re.compile(r"^#=== Post-(?:Synthesis|Implementation) Resource usage ===", re.MULTILINE)),
    ("cosim", re.compile(r"^\+\s*RTL\s*\+\s*Status\s*\+", re.MULTILINE)),
    ("transactions", re.compile(r"\A *latency +interval *\n")),
    ("csim", re.compile(r"^INFO: \[SIM (?:211-)?2\] \*+ CSIM start \*+", re.MULTILINE)),
    ("csim", re.compile(r"\Acodesign: C simulation by g\+\+ ")),
)

_WHAT = {
    "csim": "a C simulation log",
    "csynth": "a C synthesis report",
    "cosim": "a C/RTL co-simulation report",
    "transactions": "a list of co-simulated transactions",
    "utilization": "a Vivado utilisation report",
    "timing": "a Vivado timing summary",
    "power": "a Vivado power report",
    "export": "an HLS export report",
    "log": "the log of a whole run of a tool",
}


# what could steer a terminal that shows a name or a line of the report
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def identify(text: str) -> ReportKind | None:
    """The kind of a report by its contents, ``None`` if it is none that this package reads."""
    found = next((kind for kind, mark in _MARKS if mark.search(text)), None)
    if found in (None, "csim") and TOOL_BANNER.search(text[:_HEAD]):
        return "log"
    return found


def read_text(path: str | Path) -> str:
    """Read a whole report; lines end with a line feed, whatever system wrote it, and no sign steers a terminal.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ReportMissingError
        There is no such file, or it cannot be read.
    ReportFormatError
        The file is empty or holds zero bytes, as files do after a crash or a full disk.
    """
    path = Path(path)
    return decode(path, read_data(path))


def read_data(path: Path) -> bytes:
    """The bytes of a file; a `ReportMissingError` if there is none or it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReportMissingError(f"{path}: {error.strerror or error}; run the step that writes it") from None


def decode(path: Path, data: bytes) -> str:
    """The text of a report's bytes; raises and cleans as `read_text`."""
    if not data.strip():
        raise ReportFormatError(
            path, "contents", f"the file is empty ({len(data)} bytes); the run that wrote it died"
        )
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes what a tool prints
        try:
            data = data.decode("utf-16").encode()
        except UnicodeDecodeError:
            raise ReportFormatError(
                path, "contents", "breaks off within a sign of UTF-16; half written"
            ) from None
    if (at := data.find(b"\0")) >= 0:
        raise ReportFormatError(path, "contents", f"byte {at} is zero: half written, or no text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # paths with accents on Windows; the fields themselves are ASCII
        text = data.decode("latin-1")
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def read_kind(path: str | Path, kind: ReportKind) -> str:
    """Read a report that must be of one kind.

    Raises
    ------
    ReportMissingError, ReportFormatError
        As `read_text`, and for a report of another kind or of none.
    """
    text = read_text(path)
    require_kind(path, identify(text), kind)
    return text


def require_kind(path: str | Path, found: ReportKind | None, kind: ReportKind) -> None:
    """Refuse a report of another kind or of none with a `ReportFormatError`."""
    if found == kind:
        return
    if found is not None:
        raise ReportFormatError(path, "kind", f"this is {_WHAT[found]}, not {_WHAT[kind]}")
    raise ReportFormatError(path, "kind", f"this is not {_WHAT[kind]}, or its beginning is lost")
