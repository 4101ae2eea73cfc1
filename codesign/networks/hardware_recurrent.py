"""A GRU and an LSTM that compute what hls4ml's C++ computes, for the quantized student."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision
from codesign.emulation.tables import activation_table
from codesign.errors import ConversionError
from codesign.networks.description import LayerSpec
from codesign.networks.hardware_layers import Described, HardwareLayer, Needs, exact_value, table_index
from codesign.networks.quantize_tensor import quantize_tensor

_TABLE_SIZE = 1024
_EXACT_BITS = 53  # of float64


def gru_accumulator(
    layer: str, source: FixedPoint | None, weight: FixedPoint, result: FixedPoint, n_inputs: int, units: int
) -> FixedPoint:
    """The format that holds every sum of products of a GRU exactly: of its accumulator, gates and tables.

    Parameters
    ----------
    layer
        Its name, for the error.
    source, weight, result
        The formats of what it reads, of its kernels and biases, and of its state.
    n_inputs, units
        Features of a step, and of the state.

    Raises
    ------
    ConversionError
        If it reads values without a format, or a product of two such sums has more bits than float64, in which the
        student is computed.
    """
    if source is None:
        raise ConversionError(f"layer {layer!r} reads values without a format; round them before it")
    fraction = weight.fractional_bits + max(0, source.fractional_bits, result.fractional_bits)
    largest = max(abs(weight.minimum), weight.maximum)
    values = [max(abs(each.minimum), each.maximum) for each in (source, result)]
    bound = largest * (n_inputs * values[0] + units * values[1] + 2)
    integer = max(2, math.floor(math.log2(bound)) + 2)
    if 2 * fraction + integer >= _EXACT_BITS:
        raise ConversionError(
            f"layer {layer!r}: its gates would multiply numbers of {integer + fraction} bits, {fraction} of them fractional, "
            f"which float64 does not hold; give it at most {(_EXACT_BITS - integer) // 2} fractional bits of weight and values "
            "together"
        )
    return FixedPoint(integer + fraction, integer)


def lstm_type(
    layer: str, source: FixedPoint | None, weight: FixedPoint, result: FixedPoint, n_inputs: int, units: int
) -> FixedPoint:
    """The type of everything in an LSTM: what it reads, its sums, tables, gates, cell and output.

    hls4ml's C++ of an LSTM compiles with one type only. It has the fractional bits of the output's format, or the input's
    if these are more, and so many integer bits that no sum of products saturates.

    Parameters
    ----------
    layer
        Its name, for the error.
    source, weight, result
        The formats of what it reads, of its kernels and biases, and of its output.
    n_inputs, units
        Features of a step, and of the state.

    Raises
    ------
    ConversionError
        If it reads values without a format, or products of it have more bits than float64, in which the student is computed.
    """
    if source is None:
        raise ConversionError(f"layer {layer!r} reads values without a format; round them before it")
    fraction = max(result.fractional_bits, source.fractional_bits)
    largest, given = (max(abs(each.minimum), each.maximum) for each in (weight, source))
    # outputs are at most 1; every product is rounded
    bound = largest * (n_inputs * given + units + 1) + (n_inputs + units + 2) * 2.0**-fraction
    integer = max(2, source.integer_bits + (not source.signed), math.floor(math.log2(bound)) + 2)
    if 2 * (fraction + integer) + 1 >= _EXACT_BITS:
        raise ConversionError(
            f"layer {layer!r}: its cell would multiply numbers of {fraction + integer} bits, which float64 does not hold; give "
            "what it reads, its weights and its result fewer bits"
        )
    return FixedPoint(fraction + integer, integer, True, "RND_CONV", "SAT")


def _table(name: str, entries: FixedPoint) -> Any:
    return ops.convert_to_tensor(entries.quantize(activation_table(name, _TABLE_SIZE).astype(np.float64)))


def recurrent_options(layer: LayerSpec) -> dict[str, Any]:
    """What makes a recurrent layer, Keras' or this package's."""
    return {
        "units": layer.weights["recurrent_kernel"].shape[0],
        "use_bias": "bias" in layer.weights,
        "return_sequences": layer.config["return_sequences"],
        "name": layer.name,
    }


def _sizes(layer: LayerSpec) -> tuple[int, int]:
    """Features of a step, and of the state."""
    return layer.weights["kernel"].shape[0], layer.weights["recurrent_kernel"].shape[0]


def _described(made: Any, kind: str, formats: LayerPrecision) -> Described:
    names = ("kernel", "recurrent_kernel", *(["bias"] if made.use_bias else []))
    weights: Mapping[str, Any] = {name: getattr(made.cell, name) for name in names}
    return Described(kind, {"return_sequences": bool(made.return_sequences)}, weights, formats)


@keras.saving.register_keras_serializable("codesign")
class FixedLSTM(HardwareLayer, keras.layers.LSTM):
    """An LSTM in one fixed-point type: every product, gate, cell and output is rounded to it.

    Its gradients are those of the float LSTM with the same weights (straight-through), 0 where the result saturates.

    Parameters
    ----------
    weight
        The format of both kernels and the bias, as text.
    state
        That of `lstm_type`.
    *args, **kwargs
        As of Keras' LSTM.
    """

    def __init__(self, *args: Any, weight: str, state: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.weight, self.state = weight, state

    @classmethod
    def of(cls, layer: LayerSpec, own: LayerPrecision, sources: Sequence[FixedPoint | None]) -> Self:
        """With the one type that everything in it has."""
        state = cls.needs(layer, own, sources[0]).result
        return cls(**recurrent_options(layer), weight=str(own.weight), state=str(state))

    @classmethod
    def needs(cls, layer: LayerSpec, own: LayerPrecision, source: FixedPoint | None) -> Needs:
        """One type; none before its weights and its result have formats."""
        if own.weight is None or own.result is None:
            return Needs()
        one = lstm_type(layer.name, source, own.weight, own.result, *_sizes(layer))
        return Needs(reads=one, accum=one, result=one)

    def described(self) -> Described:
        """Its weights and its one type."""
        state = FixedPoint.parse(self.state)
        return _described(
            self, "lstm", LayerPrecision(FixedPoint.parse(self.weight), accum=state, result=state)
        )

    def compute_output_spec(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
        """As Keras' LSTM has it: Keras cannot find it where float64 is on the way."""
        return keras.KerasTensor(self.compute_output_shape(sequences.shape), self.compute_dtype)

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        """Go through the steps of `(n_samples, steps, features)`, once as a float LSTM for the gradient and once exactly."""
        smooth = super().call(sequences, initial_state, mask, training)
        weight, state = FixedPoint.parse(self.weight), FixedPoint.parse(self.state)

        def exact(values: Any) -> Any:
            return ops.cast(quantize_tensor(weight, values), "float64")

        def rounded(values: Any) -> Any:
            return quantize_tensor(state, values)

        def product(values: Any, kernel: Any) -> Any:
            # hls4ml's C++ assigns every product to the type of the sum
            return ops.sum(rounded(values[:, :, None] * kernel[None]), axis=1)

        cell = self.cell
        of_input, of_state = exact(cell.kernel), exact(cell.recurrent_kernel)
        bias = rounded(exact(cell.bias)) if cell.use_bias else ops.zeros((4 * self.units,), "float64")
        sigmoid, tanh = _table("sigmoid", state), _table("tanh", state)
        wide = ops.cast(sequences, "float64")
        h = s = ops.zeros_like(ops.matmul(wide[:, 0], of_input)[:, : self.units])
        outputs = []
        for step in range(wide.shape[1]):
            total = rounded(product(wide[:, step], of_input) + bias + product(h, of_state))
            i, f, c, o = ops.split(total, 4, axis=1)
            i, f, o = (ops.take(sigmoid, table_index("sigmoid", gate, _TABLE_SIZE)) for gate in (i, f, o))
            s = rounded(ops.take(tanh, table_index("tanh", c, _TABLE_SIZE)) * i + s * f)
            h = rounded(o * ops.take(tanh, table_index("tanh", s, _TABLE_SIZE)))
            outputs.append(h)
        value = ops.stack(outputs, axis=1) if self.return_sequences else h
        return exact_value(ops.cast(value, smooth.dtype), smooth, state)

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "weight": self.weight, "state": self.state}


@keras.saving.register_keras_serializable("codesign")
class FixedGRU(HardwareLayer, keras.layers.GRU):
    """A GRU in fixed point: exact sums, gates by table, a state that is rounded in each step.

    Its gradients are those of the float GRU with the same weights (straight-through), 0 where the result saturates.

    Parameters
    ----------
    weight
        The format of both kernels and biases, as text.
    accum
        That of `gru_accumulator`: of the sums, the gates and their tables.
    result
        Of the state.
    *args, **kwargs
        As of Keras' GRU.
    """

    def __init__(self, *args: Any, weight: str, accum: str, result: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.weight, self.accum, self.result = weight, accum, result

    @classmethod
    def of(cls, layer: LayerSpec, own: LayerPrecision, sources: Sequence[FixedPoint | None]) -> Self:
        """With the accumulator that holds every sum."""
        accum = cls.needs(layer, own, sources[0]).accum
        formats = {"weight": str(own.weight), "accum": str(accum), "result": str(own.result)}
        return cls(**recurrent_options(layer), **formats)

    @classmethod
    def needs(cls, layer: LayerSpec, own: LayerPrecision, source: FixedPoint | None) -> Needs:
        """An accumulator that holds every sum; nothing before its weights and its state have formats."""
        if own.weight is None or own.result is None:
            return Needs()
        return Needs(accum=gru_accumulator(layer.name, source, own.weight, own.result, *_sizes(layer)))

    def described(self) -> Described:
        """Its weights and formats."""
        weight, accum, result = map(FixedPoint.parse, (self.weight, self.accum, self.result))
        return _described(self, "gru", LayerPrecision(weight, accum=accum, result=result))

    def compute_output_spec(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
        """As Keras' GRU has it: Keras cannot find it where float64 is on the way."""
        return keras.KerasTensor(self.compute_output_shape(sequences.shape), self.compute_dtype)

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        """Go through the steps of `(n_samples, steps, features)`, once as a float GRU for the gradient and once exactly."""
        smooth = super().call(sequences, initial_state, mask, training)
        weight, accum, result = (FixedPoint.parse(text) for text in (self.weight, self.accum, self.result))

        def exact(values: Any) -> Any:
            return ops.cast(quantize_tensor(weight, values), "float64")

        cell, units = self.cell, self.units
        biases = exact(cell.bias) if cell.use_bias else ops.zeros((2, 3 * units), "float64")
        of_input, of_state = exact(cell.kernel), exact(cell.recurrent_kernel)
        tables = {name: _table(name, accum) for name in ("sigmoid", "tanh")}

        def look_up(name: str, x: Any) -> Any:
            return ops.take(tables[name], table_index(name, x, _TABLE_SIZE))

        wide = ops.cast(sequences, "float64")
        state = ops.zeros_like(ops.matmul(wide[:, 0], of_input)[:, :units])
        states = []
        for step in range(wide.shape[1]):
            a = ops.matmul(wide[:, step], of_input) + biases[0]
            b = ops.matmul(state, of_state) + biases[1]
            z, r = ops.split(look_up("sigmoid", a[:, : 2 * units] + b[:, : 2 * units]), 2, axis=1)
            reset = quantize_tensor(accum, r * b[:, 2 * units :])
            proposed = look_up("tanh", quantize_tensor(accum, a[:, 2 * units :] + reset))
            state = quantize_tensor(result, proposed * (1.0 - z) + state * z)
            states.append(state)
        value = ops.stack(states, axis=1) if self.return_sequences else state
        return exact_value(ops.cast(value, smooth.dtype), smooth, result)

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {
            **super().get_config(),
            "weight": self.weight,
            "accum": self.accum,
            "result": self.result,
        }
