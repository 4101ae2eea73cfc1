"""A width for each weight or channel: the QKeras student, the emulated hardware and the costs agree on the values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_networks import inputs, prepared, random_precision

from codesign.core.precision_map import PrecisionMap, WeightWidths
from codesign.core.target import Target
from codesign.cost import bops_of, estimate_luts, layer_costs
from codesign.emulation import Emulator
from codesign.errors import SettingsError
from codesign.hls.convert import HardwareChoices, convert_graph
from codesign.hls.graph import read_graph
from codesign.networks.build import build_float, build_quantized
from codesign.networks.description import Network
from codesign.networks.prepare import hardware_form
from codesign.networks.shapes import layer_shapes


def with_random_widths(network: Network, precision: PrecisionMap, by_channel: bool) -> PrecisionMap:
    """Widths of 0 to the format's, for each weight or for each channel of the last axis."""
    rng = np.random.default_rng(5)
    layers = dict(precision.layers)
    for layer in network.weight_layers:
        formats, kernel = layers[layer.name], layer.weights["kernel"]
        shape = kernel.shape[-1:] if by_channel else kernel.shape
        widths = rng.integers(0, formats.weight.width + 1, shape)
        layers[layer.name] = replace(formats, weight_widths=WeightWidths.of(widths))
    return PrecisionMap(precision.input, layers)


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("name", ["dense", "conv1d", "conv2d"])
def test_the_student_the_hardware_and_the_costs_have_the_same_weights(name, by_channel):
    network = prepared(name)
    plain = random_precision(network, 3)
    precision = with_random_widths(network, plain, by_channel)
    x = inputs(network, 40)
    student = np.asarray(build_quantized(network, precision)(x))
    on_grid, formats = hardware_form(network, precision)
    graph = convert_graph(build_float(on_grid), formats, Target(), HardwareChoices(), "unwritten")
    hardware = Emulator.of(read_graph(graph)).run(x)
    np.testing.assert_array_equal(np.reshape(hardware, student.shape), student)
    assert (np.asarray(build_quantized(network, plain)(x)) != student).any()
    # costs of the floats with widths are those of the values on their grids without
    shapes = layer_shapes(network)
    floats, values = (
        {layer.name: form[layer.name].weights["kernel"] for layer in network.weight_layers}
        for form in (network, on_grid)
    )
    biases = {layer.name: layer.weights["bias"] for layer in network.weight_layers if "bias" in layer.weights}
    luts = estimate_luts(shapes, precision, floats, biases)
    assert luts == estimate_luts(shapes, plain, values, biases) < estimate_luts(shapes, plain, floats, biases)
    fine, coarse = layer_costs(shapes, precision, floats), layer_costs(shapes, plain, values)
    assert [(row.ebops, row.n_zeros) for row in fine] == [(row.ebops, row.n_zeros) for row in coarse]
    assert sum(row.bops for row in fine) == pytest.approx(bops_of(shapes, precision, floats))
    assert bops_of(shapes, precision, floats) < bops_of(shapes, plain, values)
    assert PrecisionMap.from_dict(precision.to_dict()) == precision


def test_widths_of_another_kernel_are_refused_wherever_they_are_used():
    network = prepared("dense")
    precision = random_precision(network, 3)
    name = network.weight_layers[0].name
    wrong = replace(precision[name], weight_widths=WeightWidths.of(np.ones((2, 3), int)))
    precision = PrecisionMap(precision.input, {**precision.layers, name: wrong})
    kernels = {layer.name: layer.weights["kernel"] for layer in network.weight_layers}
    for use in (
        lambda: hardware_form(network, precision),
        lambda: build_quantized(network, precision),
        lambda: estimate_luts(layer_shapes(network), precision, kernels),
    ):
        with pytest.raises(
            SettingsError, match=rf"layers.{name}.weight_widths: their shape \(2, 3\) does not fit"
        ):
            use()
