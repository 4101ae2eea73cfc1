"""The windows that convolution and pooling slide over an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from codesign.core.rounding import like
from codesign.emulation.codes import Array
from codesign.hls.graph import Node


@dataclass(frozen=True)
class Windows:
    """Windows over images `(height, width, channels)`; sequences are images of height 1.

    Parameters
    ----------
    size, stride, places
        Height and width of a window, of its steps, and of the grid of its positions.
    pads
        Rows above and below, columns left and right of the image.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    places: tuple[int, int]
    pads: tuple[int, int, int, int]

    def gather(self, x: Array, filler: float = 0.0, out: Array | None = None) -> Array:
        """Collect the windows.

        Parameters
        ----------
        x
            `(n, height, width, channels)` or `(n, width, channels)`.
        filler
            What the padding holds.
        out
            An array for the windows, of `shape`.

        Returns
        -------
        Array
            `(n, n_places, window, channels)`; both places and the window's pixels row by row.
        """
        if x.ndim == 3:
            x = x[:, None]
        top, bottom, left, right = self.pads
        if any(self.pads):
            widths = ((0, 0), (top, bottom), (left, right), (0, 0))
            x = np.pad(x, widths, constant_values=like(x, filler))
        (rows, columns), (tall, wide) = self.places, self.size
        result = np.empty(self.shape(x), dtype=x.dtype) if out is None else out
        for i in range(tall):
            for j in range(wide):
                down = slice(i, i + (rows - 1) * self.stride[0] + 1, self.stride[0])
                across = slice(j, j + (columns - 1) * self.stride[1] + 1, self.stride[1])
                result[:, :, :, i, j] = x[:, down, across]
        return result.reshape(len(x), rows * columns, tall * wide, x.shape[-1])

    def shape(self, x: Array) -> tuple[int, ...]:
        """The shape of the gathered windows, with both axes of places and of pixels."""
        return (len(x), *self.places, *self.size, x.shape[-1])

    def overlaps(self, shape: tuple[int, ...]) -> Array:
        """Count the pixels of each window that lie on the image of `shape`, `(n_places,)`."""
        ones = np.ones((1, *(shape if len(shape) == 3 else (1, *shape))[:2], 1))
        overlaps: Array = self.gather(ones).sum(axis=2)[0, :, 0]
        return overlaps


def windows_of(node: Node, shape: tuple[int, ...], prefix: Literal["filt", "pool"]) -> Windows:
    """Read the windows of a convolution (`filt`) or a pooling (`pool`) layer over inputs of `shape`."""
    attributes = node.attributes
    flat = len(shape) == 2

    def both(name: str) -> tuple[int, int]:
        width = int(attributes[f"{name}_width"])
        return (1, width) if flat else (int(attributes[f"{name}_height"]), width)

    places: Any = (1, node.output_shape[0]) if flat else node.output_shape[:2]
    pads = tuple(int(attributes.get(f"pad_{side}", 0)) for side in ("top", "bottom", "left", "right"))
    if flat:
        pads = (0, 0, *pads[2:])
    return Windows(both(prefix), both("stride"), tuple(places), pads)  # type: ignore[arg-type]


def nearest_places(size: int, new_size: int, *, stream: bool) -> Array:
    """Which pixel each one of a resized axis repeats, intp `(new_size,)`.

    Parallel code computes a ratio in fixed point, streams repeat each pixel the same number of times.
    """
    places = np.arange(new_size)
    return places // (new_size // size) if stream else places * ((size << 16) // new_size + 1) >> 16
