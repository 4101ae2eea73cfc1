"""How long work tells where it is: library code calls a `Progress`, only the command line draws one."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of long work."""

    def step(self, what: str, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` steps of `what` are finished; `note` is a short remark (``val 0.971``)."""


class Silent:
    """Takes progress and shows nothing."""

    def step(self, what: str, done: int, total: int, note: str = "") -> None:
        """Do nothing."""


SILENT = Silent()
