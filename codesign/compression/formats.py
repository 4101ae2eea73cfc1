"""Number formats that hold what was seen: integer bits from extremes, so that nothing overflows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import keras
import numpy as np

from codesign.affine.calibration import check_calibration_set
from codesign.core.fixed_point import FixedPoint
from codesign.core.ports import apart
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.core.shown import Brief
from codesign.errors import DataError, SettingsError
from codesign.networks.build import build_float
from codesign.networks.description import ACTIVATION_KINDS, LayerSpec, Network
from codesign.networks.joined import each_output_of, fed
from codesign.networks.logits import BATCH_SIZE

INPUT = "input"
"""The name of the network's input among the tensors."""


@dataclass(frozen=True)
class Extremes:
    """The smallest and the largest value of a tensor."""

    lowest: float
    highest: float

    @property
    def signed(self) -> bool:
        """Whether a value is negative."""
        return self.lowest < 0


@dataclass(frozen=True)
class Ranges(Brief):
    """What a network's tensors were seen to hold.

    Parameters
    ----------
    input
        Of the calibration inputs, all together.
    results
        Of each activation's output on the calibration set, by layer name; of each of several inputs too.
    weights, biases
        Of the trained values, by layer name.
    """

    input: Extremes
    results: Mapping[str, Extremes]
    weights: Mapping[str, Extremes]
    biases: Mapping[str, Extremes]


def measure_ranges(network: Network, calibration: np.ndarray, percentile: float = 100.0) -> Ranges:
    """Run the float network on a calibration set and note every tensor's extremes.

    Parameters
    ----------
    network
        Prepared (see `codesign.networks.prepare`).
    calibration
        Inputs of shape `(n_samples, *input_shape)`, several side by side.
    percentile
        Of the magnitudes of inputs and results that their formats need to hold, above 0; 100 for all of them. Less
        cuts rare outliers, which then saturate, for finer steps. Weights are never cut.

    Raises
    ------
    DataError
        If the set is empty, of another shape, or holds NaN or infinities.
    SettingsError
        For a percentile outside 0 to 100.
    """
    check_calibration_set(calibration, allow_constant=True)
    if calibration.shape[1:] != network.input_shape:
        expected = ", ".join(map(str, network.input_shape))
        raise DataError(
            f"the calibration set must have shape (n_samples, {expected}), not {calibration.shape}"
        )
    if not 0 < percentile <= 100:
        raise SettingsError(f"the percentile must be above 0 and at most 100, not {percentile!r}")
    model = build_float(network)
    names = [layer.name for layer in network.activations]
    outputs = keras.Model(model.inputs, [model.get_layer(name).output for name in names]) if names else None
    given = keras.tree.flatten(fed(model, calibration))
    values = each_output_of(outputs, given, BATCH_SIZE) if outputs is not None else []
    seen = dict(zip(names, values, strict=True))
    if len(network.inputs) > 1:
        seen |= {
            port.name: part
            for port, part in zip(network.inputs, apart(network.inputs, calibration), strict=True)
        }
    return Ranges(
        _extremes(calibration, percentile),
        {name: _extremes(_held(network, name, value), percentile) for name, value in seen.items()},
        {layer.name: _extremes(layer.weights["kernel"]) for layer in network.weight_layers},
        {
            layer.name: _extremes(layer.weights["bias"])
            for layer in network.weight_layers
            if "bias" in layer.weights
        },
    )


def _held(network: Network, name: str, seen: np.ndarray) -> np.ndarray:
    """What a result's format must hold: of a table all its values, not those alone that were seen."""
    held = {layer.name: layer for layer in network.layers if layer.row.holds_results}
    return (
        np.concatenate([values.ravel() for values in held[name].weights.values()]) if name in held else seen
    )


def fit_format(
    range_: Extremes, width: int, margin_bits: int = 0, *, signed: bool | None = None
) -> FixedPoint:
    """The finest format of a width that holds a range: rounding to nearest even, saturating.

    No value of the range saturates, not even by rounding up at its edge.

    Parameters
    ----------
    range_
        What must fit.
    width
        Total bits.
    margin_bits
        Integer bits beyond those needed.
    signed
        Whether the format has a sign; by default only if a value is negative.

    Raises
    ------
    DataError
        If no format of this width holds the range: one signed bit holds no positive value.
    """
    signed = range_.signed if signed is None else signed
    if signed and width == 1 and range_.highest > 0:
        raise DataError(
            f"no signed format of 1 bit holds {range_.lowest:g} to {range_.highest:g}; give it 2 bits"
        )
    edges = Fraction(range_.lowest), Fraction(range_.highest)
    largest = max(map(abs, edges))
    needed = math.frexp(largest)[1] + int(signed) if largest > 0 else 1
    # one fewer fits when only the lowest value has this magnitude, one more when rounding carries over the edge
    for integer_bits in range(needed - 1, needed + 3):
        precision = FixedPoint(width, integer_bits, signed, "RND_CONV", "SAT")
        least, most = precision.code_limits
        # Python rounds a fraction to nearest even as well
        if all(least <= round(edge * Fraction(2) ** precision.fractional_bits) <= most for edge in edges):
            return FixedPoint(width, integer_bits + margin_bits, signed, "RND_CONV", "SAT")
    raise DataError(f"no {width}-bit format holds {range_.lowest:g} to {range_.highest:g}")


@dataclass(frozen=True)
class Widths:
    """Total bits of every tensor that is quantized.

    Parameters
    ----------
    input
        Of the network's only input.
    weights
        By weight layer; the bias has as many.
    results
        By activation layer, and by input where there are several.
    """

    input: int
    weights: Mapping[str, int]
    results: Mapping[str, int]


def uniform_widths(network: Network, bits: int, input_bits: int | None = None) -> Widths:
    """The same width for every tensor."""
    return Widths(
        input_bits or bits,
        {layer.name: bits for layer in network.weight_layers},
        {
            **{name: input_bits or bits for name in several_inputs(network)},
            **{layer.name: bits for layer in network.activations},
        },
    )


def several_inputs(network: Network) -> tuple[str, ...]:
    """The inputs whose formats stand at their layers: of several all, of one none."""
    return tuple(port.name for port in network.inputs) if len(network.inputs) > 1 else ()


def precision_of(network: Network, ranges: Ranges, widths: Widths, margin_bits: int = 0) -> PrecisionMap:
    """The map of given widths: integer bits from the ranges, the rest fractional bits.

    A ReLU's result is unsigned. The margin is for results, which other data may exceed; weights and biases are known.
    """
    layers: dict[str, LayerPrecision] = {}
    for layer in network.layers:
        if layer.name in widths.weights:
            bits = widths.weights[layer.name]
            # signed even if no weight is negative now: training goes on and may want to change a sign
            has_bias = layer.name in ranges.biases
            bias = fit_format(ranges.biases[layer.name], bits, signed=True) if has_bias else None
            layers[layer.name] = LayerPrecision(
                fit_format(ranges.weights[layer.name], bits, signed=True), bias
            )
        elif layer.row.role == "input" and layer.name in widths.results:
            result = network.index_formats.get(layer.name) or fit_format(
                ranges.results[layer.name], widths.results[layer.name], margin_bits
            )
            layers[layer.name] = LayerPrecision(result=result)
        elif layer.kind in ACTIVATION_KINDS:
            result = (
                # between -1 and 1 in every step, of which the last alone may have been seen
                FixedPoint(widths.results[layer.name], 1 + margin_bits, True, "RND_CONV", "SAT")
                if layer.row.recurrent
                else fit_format(ranges.results[layer.name], widths.results[layer.name], margin_bits)
            )
            if layer.row.qkeras and not layer.row.signed and result.integer_bits < 0:
                # QKeras' quantized_relu raises a whole 2 to its integer bits
                result = replace(result, integer_bits=0)
            slopes = _slopes_format(layer, result) if layer.row.parameter else None
            layers[layer.name] = LayerPrecision(weight=slopes, result=result)
    if several_inputs(network):
        return PrecisionMap(None, layers)
    index = network.index_formats.get(network.inputs[0].name)
    return PrecisionMap(index or fit_format(ranges.input, widths.input, margin_bits), layers)


_SLOPE_BITS = 8


def _slopes_format(layer: LayerSpec, result: FixedPoint) -> FixedPoint:
    """The format of what an activation multiplies by: as fine as its result, and a slope of 0.1 has three digits."""
    arrays = [values.ravel() for values in layer.weights.values()]
    slopes = np.concatenate(arrays) if arrays else np.array(layer.config[layer.row.options[0]])
    return fit_format(_extremes(slopes), max(result.width, _SLOPE_BITS), signed=True)


def nominal_precision(network: Network, bits: int = 8) -> PrecisionMap:
    """A map of one width for a network that has not seen data: every tensor within -1 to 1."""
    unit, positive = Extremes(-1.0, 1.0), Extremes(0.0, 1.0)
    ranges = Ranges(
        unit,
        {
            **dict.fromkeys(several_inputs(network), unit),
            **{layer.name: unit if layer.row.signed else positive for layer in network.activations},
        },
        {layer.name: unit for layer in network.weight_layers},
        {layer.name: unit for layer in network.weight_layers if "bias" in layer.weights},
    )
    return precision_of(network, ranges, uniform_widths(network, bits))


def _extremes(values: np.ndarray, percentile: float = 100.0) -> Extremes:
    lowest, highest = float(values.min()), float(values.max())
    if percentile < 100:
        magnitude = float(np.percentile(np.abs(values), percentile))
        # of a tensor of mostly zeros, keep all the others
        magnitude = magnitude or max(-lowest, highest)
        lowest, highest = max(lowest, -magnitude), min(highest, magnitude)
    return Extremes(lowest, highest)
