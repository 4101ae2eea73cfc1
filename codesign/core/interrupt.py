"""Ctrl-C and SIGTERM that nothing swallows.

An exception that arrives while Python runs a destructor or a callback of C code is printed and lost, and the work goes on. So
the signal leaves a mark as well, and long work (training, scans, stages, running tools) asks for it with `stop_if_asked`.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_asked = False


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Take Ctrl-C and SIGTERM meanwhile; those that this process was told to ignore stay ignored."""
    global _asked
    _asked = False
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(number, _take)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that is not of Python
                signal.signal(number, handler)
        _asked = False


def _take(number: int, frame: FrameType | None) -> None:
    # the first one and every later one ends what runs at this moment
    global _asked
    _asked = True
    raise KeyboardInterrupt


def stop_if_asked() -> None:
    """Raise `KeyboardInterrupt` if a signal came, also if its own exception was lost."""
    if _asked:
        raise KeyboardInterrupt
