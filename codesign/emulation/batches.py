"""Batches of samples, spread over the processor's cores, and their arrays, used again from batch to batch."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from itertools import count
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from codesign.emulation.codes import Array

_MOST_THREADS = 8


def batches(n_samples: int, size: int) -> list[slice]:
    """Cut samples into batches of `size`; the last may be smaller."""
    return [slice(start, min(start + size, n_samples)) for start in range(0, n_samples, size)]


def run_in_batches(
    n_samples: int, size: int, work: Callable[[slice, Buffers], object], threads: int | None = None
) -> None:
    """Call `work` for each batch, with arrays of its own thread.

    Parameters
    ----------
    n_samples, size
        How many samples there are, and in a batch.
    work
        Called with the batch and a place for arrays; only NumPy's own work runs side by side.
    threads
        How many batches to work on at once; as many as there are processors if not given.
    """
    cut = batches(n_samples, size)
    number = max(1, min(threads if threads is not None else _processors(), len(cut)))
    tickets = count()

    def worker() -> None:
        buffers = Buffers()
        while (ticket := next(tickets)) < len(cut):
            work(cut[ticket], buffers)

    with _one_blas_thread():
        if number == 1:
            worker()
            return
        with ThreadPoolExecutor(number) as pool:
            for done in [pool.submit(worker) for _ in range(number)]:
                done.result()


def _processors() -> int:
    """How many processors this process may use, at most `_MOST_THREADS`."""
    allowed = getattr(os, "sched_getaffinity", None)  # not every system has it
    return min(_MOST_THREADS, len(allowed(0)) if allowed else os.cpu_count() or 1)


def _one_blas_thread() -> AbstractContextManager[Any]:
    """Keep each small matrix product on one core; the batches fill the others."""
    limit: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limit


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


class Buffers:
    """A place for the arrays of one batch; each use of a name overwrites what it held."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, str], Array] = {}

    def array(self, layer: str, role: str, shape: tuple[int, ...], dtype: str | np.dtype) -> Array:
        """An uninitialised array `shape` whose first axis may vary between calls."""
        known = self._arrays.get((layer, role))
        if known is None or known.shape[1:] != shape[1:] or known.dtype != dtype or len(known) < shape[0]:
            known = np.empty(shape, dtype)
            self._arrays[layer, role] = known
        return known[: shape[0]]


def buffer_of(
    buffers: Buffers | None, layer: str, role: str, shape: tuple[int, ...], dtype: str
) -> Array | None:
    """A buffer, or ``None`` to let NumPy make an array: without a place, or for Python integers."""
    return None if buffers is None or dtype == "object" else buffers.array(layer, role, shape, dtype)
