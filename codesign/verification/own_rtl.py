"""The open RTL that belongs to an HLS project: in a folder below it, checked to be of this very network."""

from __future__ import annotations

import contextlib

from codesign.errors import ReportMissingError, StaleProjectError
from codesign.hls.project import HlsProject
from codesign.rtl.project import RtlProject, open_rtl, write_rtl

OWN_RTL = "build_rtl"
"""The folder below a project; not part of its manifest."""


def own_rtl(project: HlsProject) -> RtlProject:
    """The project's open RTL, written first if it is not there or is of another network, part or clock.

    Raises
    ------
    ConversionError
        If the network cannot become RTL.
    """
    folder = project.folder / OWN_RTL
    with contextlib.suppress(StaleProjectError):  # what is missing or damaged is written again
        rtl = open_rtl(folder)
        if _is_of(rtl, project):
            return rtl
    target = project.target
    return write_rtl(
        project.graph(), folder, clock_period_ns=target.clock_period_ns, part=target.part, overwrite=True
    )


def find_own_rtl(project: HlsProject) -> RtlProject:
    """The project's open RTL if it is there.

    Raises
    ------
    ReportMissingError
        If it is not, or is of another network, part or clock.
    """
    folder = project.folder / OWN_RTL
    how = f"codesign rtl {project.folder} writes it"
    if not folder.exists():
        raise ReportMissingError(f"no open RTL was written; {how}")
    rtl = open_rtl(folder)
    if not _is_of(rtl, project):
        raise ReportMissingError(f"the open RTL in {folder} is of another network or target; {how}")
    return rtl


def _is_of(rtl: RtlProject, project: HlsProject) -> bool:
    target = (project.target.part, project.target.clock_period_ns)
    return rtl.graph_digest == project.graph().digest and (rtl.part, rtl.clock_period_ns) == target
