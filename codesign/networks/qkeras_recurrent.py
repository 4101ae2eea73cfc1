"""QKeras' recurrent layers: every step as layers of its own, to the last bit.

hls4ml's C++ of an LSTM or a GRU rounds at other places than QKeras does, so that its steps stand one behind the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import qkeras
from keras import layers

from codesign.core.precision_map import LayerPrecision
from codesign.errors import ConversionError
from codesign.networks.keras_classes import (
    MOST_UNROLLED,
    ONE_WAY,
    LayerReader,
    array,
    bidirectional_reader,
    from_zero,
    in_order,
    one_step,
    sequence_of,
    short,
)
from codesign.networks.keras_graph import Call
from codesign.networks.qkeras_classes import is_quantizer, with_exact_formats

if TYPE_CHECKING:
    from codesign.networks.keras_reader import Reader

_GATES: Mapping[type, tuple[str, ...]] = {
    qkeras.QSimpleRNN: ("state",),
    qkeras.QLSTM: ("input", "forget", "cell", "output"),
    qkeras.QGRU: ("update", "reset", "state"),
}
"""The parts of each class's kernels, in QKeras' order."""


@dataclass(frozen=True)
class _Step:
    """One step of a layer: adds what it computes, named after it."""

    reader: Reader
    call: Call
    name: str
    kernels: Mapping[str, tuple[np.ndarray, np.ndarray]]
    biases: Mapping[str, tuple[np.ndarray, np.ndarray]]

    def activated(self, activation: Any, source: str, suffix: str) -> str:
        """A quantizer of the layer."""
        inside = replace(self.call, name=f"{self.name}_{suffix}", outputs=())
        return self.reader.activated(activation, source, inside, alone=True)

    def held(self, name: str) -> str:
        """A layer whose result has a format that holds all its values."""
        exact = self.reader.exact_format(name)
        own = self.reader.formats.get(name, LayerPrecision())
        if exact is not None:
            self.reader.formats[name] = own.replaced("result", exact.with_modes("RND_CONV", "SAT"))
        return name

    def product(self, gate: str, x: str, state: str | None) -> str:
        """`x @ kernel + state @ recurrent_kernel + biases` of a gate; a first state of zeros adds nothing."""
        (kernel, recurrent), bias = self.kernels[gate], sum(self.biases[gate])
        if state is not None:
            x = self.reader.add(f"{self.name}_{gate}_given", "concatenate", (x, state), {"axis": -1})
            kernel = np.concatenate([kernel, recurrent])
        return self.dense(f"{gate}_sum", x, kernel, bias)

    def dense(self, suffix: str, source: str, kernel: np.ndarray, bias: Any) -> str:
        """A product with constants that formats hold."""
        weights = {"kernel": kernel} | ({"bias": bias} if np.any(bias) else {})
        return self.held(with_exact_formats(self.reader, f"{self.name}_{suffix}", "dense", source, weights))

    def merged(self, kind: str, suffix: str, *sources: str) -> str:
        """A sum or product of two values."""
        return self.held(self.reader.add(f"{self.name}_{suffix}", kind, sources))

    def scaled(self, suffix: str, source: str, factor: np.ndarray, term: np.ndarray | None = None) -> str:
        """Every value times a constant, plus another."""
        weights = {"kernel": factor} | ({} if term is None else {"bias": term})
        return self.held(with_exact_formats(self.reader, f"{self.name}_{suffix}", "scale", source, weights))


States = tuple[str, ...] | None
"""The layers of the states before a step, rounded; ``None`` before the first one: zeros."""


def _simple_rnn(step: _Step, cell: Any, x: str, before: States) -> tuple[str, ...]:
    total = step.product("state", x, before[0] if before else None)
    return (step.activated(cell.activation, total, "out"),)


def _lstm(step: _Step, cell: Any, x: str, before: States) -> tuple[str, ...]:
    state = before[0] if before else None
    functions = {gate: cell.recurrent_activation for gate in ("input", "forget", "output")}
    functions["cell"] = cell.activation
    gates = {
        gate: step.activated(functions[gate], step.product(gate, x, state), gate)
        for gate in _GATES[qkeras.QLSTM]
        if before or gate != "forget"
    }
    carry = step.merged("multiply", "new", gates["input"], gates["cell"])
    if before:
        kept = step.merged("multiply", "kept", gates["forget"], before[1])
        carry = step.merged("add", "carry", kept, carry)
    shown = step.activated(cell.activation, carry, "shown")
    return step.merged("multiply", "out", gates["output"], shown), carry


def _gru(step: _Step, cell: Any, x: str, before: States) -> tuple[str, ...]:
    state = before[0] if before else None
    update, reset = (
        step.activated(cell.recurrent_activation, step.product(gate, x, state), gate)
        for gate in ("update", "reset")
    )
    kernel, recurrent = step.kernels["state"]
    bias, inner_bias = step.biases["state"]
    total = step.dense("state_sum", x, kernel, bias)
    inner = None
    if cell.reset_after and state is not None:
        inner = step.dense("inner_sum", state, recurrent, inner_bias)
        inner = step.merged("multiply", "inner", reset, inner)
    elif cell.reset_after and inner_bias.any():
        inner = step.scaled("inner", reset, inner_bias)
    elif state is not None and not cell.reset_after:
        inner = step.dense("inner", step.merged("multiply", "left", reset, state), recurrent, 0.0)
    if inner is not None:
        total = step.merged("add", "total", total, inner)
    new = step.activated(cell.activation, total, "new")
    ones = np.ones(cell.units)
    given = step.merged("multiply", "given", step.scaled("rest", update, -ones, ones), new)
    if state is None:
        return (given,)
    return (step.merged("add", "out", step.merged("multiply", "kept", update, state), given),)


def _reader_of(compute: Callable[[_Step, Any, str, States], tuple[str, ...]]) -> LayerReader:
    def read(reader: Reader, call: Call, inputs: tuple[str, ...]) -> str:
        layer, cell = call.layer, call.layer.cell
        what, steps = type(layer).__name__, int(call.input_shapes[0][0])
        from_zero(call)
        if steps > MOST_UNROLLED:
            raise ConversionError(
                f"layer {call.name!r} is a {what} of {steps} steps, each of which is built; at most {MOST_UNROLLED} are: use "
                "LSTM or GRU, which have C++ of their own, with formats of the scan"
            )
        _require_formats(call, cell)
        kernels, biases = _constants(cell, _GATES[type(layer)])
        states: States = None
        ends = []
        for number in in_order(layer, steps):
            step = _Step(reader, call, f"{call.name}_{number + 1}", kernels, biases)
            x = one_step(reader, step.name, inputs[0], number, steps, int(call.input_shapes[0][1]))
            found = compute(step, cell, x, states)
            ends.append(found[0])
            states = found
            if cell.state_quantizer_internal is not None:
                rounded = ("state", "carry_state")[: len(found)]
                pairs = zip(found, rounded, strict=True)
                states = tuple(step.activated(cell.state_quantizer_internal, *pair) for pair in pairs)
        return sequence_of(reader, call, ends)

    return read


def _require_formats(call: Call, cell: Any) -> None:
    """Refuse a layer of which a value has no format, so that its step would be wider than the one before."""
    names = ["kernel_quantizer", "recurrent_quantizer"]
    names += ["bias_quantizer"] if cell.use_bias else []
    # what a plain cell puts out is rounded by its activation
    names += [] if isinstance(cell, qkeras.qrecurrent.QSimpleRNNCell) else ["state_quantizer"]
    for name in names:
        if getattr(cell, f"{name}_internal") is None:
            raise ConversionError(
                f"layer {call.name!r} has no {name}; give it one, such as quantized_bits(8, 1, alpha=1)"
            )
    for name in ("activation", "recurrent_activation"):
        given = getattr(cell, name, cell.activation)
        if not is_quantizer(given):
            shown = getattr(given, "__name__", None) or short(given)
            raise ConversionError(
                f"layer {call.name!r} has {name}={shown!r}, which rounds to no format; give it a quantizer, such as "
                "quantized_tanh(8) or quantized_sigmoid(8)"
            )


def _constants(
    cell: Any, gates: tuple[str, ...]
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """By gate: both kernels, and the bias of the input and of the state (zeros where there is none), as QKeras quantizes them."""

    def quantized(quantizer: Any, variable: Any) -> np.ndarray:
        return array(quantizer(keras.ops.convert_to_tensor(variable))).astype(np.float64)

    pairs = [
        quantized(cell.kernel_quantizer_internal, cell.kernel),
        quantized(cell.recurrent_quantizer_internal, cell.recurrent_kernel),
    ]
    width = len(gates) * cell.units
    bias = np.zeros((2, width))
    if cell.use_bias:
        given = quantized(cell.bias_quantizer_internal, cell.bias).reshape(-1, width)
        bias[: len(given)] = given

    def parted(arrays: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        parts = [np.split(one, len(gates), axis=-1) for one in arrays]
        return dict(zip(gates, zip(*parts, strict=True), strict=True))

    return parted(pairs), parted(bias)


_ONE_WAY: Mapping[type, LayerReader] = {
    qkeras.QSimpleRNN: _reader_of(_simple_rnn),
    qkeras.QLSTM: _reader_of(_lstm),
    qkeras.QGRU: _reader_of(_gru),
}
CLASSES: Mapping[type, LayerReader] = {
    **_ONE_WAY,
    **dict.fromkeys(
        (layers.Bidirectional, qkeras.QBidirectional), bidirectional_reader({**ONE_WAY, **_ONE_WAY})
    ),
}
"""How each recurrent class of QKeras is read."""
