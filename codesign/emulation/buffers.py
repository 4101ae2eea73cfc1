"""Arrays that are used again from batch to batch: getting memory from the system costs more than computing in it."""

from __future__ import annotations

import numpy as np

from codesign.emulation.codes import Array


class Buffers:
    """A place for the arrays of one batch; each use of a name overwrites what it held."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, str], Array] = {}

    def array(self, layer: str, role: str, shape: tuple[int, ...], dtype: str | np.dtype) -> Array:
        """Return an uninitialised array `shape` whose first axis may vary between calls."""
        known = self._arrays.get((layer, role))
        if known is None or known.shape[1:] != shape[1:] or known.dtype != dtype or len(known) < shape[0]:
            known = np.empty(shape, dtype)
            self._arrays[layer, role] = known
        return known[: shape[0]]


def buffer_of(
    buffers: Buffers | None, layer: str, role: str, shape: tuple[int, ...], dtype: str
) -> Array | None:
    """Return a buffer, or ``None`` to let NumPy make an array: without a place, or for Python integers."""
    return None if buffers is None or dtype == "object" else buffers.array(layer, role, shape, dtype)
