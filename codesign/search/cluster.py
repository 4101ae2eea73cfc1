"""Workers that a batch system starts: a strict file, made into the jobs of `dask-jobqueue`."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from codesign.core.yaml_text import read_yaml
from codesign.errors import SettingsError, ToolError, ToolNotFoundError
from codesign.settings import make_settings
from codesign.settings_base import Count, Positive, Section

_SIZE = re.compile(r"\d+(\.\d+)? ?[KMGT]i?B")


class ClusterSettings(Section):
    """How a batch system starts workers.

    `jobs` are kept in the queue; each runs `workers_a_job` workers of one thread. `memory` (and `disk` for HTCondor) is of
    a job, such as ``4 GB``. A worker ends by itself `margin_minutes` before the `walltime` (``HH:MM:SS``), and another job
    takes its place. `prologue` are lines of shell before the worker starts, `directives` further lines of the job's header
    (for HTCondor ``name = value``). `interface` is the network that scheduler and workers meet on (``ib0``); left out, the
    host's own address. `scratch` is a folder on the workers' own disks.
    """

    system: Literal["slurm", "htcondor"]
    jobs: Count
    workers_a_job: Count = 1
    cores_a_worker: Count = 1
    memory: str
    disk: str | None = None
    walltime: Annotated[str, Field(pattern=r"^\d+:[0-5]\d:[0-5]\d$")] = "02:00:00"
    margin_minutes: Annotated[int, Field(ge=1)] = 5
    queue: str | None = None
    account: str | None = None
    prologue: tuple[str, ...] = ()
    directives: tuple[str, ...] = ()
    interface: str | None = None
    scratch: str | None = None
    logs: str | None = None
    python: str | None = None
    wait_minutes: Positive = 30.0

    @field_validator("memory", "disk")
    @classmethod
    def _size(cls, value: str | None) -> str | None:
        if value is not None and not _SIZE.fullmatch(value):
            raise ValueError(f"must be a size such as 4 GB, not {value!r}")
        return value

    @model_validator(mode="after")
    def _of_the_system(self) -> ClusterSettings:
        if self.system == "htcondor":
            if self.disk is None:
                raise ValueError("disk: HTCondor wants the disk of a job, such as 2 GB")
            given = [name for name in ("queue", "account") if getattr(self, name) is not None]
            if given:
                raise ValueError(f"{given[0]}: HTCondor has none; give what your site wants as directives")
            if any("=" not in line for line in self.directives):
                raise ValueError("directives: HTCondor wants lines of the form name = value")
        elif self.disk is not None:
            raise ValueError("disk: Slurm has none; leave it out")
        if self.minutes <= self.margin_minutes:
            raise ValueError(f"margin_minutes: must be less than the walltime of {self.walltime}")
        return self

    @property
    def minutes(self) -> int:
        """The wall time in whole minutes."""
        hours, minutes, _ = (int(part) for part in self.walltime.split(":"))
        return 60 * hours + minutes


def read_cluster(path: str | Path) -> ClusterSettings:
    """Read a cluster's file.

    Raises
    ------
    SettingsError
        With every fault of the file.
    """
    path = Path(path)
    try:
        values = read_yaml(path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"--cluster: {path} cannot be read ({error}); docs/search.md has examples"
        ) from error
    if not isinstance(values, dict):
        raise SettingsError(f"must be a mapping of settings, not {type(values).__name__}", source=path)
    return make_settings(ClusterSettings, values, path)


def job_arguments(settings: ClusterSettings) -> dict[str, Any]:
    """What `dask_jobqueue` is told of a job."""
    alive = settings.minutes - settings.margin_minutes
    threads = str(settings.cores_a_worker)
    exports = [
        f"export {name}={threads}"
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    ]
    if settings.scratch is not None:
        exports.append(f"export CODESIGN_SCRATCH={settings.scratch}")
    arguments: dict[str, Any] = {
        # one thread a worker: TensorFlow's state is the process'
        "cores": settings.workers_a_job,
        "processes": settings.workers_a_job,
        "memory": settings.memory.replace(" ", ""),
        "interface": settings.interface,
        "local_directory": settings.scratch,
        "log_directory": settings.logs,
        "python": settings.python,
        "job_name": "codesign-search",
        "job_script_prologue": [*settings.prologue, *exports],
        # workers leave before the batch system kills them; those of one job not all at once
        "worker_extra_args": ["--lifetime", f"{alive}m", "--lifetime-stagger", "1m"],
        "scheduler_options": {"dashboard_address": "127.0.0.1:0"},
    }
    cores = settings.workers_a_job * settings.cores_a_worker
    if settings.system == "slurm":
        arguments |= {
            "queue": settings.queue,
            "account": settings.account,
            "walltime": settings.walltime,
            "job_cpu": cores,
            "job_extra_directives": list(settings.directives),
        }
    else:
        pairs = (line.partition("=") for line in settings.directives)
        arguments |= {
            "disk": str(settings.disk).replace(" ", ""),
            "job_extra_directives": {
                "RequestCpus": str(cores),
                **{name.strip(): value.strip() for name, _, value in pairs},
            },
        }
    return {name: value for name, value in arguments.items() if value is not None}


def load_jobqueue() -> ModuleType:
    """The module `dask_jobqueue`, or a `ToolError` where it is not installed.

    Its import makes Ctrl-C end the process at once; whoever took Ctrl-C before keeps it.
    """
    if importlib.util.find_spec("dask_jobqueue") is None:
        raise ToolError(
            "--cluster needs dask-jobqueue, which is not installed; pip install 'codesign[cluster]'"
        )
    handler = signal.getsignal(signal.SIGINT)
    try:
        return importlib.import_module("dask_jobqueue")
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def open_cluster(settings: ClusterSettings) -> Iterator[Any]:
    """A `dask_jobqueue` cluster with its jobs in the queue; they are taken out again at the end.

    Raises
    ------
    ToolNotFoundError
        If the batch system's command is not on this machine.
    ToolError
        If `dask-jobqueue` is not installed, or no job can be submitted.
    """
    import shutil

    import dask

    queues = load_jobqueue()
    kinds: Mapping[str, tuple[Any, str]] = {
        "slurm": (queues.SLURMCluster, "sbatch"),
        "htcondor": (queues.HTCondorCluster, "condor_submit"),
    }
    kind, command = kinds[settings.system]
    if shutil.which(command) is None:
        raise ToolNotFoundError(
            settings.system, [command], advice="run the search where jobs can be submitted"
        )
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        cluster = kind(**job_arguments(settings))
        try:
            cluster.scale(jobs=settings.jobs)
            yield cluster
        finally:
            cluster.close(timeout=30)
