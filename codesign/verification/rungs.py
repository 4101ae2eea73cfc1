"""The rungs of the ladder that a project can climb by itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from codesign.emulation import emulate
from codesign.hls.csim import run_csim
from codesign.hls.project import HlsProject
from codesign.rtl.project import RtlProject
from codesign.rtl.simulate import interpret, simulate
from codesign.verification.ladder import Compute


def csim(project: HlsProject, x: np.ndarray) -> np.ndarray:
    """The project's C++ test bench, compiled by g++."""
    return run_csim(project, x).outputs


def emulation(project: HlsProject, x: np.ndarray) -> np.ndarray:
    """The numbers of the project's graph, computed here."""
    return np.asarray(emulate(project.graph(), x)).reshape(len(x), -1)


def rtl_rungs(rtl: RtlProject) -> Mapping[str, Compute]:
    """The two rungs of a project's open RTL."""
    return {
        "alkaid interpreter": lambda project, x: interpret(rtl, x),
        "Verilated RTL": lambda project, x: simulate(rtl, x),
    }


RUNGS: Mapping[str, Compute] = {"emulation": emulation, "csim": csim}
"""The rungs of every project by name, cheapest first."""
