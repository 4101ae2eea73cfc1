from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from scan_tasks import student_of, task

from codesign.compression.scan import ScanResult, scan_bit_widths
from codesign.compression.scan_trials import ScannedNetwork
from codesign.core.fixed_point import FixedPoint
from codesign.core.quality import accuracy, macro_auc
from codesign.core.target import Target
from codesign.cost import bops_of, estimate_luts
from codesign.data import dataset_from_arrays
from codesign.emulation import Emulator, count_overflows
from codesign.emulation.emulator import with_proven_accumulators
from codesign.errors import ScanError
from codesign.hls.convert import HardwareChoices, convert_graph
from codesign.hls.graph import read_graph
from codesign.networks.build import build_float, build_quantized
from codesign.networks.prepare import hardware_form, prepare_for_quantization
from codesign.networks.read_keras import read_keras
from codesign.networks.shapes import layer_shapes
from codesign.settings import ScanSettings


@pytest.fixture(scope="module")
def found():
    student, dataset = task()
    settings = ScanSettings(tolerance=0.03, calibration_samples=150, most_bits=10)
    return student, dataset, settings, scan_bit_widths(student, dataset, settings)


def converted(network, precision):
    """The same formats by the long way: converted anew."""
    on_grid, formats = hardware_form(network, precision)
    graph = convert_graph(build_float(on_grid), formats, Target(), HardwareChoices(), "unwritten")
    return Emulator.of(read_graph(graph))


def test_the_scan_keeps_the_tolerance_and_costs_less_than_its_best_uniform_width(found):
    _, _, settings, scan = found
    assert scan.quality >= scan.float_quality - settings.tolerance
    taken = [trial for trial in scan.trials if trial.accepted]
    assert all(trial.quality >= scan.float_quality - settings.tolerance for trial in taken)
    costs = [trial.cost for trial in taken]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == len(costs)
    assert taken[-1].phase == "layers"
    assert (taken[-1].quality, taken[-1].cost) == (scan.quality, scan.record.metrics["bops"])


def test_every_trial_is_a_row(found):
    scan = found[3]
    uniform = [trial for trial in scan.trials if trial.phase == "uniform"]
    assert [trial.bits for trial in uniform] == list(range(10, 1, -1))
    tensors = {(trial.layer, trial.tensor) for trial in scan.trials if trial.phase == "layers"}
    kinds = {(layer, tensor) for layer, tensor, _ in scan.precision.items() if tensor != "bias"}
    assert tensors == kinds | {("input", "result")}


def test_quality_and_cost_are_those_of_a_new_conversion(found):
    student, dataset, _, scan = found
    network = prepare_for_quantization(student.network)
    logits = converted(network, scan.precision).run(dataset.x_validation)
    assert accuracy(dataset.y_validation, logits) == scan.quality
    kernels = {layer.name: layer.weights["kernel"] for layer in network.weight_layers}
    assert bops_of(layer_shapes(network), scan.precision, kernels) == scan.record.metrics["bops"]


def test_a_runner_computes_each_candidate_as_a_new_conversion_does(found):
    student, dataset, _, scan = found
    network = prepare_for_quantization(student.network)
    runner = ScannedNetwork(
        network, dataset.x_validation, dataset.y_validation, dataset.calibration(50), accuracy
    )
    runner.rebase(scan.precision)
    for layer, tensor, kind in list(scan.precision.items()):
        wider = FixedPoint(kind.width + 1, kind.integer_bits, kind.signed, kind.rounding, kind.overflow)
        candidate = scan.precision.replaced(layer, tensor, wider)
        np.testing.assert_array_equal(
            runner.logits(candidate), converted(network, candidate).run(dataset.x_validation)
        )


def test_no_input_on_the_grid_leaves_the_proved_bounds(found):
    student, _, _, scan = found
    network = prepare_for_quantization(student.network)
    assert scan.no_input_wraps
    assert [proof.layer for proof in scan.proofs] == [layer.name for layer in network.weight_layers]
    emulator = converted(
        network, with_proven_accumulators(scan.precision, converted(network, scan.precision))
    )
    kind = scan.precision.input
    # the worst inputs of each first neuron: every feature at the limit that its weight's sign asks for
    kernel = emulator.graph["fc1"].weights["weight"]
    worst = np.where(kernel.T > 0, kind.maximum, kind.minimum)
    random = np.random.default_rng(0).uniform(4 * kind.minimum, 4 * kind.maximum, (4000, kernel.shape[0]))
    x = np.concatenate([worst, -worst - kind.step, random])
    assert count_overflows(emulator, x).wrapped == 0
    sums = kind.quantize(x) @ kernel + emulator.graph["fc1"].weights["bias"]
    proof = scan.proofs[0]
    assert sums.max() == proof.most
    assert sums.min() >= proof.least
    narrow = FixedPoint.parse(proof.precision)
    assert FixedPoint(narrow.width - 1, narrow.integer_bits - 1, narrow.signed).maximum < max(
        proof.most, -proof.least
    )
    assert narrow.width <= proof.inferred_bits


def test_the_type_that_is_printed_for_an_accumulator_is_the_narrowest_that_holds_its_sums():
    inputs = keras.Input((2,), name="x")
    model = keras.Model(inputs, keras.layers.Dense(2, name="sums")(inputs))
    model.set_weights([np.array([[1.5, -0.5], [0.25, 0.0]], np.float32), np.array([0.5, 0.0], np.float32)])
    x = np.array([[-4.0, 3.5], [3.5, -4.0]] * 20, np.float32)
    dataset = dataset_from_arrays(x, np.array([0, 1, 1, 0] * 10), scaling="none")
    settings = ScanSettings(most_bits=4, least_bits=4, tolerance=0.9, headroom_bits=0)
    scan = scan_bit_widths(student_of(model), dataset, settings)
    assert str(scan.precision.input) == "fixed<4,3,RND_CONV,SAT,0>"  # -4 to 3.5 in steps of 1/2
    assert str(scan.precision["sums"].weight) == "fixed<4,2,RND_CONV,SAT,0>"  # steps of 1/4
    # 1.5 x + 0.25 y + 0.5 is -6.5 to 6.625, in steps of an eighth: three fractional bits and four of sign and integer
    (proof,) = scan.proofs
    assert (proof.precision, proof.least, proof.most) == ("fixed<7,4>", -6.5, 6.625)
    assert proof.sentence == "fixed<7,4> holds every sum: -6.5 to 6.625 for any input on the input grid"
    assert scan.record.metrics["accumulators"] == {"sums": proof.sentence}
    assert proof.holds
    assert not any(replace(proof, precision=narrow).holds for narrow in ("fixed<6,3>", "ufixed<7,4>"))


def test_an_addition_that_feeds_a_weight_layer_gets_a_format_of_its_own():
    dataset = task()[1]
    keras.utils.set_random_seed(3)
    inputs = keras.Input((5,), name="features")
    one, two = (keras.layers.Dense(4, name=name)(inputs) for name in ("one", "two"))
    outputs = keras.layers.Dense(3, name="logits")(keras.layers.Add(name="sum")([one, two]))
    student = student_of(keras.Model(inputs, outputs))
    scan = scan_bit_widths(
        student, dataset, ScanSettings(tolerance=0.1, most_bits=7, calibration_samples=150)
    )
    network = prepare_for_quantization(student.network)
    (point,) = [layer.name for layer in network.activations if layer.inputs == ("sum",)]
    precision = scan.precision[point].result
    assert precision.signed  # a sum of both signs is not rectified on its way
    assert (point, "result") in {(t.layer, t.tensor) for t in scan.trials if t.phase == "layers"}
    assert network["logits"].inputs == (point,)
    # what the multiplier of the next layer gets is on that grid, in every reference
    x = scan.precision.input.quantize(dataset.x_validation).astype(np.float32)
    model = build_quantized(network, scan.precision)
    middle = keras.Model(model.inputs, [model.get_layer(point).output, model.output])
    sums, logits = (np.asarray(values) for values in middle([x]))
    assert precision.is_representable(sums).all()
    assert sums.min() < 0 < sums.max()
    np.testing.assert_array_equal(converted(network, scan.precision).run(x), logits)
    finer = FixedPoint(precision.width + 3, precision.integer_bits, True, "RND_CONV", "SAT")
    changed = scan.precision.replaced(point, "result", finer)
    np.testing.assert_array_equal(
        converted(network, changed).run(x), np.asarray(build_quantized(network, changed)(x))
    )
    assert (converted(network, changed).run(x) != logits).any()


def test_what_was_saved_is_what_is_read(found, tmp_path):
    scan = found[3]
    scan.save(tmp_path)
    again = ScanResult.load(tmp_path, scan.record)
    assert again == scan
    lines = (tmp_path / "trials.csv").read_text().splitlines()
    assert lines[0] == "phase,layer,tensor,bits,quality,overflows,cost,accepted,start,budget"
    assert len(lines) == 1 + len(scan.trials)


def test_a_margin_widens_results_by_integer_bits():
    student, dataset = task()
    plain, wide = (
        scan_bit_widths(student, dataset, ScanSettings(tolerance=0.5, margin_bits=margin, least_bits=8))
        for margin in (0, 2)
    )
    kinds = [kind for _, tensor, kind in wide.precision.items() if tensor == "result"]
    before = [kind for _, tensor, kind in plain.precision.items() if tensor == "result"]
    assert {kind.integer_bits - old.integer_bits for kind, old in zip(kinds, before, strict=True)} == {2}


@pytest.mark.parametrize(("tolerance", "winner"), [(0.03, 0), (0.05, 2)])
def test_the_cheaper_of_a_descent_from_the_knee_and_one_from_above_is_the_result(tolerance, winner):
    student, dataset = task()
    settings = ScanSettings(tolerance=tolerance, calibration_samples=150, most_bits=10, headroom_bits=2)
    scan = scan_bit_widths(student, dataset, settings)
    knee = min(trial.bits for trial in scan.trials if trial.phase == "uniform" and trial.accepted)
    layers = [trial for trial in scan.trials if trial.phase == "layers"]
    assert {trial.start for trial in layers} == {knee, knee + 2}
    assert {trial.start for trial in layers if trial.accepted} == {knee + winner}
    alone = scan_bit_widths(student, dataset, settings.model_copy(update={"headroom_bits": 0}))
    assert {trial.start for trial in alone.trials if trial.phase == "layers"} == {knee}
    saved = alone.record.metrics["bops"] - scan.record.metrics["bops"]
    assert saved > 0 if winner else saved == 0
    assert scan.quality >= scan.float_quality - tolerance


def test_a_percentile_lets_rare_values_saturate_for_finer_steps(found):
    student, dataset, settings, scan = found
    clipped = scan_bit_widths(student, dataset, settings.model_copy(update={"percentile": 90.0}))
    assert clipped.no_input_wraps
    pairs = zip(scan.precision.items(), clipped.precision.items(), strict=True)
    fewer = [all_.integer_bits - cut.integer_bits for (_, kind, all_), (*_, cut) in pairs if kind == "result"]
    assert min(fewer) >= 0
    assert max(fewer) > 0
    widest = [next(trial for trial in found_.trials if trial.bits == 10) for found_ in (scan, clipped)]
    assert widest[0].overflows < widest[1].overflows


def test_overflows_are_counted_and_a_margin_leaves_none_at_many_bits(found):
    student, dataset, settings, scan = found
    emulator = converted(prepare_for_quantization(student.network), scan.precision)
    report = count_overflows(emulator, dataset.calibration(settings.calibration_samples))
    assert report.wrapped == 0
    assert report.saturated == scan.record.metrics["overflows"]
    assert any(trial.overflows for trial in scan.trials)  # of few bits: rounding carries values over the edge
    roomy = scan_bit_widths(student, dataset, ScanSettings(tolerance=0.5, margin_bits=1, least_bits=10))
    assert {trial.overflows for trial in roomy.trials} == {0}


def test_luts_can_be_what_is_saved():
    student, dataset = task()
    settings = ScanSettings(tolerance=0.03, cost="luts", most_bits=6, least_bits=4)
    scan = scan_bit_widths(student, dataset, settings)
    network = prepare_for_quantization(student.network)
    parts = [
        {layer.name: layer.weights[part] for layer in network.weight_layers} for part in ("kernel", "bias")
    ]
    luts = estimate_luts(layer_shapes(network), scan.precision, *parts)
    accepted = [trial.cost for trial in scan.trials if trial.accepted]
    assert accepted[-1] == luts == scan.record.metrics["estimated_luts"]
    assert accepted == sorted(accepted, reverse=True)


def test_auc_and_a_single_output():
    student, dataset = task(outputs=1)
    scan = scan_bit_widths(student, dataset, ScanSettings(quality="auc", tolerance=0.02, most_bits=8))
    logits = converted(prepare_for_quantization(student.network), scan.precision).run(dataset.x_validation)
    assert macro_auc(dataset.y_validation, logits) == scan.quality


def test_a_tolerance_that_no_map_meets_says_the_best():
    student, dataset = task()
    quality = lambda labels, logits: float(np.float32(logits).dtype == logits.dtype)  # noqa: E731
    # 1 for the float network's float32, 0 for every candidate's float64
    with pytest.raises(ScanError) as error:
        scan_bit_widths(student, dataset, ScanSettings(most_bits=5), quality=quality)
    assert str(error.value) == (
        "no uniform width up to scan.most_bits = 5 keeps the quality within 0.01 of the float network's 1.0000; the "
        "best is 0.0000 at 5 bits; raise scan.tolerance or scan.most_bits"
    )
    with pytest.raises(ScanError, match=r"raise scan.tolerance or scan.most_bits or scan.percentile$"):
        scan_bit_widths(student, dataset, ScanSettings(most_bits=5, percentile=99.0), quality=quality)


def test_a_wide_format_that_fails_by_chance_does_not_end_the_search():
    student, dataset = task()
    values = iter([1.0, 0.5, 1.0, 1.0, 0.5, 1.0])  # float, 7 to 3 bits

    def quality(labels, logits):
        return next(values, 0.0)

    scan = scan_bit_widths(student, dataset, ScanSettings(most_bits=7, least_bits=3), quality=quality)
    curve = [(trial.bits, trial.accepted) for trial in scan.trials if trial.phase == "uniform"]
    assert curve == [(7, False), (6, True), (5, True), (4, False), (3, False)]
    assert {kind.width for _, _, kind in scan.precision.items()} == {5}


def test_formats_that_cannot_hold_the_values_are_told():
    student, dataset = task()
    with pytest.raises(
        ScanError, match=r"^no format of 12 bits everywhere \(scan.input_bits: 1\) holds the values"
    ):
        scan_bit_widths(student, dataset, ScanSettings(input_bits=1))


def test_constant_features_are_reported():
    student, dataset = task()
    x = np.array(dataset.x_train)
    x[:, 2] = 0.5
    still = dataset_from_arrays(x, dataset.y_train, scaling="none", feature_names=list("abcde"))
    scan = scan_bit_widths(student, still, ScanSettings(tolerance=0.5, least_bits=8))
    assert scan.record.metrics["constant_features"] == ["c"]


def test_a_softmax_is_left_out_at_the_end_alone():
    student, dataset = task()
    model = build_float(student.network)
    ending = student_of(keras.Sequential([*_clones(model), keras.layers.Activation("softmax")]))
    settings = ScanSettings(tolerance=0.03, least_bits=6)
    with_softmax = scan_bit_widths(ending, dataset, settings)
    assert with_softmax.precision.to_dict() == scan_bit_widths(student, dataset, settings).precision.to_dict()
    middle = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(4, activation="softmax", name="gate"), keras.layers.Dense(3)]
    )
    assert "softmax" in [layer.kind for layer in read_keras(middle).layers]


def _clones(model):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return [
        keras.Input((5,)),
        *[layer for layer in copy.layers if not isinstance(layer, keras.layers.InputLayer)],
    ]


def test_progress_never_goes_back():
    student, dataset = task()
    steps: list[tuple[int, int]] = []
    progress = SimpleNamespace(step=lambda what, done, total, note="": steps.append((done, total)))
    scan_bit_widths(student, dataset, ScanSettings(tolerance=0.1, most_bits=6), progress=progress)
    assert all(done <= total for done, total in steps)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1][0] == steps[-1][1]
