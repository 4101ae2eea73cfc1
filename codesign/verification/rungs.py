"""The rungs of the ladder: what computes a project's numbers, and what each needs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codesign.core.build_marker import BuildMarker
from codesign.core.files import file_digest
from codesign.core.places import OWN_RTL as OWN_RTL
from codesign.emulation import Emulator
from codesign.errors import ReportMissingError, SettingsError, StaleProjectError
from codesign.hls.csim import run_csim
from codesign.hls.graph import Graph
from codesign.hls.project import GRAPH, HlsProject
from codesign.hls.testbench import read_outputs, read_vectors
from codesign.rtl.project import RtlProject, open_rtl, write_rtl
from codesign.rtl.simulate import interpret, simulate
from codesign.verification.ladder import Compute, Decisions, Partial, Recorded

RtlOf = Callable[[HlsProject], RtlProject]
"""The open RTL of a project, or the reason why there is none, raised."""

RUNG_NAMES: Mapping[str, str] = {
    "emulation": "emulation",
    "csim": "csim",
    "interpreter": "alkaid interpreter",
    "rtl": "Verilated RTL",
    "cosim": "vendor cosim",
}
"""The rungs by the word that asks for them, in the order of the ladder, with their names in the table."""


def csim(project: HlsProject, x: np.ndarray) -> np.ndarray:
    """The project's C++ test bench, compiled by g++."""
    return run_csim(project, x).outputs


def emulation(project: HlsProject, x: np.ndarray) -> np.ndarray:
    """The numbers of the project's graph, computed here."""
    path = project.folder / GRAPH
    return _planned(path, file_digest(path)).outputs(x)


@functools.lru_cache(maxsize=1)
def _planned(path: Path, digest: str) -> Emulator:
    """The emulator of a graph's file, planned once for all shares of the samples."""
    return Emulator.of(Graph.load(path))


def cosim(project: HlsProject, x: np.ndarray) -> Partial:
    """What the vendor's co-simulation of the project's test bench left; nothing is run here.

    Raises
    ------
    ReportMissingError
        If no co-simulation ended well, its outputs are no longer what it wrote, or it ran on other vectors than `x`.
    """
    result = BuildMarker.read(project.folder)
    if result is None:
        raise ReportMissingError(
            f"no vendor co-simulation ran in {project.folder}; codesign build {project.folder} --steps csynth,cosim"
        )
    path = result.checked_report("cosim_results", "cosim")
    outputs = read_outputs(path, project.n_outputs)
    vectors, _ = read_vectors(project.folder, project.n_outputs)
    given = x.reshape(len(x), -1)[: len(vectors)]
    if not np.array_equal(given, vectors[: len(given)]):
        raise ReportMissingError(
            f"the vendor's co-simulation computed the test bench of {project.folder}, not these vectors"
        )
    return Partial(outputs[: len(given)], len(given))


def rtl_rungs(rtl: RtlProject | RtlOf) -> Mapping[str, Compute]:
    """The two rungs of an open RTL project, or of what gives the one of a project."""
    of: RtlOf = (lambda project: rtl) if isinstance(rtl, RtlProject) else rtl
    opened: dict[tuple[Path, str], RtlProject] = {}

    def once(project: HlsProject) -> RtlProject:
        # checking its seal reads every file, and many vectors are compared share by share
        key = (project.folder, project.digest)
        if key not in opened:
            opened[key] = of(project)
        return opened[key]

    def rung(compute: Callable[[RtlProject, np.ndarray], np.ndarray]) -> Compute:
        def run(project: HlsProject, x: np.ndarray) -> np.ndarray | Decisions:
            rtl = once(project)
            outputs = compute(rtl, x)
            return Decisions(outputs) if rtl.interface.outputs == "decisions" else outputs

        return run

    return {RUNG_NAMES["interpreter"]: rung(interpret), RUNG_NAMES["rtl"]: rung(simulate)}


RUNGS: Mapping[str, Compute] = {"emulation": emulation, "csim": csim}
"""The rungs of every project by name, cheapest first."""


def ladder_rungs(
    asked: Sequence[str] | None = None, rtl: RtlProject | RtlOf | None = None
) -> Mapping[str, Compute]:
    """The rungs of a whole ladder.

    Parameters
    ----------
    asked
        Words of `RUNG_NAMES`; ``None`` for all, of which those that nothing was built for yet are skipped.
    rtl
        The open RTL. By default the project's own one (`OWN_RTL` below it): for `asked` it is written
        if need be, else it is taken only if it is there.

    Raises
    ------
    SettingsError
        If no such rung exists, or none was asked for.
    """
    unknown = [word for word in asked or () if word not in RUNG_NAMES]
    if unknown:
        raise SettingsError(f"there is no rung {unknown[0]!r}; there are {', '.join(RUNG_NAMES)}")
    if asked is not None and not asked:
        raise SettingsError(f"no rung was asked for; there are {', '.join(RUNG_NAMES)}")
    if rtl is None:
        rtl = find_rtl if asked is None else ensure_rtl
    every: dict[str, Compute] = {**RUNGS, **rtl_rungs(rtl), RUNG_NAMES["cosim"]: Recorded(cosim)}
    return {name: every[name] for word, name in RUNG_NAMES.items() if asked is None or word in asked}


def write_project_rtl(project: HlsProject, folder: str | Path, **options: Any) -> RtlProject:
    """Write the RTL of an HLS project: its network, and the vectors of its test bench.

    Parameters
    ----------
    project
        The project.
    folder
        The RTL project's directory.
    options
        Of `write_rtl`; part and clock are the project's if they are not given.
    """
    target = {
        "clock_period_ns": project.target.clock_period_ns,
        "part": project.target.part,
        "top": project.top,
    }
    vectors, _ = read_vectors(project.folder, project.n_outputs)
    return write_rtl(project.graph(), folder, **{**target, "vectors": vectors, **options})


def ensure_rtl(project: HlsProject) -> RtlProject:
    """The project's open RTL, written first if it is not there or is of another network, part or clock.

    Raises
    ------
    ConversionError
        If the network cannot become RTL.
    """
    folder = project.folder / OWN_RTL
    with contextlib.suppress(StaleProjectError):  # what is missing or damaged is written again
        rtl = open_rtl(folder)
        if _belongs_to(rtl, project):
            return rtl
    return write_project_rtl(project, folder, overwrite=True)


def find_rtl(project: HlsProject) -> RtlProject:
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
    if not _belongs_to(rtl, project):
        raise ReportMissingError(f"the open RTL in {folder} is of another network or target; {how}")
    return rtl


def _belongs_to(rtl: RtlProject, project: HlsProject) -> bool:
    target = project.target
    return rtl.is_of(project.graph().digest, target.part, target.clock_period_ns)
