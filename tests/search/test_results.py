"""What is shown of a search: fronts by hand, the page, CSV, pictures, and the best design for a budget."""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from search_cases import FakeExecutor, coordinate, failing, write_search

from codesign.core.locks import Owner
from codesign.errors import OutputFolderError, SearchError, SettingsError
from codesign.search.executor import Ended
from codesign.search.front import non_dominated_ranks
from codesign.search.importance import importances
from codesign.search.ledger import read_progress, write_progress
from codesign.search.page import render_result, write_result, write_results
from codesign.search.results import Found, choose_best, read_found, status_tables, trials_csv, write_best
from codesign.search.unit import Unit
from codesign.settings import read_design

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=25)


PAIRS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=40)


@given(st.one_of(POINTS, PAIRS))
def test_ranks_are_those_of_the_definition(points: list[tuple[int, ...]]) -> None:
    def dominates(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
        return all(a <= b for a, b in zip(one, other, strict=True)) and one != other

    left, rank, expected = set(range(len(points))), 0, {}
    while left:
        front = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        expected |= dict.fromkeys(front, rank)
        left, rank = left - front, rank + 1
    assert non_dominated_ranks(points) == [expected[i] for i in range(len(points))]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("search")

    def script(unit: Unit, attempt: int) -> Ended | None:
        return failing(unit, "final", "TrainingError: <nan> & more") if unit.trial == 2 else None

    coordinate(write_search(folder, budget={"trials": 25}), FakeExecutor(script=script))
    return read_found(folder)


def test_the_table_has_every_trial_and_says_what_is_proved(found: Found) -> None:
    rows = {int(row["trial"]): row for row in csv.DictReader(io.StringIO(trials_csv(found)))}
    assert len(rows) == 25
    assert rows[2]["state"] == "failed"
    assert rows[2]["reason"] == "TrainingError: <nan> & more"
    front = {line.number for line in found.front}
    for number, row in rows.items():
        assert (row["front"] == "1") is (number in front)
        assert row["proof"] == ("proved" if number in front else "estimate")
        if number in front:
            line = found.ledger.trials[number]
            assert float(row["luts"]) == line.values["luts"]
            assert float(row["proved_lut"]) == 0.9 * line.values["luts"]


def test_the_page_needs_no_other_file_and_marks_estimates(found: Found) -> None:
    page = render_result(found)
    assert "<script src" not in page
    assert 'href="http' not in page
    assert "&lt;nan&gt; &amp; more" in page
    assert "<nan>" not in page
    for title in (
        "Quality against cost",
        "Parallel coordinates",
        "Importance for LUTs, estimate",
        "The front",
        "All trials",
    ):
        assert title in page
    assert page.count('class="state proved"') == 2 * len(found.front)
    assert page.count('class="state estimate"') == 25 - 1 - len(found.front)
    assert "not run here, so not part of the proofs: csim: no compiler" in page


def test_files_for_slides_and_tables(found: Found, tmp_path: Path) -> None:
    assert write_results(found) == found.folder / "result.html"
    assert (found.folder / "plots" / "front-0.svg").read_text().startswith("<?xml")
    assert (found.folder / "plots" / "parallel.png").read_bytes().startswith(b"\x89PNG")
    assert write_result(found, tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    assert write_result(found, tmp_path / "all.csv").read_text() == trials_csv(found)
    with pytest.raises(SettingsError, match=r"must end in \.html, \.csv, \.png, \.svg or \.pdf$"):
        write_result(found, tmp_path / "all.doc")


def test_importance_is_of_what_decides(found: Found) -> None:
    by_name = {importance.objective: importance for importance in importances(found)}
    assert set(by_name) == {"quality", "luts"}
    for importance in by_name.values():
        assert sum(importance.shares.values()) == pytest.approx(1.0)
        assert importance.n_trials == 24
    assert by_name["luts"].r2 > 0.3


def test_the_status_says_what_failed_and_why(found: Found) -> None:
    tables, notes = status_tables(found)
    cells = {table.title: table.rows for table in tables}
    assert cells["Failed"] == (("2", "TrainingError: <nan> & more"),)
    assert dict(cells[f"Search in {found.folder}"])["complete"] == "24"
    assert len(cells["Front"]) == len(found.front)
    assert not [note for note in notes if "cut off" in note]


def test_the_best_for_a_budget_or_a_quality(found: Found) -> None:
    lut = {line.number: found.ledger.proofs[line.number].values["lut"] for line in found.front}
    budget = sorted(lut.values())[len(lut) // 2]
    line, proof = choose_best(found, budget_luts=budget)
    assert proof is not None
    able = [other for other in found.front if lut[other.number] <= budget]
    assert line.values["quality"] == max(other.values["quality"] for other in able)
    wanted = line.values["quality"]
    again, _ = choose_best(found, quality=wanted)
    assert lut[again.number] == min(lut[o.number] for o in found.front if o.values["quality"] >= wanted)
    with pytest.raises(
        SearchError, match=r"^--budget-luts 1: the smallest point of the front, trial \d+, takes "
    ):
        choose_best(found, budget_luts=1)
    with pytest.raises(
        SearchError, match=r"^--quality 1\.1: the best point of the front, trial \d+, reaches 0\."
    ):
        choose_best(found, quality=1.1)
    with pytest.raises(SettingsError, match=r"^give --budget-luts or --quality, one of them$"):
        choose_best(found)


def test_the_best_is_written_as_the_design_that_was_run(found: Found, tmp_path: Path) -> None:
    line = found.front[0]
    folder = write_best(found, line, tmp_path / "models" / "smallest")
    written = read_design(folder)
    asked = read_design(found.about["design"], {**line.params, "seed": 0})
    assert written.name == "smallest"
    assert written.model_copy(update={"name": asked.name}) == asked
    assert (folder / "networks.py").read_bytes() == (Path(found.about["design"]) / "networks.py").read_bytes()
    with pytest.raises(OutputFolderError, match=r"smallest is there already"):
        write_best(found, line, folder)


def test_files_of_the_design_are_found_from_the_new_folder(tmp_path: Path) -> None:
    file = write_search(tmp_path, budget={"trials": 1})
    design = tmp_path / "design"
    values = yaml.safe_load((design / "design.yaml").read_text())
    from sklearn.datasets import load_digits

    digits = load_digits()
    import numpy as np

    np.savez(design / "mine.npz", x=digits.data[:400], y=digits.target[:400])
    values["data"] = {"source": "mine.npz"}
    (design / "design.yaml").write_text(yaml.safe_dump(values))
    coordinate(file, FakeExecutor())
    found = read_found(tmp_path)
    folder = write_best(found, found.front[0], tmp_path / "deeper" / "models" / "best")
    source = read_design(folder).data.source
    assert isinstance(source, str)
    assert (folder / source).resolve() == design / "mine.npz"


@pytest.mark.parametrize(
    ("changed", "running"),
    [({}, "1"), ({"start": 1}, "0"), ({"place": "elsewhere"}, "1"), ({"pid": "x"}, "0"), (None, "0")],
)
def test_a_search_runs_while_its_own_process_does(
    found: Found, tmp_path: Path, changed, running: str
) -> None:
    folder = shutil.copytree(found.folder, tmp_path / "search")
    said = read_progress(folder)
    assert said["owner"] == asdict(Owner.here())
    owner = {} if changed is None else {"owner": {**said["owner"], **changed}}
    del said["owner"]
    row = {"trial": 7, "unit": "7-0", "worker": "w", "for_s": 3.0}
    write_progress(folder, {**said, **owner, "ended": False, "running": [row]})
    tables, _ = status_tables(read_found(folder))
    assert dict(tables[0].rows)["running"] == running
