"""alkaid's adder trees for one constant matrix and what follows it; the only place here that imports alkaid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.core.fixed_point import FixedPoint
from codesign.core.rounding import constant_for_nearest

_OVERFLOW = {"WRAP": "WRAP", "WRAP_SM": "WRAP", "SAT_SYM": "SAT_SYM"}
_ROUNDING = {"TRN": "TRN", "RND_CONV": "RND_CONV"}


def matrix_luts(
    codes: NDArray[np.int64],
    limits: NDArray[np.int64],
    bias: NDArray[np.float64],
    results: tuple[FixedPoint, ...],
    *,
    thorough: bool = False,
) -> float:
    """LUTs that multiply a vector by a constant matrix, add a bias and round the sums.

    Parameters
    ----------
    codes
        Integers of shape `(n_inputs, n_outputs)`, at most 24 bits.
    limits
        The least and the greatest integer that each input takes, shape `(n_inputs, 2)`.
    bias
        float64 of shape `(n_outputs,)`, in units of the sums' least significant bit.
    results
        The formats to round to, in the same units, each from the same sums and after a ReLU if it is unsigned; none
        leaves the sums as they are. Modes that alkaid does not have count like their nearest relative.
    thorough
        Try every depth of matrix decomposition.
    """
    from alkaid.trace import FVArray, trace
    from alkaid.trace.ops import quantize, relu

    live = codes.any(axis=0)  # an output without weights is a constant and costs nothing
    if not live.any():
        return 0.0
    low, high = limits.T.astype(np.float64)
    inputs = FVArray.from_lhs(
        low, high, np.ones(len(codes)), solver_options={"search_all_decompose_dc": thorough}
    )
    products = inputs @ codes[:, live].astype(np.float64)
    sums = products + bias[live]
    outputs = []
    for result in results:
        bits = (int(result.signed), result.integer_bits - int(result.signed), result.fractional_bits)
        overflow = _OVERFLOW.get(result.overflow, "SAT")
        for product, total, constant in zip(products, sums, bias[live], strict=True):
            rounded, mode = _rounded(product, total, constant, result)
            outputs.append(quantize(rounded if result.signed else relu(rounded), *bits, overflow, mode))
    return trace(inputs, FVArray(np.array(outputs, dtype=object)) if outputs else sums).cost


def _rounded(product: Any, total: Any, constant: float, result: FixedPoint) -> tuple[Any, str]:
    """A sum before its overflow is handled, and how it is still to be rounded.

    Where no sum lies half-way between two values of the format (`constant_for_nearest`), rounding to nearest even is another
    constant and dropping bits, as `codesign.rtl.cast` builds it.
    """
    mode = _ROUNDING.get(result.rounding, "RND")
    step, whole = result.step, float(product.step)
    instead = constant_for_nearest(float(constant), whole, step)
    if mode == "TRN" or step <= total.step or instead is None:
        return total, mode
    moved = product + instead
    if whole >= step:
        return moved, mode
    signed, integers, _ = map(int, moved.kif)
    fraction = result.fractional_bits
    return moved.quantize(signed, max(integers, -fraction), fraction, "WRAP", "TRN"), mode
