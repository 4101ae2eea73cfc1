from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import pytest

from codesign.errors import DataError

# column order of OpenML 42468, hls4ml_lhc_jets_hlf
JET_FEATURES = [
    "zlogz",
    "c1_b0_mmdt",
    "c1_b1_mmdt",
    "c1_b2_mmdt",
    "c2_b1_mmdt",
    "c2_b2_mmdt",
    "d2_b1_mmdt",
    "d2_b2_mmdt",
    "d2_a1_b1_mmdt",
    "d2_a1_b2_mmdt",
    "m2_b1_mmdt",
    "m2_b2_mmdt",
    "n2_b1_mmdt",
    "n2_b2_mmdt",
    "mass_mmdt",
    "multiplicity",
]
JET_CLASSES = ["g", "q", "t", "w", "z"]


@pytest.fixture
def jets_frame() -> pandas.DataFrame:
    """100 jets of the form of OpenML 42468: 16 features and a `class` column of letters."""
    random = np.random.default_rng(1)
    frame = pandas.DataFrame(random.normal(size=(100, 16)), columns=JET_FEATURES)
    frame["mass_mmdt"] = random.uniform(0, 200, 100)
    frame["multiplicity"] = random.integers(5, 120, 100).astype(float)
    frame["class"] = random.permutation(np.repeat(JET_CLASSES, 20))
    return frame


@pytest.fixture
def refusal() -> Callable[..., str]:
    """The sentence of the `DataError` that a call ends with."""

    def call(function: Callable[..., Any], *args: Any, **options: Any) -> str:
        with pytest.raises(DataError) as caught:
            function(*args, **options)
        return str(caught.value)

    return call
