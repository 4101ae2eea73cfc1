"""What a reference computes in every layer, under the names that the hardware has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from codesign.core.shown import Brief


@dataclass(frozen=True, eq=False)
class LayerTrace(Brief):
    """The results of a reference, layer by layer.

    Parameters
    ----------
    values
        By the hardware's layer name: float arrays `(n_samples, *output_shape)`. A layer without a counterpart in
        the reference is left out.
    merged
        By the hardware's layer name: the class names of the reference's layers that the hardware computes in this
        one, for example ``("QDense", "BatchNormalization")``.
    weights
        By the hardware's layer name and tensor (``weight``, ``bias``): the values that the reference multiplies
        with, after its own quantizers; empty where they are not known.
    """

    values: Mapping[str, np.ndarray]
    merged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
