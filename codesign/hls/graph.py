"""A converted hls4ml graph as frozen values: all that decides the bits of its C++, and nothing of hls4ml.

`read_graph` copies types, parameters and weights out of a converted `ModelGraph`; `Graph.save` and
`Graph.load` keep them in a project folder, so that emulation and the open RTL work later without converting
again.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.core.files import arrays_digest, json_digest, write_arrays
from codesign.core.fixed_point import FixedPoint
from codesign.core.ports import Port
from codesign.core.precision_map import LayerPrecision
from codesign.core.shown import Brief
from codesign.core.target import IoType
from codesign.errors import ConversionError, StaleProjectError
from codesign.hls.nodes import BY_KIND, NodeKind

if TYPE_CHECKING:
    from hls4ml.model import ModelGraph

DECISION = "decision"
"""The kind of node that gives a class instead of logits; only the open RTL has it (`Graph.deciding`)."""

FORMAT = 1
"""The version of the file that `Graph.save` writes."""


@dataclass(frozen=True, eq=False)
class Node(Brief):
    """One layer as its C++ sees it.

    Parameters
    ----------
    name
        hls4ml's name of the layer.
    kind
        What it computes, in hls4ml's words and snake case: ``dense``, ``conv_2d``, ``softmax`` ...; a row of
        `codesign.hls.nodes`.
    inputs
        Names of the nodes whose results it takes, in order.
    output_shape
        The shape of its result without the batch.
    attributes
        JSON values: the sizes, strides and padding of its C++ configuration, ``strategy``, ``reuse_factor``,
        ``product`` (how a weight multiplies), ``implementation``, table sizes, ``inferred`` (types that
        hls4ml chose itself), ``integer_types`` (those that are `ap_int`, not `ap_fixed`, in the C++) and
        ``without_bias`` where the bias is hls4ml's own zero.
    types
        The format of each named type: ``result`` always, ``accum``, ``weight``, ``bias``, ``table`` ... if it
        has them.
    weights
        float64 values exactly as the C++ project holds them: after hls4ml's quantizer, its decimal printing
        and the conversion to the type. Kernels in Keras' layout, whatever the strategy: dense
        `(n_in, n_out)`, convolutions `(*window, n_chan, n_filt)`, depthwise `(*window, n_chan, multiplier)`.
    sources
        The same weights as hls4ml held them before printing; another format is applied to these.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    output_shape: tuple[int, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    types: Mapping[str, FixedPoint] = field(default_factory=dict)
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    sources: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))
        object.__setattr__(self, "types", MappingProxyType(dict(self.types)))
        for name in ("weights", "sources"):
            arrays = {key: _frozen_array(value) for key, value in getattr(self, name).items()}
            object.__setattr__(self, name, MappingProxyType(arrays))

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (dict(self.attributes), dict(self.types), dict(self.weights), dict(self.sources))
        return (Node, (self.name, self.kind, self.inputs, self.output_shape, *fields))

    @property
    def row(self) -> NodeKind:
        """What its kind is; `ConversionError` for a kind that no reader makes."""
        if self.kind not in BY_KIND:
            raise ConversionError(f"the node {self.name} is of the kind {self.kind!r}, which is not known")
        return BY_KIND[self.kind]

    @property
    def result(self) -> FixedPoint:
        """The format of the result."""
        return self.types["result"]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that decides what the layer computes, but its name and those of its inputs."""
        described = self._description()
        text = json_digest({key: described[key] for key in ("kind", "output_shape", "attributes", "types")})
        return arrays_digest({text: np.zeros(0), **self.weights})

    def with_types(self, types: Mapping[str, FixedPoint]) -> Node:
        """Copy with some formats replaced, and the weights of those formats made again from their sources.

        Raises
        ------
        KeyError
            For a type that the layer does not have; names those it has.
        """
        unknown = [name for name in types if name not in self.types]
        if unknown:
            raise KeyError(f"{self.name} has no type {', '.join(unknown)}; it has {', '.join(self.types)}")
        changed = {name for name, precision in types.items() if precision != self.types[name]}
        weights = {
            name: printed_weights(self.sources[name], types[name]) if name in changed else values
            for name, values in self.weights.items()
        }
        return replace(self, types={**self.types, **types}, weights=weights)

    def _description(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "inputs": list(self.inputs),
            "output_shape": list(self.output_shape),
            "attributes": dict(self.attributes),
            "types": {name: str(precision) for name, precision in self.types.items()},
        }


def types_of(node: Node, formats: LayerPrecision) -> dict[str, FixedPoint]:
    """The formats of a precision map under the names that a node has for them.

    What multiplies is the `weight` of a layer, the `scale` of a normalisation or the `param` of an activation; the entries of
    an activation's table are its results.
    """
    weight = next((name for name in ("weight", "scale", "param") if name in node.types), "weight")
    named = {weight: formats.weight, "bias": formats.bias, "accum": formats.accum, "result": formats.result}
    if "table" in node.types:
        named["table"] = formats.result
    return {name: precision for name, precision in named.items() if precision is not None}


@dataclass(frozen=True, eq=False)
class Graph(Brief):
    """A converted network.

    Parameters
    ----------
    nodes
        Its layers in the order of execution; inputs are nodes of kind ``input``.
    inputs
        The names of the input nodes, in the order of the C++ function's arguments.
    outputs
        The names of the nodes whose results are the network's outputs.
    io_type
        ``io_parallel`` or ``io_stream``; some layers round differently.
    backend
        The hls4ml back end, ``Vitis`` or ``Vivado``.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    io_type: IoType
    backend: str

    def __getitem__(self, name: str) -> Node:
        """The node of this name; `KeyError` lists the names."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"no layer {name!r}; the layers are {', '.join(node.name for node in self.nodes)}")

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def input_ports(self) -> tuple[Port, ...]:
        """Names and shapes of the inputs."""
        return tuple(Port(name, self[name].output_shape) for name in self.inputs)

    @property
    def output_ports(self) -> tuple[Port, ...]:
        """Names and shapes of the outputs."""
        return tuple(Port(name, self[name].output_shape) for name in self.outputs)

    def input_nodes(self, node: Node) -> tuple[Node, ...]:
        """The nodes whose results a node takes."""
        return tuple(self[name] for name in node.inputs)

    def deciding(self) -> Graph:
        """The network whose outputs are the classes that its outputs decide on, each a node `NAME_class` behind one.

        Raises
        ------
        ConversionError
            An output that is no vector.
        """
        nodes = []
        for name in self.outputs:
            shape = self[name].output_shape
            if len(shape) != 1:
                raise ConversionError(
                    f"a decision takes one vector of logits, and the output {name} has the shape {shape}; "
                    "set hardware.outputs to logits"
                )
            bits = max((shape[0] - 1).bit_length(), 1)
            types = {"result": FixedPoint(bits, bits, signed=False)}
            nodes.append(Node(f"{name}_class", DECISION, (name,), (1,), {"integer_types": []}, types))
        return replace(self, nodes=(*self.nodes, *nodes), outputs=tuple(node.name for node in nodes))

    @property
    def digest(self) -> str:
        """SHA-256 of everything in the graph."""
        return arrays_digest(self._arrays())

    def save(self, path: str | Path) -> Path:
        """Write the graph as one `.npz` (plain arrays and JSON, no pickle), whole or not at all."""
        return write_arrays(path, self._arrays())

    @classmethod
    def load(cls, path: str | Path) -> Graph:
        """Read a graph written by `save`.

        Raises
        ------
        StaleProjectError
            The file is missing, damaged or of another version.
        """
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                described = json.loads(arrays["graph"].tobytes())
                if described["format"] != FORMAT:
                    raise ValueError(f"format {described['format']}, not {FORMAT}")
                nodes = tuple(_load_node(value, arrays) for value in described["nodes"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise StaleProjectError(
                f"{path} holds no readable graph ({error}); convert the network again"
            ) from error
        return cls(
            nodes,
            tuple(described["inputs"]),
            tuple(described["outputs"]),
            described["io_type"],
            described["backend"],
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        described = {
            "format": FORMAT,
            "io_type": self.io_type,
            "backend": self.backend,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "nodes": [node._description() for node in self.nodes],
        }
        text = json.dumps(described, sort_keys=True, allow_nan=False)
        arrays = {"graph": np.frombuffer(text.encode(), dtype=np.uint8)}
        for node in self.nodes:
            for group in ("weights", "sources"):
                arrays.update({f"{group}/{node.name}/{key}": a for key, a in getattr(node, group).items()})
        return arrays


def printed_weights(values: np.ndarray, precision: FixedPoint) -> np.ndarray:
    """Make what a C++ array of `precision` holds after hls4ml has printed `values` into the project.

    hls4ml prints as many decimals as the format has fractional bits (none for fewer than one). Values on the
    grid survive that exactly; others are first rounded in decimal, which can carry them over a step: 0.249
    printed with two decimals becomes 0.25 in a format of two fractional bits, where truncation gives 0.

    Parameters
    ----------
    values
        float, any shape.
    precision
        The format of the C++ array.

    Returns
    -------
    np.ndarray
        float64, the shape of `values`.
    """
    values = np.asarray(values, dtype=np.float64)
    decimals = max(0, precision.fractional_bits)
    flat = values.ravel().copy()
    # printing matters only where a value is closer to a place where rounding changes than to its own last digit
    halves = flat * 2.0 ** (precision.fractional_bits + 1)
    distance = np.abs(halves - np.rint(halves)) * 2.0 ** -(precision.fractional_bits + 1)
    on_grid = (distance == 0) & (np.rint(halves) % 2 == 0)
    for index in np.flatnonzero((distance <= 0.6 * 10.0**-decimals) & ~on_grid):
        flat[index] = float(f"{flat[index]:.{decimals}f}")
    return np.asarray(precision.quantize(flat), dtype=np.float64).reshape(values.shape)


def read_graph(hls_model: ModelGraph) -> Graph:
    """Copy a converted hls4ml model (back end Vitis or Vivado) into frozen values.

    Parameters
    ----------
    hls_model
        What `hls4ml.converters` or `codesign.hls` returned; not changed.

    Raises
    ------
    ConversionError
        Layers, strategies or types that are not supported, all named.
    """
    from codesign.hls import graph_reader  # it needs the values above

    return graph_reader.read(hls_model)


def _load_node(value: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Node:
    def group(name: str) -> dict[str, np.ndarray]:
        prefix = f"{name}/{value['name']}/"
        return {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}

    return Node(
        value["name"],
        value["kind"],
        tuple(value["inputs"]),
        tuple(value["output_shape"]),
        value["attributes"],
        {name: FixedPoint.parse(text) for name, text in value["types"].items()},
        group("weights"),
        group("sources"),
    )


def _frozen_array(values: np.ndarray) -> np.ndarray:
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array
