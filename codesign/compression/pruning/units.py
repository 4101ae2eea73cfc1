"""Neurons and filters of a network: where their values go, and the network without some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from codesign.compression.pruning.targets import SkipReason
from codesign.networks.description import LayerSpec, Network


@dataclass(frozen=True)
class Units:
    """The neurons or filters of one layer, and what goes with them.

    Parameters
    ----------
    layer
        The layer.
    count
        How many it has.
    along
        Layers that carry each unit's values on with weights of its own: normalisations, depthwise convolutions.
    readers
        Layers that multiply the units' values.
    """

    layer: str
    count: int
    along: tuple[str, ...]
    readers: tuple[str, ...]


def units_of(network: Network, name: str) -> Units | SkipReason:
    """The units of a layer, or why they cannot be removed.

    Parameters
    ----------
    network
        With or without batch normalisations.
    name
        A layer with weights.
    """
    layer = network[name]
    if layer.row.per_channel:
        return SkipReason.DEPTHWISE
    along: list[str] = []
    readers: list[str] = []
    open_ends = [layer]
    while open_ends:
        end = open_ends.pop()
        if end.name in network.output_names:
            return SkipReason.OUTPUT
        for consumer in network.consumers(end.name):
            match consumer.row.units:
                case "reads":
                    readers.append(consumer.name)
                    continue
                case "mixes":
                    return SkipReason.SHARED
                case "reshapes":
                    return SkipReason.RESHAPED
                case "along":
                    along.append(consumer.name)
            open_ends.append(consumer)
    return Units(name, layer.weights["kernel"].shape[-1], tuple(along), tuple(readers))


def removable_units(network: Network) -> tuple[dict[str, Units], dict[str, SkipReason]]:
    """The units of every layer with weights, and the layers that must keep theirs."""
    removable: dict[str, Units] = {}
    kept: dict[str, SkipReason] = {}
    for layer in network.weight_layers:
        found = units_of(network, layer.name)
        if isinstance(found, SkipReason):
            kept[layer.name] = found
        else:
            removable[layer.name] = found
    return removable, kept


def remove_units(network: Network, removed: Mapping[str, np.ndarray]) -> Network:
    """The network without some neurons or filters: the arrays of their layers and of all that reads them shrink.

    Parameters
    ----------
    network
        The network; unchanged.
    removed
        Indices of units by layer; the layers are removable (see `removable_units`).

    Returns
    -------
    Network
        Its values are those of the given network with the units' values set to zero wherever they are read.
    """
    for name, indices in removed.items():
        network = _remove(network, name, np.asarray(indices, dtype=np.int64))
    return network


def _remove(network: Network, name: str, indices: np.ndarray) -> Network:
    units = units_of(network, name)
    assert isinstance(units, Units)
    stays = np.setdiff1d(np.arange(units.count), indices)

    def change(layer: LayerSpec) -> LayerSpec:
        if layer.name == name:
            return layer.with_weights(**{key: array[..., stays] for key, array in layer.weights.items()})
        if layer.name in units.along:
            return layer.with_weights(
                **{
                    key: _kept(array, -2 if key == "kernel" and array.ndim > 1 else -1, stays, units.count)
                    for key, array in layer.weights.items()
                }
            )
        if layer.name in units.readers:
            return layer.with_weights(kernel=_kept(layer.weights["kernel"], -2, stays, units.count))
        return layer

    return network.map_layers(change)


def _kept(array: np.ndarray, axis: int, stays: np.ndarray, count: int) -> np.ndarray:
    """An axis without the removed units; after a flatten the units repeat along it, position by position."""
    positions = array.shape[axis] // count
    where = (np.arange(positions)[:, None] * count + stays).ravel()
    return np.take(array, where, axis=axis)
