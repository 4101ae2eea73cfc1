"""Many candidates on the same data: only what changed is computed again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from codesign.emulation.batches import Buffers, run_in_batches
from codesign.emulation.codes import Array, Signal
from codesign.emulation.emulator import Emulator, execute, values_of
from codesign.emulation.layers.linear import ProductStep
from codesign.emulation.layers.step import Step

_COMPACT = (np.int8, np.uint8, np.int16, np.uint16, np.int32)


class Session:
    """A data set that candidates of one network are run on.

    Results of layers are kept by what they were computed from, so that a candidate starts at its first layer
    that differs from the candidate that was kept.

    Parameters
    ----------
    x
        Real numbers `(n_samples, *input_shape)`, as `Emulator.run` takes them.
    memory_bytes
        How much may be kept.
    threads
        How many batches to work on at once; as many as there are processors if not given.
    """

    def __init__(
        self,
        x: np.ndarray | Sequence[np.ndarray],
        *,
        memory_bytes: int = 1 << 30,
        threads: int | None = None,
    ) -> None:
        self._x = x
        self._memory_bytes = memory_bytes
        self._threads = threads
        self._kept: dict[str, Array] = {}

    @property
    def kept_bytes(self) -> int:
        """How much is kept now."""
        return sum(codes.nbytes for codes in self._kept.values())

    def run(self, emulator: Emulator, *, keep: bool = False) -> Any:
        """Compute the outputs of a candidate, bit for bit as `Emulator.run`.

        Parameters
        ----------
        emulator
            The candidate.
        keep
            Whether to keep the results of its layers for the candidates to come, in place of those that were
            kept before. Quantized inputs are always kept.

        Returns
        -------
        ndarray or list of ndarray
            float64 `(n_samples, *output_shape)`; a list if there are several outputs.

        Raises
        ------
        DataError
            Inputs that do not fit the network.
        """
        inputs = dict(zip(emulator.graph.inputs, emulator.check_inputs(self._x), strict=True))
        n_samples = len(next(iter(inputs.values())))
        outputs, signals = list(dict.fromkeys(emulator.graph.outputs)), emulator.signals
        keys = _keys(emulator)
        if keep:
            self._kept = {key: codes for key, codes in self._kept.items() if key in set(keys.values())}
        steps, loaded = _to_run(emulator, keys, self._kept)
        stored = {
            name: _room(signals[name], n_samples) for name in self._storable(steps, signals, n_samples, keep)
        }
        results = {name: np.empty((n_samples, *signals[name].shape)) for name in outputs}
        wanted = list(dict.fromkeys((*outputs, *stored)))
        given = {step.node.name: inputs[step.node.name] for step in steps if step.node.name in inputs}

        def work(batch: slice, buffers: Buffers) -> None:
            start = {name: array[batch] for name, array in given.items()}
            start.update(
                {name: _load(codes[batch], signals[name], name, buffers) for name, codes in loaded.items()}
            )
            for name, codes in execute(steps, start, wanted, buffers=buffers).items():
                if name in stored:
                    stored[name][batch] = codes
                if name in results:
                    values_of(codes, signals[name], out=results[name][batch])

        run_in_batches(n_samples, emulator.batch_size, work, self._threads)
        self._kept.update({keys[name]: codes for name, codes in stored.items()})
        ordered = [results[name] for name in emulator.graph.outputs]
        return ordered[0] if len(ordered) == 1 else ordered

    def _storable(
        self, steps: Sequence[Step], signals: Mapping[str, Signal], n_samples: int, keep: bool
    ) -> list[str]:
        """Choose the layers to keep: quantized inputs, then what sums of products start from, then the rest."""
        sources = {name for step in steps if isinstance(step, ProductStep) for name in step.node.inputs}
        names = [step.node.name for step in steps if step.node.kind == "input"]
        if keep:
            others = [step.node.name for step in steps if step.node.kind != "input"]
            names += sorted(others, key=lambda name: name not in sources)
        chosen, room = [], self._memory_bytes - self.kept_bytes
        for name in names:
            size = n_samples * signals[name].low.size * _compact(signals[name]).itemsize
            if signals[name].arithmetic != "object" and size <= room:
                chosen.append(name)
                room -= size
        return chosen


def _keys(emulator: Emulator) -> dict[str, str]:
    """For each layer a digest of all that its result depends on, besides the data."""
    keys: dict[str, str] = {}
    for node in emulator.graph:
        parts = [emulator.graph.io_type, node.digest, *(keys[name] for name in node.inputs)]
        if node.kind == "input":
            parts.append(str(emulator.graph.inputs.index(node.name)))
        keys[node.name] = hashlib.sha256("|".join(parts).encode()).hexdigest()
    return keys


def _to_run(
    emulator: Emulator, keys: Mapping[str, str], kept: Mapping[str, Array]
) -> tuple[list[Step], dict[str, Array]]:
    """The layers to compute, in order, and what is kept of the layers that they start from."""
    needed, loaded = set(emulator.graph.outputs), {}
    steps: list[Step] = []
    for step in reversed(emulator.steps):
        name = step.node.name
        if name not in needed:
            continue
        if keys[name] in kept:
            loaded[name] = kept[keys[name]]
        else:
            steps.append(step)
            needed.update(step.node.inputs)
    return steps[::-1], loaded


def _compact(signal: Signal) -> np.dtype[Any]:
    """The type of fewest bytes that holds a layer's codes."""
    low, high = float(signal.low.min()), float(signal.high.max())
    for kind in _COMPACT:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.dtype(kind)
    return np.dtype(signal.arithmetic)


def _room(signal: Signal, n_samples: int) -> Array:
    return np.empty((n_samples, *signal.shape), dtype=_compact(signal))


def _load(codes: Array, signal: Signal, name: str, buffers: Buffers) -> Array:
    out = buffers.array(name, "kept", codes.shape, signal.arithmetic)
    np.copyto(out, codes, casting="unsafe")
    return out
