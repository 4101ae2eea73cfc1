"""The tensors at a network's border, and several of them side by side in one array.

Everywhere in the package a sample is one row of one array. With one input the row has the input's shape. Of several inputs
it holds all values, flat, one input after another in the order of the network; outputs likewise. What needs them apart
(Keras, hls4ml) takes them apart at its own door.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from codesign.core.shown import Brief
from codesign.errors import DataError


@dataclass(frozen=True)
class Port(Brief):
    """An input or an output.

    Parameters
    ----------
    name
        The layer that it belongs to.
    shape
        Of one sample.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many values a sample has there."""
        return math.prod(self.shape)


def row_shape(ports: Sequence[Port]) -> tuple[int, ...]:
    """The shape of one sample: that of the only port, or all values of several, flat."""
    return ports[0].shape if len(ports) == 1 else (n_values(ports),)


def n_values(ports: Sequence[Port]) -> int:
    """How many values a sample has at all ports together."""
    return sum(port.size for port in ports)


def columns_of(ports: Sequence[Port]) -> list[slice]:
    """Where each port's values stand in a flat row."""
    ends = np.cumsum([0, *(port.size for port in ports)]).tolist()
    return [slice(start, end) for start, end in pairwise(ends)]


def apart(ports: Sequence[Port], rows: np.ndarray) -> list[np.ndarray]:
    """The arrays of the ports, each `(n_samples, *shape)`, of rows that hold them side by side.

    Raises
    ------
    DataError
        If a row has another number of values.
    """
    flat = np.asarray(rows).reshape(len(rows), -1)
    if flat.shape[1] != n_values(ports):
        listed = ", ".join(f"{port.name} {port.shape}" for port in ports)
        raise DataError(f"a sample has {flat.shape[1]} values, not the {n_values(ports)} of {listed}")
    return [
        flat[:, columns].reshape(len(flat), *port.shape)
        for port, columns in zip(ports, columns_of(ports), strict=True)
    ]


def arrays_of(ports: Sequence[Port], x: np.ndarray | Sequence[np.ndarray]) -> list[np.ndarray]:
    """Inputs as one array a port, from a sequence of them, the only one, or rows that hold several side by side."""
    if not isinstance(x, np.ndarray):
        return [np.asarray(part) for part in x]
    return apart(ports, x) if len(ports) > 1 and x.shape[1:] == row_shape(ports) else [x]


def side_by_side(arrays: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Arrays `(n_samples, ...)` as flat rows `(n_samples, n_values)`, one array after another."""
    arrays = [arrays] if isinstance(arrays, np.ndarray) else [np.asarray(array) for array in arrays]
    flat = [array.reshape(len(array), math.prod(array.shape[1:])) for array in arrays]
    return flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)
