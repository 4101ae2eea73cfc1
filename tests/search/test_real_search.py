"""Searches that train: a trial is an ordinary run, travels where no disk is shared, and its best repeats to the same numbers."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_cases import write_search
from sklearn.datasets import load_digits
from tiny_design import codesign

from codesign.core.files import read_json
from codesign.errors import WorkerRefusedError
from codesign.flow import run_design
from codesign.search.objectives import measure
from codesign.search.run import make_plan, run_search
from codesign.search.settings import read_search
from codesign.search.unit import CSYNTH, Unit, execute, pack, unpack
from codesign.search.vendor import read_vendor_plan, write_vendor_plan
from codesign.settings import read_design

FAKE_TOOLS = Path(__file__).parents[1] / "fake_tools" / "bin"


def unit_of(file: Path, **changes: Any) -> Unit:
    """The first run of a search's trial 0."""
    settings, _ = read_search(file)
    folder = file.parent / "search"
    folder.mkdir(exist_ok=True)
    plan = make_plan(settings, file, folder)
    unit = Unit(
        key="00000-run-seed0",
        trial=0,
        kind="run",
        design=str(plan.design),
        folder="runs/00000/seed0",
        home=str(folder),
        mark=plan.mark,
        overrides={**plan.overrides, "student.width1": 5, "student.width2": 3, "seed": 0},
        until="quantization",
        wanted=("quality", "luts"),
        identity=plan.identity,
        data=plan.data[plan.seeds[0], None],
        packed=plan.packed,
    )
    return replace(unit, **changes)


def own_data(folder: Path) -> Path:
    """A search on a file of data."""
    file = write_search(folder)
    digits = load_digits()
    np.savez(folder / "design" / "mine.npz", x=digits.data[:400], y=digits.target[:400])
    text = (folder / "design" / "design.yaml").read_text()
    (folder / "design" / "design.yaml").write_text(text.replace("source: digits", "source: mine.npz"))
    assert read_design(folder / "design").data.source == "mine.npz"
    return file


def test_data_that_are_edited_under_a_search_are_refused(tmp_path: Path) -> None:
    unit = unit_of(own_data(tmp_path))
    path = tmp_path / "design" / "mine.npz"
    arrays = dict(np.load(path))
    arrays["x"][0, 20] += 1
    np.savez(path, **arrays)
    with pytest.raises(WorkerRefusedError, match=r" finds other data than the search began with \(digest "):
        execute(unit)
    assert not (tmp_path / "search" / "runs").exists()


@pytest.mark.slow
def test_a_worker_without_the_disk_sends_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = unit_of(own_data(tmp_path))
    here = execute(unit)
    assert here.packed is None
    monkeypatch.setenv("CODESIGN_SCRATCH", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    (tmp_path / "design").rename(tmp_path / "nowhere")
    there = execute(replace(unit, home="/of/another/machine", folder="runs/00001/seed0"))
    assert there.values == here.values
    assert there.packed is not None
    unpack(there.packed, tmp_path / "search" / "runs" / "00001" / "seed0")
    travelled = tmp_path / "search" / "runs" / "00001" / "seed0"
    assert measure(travelled, unit.wanted) == here.values


def timeless(value: Any) -> Any:
    """Without how long things took."""
    if isinstance(value, dict):
        return {name: timeless(entry) for name, entry in value.items() if name != "seconds"}
    return [timeless(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_best_of_a_search_repeats_to_the_same_numbers(tmp_path: Path) -> None:
    write_search(
        tmp_path,
        budget={"trials": 3},
        settings={"hardware.open_rtl": True, "student.width2": 3},
        space={"student.width1": {"type": "int", "low": 3, "high": 6}},
    )
    ledger = run_search(tmp_path, workers=1).ledger
    assert {line.state for line in ledger.trials.values()} == {"complete"}
    assert {proof.state for proof in ledger.proofs.values()} == {"proved"}
    best = codesign("search", "best", tmp_path, "--budget-luts", "100000", cwd=tmp_path)
    assert best.returncode == 0, best.stdout + best.stderr
    design = tmp_path / "models" / "design_best"
    number = int((design / "design.yaml").read_text().split("# Trial ")[1].split()[0])
    run_design(design, output=tmp_path / "again")
    line = ledger.trials[number]
    assert measure(tmp_path / "again", ("quality", "luts")) == line.values
    trial = tmp_path / "search" / ledger.proofs[number].folder
    for stage in ("quantization", "project", "rtl"):
        one, other = (
            read_json(folder / stage / "stage.json")["record"] for folder in (trial, tmp_path / "again")
        )
        assert timeless(one["metrics"]) == timeless(other["metrics"]), stage
    summaries = [read_json(folder / "summary.json") for folder in (trial, tmp_path / "again")]
    assert timeless(summaries[0]["verification"]) == timeless(summaries[1]["verification"])
    for command in (("report", trial), ("compare", trial, tmp_path / "again")):
        told = codesign(*command, cwd=tmp_path)
        assert told.returncode == 0, (command, told.stdout + told.stderr)


@pytest.mark.slow
def test_the_vendors_synthesis_runs_here_or_from_a_plan_elsewhere_to_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XILINX_HLS", "XILINX_VITIS", "CODESIGN_VITIS", "CODESIGN_VITIS_HLS", "FAKE_BEHAVIOUR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    unit = unit_of(write_search(tmp_path), kind="proof", until="verification")
    home = tmp_path / "search"
    assert execute(unit).values["validation_quality"] > 0
    without = execute(replace(unit, kind="vendor", until=None))
    assert without.values == {}
    assert set(without.notes) == {CSYNTH}
    assert (home / unit.folder / "run.html").is_file()

    plan = write_vendor_plan(home, 0, unit.folder)
    assert read_vendor_plan(home, 0, unit.folder) is None
    monkeypatch.setenv("PATH", f"{FAKE_TOOLS}{os.pathsep}{os.environ['PATH']}")
    # the machine with the licences has the folder alone
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(plan, elsewhere)
    subprocess.run(["sh", "run.sh"], cwd=elsewhere, check=True, capture_output=True)
    shutil.rmtree(plan)
    shutil.copytree(elsewhere, plan)
    collected = read_vendor_plan(home, 0, unit.folder)

    fresh = replace(unit, folder="runs/00001/seed0")
    execute(fresh)
    here = execute(replace(fresh, kind="vendor", until=None))
    assert here.notes == {}
    assert collected == here.values
    assert {"csynth_lut", "csynth_ff", "csynth_latency_cycles"} <= set(here.values)

    monkeypatch.setenv("FAKE_BEHAVIOUR", "csynth=licence")
    plan = write_vendor_plan(home, 0, unit.folder)
    subprocess.run(["sh", "run.sh"], cwd=plan, check=False, capture_output=True)
    why = read_vendor_plan(home, 0, unit.folder)
    assert isinstance(why, str)
    assert "licen" in why


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_further_points_of_learned_widths_are_runs_that_repeat_without_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = {"steps": 400, "batch_size": 64, "cycles": 1, "first_price": 1e-6, "last_price": 1e-2}
    target = {"quantization.learned.target_luts": {"type": "float", "low": 400.0, "high": 500.0}}
    write_search(
        tmp_path,
        budget={"trials": 2},
        points=2,
        seeds=[0, 1],
        space={"student.width1": {"type": "int", "low": 5, "high": 6}, **target},
        derived={"quantization.learned.budget_luts": "9 * quantization.learned.target_luts"},
        settings={
            "hardware.open_rtl": True,
            "student.width2": 3,
            "quantization.method": "learned",
            **{f"quantization.learned.{name}": value for name, value in learned.items()},
        },
    )
    ledger = run_search(tmp_path, workers=1).ledger
    further = [line for line in ledger.trials.values() if line.of is not None]
    assert further
    home = tmp_path / "search"
    for line in further:
        assert line.state == "complete", line.reason
        assert line.of is not None
        for seed in (0, 1):
            own, parent = (
                home / "runs" / f"{number:05}" / f"seed{seed}" for number in (line.number, line.of)
            )
            table = read_json(own / "quantization" / "front.json")
            assert table == read_json(parent / "quantization" / "front.json")
            budget = line.params["quantization.learned.budget_luts"]
            chosen = [point for point in table["points"] if point["luts"] <= budget][-1]
            assert measure(own, ("quality",))["quality"] == pytest.approx(chosen["validation_quality"])
    proved = [line for line in further if line.number in ledger.proofs]
    assert proved
    line = proved[0]
    assert ledger.proofs[line.number].state == "proved", ledger.proofs[line.number].reason
    # a worker that sees no disk gets the training along
    unit = unit_of(tmp_path / "search.yaml")
    begins = f"runs/{line.of:05}/seed0"
    monkeypatch.setenv("CODESIGN_SCRATCH", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    overrides = {**read_json(home / "search.json")["overrides"], **line.params, "seed": 0}
    there = execute(
        replace(
            unit,
            home="/of/another/machine",
            folder="runs/00099/seed0",
            overrides=overrides,
            begins=begins,
            run=pack(home / begins),
        )
    )
    assert there.values == measure(home / "runs" / f"{line.number:05}" / "seed0", ("quality", "luts"))
