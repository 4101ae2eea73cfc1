"""How large the values of a network are beside the formats that hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.emulation.emulator import Emulator

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_SAMPLES = 1000
_MOST_VALUES = 200_000


@dataclass(frozen=True)
class TensorProfile:
    """The magnitudes of one tensor.

    Parameters
    ----------
    layer, tensor
        ``weight``, ``bias`` or ``result``; of an input layer, ``result``.
    precision
        The format, as hls4ml prints it.
    step, largest
        The value of its least significant bit, and the largest magnitude that it holds.
    zeros
        The share of values that are zero.
    quantiles
        Of the magnitudes that are not: at 0, 5, 25, 50, 75, 95 and 100 %; empty if all are zero.
    digits
        Of weights: how many have 0, 1, 2, ... significant binary digits, from the highest set bit to the lowest.
    """

    layer: str
    tensor: str
    precision: str
    step: float
    largest: float
    zeros: float
    quantiles: tuple[float, ...]
    digits: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def profile_values(emulator: Emulator, x: np.ndarray | Sequence[np.ndarray]) -> tuple[TensorProfile, ...]:
    """Profile weights, biases and results, these for the first thousand samples.

    Parameters
    ----------
    emulator
        The network.
    x
        Inputs, as for `Emulator.run`.
    """
    few = x[:_SAMPLES] if isinstance(x, np.ndarray) else [part[:_SAMPLES] for part in x]
    traced: Mapping[str, np.ndarray] = emulator.run(few, trace=True)
    return tuple(row for node in emulator.graph for row in _rows(node, traced[node.name]))


def _rows(node: Any, result: np.ndarray) -> Iterator[TensorProfile]:
    for name in ("weight", "bias"):
        values = node.weights.get(name)
        if (
            values is not None
            and values.size
            and (name == "weight" or not node.attributes.get("without_bias"))
        ):
            yield _profile(node.name, name, node.types[name], values)
    yield _profile(node.name, "result", node.result, result)


def _profile(layer: str, tensor: str, precision: FixedPoint, values: np.ndarray) -> TensorProfile:
    flat = np.abs(np.asarray(values, np.float64).ravel())
    step = 2.0**-precision.fractional_bits
    digits = tuple(significant_digits(flat / step)) if tensor == "weight" else ()
    if flat.size > _MOST_VALUES:  # evenly, so that every sample and place counts
        flat = flat[:: -(-flat.size // _MOST_VALUES)]
    there = flat[flat > 0]
    quantiles = tuple(float(value) for value in np.quantile(there, QUANTILES)) if there.size else ()
    largest = float(max(abs(precision.minimum), abs(precision.maximum)))
    zeros = float((flat == 0).mean()) if flat.size else 0.0
    return TensorProfile(layer, tensor, str(precision), step, largest, zeros, quantiles, digits)


def significant_digits(codes: np.ndarray) -> list[int]:
    """How many whole numbers have 0, 1, 2, ... binary digits from their highest set bit to their lowest.

    A weight of no digit is zero, one of a single digit a power of two: a shift.

    Parameters
    ----------
    codes
        Magnitudes, whole numbers below 2^53.
    """
    whole = np.asarray(codes, np.float64).astype(np.int64)
    lowest = whole & -whole
    odd = np.where(whole > 0, whole // np.maximum(lowest, 1), 0)
    lengths = np.where(odd > 0, np.floor(np.log2(np.maximum(odd, 1))).astype(np.int64) + 1, 0)
    return [int(count) for count in np.bincount(lengths)]
