"""Fixed-point number formats as `ap_fixed<W, I, Q, O, N>` means them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign.core import fixed_quantize
from codesign.core.fixed_qkeras import read_qkeras, write_qkeras
from codesign.core.fixed_text import parse_fixed_point
from codesign.errors import SettingsError

Rounding = Literal["RND", "RND_ZERO", "RND_MIN_INF", "RND_INF", "RND_CONV", "TRN", "TRN_ZERO"]
Overflow = Literal["SAT", "SAT_ZERO", "SAT_SYM", "WRAP", "WRAP_SM"]

_FURTHEST_BIT = 512


@dataclass(frozen=True)
class FixedPoint:
    """A fixed-point format.

    Parameters
    ----------
    width
        Total bits, 1 to 64.
    integer_bits
        Bits left of the binary point, **including the sign bit** of a signed format, as in `ap_fixed<W, I>`;
        may be negative or larger than `width`, to -512 and 512 (float64 ends there with room for arithmetic).
    signed
        Two's complement if true.
    rounding
        The quantization mode of `ap_fixed`, without its `AP_`.
    overflow
        The overflow mode of `ap_fixed`, without its `AP_`.
    saturation_bits
        The `N` of `ap_fixed`: how many of the highest bits AP_WRAP and AP_WRAP_SM saturate; of no effect in
        the other modes.

    Raises
    ------
    SettingsError
        For a width outside 1 to 64, an unknown mode, or a format that cannot hold what its modes promise.
    """

    width: int
    integer_bits: int
    signed: bool = True
    rounding: Rounding = "TRN"
    overflow: Overflow = "WRAP"
    saturation_bits: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "integer_bits", "saturation_bits"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise SettingsError(f"{name} must be a whole number, not {value!r}")
            object.__setattr__(self, name, int(value))
        if not 1 <= self.width <= 64:
            raise SettingsError(f"width must be 1 to 64 bits, not {self.width!r}")
        if self.rounding not in get_args(Rounding):
            raise SettingsError(
                f"rounding must be one of {', '.join(get_args(Rounding))}, not {self.rounding!r}"
            )
        if self.overflow not in get_args(Overflow):
            raise SettingsError(
                f"overflow must be one of {', '.join(get_args(Overflow))}, not {self.overflow!r}"
            )
        if not -_FURTHEST_BIT <= self.integer_bits <= _FURTHEST_BIT:
            raise SettingsError(
                f"integer_bits must be -{_FURTHEST_BIT} to {_FURTHEST_BIT}, not {self.integer_bits}; "
                "a format further out holds no value that float64 can compute with"
            )
        self._check_modes()

    def _check_modes(self) -> None:
        if not 0 <= self.saturation_bits <= self.width:
            raise SettingsError(
                f"saturation_bits must be 0 to the width, {self.width}, not {self.saturation_bits}"
            )
        if self.overflow == "WRAP_SM" and not self.signed:
            raise SettingsError(
                "overflow WRAP_SM needs a signed format, the ap_fixed headers refuse it for ap_ufixed; "
                "use WRAP"
            )
        if self.overflow == "SAT_SYM" and self.signed and self.width == 1:
            raise SettingsError(
                "a signed format of 1 bit cannot hold any value but zero with overflow SAT_SYM; "
                "use SAT or 2 bits"
            )

    @classmethod
    def parse(cls, text: Any) -> FixedPoint:
        """Read any spelling that users meet.

        Parameters
        ----------
        text
            `ap_fixed<16,6>`, `ap_fixed<16,6,AP_RND_CONV,AP_SAT>`, `ap_ufixed<8,0>`, `ap_int<8>`,
            `ap_uint<8>`, or hls4ml's `fixed<16,6,RND,SAT,0>`, `ufixed<8,0>`, `int<8>`, `uint<8>`; blanks and the
            case of the modes do not matter.

        Raises
        ------
        SettingsError
            For any other text, with what was given and the accepted forms; for bits or modes that cannot be.
        """
        arguments = parse_fixed_point(text)
        try:
            return cls(**arguments)
        except SettingsError as error:
            raise SettingsError(error.faults, source=text) from None

    @classmethod
    def from_qkeras(cls, quantizer: Any) -> FixedPoint:
        """Read the format that a QKeras quantizer computes; see `codesign.core.fixed_qkeras.read_qkeras`."""
        return cls(**read_qkeras(quantizer))

    def to_qkeras(self, relu: bool = False) -> dict[str, Any]:
        """Give the serialized QKeras quantizer; see `codesign.core.fixed_qkeras.write_qkeras`."""
        return write_qkeras(self, relu)

    @property
    def fractional_bits(self) -> int:
        """Bits right of the binary point: `width - integer_bits`."""
        return self.width - self.integer_bits

    @property
    def step(self) -> float:
        """The least significant bit's value, `2 ** -fractional_bits`."""
        return 2.0**-self.fractional_bits

    @property
    def code_limits(self) -> tuple[int, int]:
        """The least and the greatest code (value / step), exact for every width."""
        if self.signed:
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return 0, (1 << self.width) - 1

    @property
    def minimum(self) -> float:
        """The smallest value of the format (AP_SAT_SYM still *holds* it, but never makes it)."""
        return self.code_limits[0] * self.step

    @property
    def maximum(self) -> float:
        """The largest value of the format, rounded to float64 where the format has more than 53 bits."""
        return self.code_limits[1] * self.step

    def with_modes(self, rounding: Rounding, overflow: Overflow) -> FixedPoint:
        """Give the same bits with other modes."""
        return replace(self, rounding=rounding, overflow=overflow)

    def quantize(self, x: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Round and overflow `x` exactly as an assignment to this `ap_fixed` type does.

        Parameters
        ----------
        x
            Real numbers of any shape.
        out
            Where to put the result; may be `x` itself.

        Returns
        -------
        ndarray
            The shape of `x`. float32 for float32 input and a format of at most 24 bits, all of whose values
            float32 holds (fractional bits -100 to 100); float64 for everything else. Never a negative zero.

        Raises
        ------
        DataError
            For NaN; for an infinity that does not saturate; for an overflow of a format wider than 53 bits
            whose result float64 cannot hold (`to_integers` gives it); for an `out` of another shape or type.

        Notes
        -----
        Equal to the headers that hls4ml ships for every rounding and overflow mode
        (`tests/core/test_fixed_point_headers.py`).
        """
        return fixed_quantize.quantize(self, x, out)

    def is_representable(self, x: ArrayLike) -> NDArray[np.bool_]:
        """Which of `x` (any shape) the format holds exactly; false for NaN and infinities."""
        return fixed_quantize.is_representable(self, x)

    def to_integers(self, x: ArrayLike) -> NDArray[Any]:
        """Quantize `x` and give the codes, `quantize(x) / step`, exact for every width.

        Returns
        -------
        ndarray
            int64 of the shape of `x`; uint64 for an unsigned format of 64 bits.

        Raises
        ------
        DataError
            As `quantize`, but never for the width.
        """
        return fixed_quantize.to_integers(self, x)

    def from_integers(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Give the values of codes, `codes * step`.

        Parameters
        ----------
        codes
            Integers of any shape.

        Raises
        ------
        DataError
            For what is no integer, not a code of the format, or not exact in float64.
        """
        return fixed_quantize.from_integers(self, codes)

    def __str__(self) -> str:
        """hls4ml's spelling, `fixed<16,6>` or `ufixed<8,0,RND_CONV,SAT,0>`; default modes are left out."""
        head = f"{'' if self.signed else 'u'}fixed<{self.width},{self.integer_bits}"
        if (self.rounding, self.overflow, self.saturation_bits) == ("TRN", "WRAP", 0):
            return head + ">"
        return head + f",{self.rounding},{self.overflow},{self.saturation_bits}>"

    def ap(self) -> str:
        """Spell as C++ does, `ap_fixed<16,6,AP_RND_CONV,AP_SAT>`; defaults are left out."""
        head = f"ap_{'' if self.signed else 'u'}fixed<{self.width},{self.integer_bits}"
        if self.saturation_bits:
            return head + f",AP_{self.rounding},AP_{self.overflow},{self.saturation_bits}>"
        if (self.rounding, self.overflow) == ("TRN", "WRAP"):
            return head + ">"
        return head + f",AP_{self.rounding},AP_{self.overflow}>"
