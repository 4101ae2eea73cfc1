"""A fault of every kind is planted; the doctor names the layer, the cause and a setting that mends it."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from planted import ACTIVATION, GRID, WEIGHT, float_model, grid_inputs, plain_graph, small_case

from codesign.core.fixed_point import FixedPoint
from codesign.core.layer_trace import LayerTrace
from codesign.emulation import Emulator, emulate
from codesign.errors import DataError
from codesign.networks.layer_outputs import trace_layers
from codesign.verification import CAUSES, Diagnosis, diagnose, diagnose_outputs


@pytest.fixture(scope="module")
def case():
    return small_case()


@pytest.fixture(scope="module")
def right(case):
    return case.graph()


COARSER = FixedPoint(5, 2, False, "RND_CONV", "SAT")
NARROWER = FixedPoint(5, 1, False, "RND_CONV", "SAT")
FAULTS = {
    "wrap": ("fc1", "accum", FixedPoint(13, 4), "accumulator wrapped"),
    "wrap and lose": ("fc1", "accum", FixedPoint(9, 3), "accumulator wrapped"),
    "saturate": ("fc2", "accum", FixedPoint(12, 3, True, "TRN", "SAT"), "accumulator saturated"),
    "lose": ("fc1", "accum", FixedPoint(12, 8), "accumulator too coarse"),
    "result wraps": ("relu1", "result", ACTIVATION.with_modes("RND_CONV", "WRAP"), "result wrapped"),
    "result wraps and truncates": ("relu2", "result", ACTIVATION.with_modes("TRN", "WRAP"), "result wrapped"),
    "result saturates": ("relu1", "result", NARROWER, "result saturated"),
    "result truncates": ("relu2", "result", ACTIVATION.with_modes("TRN", "SAT"), "rounding differs"),
    "result rounds up": ("relu1", "result", ACTIVATION.with_modes("RND", "SAT"), "rounding differs"),
    "result loses": ("relu1", "result", COARSER, "result too coarse"),
    "few decimals": ("fc2", "weight", FixedPoint(4, 2), "weights printed with too few digits"),
}


def test_the_right_conversion_has_no_finding(case, right):
    assert case.diagnose(right) is None
    assert diagnose_outputs(right, case.x, case.logits()) is None


def test_planting_is_what_a_conversion_with_that_format_gives(case, right):
    for layer, tensor, wrong, _ in (
        FAULTS[name] for name in ("wrap and lose", "result loses", "few decimals")
    ):
        converted = case.graph(case.precision.replaced(layer, tensor, wrong))
        planted = case.planted(right, layer, tensor, wrong)
        for node in converted:
            assert node.types == planted[node.name].types
            for name, values in node.weights.items():
                np.testing.assert_array_equal(values, planted[node.name].weights[name])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_format_is_found_and_its_setting_mends_it(case, right, fault):
    layer, tensor, wrong, cause = FAULTS[fault]
    graph = case.planted(right, layer, tensor, wrong)
    found = case.diagnose(graph)
    assert (found.layer, found.cause) == (layer, cause)
    assert found.explained == found.mismatches > 0
    assert str(wrong) in found.sentence or cause.startswith("weights")
    # the setting that the sentence names, applied, leaves nothing to find
    mended = FixedPoint.parse(found.evidence["changed_types"][tensor])
    assert case.diagnose(case.planted(right, layer, tensor, mended)) is None
    # what is said of the samples is true
    got = emulate(graph, case.x, trace=True)[layer]
    expected = case.trace(graph).values[layer].astype(np.float64)
    differs = (got != expected).any(axis=1)
    assert (found.samples, found.mismatches) == (len(case.x), differs.sum())
    assert found.first_index == differs.argmax()
    assert found.largest_lsb == np.abs(got - expected).max() / graph[layer].result.step


@pytest.mark.parametrize("fault", FAULTS)
def test_the_golden_outputs_alone_tell_the_same(case, right, fault):
    layer, tensor, wrong, cause = FAULTS[fault]
    graph = case.planted(right, layer, tensor, wrong)
    found = diagnose_outputs(graph, case.x, case.logits())
    assert found.explained == found.mismatches > 0
    assert found.layer == layer
    assert found.evidence["seen_in"] == "logits"
    # on the outputs alone a result too narrow at either end may be mended by another format of the same layer
    assert found.cause == cause or cause.split()[0] == found.cause.split()[0] == "result"


def test_the_first_of_two_faults_is_named(case, right):
    graph = case.planted(right, "relu2", "result", ACTIVATION.with_modes("TRN", "SAT"))
    found = case.diagnose(case.planted(graph, "fc1", "accum", FixedPoint(13, 4)))
    assert (found.layer, found.cause) == ("fc1", "accumulator wrapped")


def test_inputs_off_the_grid_are_found_where_the_types_round_in_different_ways(case, right):
    x = np.random.default_rng(0).normal(0, 1.5, (120, 6)).astype(np.float32)
    assert case.diagnose(right, x) is None  # the same rounding: no difference
    truncating = case.planted(right, "features", "result", FixedPoint(8, 3))
    found = case.diagnose(truncating, x)
    assert (found.layer, found.cause) == ("features", "input off the grid")
    assert found.setting == f"result of features to {GRID}"
    assert case.diagnose(truncating) is None  # on the grid nothing is rounded


def test_a_coarser_input_type_is_found(case, right):
    coarse = FixedPoint(6, 3, True, "RND_CONV", "SAT")
    found = case.diagnose(case.planted(right, "features", "result", coarse))
    assert (found.layer, found.cause) == ("features", "input off the grid")
    assert found.explained == found.mismatches


def test_the_weights_of_another_student_are_named(case, right):
    other = small_case(seed=5)
    found = diagnose(right, case.x, other.trace(right, case.x))
    assert (found.layer, found.cause) == ("fc1", "weights differ")
    assert found.setting == "convert this very student again: the project was made from other weights"
    assert found.explained == found.mismatches


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "fused"])
def test_an_unfolded_batch_normalisation_is_named(apart):
    middle = [
        keras.layers.BatchNormalization(
            name="bn",
            gamma_initializer=keras.initializers.RandomUniform(0.5, 1.5, seed=1),
            moving_variance_initializer=keras.initializers.RandomUniform(0.5, 1.5, seed=2),
        ),
        keras.layers.Activation("relu", name="relu1"),
    ]
    model = float_model(lambda x: middle[1](middle[0](x)))
    # hls4ml fuses it into the dense layer unless that has a result type of its own
    types = {"fc1": {"weight": str(WEIGHT), "bias": str(WEIGHT)}}
    if apart:
        types["fc1"]["result"] = "fixed<24,8>"
    graph = plain_graph(model, types)
    assert [node.name for node in graph] == ["features", "fc1", *(["bn"] if apart else []), "relu1", "logits"]
    x = grid_inputs()
    found = diagnose(graph, x, trace_layers(model, x, [node.name for node in graph]))
    assert (found.layer, found.cause) == ("bn" if apart else "fc1", "unfolded batch normalisation")
    assert found.explained == found.mismatches > 0
    assert found.setting.startswith("fold it before quantizing")


@pytest.mark.parametrize("function", ["sigmoid", "tanh", "softplus"])
def test_a_table_that_is_too_small_is_found_with_the_size_that_is_enough(function):
    model = float_model(keras.layers.Activation(function, name="act"))
    x = grid_inputs()

    def found(size):
        types = {"result": "fixed<12,4,RND_CONV,SAT>"}
        graph = plain_graph(model, {"act": {**types, "TableSize": size}})
        return diagnose(graph, x, trace_layers(model, x, [node.name for node in graph]))

    small = found(64)
    assert (small.layer, small.cause) == ("act", "table size")
    assert small.explained == small.mismatches > 0
    size = int(small.setting.removeprefix("table_size of act to "))
    # with that size the table is within one step of the function, and what follows is the reference's own rounding
    enough = found(size)
    assert (enough.layer, enough.cause) == ("logits", "reference not exact")
    assert found(size // 2).cause == "table size"


def test_a_smaller_table_than_the_reference_hardware_has_is_found_exactly():
    model = float_model(keras.layers.Activation("sigmoid", name="act"))
    x = grid_inputs()
    types = {"result": "fixed<12,2>"}
    large, small = (plain_graph(model, {"act": {**types, "TableSize": size}}) for size in (512, 128))
    found = diagnose(small, x, LayerTrace(emulate(large, x, trace=True)))
    assert (found.layer, found.cause) == ("act", "table size")
    assert found.setting == "table_size of act to 512"
    assert found.explained == found.mismatches


def test_a_coarse_table_type_is_found():
    model = float_model(keras.layers.Activation("sigmoid", name="act"))
    x = grid_inputs()
    fine = plain_graph(model, {"act": {"result": "fixed<12,2>"}})
    coarse = Emulator.of(fine).with_types({"act": {"table": FixedPoint(8, 2)}}).graph
    found = diagnose(coarse, x, LayerTrace(emulate(fine, x, trace=True)))
    assert (found.layer, found.cause) == ("act", "table too coarse")
    assert found.explained == found.mismatches


def test_the_table_of_a_softmax_is_found():
    model = float_model(lambda x: keras.layers.Softmax(name="softmax")(x))
    x = grid_inputs()

    graph = plain_graph(model, {"softmax": {"result": "fixed<10,2,RND_CONV,SAT>", "TableSize": 64}})
    found = diagnose(graph, x, trace_layers(model, x, [node.name for node in graph]))
    assert (found.layer, found.cause) == ("softmax", "table size")
    assert found.explained == found.mismatches > 0


def test_what_no_setting_explains_is_said_to_be_unexplained(case, right):
    values = {name: np.array(array, dtype=np.float64) for name, array in case.trace(right).values.items()}
    values["relu1"] = values["relu1"][:, ::-1]
    found = diagnose(right, case.x, LayerTrace(values))
    assert (found.layer, found.cause, found.explained) == ("relu1", "unexplained", 0)
    assert "no setting of relu1 explains it" in found.sentence


def test_a_finding_is_json_and_back(case, right):
    found = case.diagnose(case.planted(right, "fc1", "accum", FixedPoint(9, 3)))
    assert Diagnosis.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert found.cause in CAUSES


def test_a_reference_that_does_not_fit_is_refused(case, right):
    with pytest.raises(DataError) as caught:
        diagnose(right, case.x, LayerTrace({"fc9": np.zeros((200, 8))}))
    assert str(caught.value) == (
        "the reference has none of the layers features, fc1, relu1, fc2, relu2, logits; it has fc9"
    )
    with pytest.raises(DataError) as caught:
        diagnose_outputs(right, case.x, np.zeros((10, 4)))
    assert str(caught.value) == "the reference of layer logits has shape (10, 4), not (200, 4)"


@pytest.mark.parametrize(
    "line",
    [keras.layers.LeakyReLU(negative_slope=0.3, name="act"), keras.layers.Activation("relu6", name="act")],
)
def test_what_a_line_loses_is_found_as_nothing_is_looked_up(line):
    """hls4ml names a type of a table for every activation, also for one that has none."""
    model = float_model(line)
    x = grid_inputs()
    fine = plain_graph(model, {"act": {"result": "fixed<20,6,RND_CONV,SAT>"}})
    coarse = (
        Emulator.of(fine).with_types({"act": {"result": FixedPoint(9, 6, True, "RND_CONV", "SAT")}}).graph
    )
    found = diagnose(coarse, x, LayerTrace(emulate(fine, x, trace=True)))
    assert (found.layer, found.cause) == ("act", "result too coarse")
    assert found.explained == found.mismatches > 0
