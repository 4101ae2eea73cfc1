"""The proof that no input can wrap an accumulator: interval analysis over the weights themselves."""

from __future__ import annotations

from dataclasses import dataclass

from codesign.core.fixed_point import FixedPoint
from codesign.emulation import Emulator
from codesign.emulation.accumulators import proven_accumulators


@dataclass(frozen=True)
class AccumulatorProof:
    """What is known of the sums of one layer, whatever the input.

    Parameters
    ----------
    layer
        The layer, in hardware form.
    precision
        The narrowest format that holds every sum, as hls4ml spells it; fractional bits are those of the products.
    least, most
        Values that no sum leaves, for any input on the input grid: interval analysis over the rounded weights and
        the formats of the layer's inputs. A sum reaches them if its inputs can take their limits together.
    inferred_bits
        The width that hls4ml gives the accumulator, which must hold the worst weights of the weight format.
    """

    layer: str
    precision: str
    least: float
    most: float
    inferred_bits: int

    @property
    def holds(self) -> bool:
        """Whether the format holds everything between the bounds."""
        precision = FixedPoint.parse(self.precision)
        return precision.minimum <= self.least and self.most <= precision.maximum

    @property
    def sentence(self) -> str:
        """What is proved, in words."""
        return f"{self.precision} holds every sum: {self.least:g} to {self.most:g} for any input on the input grid"


def prove_accumulators(emulator: Emulator) -> tuple[AccumulatorProof, ...]:
    """Bound the sums of every layer of a converted network.

    Raises
    ------
    ConversionError
        If an input exists that overflows an accumulator.
    """
    bounds = emulator.accumulators
    return tuple(
        AccumulatorProof(
            name, str(precision), bounds[name].least, bounds[name].most, bounds[name].precision.width
        )
        for name, precision in proven_accumulators(emulator).items()
    )
