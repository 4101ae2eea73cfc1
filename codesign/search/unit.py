"""One run of a trial as a value that travels to a worker, and what the worker does with it."""

from __future__ import annotations

import functools
import io
import os
import platform
import random
import socket
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from codesign.core.files import json_digest, read_json, tree_digests, write_json
from codesign.core.record import versions
from codesign.core.sealed import whole_folder
from codesign.core.shown import Brief
from codesign.errors import CodesignError, FolderInUseError, OutputFolderError, ToolError, WorkerRefusedError

MARK = "search-mark.json"
"""By it a worker knows whether it sees the search's own folder."""

CSYNTH = "vendor C synthesis"
"""What notes call what the vendor's tool is needed for."""

Kind = Literal["rung", "run", "proof", "vendor"]

_WAIT_S = 600.0
"""How long a worker waits for another process, thought dead, that still works in a run's folder."""


@dataclass(frozen=True)
class Unit(Brief):
    """One run of a trial, complete in itself.

    Parameters
    ----------
    key
        Names the run in the search: trial, kind, seed, fold, epochs.
    trial
        The trial's number.
    kind
        ``rung``, a short training; ``run``, one of the trial's full ones; ``proof``, the stages up to the ladder;
        ``vendor``, those behind it, which take a licence.
    design
        The design's folder.
    folder
        The run's folder below `home`.
    home
        The search's folder.
    mark
        What `MARK` holds there, to know it by.
    overrides
        Settings by dotted path.
    until
        The stage to end after; ``None`` for all.
    wanted
        The numbers to read.
    identity
        What `worker_identity` must be.
    data
        The digest of the data that the run must find; ``None`` if nobody knows.
    cache_bytes
        What the cache of shared stages may hold.
    packed
        The design's folder as a tar, for workers that do not see it.
    begins
        The folder of the run below `home` whose stages this one begins with: another point of its training.
    run
        That folder, or for the vendor's steps the run's own, as a tar for workers that do not see it.
    """

    key: str
    trial: int
    kind: Kind
    design: str
    folder: str
    home: str
    mark: str
    overrides: Mapping[str, Any]
    until: str | None
    wanted: tuple[str, ...]
    identity: Mapping[str, str]
    data: str | None = None
    cache_bytes: float = 2e9
    packed: bytes | None = field(default=None, repr=False)
    begins: str = ""
    run: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Outcome:
    """What came of a unit.

    Parameters
    ----------
    values
        The numbers by name; for a proof those of hardware.
    seconds
        How long it took.
    worker
        Host and process.
    notes
        What a proof could not do, each with its reason.
    packed
        The run's folder as a tar, where the worker does not see the search's folder.
    """

    values: Mapping[str, float]
    seconds: float
    worker: str
    notes: Mapping[str, str] = field(default_factory=dict)
    packed: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Failure:
    """Why a unit came to nothing, as plain words: not every exception travels.

    Parameters
    ----------
    reason
        What was raised.
    kind
        ``trial``, it may go better again; ``final``, the same settings on the same data would raise the same;
        ``refused``, the worker is not of this search; ``disk``, the search's folder cannot be written; ``spoilt``,
        nobody expected it, and the process may be no good any more.
    address
        The worker's, for the cluster.
    """

    reason: str
    kind: Literal["trial", "final", "refused", "disk", "spoilt"]
    address: str


def attempt(work: Callable[[Unit], Outcome], unit: Unit) -> Outcome | Failure:
    """Do a unit on a worker; what it raises comes back as words."""
    _leave_random_numbers_alone()
    try:
        return work(unit)
    except WorkerRefusedError as error:
        return Failure(str(error), "refused", _address())
    except OutputFolderError as error:
        return Failure(str(error), "disk", _address())
    except ToolError as error:  # a compiler that was killed
        return Failure(f"{type(error).__name__}: {error}", "trial", _address())
    except CodesignError as error:
        return Failure(f"{type(error).__name__}: {error}", "final", _address())
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}", "spoilt", _address())


def _leave_random_numbers_alone() -> None:
    """Give Dask random numbers of its own.

    Its threads draw some at every heartbeat (`dask.sizeof`), from the generator of the module `random`, of which Keras takes
    the seeds of its layers: the same trial would come out otherwise each time.
    """
    shared = random.getrandbits.__self__  # type: ignore[attr-defined]
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("dask", "distributed", "tornado"):
            for word, value in list(vars(module).items()):
                if value is random:
                    setattr(module, word, _DASKS_OWN)
                elif getattr(value, "__self__", None) is shared:
                    setattr(module, word, getattr(_DASKS_OWN, value.__name__))


_DASKS_OWN = random.Random()


def _address() -> str:
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:  # called outside a worker
        return ""


def execute(unit: Unit) -> Outcome:
    """Do a unit on the machine that this is called on.

    Raises
    ------
    WorkerRefusedError
        If code, Python, packages or data are others than those of the search.
    CodesignError
        What the run raised.
    """
    started = time.monotonic()
    refuse_other_identity(unit.identity)
    sees = _sees_home(unit)
    home = Path(unit.home) if sees else _scratch_home(unit)
    design = Path(unit.design) if sees else _unpacked_design(unit)
    folder = home / unit.folder
    if not sees and unit.run is not None:
        unpack(unit.run, home / (unit.begins or unit.folder))
    _check_data(unit, design)
    _run(unit, design, folder, home)
    values, notes = _measured(unit, folder)
    # modules that were loaded late would be those of an edited package
    refuse_other_identity(unit.identity, now=True)
    seconds = time.monotonic() - started
    return Outcome(values, seconds, worker_name(), notes, None if sees else pack(folder))


def _run(unit: Unit, design: Path, folder: Path, home: Path) -> None:
    from codesign.flow import run_design, take_stages
    from codesign.stages.cache import StageCache

    cache = StageCache(home / "cache", unit.cache_bytes)
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            if unit.begins:
                take_stages(home / unit.begins, folder, until="quantization")
            # a run that another worker finished without the vendor's tool is not finished where the tool is
            run_design(
                design,
                output=folder,
                overrides=unit.overrides,
                until=unit.until,
                overwrite=unit.kind == "vendor" or bool(unit.begins),
                cache=cache,
            )
            return
        except FolderInUseError:
            # a worker that was given up may still be at it; its result is this one
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)


def _measured(unit: Unit, folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    from codesign.search.objectives import measure, short_quality

    if unit.kind == "rung":
        return short_quality(folder), {}
    if unit.kind == "run":
        return measure(folder, unit.wanted), {}
    return vendor_values(folder) if unit.kind == "vendor" else proved_values(folder)


def proved_values(folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    """What a finished run's hardware takes, and what of its proof could not be done here.

    The numbers are those of the open RTL: `lut` counted by Yosys, `latency_cycles` and `latency_ns`; and the
    `validation_quality` that the run reached.
    """
    from codesign.stages import open_run

    context = open_run(folder)
    rtl = context.records["rtl"].metrics
    names = ("lut", "ff", "dsp", "latency_cycles", "latency_ns", "interval_cycles", "estimated_lut")
    values = {name: float(rtl[name]) for name in names if isinstance(rtl.get(name), int | float)}
    metrics = context.records["quantization"].metrics
    values["validation_quality"] = float(metrics[f"validation_{context.dataset.task.measure}"])
    notes = dict(context.stages["verification"].not_done(context))
    notes |= context.stages["rtl"].not_done(context)
    return values, notes


def vendor_values(folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    """What the vendor's synthesis says of a finished run, or why it says nothing: `csynth_lut`, `csynth_ff`, ..."""
    from codesign.stages import open_run

    metrics = open_run(folder).records["csynth"].metrics
    if "csynth" in metrics:
        return csynth_values(metrics["csynth"]), {}
    return {}, {CSYNTH: str(metrics["skipped"])}


def csynth_values(report: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a report of C synthesis as a proof keeps them."""
    latency, interval = report.get("latency_cycles_max"), report.get("interval_cycles_max")
    found = {**report["used"], "latency_cycles": latency, "interval_cycles": interval}
    return {f"csynth_{name}": float(value) for name, value in found.items() if value is not None}


def _check_data(unit: Unit, design: Path) -> None:
    from codesign.settings import read_design
    from codesign.stages.context import read_data

    if unit.data is None:
        return
    found = read_data(design, read_design(design, unit.overrides)).digest
    if found != unit.data:
        raise WorkerRefusedError(
            f"{worker_name()} finds other data than the search began with (digest {found[:12]}, not {unit.data[:12]}); "
            "put the files back, or begin a new search"
        )


def _sees_home(unit: Unit) -> bool:
    try:
        return bool(read_json(Path(unit.home) / MARK)["mark"] == unit.mark)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _scratch_home(unit: Unit) -> Path:
    """Where a worker without the search's disk keeps its runs and its cache."""
    place = Path(os.environ.get("CODESIGN_SCRATCH", tempfile.gettempdir()))
    home = place / f"codesign-search-{os.getuid()}-{unit.mark[:16]}"
    home.mkdir(parents=True, exist_ok=True)
    return home


def _unpacked_design(unit: Unit) -> Path:
    if unit.packed is None:
        raise WorkerRefusedError(
            f"{worker_name()} does not see {unit.home}, and the design was not sent along; give the workers that disk"
        )
    # always the same folder: a run belongs to its design's
    folder = _scratch_home(unit) / "design"
    if not folder.is_dir():
        try:
            unpack(unit.packed, folder)
        except OSError:
            if not folder.is_dir():  # nor did another worker put it there meanwhile
                raise
    return folder


def pack(folder: str | Path) -> bytes:
    """A folder as a tar."""
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w:gz", compresslevel=1) as archive:
        archive.add(folder, arcname=".")
    return kept.getvalue()


def unpack(data: bytes, folder: Path) -> None:
    """Put a packed folder in its place, whole or not at all."""
    with whole_folder(folder) as made, tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        if hasattr(tarfile, "data_filter"):  # not before Python 3.11.4
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(made)


def worker_name() -> str:
    """Host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


@functools.cache
def worker_identity() -> dict[str, str]:
    """What decides the numbers that this process computes, as it was when it began to work."""
    return _identity_now()


def _identity_now() -> dict[str, str]:
    """Python, the versions of the packages, and the digest of every file of this one."""
    import codesign

    package = Path(codesign.__file__).parent
    files = [path.relative_to(package).as_posix() for path in package.rglob("*.py")]
    return {
        "Python": platform.python_version(),
        "packages": json_digest(versions())[:16],
        "code": json_digest(tree_digests(package, files))[:16],
        "machine": f"{sys.platform} {platform.machine()}",
    }


def refuse_other_identity(wanted: Mapping[str, str], *, now: bool = False) -> None:
    """Raise `WorkerRefusedError` if this process, or `now` what it would load, is not what the search was begun with."""
    own = _identity_now() if now else worker_identity()
    other = [
        f"{name} {own.get(name)}, not {value}" for name, value in wanted.items() if own.get(name) != value
    ]
    if other:
        raise WorkerRefusedError(
            f"{worker_name()} is another worker than the search wants ({'; '.join(other)}); install the same codesign and "
            "Python there and start the worker again"
        )


def write_mark(home: Path) -> str:
    """The mark of a search's folder, made when it is not there."""
    path = home / MARK
    if not path.is_file():
        write_json(path, {"mark": os.urandom(16).hex()})
    return str(read_json(path)["mark"])
