"""GRU and LSTM equal hls4ml's C++ to the last bit; what its C++ does not compute is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from csim_harness import assert_equal_to_csim, convert, layer_config
from random_networks import Builder

from codesign.emulation import Emulator
from codesign.emulation.codes import widest
from codesign.errors import ConversionError
from codesign.hls.graph import read_graph


def recurrent(build, kind, folder, *, sequences=False, static=True, activations=("tanh", "sigmoid")):
    """A recurrent layer of random sizes, weights and formats, converted."""
    import keras

    rng = build.rng
    steps, features, units = (int(rng.integers(2, 5)) for _ in range(3))
    inputs = keras.Input((steps, features), name="inp")
    layer = getattr(keras.layers, kind)(
        units, name="rnn", return_sequences=sequences, activation=activations[0],
        recurrent_activation=activations[1], kernel_initializer=build.initializer(),
        recurrent_initializer=build.initializer(), bias_initializer=build.initializer(),
    )  # fmt: skip
    model = keras.Model(inputs, layer(inputs))
    config = layer_config(model, build.backend, "fixed<16,6>")
    layers = config["LayerName"]
    layers["inp"]["Precision"]["result"] = str(build.format(4, 10))
    accumulator = build.accumulator()
    layers["rnn"]["Precision"].update(
        result=str(build.format(5, 12)),
        accum=str(accumulator) if accumulator is not None else "fixed<20,8>",
        **{
            name: str(build.format(4, 9, plain=1.0))
            for name in ("weight", "recurrent_weight", "bias", "recurrent_bias")
        },
    )
    if kind == "LSTM":  # its C++ compiles for one type only
        one = str(build.format(8, 16, integer=(2, 5)))
        layers["inp"]["Precision"]["result"] = one
        layers["rnn"]["Precision"].update(result=one, accum=one)
    layers["rnn"]["static"] = static
    return convert(model, folder, config, io_type=build.io_type, backend=build.backend), (steps, features)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))])
def test_recurrent_layers_equal_the_cpp(kind, seed, tmp_path):
    build = Builder([seed, *kind.encode()], io_type=("io_parallel", "io_stream")[seed % 2])
    activations = (("tanh", "sigmoid"), ("relu", "sigmoid"), ("tanh", "relu"))[seed % 3]
    hls_model, shape = recurrent(
        build,
        kind,
        tmp_path,
        sequences=seed % 4 > 1,
        static=seed % 5 != 4,
        activations=activations,
    )
    assert_equal_to_csim(hls_model, build.rng.normal(0, 2, (150, *shape)))


@pytest.mark.parametrize("sequences", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_both_directions_equal_the_cpp(sequences, tmp_path):
    import keras

    build = Builder([51, sequences], io_type="io_parallel")
    inputs = keras.Input((4, 3), name="inp")
    cell = keras.layers.LSTM(
        2, return_sequences=sequences, kernel_initializer=build.initializer(),
        recurrent_initializer=build.initializer(), bias_initializer=build.initializer(), name="cell",
    )  # fmt: skip
    model = keras.Model(inputs, keras.layers.Bidirectional(cell, name="rnn")(inputs))
    config = layer_config(model, build.backend, "fixed<16,6>")
    config["LayerName"]["inp"]["Precision"]["result"] = "fixed<8,3>"
    weights = {
        f"{direction}_{name}": str(build.format(4, 9, plain=1.0))
        for direction in ("forward", "backward")
        for name in ("weight", "recurrent_weight", "bias", "recurrent_bias")
    }
    config["LayerName"]["rnn"]["Precision"].update(
        weights, accum="fixed<18,7>", result=str(build.format(6, 12))
    )
    hls_model = convert(model, tmp_path, config, backend=build.backend)
    assert_equal_to_csim(hls_model, build.rng.normal(0, 2, (120, 4, 3)))


def gru(tmp_path, strategy, reuse_factor, types=None):
    """A GRU's plan."""
    import keras

    inputs = keras.Input((3, 4), name="inp")
    model = keras.Model(inputs, keras.layers.GRU(2, name="rnn")(inputs))
    config = layer_config(model, default="fixed<12,4>")
    config["LayerName"]["inp"]["Precision"]["result"] = (types or {}).pop("inp", "fixed<8,3>")
    config["LayerName"]["rnn"].update(Strategy=strategy, ReuseFactor=reuse_factor)
    config["LayerName"]["rnn"]["Precision"].update({"accum": "fixed<7,3,RND,SAT>", **(types or {})})
    emulator = Emulator.of(read_graph(convert(model, tmp_path, config)))
    return next(step for step in emulator.steps if step.node.kind == "gru")


def test_both_products_of_a_recurrent_layer_add_in_the_order_of_the_strategy(tmp_path):
    step = gru(tmp_path / "latency", "Latency", 2)
    assert (step.of_input.method, step.of_input.order, step.of_state.order) == ("stepwise", None, None)
    step = gru(tmp_path / "resource", "Resource", 2)
    for sums, order in ((step.of_input, [0, 2, 1, 3]), (step.of_state, [0, 1])):
        np.testing.assert_array_equal(sums.order, order)


@pytest.mark.parametrize(
    "types", [{}, {"inp": "fixed<44,12>"}, {"recurrent_weight": "fixed<40,3>"}, {"accum": "fixed<60,20>"}]
)
def test_a_recurrent_layer_computes_in_the_widest_type_of_its_parts(types, tmp_path):
    step = gru(tmp_path, "Latency", 1, dict(types))
    parts = [step.of_input, step.of_state, step.gates, step.gate, step.candidate, step.state]
    parts += [step.reset, step.proposal, step.signal]
    assert step.arithmetic == widest(*(part.arithmetic for part in parts))


def faults(kind, tmp_path, *, types=None, **options):
    import keras

    inputs = keras.Input((3, 2), name="inp")
    model = keras.Model(inputs, getattr(keras.layers, kind)(2, name="rnn", **options)(inputs))
    config = layer_config(model, default="fixed<12,4>")
    config["LayerName"]["rnn"]["Precision"].update(types or {})
    with pytest.raises(ConversionError) as caught:
        read_graph(convert(model, tmp_path, config))
    return str(caught.value)


@pytest.mark.parametrize(
    ("io_type", "options", "said"),
    [
        ("io_stream", {}, "hls4ml has C++ of it for io_parallel only"),
        ("io_parallel", {"merge_mode": "sum"}, "use merge_mode='concat', not 'sum'"),
    ],
)
def test_both_directions_are_refused_where_hls4ml_has_no_cpp(io_type, options, said, tmp_path):
    import keras

    inputs = keras.Input((3, 2), name="inp")
    model = keras.Model(
        inputs, keras.layers.Bidirectional(keras.layers.LSTM(2), name="rnn", **options)(inputs)
    )
    config = layer_config(model, "Vivado", "fixed<12,4>")
    hls_model = convert(model, tmp_path, config, io_type=io_type, backend="Vivado")
    with pytest.raises(ConversionError) as caught:
        read_graph(hls_model)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("SimpleRNN", {}, "rnn (SimpleRNN): hls4ml reads it, but has no C++ for it; use GRU or LSTM"),
        ("GRU", {"reset_after": False, "use_bias": False}, "set reset_after=True"),
        (
            "GRU",
            {"activation": "softsign"},
            "activation 'softsign' has no C++ in hls4ml; use one of relu, sigmoid, tanh",
        ),
        ("LSTM", {"types": {"accum": "fixed<20,8>"}}, "one type, not input fixed<12,4"),
    ],
)
def test_what_the_cpp_does_not_compute_is_refused(kind, options, said, tmp_path):
    assert said in faults(kind, tmp_path, **options)
