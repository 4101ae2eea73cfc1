"""Run a prepared `Network` with given number formats, layer by layer, without building a model for each candidate."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.networks.description import WEIGHT_KINDS, LayerSpec, Network

_FLOAT32_BITS = 24


@dataclass(frozen=True)
class LayerValue:
    """A layer's output for all samples.

    Parameters
    ----------
    signature
        What it was computed from: the formats of the layer and of all before it.
    values
        Shape `(n_samples, *shape)`, float32 or, where its bits need it, float64.
    bits
        How many bits the values span; ``None`` without quantization.
    saturated
        How many values its format cut off.
    """

    signature: int
    values: np.ndarray
    bits: int | None
    saturated: int


class Forward:
    """A network on fixed inputs; formats are arguments of `run`, and unchanged layers are not computed again.

    Parameters
    ----------
    network
        Prepared: folded, with explicit quantization points.
    x
        Inputs of shape `(n_samples, *input_shape)`.
    keep_bytes
        How much of earlier results to keep for later candidates.

    Notes
    -----
    Accumulators are exact, as hls4ml infers them: sums are formed in float32 where 24 bits hold every partial sum, in
    float64 otherwise, so the values are those of the hardware to the last bit.
    """

    def __init__(self, network: Network, x: np.ndarray, keep_bytes: int = 2**31) -> None:
        self.network = network
        self.x = np.asarray(x, dtype=np.float32)
        self.keep_bytes = keep_bytes
        self._kept: OrderedDict[tuple[str, int], LayerValue] = OrderedDict()

    def run(self, precision: PrecisionMap | None) -> tuple[np.ndarray, int]:
        """The logits, shape `(n_samples, n_outputs)`, and how many values saturated in all; ``None`` is float32."""
        results: dict[str, LayerValue] = {}
        for layer in self.network.layers:
            inputs = [results[name] for name in layer.inputs]
            formats = _formats(layer, precision)
            signature = hash((layer.name, formats, *(value.signature for value in inputs)))
            kept = self._kept.get((layer.name, signature))
            if kept is None:
                kept = self._compute(layer, inputs, formats, signature)
                self._keep(layer.name, kept)
            else:
                self._kept.move_to_end((layer.name, signature))
            results[layer.name] = kept
        return results[self.network.output.name].values, sum(value.saturated for value in results.values())

    def _keep(self, name: str, value: LayerValue) -> None:
        self._kept[name, value.signature] = value
        while (
            sum(kept.values.nbytes for kept in self._kept.values()) > self.keep_bytes and len(self._kept) > 1
        ):
            self._kept.popitem(last=False)

    def _compute(
        self, layer: LayerSpec, inputs: list[LayerValue], formats: LayerPrecision | None, signature: int
    ) -> LayerValue:
        if layer.kind == "input":
            return _quantized(self.x, formats and formats.result, signature)
        if layer.kind in ("relu", "linear"):
            values = np.maximum(inputs[0].values, 0) if layer.kind == "relu" else inputs[0].values
            return _quantized(values, formats and formats.result, signature)
        if layer.kind in WEIGHT_KINDS:
            return _weighted(layer, inputs[0], formats, signature)
        bits = [value.bits for value in inputs if value.bits is not None]
        values = _moved(layer, [value.values for value in inputs])
        return LayerValue(signature, values, max(bits) + _extra_bits(layer) if bits else None, 0)


def _formats(layer: LayerSpec, precision: PrecisionMap | None) -> LayerPrecision | None:
    if precision is None:
        return None
    if layer.kind == "input":
        return LayerPrecision(result=precision.input)
    return precision.layers.get(layer.name)


def _quantized(values: np.ndarray, precision: FixedPoint | None, signature: int) -> LayerValue:
    if precision is None:
        return LayerValue(signature, values, None, 0)
    saturated = int((values > precision.maximum + precision.step / 2).sum())
    if precision.signed:
        saturated += int((values < precision.minimum - precision.step / 2).sum())
    rounded = precision.quantize(values)
    if precision.width <= _FLOAT32_BITS:
        rounded = rounded.astype(np.float32, copy=False)
    return LayerValue(signature, rounded, precision.width, saturated)


def _weighted(
    layer: LayerSpec, value: LayerValue, formats: LayerPrecision | None, signature: int
) -> LayerValue:
    kernel, bias, bits, dtype = layer.weights["kernel"], layer.weights.get("bias"), None, np.float32
    if formats is not None and formats.weight is not None:
        kernel = formats.weight.quantize(kernel)
        bias = formats.bias.quantize(bias) if bias is not None and formats.bias is not None else bias
        fan_in = kernel.size if layer.kind == "depthwise_conv2d" else math.prod(kernel.shape[:-1])
        bits = (value.bits or _FLOAT32_BITS) + formats.weight.width + math.ceil(math.log2(fan_in)) + 1
        dtype = np.float32 if bits <= _FLOAT32_BITS else np.float64
    x, kernel = value.values.astype(dtype, copy=False), kernel.astype(dtype, copy=False)
    if layer.kind == "dense":
        result = x @ kernel
    else:
        strides, padding = tuple(layer.config["strides"]), layer.config["padding"]
        convolve = ops.depthwise_conv if layer.kind == "depthwise_conv2d" else ops.conv
        result = np.array(convolve(x, kernel, strides=strides, padding=padding))
    if bias is not None:
        result += bias.astype(dtype, copy=False)
    return LayerValue(signature, result, bits, 0)


def _extra_bits(layer: LayerSpec) -> int:
    """Bits that a sum or a mean adds."""
    if layer.kind == "add":
        return len(layer.inputs)
    return (
        math.ceil(math.log2(math.prod(layer.config["pool_size"]))) if layer.kind.startswith("average") else 0
    )


def _moved(layer: LayerSpec, inputs: list[np.ndarray]) -> np.ndarray:
    """Layers without weights and formats of their own."""
    x, config = inputs[0], layer.config
    if layer.kind == "flatten":
        return x.reshape(len(x), -1)
    if layer.kind == "reshape":
        return x.reshape(len(x), *config["target_shape"])
    if layer.kind == "add":
        return np.sum(inputs, axis=0)
    if layer.kind == "concatenate":
        return np.concatenate(inputs, axis=-1)
    if layer.kind.startswith("zero_padding"):
        pads: Any = config["padding"]
        pads = [pads] if layer.kind == "zero_padding1d" else pads
        return np.pad(x, [(0, 0), *(tuple(pad) for pad in pads), (0, 0)])
    pool = ops.max_pool if layer.kind.startswith("max") else ops.average_pool
    strides = tuple(config["strides"])
    return np.array(pool(x, tuple(config["pool_size"]), strides=strides, padding=config["padding"]))
