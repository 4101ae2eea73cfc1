"""The narrowest accumulators that no input can overflow."""

from __future__ import annotations

from dataclasses import replace

from codesign.core.fixed_point import FixedPoint
from codesign.emulation.emulator import Emulator
from codesign.errors import ConversionError


def proven_accumulators(emulator: Emulator) -> dict[str, FixedPoint]:
    """Formats of the accumulators from the weights themselves, by layer.

    hls4ml infers accumulators for the worst weights of their type. Interval analysis over the actual weights and the
    formats of the inputs bounds what the sums can reach, whatever the input; integer bits beyond that are never used.

    Parameters
    ----------
    emulator
        Of a converted graph.

    Raises
    ------
    ConversionError
        If an accumulator is narrower than its sums: an input exists that overflows it.
    """
    found = {}
    for name, accumulator in emulator.accumulators.items():
        precision = accumulator.precision
        if accumulator.least < precision.minimum or accumulator.most > precision.maximum:
            raise ConversionError(
                f"the accumulator {precision} of layer {name!r} can overflow: its sums reach {accumulator.least:g} to "
                f"{accumulator.most:g}; leave its type to be inferred, or give it more integer bits"
            )
        found[name] = _narrowest(precision, accumulator.least, accumulator.most)
    return found


def _narrowest(precision: FixedPoint, least: float, most: float) -> FixedPoint:
    """Drop the integer bits that a range does not need; fractional bits and modes stay."""
    signed = least < 0
    fraction = precision.fractional_bits
    # a format has at least one bit, even for sums that are always zero
    for integer_bits in range(1 - fraction, precision.integer_bits + 1):
        narrow = replace(precision, width=integer_bits + fraction, integer_bits=integer_bits, signed=signed)
        if narrow.minimum <= least and most <= narrow.maximum:
            return narrow
    return precision
