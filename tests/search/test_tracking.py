"""Trials in MLflow, in a folder: parameters, metrics, artefacts, once however often the search is begun."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from search_cases import Died, FakeExecutor, coordinate, failing, write_search

from codesign.errors import ToolError
from codesign.search.executor import Ended
from codesign.search.ledger import Ledger
from codesign.search.tracking import Tracker
from codesign.search.unit import Unit


def tracker_of(file: Path, mark: str = "mark") -> Tracker:
    from codesign.search.settings import read_search

    uri = (file.parent / "mlruns").as_uri()
    return Tracker(uri, file.parent / "search", mark, "a search", read_search(file)[0])


@pytest.fixture
def mlflow() -> Any:
    return pytest.importorskip("mlflow", reason="MLflow is not installed (the extra mlflow)")


def test_every_trial_is_one_run_however_often_the_search_is_begun(tmp_path: Path, mlflow: Any) -> None:
    def script(unit: Unit, attempt: int) -> Ended | None:
        return failing(unit, "final", "TrainingError: nan") if unit.trial == 2 else None

    file = write_search(tmp_path, seeds=[0, 1], budget={"trials": 6})
    run = tmp_path / "search" / "runs" / "00000" / "seed0"
    (run / "quantization").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (run / "quantization" / "precision_map.json").write_text("{}")
    with pytest.raises(Died):
        coordinate(file, FakeExecutor(script=script, die_after=9), tracker_of(file))
    ledger = coordinate(file, FakeExecutor(script=script), tracker_of(file))
    coordinate(file, FakeExecutor(script=script), tracker_of(file))
    tracker = tracker_of(file)
    found = {
        int(run.data.tags["codesign.trial"]): run for run in tracker.client.search_runs([tracker.experiment])
    }
    assert len(found) == len(tracker.client.search_runs([tracker.experiment])) == len(ledger.trials) == 6
    for number, line in ledger.trials.items():
        data = found[number].data
        assert data.params == {name: str(value) for name, value in line.params.items()}
        assert {name: data.metrics[name] for name in line.values} == line.values
        assert found[number].info.status == ("FAILED" if number == 2 else "FINISHED")
        proof = ledger.proofs.get(number)
        assert data.metrics.get("proved_lut") == (None if proof is None else proof.values["lut"])
    assert found[2].data.tags["codesign.reason"] == "TrainingError: nan"
    kept = [item.path for item in tracker.client.list_artifacts(found[0].info.run_id)]
    assert sorted(kept) == ["quantization", "run.json"]


def test_a_server_that_is_lost_ends_no_search(
    tmp_path: Path, mlflow: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_search(tmp_path, budget={"trials": 3}, proof=False)
    tracker = tracker_of(file)

    def lost(*_: Any, **__: Any) -> None:
        raise ConnectionError("connection refused\nmore")

    monkeypatch.setattr(tracker.client, "create_run", lost)
    with caplog.at_level(logging.WARNING):
        ledger = coordinate(file, FakeExecutor(), tracker)
    assert len(ledger.trials) == 3
    assert [record.getMessage() for record in caplog.records if "MLflow" in record.getMessage()] == [
        f"MLflow at {tracker.uri} is lost (connection refused); the same command writes what is missing"
    ]
    again = tracker_of(file)
    again.write(Ledger(tmp_path / "search"))
    assert len(again.known) == 3


def test_a_machine_without_mlflow_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"^--mlflow needs MLflow, .*; pip install 'codesign\[mlflow\]'$"):
        tracker_of(write_search(tmp_path))
