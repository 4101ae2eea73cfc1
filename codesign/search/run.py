"""`run_search`: a search from its `search.yaml`, begun or gone on with."""

from __future__ import annotations

import ast
import contextlib
import inspect
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codesign.core.files import file_digest, json_digest, read_json, write_json
from codesign.core.progress import SILENT, Progress
from codesign.core.yaml_text import YAML_SUFFIXES
from codesign.errors import OutputFolderError, SettingsError
from codesign.run_folder import RunFolder
from codesign.search.ledger import ABOUT, Ledger, mend
from codesign.search.settings import SearchSettings, read_search
from codesign.search.space import Dimension, Space
from codesign.search.unit import execute, pack, worker_identity, write_mark
from codesign.settings import DesignSettings, read_design

if TYPE_CHECKING:
    from codesign.search.coordinator import Plan
    from codesign.search.executor import Work

_MOST_PACKED = 256 * 2**20
"""Bytes of a design's folder that are sent to workers which do not see it."""

_MOST_TRIED, _DERIVED_TRIED = 1000, 64
"""Points of a grid, and points with what is derived there, that are tried before a worker starts."""

_FREE = ("budget", "attempts", "time_limit_minutes", "cache_gb", "points", "proof", "licences", "design")
"""Settings that may change while a search stands: they decide no trial."""


@dataclass(frozen=True)
class SearchResult:
    """What a search left.

    Parameters
    ----------
    folder
        Its folder.
    ledger
        What is known.
    settings
        Of the search.
    """

    folder: Path
    ledger: Ledger
    settings: SearchSettings


def search_folder(path: str | Path, output: str | Path | None = None) -> Path:
    """Where a search is kept: `output`, else the folder ``search`` beside its `search.yaml`."""
    if output is not None:
        return Path(output)
    path = Path(path)
    return (path.parent if path.suffix in YAML_SUFFIXES else path) / "search"


def run_search(
    path: str | Path,
    *,
    output: str | Path | None = None,
    scheduler: str | None = None,
    cluster: str | Path | None = None,
    workers: int | None = None,
    mlflow: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    work: Work = execute,
    progress: Progress = SILENT,
) -> SearchResult:
    """Run a search, or go on where an earlier call ended, however it ended.

    Parameters
    ----------
    path
        A `search.yaml`, or its folder.
    output
        The search's folder.
    scheduler
        The address of a Dask scheduler that runs somewhere; by default workers are started on this machine.
    cluster
        A file that says how a batch system starts workers.
    workers
        How many are started on this machine; by default as many as pay.
    mlflow
        Where trials are logged besides (`codesign.search.tracking`).
    overrides
        Settings of every trial by dotted path, before those of the file.
    work
        What a worker does with a unit.
    progress
        Told of every trial.

    Raises
    ------
    CodesignError
        For anything that the user can mend; before any worker starts wherever it can be known.
    """
    from codesign.search.coordinator import Coordinator
    from codesign.search.executor import open_executor, read_workers
    from codesign.search.proposer import Proposer
    from codesign.search.tracking import Tracker

    folder = search_folder(path, output).resolve()
    asked, others = read_workers(scheduler, cluster, workers)
    faults: list[str] = []
    with contextlib.ExitStack() as held:
        with _gathered(faults):
            settings, file = read_search(path)
            settings = settings.model_copy(update={"settings": {**settings.settings, **(overrides or {})}})
            held.enter_context(RunFolder(folder, "search", ABOUT).locked())
            plan = make_plan(settings, file, folder)
        _refuse([*faults, *others])
        mend(folder / "ledger.jsonl")
        proposer = Proposer(folder, plan.space, settings)
        ledger = Ledger(folder)
        name = f"codesign search of {plan.design.name}"
        tracker = None if mlflow is None else Tracker(mlflow, folder, plan.mark, name, settings)
        with open_executor(work, asked) as executor:
            Coordinator(plan, proposer, ledger, executor, progress, tracker).run()
    return SearchResult(folder, ledger, settings)


@contextlib.contextmanager
def _gathered(faults: list[str]) -> Iterator[None]:
    """Add the faults that are raised inside to these, to be told together."""
    try:
        yield
    except SettingsError as error:
        faults += error.located


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise SettingsError(list(dict.fromkeys(faults)))


def make_plan(settings: SearchSettings, file: Path, folder: Path) -> Plan:
    """Check everything that can be known before a worker starts, and write down what the search is of.

    Raises
    ------
    SettingsError
        With every fault: of the space, settings that the design does not have, values that it does not take, choices that
        `build_student` does not take, constraints that nothing meets.
    OutputFolderError
        If the folder is that of another search.
    """
    from codesign.search.coordinator import Plan

    design = (file.parent / settings.design).resolve()
    faults: list[str] = []
    space: Space | None = None
    with _gathered(faults):
        space = Space(settings)
    with _gathered(faults):
        base, overrides = _checked_design(settings, design, space)
    _refuse(faults)
    assert space is not None
    seeds = settings.seeds or (base.seed,)
    data = _data_digests(settings, space, design, overrides, seeds)
    networks = design / "networks.py"
    digests = {
        "search": json_digest(_fixed(settings)),
        "design": base.digest,
        "networks.py": file_digest(networks) if networks.is_file() else "",
        "data": json_digest(sorted(set(data.values()))),
    }
    mark = write_mark(folder)
    _refuse_other_search(folder, digests, settings)
    write_json(
        folder / ABOUT,
        {
            "file": str(file.resolve()),
            "design": str(design),
            "settings": settings.model_dump(mode="json"),
            "digests": digests,
            "overrides": overrides,
            "seeds": list(seeds),
        },
    )
    return Plan(
        folder=folder,
        settings=settings,
        space=space,
        design=design,
        seeds=tuple(seeds),
        epochs=base.distillation.epochs,
        overrides=overrides,
        mark=mark,
        identity=worker_identity(),
        data=data,
        packed=_packed(design),
    )


def _fixed(settings: SearchSettings) -> dict[str, Any]:
    return {name: value for name, value in settings.model_dump(mode="json").items() if name not in _FREE}


def _checked_design(
    settings: SearchSettings, design: Path, space: Space | None
) -> tuple[DesignSettings, dict[str, Any]]:
    """The design as every trial has it; every point of a grid is tried, else the ends of every range, one by one."""
    if not design.is_dir():
        raise SettingsError(
            f"design: {design} is no folder; give a design's folder, seen from the search.yaml"
        )
    overrides = dict(settings.settings)
    base: DesignSettings | None = None
    faults: list[str] = []
    known: set[str] = set()
    try:
        base = read_design(design, overrides)
    except SettingsError as error:
        known = {_plain(fault) for fault in error.faults}
        # those of `settings` without the file that they do not stand in
        pairs = zip(error.faults, error.located, strict=True)
        faults += [f"settings: {_plain(one)}" if _plain(one) != one else located for one, located in pairs]
    for name, entry in settings.space.items():
        if name in ("seed", "data.fold", "name"):
            faults.append(f"space.{name}: is not to be varied; there are seeds and folds")
        if name in overrides and entry.when is None:
            faults.append(f"settings.{name}: is varied by the space; leave one of them out")
        for value in _tried(Dimension(name, entry, None)) if settings.sampler.kind != "grid" else ():
            new = [fault for fault in _faults_of(design, {**overrides, name: value}) if fault not in known]
            faults += [f"space: {fault}" for fault in new]
            if new:
                break
    if space is not None:
        seeds = settings.seeds or ((0,) if base is None else (base.seed,))
        with _gathered(faults):  # constraints that no point meets
            faults += _point_faults(space, design, overrides, seeds, known)
    names = [] if base is None else [f"student.{name}" for name in base.student]
    names += [name for name in (*overrides, *settings.space) if name.startswith("student.")]
    choices = dict.fromkeys(name.removeprefix("student.") for name in names)
    faults += _student_faults(design / "networks.py", choices)
    if faults or base is None:
        raise SettingsError(faults)
    source = base.data.source
    if isinstance(source, str):  # a path that was found from here is found by no worker
        path = Path(source).expanduser()
        if not (design / path).exists() and path.is_file():
            overrides["data.source"] = str(path.resolve())
    return base, overrides


def _tried(dimension: Dimension) -> list[Any]:
    """Every choice and every value of a few, else those at the ends."""
    few = dimension.settings.type == "categorical" or (dimension.size or 99) <= 20
    return dimension.grid() if few else [dimension.at(0.0), dimension.at(1 - 1e-12)]


def _plain(fault: str) -> str:
    """A fault of a design without the words for settings of the command line."""
    return fault.removeprefix("--set ").removesuffix(" (given by --set)")


def _student_faults(path: Path, choices: Mapping[str, Any]) -> list[str]:
    """What `build_student` does not take, read off its source: loading it would load Keras."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return [] if path.is_file() else [f"design: {path.parent} has no networks.py"]
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "build_student"]
    if not found:  # made in another way: the first trial tells
        return []
    from codesign.networks.choices import choice_faults

    return choice_faults(_signature(found[-1].args), f"build_student of {path}", choices)


def _signature(arguments: ast.arguments) -> inspect.Signature:
    """The signature of a function's source; what its defaults are does not matter here."""
    plain = [*arguments.posonlyargs, *arguments.args]
    without = len(plain) - len(arguments.defaults)
    kinds = inspect.Parameter
    parameters = [
        kinds(
            argument.arg,
            kinds.POSITIONAL_OR_KEYWORD,
            default=kinds.empty if index < without else None,
        )
        for index, argument in enumerate(plain)
    ]
    parameters += [
        kinds(argument.arg, kinds.KEYWORD_ONLY, default=kinds.empty if default is None else None)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg is not None:
        parameters.append(kinds(arguments.kwarg.arg, kinds.VAR_KEYWORD))
    return inspect.Signature(parameters)


def _point_faults(
    space: Space, design: Path, overrides: Mapping[str, Any], seeds: Sequence[int], known: Collection[str]
) -> list[str]:
    """What the design does not take at points: of a grid at all of them, else of what is derived at some of the space."""
    is_grid = space.kind == "grid"
    # the first of a sequence lie everywhere
    count = _MOST_TRIED if is_grid else _DERIVED_TRIED if space.derived else 1
    points = [params for _, params in itertools.islice(space.points(), count)]
    faults: list[str] = []
    for params, seed in itertools.product(points, seeds if space.derived else seeds[:1]):
        given = {**overrides, **space.overrides(params, seed)}
        found = [fault for fault in _faults_of(design, given) if fault not in known]
        if not is_grid:  # what stands without it is of a combination, which its trial tells
            plain = {name: value for name, value in given.items() if name not in space.derived}
            others = _faults_of(design, plain)
            found = [fault for fault in found if fault not in others]
        faults += [f"{'derived' if _path(fault) in space.derived else 'space'}: {fault}" for fault in found]
    return list(dict.fromkeys(faults))


def _path(fault: str) -> str:
    return fault.partition(":")[0]


def _faults_of(design: Path, overrides: Mapping[str, Any]) -> Sequence[str]:
    try:
        read_design(design, overrides)
    except SettingsError as error:
        return [_plain(fault) for fault in error.faults]
    return ()


def _data_digests(
    settings: SearchSettings,
    space: Space,
    design: Path,
    overrides: Mapping[str, Any],
    seeds: Sequence[int],
) -> dict[tuple[int, int | None], str]:
    """The digest of the data of every seed and fold, and of the design's own split."""
    from codesign.stages.context import read_data

    derived = {name: one for name, one in space.derived.items() if name.startswith("data.")}
    if any(name.startswith("data.") for name in settings.space) or any(
        one.names != {"seed"} for one in derived.values()
    ):  # each trial has other data
        return {}
    folds: list[int | None] = [None]
    folds += list(range(settings.folds)) if settings.folds > 1 else []
    found: dict[tuple[int, int | None], str] = {}
    for seed, fold in itertools.product(seeds, folds):
        if derived or seed == seeds[0]:
            own = {} if fold is None else {"data.fold": [fold, settings.folds]}
            own |= {name: one.value({"seed": seed}) for name, one in derived.items()}
            found[seed, fold] = read_data(design, read_design(design, {**overrides, **own})).digest
        else:  # the split is the design's
            found[seed, fold] = found[seeds[0], fold]
    return found


def _packed(design: Path) -> bytes | None:
    """The design's folder for workers without this disk; ``None`` if it is too large to send."""
    size = sum(path.stat().st_size for path in design.rglob("*") if path.is_file())
    return pack(design) if size <= _MOST_PACKED else None


def _refuse_other_search(folder: Path, digests: Mapping[str, str], settings: SearchSettings) -> None:
    path = folder / ABOUT
    if not path.is_file():
        return
    try:
        about = read_json(path)
        before: Mapping[str, str] = about["digests"]
        kept: Mapping[str, Any] = about["settings"]
        other = [name for name, digest in digests.items() if before.get(name) != digest]
        changed = [name for name, value in _fixed(settings).items() if kept.get(name) != value]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise OutputFolderError(
            f"{path} is damaged; begin the search in another folder with --output"
        ) from None
    if other:
        words = {"search": ", ".join(changed) or "settings", "design": "design.yaml"}
        what = ", ".join(words.get(name, name) for name in other)
        raise OutputFolderError(
            f"{folder} holds a search with other {what}: its trials cannot be held against new ones; put that back, or "
            "begin in another folder with --output"
        )
