"""Networks to count."""

from __future__ import annotations

import pytest
from cost_chains import Chain, dense_shapes, make_chain

from codesign.cost import LayerShape


@pytest.fixture
def jets() -> tuple[LayerShape, ...]:
    """The network that the literature counts: 16-64-32-32-5."""
    return dense_shapes((16, 64, 32, 32, 5))


@pytest.fixture
def chain() -> Chain:
    return make_chain((16, 12, 8, 5), bits=6, density=0.7)
