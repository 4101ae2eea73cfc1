"""Fixed-point number formats as `ap_fixed<W, I, Q, O>` means them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from codesign.errors import SettingsError

Rounding = Literal["RND", "RND_ZERO", "RND_MIN_INF", "RND_INF", "RND_CONV", "TRN", "TRN_ZERO"]
Overflow = Literal["SAT", "SAT_ZERO", "SAT_SYM", "WRAP", "WRAP_SM"]


@dataclass(frozen=True)
class FixedPoint:
    """A fixed-point format.

    Parameters
    ----------
    width
        Total bits, 1 to 64.
    integer_bits
        Bits left of the binary point, **including the sign bit** of a signed format, as in `ap_fixed<W, I>`;
        may be negative or larger than `width`.
    signed
        Two's complement if true.
    rounding
        The quantization mode of `ap_fixed`, without its `AP_`.
    overflow
        The overflow mode of `ap_fixed`, without its `AP_`.

    Raises
    ------
    SettingsError
        For a width outside 1 to 64 or an unknown mode.
    """

    width: int
    integer_bits: int
    signed: bool = True
    rounding: Rounding = "TRN"
    overflow: Overflow = "WRAP"

    def __post_init__(self) -> None:
        if not 1 <= self.width <= 64:
            raise SettingsError(f"width must be 1 to 64 bits, not {self.width!r}")
        if self.rounding not in get_args(Rounding):
            raise SettingsError(f"rounding must be one of {', '.join(get_args(Rounding))}, not {self.rounding!r}")
        if self.overflow not in get_args(Overflow):
            raise SettingsError(f"overflow must be one of {', '.join(get_args(Overflow))}, not {self.overflow!r}")

    @property
    def fractional_bits(self) -> int:
        """Bits right of the binary point: `width - integer_bits`."""
        return self.width - self.integer_bits

    @property
    def step(self) -> float:
        """The least significant bit's value, `2 ** -fractional_bits`."""
        return 2.0**-self.fractional_bits

    @property
    def minimum(self) -> float:
        """The smallest value of the format (AP_SAT_SYM still *holds* it, but never makes it)."""
        return -(2.0 ** (self.integer_bits - 1)) if self.signed else 0.0

    @property
    def maximum(self) -> float:
        """The largest value of the format."""
        return 2.0 ** (self.integer_bits - int(self.signed)) - self.step

    def with_modes(self, rounding: Rounding, overflow: Overflow) -> FixedPoint:
        """The same bits with other modes."""
        return replace(self, rounding=rounding, overflow=overflow)

    def __str__(self) -> str:
        """hls4ml's spelling, `fixed<16,6>` or `ufixed<8,0,RND_CONV,SAT,0>`; default modes are left out."""
        head = f"{'' if self.signed else 'u'}fixed<{self.width},{self.integer_bits}"
        if (self.rounding, self.overflow) == ("TRN", "WRAP"):
            return head + ">"
        return head + f",{self.rounding},{self.overflow},0>"
