"""The reuse-factor adviser: which factors hls4ml builds as asked, and what each one costs.

A reuse factor is how often one multiplier is used for one result of a layer. hls4ml accepts any number and,
for the strategies that share multipliers, prints a line and builds the nearest factor that its kernels can
do; some factors it lets through end in a failed assertion of the C++ kernel. Here every factor that would
not be built as asked is refused before any work, with the nearest ones that would.

The rules are those of hls4ml 1.3 (`backends/fpga/fpga_backend.py`, the `init_*` passes of the Vivado back
end, and the kernels in `nnet_utils`); a test compares them with hls4ml itself.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codesign.core.target import IoType, Strategy
from codesign.errors import SettingsError
from codesign.hls.nodes import BY_CLASS, MatrixKind

STRATEGY_OF: Mapping[str, Strategy] = {
    "latency": "latency",
    "resource": "resource",
    "resource_unrolled": "unrolled",
    "distributed_arithmetic": "distributed_arithmetic",
}
"""hls4ml's names of the strategies, and those of the settings; a name that hls4ml does not know it takes for latency."""


@dataclass(frozen=True)
class MatrixShape:
    """What a layer multiplies: one matrix of weights, at one or many positions.

    Parameters
    ----------
    name
        The layer's name.
    kind
        ``dense``, or ``conv`` for Conv1D and Conv2D of any kernel size.
    n_in
        Products added up for one output value: the inputs of a dense layer, kernel elements times channels
        of a convolution.
    n_out
        Output values at one position: units or filters.
    in_positions, out_positions
        Pixels read and written (1 for a dense layer).
    parallel_positions
        hls4ml's parallelization factor: output pixels computed side by side under `io_parallel`.
    zero_weights
        How many weights are zero; the latency strategy needs no multiplier for them.
    """

    name: str
    kind: MatrixKind
    n_in: int
    n_out: int
    in_positions: int = 1
    out_positions: int = 1
    parallel_positions: int = 1
    zero_weights: int = 0

    def __post_init__(self) -> None:
        sizes = (self.n_in, self.n_out, self.in_positions, self.out_positions, self.parallel_positions)
        if min(sizes) < 1 or not 0 <= self.zero_weights <= self.weights:
            raise SettingsError(f"layers.{self.name}: {self!r} has a size that cannot be")
        if self.out_positions % self.parallel_positions:
            raise SettingsError(
                f"layers.{self.name}.parallelization_factor: {self.parallel_positions} does not divide the "
                f"{self.out_positions} output positions, hls4ml would silently change it; choose one of "
                f"{_list(_divisors(self.out_positions))}"
            )

    @property
    def weights(self) -> int:
        """The number of weights, without biases."""
        return self.n_in * self.n_out


@dataclass(frozen=True)
class ReuseOption:
    """One reuse factor of one layer and what it implies.

    Parameters
    ----------
    factor
        The reuse factor.
    multipliers
        Products computed in the same cycle, at most; constants and narrow operands end in LUTs rather than
        DSPs. 0 for distributed arithmetic, which has none.
    interval_cycles
        The initiation interval of the layer that the kernel's loops and pragmas ask for; the tool may miss
        it.
    """

    factor: int
    multipliers: int
    interval_cycles: int


def shape_of(layer: Any) -> MatrixShape | None:
    """Take the shape from a layer of an hls4ml graph; ``None`` for a layer that has none of this kind.

    Parameters
    ----------
    layer
        A node of a `ModelGraph`; only its `class_name`, `name` and `get_attr` are used.
    """
    row = BY_CLASS.get(layer.class_name)
    if row is None or row.matrix is None:
        return None
    if row.matrix == "dense":
        return MatrixShape(layer.name, "dense", layer.get_attr("n_in"), layer.get_attr("n_out"))
    return MatrixShape(
        layer.name,
        row.matrix,
        n_in=layer.get_attr("n_chan") * layer.get_attr("filt_height", 1) * layer.get_attr("filt_width"),
        n_out=layer.get_attr("n_filt"),
        in_positions=layer.get_attr("in_height", 1) * layer.get_attr("in_width"),
        out_positions=layer.get_attr("out_height", 1) * layer.get_attr("out_width"),
        parallel_positions=layer.get_attr("parallelization_factor", 1),
    )


def legal_reuse_factors(layer: MatrixShape, strategy: Strategy, io_type: IoType) -> Sequence[int]:
    """List the factors that hls4ml builds as asked, in rising order; empty when it has no such kernel.

    Notes
    -----
    *latency* takes every factor up to the number of weights. *resource* walks the weight matrix in whole
    columns or whole parts of one: the divisors of `n_in`, and `n_in` times the divisors of `n_out`; the
    `io_parallel` convolution asserts a factor of at most `n_in`. *unrolled* is *resource* without the
    smallest (hls4ml builds *resource* instead) and the largest one, and exists for convolutions only under
    `io_stream`. *distributed_arithmetic* shares nothing: 1.
    """
    if strategy == "latency":
        return range(1, layer.weights + 1)
    if strategy == "distributed_arithmetic":
        return (1,)
    within_column = _divisors(layer.n_in)
    columns = [layer.n_in * k for k in _divisors(layer.n_out)[1:]]
    if strategy == "resource":
        parallel_conv = layer.kind == "conv" and io_type == "io_parallel"
        return tuple(within_column if parallel_conv else within_column + columns)
    if layer.kind == "conv" and io_type == "io_parallel":
        return ()
    return tuple((within_column + columns)[1:-1])


def advise_reuse(layer: MatrixShape, strategy: Strategy, io_type: IoType) -> tuple[ReuseOption, ...]:
    """List every factor worth choosing with its multipliers and interval, the fastest first.

    Every legal factor is listed, except under *latency*, where of the factors that need equally many
    multipliers only the fastest one is.
    """
    options: list[ReuseOption] = []
    for factor in legal_reuse_factors(layer, strategy, io_type):
        option = reuse_option(layer, factor, strategy, io_type)
        if strategy != "latency" or not options or option.multipliers < options[-1].multipliers:
            options.append(option)
    return tuple(options)


def reuse_option(layer: MatrixShape, factor: int, strategy: Strategy, io_type: IoType) -> ReuseOption:
    """Work out what a legal factor implies."""
    side_by_side = layer.parallel_positions if io_type == "io_parallel" else 1
    one_position = math.ceil(layer.weights / factor)
    if strategy == "latency":
        # the limit that hls4ml writes into the layer's configuration
        one_position -= layer.zero_weights // factor
    elif strategy == "distributed_arithmetic":
        one_position = 0
    if layer.kind == "dense":
        rounds = 1
    elif io_type == "io_parallel":
        rounds = layer.out_positions // layer.parallel_positions
    else:
        rounds = layer.in_positions  # the line buffer takes one input pixel a round
    return ReuseOption(factor, one_position * side_by_side, factor * rounds)


def check_reuse_factor(
    layer: MatrixShape, factor: int, strategy: Strategy, io_type: IoType, *, setting: str | None = None
) -> ReuseOption:
    """Refuse a factor that hls4ml would silently change, or whose kernel fails; else say what it implies.

    Parameters
    ----------
    layer
        The layer's shape.
    factor
        The reuse factor asked for.
    strategy, io_type
        As the layer will be built.
    setting
        The path of the setting, for the message; `layers.<name>.reuse_factor` if not given.

    Raises
    ------
    SettingsError
        With what hls4ml would do and the nearest legal factors.
    """
    where = setting or f"layers.{layer.name}.reuse_factor"
    legal = legal_reuse_factors(layer, strategy, io_type)
    if factor in legal:
        return reuse_option(layer, factor, strategy, io_type)
    shape = f"the {layer.n_in} x {layer.n_out} weights of {layer.name!r}"
    if not legal:
        raise SettingsError(
            f"{where}: hls4ml has no {strategy!r} kernel for {shape} under {io_type!r} and would silently "
            "build "
            "another; choose the strategy 'resource' or 'latency'"
        )
    nearest = _nearest(legal, factor)
    raise SettingsError(
        f"{where}: {factor!r} is not legal for {shape} with strategy {strategy!r} under {io_type!r}"
        f"{_fate(layer, factor, strategy, io_type)}; choose {_list(nearest, 'or')}"
    )


def _fate(layer: MatrixShape, factor: int, strategy: Strategy, io_type: IoType) -> str:
    """Say what hls4ml would have done with an illegal factor."""
    if factor < 1 or strategy in ("latency", "distributed_arithmetic"):
        return ""
    listed = _divisors(layer.n_in) + [layer.n_in * k for k in _divisors(layer.n_out)[1:]]
    if strategy == "unrolled":
        if factor == 1:
            return ", hls4ml would silently build 'resource'"
        listed = listed[:-1]
    if factor in listed:
        return ", the C++ kernel would stop with a failed assertion"
    return f", hls4ml would silently build {closest_reuse_factor(listed, factor)}"


def closest_reuse_factor(legal: Sequence[int], factor: int) -> int:
    """Find the factor hls4ml takes instead: the nearest one, the smaller of two equally near ones."""
    return min(legal, key=lambda candidate: (abs(candidate - factor), candidate))


def _nearest(legal: Sequence[int], factor: int) -> list[int]:
    place = bisect_left(legal, factor)
    return list(legal[max(place - 1, 0) : place + 1])


def _divisors(number: int) -> list[int]:
    small = [k for k in range(1, math.isqrt(number) + 1) if number % k == 0]
    return small + [number // k for k in reversed(small) if k * k != number]


def _list(numbers: Sequence[int], word: str = "or") -> str:
    words = [str(number) for number in numbers]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {word} {words[-1]}"
