"""The table of costs adds up to the totals, and counts zeros and bits."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.cost import bops_of, ebops_of, layer_costs, sparsity, weight_bits_of
from codesign.errors import DataError


def test_the_table_adds_up(chain):
    costs = layer_costs(chain.shapes, chain.precision, chain.kernels)
    assert [cost.name for cost in costs] == ["fc0", "fc1", "fc2"]
    assert sum(cost.bops for cost in costs) == pytest.approx(
        bops_of(chain.shapes, chain.precision, chain.kernels)
    )
    assert sum(cost.ebops for cost in costs) == ebops_of(chain.shapes, chain.precision, chain.kernels)
    assert sum(cost.memory_bits for cost in costs) == weight_bits_of(chain.shapes, chain.precision)
    assert weight_bits_of(chain.shapes, chain.precision) == 6 * (16 * 12 + 12 * 8 + 8 * 5)


def test_zeros_are_those_of_the_rounded_weights(chain):
    rounded = {name: chain.precision[name].weight.quantize(kernel) for name, kernel in chain.kernels.items()}
    costs = layer_costs(chain.shapes, chain.precision, chain.kernels)
    for cost in costs:
        assert cost.sparsity == np.mean(rounded[cost.name] == 0)
    assert sparsity(rounded) == sum(cost.n_zeros for cost in costs) / sum(cost.n_weights for cost in costs)
    assert sparsity(rounded) > sparsity(chain.kernels)


def test_no_values_have_no_sparsity():
    with pytest.raises(DataError, match=r"^kernels must hold at least one value for a sparsity, not none$"):
        sparsity({})
