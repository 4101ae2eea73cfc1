"""The chain: one class in one file for each stage, and the runs that they make.

A stage says what its result depends on, what is checked before work, how it is made from what came before, and which
files it leaves.
"""

from __future__ import annotations

from pathlib import Path

from codesign.core.files import read_json
from codesign.core.progress import SILENT, Progress
from codesign.errors import StaleProjectError
from codesign.run_folder import RunFolder
from codesign.settings import DesignSettings, make_design
from codesign.stages.context import Context, Stage
from codesign.stages.csynth import Csynth
from codesign.stages.project import Project
from codesign.stages.pruning import Pruning
from codesign.stages.quantization import Quantization
from codesign.stages.rtl import Rtl
from codesign.stages.scan import Scan
from codesign.stages.student import Student
from codesign.stages.teacher import Teacher
from codesign.stages.verification import Verification

STAGES: tuple[Stage, ...] = (
    Teacher(),
    Student(),
    Pruning(),
    Scan(),
    Quantization(),
    Project(),
    Rtl(),
    Verification(),
    Csynth(),
)
"""The chain in order."""

RUN = "run.json"
"""Where a run keeps its design's folder, its settings and the versions it ran with."""


def new_context(design: Path, settings: DesignSettings, folder: Path, progress: Progress = SILENT) -> Context:
    """The context of a run that begins or goes on."""
    return Context(design, settings, folder, {stage.name: stage for stage in STAGES}, progress)


def open_run(folder: str | Path) -> Context:
    """The context of a run's folder: its settings, and the values that its finished stages left.

    Raises
    ------
    StaleProjectError
        If the folder is no run.
    """
    folder = Path(folder)
    if not (folder / RUN).is_file():
        raise StaleProjectError(
            f"{folder} is no run of codesign (it has no {RUN}); give the folder that a run named"
        )
    found = read_json(folder / RUN)
    settings = make_design(found["settings"], source=folder / RUN)
    context = new_context(Path(found["design"]), settings, folder)
    run_folder = RunFolder(folder)
    for name in context.stages:
        evidence = run_folder.evidence(name)
        if evidence is not None:
            context.records[name] = evidence.record
    return context
