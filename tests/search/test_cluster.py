"""Batch systems: strict files, the text of the jobs, and a whole start and end against a fake `sbatch`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from codesign.errors import SettingsError, ToolError, ToolNotFoundError
from codesign.search.cluster import job_arguments, load_jobqueue, open_cluster, read_cluster

try:
    load_jobqueue()
except ToolError as error:
    pytest.skip(str(error), allow_module_level=True)

SLURM = {
    "system": "slurm",
    "jobs": 2,
    "workers_a_job": 3,
    "cores_a_worker": 2,
    "memory": "6 GB",
    "walltime": "01:30:00",
    "queue": "short",
    "account": "hep",
    "prologue": ["module load python/3.11"],
    "directives": ["--constraint=avx2"],
    "scratch": "/scratch/me",
}
CONDOR = {
    "system": "htcondor",
    "jobs": 2,
    "memory": "4 GB",
    "disk": "2 GB",
    "directives": ['+JobFlavour = "longlunch"'],
}


def write(folder: Path, values: object) -> Path:
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        (
            {"memmory": "4 GB", "walltime": "2h", "jobs": 0},
            (
                "jobs: should be greater than or equal to 1, not 0",
                "walltime: string should match pattern '^\\d+:[0-5]\\d:[0-5]\\d$', not '2h'",
                "memmory: unknown setting; did you mean memory?",
            ),
        ),
        ({"memory": "lots"}, ("memory: must be a size such as 4 GB, not 'lots'",)),
        ({"disk": "1 GB"}, (": disk: Slurm has none; leave it out",)),
        ({"walltime": "00:04:00"}, (": margin_minutes: must be less than the walltime of 00:04:00",)),
    ],
)
def test_all_faults_of_a_file_together(
    tmp_path: Path, changes: dict[str, object], faults: tuple[str, ...]
) -> None:
    with pytest.raises(SettingsError) as caught:
        read_cluster(write(tmp_path, {**SLURM, **changes}))
    assert caught.value.faults == faults


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({**CONDOR, "disk": None}, "disk: HTCondor wants the disk of a job, such as 2 GB"),
        ({**CONDOR, "queue": "a"}, "queue: HTCondor has none; give what your site wants as directives"),
        ({**CONDOR, "directives": ["universe"]}, "directives: HTCondor wants lines of the form name = value"),
    ],
)
def test_what_htcondor_wants(tmp_path: Path, values: dict[str, object], fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        read_cluster(write(tmp_path, values))


def test_a_machine_without_the_batch_system_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = read_cluster(write(tmp_path, SLURM))
    with (
        pytest.raises(ToolNotFoundError, match=r"^slurm was not found \(looked for sbatch\)"),
        open_cluster(settings),
    ):
        pass


def test_the_text_of_the_jobs(tmp_path: Path) -> None:
    from dask_jobqueue.htcondor import HTCondorJob
    from dask_jobqueue.slurm import SLURMJob

    def script(kind: type, values: object) -> list[str]:
        arguments = job_arguments(read_cluster(write(tmp_path, values)))
        arguments.pop("scheduler_options")
        text: str = kind(scheduler="tcp://10.0.0.1:8786", name="0", **arguments).job_script()
        return text.splitlines()

    slurm = script(SLURMJob, SLURM)
    for line in (
        "#SBATCH -p short",
        "#SBATCH -A hep",
        "#SBATCH --cpus-per-task=6",
        "#SBATCH --mem=6G",
        "#SBATCH -t 01:30:00",
        "#SBATCH --constraint=avx2",
        "module load python/3.11",
        "export OMP_NUM_THREADS=2",
        "export CODESIGN_SCRATCH=/scratch/me",
    ):
        assert line in slurm
    assert "--nthreads 1 " in slurm[-1]
    assert "--nworkers 3 --nanny" in slurm[-1]
    assert "--lifetime 85m --lifetime-stagger 1m" in slurm[-1]
    assert "tcp://10.0.0.1:8786" in slurm[-1]
    condor = script(HTCondorJob, CONDOR)
    for line in ("RequestCpus = 1", '+JobFlavour = "longlunch"', "MY.DaskWorkerMemory = 4000000000"):
        assert line in condor
    assert any("--lifetime 115m" in line for line in condor)


SBATCH = """#!/bin/sh
cp "$1" {folder}/copy-$$ && mv {folder}/copy-$$ {folder}/job-$$.sh
echo "Submitted batch job $$"
"""
CONDOR_SUBMIT = """#!/bin/sh
cp "$1" {folder}/copy-$$ && mv {folder}/copy-$$ {folder}/job-$$.sh
echo "Submitting job(s)."
echo "1 job(s) submitted to cluster $$."
"""
CANCEL = """#!/bin/sh
echo "$@" >> {folder}/cancelled
"""


@pytest.mark.parametrize("system", ["slurm", "htcondor"])
def test_jobs_are_submitted_and_taken_out_of_the_queue_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    texts = {"sbatch": SBATCH, "condor_submit": CONDOR_SUBMIT, "scancel": CANCEL, "condor_rm": CANCEL}
    for name, text in texts.items():
        (tmp_path / name).write_text(text.format(folder=tmp_path))
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    values = {**(SLURM if system == "slurm" else CONDOR), "scratch": str(tmp_path), "interface": "lo"}
    with open_cluster(read_cluster(write(tmp_path, values))) as cluster:
        until = time.monotonic() + 60
        while len(list(tmp_path.glob("job-*.sh"))) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        jobs = list(tmp_path.glob("job-*.sh"))
        assert len(jobs) == 2
        address = cluster.scheduler_address
        assert address.startswith("tcp://127.0.0.1:")
        assert all(address in job.read_text() for job in jobs)
        numbers = {job.stem.removeprefix("job-") for job in jobs}
    cancelled = {word.removesuffix(".0") for word in (tmp_path / "cancelled").read_text().split()}
    assert cancelled >= numbers


def test_ctrl_c_stays_with_whom_it_was() -> None:
    code = (
        "import signal; from codesign.search.cluster import load_jobqueue; before = signal.getsignal(signal.SIGINT); "
        "load_jobqueue(); assert signal.getsignal(signal.SIGINT) is before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
