"""The quantized student in float64: where its sums have more bits than float32, QKeras is the inexact side of a comparison."""

from __future__ import annotations

from typing import Any

import keras

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.networks.build import (
    build_of,
    exact_formats,
    float_layer,
    quantized_layer,
    value_formats,
    weights_on_grid,
)
from codesign.networks.description import LayerSpec, Network
from codesign.networks.quantize_tensor import quantize_tensor

_FLOAT32_BITS = 24


@keras.saving.register_keras_serializable("codesign")
class Rounded(keras.layers.Layer):
    """A number format, of what is not negative alone or of all values, in the precision of the layer's dtype.

    Parameters
    ----------
    result
        The format, as text.
    """

    def __init__(self, result: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.result = result

    def call(self, inputs: Any) -> Any:
        """Round and saturate."""
        return quantize_tensor(FixedPoint.parse(self.result), inputs)

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "result": self.result}


def exceeds_float32(network: Network, precision: PrecisionMap) -> bool:
    """Whether the formats allow sums that float32 cannot all hold, so that QKeras may round them."""
    exact = exact_formats(network, precision)
    sums = [exact[layer.name] for layer in network.layers if layer.row.needs_point]
    return any(found is not None and found.width - 1 > _FLOAT32_BITS for found in sums)


def build_exact(network: Network, precision: PrecisionMap) -> keras.Model:
    """A float64 model that computes what `build_quantized`'s would with exact sums: layers, names and inputs are the same.

    Parameters
    ----------
    network, precision
        As for `codesign.networks.build.build_quantized`.
    """
    formats = value_formats(network, precision)

    def make(layer: LayerSpec) -> keras.layers.Layer:
        own = precision.layers.get(layer.name, LayerPrecision())
        if layer.row.role == "point" and not layer.row.student and own.result is not None:
            return Rounded(str(own.result), name=layer.name, dtype="float64")
        sources = [formats[name] for name in layer.inputs]
        made = (
            float_layer(layer) if layer.row.role == "product" else quantized_layer(layer, precision, sources)
        )
        return type(made).from_config({**made.get_config(), "dtype": "float64"})

    def grid(name: str) -> keras.layers.Layer:
        return Rounded(str(precision.of_input(name)), name=f"{name}_grid", dtype="float64")

    on_grid = network.map_layers(lambda layer: weights_on_grid(layer, precision.layers.get(layer.name)))
    return build_of(on_grid, make, grid)
