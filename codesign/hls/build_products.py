"""What a build leaves in its project and who judges it: old reports out of the way, new ones collected, a step's verdict."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from codesign.core.build_marker import CLOCK_SLACK_S, BuildMarker, ReportFile, StepName, StepResult
from codesign.core.files import file_digest
from codesign.core.locks import hold, is_held
from codesign.errors import ReportFormatError, SettingsError
from codesign.hls.failures import Failure, explain_log_file
from codesign.hls.plan import (
    STAGE_OF_STEP,
    BuildPlan,
    PlanStep,
    ProductKind,
    ProjectScript,
    expected_reports,
    step_product,
)

STALE = "stale_reports"
_LOCK = "codesign_build.lock"


def is_running(directory: str | Path) -> bool:
    """Whether a build of the project runs at this moment."""
    return is_held(Path(directory) / _LOCK)


def hold_build(directory: Path) -> contextlib.AbstractContextManager[None]:
    """Keep other builds out of the project; the lock falls with the process, however that ends.

    Raises
    ------
    OutputFolderError
        Another build runs there, or the folder cannot be written.
    """
    return hold(directory / _LOCK, f"{directory}: another build is running there; wait for it or stop it")


def begin_marker(plan: BuildPlan, versions: Mapping[str, str], now: float | None = None) -> BuildMarker:
    """Begin the record of a build; results of an earlier one that this build does not touch are kept."""
    now = time.time() if now is None else now
    earlier = None
    with contextlib.suppress(ReportFormatError):  # a damaged one keeps nothing, and is written anew
        earlier = BuildMarker.read(plan.directory)
    _check_ground(plan, earlier)
    kept = () if earlier is None else earlier.steps
    kept = tuple(step for step in kept if step.status == "finished" and step.name not in plan.invalidates)
    started = min([now, *(step.started for step in kept if step.started is not None)])
    old_versions = dict(earlier.versions) if earlier is not None and kept else {}
    marker = BuildMarker(
        plan.directory, "running", started, steps=kept, versions={**old_versions, **versions}
    )
    for step in plan.steps:
        waiting = StepResult(
            step.name, log=step.log, part=plan.project.part, clock_period_ns=plan.project.clock_period_ns
        )
        marker = marker.with_step(waiting)
    return marker


def _check_ground(plan: BuildPlan, earlier: BuildMarker | None) -> None:
    """Refuse to work on what an earlier step left for another part or clock."""
    project, names = plan.project, [step.name for step in plan.steps]
    for name in names:
        needed = project.needs(name)
        made = None if earlier is None or needed is None or needed in names else earlier.step(needed)
        if made is None or made.part is None or made.clock_period_ns is None:
            continue
        if (made.part, made.clock_period_ns) != (project.part, project.clock_period_ns):
            raise SettingsError(
                f"steps: {name} works on what {needed} left, which was for {made.part} at {made.clock_period_ns:g} ns, not for "
                f"{project.part} at {project.clock_period_ns:g} ns; add {needed}, or ask for that part and clock"
            )


def judge(
    directory: Path,
    step: PlanStep,
    exit_code: int | None,
    *,
    started: float | None = None,
    printed: Sequence[str] = (),
) -> Failure | None:
    """Say why a step failed; ``None`` if it did what it should.

    A step counts as finished only when its tool ended with 0, printed no error and left every report it should; vendor
    tools have been seen to fail each of these alone.

    Parameters
    ----------
    directory
        The project.
    step
        The step.
    exit_code
        The tool's; 128 and more for a signal, ``None`` for a time-out.
    started
        When it began, in Unix time, where the reports' own times are those of their writing; not after a copy.
    printed
        What was printed beside the log, which a full disk cuts.
    """
    failure = explain_log_file(directory / step.log, exit_code, printed)
    return failure or _missing(directory, step, started)


def _missing(directory: Path, step: PlanStep, started: float | None) -> Failure | None:
    """Which report a step should have left and did not: absent, empty, or older than its start."""
    for report in step.reports:
        path = directory / report.path
        if not path.is_file():
            what = f"it did not write {report.path}"
        elif path.stat().st_size == 0:
            what = f"it left {report.path} empty"
        elif started is not None and path.stat().st_mtime < started - CLOCK_SLACK_S:
            what = f"{report.path} is older than the run"
        else:
            continue
        return Failure("report_missing", f"the tool reported no error, but {what}", "read its log")
    if started is not None and not (directory / step.product).exists():
        return Failure("report_missing", f"the tool reported no error, but {step.product} is not there")
    return None


def move_stale_reports(
    directory: Path, project: ProjectScript, steps: Iterable[StepName], now: float | None = None
) -> Path | None:
    """Move what earlier builds of these steps left into `stale_reports/<time>`, so that nothing old is read.

    Returns
    -------
    Path or None
        The folder, or ``None`` when there was nothing to move.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    target = _unused(directory / STALE / stamp)
    moved = False
    for path in sorted(set(_old_products(directory, project, steps))):
        if path.exists():
            destination = target / path.relative_to(directory)
            destination.parent.mkdir(parents=True, exist_ok=True)
            path.rename(destination)
            moved = True
    return target if moved else None


def _old_products(directory: Path, project: ProjectScript, steps: Iterable[StepName]) -> Iterator[Path]:
    folders: dict[StepName, str] = {"csim": "csim/report", "csynth": "syn/report", "cosim": "sim/report"}
    for step in steps:
        # whole folders of reports first: they hold more than what is waited for
        if step in folders:
            yield directory / project.solution / folders[step]
        if step == "cosim":
            for pattern in ("*.transaction.xml", "*.lat.rb"):
                yield from (directory / project.solution / "sim").rglob(pattern)
        if step == "export":
            yield directory / (f"{project.solution}/impl" if project.kind == "hls" else "ip")
        if stem := {"vsynth": "vivado_synth", "impl": "vivado_impl"}.get(step):  # names of older versions
            yield from (
                directory / f"{stem}{rest}.rpt" for rest in ("", "_hierarchical", "_timing", "_power")
            )
        yield directory / step_product(step, project)
        yield from (directory / report.path for report in expected_reports(step, project))
        yield directory / "codesign_build" / "logs" / f"{step}.log"


def _unused(path: Path) -> Path:
    number = 1
    candidate = path
    while candidate.exists():  # two builds in one second
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def collect_reports(directory: Path, step: StepName, project: ProjectScript) -> tuple[ReportFile, ...]:
    """Digest the reports of a step that are there and not empty."""
    return tuple(
        ReportFile(report.path, report.kind, file_digest(directory / report.path), _stage(step, report.kind))
        for report in expected_reports(step, project)
        if _has_bytes(directory / report.path)
    )


def _stage(step: StepName, kind: ProductKind) -> str | None:
    return None if kind == "ip" else STAGE_OF_STEP.get(step)


def _has_bytes(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
