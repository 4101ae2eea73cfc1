"""The per-layer number formats of a network: what the scan finds and quantization uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from codesign.core.files import json_digest, read_json, write_json
from codesign.core.fixed_point import FixedPoint
from codesign.errors import SettingsError

Tensor = Literal["weight", "bias", "result", "accum"]
TENSORS: tuple[Tensor, ...] = get_args(Tensor)


@dataclass(frozen=True)
class LayerPrecision:
    """The formats of one layer's tensors; ``None`` where the layer has no such tensor or its type is inferred.

    Parameters
    ----------
    weight
        The kernel's format.
    bias
        The bias's format.
    result
        The format of the layer's output. ``None`` leaves a linear output at the exact type of the accumulator.
    accum
        The format of its sums of products; ``None`` leaves it to hls4ml's exact inference.
    """

    weight: FixedPoint | None = None
    bias: FixedPoint | None = None
    result: FixedPoint | None = None
    accum: FixedPoint | None = None

    def get(self, tensor: Tensor) -> FixedPoint | None:
        """The format of one tensor."""
        return getattr(self, tensor)

    def replaced(self, tensor: Tensor, precision: FixedPoint | None) -> LayerPrecision:
        """A copy with one format changed."""
        return replace(self, **{tensor: precision})


@dataclass(frozen=True)
class PrecisionMap:
    """Number formats of the network's input and of every layer, in the network's order.

    Parameters
    ----------
    input
        The format of the input tensor.
    layers
        The formats by layer name.
    """

    input: FixedPoint
    layers: Mapping[str, LayerPrecision]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", MappingProxyType(dict(self.layers)))

    def __reduce__(self) -> tuple[Any, ...]:
        return (PrecisionMap, (self.input, dict(self.layers)))

    def __hash__(self) -> int:
        return hash((self.input, tuple(self.layers.items())))

    def __getitem__(self, layer: str) -> LayerPrecision:
        """The formats of one layer; `KeyError` names the known layers."""
        try:
            return self.layers[layer]
        except KeyError:
            raise KeyError(
                f"no layer {layer!r} in the precision map; it has {', '.join(self.layers)}"
            ) from None

    def items(self) -> Iterator[tuple[str, Tensor, FixedPoint]]:
        """Every (layer, tensor, format) that is set."""
        for name, layer in self.layers.items():
            for tensor in TENSORS:
                precision = layer.get(tensor)
                if precision is not None:
                    yield name, tensor, precision

    def replaced(self, layer: str, tensor: Tensor, precision: FixedPoint | None) -> PrecisionMap:
        """A copy with one tensor's format changed."""
        return replace(self, layers={**self.layers, layer: self[layer].replaced(tensor, precision)})

    def average_bits(self, tensor: Tensor = "weight") -> float:
        """The mean width of one kind of tensor over the layers that have it, in bits."""
        widths = [precision.width for _, kind, precision in self.items() if kind == tensor]
        if not widths:
            raise SettingsError(f"the precision map has no {tensor} formats, so no average width")
        return sum(widths) / len(widths)

    @property
    def digest(self) -> str:
        """SHA-256 over all formats."""
        return json_digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form; formats as hls4ml spells them."""
        return {
            "input": str(self.input),
            "layers": {
                name: {tensor: str(layer.get(tensor)) for tensor in TENSORS if layer.get(tensor) is not None}
                for name, layer in self.layers.items()
            },
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], source: str | Path = "precision map") -> PrecisionMap:
        """The inverse of `to_dict`.

        Raises
        ------
        SettingsError
            For a missing or unknown key or an unreadable format; all faults together.
        """
        if not isinstance(value, Mapping):
            raise SettingsError(
                f"must be a mapping with input and layers, not {type(value).__name__}", source
            )
        known = ("input", "layers")
        faults = [f"{key}: unknown key; known are {', '.join(known)}" for key in value if key not in known]
        faults += [f"{key}: missing" for key in known if key not in value]
        input_precision = _parse("input", value["input"], faults) if "input" in value else None
        given = value.get("layers", {})
        if not isinstance(given, Mapping):
            faults.append(f"layers: must be a mapping of layers, not {type(given).__name__}")
            given = {}
        layers = {name: _parse_layer(f"layers.{name}", tensors, faults) for name, tensors in given.items()}
        if faults or input_precision is None:
            raise SettingsError(faults, source)
        return cls(input_precision, layers)

    def save(self, path: str | Path) -> Path:
        """Write the map as JSON, whole or not at all."""
        return write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> PrecisionMap:
        """Read a map written by `save`; `SettingsError` if the file is missing or no map."""
        try:
            value = read_json(path)
        except OSError as error:
            raise SettingsError(
                f"{path} cannot be read ({error.strerror}); give a map that the scan saved"
            ) from error
        except ValueError as error:
            raise SettingsError(f"is no JSON ({error}); give a map that the scan saved", path) from error
        return cls.from_dict(value, path)


def _parse(path: str, text: Any, faults: list[str]) -> FixedPoint | None:
    try:
        return FixedPoint.parse(text)
    except SettingsError as error:
        faults += [f"{path}: {fault}" for fault in error.faults]
        return None


def _parse_layer(path: str, tensors: Any, faults: list[str]) -> LayerPrecision:
    if not isinstance(tensors, Mapping):
        faults.append(f"{path}: must be a mapping of tensors, not {type(tensors).__name__}")
        return LayerPrecision()
    unknown = [key for key in tensors if key not in TENSORS]
    faults += [f"{path}.{key}: unknown tensor; known are {', '.join(TENSORS)}" for key in unknown]
    return LayerPrecision(
        **{key: _parse(f"{path}.{key}", text, faults) for key, text in tensors.items() if key in TENSORS}
    )
