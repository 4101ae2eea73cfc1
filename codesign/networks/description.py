"""A network as a value: layers in topological order with their weights, free of Keras objects.

Everything after training works on this one description: pruning, folding, the scan and quantization return new
descriptions, and `codesign.networks.build` makes a float Keras or a QKeras model from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from codesign.core.files import arrays_digest, json_digest, write_arrays
from codesign.core.fixed_point import FixedPoint
from codesign.core.layers import BY_KIND, LayerKind, kinds
from codesign.core.ports import Port, row_shape
from codesign.core.precision_map import PrecisionMap
from codesign.core.shown import Shown
from codesign.core.text_table import TextTable
from codesign.errors import DataError

WEIGHT_KINDS = kinds("product")
"""Kinds that multiply by constants: they have a `kernel` and may have a `bias`."""

ACTIVATION_KINDS = kinds("point")
"""Kinds whose output is quantized in hardware: the points where a `result` format is chosen."""


def free_name(name: str, taken: set[str]) -> str:
    """The name, with underscores behind it until no layer of the user has it."""
    while name in taken:
        name += "_"
    return name


@dataclass(frozen=True)
class LayerSpec(Shown):
    """One layer.

    Parameters
    ----------
    name
        Unique in the network; a C identifier, because hls4ml writes it into C++.
    kind
        One of `codesign.core.layers`.
    inputs
        The names of the layers it reads.
    config
        JSON-able parameters, named as in Keras (``strides``, ``padding``, ``pool_size``, ...).
    weights
        Read-only float32 arrays by name: ``kernel`` and ``bias`` shaped as in Keras, ``gamma``, ``beta``, ``mean``,
        ``variance`` of shape `(channels,)` for a batch normalisation.
    """

    name: str
    kind: str
    inputs: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frozen = {}
        for name, array in self.weights.items():
            array = np.array(array, dtype=np.float32)
            array.flags.writeable = False
            frozen[name] = array
        object.__setattr__(self, "weights", MappingProxyType(frozen))
        object.__setattr__(self, "config", MappingProxyType(dict(self.config)))

    @property
    def row(self) -> LayerKind:
        """What its kind is."""
        return BY_KIND[self.kind]

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        weights = {name: " x ".join(map(str, array.shape)) for name, array in self.weights.items()}
        return {"name": self.name, "kind": self.kind, "inputs": ", ".join(self.inputs), **weights}

    def with_weights(self, **weights: np.ndarray) -> LayerSpec:
        """A copy with some weights replaced."""
        return replace(self, weights={**self.weights, **weights})


@dataclass(frozen=True)
class Network(Shown):
    """Layers in topological order, which end at the outputs (the logits).

    Parameters
    ----------
    layers
        The layers; the inputs in the order of the network's arguments.
    name
        What the network is called.
    ends
        The names of the layers whose results are the outputs, in order; of one output nothing: it is the last layer.
    """

    layers: tuple[LayerSpec, ...]
    name: str = "network"
    ends: tuple[str, ...] = ()

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        return {"name": self.name, "network": self.sizes, "parameters": f"{self.n_parameters:,}"}

    def tables(self) -> Iterator[TextTable]:
        """The layers."""
        yield self.table()

    @property
    def sizes(self) -> str:
        """The values of a sample from the inputs through the layers with weights: ``64, 32, 10``."""
        shapes = self.shapes()
        sizes = {name: " x ".join(map(str, shape)) for name, shape in shapes.items()}
        begins = " + ".join(sizes[port.name] for port in self.inputs)
        return ", ".join([begins, *(sizes[layer.name] for layer in self.weight_layers)])

    def table(self, precision: PrecisionMap | None = None) -> TextTable:
        """A row a layer: its kind, the shape of its output, its weights and, with a map, its formats."""
        shapes, rows = self.shapes(), []
        for layer in self.layers:
            kernel = layer.weights.get("kernel")
            row: tuple[str, ...] = (
                layer.name,
                layer.kind.replace("_", " "),
                " x ".join(map(str, shapes[layer.name])),
                "" if not layer.weights else f"{sum(array.size for array in layer.weights.values()):,}",
                "" if kernel is None else f"{(kernel == 0).mean():.0%}",
            )
            if precision is not None:
                own = precision.layers.get(layer.name)
                formats = {} if own is None else own.to_dict()
                if layer.row.role == "input":
                    formats = {"result": str(precision.of_input(layer.name))}
                row = (*row, *(str(formats.get(tensor, "")) for tensor in ("weight", "bias", "result")))
            rows.append(row)
        header: tuple[str, ...] = ("layer", "kind", "output", "parameters", "zeros")
        if precision is not None:
            header = (*header, "weight", "bias", "result")
        return TextTable("Layers", header, tuple(rows))

    def __getitem__(self, name: str) -> LayerSpec:
        """A layer by name; `KeyError` lists the known names."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"no layer {name!r}; the network has {', '.join(layer.name for layer in self.layers)}")

    @property
    def inputs(self) -> tuple[Port, ...]:
        """Names and shapes of the inputs."""
        return tuple(
            Port(layer.name, tuple(layer.config["shape"]))
            for layer in self.layers
            if layer.row.role == "input"
        )

    @property
    def outputs(self) -> tuple[Port, ...]:
        """Names and shapes of the outputs."""
        shapes = self.shapes()
        return tuple(Port(name, shapes[name]) for name in self.output_names)

    def index_sizes(self) -> dict[str, int]:
        """How many rows the tables have that inputs are places in (of an embedding), by input."""
        sizes: dict[str, int] = {}
        for layer in self.layers:
            if layer.row.holds_results:
                source = self[layer.inputs[0]]
                while source.inputs:
                    source = self[source.inputs[0]]
                rows = layer.config["input_dim"]
                sizes[source.name] = min(rows, sizes.get(source.name, rows))
        return sizes

    @property
    def index_formats(self) -> dict[str, FixedPoint]:
        """The formats of these inputs, which no width can change: whole numbers up to the last row."""
        bits = {name: max(1, (rows - 1).bit_length()) for name, rows in self.index_sizes().items()}
        return {name: FixedPoint(n, n, False, "RND_CONV", "SAT") for name, n in bits.items()}

    @property
    def output_names(self) -> tuple[str, ...]:
        """The layers whose results are the outputs."""
        return self.ends or (self.layers[-1].name,)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample; all values of several inputs, flat (see `codesign.core.ports`)."""
        return row_shape(self.inputs)

    @property
    def weight_layers(self) -> tuple[LayerSpec, ...]:
        """The layers that multiply by constants."""
        return tuple(layer for layer in self.layers if layer.kind in WEIGHT_KINDS)

    @property
    def kernels(self) -> dict[str, np.ndarray]:
        """The kernels by layer, in Keras' layout."""
        return {layer.name: layer.weights["kernel"] for layer in self.weight_layers}

    @property
    def biases(self) -> dict[str, np.ndarray]:
        """The biases of the layers that have one, by layer, shape `(n_outputs,)`."""
        return {layer.name: layer.weights["bias"] for layer in self.weight_layers if "bias" in layer.weights}

    @property
    def activations(self) -> tuple[LayerSpec, ...]:
        """The layers whose output is quantized in hardware."""
        return tuple(layer for layer in self.layers if layer.kind in ACTIVATION_KINDS)

    @property
    def n_parameters(self) -> int:
        """The number of trained values (kernels, biases, and a normalisation's four vectors)."""
        return sum(array.size for layer in self.layers for array in layer.weights.values())

    @property
    def sparsity(self) -> float:
        """The fraction of exact zeros among the kernel values."""
        kernels = [layer.weights["kernel"] for layer in self.weight_layers]
        return sum(int((kernel == 0).sum()) for kernel in kernels) / sum(kernel.size for kernel in kernels)

    def weights_removed(self, before: Network) -> float:
        """The fraction of another network's kernel values that this one does without, zero or not there at all."""
        left = sum(np.count_nonzero(layer.weights["kernel"]) for layer in self.weight_layers)
        return 1 - left / sum(layer.weights["kernel"].size for layer in before.weight_layers)

    @property
    def digest(self) -> str:
        """SHA-256 over structure and weights."""
        return json_digest([self._structure(), arrays_digest(self._arrays())])

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of one sample of every layer's output, by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in self.layers:
            weights = {key: array.shape for key, array in layer.weights.items()}
            shapes[layer.name] = layer.row.shape(
                layer.config, weights, [shapes[name] for name in layer.inputs]
            )
        return shapes

    def consumers(self, name: str) -> tuple[LayerSpec, ...]:
        """The layers that read the output of layer `name`."""
        return tuple(layer for layer in self.layers if name in layer.inputs)

    def read_once(self, name: str) -> bool:
        """Whether one other layer alone takes the result of layer `name`, which is no output."""
        return len(self.consumers(name)) == 1 and name not in self.output_names

    def point_behind(self, name: str) -> str | None:
        """The point that alone rounds the sums of layer `name`, if one does."""
        users = self.consumers(name)
        if len(users) != 1 or users[0].row.role == "product":
            return None
        return users[0].name if users[0].row.role == "point" else self.point_behind(users[0].name)

    def without(self, dropped: Mapping[str, str]) -> Network:
        """A network without some layers: what read one of them, or ended at it, has the layer that is named for it."""
        layers = tuple(
            replace(layer, inputs=tuple(dropped.get(name, name) for name in layer.inputs))
            for layer in self.layers
            if layer.name not in dropped
        )
        return replace(self, layers=layers, ends=tuple(dropped.get(name, name) for name in self.ends))

    def map_layers(self, change: Callable[[LayerSpec], LayerSpec]) -> Network:
        """A network with every layer passed through `change`; names and order stay."""
        return replace(self, layers=tuple(change(layer) for layer in self.layers))

    def with_kernels(self, kernels: Mapping[str, np.ndarray]) -> Network:
        """A network with the named layers' kernels replaced."""
        return self.map_layers(
            lambda layer: layer.with_weights(kernel=kernels[layer.name]) if layer.name in kernels else layer
        )

    def save(self, path: str | Path) -> Path:
        """Write structure and weights as one `.npz`, whole or not at all."""
        import json

        structure = np.frombuffer(json.dumps(self._structure()).encode(), dtype=np.uint8)
        return write_arrays(path, {"structure": structure, **self._arrays()})

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Read a network written by `save`; `DataError` if the file is not one."""
        import json

        with np.load(path, allow_pickle=False) as file:
            if "structure" not in file:
                raise DataError(
                    f"{path} holds no network (its entries: {', '.join(file.files)}); give a file saved by Network.save"
                )
            structure = json.loads(file["structure"].tobytes().decode())
            layers = tuple(
                LayerSpec(
                    entry["name"],
                    entry["kind"],
                    tuple(entry["inputs"]),
                    entry["config"],
                    {key: file[f"{entry['name']}/{key}"] for key in entry["weights"]},
                )
                for entry in structure["layers"]
            )
        return cls(layers, structure["name"], tuple(structure.get("ends", ())))

    def _structure(self) -> dict[str, Any]:
        return {
            "name": self.name,
            **({"ends": list(self.ends)} if self.ends else {}),
            "layers": [
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "inputs": list(layer.inputs),
                    "config": dict(layer.config),
                    "weights": list(layer.weights),
                }
                for layer in self.layers
            ],
        }

    def _arrays(self) -> dict[str, np.ndarray]:
        return {f"{layer.name}/{key}": array for layer in self.layers for key, array in layer.weights.items()}
