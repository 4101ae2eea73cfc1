"""The chain: one class in one file for each stage, and the runs that they make.

A stage says what its result depends on, what is checked before work, how it is made from what came before, and which
files it leaves.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from codesign.core.files import json_digest, read_json
from codesign.core.places import RUN as RUN
from codesign.core.places import mistaken
from codesign.core.progress import SILENT, Progress
from codesign.errors import StaleProjectError
from codesign.run_folder import RunFolder, StageEvidence
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


def new_context(design: Path, settings: DesignSettings, folder: Path, progress: Progress = SILENT) -> Context:
    """The context of a run that begins or goes on."""
    return Context(design, settings, folder, {stage.name: stage for stage in STAGES}, progress)


def read_run(folder: str | Path) -> dict[str, Any]:
    """What a run's folder says of it: `design`, `settings`, `from`, `versions`; empty if there was no run.

    Raises
    ------
    StaleProjectError
        If the file is damaged.
    """
    path = Path(folder) / RUN
    if not path.is_file():
        return {}
    try:
        found = read_json(path)
        if isinstance(found["design"], str) and isinstance(found["settings"], dict):
            return dict(found)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    raise StaleProjectError(
        f"{path} is damaged; remove it: the run's command writes it anew and keeps the finished stages"
    )


def open_run(folder: str | Path) -> Context:
    """The context of a run's folder: its settings, and the values that its finished stages left.

    Raises
    ------
    StaleProjectError
        If the folder is no run, or its `run.json` is damaged.
    """
    folder = Path(folder)
    found = read_run(folder)
    if not found:
        raise StaleProjectError(mistaken(folder, "run's folder", RUN, "give the folder that a run named"))
    settings = make_design(found["settings"], source=folder / RUN)
    context = new_context(Path(found["design"]), settings, folder)
    run_folder = RunFolder(folder)
    for stage in STAGES:
        evidence = stage_evidence(run_folder, stage)
        if evidence is not None:
            context.records[stage.name] = evidence.record
    return context


def stage_evidence(folder: RunFolder, stage: Stage) -> StageEvidence | None:
    """What a stage left, under its name or the one that older versions gave it."""
    found = folder.evidence(stage.name)
    if found is None and stage.formerly is not None:
        found = folder.evidence(stage.formerly)
        if found is not None and found.key == json_digest([stage.formerly, found.depends]):
            found = replace(found, key=json_digest([stage.name, found.depends]))
    return found
