"""GRU and LSTM equal hls4ml's C++ to the last bit; what its C++ does not compute is refused by name."""

from __future__ import annotations

import pytest
from csim_harness import assert_equal_to_csim, convert, layer_config
from random_networks import Builder

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
