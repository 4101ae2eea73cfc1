"""EBOPs: bits between the outermost non-zero bits of each constant."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.cost import LayerShape, constant_bits, ebops_of, layer_ebops
from codesign.errors import DataError

codes = st.integers(-(2**63), 2**63 - 1)


def test_the_papers_example():
    # 001xx1000 counts 4 bits, whatever the two bits in the middle are
    assert constant_bits([0b001001000, 0b001011000, 0b001101000, 0b001111000]).tolist() == [4, 4, 4, 4]


@given(st.lists(codes, min_size=1, max_size=20))
def test_equal_to_the_written_bits(values):
    expected = [len(f"{abs(value):b}".strip("0")) for value in values]
    assert constant_bits(np.array(values, dtype=np.int64)).tolist() == expected


@given(st.integers(-(2**30), 2**30), st.integers(0, 30))
def test_shifts_and_signs_are_free(value, shift):
    bits = constant_bits(value)
    assert constant_bits(value * 2**shift) == bits == constant_bits(-value)
    assert bits.shape == ()


def test_unsigned_codes_of_64_bits():
    assert constant_bits(np.array([2**64 - 1, 2**63 + 1, 2**63], dtype=np.uint64)).tolist() == [64, 64, 1]


def test_only_integers_have_bits():
    message = "codes must be integers, not float64; divide the values by their step first"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        constant_bits([0.5])


def test_a_layer_sums_over_products():
    conv = LayerShape("c", "conv1d", 1, 2, kernel_size=2, output_positions=3)
    assert layer_ebops(conv, [[1, 0], [-5, 6]], input_bits=7) == 7 * 3 * (1 + 0 + 3 + 2)


def test_a_network_sums_over_layers_after_rounding(chain):
    expected = 0
    for shape in chain.shapes:
        integers = np.rint(chain.kernels[shape.name] * 32).clip(-32, 31).astype(int)
        expected += sum(len(f"{abs(code):b}".strip("0")) for code in integers.ravel()) * 6
    assert ebops_of(chain.shapes, chain.precision, chain.kernels) == expected


def test_ebops_fall_when_a_weight_is_pruned(chain):
    before = ebops_of(chain.shapes, chain.precision, chain.kernels)
    kernel = chain.kernels["fc1"].copy()
    kernel[np.unravel_index(np.abs(kernel).argmax(), kernel.shape)] = 0
    assert ebops_of(chain.shapes, chain.precision, {**chain.kernels, "fc1": kernel}) < before
