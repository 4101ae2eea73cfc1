"""What a build left: `codesign_build.json`, written whenever a step begins or ends, and read by everyone who judges reports.

A build that was killed leaves the status ``running`` and no process that holds its lock; nothing it left is a result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from codesign.core import sealed
from codesign.core.files import file_digest, write_json
from codesign.core.sealed import read_object
from codesign.core.shown import Brief
from codesign.errors import ReportFormatError, ReportMissingError

MARKER = "codesign_build.json"
"""The marker's name, in the project's folder."""

StepName = Literal["csim", "csynth", "cosim", "export", "vsynth", "impl"]
STEPS: tuple[StepName, ...] = get_args(StepName)
"""All steps in the order in which they run."""

CLOCK_SLACK_S = 2.0
"""How far a report's time may lie before its run's start: file systems round, and servers' clocks differ."""

Status = Literal["running", "finished", "failed", "interrupted"]
StepStatus = Literal["waiting", "running", "finished", "failed", "interrupted"]
_FORMAT = 1


@dataclass(frozen=True)
class ReportFile:
    """A report that a step left.

    Parameters
    ----------
    path
        Relative to the project.
    kind
        What it is; empty if the marker does not say.
    sha256
        The digest of its bytes when the step ended; empty if the marker does not say.
    stage
        How far the netlist had come that it is about; ``None`` for other reports than Vivado's.
    """

    path: str
    kind: str = ""
    sha256: str = ""
    stage: str | None = None


@dataclass(frozen=True)
class StepResult(Brief):
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
        128 and the signal's number for a signal; ``None`` while it runs, for a time-out and for an interruption.
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
class BuildMarker(Brief):
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

    @property
    def path(self) -> Path:
        """The marker's file."""
        return self.directory / MARKER

    @classmethod
    def read(cls, directory: str | Path) -> BuildMarker | None:
        """Read the marker of a project; ``None`` if there is none.

        Raises
        ------
        ReportFormatError
            It is half written, damaged or of another format.
        """
        path = Path(directory) / MARKER
        if not path.is_file():
            return None
        try:
            return _marker(Path(directory), read_object(path))
        except (OSError, ValueError, TypeError, KeyError) as error:
            told = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
            raise ReportFormatError(path, "marker", f"is damaged ({told}); build again") from None

    def write(self) -> None:
        """Write the marker, whole or not at all."""
        steps = [asdict(step) for step in self.steps]
        value = {"format": _FORMAT, "status": self.status, "started": self.started, "finished": self.finished}
        write_json(self.path, {**value, "steps": steps, "versions": dict(self.versions)})

    @property
    def told(self) -> str:
        """The status, and the step and reason that ended the build, where it says one."""
        ended = [step for step in self.steps if step.status == self.status and step.reason]
        return f"{self.status}: {ended[0].name}: {ended[0].reason}" if ended else self.status

    def step(self, name: StepName) -> StepResult | None:
        """Give the entry of a step, if it has one."""
        return next((step for step in self.steps if step.name == name), None)

    def with_step(self, entry: StepResult) -> BuildMarker:
        """Put in one step's entry, in place of an older one."""
        others = [step for step in self.steps if step.name != entry.name]
        return replace(self, steps=tuple(sorted([*others, entry], key=lambda step: STEPS.index(step.name))))

    def begin_of(self, step: StepResult) -> float:
        """When a step began, in Unix time; the build's begin if the marker does not say."""
        return self.started if step.started is None else step.started

    def reports(self) -> Iterator[tuple[StepResult, ReportFile]]:
        """Every step and report that the marker lists."""
        for step in self.steps:
            for report in step.reports:
                yield step, report

    def report(self, kind: str, step: StepName | None = None) -> Path:
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

    def checked_report(self, kind: str, step: StepName | None = None) -> Path:
        """Give the path of a report whose bytes are still those that its step left.

        Raises
        ------
        ReportMissingError
            No finished step left one, or it was changed or removed since.
        """
        path = self.report(kind, step)
        name = path.relative_to(self.directory).as_posix()
        digests = {report.sha256 for _, report in self.reports() if report.path == name}
        if not path.is_file() or file_digest(path) not in digests:
            raise ReportMissingError(f"{path} is no longer what the build left; run the step again")
        return path


def _marker(directory: Path, values: Mapping[str, Any]) -> BuildMarker:
    if values.get("format", _FORMAT) != _FORMAT:
        raise ValueError(f"format is {values['format']!r}, not {_FORMAT}")
    steps = tuple(_step(value) for value in _of(values, "steps", list, []))
    finished = values.get("finished")
    return BuildMarker(
        directory,
        _word(values["status"], "status", get_args(Status)),
        sealed.field(values, "started", float),
        None if finished is None else sealed.field(values, "finished", float),
        steps,
        _of(values, "versions", dict, {}),
    )


_NUMBERS = {"started": float, "exit_code": int, "seconds": float, "clock_period_ns": float}


def _step(value: Any) -> StepResult:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no step")
    number = {
        name: None if value.get(name) is None else sealed.field(value, name, kind)
        for name, kind in _NUMBERS.items()
    }
    return StepResult(
        name=_word(value["name"], "name", STEPS),
        status=_word(value.get("status", "finished"), "status", get_args(StepStatus)),
        command=tuple(str(word) for word in _of(value, "command", list, [])),
        log=_of(value, "log", str, ""),
        reports=tuple(_report(report) for report in _of(value, "reports", list, [])),
        reason=_of(value, "reason", str, ""),
        part=_of(value, "part", str, None),
        **number,
    )


def _report(value: Any) -> ReportFile:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no report")
    return ReportFile(
        sealed.field(value, "path", str),
        _of(value, "kind", str, ""),
        _of(value, "sha256", str, ""),
        _of(value, "stage", str, None),
    )


def _of(values: Mapping[str, Any], name: str, kind: type[Any], default: Any) -> Any:
    return default if values.get(name) is None else sealed.field(values, name, kind)


def _word(value: Any, name: str, known: tuple[Any, ...]) -> Any:
    if value not in known:
        raise ValueError(f"{name} is {value!r}, none of {', '.join(known)}")
    return value
