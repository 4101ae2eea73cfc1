"""`read_csynth`: C synthesis in any of its three forms."""

from __future__ import annotations

from pathlib import Path

from codesign.reports.csynth_record import CsynthReport
from codesign.reports.csynth_rpt import parse_csynth_rpt
from codesign.reports.csynth_summary import parse_csynth_summary
from codesign.reports.csynth_xml import parse_csynth_xml
from codesign.reports.text import read_kind


def read_csynth(path: str | Path) -> CsynthReport:
    """Read a C synthesis report of Vivado HLS or Vitis HLS.

    Parameters
    ----------
    path
        `<top>_csynth.xml`, `csynth.xml`, `<top>_csynth.rpt`, or the Vitis summary `csynth.rpt`; the form is told
        by the contents, not by the name.

    Returns
    -------
    CsynthReport
        The record; `form` says which form was read and with it which fields are ``None`` (see `CsynthReport`).

    Raises
    ------
    ReportMissingError
        There is no such file.
    ReportFormatError
        The file is empty, damaged, cut, or no C synthesis report; the message names the field.
    """
    path = Path(path)
    text = read_kind(path, "csynth")
    start = text.lstrip()
    if start.startswith("<"):
        return parse_csynth_xml(path, text)
    if "== Synthesis Summary Report of '" in text:
        return parse_csynth_summary(path, text)
    return parse_csynth_rpt(path, text)
