"""Widths by second derivatives in the scan, and the same student with scales and zero points beside it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from scan_tasks import student_of, task

from codesign.affine.ptq import AffineSettings, quantize_affine
from codesign.compression.formats import INPUT, Widths
from codesign.compression.scan import ScanResult, scan_bit_widths
from codesign.compression.scan_search import with_widths
from codesign.core.quality import accuracy
from codesign.cost import INPUT as COST_INPUT
from codesign.errors import ConversionError, ScanError, SettingsError
from codesign.settings import ScanSettings, make_design

SETTINGS = ScanSettings(method="hessian", tolerance=0.03, calibration_samples=150, most_bits=10)


@pytest.fixture(scope="module")
def found():
    student, dataset = task()
    return student, dataset, scan_bit_widths(student, dataset, SETTINGS)


def test_the_hessian_keeps_the_tolerance_below_the_cost_of_the_knee(found):
    _, _, scan = found
    assert scan.quality >= scan.float_quality - SETTINGS.tolerance
    knee = min((t for t in scan.trials if t.phase == "uniform" and t.accepted), key=lambda t: t.bits)
    (taken,) = [t for t in scan.trials if t.phase == "hessian" and t.accepted]
    assert taken.cost < knee.cost
    assert (taken.quality, taken.cost) == (scan.quality, scan.record.metrics["bops"])
    assert scan.no_input_wraps
    widths = {precision.width for _, _, precision in scan.precision.items()}
    assert len(widths) > 1


def test_every_budget_is_kept_and_lies_between_what_held_and_what_did_not(found):
    _, _, scan = found
    rows = [t for t in scan.trials if t.phase == "hessian"]
    assert len(rows) > 2
    assert all(t.cost <= t.budget for t in rows)
    assert {(t.layer, t.tensor, t.bits, t.start) for t in rows} == {(None, None, None, None)}
    least = scan.float_quality - SETTINGS.tolerance
    low, high = 0.0, np.inf
    for trial in rows:
        assert low < trial.budget < high
        low, high = (low, trial.budget) if trial.quality >= least else (trial.budget, high)


def test_it_is_the_same_again_and_what_was_saved_is_read(found, tmp_path):
    student, dataset, scan = found
    again = scan_bit_widths(student, dataset, SETTINGS, journal=tmp_path / "trials.jsonl")
    assert (again.precision, again.trials) == (scan.precision, scan.trials)
    again.save(tmp_path)
    assert ScanResult.load(tmp_path, again.record) == again


def test_a_budget_alone_decides_whatever_the_quality(found):
    student, dataset, _ = found
    for part in (0.6,):
        settings = SETTINGS.model_copy(update={"budget": part, "tolerance": 0.0, "hessian_samples": 32})
        scan = scan_bit_widths(student, dataset, settings)
        widest, taken = scan.trials
        assert (widest.bits, widest.phase, widest.accepted) == (10, "uniform", False)
        assert (taken.phase, taken.accepted, taken.budget) == ("hessian", True, part * widest.cost)
        assert 0.75 * taken.budget < taken.cost <= taken.budget
        assert (scan.quality, scan.record.metrics["bops"]) == (taken.quality, taken.cost)
    with pytest.raises(
        ScanError, match=r"^scan\.budget: no widths cost so little; give at least 0\.0\d+, or"
    ) as told:
        scan_bit_widths(student, dataset, settings.model_copy(update={"budget": 0.001}))
    least = float(str(told.value).split("at least ")[1].split(",")[0])
    assert scan_bit_widths(student, dataset, settings.model_copy(update={"budget": least})).trials[1].accepted


def test_luts_and_an_input_of_fixed_width(found):
    student, dataset, _ = found
    settings = SETTINGS.model_copy(update={"cost": "luts", "input_bits": 7, "hessian_samples": 32})
    scan = scan_bit_widths(student, dataset, settings)
    assert scan.precision.input.width == 7
    accepted = [t.cost for t in scan.trials if t.accepted]
    assert scan.record.metrics["estimated_luts"] == accepted[-1] == min(accepted)


def test_where_the_curve_ends_at_the_least_width_the_uniform_map_stays():
    student, dataset = task()
    settings = SETTINGS.model_copy(
        update={"tolerance": 0.9, "least_bits": 6, "headroom_bits": 0, "most_bits": 6}
    )
    scan = scan_bit_widths(student, dataset, settings)
    assert [t.phase for t in scan.trials if t.accepted] == ["uniform"]
    assert {precision.width for _, _, precision in scan.precision.items()} == {6}


def test_chosen_widths_replace_those_of_their_tensors():
    start = Widths(8, {"a": 8, "b": 8}, {"r": 8})
    chosen = {("a", "weight"): 3, ("r", "result"): 4, (COST_INPUT, "result"): 5}
    assert with_widths(start, chosen) == Widths(5, {"a": 3, "b": 8}, {"r": 4})
    assert with_widths(Widths(8, {}, {INPUT: 8}), {(INPUT, "result"): 4}) == Widths(8, {}, {INPUT: 4})


def test_affine_widths_are_measured_beside_the_curve(tmp_path):
    student, dataset = task()
    settings = ScanSettings(tolerance=0.05, most_bits=6, calibration_samples=150, affine_widths=(3, 8))
    scan = scan_bit_widths(student, dataset, settings)
    calibration = dataset.calibration(150)
    for row in scan.affine:
        integer = quantize_affine(
            student.network,
            calibration,
            AffineSettings(row.width, row.width, "mse", "mse"),
            allow_constant=True,
        )
        assert row.quality == accuracy(dataset.y_validation, integer.predict(dataset.x_validation))
        assert row.float_quality == scan.float_quality
    curve = {t.bits: t.quality for t in scan.trials if t.phase == "uniform"}
    assert scan.record.metrics["affine"] == [
        {"bits": 3, "fixed_point": curve[3], "affine": scan.affine[0].quality, "overflow": None},
        {"bits": 8, "fixed_point": None, "affine": scan.affine[1].quality, "overflow": None},
    ]
    plain = scan_bit_widths(student, dataset, settings.model_copy(update={"affine_widths": ()}))
    assert plain.affine == ()
    assert "affine" not in plain.record.metrics
    assert plain.precision == scan.precision
    scan.save(tmp_path)
    assert ScanResult.load(tmp_path, scan.record) == scan
    older = json.loads((tmp_path / "scan.json").read_text())
    del older["affine"]
    (tmp_path / "scan.json").write_text(json.dumps(older))
    assert ScanResult.load(tmp_path, scan.record).affine == ()


def test_a_network_without_an_integer_form_is_refused_before_anything_is_measured():
    dataset = task()[1]
    inputs = keras.Input((5,))
    one = keras.layers.Dense(3, name="one")(inputs)
    sums = keras.layers.Add(name="sum")([one, keras.layers.Dense(3, name="two")(inputs)])
    student = student_of(keras.Model(inputs, sums))
    untouched = SimpleNamespace(step=lambda *_: pytest.fail("it began"))
    with pytest.raises(ConversionError, match=r"layer 'sum' \(add\) is not supported"):
        scan_bit_widths(student, dataset, ScanSettings(affine_widths=(4,)), progress=untouched)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"method": "greedy"}, "scan.method: should be 'descent' or 'hessian', not 'greedy'"),
        ({"affine_widths": [4, 4]}, "scan.affine_widths: must be different widths, not 4, 4"),
        ({"affine_widths": [1]}, "scan.affine_widths.0: should be greater than or equal to 2, not 1"),
        (
            {"budget": 0.5},
            "scan: the method 'descent' measures what keeps the quality and takes no budget; leave it out, or take the method "
            "'hessian'",
        ),
        ({"hessian_samples": 1}, "scan.hessian_samples: should be greater than or equal to 2, not 1"),
    ],
)
def test_settings_that_make_no_sense_are_told(given, sentence):
    with pytest.raises(SettingsError) as error:
        make_design({"name": "d", "data": {"source": "digits"}, "scan": given})
    assert str(error.value) == sentence
