"""The table of costs adds up to the totals, and counts zeros and bits."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap, WeightWidths
from codesign.cost import LayerShape, bops_of, ebops_of, layer_costs, sparsity, weight_bits_of
from codesign.cost.layer_shape import hull, live_weight_width
from codesign.errors import DataError


def test_the_table_adds_up(chain):
    costs = layer_costs(chain.shapes, chain.precision, chain.kernels)
    assert [cost.name for cost in costs] == ["fc0", "fc1", "fc2"]
    assert sum(cost.bops for cost in costs) == pytest.approx(
        bops_of(chain.shapes, chain.precision, chain.kernels)
    )
    assert sum(cost.ebops for cost in costs) == ebops_of(chain.shapes, chain.precision, chain.kernels)
    assert sum(cost.n_weights * cost.weight_bits for cost in costs) == weight_bits_of(
        chain.shapes, chain.precision
    )
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


def test_the_table_knows_the_bits_that_a_layer_reads(chain):
    costs = layer_costs(chain.shapes, chain.precision, chain.kernels)
    assert [cost.input_bits for cost in costs] == [6, 6, 6]
    assert [cost.weight_bits for cost in costs] == [6, 6, 6]


def test_weights_of_no_width_do_not_count_in_the_mean_width():
    shape = LayerShape("fc", "dense", 2, 2)
    weight = FixedPoint(6, 1)

    def width(widths: list[list[int]] | None) -> float:
        given = None if widths is None else WeightWidths.of(widths)
        precision = PrecisionMap(FixedPoint(6, 2), {"fc": LayerPrecision(weight, weight_widths=given)})
        return live_weight_width(shape, precision)

    assert width(None) == 6
    assert width([[0, 0], [0, 0]]) == 6
    assert width([[0, 1], [2, 6]]) == 3


def test_the_hull_holds_signed_and_unsigned_values():
    a, b = FixedPoint(4, 2, False), FixedPoint(6, 1, True)
    assert hull([a, b]) == FixedPoint(8, 3, True)
    assert hull([a, FixedPoint(3, 3, False)]) == FixedPoint(5, 3, False)
    saturating = FixedPoint(4, 2, True, "RND", "SAT")
    assert hull([saturating, saturating]) == saturating
    for value in (a.maximum, a.minimum, a.step, b.minimum, b.maximum, b.step):
        assert hull([a, b]).quantize(value) == value
