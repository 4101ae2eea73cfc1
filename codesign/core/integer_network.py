"""A chain of integer layers between real inputs and real logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign.core.affine import AffineQuantizer
from codesign.core.integer_layers import Codes, IntegerLayer, IntegerLinear
from codesign.core.requantize import INT32_LIMITS
from codesign.errors import DataError


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """A network that computes with integers alone.

    Parameters
    ----------
    input_shape
        The shape of one sample.
    input, output
        The quantizers of the inputs and of the logits.
    layers
        The layers in order.
    """

    input_shape: tuple[int, ...]
    input: AffineQuantizer
    layers: tuple[IntegerLayer, ...]
    output: AffineQuantizer

    @property
    def overflow_free(self) -> bool:
        """Whether no input at all can make an accumulator leave int32 (from the weights, without data)."""
        return all(layer.accumulator_bound <= INT32_LIMITS[1] for layer in self.linear_layers)

    @property
    def linear_layers(self) -> tuple[IntegerLinear, ...]:
        """The layers with weights."""
        return tuple(layer for layer in self.layers if isinstance(layer, IntegerLinear))

    def run(self, codes: Codes, batch_size: int = 4096) -> Codes:
        """Compute the logits' codes.

        Parameters
        ----------
        codes
            Input codes, shape `(n_samples, *input_shape)`.
        batch_size
            How many samples at a time; bounds the memory, changes no number.

        Raises
        ------
        DataError
            For another shape or no samples.
        ConversionError
            If an accumulator does not fit int32; names the layer.
        """
        if codes.shape[1:] != self.input_shape or len(codes) == 0:
            expected = ", ".join(map(str, self.input_shape))
            raise DataError(f"inputs must have shape (n_samples, {expected}) with samples, not {codes.shape}")
        batches = []
        for start in range(0, len(codes), batch_size):
            batch = codes[start : start + batch_size]
            for layer in self.layers:
                batch = layer.run(batch)
            batches.append(batch)
        return np.concatenate(batches)

    def predict(self, x: ArrayLike, batch_size: int = 4096) -> NDArray[np.float64]:
        """Quantize real inputs of shape `(n_samples, *input_shape)` and give the real logits."""
        return self.output.dequantize(self.run(self.input.quantize(x), batch_size))
