"""A snapshot of the training as a network with formats: what it computed becomes what is built.

Hardware has one format a tensor. A unit's own binary point comes for nothing all the same: a rectifier passes powers of two, so
a unit whose results have `k` more fractional bits than the tensor's is scaled by `2^k`, and the weights that read it by `2^-k`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from codesign.compression.learned.values import LEAST_FRACTION, LearnableNetwork
from codesign.core.fixed_point import FLOAT32_BITS, FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.networks.description import Network

_APART = 6
"""Bits by which the biases of a layer may be further apart: each has few digits of its own, and its sums are looked at."""


def network_of(
    learnable: LearnableNetwork, snapshot: Mapping[str, np.ndarray]
) -> tuple[Network, PrecisionMap] | None:
    """The network and the formats of a snapshot; ``None`` if QKeras' float32 could not compute it exactly.

    Parameters
    ----------
    learnable
        What was trained.
    snapshot
        Arrays by `layer/name`, as `Epochs.snapshots` has them for one epoch.
    """
    network = learnable.network
    begins = network.layers[0].name
    fraction = int(snapshot[f"{begins}/fraction"])
    least = 2 if learnable.signed else 1
    integers = learnable.input_bits + int(learnable.signed)
    given = FixedPoint(max(integers + fraction, least), integers, learnable.signed, "RND_CONV", "SAT")
    if integers + fraction < least:
        return None
    layers: dict[str, LayerPrecision] = {}
    weights: dict[str, dict[str, np.ndarray]] = {}
    # of the units that reach the next layer: fractional bits, the power of two that they are scaled by, greatest value
    bits: np.ndarray = np.full(network.input_shape[-1], fraction)
    shifts, greatest = np.zeros_like(bits), max(abs(given.minimum), given.maximum)
    kernels = {layer.name: _on_grid(layer.name, snapshot) for layer in network.weight_layers}
    read = _read(kernels)
    for layer in network.layers[1:]:
        if layer.row.role == "product":
            live = read[layer.name]
            kernel = np.where(live, kernels[layer.name], 0.0)
            by_row = (*([1] * (kernel.ndim - 2)), -1, 1)
            rows = kernel.shape[-2]
            bits, shifts = (np.tile(part, rows // len(part)).reshape(by_row) for part in (bits, shifts))
            sums = _sum_fraction(kernel, snapshot[f"{layer.name}/fraction"], bits)
            ends = layer.name == network.output_names[0]
            after = np.zeros(kernel.shape[-1], int)
            tensor = 0
            if not ends:
                point = network.point_behind(layer.name)
                after = (snapshot[f"{point}/bits"] - snapshot[f"{point}/integers"]).astype(int)
                tensor = _tensor_fraction(after[live], snapshot[f"{point}/bits"])
                after = np.where(live, after - tensor, 0)
            bias = snapshot.get(f"{layer.name}/bias", np.zeros(len(after))).astype(np.float64) * 2.0**sums
            bias = np.round(bias) if ends or "bias" not in layer.weights else np.floor(bias) + 0.5
            kernel = kernel * 2.0 ** (after - shifts)
            varies = live & (ends | kernel.any(axis=tuple(range(kernel.ndim - 1))))
            bias = np.where(varies, bias * 2.0 ** (after - sums), 0.0)
            formats = FixedPoint.narrowest(kernel), FixedPoint.narrowest(bias, FLOAT32_BITS + _APART)
            reach = np.abs(kernel).reshape(-1, len(bias)).sum(axis=0) * greatest + np.abs(bias)
            if None in formats or (reach * 2.0 ** (sums - after + (not ends)) >= 2.0**FLOAT32_BITS).any():
                return None
            weights[layer.name] = {"kernel": kernel} | ({"bias": bias} if "bias" in layer.weights else {})
            layers[layer.name] = LayerPrecision(formats[0], formats[1] if "bias" in layer.weights else None)
            shifts = after
        elif layer.row.role == "point":
            signed = layer.row.signed
            width = int(snapshot[f"{layer.name}/bits"]) + signed
            result = FixedPoint(width, width - tensor, signed, "RND_CONV", "SAT")
            layers[layer.name] = LayerPrecision(result=result)
            greatest = max(abs(result.minimum), result.maximum)
            bits = tensor + shifts
    built = network.map_layers(
        lambda layer: layer.with_weights(**weights[layer.name]) if layer.name in weights else layer
    )
    return built, PrecisionMap(given, layers)


def _read(kernels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """By weight layer, which of its units a weight reads that is read itself; the others' magnitudes widen no format."""
    names = list(kernels)
    read = {names[-1]: np.ones(kernels[names[-1]].shape[-1], bool)}
    for name, user in zip(names[-2::-1], names[:0:-1], strict=True):
        live = (kernels[user] != 0) & read[user]
        rows = live.any(axis=(*range(live.ndim - 2), live.ndim - 1))
        read[name] = rows.reshape(-1, kernels[name].shape[-1]).any(axis=0)
    return read


def _on_grid(name: str, snapshot: Mapping[str, np.ndarray]) -> np.ndarray:
    step = 2.0 ** -snapshot[f"{name}/fraction"].astype(np.float64)
    return np.round(snapshot[f"{name}/kernel"].astype(np.float64) / step) * step


def _sum_fraction(kernel: np.ndarray, fraction: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """As `values.sum_fraction`."""
    bits = np.where(kernel != 0, fraction + inputs, LEAST_FRACTION)
    return np.maximum(bits, LEAST_FRACTION).max(axis=tuple(range(kernel.ndim - 1)))


def _tensor_fraction(units: np.ndarray, bits: np.ndarray) -> int:
    """The fractional bits of the tensor: those of most units, with no integer bits below zero."""
    return int(min(np.median(units), bits)) if units.size else 0
