"""Vendor's steps of proved points that no worker could run, as plans for another machine, and their results read back."""

from __future__ import annotations

import shutil
from pathlib import Path

from codesign.errors import CodesignError, ToolFailedError
from codesign.search.ledger import PLANS
from codesign.search.unit import csynth_values

_PROJECT = "project"


def write_vendor_plan(home: Path, trial: int, run: str) -> Path:
    """Write what is to be run for a trial (`codesign.hls.runner_remote.write_plan`); the plan's folder.

    Parameters
    ----------
    home
        The search's folder.
    trial
        The trial's number.
    run
        Its run, below `home`.
    """
    from codesign.hls.plan import plan_build
    from codesign.hls.runner_remote import write_plan

    folder = home / PLANS / f"{trial:05}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    return write_plan(plan_build(_project(home / run), ("csynth",)), folder)


def read_vendor_plan(home: Path, trial: int, run: str) -> dict[str, float] | str | None:
    """What a plan found: numbers as `csynth_values` names them, what went wrong, or ``None`` if it has not been run.

    Reports and logs go to the run's project, as `codesign build --collect` puts them.
    """
    from codesign.hls.runner_remote import collect_results
    from codesign.hls.runner_shell import STEPS_TABLE
    from codesign.reports import read_csynth

    folder = home / PLANS / f"{trial:05}"
    if not (folder / _PROJECT / STEPS_TABLE).is_file():
        return None
    try:
        marker = collect_results(folder, _project(home / run))
        return csynth_values(read_csynth(marker.report("csynth_xml")).to_dict())
    except ToolFailedError as error:
        return f"{error.reason or error}".splitlines()[0]
    except CodesignError as error:
        return str(error).splitlines()[0]


def _project(run: Path) -> Path:
    """The HLS project of a run."""
    from codesign.stages import open_run

    return Path(open_run(run).value("project").project.folder)
