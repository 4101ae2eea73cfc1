"""How long work tells where it is: library code calls a `Progress`, only the command line draws one."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

from codesign.core.interrupt import stop_if_asked

NO_VALUES: Mapping[str, float] = MappingProxyType({})

_log = logging.getLogger("codesign.progress")
_EVERY_S = 10.0


class Progress(ABC):
    """Receives the progress of long work; what derives from it says in `show` what becomes of a step.

    Every step is where work heeds Ctrl-C and SIGTERM, whoever receives it.
    """

    def step(
        self, what: str, done: int, total: int, note: str = "", values: Mapping[str, float] = NO_VALUES
    ) -> None:
        """Say that `done` of `total` steps of `what` are finished.

        Parameters
        ----------
        what
            The work: ``flow``, ``teacher``, ``scan``, ...
        done, total
            Steps: epochs, trials, layers.
        note
            A short remark for people (``loss 0.12, validation 0.971``).
        values
            What was measured at this step, by name, for programs: an epoch's losses and qualities.

        Raises
        ------
        KeyboardInterrupt
            If a signal came, also if its own exception was lost.
        """
        stop_if_asked()
        self.show(what, done, total, note, values)

    @abstractmethod
    def show(self, what: str, done: int, total: int, note: str, values: Mapping[str, float]) -> None:
        """Show a step, write it, or pass it on."""


class Silent(Progress):
    """Shows nothing; Python's logging gets it at level INFO, of ``codesign.progress``, at most every ten seconds a work."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def show(self, what: str, done: int, total: int, note: str, values: Mapping[str, float]) -> None:
        """Log the first and the last step, and what comes long enough after the one before."""
        now = time.monotonic()
        if done in (0, total) or what not in self._last or now - self._last[what] > _EVERY_S:
            self._last[what] = now
            _log.info("%s: %d of %d%s", what, done, total, f", {note}" if note else "")


class Several(Progress):
    """Passes progress on to several."""

    def __init__(self, *receivers: Progress) -> None:
        self._receivers = receivers

    def show(self, what: str, done: int, total: int, note: str, values: Mapping[str, float]) -> None:
        """Tell each."""
        for receiver in self._receivers:
            receiver.step(what, done, total, note, values)


SILENT = Silent()
