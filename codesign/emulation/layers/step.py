"""The form that every layer takes once it is planned."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass

from codesign.core.shown import Brief
from codesign.emulation.batches import Buffers
from codesign.emulation.cast import Cast, Tally, Tensor
from codesign.emulation.codes import Arithmetic, Array, Signal
from codesign.hls.graph import Graph, Node

Tallies = MutableMapping[Tensor, Tally]


@dataclass(frozen=True, eq=False)
class Step(Brief):
    """A layer that is ready to run.

    Parameters
    ----------
    node
        The layer.
    signal
        What is known of its result.
    arithmetic
        The widest number type that it computes in.
    """

    node: Node
    signal: Signal
    arithmetic: Arithmetic

    @abstractmethod
    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes `(n, *shape)` of the result from those of the inputs, which are left as they are."""


Planner = Callable[[Node, Sequence[Signal], Graph], Step]
"""Plans a node from what is known of its inputs."""


def result_signal(node: Node, cast: Cast) -> Signal:
    """Describe the result of a layer that ends with the assignment `cast`."""
    return Signal(
        cast.fraction, cast.low, cast.high, node.result, "result" in node.attributes["integer_types"]
    )


def tally_of(tallies: Tallies | None, tensor: Tensor) -> Tally | None:
    """The running count of a tensor, begun if need be."""
    return None if tallies is None else tallies.setdefault(tensor, Tally())
