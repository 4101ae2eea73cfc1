"""The precision study: its grid, what its table says of given rows, and every method once on few samples."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from small_searches import clouds, points_of, run_small

from codesign.errors import SearchError
from codesign.search.results import read_found
from studies.precision.report import METHODS, claims, grouped, method_of, write_results
from studies.runs import report_command, runs_of


def test_the_grid_has_every_method_and_each_variant_once(tmp_path: Path) -> None:
    found = Counter(map(method_of, points_of("precision", tmp_path)))
    assert set(found.values()) == {1}
    assert Counter(method for method, _ in found) == {
        "uniform QAT": 8,
        "uniform QAT, clipped": 4,
        "scanned QAT": 3,
        "scanned QAT, clipped": 3,
        "Hessian-aware QAT": 4,
        "Hessian-aware QAT, clipped": 4,
    }


@pytest.mark.slow
def test_every_method_is_measured_and_reported(tmp_path: Path) -> None:
    settings = {
        "data.source": str(clouds(tmp_path / "clouds.npz")),
        "teacher.epochs": 2,
        "distillation.epochs": 2,
        "quantization.epochs": 1,
    }
    choices: dict[str, list[Any]] = {
        "scan.tolerance": [0.2, 0.99],
        "scan.most_bits": [4, 6],
        "scan.budget": [0.15],
    }
    folder = run_small("precision/search.yaml", tmp_path, choices, settings)
    text = write_results(folder, "clouds")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert {row[0].removeprefix("| ") for row in rows} == set(METHODS)
    bops = {(row[0].removeprefix("| "), row[1]): row[3] for row in rows}
    # the same formats before the training and after it: kernels that became zero save some
    before, after = (
        float(bops[method, "6 bits"].replace(",", "")) for method in ("fixed-point PTQ", "uniform QAT")
    )
    assert after == pytest.approx(before, rel=0.05)
    assert "uniform QAT at 6 bits loses" in text
    assert (folder / "report.md").read_text() == text
    assert (folder / "report.png").is_file()
    digests = {run.seed: run.context.dataset.digest for run in runs_of(read_found(folder))}
    assert len(set(digests.values())) == 2, "each seed has a split of its own"


def test_the_command_prints_the_report_or_what_is_missing(tmp_path: Path, capsys: Any) -> None:
    given = ["runs/some", "--name", "clouds"]
    assert report_command("studies.some", "Some.", lambda folder, name: f"{name} of {folder}", given) == 0
    assert capsys.readouterr() == ("clouds of runs/some\n", "")
    assert report_command("studies.some", "Some.", write_results, [str(tmp_path / "none")]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f"error: {tmp_path / 'none'}: there is no such file or folder; ")


def row(method: str, test: float, validation: float = 0.9, **more: Any) -> dict[str, Any]:
    fixed = {"seed": 0, "test": test, "validation": validation, "bits": 6, "variant": 6}
    return {"method": method, **fixed, **more}


def test_the_claims_are_counted_from_the_rows() -> None:
    rows = [row("float", 0.95, 0.95, bits=32, variant=32)]
    rows += [
        row("uniform QAT", 0.944, 0.949, bops=100.0),
        row("uniform QAT, clipped", 0.949, 0.949, bops=90.0),
    ]
    rows += [row("scanned QAT", 0.95, 0.95, bops=45.0, variant=0.01)]
    rows += [row("Hessian-aware QAT", 0.9, 0.9, bops=10.0, variant=0.12)]
    rows += [row("Hessian-aware QAT, clipped", 0.9, 0.9, bops=10.0, variant=0.12)]
    rows += [row("fixed-point PTQ", 0.9), row("affine PTQ", 0.95, 0.95)]
    rows += [one | {"seed": 1} for one in rows]
    text = claims(grouped(rows))
    assert "uniform QAT at 6 bits loses 0.60 points on the test part: FAILS" in text
    assert "uniform QAT, clipped at 6 bits loses 0.10 points on the test part: holds" in text
    assert "45 BOPs, 0.45 of uniform QAT's and 0.50 of uniform QAT, clipped's" in text
    assert "Hessian-aware QAT: no variant is, on the validation part" in text
    assert "scanned QAT, clipped: no variant is, on the validation part" in text
    assert "fixed-point PTQ needs more bits than were tried" in text
    assert "affine PTQ needs 6 bits" in text


class _Read:
    def __init__(self, seeds: list[int], trials: dict[int, Any]) -> None:
        self.folder, self.about = Path("search"), {"seeds": seeds}
        self.ledger = type("Known", (), {"trials": trials})


@pytest.mark.parametrize(
    ("seeds", "sentence"),
    [
        ([3], "search: a spread needs two seeds, not 1; give more in the search.yaml"),
        ([3, 4], "search: no trial has ended yet; codesign search run goes on with it"),
    ],
)
def test_what_has_no_spread_or_no_trial_is_refused(seeds: list[int], sentence: str) -> None:
    with pytest.raises(SearchError) as told:
        runs_of(_Read(seeds, {}))  # type: ignore[arg-type]
    assert str(told.value) == sentence
