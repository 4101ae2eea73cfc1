"""How old a report is: against the marker of its run, or against the sources of a project without one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from codesign.core.build_marker import CLOCK_SLACK_S, BuildMarker, ReportFile, StepResult
from codesign.core.sealed import Seal, differences
from codesign.errors import ReportFormatError, StaleProjectError
from codesign.reports.build_files import SEALS, BuildFiles
from codesign.reports.records import STAGES, Finding, Reason, Stage
from codesign.reports.text import REPORT_KINDS

COPIED_AFTER_S = 26 * 3600.0
"""A file this much younger than the date printed in it was copied (two machines' local times differ by 26 h at
most), so that its time tells nothing of its age."""

BURST_S = 60.0
"""A clone, copy or unpacking gives all files it writes times as close as this."""

SAME_COPY_S = 600.0
"""A file written this close to one that was copied came with it."""

ZONE_S, WRITING_S = 900.0, 60.0
"""Local times of two machines differ by whole quarters of an hour, and a report is written within a minute of its date."""


class Evidence:
    """Judges the files of one build.

    Parameters
    ----------
    files
        The build.
    """

    def __init__(self, files: BuildFiles) -> None:
        self.home = files.home
        self.marker = BuildMarker.read(files.home)
        listed = self.marker.reports() if self.marker else ()
        self._listed = {(self.home / report.path).resolve(): report for _, report in listed}
        self._digests: dict[Path, str] = {}
        self._copied: list[float] = []
        self._newest_source = _newest(_sources(files, is_marked=self.marker is not None))

    def saw(self, path: Path, data: bytes) -> None:
        """Take the digest of a file's bytes while they are at hand, if the marker has one to hold it against."""
        if path.resolve() in self._listed:
            self._digests[path.resolve()] = sha256(data).hexdigest()

    def stage_of(self, path: Path) -> Stage | None:
        """How far the netlist had come, where the run's own script said it when it wrote this file."""
        report = self._listed.get(path.resolve())
        return next((stage for stage in STAGES if report is not None and stage == report.stage), None)

    def judge(self, path: Path, kind: str, printed: datetime | None) -> Finding | None:
        """Tell what is wrong with a file's age or run; ``None`` if nothing is.

        Parameters
        ----------
        path, kind
            The file and what it is.
        printed
            The date printed in it, if the form has one.
        """
        finding = self._against_run(self.marker, path, kind) if self.marker else None
        return finding or self._against_sources(path, printed)

    def _against_run(self, marker: BuildMarker, path: Path, kind: str) -> Finding | None:
        for step, report in marker.reports():
            if (self.home / report.path).resolve() == path.resolve():
                return _against_step(path, step, report, self._digests[path.resolve()])
        own = [step for step in marker.steps if step.name in REPORT_KINDS[kind].steps]
        if own and all(step.status != "finished" for step in own):
            return _finding("unfinished", path, f": its step {own[0].name} is {own[0].status}; run it again")
        started = min((marker.begin_of(step) for step in own), default=marker.started)
        modified = path.stat().st_mtime
        if modified < started - CLOCK_SLACK_S:
            age = _span(started - modified)
            return _finding("stale", path, f" is {age} older than the run that {marker.path} tells of")
        return None

    def _against_sources(self, path: Path, printed: datetime | None) -> Finding | None:
        if self._newest_source is None:
            return None
        source, changed = self._newest_source
        modified = path.stat().st_mtime
        if printed is not None and modified - printed.timestamp() > COPIED_AFTER_S:
            self._copied.append(modified)
            rest = f" was copied since it was written, so nothing tells whether it is older than {source}"
            return _finding("unverified", path, rest)
        if modified < changed - CLOCK_SLACK_S:
            close = changed - modified < SAME_COPY_S and _was_copied(modified, printed)
            if close:
                self._copied.append(modified)
            if (
                changed - modified < BURST_S
                or close
                or (printed is None and any(abs(modified - when) < SAME_COPY_S for when in self._copied))
            ):
                rest = f" was written within the copying of {source}, so nothing tells which of them is older"
                return _finding("unverified", path, rest)
            age = _span(changed - modified)
            return _finding("stale", path, f" is {age} older than the source {source}; run the tool again")
        return None

    def of_run(self) -> Iterator[Finding]:
        """What the run itself says: not ended well, or reports that it wrote and that are gone."""
        if self.marker is None:
            return
        marker = self.marker
        if marker.status != "finished":
            yield _finding(
                "unfinished", marker.path, f": the run is not finished but {marker.told}; build again"
            )
        for step, report in marker.reports():
            path = self.home / report.path
            if step.status == "finished" and not path.exists():
                yield _finding("missing", path, f": the step {step.name} wrote it; run it again")


def _finding(reason: Reason, path: Path, rest: str) -> Finding:
    return Finding(reason=reason, path=path, message=f"{path}{rest}")


def _against_step(path: Path, step: StepResult, report: ReportFile, digest: str) -> Finding | None:
    """Hold a report against the step that lists it."""
    name, status = step.name, step.status
    if status != "finished":
        return _finding("unfinished", path, f": its step {name} is {status}; run it again")
    if report.sha256 not in ("", digest):
        return _finding("stale", path, f" was changed after the step {name} wrote it; run it again")
    return None


def _sources(files: BuildFiles, is_marked: bool) -> Iterator[Path]:
    """The files that a build rests on and that may have been changed after it.

    With a manifest of this package these are the files that no longer fit it, and, unless a marker ties the reports
    to a run, the manifest itself; without one, hls4ml's firmware and weights, its script, a component's
    configuration.
    """
    for seal in SEALS:
        if (files.home / seal.manifest).is_file():
            yield from _changed(files.home, seal)
            if not is_marked:
                yield files.home / seal.manifest
            return
    for place in {files.home, files.directory}:
        for path in (*(place / "firmware").rglob("*"), place / "project.tcl", place / "hls_config.cfg"):
            # hls4ml copies its own headers along; a firmware without them is no different one
            if not {"nnet_utils", "ap_types"} & set(path.parts):
                yield path


def _changed(home: Path, seal: Seal) -> Iterator[Path]:
    try:
        files = seal.read(home).files
    except StaleProjectError as error:
        raise ReportFormatError(home / seal.manifest, "manifest", str(error)) from None
    _, changed = differences(home, files)
    yield from (home / name for name in changed)


def _newest(sources: Iterator[Path]) -> tuple[Path, float] | None:
    times = [(path, path.stat().st_mtime) for path in sources if path.is_file()]
    return max(times, key=lambda entry: entry[1]) if times else None


def _was_copied(modified: float, printed: datetime | None) -> bool:
    """Whether a file's time is not that of its writing, whatever the zone of the machine that wrote it."""
    if printed is None:
        return False
    beside = (modified - printed.timestamp()) % ZONE_S
    return min(beside, ZONE_S - beside) > WRITING_S


def _span(seconds: float) -> str:
    """A time difference for people."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
