"""How much a loss suffers from each number format, estimated from Hessian traces (HAWQ)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import PrecisionMap, Tensor
from codesign.cost import INPUT
from codesign.errors import SettingsError

TensorName = tuple[str, Tensor]
"""A layer and which of its tensors; `(INPUT, "result")` is the network's input."""

LEAST_WIDTH, GREATEST_WIDTH = 2, 16


@dataclass(frozen=True)
class HessianTrace:
    """The Hessian trace of a loss with respect to one tensor.

    Parameters
    ----------
    layer, tensor
        Which tensor: the kernel (`weight`) or the output (`result`) of a layer.
    trace
        The estimate; of a `result` it is the mean over samples of the trace for one sample.
    standard_error
        Its standard error: the spread of the probes over the square root of their number.
    samples
        How many random vectors were used.
    n_values
        Values of the tensor that can move: the non-zero weights, or the values of one sample's output.
    """

    layer: str
    tensor: Tensor
    trace: float
    standard_error: float
    samples: int
    n_values: int

    @property
    def mean(self) -> float:
        """The trace for one value, `Tr(H) / n`; 0 for a tensor without values."""
        return self.trace / self.n_values if self.n_values else 0.0


@dataclass(frozen=True)
class Sensitivity:
    """What each width of one tensor is expected to cost in loss.

    Parameters
    ----------
    layer, tensor
        Which tensor.
    widths
        The widths that can be chosen, in bits.
    values
        The sensitivity at each width, finite and not negative.

    Raises
    ------
    SettingsError
        For widths that are missing, repeated or outside 2 to 16 bits, or a value that cannot be used.
    """

    layer: str
    tensor: Tensor
    widths: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        check_widths(self.widths, f"{self.layer}.{self.tensor}.widths")
        if len(self.values) != len(self.widths):
            raise SettingsError(
                f"{self.layer}.{self.tensor}.values: must be {len(self.widths)} numbers, one for each width, "
                f"not {len(self.values)}"
            )
        for value in self.values:
            if not (math.isfinite(value) and value >= 0):
                raise SettingsError(
                    f"{self.layer}.{self.tensor}.values: must be finite and not negative, not {value!r}"
                )

    @property
    def name(self) -> TensorName:
        """The layer and the tensor."""
        return self.layer, self.tensor


def check_widths(widths: Sequence[int], what: str = "widths") -> tuple[int, ...]:
    """The widths as a tuple, if they can be chosen from; `what` names them in the error."""
    widths = tuple(widths)
    whole = all(isinstance(width, int | np.integer) and not isinstance(width, bool) for width in widths)
    if not widths or not whole or len(set(widths)) < len(widths):
        raise SettingsError(f"{what}: must be different whole numbers, at least one, not {widths}")
    if min(widths) < LEAST_WIDTH or max(widths) > GREATEST_WIDTH:
        raise SettingsError(f"{what}: must be {LEAST_WIDTH} to {GREATEST_WIDTH} bits, not {widths}")
    return widths


def with_width(precision: FixedPoint, width: int) -> FixedPoint:
    """The format with another width: integer bits and modes stay, fractional bits change."""
    return replace(precision, width=width)


def weight_errors(
    kernels: Mapping[str, np.ndarray], precision: PrecisionMap, widths: Sequence[int]
) -> dict[TensorName, dict[int, float]]:
    """`||Q(W) - W||^2` of each kernel at each width.

    Parameters
    ----------
    kernels
        The kernels by layer, any shape.
    precision
        Gives integer bits and modes of each kernel.
    widths
        In bits.

    Raises
    ------
    SettingsError
        If a kernel has no format.
    """
    errors: dict[TensorName, dict[int, float]] = {}
    for layer, kernel in kernels.items():
        base = tensor_format(precision, (layer, "weight"))
        values = np.asarray(kernel, dtype=np.float64)
        errors[layer, "weight"] = {
            width: float(np.square(with_width(base, width).quantize(values) - values).sum())
            for width in widths
        }
    return errors


def sensitivities(
    traces: Sequence[HessianTrace], errors: Mapping[TensorName, Mapping[int, float]]
) -> tuple[Sensitivity, ...]:
    """`Tr(H) / n * ||Q(T) - T||^2` of each tensor at each width.

    Parameters
    ----------
    traces
        From `hessian_traces`. A negative trace (away from a minimum of the loss) counts as zero.
    errors
        Squared quantization error by tensor and width, from `weight_errors` and `activation_errors`.

    Raises
    ------
    SettingsError
        For a trace without errors, or an error that is not finite.

    Notes
    -----
    Dong et al. (HAWQ-V2), arXiv:1911.03852: the second-order growth of the loss under a perturbation of
    that norm, if it points in no special direction; without the factor 1/2.
    """
    rows = []
    for trace in traces:
        name: TensorName = (trace.layer, trace.tensor)
        if name not in errors:
            raise SettingsError(f"errors: none for the {trace.tensor} of {trace.layer!r}, which has a trace")
        by_width = errors[name]
        values = tuple(max(trace.mean, 0.0) * error for error in by_width.values())
        rows.append(Sensitivity(trace.layer, trace.tensor, tuple(by_width), values))
    return tuple(rows)


def tensor_format(precision: PrecisionMap, name: TensorName) -> FixedPoint:
    """The format of one tensor, the input's for `INPUT`.

    Raises
    ------
    SettingsError
        If the map has none.
    """
    layer, tensor = name
    if layer == INPUT:
        return precision.of_input("input")
    formats = precision.layers.get(layer)
    found = None if formats is None else formats.get(tensor)
    if found is None:
        raise SettingsError(f"layers.{layer}.{tensor}: missing; give it a format", source="precision map")
    return found


def with_tensor_width(precision: PrecisionMap, name: TensorName, width: int) -> PrecisionMap:
    """A map with the width of one tensor changed."""
    changed = with_width(tensor_format(precision, name), width)
    if name[0] == INPUT:
        return replace(precision, input=changed)
    return precision.replaced(*name, changed)
