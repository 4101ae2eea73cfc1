"""Affine (scale and zero point) number formats, `r = S (q - Z)`.

Jacob et al. 2018 (arXiv:1712.05877, eq. 1) and Wu et al. 2020 (NVIDIA, arXiv:2004.09602).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign.errors import DataError, SettingsError

_LEAST_SCALE = 2.0**-100  # a range narrower than this many codes of it counts as zero


@dataclass(frozen=True)
class AffineQuantizer:
    """A map between real numbers `r` and integers `q` of a few bits, `r = S (q - Z)`.

    Parameters
    ----------
    bits
        The width of `q`, 2 to 16.
    scale
        `S`: one positive number, or one for each channel.
    zero_point
        `Z`: one for each scale; a code, so that zero is exactly representable.
    signed
        Codes from `-2**(bits-1)` if true, from 0 if false.
    narrow
        Leave out the most negative code, so that signed codes are symmetric about zero.
    axis
        The axis of the channels in the arrays that are quantized; ``None`` for one scale for the whole tensor.

    Raises
    ------
    SettingsError
        For a number of bits out of range, a scale that is not positive and finite, a zero point that is not a code of the type,
        or another number of zero points than of scales.
    """

    bits: int
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    signed: bool = True
    narrow: bool = False
    axis: int | None = None

    def __post_init__(self) -> None:
        check_bits(self.bits)
        object.__setattr__(self, "scale", tuple(float(value) for value in self.scale))
        object.__setattr__(self, "zero_point", tuple(int(value) for value in self.zero_point))
        if len(self.scale) != len(self.zero_point) or not self.scale:
            raise SettingsError(
                f"{len(self.scale)} scales need as many zero points, not {len(self.zero_point)}; and at least one"
            )
        if self.axis is None and len(self.scale) > 1:
            raise SettingsError(f"{len(self.scale)} scales need the axis of their channels; give axis")
        bad = [value for value in self.scale if not (0 < value < np.inf)]
        if bad:
            raise SettingsError(f"a scale must be positive and finite, not {bad[0]!r}")
        least, most = self.code_limits
        bad = [value for value in self.zero_point if not least <= value <= most]
        if bad:
            raise SettingsError(f"a zero point must be a code, {least} to {most}, not {bad[0]!r}")

    @classmethod
    def from_range(
        cls,
        low: ArrayLike,
        high: ArrayLike,
        bits: int,
        *,
        symmetric: bool = False,
        signed: bool = True,
        axis: int | None = None,
    ) -> AffineQuantizer:
        """Make the quantizer that spans a range of real numbers and holds zero exactly.

        Parameters
        ----------
        low, high
            The ends of the range: numbers, or shape `(n_channels,)` with an axis. Zero is taken in. A channel that
            is zero throughout gets the scale 1.
        bits
            2 to 16.
        symmetric
            `Z = 0` and codes symmetric about zero (arXiv:2004.09602, section 3.1.2); otherwise the range is shifted
            a little so that `Z` is whole (arXiv:1712.05877, section 3).
        signed
            Whether codes are signed.
        axis
            The axis of the channels.

        Raises
        ------
        SettingsError
            For other bits, or a symmetric unsigned range below zero.
        DataError
            For ends that are not finite or in the wrong order.
        """
        check_bits(bits)
        least = np.minimum(np.atleast_1d(np.asarray(low, np.float64)), 0.0)
        most = np.maximum(np.atleast_1d(np.asarray(high, np.float64)), 0.0)
        if not (
            np.isfinite(least).all()
            and np.isfinite(most).all()
            and np.all(np.asarray(low) <= np.asarray(high))
        ):
            raise DataError(f"a range must have finite ends in order, not {low!r} to {high!r}")
        first, last = _code_limits(bits, signed, narrow=symmetric)
        if symmetric:
            if not signed and least.min() < 0:
                raise SettingsError(
                    f"a symmetric unsigned quantizer starts at 0, not at {least.min():g}; use signed codes"
                )
            scale = _scale(np.maximum(most, -least), last)
            zero = np.zeros(scale.shape)
        else:
            scale = _scale(most - least, last - first)
            zero = np.clip(np.rint(first - least / scale), first, last)
        zero_point = tuple(int(value) for value in zero)
        return cls(bits, tuple(scale.tolist()), zero_point, signed, symmetric and signed, axis)

    @property
    def code_limits(self) -> tuple[int, int]:
        """The least and the greatest code."""
        return _code_limits(self.bits, self.signed, self.narrow)

    def quantize(self, r: ArrayLike) -> NDArray[np.int32]:
        """Give the codes `clip(round(r / S) + Z)`, ties to even.

        Parameters
        ----------
        r
            Real numbers of any shape; infinities saturate.

        Raises
        ------
        DataError
            For NaN, or if the axis has another size than there are channels.
        """
        real = np.asarray(r, dtype=np.float64)
        if np.isnan(real).any():
            raise DataError(f"x has NaN at index {int(np.argmax(np.isnan(real)))} and cannot be quantized")
        least, most = self.code_limits
        scaled = np.rint(real / self._along(self.scale, real))
        codes: NDArray[np.int32] = np.clip(scaled + self._along(self.zero_point, real), least, most).astype(
            np.int32
        )
        return codes

    def dequantize(self, q: ArrayLike) -> NDArray[np.float64]:
        """Give the real numbers `S (q - Z)` of codes of any shape."""
        codes = np.asarray(q)
        real: NDArray[np.float64] = self._along(self.scale, codes) * (
            codes - self._along(self.zero_point, codes)
        )
        return real

    def fake_quantize(self, r: ArrayLike) -> NDArray[np.float64]:
        """Give the nearest representable numbers, `dequantize(quantize(r))`."""
        return self.dequantize(self.quantize(r))

    def _along(self, values: tuple[Any, ...], array: NDArray[Any]) -> NDArray[Any]:
        """Shape one value a channel so that it broadcasts against `array`."""
        if self.axis is None:
            return np.asarray(values[0])
        shape = [1] * array.ndim
        if not -array.ndim <= self.axis < array.ndim or array.shape[self.axis] != len(values):
            raise DataError(
                f"a quantizer of {len(values)} channels on axis {self.axis} cannot take an array of shape {array.shape}"
            )
        shape[self.axis] = -1
        return np.asarray(values).reshape(shape)


def check_bits(bits: int) -> None:
    """Raise `SettingsError` unless an affine quantizer can have so many bits."""
    if isinstance(bits, bool) or not isinstance(bits, int | np.integer) or not 2 <= bits <= 16:
        raise SettingsError(f"an affine quantizer has 2 to 16 bits, not {bits!r}")


def _code_limits(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    if not signed:
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1


def _scale(span: NDArray[np.float64], codes: int) -> NDArray[np.float64]:
    scale = span / codes
    return np.where(scale < _LEAST_SCALE, 1.0, scale)
