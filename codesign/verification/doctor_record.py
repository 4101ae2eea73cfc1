"""What the mismatch doctor says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Cause = Literal[
    "accumulator wrapped",
    "accumulator saturated",
    "accumulator too coarse",
    "result wrapped",
    "result saturated",
    "result too coarse",
    "rounding differs",
    "table size",
    "table too coarse",
    "unfolded batch normalisation",
    "input off the grid",
    "weights printed with too few digits",
    "weights differ",
    "reference not exact",
    "emulation and csim differ",
    "unexplained",
]
CAUSES: tuple[Cause, ...] = get_args(Cause)


@dataclass(frozen=True)
class Diagnosis:
    """The first layer that differs, and why.

    Parameters
    ----------
    layer
        The hardware's name of the layer.
    cause
        One of `CAUSES`.
    samples
        How many samples were compared.
    mismatches
        How many of them differ in this layer.
    first_index
        The first that differs.
    largest_lsb
        The largest difference, in units of the least significant bit of the layer's result.
    explained
        How many of the differing samples agree when the cause is removed; all of them for a whole explanation.
    setting
        The setting to change and its new value.
    sentence
        All of it for people.
    evidence
        The numbers behind it.
    """

    layer: str
    cause: Cause
    samples: int
    mismatches: int
    first_index: int
    largest_lsb: float
    explained: int
    setting: str
    sentence: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {**asdict(self), "evidence": dict(self.evidence)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Diagnosis:
        """The inverse of `to_dict`."""
        return cls(**value)
