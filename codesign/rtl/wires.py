"""Exact arithmetic on arrays of alkaid variables, the wires of a design that is being traced.

An alkaid variable knows its bounds and its step, so that every sum and product is exact and as wide as it must
be. alkaid finds the last bit of constants and of coefficients in float32, though: past 24 significant bits it
takes a coarser one, and drops bits without a word. So here whatever has more is cut into parts, or kept apart
from what it would be merged with, or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.errors import ConversionError

if TYPE_CHECKING:
    from alkaid.trace import FVariable

Wires = np.ndarray[Any, Any]
"""An array of `FVariable`, dtype object, of a tensor's shape."""

CONSTANT_BITS = 24
"""Significant bits of a constant that alkaid holds."""

VALUE_BITS = 52
"""Bits of a value: alkaid computes bounds in float64."""

_PART_BITS = 18  # of the matrices that alkaid gets: it adds and subtracts columns on the way

_HARDWARE = (1, 1, -1)  # alkaid's own default cost model: one LUT a bit of an adder


def input_wires(shape: tuple[int, ...], signed: bool, integer_bits: int, fraction: int) -> Wires:
    """Make the wires of an input tensor; `integer_bits` without the sign bit, as alkaid counts them."""
    from alkaid.trace import FVArray

    full = np.ones(shape, dtype=np.int64)
    variables = FVArray.from_kif(full * int(signed), full * integer_bits, full * fraction, hwconf=_HARDWARE)
    return np.asarray(variables)


def constant(value: float) -> FVariable:
    """Make a wire that always holds one value.

    Raises
    ------
    ConversionError
        The value has too many significant bits.
    """
    from alkaid.trace.fixed_variable import FVariable, HWConfig

    if significant_bits(value) > CONSTANT_BITS:
        raise ConversionError(
            f"a value that is always {float(value)!r} has {significant_bits(value)} significant bits, and a constant "
            f"of the RTL path {CONSTANT_BITS}; give biases and weights fewer bits"
        )
    return FVariable.from_const(float(value), HWConfig(*_HARDWARE))


def is_constant(wire: FVariable) -> bool:
    """Whether a wire always holds the value `wire.low`."""
    return bool(wire.low == wire.high)


def each(function: Callable[..., FVariable], *arrays: Any) -> Wires:
    """Apply a function of wires (or numbers) to arrays, element by element."""
    spread = np.broadcast_arrays(*arrays)
    result = np.empty(spread[0].shape, dtype=object)
    for index in np.ndindex(result.shape):
        result[index] = function(*(array[index] for array in spread))
    return result


def width(wire: FVariable) -> int:
    """The bits of a wire."""
    return 0 if is_constant(wire) and wire.low == 0 else int(sum(wire.kif))


def significant_bits(value: float) -> int:
    """The bits between the highest and the lowest one of a value's magnitude."""
    numerator = abs(float(value).as_integer_ratio()[0])
    return (numerator // (numerator & -numerator)).bit_length() if numerator else 0


def fresh(wire: FVariable) -> FVariable:
    """Give the same bits under a new name: alkaid forgets what they were computed from, and merges nothing."""
    from alkaid.trace.fixed_variable import FVariable

    if is_constant(wire):
        return wire
    bounds = (wire.low, wire.high, wire.step)
    return FVariable(*bounds, _from=(wire,), _factor=1.0, opr="wrap", hwconf=wire.hwconf)


def as_variable(wire: FVariable) -> FVariable:
    """Give a wire to which any constant of its own bits and range can be added."""
    bias = abs(wire._affine.bias)
    if not bias or max(bias, abs(wire.low), abs(wire.high)) < wire.step * 2.0 ** (CONSTANT_BITS - 1):
        return wire
    return fresh(wire)


def add(a: FVariable, b: FVariable) -> FVariable:
    """`a + b`."""
    if is_constant(b):
        return add_constant(a, b.low)
    if is_constant(a):
        return add_constant(b, a.low)
    return _exactly(lambda *terms: terms[0] + terms[1], a, b)


def add_constant(wire: FVariable, value: float) -> FVariable:
    """`wire + value`, in several steps for a value of many bits."""
    value = float(value)
    if is_constant(wire):
        return constant(wire.low + value)
    for part in _parts(np.array(value)) if value else ():
        wire = _exactly(lambda term, part=float(part): term + part, wire)
    return wire


def _exactly(operation: Callable[..., FVariable], *wires: FVariable) -> FVariable:
    """Apply a linear operation, to renamed wires if alkaid would lose bits by looking through their names."""
    result = operation(*wires)
    return result if _keeps_all_bits(result) else operation(*map(fresh, wires))


def _keeps_all_bits(wire: FVariable) -> bool:
    """Whether alkaid knows the true last bit of a sum, and holds the constant that it ends with."""
    affine = wire._affine
    if any(significant_bits(number) > CONSTANT_BITS for number in (*affine.coeffs.values(), affine.bias)):
        return False
    if wire.opr != "cadd":
        return True
    (parent,) = wire._from
    scale = wire._factor / parent._factor
    merged = wire.low - scale * (parent.low if scale > 0 else parent.high)
    return significant_bits(merged) <= CONSTANT_BITS


def negated(wire: FVariable) -> FVariable:
    """`-wire`."""
    return constant(-wire.low) if is_constant(wire) else -wire


def scaled(wire: FVariable, factor: float) -> FVariable:
    """`wire * factor` for a constant factor."""
    factor = float(factor)
    if is_constant(wire) or factor == 0:
        return constant(wire.low * factor)
    parts = [float(part) for part in _parts(np.array(factor))]
    return reduced(add, [_exactly(lambda term, part=part: term * part, wire) for part in parts])


def multiplied(a: FVariable, b: FVariable) -> FVariable:
    """`a * b`."""
    if is_constant(b):
        return scaled(a, b.low)
    return scaled(b, a.low) if is_constant(a) else a * b


def is_negative(wire: FVariable) -> FVariable:
    """1 where a wire is negative, else 0."""
    if is_constant(wire):
        return constant(float(wire.low < 0))
    return wire.is_negative()


def is_greater(wire: FVariable, limit: float) -> FVariable:
    """1 where a wire is greater than a constant, else 0."""
    return is_negative(add_constant(negated(wire), limit))


def choose(condition: FVariable, then: FVariable, otherwise: FVariable) -> FVariable:
    """`then` where a condition of one bit is 1, else `otherwise`."""
    if is_constant(condition):
        return then if condition.low else otherwise
    return condition.msb_mux(then, otherwise)


def larger(a: FVariable, b: FVariable) -> FVariable:
    """The larger of two wires."""
    if is_constant(a) and is_constant(b):
        return a if a.low >= b.low else b
    if is_constant(a):
        a, b = b, a
    if not is_constant(b) and not _keeps_all_bits(a - b):
        a, b = fresh(a), fresh(b)
    return as_variable(a).max_of(b)


def limited(wire: FVariable, least: float, most: float) -> FVariable:
    """A wire kept between two constants, each of at most 24 significant bits."""
    if is_constant(wire):
        return constant(min(max(wire.low, least), most))
    if wire.low < least:
        wire = as_variable(wire).max_of(float(least))
    return as_variable(wire).min_of(float(most)) if wire.high > most else wire


def reduced(operation: Callable[[FVariable, FVariable], FVariable], wires: Sequence[FVariable]) -> FVariable:
    """Combine wires in a balanced tree."""
    wires = list(wires)
    while len(wires) > 1:
        pairs = [operation(a, b) for a, b in zip(wires[::2], wires[1::2], strict=False)]
        wires = pairs + wires[2 * len(pairs) :]
    return wires[0]


def matrix_product(wires: Wires, kernel: np.ndarray) -> Wires:
    """Multiply a vector by a constant matrix with alkaid's shared adders.

    Parameters
    ----------
    wires
        Shape `(n_terms,)`.
    kernel
        float64, `(n_terms, n_outputs)`.

    Returns
    -------
    Wires
        Shape `(n_outputs,)`.
    """
    from alkaid.trace import FVArray

    live = np.array([not is_constant(wire) for wire in wires], dtype=bool)
    values = np.array([wire.low for wire in wires[~live]])
    offset = values @ kernel[~live] if values.size else np.zeros(kernel.shape[1])
    used = kernel[live]
    if not used.any():
        return each(constant, offset)
    terms = each(_as_atom, wires[live])
    # alkaid's tables of sums of bits take a bit of -1 and 0 for one of 0 and 1
    options = {"binary_lut": False} if any(term.low < 0 and width(term) == 1 for term in terms) else {}
    products = [each(_as_wire, np.asarray(FVArray(terms, options) @ part)) for part in _parts(used)]
    return each(lambda *sums: add_constant(reduced(add, sums[:-1]), sums[-1]), *products, offset)


def _as_atom(wire: FVariable) -> FVariable:
    """Rename sums of other wires: their coefficients and the matrix's together would be too long for alkaid."""
    affine = wire._affine
    bits = sum(map(significant_bits, (*affine.coeffs.values(), affine.bias)))
    return wire if bits == 1 else fresh(wire)


def looked_up(wire: FVariable, function: Callable[[np.ndarray], np.ndarray]) -> FVariable:
    """Look a function of a wire up in a table of all the values between its bounds.

    Parameters
    ----------
    wire
        The address.
    function
        Takes float64 values `(n,)` and returns the same number, each of at most 24 significant bits.
    """
    if is_constant(wire):
        return constant(float(function(np.array([wire.low]))[0]))
    table = np.asarray(function(grid_of(wire)), dtype=np.float64)
    if np.any(table.astype(np.float32) != table):
        raise ConversionError(
            f"a lookup table holds values of more than {CONSTANT_BITS} significant bits; give the table fewer bits"
        )
    return wire.lookup(table)


def grid_of(wire: FVariable) -> np.ndarray:
    """All values that a wire can hold, ascending, float64."""
    return wire.low + wire.step * np.arange(values_of(wire))


def values_of(wire: FVariable) -> int:
    """How many values a wire can hold."""
    return 1 if is_constant(wire) else round((wire.high - wire.low) / wire.step) + 1


def _parts(weights: np.ndarray) -> list[np.ndarray]:
    """Split weights into sums of arrays of few bits; one array if they have few."""
    step = min((_last_bit(weight) for weight in weights.ravel() if weight), default=1.0)
    if np.abs(weights).max() / step < 2.0**_PART_BITS:
        return [weights]
    low = np.mod(weights, step * 2.0 ** (_PART_BITS - 2))
    return [low, *_parts(weights - low)]


def _last_bit(value: float) -> float:
    numerator, denominator = float(value).as_integer_ratio()
    return (numerator & -numerator) / denominator


def _as_wire(value: Any) -> FVariable:
    """Alkaid gives plain zeros for outputs that no weight reaches."""
    return value if hasattr(value, "kif") else constant(value)
