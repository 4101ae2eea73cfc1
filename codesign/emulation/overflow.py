"""Counts of values that a format changed out of recognition: wrapped, saturated, or lost altogether."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from codesign.core.fixed_point import FixedPoint

Tensor = Literal["input", "weight", "bias", "accumulator", "result"]
TENSORS: tuple[Tensor, ...] = get_args(Tensor)


@dataclass
class Tally:
    """A running count for one tensor, over batches.

    Parameters
    ----------
    values
        How many values were assigned to the tensor's type.
    wrapped
        How many were out of its range and lost their highest bits.
    saturated
        How many were out of its range and became its limit (or zero, with AP_SAT_ZERO).
    lost
        How many were not zero and became zero.
    """

    values: int = 0
    wrapped: int = 0
    saturated: int = 0
    lost: int = 0

    def add(self, values: int, *, overflowed: int = 0, wraps: bool = True, lost: int = 0) -> None:
        """Count some more values of a type that wraps or saturates."""
        self.values += values
        self.lost += lost
        if wraps:
            self.wrapped += overflowed
        else:
            self.saturated += overflowed


@dataclass(frozen=True)
class TensorOverflow:
    """The count of one tensor of one layer; the fields are those of `Tally`."""

    layer: str
    tensor: Tensor
    precision: str
    values: int
    wrapped: int
    saturated: int
    lost: int

    @property
    def clean(self) -> bool:
        """Whether nothing wrapped and nothing saturated."""
        return not self.wrapped and not self.saturated

    def to_dict(self) -> dict[str, Any]:
        """Give the fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class OverflowReport:
    """What overflowed in a network for some inputs.

    Parameters
    ----------
    samples
        How many samples were run.
    tensors
        One count for each tensor that is assigned to a type, in the network's order. Weights and biases are
        counted once, the others over all samples.
    """

    samples: int
    tensors: tuple[TensorOverflow, ...]

    def __iter__(self) -> Iterator[TensorOverflow]:
        return iter(self.tensors)

    @property
    def wrapped(self) -> int:
        """All values that wrapped."""
        return sum(tensor.wrapped for tensor in self.tensors)

    @property
    def saturated(self) -> int:
        """All values that saturated."""
        return sum(tensor.saturated for tensor in self.tensors)

    @property
    def lost(self) -> int:
        """All values that became zero without being zero."""
        return sum(tensor.lost for tensor in self.tensors)

    def of(self, layer: str, tensor: Tensor) -> TensorOverflow:
        """Return one count; `KeyError` names those there are."""
        for row in self.tensors:
            if (row.layer, row.tensor) == (layer, tensor):
                return row
        known = ", ".join(f"{row.layer}/{row.tensor}" for row in self.tensors)
        raise KeyError(f"nothing was counted for {layer}/{tensor}; counted were {known}")

    def to_dict(self) -> dict[str, Any]:
        """Give JSON values."""
        return {"samples": self.samples, "tensors": [row.to_dict() for row in self.tensors]}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> OverflowReport:
        """Read what `to_dict` gave."""
        return cls(value["samples"], tuple(TensorOverflow(**row) for row in value["tensors"]))

    def to_rows(self, *, only_events: bool = False) -> list[dict[str, Any]]:
        """Give one flat row for each tensor, for a table; with `only_events` only those where something happened."""
        return [
            row.to_dict()
            for row in self.tensors
            if not only_events or row.wrapped or row.saturated or row.lost
        ]


def count_assignment(x: np.ndarray, precision: FixedPoint, tally: Tally) -> None:
    """Count the overflows and losses of an assignment of `x` (real numbers, any shape) to a type."""
    least, most = (limit * precision.step for limit in precision.kept_codes)
    unlimited = FixedPoint(64, 64 - precision.fractional_bits, True, precision.rounding, "SAT")
    rounded = unlimited.quantize(x)
    tally.add(
        x.size,
        overflowed=int(np.count_nonzero((rounded < least) | (rounded > most))),
        wraps=precision.overflow.startswith("WRAP"),
        lost=int(np.count_nonzero((x != 0) & (rounded == 0))),
    )
