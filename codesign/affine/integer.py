"""Networks that compute with integers alone: int32 accumulators, codes in and codes out, 31-bit multipliers between.

Jacob et al. 2018 (arXiv:1712.05877, section 2.2-2.4). Codes are int32 arrays of shape `(n_samples, *shape)`. An
accumulator is multiplied by a real constant as `M = 2**-n M0`, `M0` of 31 bits (eq. 5 and 6); the roundings are those
of gemmlowp's `SaturatingRoundingDoublingHighMul` and `RoundingDivideByPOT`, which TensorFlow Lite's reference kernels
use.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign.affine.quantizer import AffineQuantizer
from codesign.errors import ConversionError, DataError, SettingsError

Codes = NDArray[np.int32]

INT32_LIMITS = (-(2**31), 2**31 - 1)


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


class IntegerLayer(Protocol):
    """A layer that maps codes to codes."""

    @property
    def name(self) -> str:
        """The layer's name in the network."""
        ...

    def run(self, codes: Codes) -> Codes:
        """Compute the output codes."""
        ...


@dataclass(frozen=True, eq=False)
class IntegerLinear:
    """A Dense, Conv1D or Conv2D layer, with the ReLU that follows it if there is one.

    `q3 = Z3 + M sum((q1 - Z1) (q2 - Z2)) + bias`, cut to the output's codes (from `Z3` up with a ReLU), where
    `M = S1 S2 / S3` is a 31-bit multiplier and the bias is int32 in steps of `S1 S2`.

    Parameters
    ----------
    name
        The layer's name.
    kernel
        int32 codes of the weights: `(n_inputs, n_outputs)` for a Dense, `(*window, n_inputs, n_filters)` otherwise.
    bias
        Real biases, shape `(n_outputs,)`; `bias_codes` are they in int32.
    input, weight, output
        The quantizers; the weight's channels are the last axis.
    relu
        Whether a ReLU follows.
    strides, padding
        As in Keras; empty strides for a Dense.

    Raises
    ------
    ConversionError
        For a bias that int32 cannot hold.
    """

    name: str
    kernel: Codes
    bias: NDArray[np.float64]
    input: AffineQuantizer
    weight: AffineQuantizer
    output: AffineQuantizer
    relu: bool = False
    strides: tuple[int, ...] = ()
    padding: str = "valid"
    bias_codes: Codes = field(init=False)
    multiplier: FixedMultiplier = field(init=False)

    def __post_init__(self) -> None:
        steps = np.array(self.weight.scale) * self.input.scale[0]
        object.__setattr__(self, "multiplier", FixedMultiplier.from_real(steps / self.output.scale[0]))
        codes = np.rint(self.bias / steps)
        if np.any(np.abs(codes) > INT32_LIMITS[1]):
            raise ConversionError(
                f"{self.name}: a bias is {np.abs(codes).max():.3g} steps of its accumulator, which int32 cannot hold; "
                "use fewer bits for its weights or its inputs"
            )
        object.__setattr__(self, "bias_codes", codes.astype(np.int32))

    @cached_property
    def centred_kernel(self) -> NDArray[np.float64]:
        """The weights' codes less their zero points, `q2 - Z2`, as whole float64 numbers."""
        return (self.kernel - np.array(self.weight.zero_point)).astype(np.float64)

    @cached_property
    def accumulator_bound(self) -> int:
        """The largest magnitude that an accumulator can reach, for any input codes."""
        least, most = self.input.code_limits
        reach = max(most - self.input.zero_point[0], self.input.zero_point[0] - least)
        weights = np.abs(self.centred_kernel).reshape(-1, self.kernel.shape[-1]).sum(axis=0)
        return int((weights * reach + np.abs(self.bias_codes)).max())

    def accumulate(self, codes: Codes) -> NDArray[np.int64]:
        """Compute the accumulators, channels last.

        Raises
        ------
        ConversionError
            If one of them does not fit int32; never if `accumulator_bound` does.
        """
        # float64 sums of whole numbers are exact here: 32-bit products would need 2**21 terms to leave 53 bits
        centred = (codes - self.input.zero_point[0]).astype(np.float64)
        if self.strides:
            size = self.kernel.shape[:-2]
            centred = sliding_windows(centred, size, self.strides, self.padding, 0.0)
            centred = centred.reshape(*centred.shape[: len(size) + 1], -1)
        sums = (centred @ self.centred_kernel.reshape(-1, self.kernel.shape[-1])).astype(np.int64)
        return check_int32(sums + self.bias_codes, self.name, "accumulators")

    def run(self, codes: Codes) -> Codes:
        """Compute the output codes."""
        zero = self.output.zero_point[0]
        least, most = self.output.code_limits
        scaled = self.multiplier.apply(self.accumulate(codes), self.name) + zero
        result: Codes = np.clip(scaled, zero if self.relu else least, most).astype(np.int32)
        return result


@dataclass(frozen=True)
class IntegerRelu:
    """A ReLU that does not follow a weight layer: codes below the zero point become it."""

    name: str
    zero_point: int

    def run(self, codes: Codes) -> Codes:
        """Compute the output codes."""
        return np.maximum(codes, np.int32(self.zero_point))


@dataclass(frozen=True)
class IntegerMaxPool:
    """The largest code of each window; the quantizer stays."""

    name: str
    pool_size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str = "valid"

    def run(self, codes: Codes) -> Codes:
        """Compute the output codes."""
        outside = np.iinfo(np.int32).min
        windows = sliding_windows(codes, self.pool_size, self.strides, self.padding, outside)
        result: Codes = windows.max(axis=_window_axes(self.pool_size))
        return result


@dataclass(frozen=True)
class IntegerAveragePool:
    """The mean code of each whole window, rounded to nearest, ties away from zero; the quantizer stays."""

    name: str
    pool_size: tuple[int, ...]
    strides: tuple[int, ...]

    def run(self, codes: Codes) -> Codes:
        """Compute the output codes."""
        windows = sliding_windows(codes, self.pool_size, self.strides, "valid", 0)
        sums = check_int32(windows.sum(axis=_window_axes(self.pool_size), dtype=np.int64), self.name, "sums")
        count = math.prod(self.pool_size)
        result: Codes = (np.sign(sums) * ((np.abs(sums) + count // 2) // count)).astype(np.int32)
        return result


@dataclass(frozen=True)
class IntegerReshape:
    """Codes in another order of axes, row-major, as Keras' Flatten and Reshape keep them."""

    name: str
    shape: tuple[int, ...]

    def run(self, codes: Codes) -> Codes:
        """Compute the output codes."""
        return codes.reshape(len(codes), *self.shape)


@dataclass(frozen=True)
class FixedMultiplier:
    """One constant for each channel, `mantissa * 2**(exponent - 31)`.

    Parameters
    ----------
    mantissa
        `M0 * 2**31`: 0, or `2**30` to `2**31 - 1`.
    exponent
        `-n`: -31 to 30; positive for a constant above 1.
    """

    mantissa: tuple[int, ...]
    exponent: tuple[int, ...]

    @classmethod
    def from_real(cls, multiplier: ArrayLike) -> FixedMultiplier:
        """Round real constants to 31 bits.

        Parameters
        ----------
        multiplier
            Positive, shape `(n_channels,)` or a number. What is below `2**-32` becomes 0, as every int32 times it does.

        Raises
        ------
        SettingsError
            For a constant that is not positive, not finite or above `2**30`.
        """
        values = np.atleast_1d(np.asarray(multiplier, np.float64))
        bad = values[~((values > 0) & (values < 2.0**30))]
        if bad.size:
            raise SettingsError(f"a multiplier must be above 0 and below 2**30, not {bad[0]!r}")
        fractions, exponents = np.frexp(values)
        mantissas = np.floor(fractions * 2.0**31 + 0.5).astype(np.int64)
        full = mantissas == 2**31  # a fraction so near 1 that it rounds up
        mantissas = np.where(full, 2**30, mantissas)
        exponents = exponents + full
        vanishing = exponents < -31
        return cls(
            tuple(np.where(vanishing, 0, mantissas).tolist()),
            tuple(np.where(vanishing, 0, exponents).tolist()),
        )

    def apply(self, accumulators: NDArray[np.int64], where: str) -> NDArray[np.int64]:
        """Multiply and round to the nearest whole number (twice, as the reference does).

        Parameters
        ----------
        accumulators
            int64 holding int32 values, channels last.
        where
            The layer, for the error.

        Raises
        ------
        ConversionError
            If a number does not fit int32, before or after the left shift of a constant above 1.
        """
        mantissa, exponent = np.array(self.mantissa, np.int64), np.array(self.exponent, np.int64)
        shifted = check_int32(accumulators << np.maximum(exponent, 0), where, "shifted accumulators")
        high = _rounded_doubled_high_product(shifted, mantissa)
        return _rounded_power_of_two_quotient(high, np.maximum(-exponent, 0))


def check_int32(values: NDArray[np.int64], where: str, what: str) -> NDArray[np.int64]:
    """Give `values` back, or raise `ConversionError` if int32 cannot hold them all."""
    least, most = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if least < INT32_LIMITS[0] or most > INT32_LIMITS[1]:
        worst = most if most > INT32_LIMITS[1] else least
        raise ConversionError(
            f"{where}: {what} reach {worst}, which int32 cannot hold; use fewer bits for its weights or its inputs"
        )
    return values


def sliding_windows(
    values: NDArray[Any], size: Sequence[int], strides: Sequence[int], padding: str, outside: float
) -> NDArray[Any]:
    """Give the windows of a convolution or a pool.

    Parameters
    ----------
    values
        Shape `(n_samples, *spatial, n_channels)`.
    size, strides
        One number for each spatial axis.
    padding
        ``valid``, or ``same`` as TensorFlow pads: the odd element at the end.
    outside
        What stands in the padding.

    Returns
    -------
    ndarray
        Shape `(n_samples, *positions, *size, n_channels)`.
    """
    rank = len(size)
    if padding == "same":
        missing = [
            max((-(-length // stride) - 1) * stride + window - length, 0)
            for length, window, stride in zip(values.shape[1:-1], size, strides, strict=True)
        ]
        pads = [(0, 0), *((total // 2, total - total // 2) for total in missing), (0, 0)]
        values = np.pad(values, pads, constant_values=outside)
    windows = np.lib.stride_tricks.sliding_window_view(values, tuple(size), axis=tuple(range(1, rank + 1)))
    windows = windows[(slice(None), *(slice(None, None, stride) for stride in strides))]
    return np.moveaxis(windows, rank + 1, -1)


def _window_axes(size: Sequence[int]) -> tuple[int, ...]:
    return tuple(range(len(size) + 1, 2 * len(size) + 1))


def _rounded_doubled_high_product(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Compute `a * b / 2**31`, rounded to nearest, ties upward."""
    product = a * b
    return np.where(product >= 0, (product + 2**30) >> 31, -((2**30 - 1 - product) >> 31))


def _rounded_power_of_two_quotient(a: NDArray[np.int64], exponent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Compute `a / 2**exponent`, rounded to nearest, ties away from zero."""
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (a < 0)
    quotient: NDArray[np.int64] = (a >> exponent) + ((a & mask) > threshold)
    return quotient
