"""What pruning asked of each layer, what it reached, and why it stopped short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kept(StrEnum):
    """Why a layer was not pruned, or less than asked."""

    NOT_ASKED = "nothing was asked of it"
    LESS_THAN_ONE = "the fraction is less than one unit"
    LAST_UNITS = "what is left stays: without it the network would be cut through"
    OUTPUT = "its outputs are the network's"
    SHARED = "an addition or a concatenation reads its outputs"
    RESHAPED = "a reshape gives its outputs other places"
    DEPTHWISE = "its channels are those of the layer before it"
    NO_REUSE = "a depthwise convolution has no reuse blocks"
    IN_QUANTIZATION = "it is pruned inside the quantization-aware training"


@dataclass(frozen=True)
class LayerOutcome:
    """What became of one layer.

    Parameters
    ----------
    asked
        The fraction to remove; ``None`` where one budget holds for the whole network.
    reached
        The fraction removed: of its weights, or of its neurons or filters.
    kept
        Why it is less than asked; ``None`` if it is not.
    details
        Numbers of the method, for example units before and after, or estimated costs.
    """

    asked: float | None
    reached: float
    kept: Kept | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form, for records."""
        kept = None if self.kept is None else str(self.kept)
        return {"asked": self.asked, "reached": self.reached, "kept": kept, **self.details}
