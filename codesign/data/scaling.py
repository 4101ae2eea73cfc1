"""Scaling of the features, fitted on the train part only, invertible and storable."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from codesign.core.text_table import counted
from codesign.errors import DataError

ScalingKind = Literal["none", "standard", "minmax", "shift", "divisor"]

FITTED = ("standard", "minmax", "shift")
"""Kinds that look at the train part."""

_WITHIN = 99.8
"""Percent of a feature's values that count as nearly all."""

_BLOCK_ROWS = 65_536
"""Rows scaled at once: bounds the float64 copy that the arithmetic needs."""


@dataclass(frozen=True)
class Scaling:
    """The map `scaled = (raw - offset) / divisor`, for each feature or for all alike.

    Parameters
    ----------
    kind
        `none`; `standard`: mean 0 and standard deviation 1 on the train part; `minmax`: 0 to 1 on the train
        part; `shift`: mean 0 and a power of two for each feature, which firmware divides by without an adder, the least one
        that leaves 998 of 1,000 train values (and the deviation) between -1 and 1, so that no feature wastes bits of
        the inputs' format; `divisor`: divided by a constant (16 puts the digits' grey values on a grid of 1/16).
    offset
        In raw units: one for each feature, or a single one for all.
    divisor
        In raw units, finite and not zero: as many as `offset`.

    Raises
    ------
    DataError
        For an unknown kind, or numbers that cannot be inverted.
    """

    kind: ScalingKind
    offset: tuple[float, ...] = (0.0,)
    divisor: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.kind not in get_args(ScalingKind):
            raise DataError(f"scaling must be one of {', '.join(get_args(ScalingKind))}, not {self.kind!r}")
        object.__setattr__(self, "offset", tuple(float(number) for number in self.offset))
        object.__setattr__(self, "divisor", tuple(float(number) for number in self.divisor))
        if len(self.offset) != len(self.divisor) or not self.offset:
            raise DataError(
                f"scaling needs as many offsets as divisors, not {len(self.offset)} and {len(self.divisor)}"
            )
        for index, (offset, divisor) in enumerate(zip(self.offset, self.divisor, strict=True)):
            if not math.isfinite(offset) or not math.isfinite(divisor) or divisor == 0:
                raise DataError(
                    f"scaling cannot be inverted at feature {index}: offset {offset}, divisor {divisor}; "
                    f"both must be finite and the divisor not zero"
                )

    @classmethod
    def fit(cls, choice: str | float | Scaling, x_train: np.ndarray) -> Scaling:
        """Fit a scaling on the train part.

        Parameters
        ----------
        choice
            `none`, `standard`, `minmax` or `shift`; a number to divide by; or a fitted scaling, used as it is.
        x_train
            Raw features, shape `(n_samples, *features)`, finite.

        Returns
        -------
        Scaling
            A feature that is constant on the train part becomes 0 (its divisor is 1, never 0).

        Raises
        ------
        DataError
            For any other choice, or a fitted scaling of another number of features.
        """
        flat = x_train.reshape(len(x_train), -1)
        if isinstance(choice, Scaling):
            choice._require_features(flat.shape[1])
            return choice
        if isinstance(choice, numbers.Real) and not isinstance(choice, bool):
            return cls("divisor", (0.0,), (float(choice),))
        if choice == "none":
            return cls("none")
        if choice not in FITTED:
            raise DataError(
                f"scaling must be none, {', '.join(FITTED)}, a number to divide by, or a Scaling, not {choice!r}"
            )
        low, high = flat.min(axis=0).astype(np.float64), flat.max(axis=0).astype(np.float64)
        if choice == "minmax":
            offset, spread = low, high - low
        else:
            offset, spread = flat.mean(axis=0, dtype=np.float64), flat.std(axis=0, dtype=np.float64)
        if choice == "shift":
            spread = _power_of_two_around(flat, offset, spread)
        constant = (low == high) | (spread == 0)
        # the rounded mean of equal numbers may differ from them in the last bit: take the number itself
        offset = np.where(constant, low, offset)
        spread = np.where(constant, 1.0, spread)
        return cls(choice, tuple(offset.tolist()), tuple(spread.tolist()))  # type: ignore[arg-type]

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Scale raw features.

        Parameters
        ----------
        x
            Raw features, shape `(n_samples, *features)`.

        Returns
        -------
        numpy.ndarray
            float32 of the same shape, computed in float64.

        Raises
        ------
        DataError
            If the number of features is not the one it was fitted on.
        """
        x = np.asarray(x)
        n_features = math.prod(x.shape[1:])
        self._require_features(n_features)
        scaled = np.empty((len(x), n_features), dtype=np.float32)
        flat, offset, divisor = x.reshape(scaled.shape), np.array(self.offset), np.array(self.divisor)
        for start in range(0, len(x), _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            with np.errstate(over="ignore"):  # an overflow is found and located by the checks of `Dataset`
                scaled[rows] = (flat[rows].astype(np.float64) - offset) / divisor
        return scaled.reshape(x.shape)

    def inverse(self, x: np.ndarray) -> np.ndarray:
        """Turn scaled features back into the units of the source.

        Parameters
        ----------
        x
            Scaled features, shape `(n_samples, *features)`.

        Returns
        -------
        numpy.ndarray
            float64 of the same shape.

        Raises
        ------
        DataError
            If the number of features is not the one it was fitted on.
        """
        x = np.asarray(x, dtype=np.float64)
        n_features = math.prod(x.shape[1:])
        self._require_features(n_features)
        flat = x.reshape(len(x), n_features)
        return (flat * np.array(self.divisor) + np.array(self.offset)).reshape(x.shape)

    def to_json(self) -> dict[str, Any]:
        """Everything needed to build it again, as plain JSON values."""
        return {"kind": self.kind, "offset": list(self.offset), "divisor": list(self.divisor)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Scaling:
        """Build the scaling that `to_json` described."""
        return cls(value["kind"], tuple(value["offset"]), tuple(value["divisor"]))

    def _require_features(self, n_features: int) -> None:
        if len(self.offset) not in (1, n_features):
            raise DataError(
                f"the scaling was fitted on {counted(len(self.offset), 'feature')}, the data have {n_features}; "
                f"use data of the same form"
            )


def reach(x: np.ndarray) -> np.ndarray:
    """What the magnitudes of nearly all values of each feature are within: what is rarer may saturate.

    Parameters
    ----------
    x
        Shape `(n_samples, n_features)`.

    Returns
    -------
    numpy.ndarray
        Shape `(n_features,)`.
    """
    return np.percentile(np.abs(x), _WITHIN, axis=0)


def _power_of_two_around(flat: np.ndarray, offset: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """The least power of two that nearly all of a feature's values are within, of as many rows as memory likes."""
    rows = flat[:: max(1, len(flat) // _BLOCK_ROWS)]
    wide = np.maximum(reach(rows - offset), deviation)  # what is nearly always 0 has no such percentile
    return np.exp2(np.ceil(np.log2(np.where(wide > 0, wide, 1.0))))
