"""Values become the bits of a port and come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.core.fixed_point import FixedPoint
from codesign.errors import DataError
from codesign.rtl.packing import Field, Port, bits_of, flat_inputs, pack, unpack, words_of

fields = st.lists(
    st.builds(Field, st.integers(0, 52), st.integers(-8, 20), st.booleans()), min_size=1, max_size=12
)


@given(fields, st.integers(0, 2**32 - 1))
def test_unpacking_gives_back_what_was_packed(layout, seed):
    rng = np.random.default_rng(seed)
    values = np.zeros((5, len(layout)))
    for column, field in enumerate(layout):
        if field.width:
            low = -(1 << (field.width - 1)) if field.signed else 0
            high = (1 << (field.width - int(field.signed))) - 1
            values[:, column] = rng.integers(low, high, 5, endpoint=True) * 2.0**-field.fraction
    words = pack(values, layout)
    assert words.shape == (5, words_of(layout))
    np.testing.assert_array_equal(unpack(words, layout), values)


def test_the_first_value_is_the_lowest_and_negatives_are_twos_complement():
    layout = (Field(4, 1, True), Field(0, 0, False), Field(30, 0, False), Field(3, -2, True))
    words = pack(np.array([[-0.5, 0.0, 5.0, -16.0]]), layout)
    assert bits_of(layout) == 37
    together = int(words[0, 0]) | int(words[0, 1]) << 32
    assert together == 0b1111 | 5 << 4 | 0b100 << 34


def test_inputs_are_assigned_to_the_networks_types_and_laid_side_by_side():
    ports = (
        Port("a", (2, 2), FixedPoint(4, 2, True, "RND", "SAT"), ()),
        Port("b", (1,), FixedPoint(3, 3, signed=False), ()),
    )
    flat = flat_inputs(ports, [np.full((1, 4), 0.3), np.array([[9.0]])])
    np.testing.assert_array_equal(flat, [[0.25, 0.25, 0.25, 0.25, 1.0]])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (np.zeros((3, 4)), r"^the design has 2 inputs \(a, b\), not 1$"),
        (
            [np.zeros((3, 4)), np.zeros((2, 1))],
            r"^input b must be \('n_samples', 1\) with 3 samples, not \(2, 1\)$",
        ),
        (
            [np.zeros((3, 5)), np.zeros((3, 1))],
            r"^input a must be \('n_samples', 2, 2\) with 3 samples, not \(3, 5\)$",
        ),
    ],
)
def test_inputs_of_another_number_or_shape_are_refused(arrays, message):
    ports = (Port("a", (2, 2), FixedPoint(4, 2), ()), Port("b", (1,), FixedPoint(4, 2), ()))
    with pytest.raises(DataError, match=message):
        flat_inputs(ports, arrays)
