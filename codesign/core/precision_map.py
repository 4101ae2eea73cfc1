"""The number formats of a network: a format a tensor, and for weights a width a channel or an element."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign.core.files import json_digest, read_json, write_json
from codesign.core.fixed_point import FixedPoint
from codesign.core.ports import Port, apart, side_by_side
from codesign.core.shown import Shown
from codesign.core.text_table import TextTable
from codesign.errors import SettingsError

if TYPE_CHECKING:
    from pandas import DataFrame

Tensor = Literal["weight", "bias", "result", "accum"]
TENSORS: tuple[Tensor, ...] = get_args(Tensor)
_WIDTHS = "weight_widths"


_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_~"
"""One character for each width from 0 to 64 bits."""


@dataclass(frozen=True)
class WeightWidths:
    """Widths of a kernel's weights, finer than one for all of them.

    A weight of `w` bits is a multiple of what the kernel's format leaves with its integer bits and a width of `w`; of 0
    bits it is zero. Each is a value of the kernel's format, so hardware needs no type for it.

    Parameters
    ----------
    shape
        The kernel's shape for a width an element; what broadcasts to it, `(n_outputs,)`, for a width a channel.
    values
        One byte a width, row-major.

    Raises
    ------
    SettingsError
        If there are not as many widths as the shape says, or one is above 64 bits.
    """

    shape: tuple[int, ...]
    values: bytes

    def __post_init__(self) -> None:
        if len(self.values) != int(np.prod(self.shape)) or not self.values:
            raise SettingsError(f"the shape {self.shape} needs as many widths, not {len(self.values)}")
        if max(self.values) >= len(_DIGITS):
            raise SettingsError(f"a width must be 0 to {len(_DIGITS) - 1} bits, not {max(self.values)}")

    @classmethod
    def of(cls, widths: ArrayLike) -> WeightWidths:
        """The widths of an array of whole numbers, 0 to 64; `SettingsError` for others."""
        array = np.asarray(widths)
        if not np.issubdtype(array.dtype, np.integer) or array.size == 0:
            raise SettingsError(
                f"widths must be whole numbers, at least one, not {array.dtype} of {array.shape}"
            )
        if array.min() < 0 or array.max() >= len(_DIGITS):
            worst = array.min() if array.min() < 0 else array.max()
            raise SettingsError(f"a width must be 0 to {len(_DIGITS) - 1} bits, not {worst}")
        return cls(array.shape, array.astype(np.uint8).tobytes())

    @property
    def array(self) -> NDArray[np.int64]:
        """The widths, in their shape."""
        return np.frombuffer(self.values, np.uint8).astype(np.int64).reshape(self.shape)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form: the shape, and one character a width."""
        return {"shape": list(self.shape), "bits": "".join(_DIGITS[value] for value in self.values)}

    @classmethod
    def from_dict(cls, value: Any) -> WeightWidths:
        """The inverse of `to_dict`; `SettingsError` for anything else."""
        if not isinstance(value, Mapping) or set(value) != {"shape", "bits"}:
            raise SettingsError(f"must be a mapping of shape and bits, not {type(value).__name__}")
        shape, bits = value["shape"], value["bits"]
        sizes = isinstance(shape, list) and all(isinstance(n, int) and not isinstance(n, bool) for n in shape)
        if not sizes or not shape or min(shape) < 1:
            raise SettingsError(f"shape: must be whole numbers above 0, not {shape!r}")
        strange = [c for c in bits if c not in _DIGITS] if isinstance(bits, str) else [bits]
        if strange:
            raise SettingsError(
                f"bits: must be a text of one of {_DIGITS} for each width, not {strange[0]!r}"
            )
        return cls(tuple(shape), bytes(_DIGITS.index(character) for character in bits))


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
    weight_widths
        Widths of single weights or channels, none above that of `weight`; ``None`` for its width everywhere.

    Raises
    ------
    SettingsError
        For widths of weights that have no format, or wider ones than it.
    """

    weight: FixedPoint | None = None
    bias: FixedPoint | None = None
    result: FixedPoint | None = None
    accum: FixedPoint | None = None
    weight_widths: WeightWidths | None = None

    def __post_init__(self) -> None:
        if self.weight_widths is None:
            return
        if self.weight is None:
            raise SettingsError("weight_widths: the weights have no format that their widths could narrow")
        widest = int(self.weight_widths.array.max())
        if widest > self.weight.width:
            raise SettingsError(
                f"weight_widths: must be at most the {self.weight.width} bits of weight, not {widest}"
            )

    def on_grid(self, kernel: ArrayLike, layer: str) -> NDArray[Any]:
        """A kernel's values in its format and widths.

        Parameters
        ----------
        kernel
            Floats, of the layer's kernel shape.
        layer
            Its name, for the error.

        Raises
        ------
        SettingsError
            If there is no format, or the widths do not fit the kernel.
        """
        if self.weight is None:
            raise SettingsError(f"layers.{layer}.weight: missing; give the kernel a format", "precision map")
        values = np.asarray(kernel)
        if self.weight_widths is None:
            return self.weight.quantize(values)
        try:
            widths = np.broadcast_to(self.weight_widths.array, values.shape)
        except ValueError:
            raise SettingsError(
                f"layers.{layer}.weight_widths: their shape {self.weight_widths.shape} does not fit the kernel's, "
                f"{values.shape}; give a width for each weight or for each channel of the last axis",
                source="precision map",
            ) from None
        result = np.zeros_like(self.weight.quantize(values))
        for width in np.unique(widths):
            if width:
                chosen = widths == width
                result[chosen] = replace(self.weight, width=int(width)).quantize(values[chosen])
        return result

    def get(self, tensor: Tensor) -> FixedPoint | None:
        """The format of one tensor."""
        return getattr(self, tensor)

    def replaced(self, tensor: Tensor, precision: FixedPoint | None) -> LayerPrecision:
        """A copy with one format changed; another format of the weights has that width for all of them."""
        changes: dict[str, Any] = {tensor: precision}
        if tensor == "weight":
            changes["weight_widths"] = None
        return replace(self, **changes)

    @property
    def mean_weight_width(self) -> float:
        """Of the weights' widths, in bits; 0 without weights."""
        if self.weight_widths is not None:
            return float(self.weight_widths.array.mean())
        return 0 if self.weight is None else self.weight.width

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form of what is set."""
        plain: dict[str, Any] = {
            tensor: str(self.get(tensor)) for tensor in TENSORS if self.get(tensor) is not None
        }
        return plain if self.weight_widths is None else {**plain, _WIDTHS: self.weight_widths.to_dict()}


@dataclass(frozen=True)
class PrecisionMap(Shown):
    """Number formats of the network's input and of every layer, in the network's order.

    Parameters
    ----------
    input
        The format of the only input; ``None`` where there are several: each has its own, the `result` of its layer.
    layers
        The formats by layer name.
    """

    input: FixedPoint | None
    layers: Mapping[str, LayerPrecision]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", MappingProxyType(dict(self.layers)))

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        bits = (
            f"{self.average_bits('weight'):.2f}"
            if any(layer.weight for layer in self.layers.values())
            else ""
        )
        return {
            **({"input": str(self.input)} if self.input is not None else {}),
            "layers": str(len(self.layers)),
            **({"mean weight bits": bits} if bits else {}),
        }

    def tables(self) -> Iterator[TextTable]:
        """A row a layer."""
        rows = [
            (name, *(str(layer.get(tensor) or "") for tensor in TENSORS))
            for name, layer in self.layers.items()
        ]
        yield TextTable("Formats", ("layer", *TENSORS), tuple(rows))

    def to_frame(self) -> DataFrame:
        """A pandas table, a row a tensor: `layer`, `tensor`, `format`, `width`, `integer_bits`, `signed`."""
        import pandas

        rows = [*([] if self.input is None else [("input", "result", self.input)]), *self.items()]
        return pandas.DataFrame(
            [
                (name, tensor, str(given), given.width, given.integer_bits, given.signed)
                for name, tensor, given in rows
            ],
            columns=["layer", "tensor", "format", "width", "integer_bits", "signed"],
        )

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

    def of_input(self, name: str) -> FixedPoint:
        """The format of an input, the only one or one of several; `SettingsError` if there is none."""
        own = self.layers.get(name)
        found = self.input if own is None or own.result is None else own.result
        if found is None:
            raise SettingsError(f"layers.{name}.result: missing; give the input a format", "precision map")
        return found

    def quantize_inputs(self, ports: Sequence[Port], x: np.ndarray) -> np.ndarray:
        """Samples on the grids of their inputs.

        Parameters
        ----------
        ports
            The network's inputs.
        x
            Real numbers `(n_samples, *row_shape(ports))`, see `codesign.core.ports`.

        Returns
        -------
        ndarray
            Of the same shape.
        """
        if len(ports) == 1:
            return np.asarray(self.of_input(ports[0].name).quantize(x))
        parts = apart(ports, x)
        return side_by_side(
            [
                np.asarray(self.of_input(port.name).quantize(part))
                for port, part in zip(ports, parts, strict=True)
            ]
        )

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
        """The mean width of one kind of tensor over the layers that have it, in bits; of weights, over each layer's."""
        widths = [
            precision.width if tensor != "weight" else self.layers[name].mean_weight_width
            for name, kind, precision in self.items()
            if kind == tensor
        ]
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
            "input": None if self.input is None else str(self.input),
            "layers": {name: layer.to_dict() for name, layer in self.layers.items()},
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
        if len(faults) > len(known):
            raise SettingsError(f"is no precision map: it has {', '.join(list(value)[:4])}, ...", source)
        faults += [f"{key}: missing" for key in known if key not in value]
        own = value.get("input")
        input_precision = None if own is None else _parse("input", own, faults)
        given = value.get("layers", {})
        if not isinstance(given, Mapping):
            faults.append(f"layers: must be a mapping of layers, not {type(given).__name__}")
            given = {}
        layers = {name: _parse_layer(f"layers.{name}", tensors, faults) for name, tensors in given.items()}
        if faults:
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
    known = (*TENSORS, _WIDTHS)
    unknown = [key for key in tensors if key not in known]
    faults += [f"{path}.{key}: unknown tensor; known are {', '.join(known)}" for key in unknown]
    formats = {key: _parse(f"{path}.{key}", text, faults) for key, text in tensors.items() if key in TENSORS}
    try:
        widths = WeightWidths.from_dict(tensors[_WIDTHS]) if _WIDTHS in tensors else None
    except SettingsError as error:
        faults += [f"{path}.{_WIDTHS}: {fault}" for fault in error.faults]
        return LayerPrecision()
    try:
        return LayerPrecision(**formats, weight_widths=widths)
    except SettingsError as error:
        faults += [f"{path}.{fault}" for fault in error.faults]
        return LayerPrecision()
