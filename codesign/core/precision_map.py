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

Tensor = Literal["weight", "bias", "result"]
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
    """

    weight: FixedPoint | None = None
    bias: FixedPoint | None = None
    result: FixedPoint | None = None

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
    def from_dict(cls, value: Mapping[str, Any]) -> PrecisionMap:
        """The inverse of `to_dict`.

        Raises
        ------
        SettingsError
            For a missing or unknown key or an unreadable format; all faults together.
        """
        faults: list[str] = []

        def parse(path: str, text: Any) -> FixedPoint | None:
            try:
                return FixedPoint.parse(text)
            except SettingsError as error:
                faults.extend(f"{path}: {fault}" for fault in error.faults)
                return None

        faults += [
            f"{key}: unknown key; known are input, layers" for key in value if key not in ("input", "layers")
        ]
        faults += [f"{key}: missing" for key in ("input", "layers") if key not in value]
        input_precision = parse("input", value.get("input")) if "input" in value else None
        layers: dict[str, LayerPrecision] = {}
        for name, tensors in value.get("layers", {}).items():
            unknown = [tensor for tensor in tensors if tensor not in TENSORS]
            faults += [
                f"layers.{name}.{key}: unknown tensor; known are {', '.join(TENSORS)}" for key in unknown
            ]
            known = {tensor: text for tensor, text in tensors.items() if tensor in TENSORS}
            layers[name] = LayerPrecision(
                **{t: parse(f"layers.{name}.{t}", text) for t, text in known.items()}
            )
        if faults or input_precision is None:
            raise SettingsError(faults, source="precision map")
        return cls(input_precision, layers)

    def save(self, path: str | Path) -> Path:
        """Write the map as JSON, whole or not at all."""
        return write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> PrecisionMap:
        """Read a map written by `save`."""
        return cls.from_dict(read_json(path))
