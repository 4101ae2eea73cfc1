"""What a teacher computed, kept on disk: found by the digests of what it was computed from, checked by its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codesign.core.files import arrays_digest, json_digest, write_arrays

Arrays = dict[str, np.ndarray]

_DIGEST, _KEY = "_digest", "_key"


@dataclass(frozen=True)
class OutputCache:
    """A folder of arrays.

    Parameters
    ----------
    folder
        Made when something is kept first. Removing it, or any file of it, costs only time.
    """

    folder: Path

    def arrays(self, key: Mapping[str, str], compute: Callable[[], Mapping[str, np.ndarray]]) -> Arrays:
        """The arrays that `key` stands for: from the folder if they are there and whole, else computed and kept.

        Parameters
        ----------
        key
            Digests and names of all that decides the arrays.
        compute
            Makes them.
        """
        path = self.path(key)
        found = _kept_arrays(path, key)
        if found is None:
            found = dict(compute())
            text = np.array(_key_text(key))
            write_arrays(path, {**found, _DIGEST: np.array(arrays_digest(found)), _KEY: text})
        return found

    def path(self, key: Mapping[str, str]) -> Path:
        """Where the arrays of a key are kept."""
        return self.folder / f"{json_digest(dict(key))[:32]}.npz"


def cached_arrays(
    cache: OutputCache | None, key: Mapping[str, str], compute: Callable[[], Mapping[str, np.ndarray]]
) -> Arrays:
    """`OutputCache.arrays`, or just the computation where there is no cache."""
    return dict(compute()) if cache is None else cache.arrays(key, compute)


def _key_text(key: Mapping[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in sorted(key.items()))


def _kept_arrays(path: Path, key: Mapping[str, str]) -> Arrays | None:
    """What was kept, or ``None`` if nothing was, or it is damaged."""
    try:
        # opened here: NumPy leaves a damaged archive open
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        digest, kept_for = str(arrays.pop(_DIGEST)), str(arrays.pop(_KEY))
    except Exception:  # a damaged archive can raise anything
        return None
    return arrays if digest == arrays_digest(arrays) and kept_for == _key_text(key) else None
