"""Neurons and filters that nothing depends on: pruning single weights leaves them behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from codesign.compression.pruning.units import Units, removable_units, remove_units
from codesign.errors import SettingsError
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
    removed: Counter[str] = Counter()
    # without its reader a unit may be one that nothing reads
    while dead := dead_units(built):
        built, network = remove_units(built, dead), remove_units(network, dead)
        removed.update({name: len(indices) for name, indices in dead.items()})
    return network, dict(removed)


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


class UselessWeights:
    """Which weights are of no use under given masks: those of units that nothing reads, or that read nothing.

    A unit without inputs is a constant; what it was worth, a bias after it learns. Where no bias (or normalisation) is
    after it, it counts as useless only if it is zero.

    Parameters
    ----------
    network
        Whose layers are masked.
    """

    def __init__(self, network: Network) -> None:
        self.units, _ = removable_units(network)
        self.replaceable = {
            name
            for name, units in self.units.items()
            if all(_has_offset(network, reader) for reader in units.readers)
            or not (_has_offset(network, name) or units.along)
        }

    def __call__(self, kept: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """By layer, bool in the kernel's shape.

        Parameters
        ----------
        kept
            Masks by layer: 0 where a weight is gone.
        """
        useless = {name: np.zeros(mask.shape, bool) for name, mask in kept.items()}
        for name, alive in self._alive(kept).items():
            useless[name] |= ~alive
            for reader in self.units[name].readers:
                positions = kept[reader].shape[-2] // len(alive)
                useless[reader] |= ~np.tile(alive, positions)[:, None]
        return useless

    def check_connected(self, kept: Mapping[str, np.ndarray]) -> None:
        """Refuse masks that leave no path from the inputs to the outputs.

        Raises
        ------
        SettingsError
            With the first layer that none leads through.
        """
        left = dict(kept)
        gone = -1
        while (now := sum(int((mask == 0).sum()) for mask in left.values())) > gone:
            gone = now
            left = {name: np.where(useless, 0, left[name]) for name, useless in self(left).items()}
        for name, alive in self._alive(left).items():
            if not alive.any():
                raise SettingsError(
                    f"pruning: so few weights are left that nothing gets through layer {name!r}: none of its units has an "
                    "input and a reader; remove less of the network, or (pruning.layers) of the layers around it"
                )

    def _alive(self, kept: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        alive = {}
        for name, units in self.units.items():
            if name in kept and all(reader in kept for reader in units.readers):
                read = _is_read(units, kept)
                alive[name] = read & _reads(kept[name]) if name in self.replaceable else read
        return alive


def _has_offset(network: Network, name: str) -> bool:
    """Whether a constant can be added to a layer's results."""
    follows = network.consumers(name)
    return "bias" in network[name].weights or any(layer.row.role == "norm" for layer in follows)


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
