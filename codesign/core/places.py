"""What lies at a path that was given in the place of something else, and what to do about it."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from codesign.core.files import is_saved_model
from codesign.core.sealed import STAGE
from codesign.errors import OutputFolderError

DESIGN = "design.yaml"
"""Makes a folder a design."""

RUN = "run.json"
"""Where a run keeps its design's folder, its settings and the versions it ran with."""

SUMMARY = "summary.json"
"""Where a run that has ended keeps what it came to."""

SEARCH = "search.json"
"""Where a search keeps what it is of."""

GRAPH = "codesign_graph.npz"
"""The file of a project that has its graph."""

OWN_RTL = "build_rtl"
"""The folder of a project's own open RTL, below it; not part of its manifest."""

H5 = (".h5", ".hdf5")
"""How the names of files end in which Keras 2 and 3 both write models."""

MODEL_SUFFIXES = (".keras", *H5)
"""How the names of all files of models end."""

_MODEL, _RUN, _DESIGN = "it is a model", "it is a run's folder", "it is a design"


def mistaken(path: str | Path, wanted: str, lacks: str, cure: str) -> str:
    """One sentence on a path that is not what was wanted: what it is instead, and what makes the wanted of it.

    Parameters
    ----------
    path
        What was given.
    wanted
        What it should have been: ``HLS project``.
    lacks
        The file that it would have.
    cure
        What to do where nothing better is known: ``convert a student into it``.
    """
    path = Path(path)
    if not path.exists():
        return f"{path}: there is no such file or folder; {cure}"
    what = _found(path)
    return f"{path} is no {wanted} ({what or f'it has no {lacks}'}); {_way(path, what, wanted) or cure}"


def require_place(path: Path) -> None:
    """Raise `OutputFolderError` for a file that could not be written at the end of long work.

    Parameters
    ----------
    path
        The file; folders above it that are missing are made when it is written.
    """
    there = next(above for above in path.absolute().parents if above.exists())
    if not there.is_dir() or not os.access(there, os.W_OK) or path.is_dir():
        what = path if path.is_dir() else there
        why = "a folder" if path.is_dir() else "no folder" if not there.is_dir() else "not ours to write in"
        raise OutputFolderError(f"{path} cannot be written ({what} is {why}); choose another file")


def is_run(folder: str | Path) -> bool:
    """Whether a folder is a run's, finished or not."""
    return (Path(folder) / SUMMARY).is_file() or (Path(folder) / RUN).is_file()


def unfinished(run: str | Path, lacks: str) -> str:
    """One sentence on a run that has not come as far as is needed: what it has, and how it goes on."""
    run = Path(run)
    done = [path.parent.name for path in sorted(run.glob(f"*/{STAGE.manifest}"), key=_age)]
    stands = f"done are {', '.join(done)}" if done else "no stage is done"
    return f"{run} is a run without {lacks} ({stands}); {_go_on(run)}"


def _found(path: Path) -> str | None:
    """What lies there, as far as it is known."""
    if path.suffix in MODEL_SUFFIXES or is_saved_model(path):
        return _MODEL
    if path.is_file():
        return "it is a file"
    if (path / SEARCH).is_file():
        return "it is a search's folder"
    if is_run(path):
        return _RUN
    return _DESIGN if (path / DESIGN).is_file() else None


def _way(path: Path, what: str | None, wanted: str) -> str | None:
    """What leads from the thing that lies there to the one that was wanted, if something does."""
    shown = shlex.quote(str(path))
    if what == _MODEL and "HLS project" in wanted:
        return f"codesign convert {shown} --data DATA -o PROJECT makes the HLS project of a model"
    if what == _RUN and wanted == "design":
        return _go_on(path)
    if what == _DESIGN and ("HLS project" in wanted or wanted in ("run's folder", "build")):
        return f"give the folder of a run of it: codesign run {shown} makes one"
    return None


def _go_on(run: Path) -> str:
    try:
        design = str(json.loads((run / RUN).read_text(encoding="utf-8"))["design"])
    except (OSError, ValueError, KeyError, TypeError):
        design = "DESIGN"
    return f"codesign run {shlex.quote(design)} -o {shlex.quote(str(run))} goes on with it"


def _age(path: Path) -> float:
    return path.stat().st_mtime
