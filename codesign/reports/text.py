"""Report files as text: whole, decoded, and told apart by what is in them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codesign.core.build_marker import StepName
from codesign.errors import ReportFormatError, ReportMissingError
from codesign.reports.records import Report, ReportKind

TOOL_BANNER = re.compile(
    r"^(?:[*#]+ )?(?:(?P<hls>Vivado|Vitis)(?:\(TM\))? HLS - .*?|Vivado |vitis-run )v(?P<version>\d{4}\.\d+(?:\.\d+)*) \(64-bit\)",
    re.MULTILINE,
)
"""The line with which a tool begins its log; `vitis-run` is Vitis HLS."""

_HEAD = 4000
"""A log's first banner stands in as many characters."""


@dataclass(frozen=True)
class KnownReport:
    """A kind of report: how it is told from the others, how its files are found, and what reads it.

    Parameters
    ----------
    parse
        Makes the record of a path and its text.
    what
        What a file of it is called, with its article.
    marks
        Patterns of which a file's text holds one, by lines.
    files
        The pattern of its files' names in a build; ``None`` for one that is found by its place.
    names
        Of a kind of which a build has one: its files' names, best first, with `{top}`.
    steps
        The steps of a build that write it.
    """

    parse: Callable[[Path, str], Report]
    what: str
    marks: tuple[str, ...] = ()
    files: str | None = None
    names: tuple[str, ...] = ()
    steps: tuple[StepName, ...] = ()

    @property
    def is_of_hls(self) -> bool:
        """Whether HLS writes it, into its solution, and not Vivado."""
        return not {"vsynth", "impl"}.issuperset(self.steps)

    def is_marked(self, text: str) -> bool:
        """Whether a text says that it is one."""
        return any(re.search(mark, text, re.MULTILINE) for mark in self.marks)

    def is_named(self, name: str) -> bool:
        """Whether a file's name does."""
        return self.files is not None and re.fullmatch(self.files, name) is not None


REPORT_KINDS: dict[ReportKind, KnownReport] = {}
"""Every kind that is read; each reader adds its own where it is defined."""


# what could steer a terminal that shows a name or a line of the report
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def identify(text: str) -> ReportKind | None:
    """The kind of a report by its contents, ``None`` if it is none that this package reads."""
    found = [name for name, kind in REPORT_KINDS.items() if kind.is_marked(text)]
    if found in ([], ["csim"]) and TOOL_BANNER.search(text[:_HEAD]):
        return "log"
    # the log of a simulation may print anything
    return next((name for name in found if name != "csim"), found[0] if found else None)


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
        raise ReportFormatError(
            path, "kind", f"this is {REPORT_KINDS[found].what}, not {REPORT_KINDS[kind].what}"
        )
    raise ReportFormatError(path, "kind", f"this is not {REPORT_KINDS[kind].what}, or its beginning is lost")
