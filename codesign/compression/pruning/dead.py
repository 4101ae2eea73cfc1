"""Neurons and filters that nothing depends on: pruning single weights leaves them behind."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from codesign.compression.pruning.units import Units, removable_units, remove_units
from codesign.networks.description import LayerSpec, Network


def without_dead_units(network: Network, on_grid: Network | None = None) -> tuple[Network, dict[str, int]]:
    """Remove the units that change no output: those that nothing reads, and those that are always zero.

    Parameters
    ----------
    network
        Its layers with weights.
    on_grid
        The same network with the weights that are built, if they are others: a weight that rounds to zero reads nothing.

    Returns
    -------
    Network
        Its outputs are those of the given network for every input. Each layer keeps at least one unit.
    dict
        How many units each layer lost, without the layers that lost none.
    """
    built = network if on_grid is None else on_grid
    before = {layer.name: layer.weights["kernel"].shape[-1] for layer in network.weight_layers}
    # without its reader a unit may be one that nothing reads
    while dead := dead_units(built):
        built, network = remove_units(built, dead), remove_units(network, dead)
    after = {layer.name: layer.weights["kernel"].shape[-1] for layer in network.weight_layers}
    return network, {name: before[name] - after[name] for name in before if after[name] < before[name]}


def dead_units(network: Network) -> dict[str, np.ndarray]:
    """Indices of the units that change no output, by layer; of a layer whose units are all dead, all but the first."""
    removable, _ = removable_units(network)
    kernels = {layer.name: layer.weights["kernel"] for layer in network.weight_layers}
    dead = {}
    for name, units in removable.items():
        found = ~_is_read(units, kernels) | _always_zero(network, network[name], units)
        if found.all():
            found[0] = False
        if found.any():
            dead[name] = np.flatnonzero(found)
    return dead


def dead_weights(units: Mapping[str, Units], kept: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights that are of no use: of units that nothing reads, or that read nothing and are constants.

    Parameters
    ----------
    units
        Of the layers that can lose some.
    kept
        Masks by layer: 0 where a weight is gone.

    Returns
    -------
    dict
        By layer, bool in the kernel's shape. What a constant was worth, the biases after it can learn.
    """
    useless = {name: np.zeros(mask.shape, bool) for name, mask in kept.items()}
    for name, of in units.items():
        if name not in kept or not all(reader in kept for reader in of.readers):
            continue
        alive = _is_read(of, kept) & _reads(kept[name])
        useless[name] |= ~alive
        for reader in of.readers:
            positions = kept[reader].shape[-2] // of.count
            useless[reader] |= ~np.tile(alive, positions)[:, None]
    return useless


def _reads(kernel: np.ndarray) -> np.ndarray:
    """Which units have an input, shape `(n_units,)`."""
    return (kernel != 0).reshape(-1, kernel.shape[-1]).any(axis=0)


def _is_read(units: Units, kernels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which units have a reader, shape `(n_units,)`; after a flatten they repeat, position by position."""
    read = np.zeros(units.count, bool)
    for reader in units.readers:
        rows = np.moveaxis(kernels[reader] != 0, -2, 0)
        read |= rows.reshape(-1, units.count, rows[0].size).any(axis=(0, 2))
    return read


def _always_zero(network: Network, layer: LayerSpec, units: Units) -> np.ndarray:
    """Which units have no input and a bias that no rectifier lets through."""
    if units.along:
        return np.zeros(units.count, bool)
    bias = layer.weights.get("bias", np.zeros(units.count))
    rectified = all(consumer.kind == "relu" for consumer in network.consumers(layer.name))
    return ~_reads(layer.weights["kernel"]) & ((bias <= 0) if rectified else (bias == 0))
