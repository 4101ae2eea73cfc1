"""The HLS project that a folder on the command line stands for: a run's, codesign's own, or one that hls4ml wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def folder_of(folder: Path) -> Path:
    """The project of a run, or the folder itself; `ReportMissingError` for a run that has none yet."""
    from codesign.comparison.sources import PROJECT
    from codesign.core.places import is_run, unfinished
    from codesign.errors import ReportMissingError

    if not is_run(folder):
        return folder
    if not (folder / PROJECT).is_dir():
        raise ReportMissingError(unfinished(folder, "an HLS project"))
    return folder / PROJECT


def project_of(folder: Path) -> Any:
    """Open the project of a run, a project, or what is written again below a project of hls4ml's own."""
    from codesign.hls.foreign import is_foreign
    from codesign.hls.project import MANIFEST, open_project
    from codesign.terminal import say

    folder = folder_of(folder)
    if (folder / MANIFEST).is_file() or not is_foreign(folder):
        return open_project(folder)
    from codesign.networks.backend import import_backend

    import_backend()
    from codesign.networks.loading import load_model
    from codesign.verification.project import adopt_project

    project = adopt_project(folder, lambda path: load_model(path, "the model of the project"))
    say(
        f"{folder} was written by hls4ml itself; {project.folder} holds it with the same sources and weights. That all "
        "computations of it agree can be checked, but not whether it computes what its model did: there is no student.",
        err=True,
    )
    return project
