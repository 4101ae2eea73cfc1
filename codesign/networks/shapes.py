"""The sizes of a network that costs are counted from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from codesign.cost.layer_shape import INPUT, LayerShape
from codesign.networks.description import LayerSpec, Network


def layer_shapes(network: Network) -> tuple[LayerShape, ...]:
    """The layers of a network that multiply by constants, for `codesign.cost`.

    Parameters
    ----------
    network
        Of a Keras or QKeras model: `codesign.networks.read_keras`. A batch normalisation counts as folded.

    Returns
    -------
    tuple of LayerShape
        In the order of execution; `sources` and `activations` name the layers whose `result` formats count.
    """
    counted = _Counted(len(network.inputs) > 1)
    sizes = network.shapes()
    for layer in network.layers:
        counted.add(layer, sizes)
    counted.read_outside([counted.values[name] for name in network.output_names])
    return tuple(counted.shapes.values())


@dataclass(frozen=True)
class _Values:
    """What a layer's output holds: whose formats, and which layer's sums if nothing has rounded them yet."""

    sources: tuple[str, ...]
    sums_of: str | None = None
    in_order: bool = True


class _Counted:
    def __init__(self, several: bool) -> None:
        self.several = several
        self.shapes: dict[str, LayerShape] = {}
        self.values: dict[str, _Values] = {}

    def add(self, layer: LayerSpec, sizes: dict[str, tuple[int, ...]]) -> None:
        inputs = [self.values[name] for name in layer.inputs]
        sources = tuple(dict.fromkeys(source for values in inputs for source in values.sources))
        sums_of = inputs[0].sums_of if len(inputs) == 1 else None
        match layer.row.role:
            case "input":
                # the formats of several inputs stand at their layers
                values = _Values((layer.name if self.several else INPUT,))
            case "product":
                self.shapes[layer.name] = _shape(layer, inputs[0], sizes)
                values = _Values((layer.name,), layer.name)
            case "move" | "norm":
                in_order = layer.kind != "permute" and all(given.in_order for given in inputs)
                values = _Values(sources, sums_of, in_order)
            case "point" if sums_of is not None and layer.row.rounds:
                shape = self.shapes[sums_of]
                self.shapes[sums_of] = replace(shape, activations=(*shape.activations, layer.name))
                values = _Values((layer.name,))
            case _:
                self.read_outside(inputs)
                values = _Values((layer.name,))
        self.values[layer.name] = values

    def read_outside(self, inputs: Iterable[_Values]) -> None:
        """Note that something that is not counted here reads these values."""
        sources = {source for values in inputs for source in values.sources}
        for name, shape in self.shapes.items():
            if sources & {name, *shape.activations}:
                self.shapes[name] = replace(shape, shared=True)


def _shape(layer: LayerSpec, reads: _Values, sizes: dict[str, tuple[int, ...]]) -> LayerShape:
    kernel = layer.weights["kernel"]
    n_inputs = sizes[layer.inputs[0]][-1]
    *positions, n_outputs = sizes[layer.name]
    groups = n_inputs if layer.row.per_channel else 1
    return LayerShape(
        layer.name,
        layer.kind,
        n_inputs,
        n_outputs,
        math.prod(kernel.shape[:-2]),
        math.prod(positions),
        groups,
        reads.sources,
        in_order=reads.in_order,
    )
