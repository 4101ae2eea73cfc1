"""What a build left: the marker `codesign_build.json`, the lock, and the old reports moved out of the way.

The marker is written whole each time a step begins or ends. A build that was killed leaves the status
``running`` and no process that holds the lock; nothing it left is taken for a result.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from codesign.core.files import file_digest, read_json, write_json
from codesign.errors import OutputFolderError, ReportMissingError, SettingsError, StaleProjectError
from codesign.hls.plan import (
    STAGE_OF_STEP,
    STEPS,
    BuildPlan,
    ProjectScript,
    ReportKind,
    StepName,
    expected_reports,
    step_product,
)

MARKER = "codesign_build.json"
STALE = "stale_reports"
_LOCK = "codesign_build.lock"
_FORMAT = 1

Status = Literal["running", "finished", "failed", "interrupted"]
StepStatus = Literal["waiting", "running", "finished", "failed", "interrupted"]


@dataclass(frozen=True)
class ReportFile:
    """A report that a step left.

    Parameters
    ----------
    path
        Relative to the project.
    kind
        What it is.
    sha256
        The digest of its bytes when the step ended.
    stage
        How far the netlist had come that it is about; ``None`` for other reports than Vivado's.
    """

    path: str
    kind: ReportKind
    sha256: str
    stage: str | None = None


@dataclass(frozen=True)
class StepResult:
    """What became of one step.

    Parameters
    ----------
    name
        The step.
    status
        ``finished`` only with every expected report in place.
    started
        Unix time; ``None`` while it waits.
    command
        The argument list.
    exit_code
        Negative for a signal; ``None`` while it runs, for a time-out and for an interruption.
    seconds
        Wall time.
    log
        Its log, relative to the project.
    reports
        What it left.
    reason
        Why it failed, in one sentence.
    part, clock_period_ns
        What it was run for; ``None`` in markers of older versions.
    """

    name: StepName
    status: StepStatus = "waiting"
    started: float | None = None
    command: tuple[str, ...] = ()
    exit_code: int | None = None
    seconds: float | None = None
    log: str = ""
    reports: tuple[ReportFile, ...] = ()
    reason: str = ""
    part: str | None = None
    clock_period_ns: float | None = None


@dataclass(frozen=True)
class BuildResult:
    """What became of a build.

    Parameters
    ----------
    directory
        The project.
    status
        ``running`` also for a build that was killed.
    started
        Unix time at which the earliest step whose results are kept began.
    finished
        Unix time of the end, if it came.
    steps
        One entry a step, in running order; steps of an earlier build whose results still hold are kept.
    versions
        Versions of the tools, by program.
    """

    directory: Path
    status: Status
    started: float
    finished: float | None = None
    steps: tuple[StepResult, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def step(self, name: StepName) -> StepResult | None:
        """Give the entry of a step, if it has one."""
        return next((step for step in self.steps if step.name == name), None)

    def report(self, kind: ReportKind, step: StepName | None = None) -> Path:
        """Give the path of a report.

        Raises
        ------
        ReportMissingError
            No finished step left one.
        """
        for entry in reversed(self.steps):
            if entry.status == "finished" and step in (None, entry.name):
                for report in entry.reports:
                    if report.kind == kind:
                        return self.directory / report.path
        which = f"the step {step}" if step else "any finished step"
        raise ReportMissingError(f"{self.directory}: no {kind} report of {which}; run that step")

    def checked_report(self, kind: ReportKind, step: StepName | None = None) -> Path:
        """Give the path of a report whose bytes are still those that its step left.

        Raises
        ------
        ReportMissingError
            No finished step left one, or it was changed or removed since.
        """
        path = self.report(kind, step)
        name = path.relative_to(self.directory).as_posix()
        digests = {report.sha256 for entry in self.steps for report in entry.reports if report.path == name}
        if not path.is_file() or file_digest(path) not in digests:
            raise ReportMissingError(f"{path} is no longer what the build left; run the step again")
        return path

    def with_step(self, entry: StepResult) -> BuildResult:
        """Put in one step's entry, in place of an older one."""
        others = [step for step in self.steps if step.name != entry.name]
        return replace(self, steps=tuple(sorted([*others, entry], key=lambda step: STEPS.index(step.name))))


def write_marker(result: BuildResult) -> None:
    """Write `codesign_build.json`, whole or not at all."""
    value = {
        "format": _FORMAT,
        "status": result.status,
        "started": result.started,
        "finished": result.finished,
        "steps": [asdict(step) for step in result.steps],
        "versions": dict(result.versions),
    }
    write_json(result.directory / MARKER, value)


def read_marker(directory: str | Path) -> BuildResult | None:
    """Read `codesign_build.json`; ``None`` if there is none.

    Raises
    ------
    StaleProjectError
        It is damaged or of another format.
    """
    path = Path(directory) / MARKER
    if not path.exists():
        return None
    try:
        value = read_json(path)
        if value.pop("format") != _FORMAT:
            raise ValueError("another format")
        steps = tuple(_step_from(entry) for entry in value.pop("steps"))
        return BuildResult(Path(directory), steps=steps, **value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StaleProjectError(f"{path}: damaged ({error}); build again") from None


def _step_from(value: dict[str, Any]) -> StepResult:
    reports = tuple(ReportFile(**report) for report in value.pop("reports"))
    return StepResult(reports=reports, command=tuple(value.pop("command")), **value)


def is_running(directory: str | Path) -> bool:
    """Whether a build of the project runs at this moment."""
    path = Path(directory) / _LOCK
    if not path.exists():
        return False
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def hold_lock(directory: Path) -> Iterator[None]:
    """Keep other builds out of the project; the lock falls with the process, however that ends.

    Raises
    ------
    OutputFolderError
        Another build runs there, or the folder cannot be written.
    """
    try:
        file = (directory / _LOCK).open("a+")
    except OSError as error:
        raise OutputFolderError(f"{directory} cannot be written ({error.strerror})") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputFolderError(
                f"{directory}: another build is running there; wait for it or stop it"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def begin_result(plan: BuildPlan, versions: Mapping[str, str], now: float | None = None) -> BuildResult:
    """Begin the record of a build; results of an earlier one that this build does not touch are kept."""
    now = time.time() if now is None else now
    earlier = read_marker(plan.directory)
    _check_ground(plan, earlier)
    kept = () if earlier is None else earlier.steps
    kept = tuple(step for step in kept if step.status == "finished" and step.name not in plan.invalidates)
    started = min([now, *(step.started for step in kept if step.started is not None)])
    old_versions = dict(earlier.versions) if earlier is not None and kept else {}
    result = BuildResult(
        plan.directory, "running", started, steps=kept, versions={**old_versions, **versions}
    )
    for step in plan.steps:
        waiting = StepResult(
            step.name, log=step.log, part=plan.project.part, clock_period_ns=plan.project.clock_period_ns
        )
        result = result.with_step(waiting)
    return result


def _check_ground(plan: BuildPlan, earlier: BuildResult | None) -> None:
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


def _stage(step: StepName, kind: ReportKind) -> str | None:
    return None if kind == "ip" else STAGE_OF_STEP.get(step)


def _has_bytes(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
