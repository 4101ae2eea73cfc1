"""Which values of a network wrap, saturate or vanish, for given inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.core.shown import Brief
from codesign.emulation.batches import Buffers, run_in_batches
from codesign.emulation.cast import TENSORS, Tally, Tensor, count_assignment
from codesign.emulation.emulator import Emulator, execute
from codesign.emulation.layers.softmax import LEGACY_TABLE
from codesign.emulation.layers.step import Tallies
from codesign.hls.graph import Node

_TENSORS_OF: Mapping[Tensor, tuple[str, ...]] = {
    "weight": ("weight", "recurrent_weight", "scale", "param", "embeddings"),
    "bias": ("bias", "recurrent_bias"),
}
_WEIGHTS: Mapping[str, Tensor] = {
    f"{direction}{name}": tensor
    for direction in ("", "forward_", "backward_")
    for tensor, names in _TENSORS_OF.items()
    for name in names
}


@dataclass(frozen=True)
class TensorOverflow:
    """The count of one tensor of one layer; the fields are those of `Tally`."""

    layer: str
    tensor: Tensor
    precision: str
    values: int
    wrapped: int
    saturated: int
    lost: int

    @property
    def clean(self) -> bool:
        """Whether nothing wrapped and nothing saturated."""
        return not self.wrapped and not self.saturated

    def to_dict(self) -> dict[str, Any]:
        """Give the fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class OverflowReport(Brief):
    """What overflowed in a network for some inputs.

    Parameters
    ----------
    samples
        How many samples were run.
    tensors
        One count for each tensor that is assigned to a type, in the network's order. Weights and biases are
        counted once, the others over all samples.
    """

    samples: int
    tensors: tuple[TensorOverflow, ...]

    def __iter__(self) -> Iterator[TensorOverflow]:
        return iter(self.tensors)

    @property
    def wrapped(self) -> int:
        """All values that wrapped."""
        return sum(tensor.wrapped for tensor in self.tensors)

    @property
    def saturated(self) -> int:
        """All values that saturated."""
        return sum(tensor.saturated for tensor in self.tensors)

    @property
    def lost(self) -> int:
        """All values that became zero without being zero."""
        return sum(tensor.lost for tensor in self.tensors)

    def of(self, layer: str, tensor: Tensor) -> TensorOverflow:
        """One count; `KeyError` names those there are."""
        for row in self.tensors:
            if (row.layer, row.tensor) == (layer, tensor):
                return row
        known = ", ".join(f"{row.layer}/{row.tensor}" for row in self.tensors)
        raise KeyError(f"nothing was counted for {layer}/{tensor}; counted were {known}")

    def to_dict(self) -> dict[str, Any]:
        """Give JSON values."""
        return {"samples": self.samples, "tensors": [row.to_dict() for row in self.tensors]}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> OverflowReport:
        """Read what `to_dict` gave."""
        return cls(value["samples"], tuple(TensorOverflow(**row) for row in value["tensors"]))

    def to_rows(self, *, only_events: bool = False) -> list[dict[str, Any]]:
        """Give one flat row for each tensor, for a table; with `only_events` only those where something happened."""
        return [
            row.to_dict()
            for row in self.tensors
            if not only_events or row.wrapped or row.saturated or row.lost
        ]


def count_overflows(
    emulator: Emulator, x: np.ndarray | Sequence[np.ndarray], *, batch_size: int | None = None
) -> OverflowReport:
    """Count, for each tensor, the values that wrapped, saturated or lost all their bits.

    Parameters
    ----------
    emulator
        The network.
    x
        Real numbers `(n_samples, *input_shape)`; a sequence of such arrays if there are several inputs.
    batch_size
        How many samples to hold at a time; chosen to fit the processor's cache if not given.

    Returns
    -------
    OverflowReport
        Inputs, accumulators and results over all samples; weights and biases once, against their sources. An
        accumulator of AP_WRAP counts as wrapped if its final sum is out of range (on the way it may leave the
        range and come back); a saturating one if any partial sum is.

    Raises
    ------
    DataError
        Inputs that do not fit the network.
    """
    arrays = emulator.check_inputs(x)
    tallies: dict[str, Tallies] = {node.name: {} for node in emulator.graph}

    def work(batch: slice, buffers: Buffers) -> None:
        given = dict(zip(emulator.graph.inputs, (array[batch] for array in arrays), strict=True))
        execute(emulator.steps, given, emulator.graph.outputs, tallies)

    run_in_batches(len(arrays[0]), batch_size or emulator.batch_size, work, threads=1)
    for node in emulator.graph:
        for name, source in node.sources.items():
            tally = tallies[node.name].setdefault(_WEIGHTS[name], Tally())
            count_assignment(source, node.types[name], tally)
    rows = (row for node in emulator.graph for row in _rows(node, tallies[node.name]))
    return OverflowReport(len(arrays[0]), tuple(rows))


def _rows(node: Node, tallies: Tallies) -> Iterator[TensorOverflow]:
    for tensor in TENSORS:
        if tensor in tallies:
            precision = _type_of(node, tensor)
            yield TensorOverflow(node.name, tensor, str(precision), **vars(tallies[tensor]))


def _type_of(node: Node, tensor: Tensor) -> FixedPoint:
    if tensor == "accumulator":
        return LEGACY_TABLE if node.attributes.get("implementation") == "legacy" else node.types["accum"]
    if tensor in ("weight", "bias"):
        return next(
            node.types[name] for name, kind in _WEIGHTS.items() if kind == tensor and name in node.sources
        )
    return node.result
