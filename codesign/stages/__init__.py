"""How each stage of the flow is made from what came before, and kept in its folder.

One class a stage: `make` calls the one public function of the stage, `save` and `load` are the files that it leaves.
"""

from __future__ import annotations

from pathlib import Path

from codesign.core.files import read_json
from codesign.core.progress import SILENT, Progress
from codesign.errors import StaleProjectError
from codesign.run_folder import RunFolder
from codesign.settings import DesignSettings, make_design
from codesign.stages.context import Context, Stage
from codesign.stages.hardware import Project, Rtl, Synthesis, Verification
from codesign.stages.learning import Pruning, Quantization, Scan, Student, Teacher

STAGES: tuple[Stage, ...] = (
    Teacher(),
    Student(),
    Pruning(),
    Scan(),
    Quantization(),
    Project(),
    Rtl(),
    Verification(),
    Synthesis(),
)
"""The chain in order, one public function a stage."""

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
