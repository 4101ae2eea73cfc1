"""The changes of one layer that could remove a mismatch, each with the cause that it would prove."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from codesign.core.fixed_point import FixedPoint, Overflow, Rounding
from codesign.core.layers import BY_KIND, is_looked_up
from codesign.core.shown import Brief
from codesign.hls.graph import Node

Cause = Literal[
    "accumulator wrapped",
    "accumulator saturated",
    "accumulator too coarse",
    "result wrapped",
    "result saturated",
    "result too coarse",
    "rounding differs",
    "table size",
    "table too coarse",
    "unfolded batch normalisation",
    "input off the grid",
    "weights printed with too few digits",
    "weights differ",
    "reference not exact",
    "emulation and csim differ",
    "unexplained",
]
CAUSES: tuple[Cause, ...] = get_args(Cause)
"""What can make a layer differ."""

ROUNDINGS: tuple[Rounding, ...] = (
    "RND_CONV",
    "TRN",
    "RND",
    "RND_ZERO",
    "RND_INF",
    "RND_MIN_INF",
    "TRN_ZERO",
)
_MODES: tuple[tuple[Rounding, Overflow], ...] = (
    ("RND_CONV", "SAT"),
    ("RND_CONV", "SAT_SYM"),
    ("RND", "SAT"),
    ("TRN", "SAT"),
)
_WIDEST = 60
_MOST_BITS = 16
_LARGEST_TABLE = 1 << 16
_TABLE_TYPES = ("table", "exp_table", "inv_table", "inv_inp", "inp_norm")
_TABLE_SIZES = ("table_size", "exp_table_size", "inv_table_size")


@dataclass(frozen=True)
class Hypothesis(Brief):
    """One change.

    Parameters
    ----------
    cause
        What it would prove.
    node
        The changed layer.
    setting
        The setting that makes this change, with its value.
    what
        What is wrong now, in words.
    finer
        Smaller changes that are tried once this one explains everything.
    """

    cause: Cause
    node: Node
    setting: str
    what: str
    finer: tuple[Hypothesis, ...] = ()


Family = tuple[Hypothesis, ...]
"""Changes of one kind, from the smallest to the largest."""


def families(
    node: Node, weights: Mapping[str, np.ndarray], expected: np.ndarray | None = None
) -> Iterator[Family]:
    """Every single change of a layer that is worth trying, the likeliest first.

    Parameters
    ----------
    node
        The layer.
    weights
        What the reference multiplies with, if it is known.
    expected
        What the layer should give, if it is known.
    """
    if not node.inputs:
        yield from _input_families(node)
        if expected is not None:
            yield from _reference_format(node, expected)
        return
    yield from _weight_families(node, weights)
    if "accum" in node.types:
        yield from _type_families(node, "accum")
        yield _both_ends(node)
    yield from _table_families(node)
    if node.types.get("accum") != node.result:
        yield from _type_families(node, "result")
        if expected is not None:
            yield from _reference_format(node, expected)
    yield from _everything_wide(node)


def has_table(node: Node) -> bool:
    """Whether a layer looks its result up: then a float reference is never met exactly."""
    functions = [str(value) for name, value in node.attributes.items() if name.endswith("activation")]
    return "exp_table" in node.types or any(map(is_looked_up, functions))


def is_scale(node: Node) -> bool:
    """Whether a layer multiplies each value by a factor of its channel alone, as a normalisation does."""
    return BY_KIND["scale"].multiplies in node.weights


def wider(precision: FixedPoint, integer: int = 0, fraction: int = 0) -> FixedPoint:
    """Add bits, as many as a format can have."""
    integer = max(0, min(integer, _WIDEST - precision.width))
    fraction = max(0, min(fraction, _WIDEST - precision.width - integer))
    return replace(
        precision,
        width=precision.width + integer + fraction,
        integer_bits=precision.integer_bits + integer,
    )


def _input_families(node: Node) -> Iterator[Family]:
    now = node.result
    for rounding, overflow in dict.fromkeys([*_MODES, *((mode, now.overflow) for mode in ROUNDINGS)]):
        new = now.with_modes(rounding, overflow)
        if new != now:
            yield (_typed("input off the grid", node, {"result": new}, f"the input type {now} changes it"),)


def _type_families(node: Node, name: str) -> Iterator[Family]:
    now = node.types[name]
    what = "accumulator" if name == "accum" else "result"
    overflow: Cause = f"{what} {'wrapped' if now.overflow.startswith('WRAP') else 'saturated'}"  # type: ignore[assignment]
    coarse: Cause = f"{what} too coarse"  # type: ignore[assignment]
    # a result that has the accumulator's type follows it
    names = ("accum", "result") if name == "accum" and node.result == now else (name,)

    def change(cause: Cause, new: FixedPoint, why: str) -> Hypothesis:
        return _typed(cause, node, dict.fromkeys(names, new), f"{name} is {now}, {why}")

    out_of_range = "which does not hold the values"
    modes: tuple[Overflow, ...] = ("SAT", "SAT_SYM")
    for mode in modes:
        if now.overflow != mode:
            yield (change(overflow, now.with_modes(now.rounding, mode), f"which does not saturate ({mode})"),)
    yield tuple(change(overflow, wider(now, bits), out_of_range) for bits in range(1, _MOST_BITS + 1))
    if not now.signed:
        yield tuple(
            change(overflow, wider(now.with_sign(), bits), out_of_range) for bits in range(_MOST_BITS + 1)
        )
    for rounding in ROUNDINGS:
        if rounding != now.rounding:
            new = now.with_modes(rounding, now.overflow)
            yield (change("rounding differs", new, f"which rounds with {now.rounding}"),)
    yield tuple(
        change(coarse, wider(now, fraction=bits), "which loses the last bits")
        for bits in range(1, _MOST_BITS + 1)
    )
    for rounding, mode in _MODES:
        new = now.with_modes(rounding, mode)
        if rounding != now.rounding and mode != now.overflow:
            yield (
                change(overflow, new, f"which rounds with {now.rounding} and overflows with {now.overflow}"),
            )


def _weight_families(node: Node, reference: Mapping[str, np.ndarray]) -> Iterator[Family]:
    off = [name for name, values in node.weights.items() if not np.array_equal(values, node.sources[name])]
    if off:
        lost = max(float(np.abs(node.weights[name] - node.sources[name]).max()) for name in off)
        members = []
        for bits in range(1, 25):
            types = {name: wider(node.types[name], fraction=bits) for name in off}
            printed = f"{' and '.join(off)} {_are(off)} printed with {_decimals(node, off)} decimals"
            what = f"{printed}, off by up to {lost:g}"
            members.append(_roomy(_typed("weights printed with too few digits", node, types, what)))
        yield tuple(members)
    known = {
        name: values.reshape(node.weights[name].shape)
        for name, values in reference.items()
        if name in node.weights and values.size == node.weights[name].size
    }
    different = {
        name: int((values != node.weights[name]).sum())
        for name, values in known.items()
        if not np.array_equal(values, node.weights[name])
    }
    if different:
        counted = ", ".join(f"{count} of {known[name].size} in {name}" for name, count in different.items())
        changed = replace(node, weights={**node.weights, **known})
        setting = "convert this very student again: the project was made from other weights"
        yield (_roomy(Hypothesis("weights differ", changed, setting, f"values differ: {counted}")),)


def _roomy(hypothesis: Hypothesis) -> Hypothesis:
    """Let the accumulator take the new weights, and the result if it is the accumulator."""
    node = hypothesis.node
    if "accum" not in node.types:
        return hypothesis
    wide = wider(node.types["accum"], 8, 24)
    names = ("accum", "result") if node.result == node.types["accum"] else ("accum",)
    return replace(hypothesis, node=replace(node, types={**node.types, **dict.fromkeys(names, wide)}))


def _table_families(node: Node) -> Iterator[Family]:
    sizes = {name: int(node.attributes[name]) for name in _TABLE_SIZES if name in node.attributes}
    if not has_table(node) or not sizes:
        return
    larger = []
    factor = 2
    while max(sizes.values()) * factor <= _LARGEST_TABLE:
        new = {name: size * factor for name, size in sizes.items()}
        changed = replace(node, attributes={**node.attributes, **new})
        setting = ", ".join(f"{name} of {node.name} to {size}" for name, size in new.items())
        what = ", ".join(f"{name} is {size}" for name, size in sizes.items())
        larger.append(Hypothesis("table size", changed, setting, what))
        factor *= 2
    yield tuple(larger)
    tables = [name for name in _TABLE_TYPES if name in node.types]
    what = ", ".join(f"{name} is {node.types[name]}" for name in tables)
    yield tuple(
        _typed(
            "table too coarse",
            node,
            {name: wider(node.types[name], fraction=bits) for name in tables},
            f"{what}, which loses the last bits",
        )
        for bits in range(1, _MOST_BITS + 1)
    )
    if larger:
        wide = {name: wider(node.types[name], fraction=_MOST_BITS) for name in tables}
        last = larger[-1]
        yield (
            replace(last, node=last.node.with_types(wide), setting=f"{last.setting}, and wider table types"),
        )


def _both_ends(node: Node) -> Family:
    """Bits at both ends of an accumulator: first those on the left, then as few as are needed on the right."""
    now = node.types["accum"]
    names = ("accum", "result") if node.result == now else ("accum",)
    cause: Cause = "accumulator wrapped" if now.overflow.startswith("WRAP") else "accumulator saturated"
    what = f"accum is {now}, which does not hold the sums and loses the last bits"

    def change(integer: int, fraction: int) -> Hypothesis:
        return _typed(cause, node, dict.fromkeys(names, wider(now, integer, fraction)), what)

    return tuple(
        replace(
            change(integer, _MOST_BITS),
            finer=tuple(change(integer, fraction) for fraction in range(1, _MOST_BITS)),
        )
        for integer in range(1, _MOST_BITS + 1)
    )


def _reference_format(node: Node, expected: np.ndarray) -> Iterator[Family]:
    """The smallest format that holds everything that the reference gives, if there is one."""
    now = node.result
    fraction = next((bits for bits in range(-16, 33) if not np.mod(expected * 2.0**bits, 1.0).any()), None)
    if fraction is None:
        return
    least, most = float(expected.min(initial=0.0)), float(expected.max(initial=0.0))
    signed = now.signed or least < 0
    integer = next(bits for bits in range(-fraction, 64) if most < 2.0**bits and -least <= 2.0**bits) + signed
    width = max(1, integer + fraction)
    if width > _WIDEST:
        return
    cause: Cause
    if not node.inputs:
        cause = "input off the grid"
    elif integer > now.integer_bits:
        cause = "result wrapped" if now.overflow.startswith("WRAP") else "result saturated"
    else:
        cause = "result too coarse"
    new = FixedPoint(width, width - fraction, signed, "RND_CONV", "SAT")
    if new != now:
        yield (_typed(cause, node, {"result": new}, f"result is {now}, and the reference has {new}"),)


def _everything_wide(node: Node) -> Iterator[Family]:
    """Accumulator and result, where no change of one of them is enough."""
    if "accum" not in node.types or node.types["accum"] == node.result:
        return
    accum = wider(node.types["accum"], _MOST_BITS, _MOST_BITS)
    cause: Cause = (
        "accumulator wrapped" if node.types["accum"].overflow.startswith("WRAP") else "accumulator saturated"
    )
    what = f"accum is {node.types['accum']} and result is {node.result}, and both change the values"
    for result in (wider(node.result, _MOST_BITS, _MOST_BITS), node.result.with_modes("RND_CONV", "SAT")):
        yield (_typed(cause, node, {"accum": accum, "result": result}, what),)


def _typed(cause: Cause, node: Node, types: Mapping[str, FixedPoint], what: str) -> Hypothesis:
    setting = " and ".join(f"{name} of {node.name} to {precision}" for name, precision in types.items())
    if "accum" in types:
        setting += ", or leave it to be inferred"
    # weights are made again from their sources by with_types
    return Hypothesis(cause, node.with_types(types), setting, what)


def _are(names: list[str]) -> str:
    return "are" if len(names) > 1 else "is"


def _decimals(node: Node, names: list[str]) -> str:
    return " and ".join(str(max(0, node.types[name].fractional_bits)) for name in names)
