"""The precision study: every method once on few samples, what its table says, and that it goes on where it ended."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from studies.precision import __main__ as precision_study
from studies.precision.results import claims, failures, grouped


@pytest.fixture
def data(tmp_path):
    """Two features that tell three classes apart."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    x = rng.normal(size=(3, 4))[y] * 2 + rng.normal(size=(600, 4))
    np.savez(tmp_path / "clouds.npz", X=x.astype(np.float32), y=y)
    return tmp_path / "clouds.npz"


def once():
    """Each way to quantize at one width, tolerance or budget."""
    yield "float", "float", precision_study.float_student
    yield "uniform QAT", "uniform 6", precision_study.uniform_qat(6)
    yield "uniform QAT, clipped", "clipped 6", precision_study.clipped_qat(6)
    yield "scanned QAT", "scanned", precision_study.scanned_qat(0.2)
    yield "Hessian-aware QAT", "hessian", precision_study.hessian_qat(0.8)
    yield "fixed-point PTQ", "fixed", precision_study.fixed_ptq
    yield "affine PTQ", "affine", precision_study.affine_ptq


@pytest.mark.slow
def test_every_method_is_measured_once_and_not_again(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(precision_study, "experiments", once)
    monkeypatch.setattr(precision_study, "PTQ_BITS", (4, 8))
    effort = precision_study.Effort(2, 2, 1)
    rows = precision_study.measure(str(data), 1, effort, tmp_path / "out")
    by_method = {row["method"]: row for row in rows}
    assert set(by_method) == {name for name, *_ in once()}
    assert all(0 <= row["test"] <= 1 for row in rows)
    assert by_method["Hessian-aware QAT"]["bops"] < by_method["uniform QAT"]["bops"]
    assert {row["bits"] for row in rows if row["method"] == "affine PTQ"} == {4, 8}
    monkeypatch.setattr(precision_study, "Seed", lambda *_: pytest.fail("it was measured again"))
    assert precision_study.measure(str(data), 1, effort, tmp_path / "out") == rows


def row(method, test, validation=0.9, **more):
    return {"method": method, "seed": 0, "test": test, "validation": validation, "bits": 6, **more}


def test_the_claims_are_counted_from_the_rows():
    rows = [row("float", 0.95, 0.95, bits=32)]
    rows += [
        row("uniform QAT", 0.944, 0.949, bops=100.0),
        row("uniform QAT, clipped", 0.949, 0.949, bops=90.0),
    ]
    rows += [row("scanned QAT", 0.95, 0.95, bops=45.0, tolerance=0.01)]
    rows += [row("Hessian-aware QAT", 0.9, 0.9, bops=10.0, budget=0.4)]
    rows += [row("scanned QAT, clipped", 0.9, failed="none", tolerance=0.01)]
    rows += [row("Hessian-aware QAT, clipped", 0.9, 0.9, bops=10.0, budget=0.4)]
    rows += [row("fixed-point PTQ", 0.9), row("affine PTQ", 0.95, 0.95)]
    rows += [one | {"seed": 1} for one in rows]
    text = claims(grouped(rows))
    assert "uniform QAT at 6 bits loses 0.60 points on the test part: FAILS" in text
    assert "uniform QAT, clipped at 6 bits loses 0.10 points on the test part: holds" in text
    assert "45 BOPs, 0.45 of uniform QAT's and 0.50 of uniform QAT, clipped's" in text
    assert "Hessian-aware QAT: no variant is, on the validation part" in text
    assert "fixed-point PTQ needs more bits than were tried" in text
    assert "affine PTQ needs 6 bits" in text
    assert failures(rows) == "- scanned QAT, clipped, tolerance 0.01: left out, no map for 2 of 2 seeds\n"


def test_one_seed_has_no_spread(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["precision", "--data", "digits", "--seeds", "1"])
    with pytest.raises(SystemExit):
        precision_study.main()
    assert "--seeds must be at least 2: a spread needs two runs" in capsys.readouterr().err
