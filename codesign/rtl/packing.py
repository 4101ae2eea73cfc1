"""Numbers as the bits of a design's ports: values side by side, the first one lowest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codesign.core import ports as border
from codesign.core.fixed_point import FixedPoint
from codesign.core.text_table import counted
from codesign.errors import DataError

_WORD = 32


@dataclass(frozen=True)
class Field:
    """The bits of one value in a port.

    Parameters
    ----------
    width
        How many bits it has; 0 for a value that nothing reads, or that is always zero.
    fraction
        The value of its last bit is `2**-fraction`.
    signed
        Two's complement if true.
    """

    width: int
    fraction: int
    signed: bool


@dataclass(frozen=True)
class Port(border.Port):
    """A tensor at the border of a design: name and shape, and the bits that it has there.

    Parameters
    ----------
    precision
        Its type in the network.
    fields
        The bits of each of its values that the logic reads or drives, in row-major order; often fewer than the type
        has, and which depends on the weights.
    signal
        The name of its signal in the Verilog.
    is_packed
        Whether the signal holds these bits alone, and not as many as the type has for every value.
    """

    precision: FixedPoint
    fields: tuple[Field, ...]
    signal: str = ""
    is_packed: bool = False

    @property
    def layout(self) -> tuple[Field, ...]:
        """The bits of each value in the signal, the first value lowest."""
        if self.is_packed:
            return self.fields
        precision = self.precision
        return (Field(precision.width, precision.fractional_bits, precision.signed),) * len(self.fields)

    @property
    def width(self) -> int:
        """The bits of the signal."""
        return bits_of(self.layout)

    @property
    def words(self) -> int:
        """The 32-bit words that hold the signal."""
        return words_of(self.layout)


def bits_of(fields: Sequence[Field]) -> int:
    """The bits of a port."""
    return sum(field.width for field in fields)


def words_of(fields: Sequence[Field]) -> int:
    """The 32-bit words that hold a port."""
    return -(-bits_of(fields) // _WORD)


def pack(values: np.ndarray, fields: Sequence[Field]) -> np.ndarray:
    """Lay values side by side.

    Parameters
    ----------
    values
        float64 `(n_samples, n_values)`, on the grids of the fields.
    fields
        One for each value.

    Returns
    -------
    np.ndarray
        uint32 `(n_samples, words_of(fields))`.
    """
    words = np.zeros((len(values), words_of(fields)), dtype=np.uint32)
    start = 0
    for column, field in enumerate(fields):
        codes = np.round(values[:, column] * 2.0**field.fraction).astype(np.int64).view(np.uint64)
        done = 0
        while done < field.width:
            word, shift = divmod(start + done, _WORD)
            count = min(_WORD - shift, field.width - done)
            part = (codes >> np.uint64(done)) & np.uint64((1 << count) - 1)
            words[:, word] |= part.astype(np.uint32) << np.uint32(shift)
            done += count
        start += field.width
    return words


def unpack(words: np.ndarray, fields: Sequence[Field]) -> np.ndarray:
    """Read values that lie side by side; the inverse of `pack`.

    Parameters
    ----------
    words
        uint32 `(n_samples, words_of(fields))`.
    fields
        One for each value.

    Returns
    -------
    np.ndarray
        float64 `(n_samples, n_values)`.
    """
    values = np.zeros((len(words), len(fields)))
    start = 0
    for column, field in enumerate(fields):
        codes = np.zeros(len(words), dtype=np.int64)
        done = 0
        while done < field.width:
            word, shift = divmod(start + done, _WORD)
            count = min(_WORD - shift, field.width - done)
            part = (words[:, word] >> np.uint32(shift)).astype(np.int64) & ((1 << count) - 1)
            codes |= part << done
            done += count
        if field.signed and field.width:
            codes -= (codes >> (field.width - 1) & 1) << field.width
        values[:, column] = codes * 2.0**-field.fraction
        start += field.width
    return values


def pack_ports(values: np.ndarray, ports: Sequence[Port]) -> np.ndarray:
    """Lay the values of all ports side by side, each port from a new word on.

    Parameters
    ----------
    values
        float64 `(n_samples, n_values)`, the ports one after the other, flat, on the grids of their types.
    ports
        The ports.

    Returns
    -------
    np.ndarray
        uint32 `(n_samples, sum of port.words)`.
    """
    ends = np.cumsum([len(port.fields) for port in ports])[:-1]
    parts = np.split(values, ends, axis=1)
    return np.concatenate([pack(part, port.layout) for part, port in zip(parts, ports, strict=True)], axis=1)


def unpack_ports(words: np.ndarray, ports: Sequence[Port]) -> np.ndarray:
    """Read the values of ports; the inverse of `pack_ports`."""
    ends = np.cumsum([port.words for port in ports])[:-1]
    parts = np.split(words, ends, axis=1)
    return np.concatenate(
        [unpack(part, port.layout) for part, port in zip(parts, ports, strict=True)], axis=1
    )


def flat_inputs(ports: Sequence[Port], x: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Check inputs and assign them to the network's input types, as the C++ does.

    Parameters
    ----------
    ports
        The inputs of a design.
    x
        Real numbers `(n_samples, *shape)`, or with flat samples; for several inputs a sequence of such arrays, or all side by
        side.

    Returns
    -------
    np.ndarray
        float64 `(n_samples, n_values)`, all inputs side by side.

    Raises
    ------
    DataError
        Another number of inputs, another shape, or values that the input type cannot take (NaN).
    """
    arrays = border.arrays_of(ports, x)
    names = ", ".join(port.name for port in ports)
    if len(arrays) != len(ports):
        raise DataError(f"the design has {counted(len(ports), 'input')} ({names}), not {len(arrays)}")
    flat = []
    for port, array in zip(ports, arrays, strict=True):
        size = int(np.prod(port.shape))
        if array.ndim < 2 or array.shape[1:] not in (port.shape, (size,)) or len(array) != len(arrays[0]):
            raise DataError(
                f"input {port.name} must be {('n_samples', *port.shape)} with {len(arrays[0])} samples, "
                f"not {array.shape}"
            )
        flat.append(np.asarray(port.precision.quantize(array), dtype=np.float64).reshape(len(array), size))
    return np.concatenate(flat, axis=1)
