from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.core.fixed_point import FixedPoint
from codesign.errors import ConversionError

signed_formats = st.builds(
    FixedPoint,
    st.integers(2, 24),
    st.integers(-8, 12),
    st.just(True),
    st.just("RND_CONV"),
    st.sampled_from(["SAT", "SAT_SYM"]),
)
unsigned_formats = st.builds(
    FixedPoint, st.integers(1, 24), st.integers(0, 12), st.just(False), st.just("RND_CONV"), st.just("SAT")
)


def quantized_bits(**attributes):
    return type("quantized_bits", (SimpleNamespace,), {})(**attributes)


@given(signed_formats | unsigned_formats)
def test_the_serialized_quantizer_reads_back(precision):
    assert FixedPoint.from_qkeras(precision.to_qkeras()) == precision


@given(unsigned_formats)
def test_the_serialized_relu_reads_back(precision):
    assert precision.to_qkeras(relu=True)["class_name"] == "quantized_relu"
    assert FixedPoint.from_qkeras(precision.to_qkeras(relu=True)) == precision


def test_the_sign_bit_counts_here_and_not_in_qkeras():
    six_bits = FixedPoint(6, 1, True, "RND_CONV", "SAT")
    assert FixedPoint.from_qkeras("quantized_bits(6, 0, alpha=1)") == six_bits
    assert FixedPoint.from_qkeras("quantized_bits(6, 0, 1, True, 1.0)") == six_bits.with_modes(
        "RND_CONV", "SAT_SYM"
    )
    assert FixedPoint.from_qkeras(quantized_bits(bits=6, integer=0)) == six_bits
    assert six_bits.to_qkeras()["config"]["integer"] == 0
    relu = FixedPoint(6, 2, False, "RND_CONV", "SAT")
    assert FixedPoint.from_qkeras("quantized_relu(6,2)") == relu
    assert FixedPoint.from_qkeras("quantized_bits(6, 2, keep_negative=False, alpha=1)") == relu


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("quantized_bits(6, 0, alpha='auto_po2')", "alpha='auto_po2'"),
        ("quantized_bits(6, 0, alpha=0.5)", "alpha=0.5"),
        ("quantized_bits(1, 0, alpha=1)", "one signed bit, the sign function"),
        ("quantized_bits(6, 0, alpha=1, use_stochastic_rounding=True)", "use_stochastic_rounding"),
        ("quantized_bits(6, 0, alpha=1, qnoise_factor=0.5)", "qnoise_factor=0.5"),
        ("quantized_relu(6, 0, negative_slope=0.25)", "negative_slope=0.25"),
        ("quantized_relu(6, 0, use_sigmoid=1)", "use_sigmoid"),
        ("quantized_relu(6, 0, is_quantized_clip=False)", "is_quantized_clip=False"),
    ],
)
def test_more_than_a_format_is_refused(text, what):
    sentence = (
        f"{text.split('(')[0]} with {what} computes more than a fixed-point format; "
        "use a quantizer without it, with alpha=1"
    )
    with pytest.raises(ConversionError, match=f"^{re.escape(sentence)}$"):
        FixedPoint.from_qkeras(text)


@pytest.mark.parametrize(
    "text",
    ["", "6", "quantized_bits", "quantized_bits(6, bitz=3)", "quantized_relu(f(6))", "quantized_bits(*a)"],
)
def test_unreadable_text_is_refused(text):
    sentence = (
        f"{text!r} is not a QKeras quantizer; write quantized_bits(bits, integer, alpha=1) "
        "or quantized_relu(bits, integer)"
    )
    with pytest.raises(ConversionError, match=f"^{re.escape(sentence)}$"):
        FixedPoint.from_qkeras(text)


@pytest.mark.parametrize("quantizer", ["ternary()", {"class_name": "ternary"}, type("ternary", (), {})()])
def test_other_quantizers_are_refused(quantizer):
    sentence = (
        "ternary is no fixed-point quantizer; accepted are quantized_bits and quantized_relu, as objects, "
        "serialized, or as text such as quantized_bits(6, 0, alpha=1)"
    )
    with pytest.raises(ConversionError, match=f"^{re.escape(sentence)}$"):
        FixedPoint.from_qkeras(quantizer)


@pytest.mark.parametrize("bits", [6.5, None, "six", float("nan")])
def test_bits_that_are_no_whole_number_are_refused(bits):
    sentence = f"quantized_bits: bits must be a whole number, not {bits!r}"
    with pytest.raises(ConversionError, match=f"^{re.escape(sentence)}$"):
        FixedPoint.from_qkeras(quantized_bits(bits=bits, integer=0))


@pytest.mark.parametrize(
    ("text", "relu", "sentence"),
    [
        (
            "fixed<8,3>",
            False,
            "QKeras rounds to nearest even and saturates, so fixed<8,3> has no QKeras form; "
            "use with_modes('RND_CONV', 'SAT')",
        ),
        (
            "ufixed<25,3,RND_CONV,SAT>",
            False,
            "QKeras computes in float32, which cannot hold ufixed<25,3,RND_CONV,SAT,0>; "
            "use at most 24 bits without the sign",
        ),
        (
            "fixed<8,3,RND_CONV,SAT>",
            True,
            "a ReLU's result needs an unsigned format, not fixed<8,3,RND_CONV,SAT,0>; give ufixed<...>",
        ),
        (
            "ufixed<8,-1,RND_CONV,SAT>",
            True,
            "QKeras cannot compute a quantized_relu with negative integer bits, ufixed<8,-1,RND_CONV,SAT,0>; "
            "use 0 or more",
        ),
        (
            "ufixed<12,31,RND_CONV,SAT>",
            True,
            "QKeras cannot compute a quantized_relu with more than 30 integer bits, ufixed<12,31,RND_CONV,SAT,0>; "
            "scale the inputs of the network towards 1 (data.scaling)",
        ),
        (
            "fixed<1,1,RND_CONV,SAT>",
            False,
            "QKeras computes the sign (-1 or 1) for fixed<1,1,RND_CONV,SAT,0>; use at least 2 bits",
        ),
    ],
)
def test_what_qkeras_cannot_compute_is_refused(text, relu, sentence):
    with pytest.raises(ConversionError, match=f"^{re.escape(sentence)}$"):
        FixedPoint.parse(text).to_qkeras(relu)


def test_formats_load_neither_qkeras_nor_tensorflow():
    code = (
        "import sys; from codesign.core.fixed_point import FixedPoint; FixedPoint.from_qkeras('quantized_relu(6, 0)'); "
        "sys.exit(any(name in sys.modules for name in ('qkeras', 'keras', 'tensorflow', 'hls4ml', 'quantizers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
