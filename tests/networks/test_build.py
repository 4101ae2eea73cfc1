"""Float and QKeras models of a network: weights in and out, exactly the formats of the map."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import MODELS, inputs, prepared, random_precision

from codesign.core.files import arrays_digest
from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision
from codesign.errors import ConversionError, SettingsError
from codesign.networks.build import build_float, build_quantized, exact_formats, read_weights, weights_in
from codesign.networks.description import Network
from codesign.networks.hardware_recurrent import gru_accumulator, lstm_type
from codesign.networks.logits import predict_logits


@pytest.mark.parametrize("name", MODELS)
def test_weights_come_back_as_they_went_in(name: str) -> None:
    network = prepared(name)
    assert read_weights(network, build_float(network)).digest == network.digest
    assert (
        read_weights(network, build_quantized(network, random_precision(network, 1))).digest == network.digest
    )


def quantized_by_hand(network: Network, precision: object, x: np.ndarray) -> np.ndarray:
    """A dense network in float64: exact for widths as small as here."""
    values = precision.input.quantize(x.astype(np.float64))
    for layer in network.layers[1:]:
        if layer.kind == "dense":
            formats = precision[layer.name]
            values = values @ formats.weight.quantize(layer.weights["kernel"].astype(np.float64))
            values = values + formats.bias.quantize(layer.weights["bias"].astype(np.float64))
        else:
            values = np.maximum(values, 0) if layer.kind == "relu" else values
            values = precision[layer.name].result.quantize(values)
    return values


@pytest.mark.parametrize("seed", range(4))
def test_a_quantized_dense_network_computes_what_its_formats_say(seed: int) -> None:
    network = prepared("dense", seed)
    precision = random_precision(network, seed)
    x = inputs(network, 300, seed)
    outputs = predict_logits(build_quantized(network, precision), x)
    np.testing.assert_array_equal(outputs, quantized_by_hand(network, precision, x))


def test_the_input_is_put_on_its_grid_first() -> None:
    network = prepared("dense")
    precision = random_precision(network, 2)
    model = build_quantized(network, precision)
    x = inputs(network, 100)
    np.testing.assert_array_equal(
        predict_logits(model, x), predict_logits(model, precision.input.quantize(x))
    )


def test_a_quantized_model_survives_its_file(tmp_path: object) -> None:
    network = prepared("conv2d")
    model = build_quantized(network, random_precision(network, 3))
    x = inputs(network, 20)
    model.save(tmp_path / "student.keras")  # type: ignore[operator]
    read = keras.models.load_model(tmp_path / "student.keras", compile=False)  # type: ignore[operator]
    np.testing.assert_array_equal(predict_logits(read, x), predict_logits(model, x))


def test_a_layer_without_a_format_is_refused() -> None:
    network = prepared("dense")
    precision = random_precision(network, 1).replaced("fc2", "bias", None)
    message = r"precision map: layers\.fc2\.bias: missing; give the format of the bias of this dense"
    with pytest.raises(SettingsError, match=f"^{message}$"):
        build_quantized(network, precision)


def test_a_format_that_qkeras_cannot_compute_is_refused() -> None:
    network = prepared("dense")
    precision = random_precision(network, 1).replaced("fc2", "weight", FixedPoint(6, 2, True, "TRN", "WRAP"))
    with pytest.raises(
        ConversionError, match=r"^QKeras rounds to nearest even and saturates, so fixed<6,2> has no QKeras"
    ):
        build_quantized(network, precision)


def test_a_sum_that_nothing_computes_is_named() -> None:
    network = prepared("dense")
    precision = random_precision(network, 1)
    first = network.weight_layers[0].name
    large, fine = (FixedPoint(24, integer, True, "RND_CONV", "SAT") for integer in (40, -30))
    precision = replace(precision, layers={**precision.layers, first: LayerPrecision(large, fine)})
    with pytest.raises(
        ConversionError,
        match=f"^layer '{first}' computes numbers of .* bits, and at most 64 are emulated; give it and",
    ):
        exact_formats(network, precision)


def test_a_layer_that_the_map_does_not_know_is_named() -> None:
    network = prepared("dense")
    precision = random_precision(network, 1)
    layers: dict[str, LayerPrecision] = {name: f for name, f in precision.layers.items() if name != "fc3"}
    with pytest.raises(SettingsError) as caught:
        build_quantized(network, type(precision)(precision.input, layers))
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["layers.fc3.weight", "layers.fc3.bias"]


def test_all_weights_are_in_the_digest_of_a_model_and_no_name_of_a_session() -> None:
    def make() -> keras.Model:
        keras.utils.set_random_seed(0)
        return keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(3),
                keras.layers.Dropout(0.5),
                keras.layers.BatchNormalization(),
            ]
        )

    first, second = make(), make()
    assert first.layers[0].name != second.layers[0].name
    assert arrays_digest(weights_in(first)) == arrays_digest(weights_in(second))
    assert len(weights_in(first)) == 2 + 4
    for index in range(6):
        changed = [weight + (place == index) for place, weight in enumerate(first.get_weights())]
        second.set_weights(changed)
        assert arrays_digest(weights_in(first)) != arrays_digest(weights_in(second))


def formats(most: int) -> st.SearchStrategy[FixedPoint]:
    return st.builds(
        FixedPoint,
        st.integers(2, 8),
        st.integers(-1, most),
        st.booleans(),
        st.just("RND_CONV"),
        st.just("SAT"),
    )


@given(formats(4), formats(2), formats(2), st.integers(1, 20), st.integers(1, 8))
def test_the_types_of_recurrent_layers_hold_every_sum_and_have_no_bit_too_many(
    source: FixedPoint, weight: FixedPoint, result: FixedPoint, n_inputs: int, units: int
) -> None:
    x, w, h = (Fraction(max(abs(one.minimum), one.maximum)) for one in (source, weight, result))
    gru = gru_accumulator("rnn", source, weight, result, n_inputs, units)
    sums = w * (n_inputs * x + units * h + 2)  # with both biases
    assert sums <= gru.maximum
    assert gru.integer_bits == 2 or 2.0 ** (gru.integer_bits - 2) <= sums
    assert gru.fractional_bits >= weight.fractional_bits + max(source.fractional_bits, result.fractional_bits)
    lstm = lstm_type("rnn", source, weight, result, n_inputs, units)
    # outputs are at most 1, and every product is rounded
    sums = w * (n_inputs * x + units + 1) + (n_inputs + units + 1) * Fraction(lstm.step) / 2
    assert sums <= lstm.maximum
    assert source.with_sign().maximum <= lstm.maximum
    assert lstm.fractional_bits == max(source.fractional_bits, result.fractional_bits)
    needed = {2, source.with_sign().integer_bits}
    assert lstm.integer_bits in needed or 2.0 ** (lstm.integer_bits - 2) <= 2 * sums
