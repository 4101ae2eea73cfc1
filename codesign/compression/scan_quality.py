"""The quality that a scan measures, the user's own included: what it returns is checked."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass

import numpy as np

from codesign.errors import ScanError
from codesign.settings import ScanSettings
from codesign.training.evaluate import QUALITIES, Quality


@dataclass(frozen=True)
class CheckedQuality:
    """A quality whose faults are told in a sentence.

    Parameters
    ----------
    name
        What messages call it.
    function
        `(labels, logits) -> quality`, higher is better; labels int64 `(n_samples,)`, logits `(n_samples, n_outputs)`.
    """

    name: str
    function: Quality

    @classmethod
    def of(cls, settings: ScanSettings, given: Quality | None) -> CheckedQuality:
        """The user's function, or else the one that the settings name."""
        if given is None:
            return cls(settings.quality, QUALITIES[settings.quality])
        return cls(getattr(given, "__qualname__", type(given).__name__), given)

    @property
    def key(self) -> str:
        """Tells one quality from another between runs: the name, and a function's source where it can be read."""
        if self.function in QUALITIES.values():
            return self.name
        try:
            return f"{self.name}\n{inspect.getsource(self.function)}"
        except (OSError, TypeError):
            return self.name

    def __call__(self, labels: np.ndarray, logits: np.ndarray) -> float:
        """Measure.

        Raises
        ------
        ScanError
            If the function raises, or returns no finite number.
        """
        try:
            value = self.function(labels, logits)
        except Exception as error:
            raise ScanError(
                f"the quality {self.name!r} raised {type(error).__name__} on {len(labels)} samples with logits of shape "
                f"{logits.shape}: {error}; it takes (labels, logits) and returns a number"
            ) from error
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ScanError(
                f"the quality {self.name!r} must return a number, not {value!r} ({type(value).__name__})"
            ) from None
        if not math.isfinite(number):
            raise ScanError(
                f"the quality {self.name!r} is {number} on {len(labels)} samples; it must be finite: check that every "
                "class has samples in the validation part"
            )
        return number
