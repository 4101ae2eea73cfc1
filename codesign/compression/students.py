"""What every trained float student offers to the stages after it."""

from __future__ import annotations

from typing import Protocol

from codesign.core.record import Record
from codesign.networks.description import Network


class AnyStudent(Protocol):
    """A distilled or a pruned student."""

    @property
    def network(self) -> Network:
        """Layers and weights."""
        ...

    @property
    def record(self) -> Record:
        """The stage's evidence."""
        ...
