"""Which outputs are used and how far values reach, against brute force over inputs."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.core.fixed_point import FixedPoint
from codesign.cost import INPUT, LayerShape
from codesign.cost.luts import input_limits, result_limits, used_outputs


def test_uses_follow_the_weights_through_layers():
    shapes = (
        LayerShape("a", "dense", 2, 3, activations=("ra",)),
        LayerShape("b", "dense", 3, 2, sources=("ra",), activations=("rb",)),
        LayerShape("c", "dense", 2, 1, sources=("rb",)),
    )
    codes = {"a": np.ones((2, 3)), "b": np.array([[1, 0], [0, 1], [0, 0]]), "c": np.array([[1], [0]])}
    used = used_outputs(shapes, codes)
    # c drops b's second output, and with it the only reader of a's second
    assert used["a"].tolist() == [True, False, False]
    assert used["b"].tolist() == [True, False]
    assert used["c"].tolist() == [True]


def test_a_flattened_channel_is_used_if_any_position_is():
    shapes = (
        LayerShape("conv", "conv2d", 1, 3, kernel_size=4, output_positions=2, activations=("r",)),
        LayerShape("fc", "dense", 6, 1, sources=("r",)),
    )
    codes = {"conv": np.ones((2, 2, 1, 3)), "fc": np.array([0, 0, 0, 1, 0, 0])[:, None]}
    assert used_outputs(shapes, codes)["conv"].tolist() == [True, False, False]


def test_convolutions_and_depthwise_convolutions_use_channels():
    shapes = (
        LayerShape("a", "dense", 2, 4, activations=("ra",)),
        LayerShape(
            "dw", "depthwise_conv2d", 4, 8, kernel_size=2, groups=4, sources=("ra",), activations=("rd",)
        ),
        LayerShape("g", "conv1d", 8, 2, kernel_size=1, groups=2, sources=("rd",)),
    )
    dw = np.zeros((2, 1, 4, 2), dtype=int)
    dw[1, 0, 0, 1] = dw[0, 0, 1, 0] = dw[0, 0, 3, 0] = 1
    grouped = np.zeros((1, 4, 2), dtype=int)
    grouped[0, :, 0] = [0, 1, 0, 0]  # group 0 reads rd's channels 0 to 3
    grouped[0, :, 1] = [0, 0, 1, 0]  # group 1 reads channels 4 to 7
    used = used_outputs(shapes, {"a": np.ones((2, 4)), "dw": dw, "g": grouped})
    assert np.flatnonzero(used["dw"]).tolist() == [1, 6]
    assert np.flatnonzero(used["a"]).tolist() == [0, 3]


@pytest.mark.parametrize(
    "reader",
    [
        LayerShape("b", "dense", 3, 1, sources=("ra", INPUT)),  # a concatenation
        LayerShape("b", "dense", 4, 1, sources=("ra",)),  # channels that cannot be traced
        LayerShape("b", "dense", 3, 1, sources=("other",)),
    ],
)
def test_what_cannot_be_followed_is_used(reader):
    shapes = (LayerShape("a", "dense", 2, 3, activations=("ra",)), reader)
    assert used_outputs(shapes, {"a": np.ones((2, 3)), "b": np.zeros((reader.n_inputs, 1))})["a"].all()


@pytest.mark.parametrize("overflow", ["SAT", "SAT_SYM", "SAT_ZERO", "WRAP"])
@pytest.mark.parametrize("signed", [True, False])
def test_limits_hold_every_rounded_value(overflow, signed):
    result = FixedPoint(4, 2, signed, "RND_CONV", overflow)
    ends = np.array([[-1.3, 0.7], [0.2, 0.3], [-9, 1.2], [0.5, 7.5], [-0.4, -0.1]])
    limits = result_limits(ends, result)
    for (low, high), (least, greatest) in zip(ends, limits, strict=True):
        reached = result.to_integers(np.linspace(low, high, 1000))
        assert least <= reached.min()
        assert reached.max() <= greatest
        if overflow in ("SAT", "SAT_SYM"):
            assert (least, greatest) == (reached.min(), reached.max())


def test_inputs_have_the_limits_of_their_source_or_format():
    reads = FixedPoint(3, 1)
    known = {"r": np.array([[0, 1], [-2, 2]])}
    flat = LayerShape("fc", "dense", 4, 1, sources=("r",))
    assert input_limits(flat, reads, known).tolist() == [[0, 1], [-2, 2], [0, 1], [-2, 2]]
    assert input_limits(flat, reads, {}).tolist() == [[-4, 3]] * 4
    mixed = LayerShape("fc", "dense", 4, 1, sources=("r", INPUT))
    assert input_limits(mixed, reads, known).tolist() == [[-4, 3]] * 4


def test_a_depthwise_kernel_of_zeros_uses_no_channel():
    shapes = (
        LayerShape("a", "dense", 2, 3, activations=("ra",)),
        LayerShape("dw", "depthwise_conv1d", 3, 3, kernel_size=2, groups=3, sources=("ra",)),
    )
    kernel = np.array([[3, 0, 1], [2, 0, 0]])[:, :, None]
    assert used_outputs(shapes, {"a": np.ones((2, 3)), "dw": kernel})["a"].tolist() == [True, False, True]


def test_sums_at_the_ends_of_a_format_do_not_wrap():
    result = FixedPoint(4, 2, True, "RND_CONV", "WRAP")
    ends = np.array([[result.minimum, 0.5], [0.5, result.maximum], [result.minimum - 0.25, 0.5]])
    assert result_limits(ends, result).tolist() == [[-8, 2], [2, 7], [-8, 7]]
