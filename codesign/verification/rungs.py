"""The rungs of the ladder that a project can climb by itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from codesign.hls.csim import run_csim
from codesign.hls.project import HlsProject
from codesign.verification.ladder import Compute


def csim(project: HlsProject, x: np.ndarray) -> np.ndarray:
    """The project's C++ test bench, compiled by g++."""
    return run_csim(project, x).outputs


RUNGS: Mapping[str, Compute] = {"csim": csim}
"""Every rung by name, cheapest first."""
