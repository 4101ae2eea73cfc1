"""The flow: the stages in order, run and resumed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.comparison.run_charts import plot_run
from codesign.comparison.run_page import PAGE, write_run_page
from codesign.comparison.sources import SUMMARY, read_summary
from codesign.comparison.summary import make_summary, write_summary
from codesign.core.files import file_digest, json_digest, read_json, write_json
from codesign.core.progress import SILENT, Progress
from codesign.core.record import versions
from codesign.errors import OutputFolderError, ReportFormatError, SettingsError
from codesign.hls.toolchain import vendor_tool
from codesign.run_folder import RunFolder, StageEvidence
from codesign.settings import read_design
from codesign.stages import RUN, STAGES, Context, Stage, new_context

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """What a run left.

    Parameters
    ----------
    folder
        Its folder.
    summary
        The content of its `summary.json`.
    redone
        The names of the stages that this call ran; the others stood already.
    """

    folder: Path
    summary: Mapping[str, Any]
    redone: tuple[str, ...]


def run_design(
    design: str | Path,
    *,
    output: str | Path | None = None,
    name: str = "run",
    overrides: Mapping[str, Any] | None = None,
    start_from: str | None = None,
    overwrite: bool = False,
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
        The last part of the default folder.
    overrides
        Settings by dotted path that replace those of the `design.yaml`.
    start_from
        Redo this stage and all after it.
    overwrite
        Allow stages of a finished run to be redone.
    progress
        Told of every stage and epoch.

    Raises
    ------
    CodesignError
        For anything that the user can mend; before long work wherever it can be known.
    """
    settings = read_design(design, overrides)
    design = Path(design)
    _check_start(start_from)
    folder = RunFolder(output if output is not None else Path("hls_projects") / settings.name / name)
    with folder.locked():
        context = new_context(design if design.is_dir() else design.parent, settings, folder.path, progress)
        allowed = overwrite or start_from is not None
        redone = _run(context, folder, start_from, allowed)
        if redone or not (folder.path / SUMMARY).is_file():
            plot_run(folder.path)
            write_summary(folder.path, _summary(context))
            _write_page(folder.path)
        return RunResult(folder.path, read_summary(folder.path), tuple(redone))


def _write_page(folder: Path) -> None:
    """Write the run's page; what is wrong with it does not undo a verified run."""
    try:
        write_run_page(folder, folder / PAGE)
    except ReportFormatError as error:
        _log.warning("the run has ended, but its page was not written: %s", error)


def _summary(context: Context) -> dict[str, Any]:
    settings = context.settings
    reasons = {
        "open RTL": context.records["rtl"].metrics.get("skipped"),
        "vendor synthesis": context.records["synthesis"].metrics.get("skipped"),
    }
    notes = [f"{what} was not run: {reason}" for what, reason in reasons.items() if reason is not None]
    notes += context.records["project"].metrics.get("notes", ())
    return make_summary(settings.name, settings.seed, settings.section("hardware"), context.records, notes)


def _check_start(start_from: str | None) -> None:
    names = stage_names()
    if start_from is not None and start_from not in names:
        raise SettingsError(f"--from: there is no stage {start_from!r}; the stages are {', '.join(names)}")


def _goes_on(folder: RunFolder, start_from: str | None) -> bool:
    """Whether an interrupted run from this very stage is resumed: then its finished stages stand."""
    unfinished = (folder.path / RUN).is_file() and not (folder.path / SUMMARY).is_file()
    return unfinished and read_json(folder.path / RUN).get("from") == start_from


def _run(context: Context, folder: RunFolder, start_from: str | None, allowed: bool) -> list[str]:
    redone: list[str] = []
    forced = None if _goes_on(folder, start_from) else start_from
    for index, stage in enumerate(STAGES):
        depends = _depends(stage, context)
        key = json_digest([stage.name, depends])
        found = folder.evidence(stage.name)
        if found is not None and found.key == key and stage.name != forced:
            context.records[stage.name] = found.record
            continue
        if not redone:
            _refuse_finished(folder, stage.name, found, depends, allowed)
            _begin(context, folder, start_from, forced)
        context.progress.step("flow", index, len(STAGES), stage.name)
        _log.info("stage %s", stage.name)
        with folder.writing(stage.name) as temporary:
            value = stage.make(context, temporary)
            stage.save(value, temporary)
            folder.commit(stage.name, temporary, StageEvidence(key, depends, value.record))
        context.values[stage.name] = value
        context.records[stage.name] = value.record
        redone.append(stage.name)
    context.progress.step("flow", len(STAGES), len(STAGES))
    return redone


def _depends(stage: Stage, context: Context) -> dict[str, str]:
    """What a stage's result depends on, as digests by name."""
    settings = context.settings
    depends = {f"settings {name}": json_digest(settings.section(name)) for name in stage.sections}
    depends["settings seed"] = json_digest(settings.seed)
    depends["the data"] = context.dataset.digest
    if stage.uses_networks:
        depends["networks.py"] = context.networks_digest
    if stage.name == "synthesis":
        depends["the vendor's HLS tool"] = json_digest(vendor_tool(settings.hardware.backend))
    if "teacher" in stage.sections:
        depends |= {f"the teacher's file {name}": digest for name, digest in _teacher_files(context).items()}
    if stage.name == "pruning" and settings.pruning.method == "hardware":
        depends["settings hardware"] = json_digest(settings.section("hardware"))
    if stage.name == "quantization" and settings.pruning.inside == "quantization":
        depends["settings pruning"] = json_digest(settings.section("pruning"))
    depends |= {f"stage {parent}": context.records[parent].digest for parent in stage.parents}
    return depends


def _teacher_files(context: Context) -> dict[str, str]:
    teacher = context.settings.teacher
    digests = {}
    for name in (*teacher.files, *([teacher.file] if teacher.file is not None else [])):
        path = context.design / name
        if not path.is_file():
            raise SettingsError(
                f"teacher: the file {path} does not exist; give the path of a trained teacher"
            )
        digests[name] = file_digest(path)
    return digests


def _refuse_finished(
    folder: RunFolder,
    stage: str,
    found: StageEvidence | None,
    depends: Mapping[str, str],
    allowed: bool,
) -> None:
    """Refuse to touch a finished run unasked."""
    if allowed or not (folder.path / SUMMARY).is_file():
        return
    before = found.depends if found is not None else depends
    changed = [name for name in {**before, **depends} if before.get(name) != depends.get(name)]
    why = f"changed: {', '.join(changed)}" if changed else "its files are missing or damaged"
    raise OutputFolderError(
        f"{folder.path} holds a finished run, and stage {stage!r} would be redone ({why}); "
        "add --overwrite to redo it there, or --name to run beside it"
    )


def _begin(context: Context, folder: RunFolder, start_from: str | None, forced: str | None) -> None:
    """Check everything that can be checked before long work; then the run is no longer finished."""
    from codesign.preflight import check_before_work

    check_before_work(context)
    for name in (SUMMARY, PAGE):
        (folder.path / name).unlink(missing_ok=True)
    if forced is not None:
        for name in stage_names()[stage_names().index(forced) :]:
            folder.remove(name)
    write_json(
        folder.path / RUN,
        {
            "design": str(context.design.resolve()),
            "settings": context.settings.model_dump(mode="json"),
            "from": start_from,
            "versions": versions(),
        },
    )


def stage_names() -> Sequence[str]:
    """The names of the stages, in order."""
    return [stage.name for stage in STAGES]
