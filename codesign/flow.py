"""The flow: the stages in order, run and resumed."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codesign.comparison.run_charts import plot_run
from codesign.comparison.run_page import PAGE, write_run_page
from codesign.comparison.sources import SUMMARY, read_summary
from codesign.comparison.summary import make_summary, write_summary
from codesign.comparison.summary import tables as summary_tables
from codesign.core.files import json_digest, write_json
from codesign.core.interrupt import stop_if_asked
from codesign.core.progress import SILENT, Progress
from codesign.core.record import versions
from codesign.core.shown import Shown
from codesign.core.text_table import TextTable
from codesign.core.worth import worth_notes
from codesign.errors import OutputFolderError, ReportFormatError, SettingsError
from codesign.run_folder import RunFolder, StageEvidence
from codesign.settings import DesignSettings, read_design
from codesign.stages import RUN, STAGES, Context, Stage, new_context, read_run, stage_evidence
from codesign.stages.cache import SHARED, StageCache

if TYPE_CHECKING:
    from pandas import DataFrame

_log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class RunResult(Shown):
    """What a run left.

    Parameters
    ----------
    folder
        Its folder.
    summary
        The content of its `summary.json`; ``None`` if it was to end before its last stage.
    redone
        The names of the stages that this call ran; the others stood already.
    not_run
        What was asked for by name and could not be run, each with its reason, by what it is called.
    """

    folder: Path
    summary: Mapping[str, Any] | None
    redone: tuple[str, ...]
    not_run: Mapping[str, str]

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        done = {"folder": str(self.folder), "made now": ", ".join(self.redone) or "nothing"}
        return done if not self.not_run else {**done, "not run": ", ".join(self.not_run)}

    def tables(self) -> Iterator[TextTable]:
        """The summary's tables."""
        return iter(() if self.summary is None else summary_tables(self.summary))

    def to_frame(self) -> DataFrame:
        """The stages as a pandas table, a row each: qualities, sizes and bits; empty before the run has ended."""
        import pandas

        return pandas.DataFrame([] if self.summary is None else list(self.summary["stages"]))


@dataclass(frozen=True)
class _Request:
    """What is asked of a run."""

    start_from: str | None
    until: str | None
    overwrite: bool

    def check(self) -> None:
        names = stage_names()
        for option, name in (("--from", self.start_from), ("--until", self.until)):
            if name is not None and name not in names:
                raise SettingsError(
                    f"{option}: there is no stage {name!r}; the stages are {', '.join(names)}"
                )
        if self.start_from is not None and names.index(self.start_from) > names.index(self.last):
            raise SettingsError(f"--from {self.start_from} comes after --until {self.until}; swap them")

    @property
    def last(self) -> str:
        return STAGES[-1].name if self.until is None else self.until

    @property
    def stages(self) -> tuple[Stage, ...]:
        return STAGES[: stage_names().index(self.last) + 1]


def run_design(
    design: str | Path,
    *,
    output: str | Path | None = None,
    name: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    start_from: str | None = None,
    until: str | None = None,
    overwrite: bool = False,
    cache: StageCache | None = None,
    progress: Progress = SILENT,
) -> RunResult:
    """Run a design from its data to its verified project, or go on where an earlier call ended.

    A stage is redone when anything that it depends on has changed: its settings, the data, `networks.py`, or what an
    earlier stage made.

    Parameters
    ----------
    design
        A design folder.
    output
        The run's folder; by default ``hls_projects/<design>/<name>`` below the working directory.
    name
        The last part of the default folder: ``run``, if neither is given.
    overrides
        Settings by dotted path that replace those of the `design.yaml`.
    start_from
        Redo this stage and all after it.
    until
        End after this stage; a later call without it goes on.
    overwrite
        Allow stages of a finished run to be redone.
    cache
        Where runs of one search keep the stages that they share.
    progress
        Told of every stage and epoch.

    Raises
    ------
    CodesignError
        For anything that the user can mend; before long work wherever it can be known.
    """
    request = _Request(start_from, until, overwrite)
    settings, home, folder = _place(design, output, name, overrides, request)
    with folder.locked():
        _refuse_other_design(folder, home, overwrite)
        context = new_context(home, settings, folder.path, progress)
        redone = _run(context, folder, request, cache)
        is_whole = request.last == STAGES[-1].name
        asked = [stage for stage in request.stages if stage.was_asked(context)]
        not_run = {what: why for stage in asked for what, why in stage.not_done(context).items()}
        if is_whole and (redone or not (folder.path / SUMMARY).is_file()):
            plot_run(folder.path)
            write_summary(folder.path, _summary(context))
        if is_whole and (redone or not (folder.path / PAGE).is_file()):
            _write_page(folder.path)
        summary = read_summary(folder.path) if is_whole else None
        return RunResult(folder.path, summary, tuple(redone), not_run)


def take_stages(run: str | Path, folder: str | Path, until: str) -> None:
    """Copy the stages of a run into a folder of their own, which another run goes on in.

    Parameters
    ----------
    run
        The folder of the run.
    folder
        The new one; if it holds the last stage already, nothing happens.
    until
        The last stage to copy.
    """
    there, home = RunFolder(run), RunFolder(folder)
    with home.locked():
        if home.evidence(until) is not None:
            return
        for name in stage_names()[: stage_names().index(until) + 1]:
            if there.evidence(name) is not None:
                home.take(name, there)


def plan_run(
    design: str | Path,
    *,
    output: str | Path | None = None,
    name: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    start_from: str | None = None,
    until: str | None = None,
) -> tuple[Path, dict[str, str | None]]:
    """What `run_design` would do; nothing is made, checked or written.

    Returns
    -------
    tuple
        The run's folder, and for each stage why it would be made, ``None`` if it stands. A stage behind one that
        is made again stands after all if that comes out the same.
    """
    request = _Request(start_from, until, overwrite=False)
    settings, home, folder = _place(design, output, name, overrides, request)
    context = new_context(home, settings, folder.path)
    forced = None if _goes_on(folder, start_from) else start_from
    planned: dict[str, str | None] = {}
    for stage in request.stages:
        behind = [parent for parent in stage.parents if planned[parent] is not None]
        if stage.name == forced:
            planned[stage.name] = "--from"
        elif forced in planned:
            planned[stage.name] = f"--from {forced} redoes all that follows"
        elif behind:
            planned[stage.name] = f"made of {', '.join(behind)}"
        else:
            found, depends = stage_evidence(folder, stage), _depends(stage, context)
            planned[stage.name] = _why(folder, stage, found, depends)
            if found is not None:
                context.records[stage.name] = found.record
    return folder.path, planned


def _place(
    design: str | Path,
    output: str | Path | None,
    name: str | None,
    overrides: Mapping[str, Any] | None,
    request: _Request,
) -> tuple[DesignSettings, Path, RunFolder]:
    """The settings, the design's folder and the run's folder, after checking that the request makes sense."""
    settings = read_design(design, overrides)
    request.check()
    if name is not None and output is not None:
        raise SettingsError(
            f"--name {name} is for a folder below hls_projects, and --output {output} names another; give one of them"
        )
    name = "run" if name is None else name
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"--name: must be letters, digits, '.', '_' and '-', not {name!r}; give any other folder with --output"
        )
    home = Path(design)
    folder = RunFolder(output if output is not None else Path("hls_projects") / settings.name / name)
    if request.start_from not in (None, STAGES[0].name) and not (folder.path / RUN).is_file():
        raise SettingsError(
            f"--from {request.start_from}: {folder.path} holds no run whose earlier stages could stand; leave out --from, "
            "or name a run that is there"
        )
    return settings, home if home.is_dir() else home.parent, folder


def _refuse_other_design(folder: RunFolder, design: Path, overwrite: bool) -> None:
    """Refuse a folder that another design runs in; a design that was moved is still the same."""
    before = Path(read_run(folder.path).get("design", design))
    if overwrite or before.resolve() == design.resolve() or not (before / "design.yaml").is_file():
        return
    raise OutputFolderError(
        f"{folder.path} holds a run of {before}, not of {design.resolve()}: both designs have one name; choose another "
        "folder with --name or --output, or --overwrite to replace that run"
    )


def _write_page(folder: Path) -> None:
    """Write the run's page; what is wrong with it does not undo a verified run."""
    try:
        write_run_page(folder, folder / PAGE)
    except ReportFormatError as error:
        _log.warning("the run has ended, but its page was not written: %s", error)


def _summary(context: Context) -> dict[str, Any]:
    settings = context.settings
    notes: list[str] = list(context.dataset.warnings)
    for stage in STAGES:
        notes += [f"{what} was not run: {why}" for what, why in stage.not_done(context).items()]
        notes += context.records[stage.name].metrics.get("notes", ())
    notes += _worth(context)
    return make_summary(
        settings.name,
        settings.seed,
        settings.section("hardware"),
        context.records,
        notes,
        measure=context.dataset.task.measure,
    )


def _worth(context: Context) -> tuple[str, ...]:
    """What there is to say of stages that are not worth building."""
    task = context.dataset.task
    measured = {stage.title: context.records[stage.name].metrics for stage in STAGES}
    name = f"validation_{task.measure}"
    reached = {title: metrics[name] for title, metrics in measured.items() if name in metrics}
    return worth_notes(task, reached, context.dataset.y_validation, context.settings.scan.tolerance)


def _goes_on(folder: RunFolder, start_from: str | None) -> bool:
    """Whether an interrupted run from this very stage is resumed: then its finished stages stand."""
    run = read_run(folder.path)
    return bool(run) and not (folder.path / SUMMARY).is_file() and run.get("from") == start_from


def _run(
    context: Context, folder: RunFolder, request: _Request, cache: StageCache | None = None
) -> list[str]:
    redone: list[str] = []
    forced = None if _goes_on(folder, request.start_from) else request.start_from
    for index, stage in enumerate(request.stages):
        stop_if_asked()
        depends = _depends(stage, context)
        key = json_digest([stage.name, depends])
        found = stage_evidence(folder, stage)
        if found is not None and found.key == key and stage.name != forced:
            context.records[stage.name] = found.record
            continue
        if not redone:
            _refuse_finished(folder, stage, found, depends, request)
            _begin(context, folder, request, forced)
        context.progress.step("flow", index, len(request.stages), stage.name)
        _log.info("stage %s", stage.name)
        shared = cache if stage.name in SHARED else None
        with contextlib.nullcontext() if shared is None else shared.turn(key):
            _make_or_take(stage, context, folder, key, depends, shared)
        stage.settled(context)
        if stage.formerly is not None:
            folder.remove(stage.formerly)
        redone.append(stage.name)
    stop_if_asked()
    context.progress.step("flow", len(request.stages), len(request.stages))
    return redone


def _make_or_take(
    stage: Stage,
    context: Context,
    folder: RunFolder,
    key: str,
    depends: dict[str, str],
    cache: StageCache | None,
) -> None:
    """Make a stage, or take it from the runs that share it."""
    with folder.writing(stage.name) as temporary:
        kept = None if cache is None else cache.take(key, temporary)
        if kept is not None:
            record = kept.record
        else:
            value = _made(stage, context, temporary)
            stage.save(value, temporary)
            record = value.record
            context.values[stage.name] = value
        context.records[stage.name] = record
        evidence = StageEvidence(key, depends, record)
        folder.commit(stage.name, temporary, evidence)
    if cache is not None and kept is None:
        cache.keep(key, folder.path / stage.name, evidence)


def _made(stage: Stage, context: Context, folder: Path) -> Any:
    """What a stage makes, with the record of this run."""
    started = time.monotonic()
    value = stage.make(context, folder)
    settings = {name: context.settings.section(name) for name in stage.sections}
    parents = {"dataset": context.dataset.digest}
    parents |= {name: context.records[name].digest for name in stage.parents}
    seconds = time.monotonic() - started
    record = value.record.in_run(stage.name, settings, context.settings.seed, parents, seconds)
    return replace(value, record=record)


def _depends(stage: Stage, context: Context) -> dict[str, str]:
    """All that a stage's result depends on, as digests by name."""
    return stage.depends(context) | {
        f"stage {parent}": context.records[parent].digest for parent in stage.parents
    }


def _why(
    folder: RunFolder, stage: Stage, found: StageEvidence | None, depends: Mapping[str, str]
) -> str | None:
    """Why a stage is to be made, ``None`` if it stands."""
    if found is None:
        there = (folder.path / stage.name).is_dir()
        return (
            "its files are missing or damaged"
            if there or (folder.path / SUMMARY).is_file()
            else "not made yet"
        )
    if found.key == json_digest([stage.name, depends]):
        return None
    before = found.depends
    changed = [name for name in {**before, **depends} if before.get(name) != depends.get(name)]
    return f"changed: {', '.join(changed)}" if changed else "its files are missing or damaged"


def _refuse_finished(
    folder: RunFolder,
    stage: Stage,
    found: StageEvidence | None,
    depends: Mapping[str, str],
    request: _Request,
) -> None:
    """Refuse to touch a finished run unasked."""
    if request.overwrite or request.start_from is not None or not (folder.path / SUMMARY).is_file():
        return
    why = _why(folder, stage, found, depends)
    raise OutputFolderError(
        f"{folder.path} holds a finished run, and stage {stage.name!r} would be redone ({why}); "
        "add --overwrite to redo it there, or --name to run beside it"
    )


def _begin(context: Context, folder: RunFolder, request: _Request, forced: str | None) -> None:
    """Check everything that can be checked before long work; then the run is no longer finished."""
    for stage in request.stages:
        stage.check(context)
    for name in (SUMMARY, PAGE):
        (folder.path / name).unlink(missing_ok=True)
    if forced is not None:
        for stage in STAGES[stage_names().index(forced) :]:
            for name in filter(None, (stage.name, stage.formerly)):
                folder.remove(name)
    write_json(
        folder.path / RUN,
        {
            "design": str(context.design.resolve()),
            "settings": context.settings.model_dump(mode="json"),
            "from": request.start_from,
            "versions": versions(),
        },
    )


def stage_names() -> Sequence[str]:
    """The names of the stages, in order."""
    return [stage.name for stage in STAGES]
