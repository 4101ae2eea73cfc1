"""Multiply int32 numbers by a real constant with integers alone: `M = 2**-n M0`, `M0` of 31 bits.

Jacob et al. 2018 (arXiv:1712.05877, eq. 5 and 6); the roundings are those of gemmlowp's
`SaturatingRoundingDoublingHighMul` and `RoundingDivideByPOT`, which TensorFlow Lite's reference kernels use.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign.errors import ConversionError, SettingsError

INT32_LIMITS = (-(2**31), 2**31 - 1)


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
