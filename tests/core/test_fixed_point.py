from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.core.fixed_point import FixedPoint
from codesign.errors import DataError, SettingsError

ROUNDINGS = ["RND", "RND_ZERO", "RND_MIN_INF", "RND_INF", "RND_CONV", "TRN", "TRN_ZERO"]


@st.composite
def formats(draw, most_bits=64, saturation_bits=True):
    width, signed = draw(st.integers(1, most_bits)), draw(st.booleans())
    overflows = ["SAT", "SAT_ZERO", "WRAP"] + ["SAT_SYM"] * (width > 1) + ["WRAP_SM"] * signed
    return FixedPoint(
        width,
        draw(st.integers(-20, 80)),
        signed,
        draw(st.sampled_from(ROUNDINGS)),
        draw(st.sampled_from(overflows)),
        draw(st.integers(0, min(width, 3))) if saturation_bits else 0,
    )


def exact(precision: FixedPoint, value: float) -> Fraction:
    """The textbook: round the exact quotient, then saturate or drop the upper bits (no saturation bits)."""
    quotient = Fraction(value) / Fraction(precision.step)
    candidates = [math.floor(quotient), math.ceil(quotient)]
    nearest = {
        "RND": lambda c: (abs(quotient - c), -c),
        "RND_MIN_INF": lambda c: (abs(quotient - c), c),
        "RND_ZERO": lambda c: (abs(quotient - c), abs(c)),
        "RND_INF": lambda c: (abs(quotient - c), -abs(c)),
        "RND_CONV": lambda c: (abs(quotient - c), c % 2),
        "TRN": lambda c: c,
        "TRN_ZERO": abs,
    }
    code = min(candidates, key=nearest[precision.rounding])
    least = -(2 ** (precision.width - 1)) if precision.signed else 0
    most = least + 2**precision.width - 1
    if precision.overflow == "SAT":
        code = min(max(code, least), most)
    elif precision.overflow == "SAT_SYM":
        code = min(max(code, -most if precision.signed else 0), most)
    elif precision.overflow == "SAT_ZERO":
        code = code if least <= code <= most else 0
    else:
        code = (code - least) % 2**precision.width + least
    return code * Fraction(precision.step)


values = st.floats(allow_nan=False, allow_infinity=False, width=64) | st.integers(-(2**60), 2**60).map(
    lambda n: n / 2**12
)


@given(
    formats(53, saturation_bits=False).filter(lambda p: p.overflow != "WRAP_SM"), st.lists(values, max_size=8)
)
@settings(max_examples=300, deadline=None)
def test_quantize_is_exact(precision, x):
    near = [code / 4 * precision.step for code in (-7, -6, -2, -1, 0, 1, 2, 5, 6)] + [
        precision.maximum,
        precision.minimum,
    ]
    x = np.array(x + near)
    assert [Fraction(value) for value in precision.quantize(x)] == [exact(precision, value) for value in x]


@given(formats(), st.lists(values, min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_codes_are_what_quantize_gives_and_stay(precision, x):
    codes = precision.to_integers(np.array(x))
    least, most = precision.code_limits
    assert all(least <= int(code) <= most for code in codes)
    try:
        quantized = precision.quantize(np.array(x))
    except DataError:
        assert precision.width > 53
        return
    assert [Fraction(value) / Fraction(precision.step) for value in quantized] == [
        int(code) for code in codes
    ]
    assert precision.is_representable(quantized).all()
    assert np.array_equal(precision.from_integers(codes), quantized)
    if precision.overflow != "SAT_SYM" and precision.overflow != "WRAP_SM":
        assert np.array_equal(precision.quantize(quantized), quantized)


@given(formats(24), st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=8))
@settings(deadline=None)
def test_float32_gives_the_same_numbers_as_float64(precision, x):
    single, double = np.array(x, np.float32), np.array(x, np.float64)
    assert precision.quantize(single).dtype == np.float32
    assert np.array_equal(precision.quantize(single), precision.quantize(double))


@given(formats(8, saturation_bits=False))
def test_is_representable_knows_every_code_and_nothing_between(precision):
    least, most = precision.code_limits
    codes = np.arange(least, most + 1)
    held = precision.from_integers(codes)
    assert precision.is_representable(held).all()
    assert (held[0], held[-1]) == (precision.minimum, precision.maximum)
    others = np.array(
        [(least - 1) * precision.step, (most + 1) * precision.step, precision.step / 2, np.nan, np.inf]
    )
    assert not precision.is_representable(others).any()


@given(st.lists(st.integers(-70, 70), min_size=1, max_size=6), st.integers(-40, 40), st.integers(2, 10))
def test_the_narrowest_format_holds_its_values_and_no_narrower_one_does(codes, power, widest):
    x = np.array(codes) * 2.0**power
    found = FixedPoint.narrowest(x, widest)
    narrower = widest if found is None else found.width - 1
    assert found is None or (found.is_representable(x).all() and 2 <= found.width <= widest)
    if narrower > 1:
        for integer_bits in range(narrower - 41, narrower + 49):
            other = FixedPoint(narrower, integer_bits, True, "RND_CONV", "SAT")
            assert not other.is_representable(x).all()


def test_no_format_holds_what_is_not_finite():
    for value in (np.nan, np.inf, -np.inf):
        assert FixedPoint.narrowest(np.array([1.0, value])) is None
    assert FixedPoint.narrowest(np.zeros((0, 3))) == FixedPoint.narrowest(np.zeros(2))


def test_the_result_type_depends_on_the_format_alone():
    x = np.zeros(3, np.float32)
    assert FixedPoint(24, 6).quantize(x).dtype == np.float32
    assert FixedPoint(25, 6).quantize(x).dtype == np.float64
    assert FixedPoint(8, -200).quantize(x).dtype == np.float64
    assert FixedPoint(8, 3).quantize([1, 2]).dtype == np.float64
    assert FixedPoint(8, 3).quantize(np.float16(1.5)).dtype == np.float64


def test_shape_is_kept_and_chunks_do_not_show():
    precision = FixedPoint(10, 4, True, "RND", "WRAP")
    x = np.random.default_rng(1).normal(size=(3, 7, 4001)) * 20
    whole = precision.quantize(x)
    assert whole.shape == x.shape
    assert np.array_equal(whole, np.stack([precision.quantize(part) for part in x]))
    assert np.array_equal(precision.quantize(x.T), whole.T)
    assert precision.quantize(1.3).shape == ()
    assert precision.quantize(np.zeros((0, 4))).shape == (0, 4)


def test_out_may_be_the_input_a_view_or_overlap_it():
    precision = FixedPoint(10, 4, True, "RND_INF", "SAT")
    x = np.random.default_rng(2).normal(size=(50, 1000)) * 20
    expected = precision.quantize(x)
    strided = np.empty((1000, 50)).T
    assert precision.quantize(x, strided) is strided
    assert np.array_equal(strided, expected)
    shifted = x.copy().reshape(-1)
    precision.quantize(shifted[:-1], shifted[1:])
    assert np.array_equal(shifted[1:], expected.reshape(-1)[:-1])
    assert precision.quantize(x, x) is x
    assert np.array_equal(x, expected)


def test_no_negative_zero_comes_out():
    x = np.array([-0.0, -0.1, -0.4, -100.0])
    for rounding in ROUNDINGS:
        for text in ("fixed<4,4>", "ufixed<4,4>"):
            for overflow in ("SAT", "SAT_ZERO", "WRAP"):
                precision = FixedPoint.parse(text).with_modes(rounding, overflow)
                quantized = precision.quantize(x)
                assert not np.signbit(quantized[quantized == 0]).any()


def test_values_that_vanish_or_explode_when_scaled_keep_their_sign():
    coarse = FixedPoint(8, 500)
    assert list(coarse.to_integers([-5e-324, 5e-324])) == [-1, 0]
    fine = FixedPoint(8, -400)
    assert list(fine.to_integers([1e300, -1e300])) == [0, 0]
    assert list(fine.with_modes("TRN", "SAT").to_integers([1e300, -1e300, np.inf, -np.inf])) == [
        127,
        -128,
        127,
        -128,
    ]


def test_wide_formats_are_exact_or_refused():
    unsigned = FixedPoint(64, 64, False)
    assert unsigned.to_integers([-1.0]).tolist() == [2**64 - 1]
    assert unsigned.quantize([2.0**63]).tolist() == [2.0**63]
    sentence = (
        f"x overflows ufixed<64,64> and becomes {2**64 - 1} steps, which float64 cannot hold; use to_integers"
    )
    with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
        unsigned.quantize([-1.0])
    with pytest.raises(
        DataError, match=r"^x holds int64 values that float64 cannot hold; keep them below 2\*\*53$"
    ):
        FixedPoint(64, 64).quantize(np.array([2**53 + 1]))
    assert FixedPoint(64, 64).quantize(np.array([2**53 + 2])).tolist() == [2.0**53 + 2]


@pytest.mark.parametrize(
    ("text", "printed", "ap"),
    [
        ("ap_fixed<16,6>", "fixed<16,6>", "ap_fixed<16,6>"),
        (
            " ap_fixed< 16, 6, ap_rnd_conv, AP_SAT >",
            "fixed<16,6,RND_CONV,SAT,0>",
            "ap_fixed<16,6,AP_RND_CONV,AP_SAT>",
        ),
        ("ap_ufixed<8,-2,AP_RND>", "ufixed<8,-2,RND,WRAP,0>", "ap_ufixed<8,-2,AP_RND,AP_WRAP>"),
        ("fixed<16,6,RND,SAT,0>", "fixed<16,6,RND,SAT,0>", "ap_fixed<16,6,AP_RND,AP_SAT>"),
        ("fixed<8,12,TRN,WRAP,2>", "fixed<8,12,TRN,WRAP,2>", "ap_fixed<8,12,AP_TRN,AP_WRAP,2>"),
        ("ufixed<8,0>", "ufixed<8,0>", "ap_ufixed<8,0>"),
        ("int<8>", "fixed<8,8>", "ap_fixed<8,8>"),
        ("ap_uint<3>", "ufixed<3,3>", "ap_ufixed<3,3>"),
    ],
)
def test_spellings(text, printed, ap):
    precision = FixedPoint.parse(text)
    assert (str(precision), precision.ap()) == (printed, ap)


@given(formats())
def test_both_printed_spellings_read_back(precision):
    assert FixedPoint.parse(str(precision)) == precision
    assert FixedPoint.parse(precision.ap()) == precision


FORMS = (
    "ap_fixed<W,I>, ap_ufixed<W,I>, ap_int<W>, ap_uint<W>, the same without 'ap_', "
    "and ap_fixed<W,I,Q,O,N> with modes such as AP_RND_CONV or RND_CONV"
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("float", ""),
        ("", ""),
        ("ap_fixed<16,6", ""),
        ("ap_fixed<16,6>>", ""),
        ("fixed<16>", ": a fixed-point type has 2 to 5 arguments, not 1"),
        ("fixed<1,2,RND,SAT,0,0>", ": a fixed-point type has 2 to 5 arguments, not 6"),
        ("int<8,3>", ": an integer type has one argument, its width"),
        ("fixed<a,6>", ": its width must be a whole number, not 'a'"),
        ("fixed<16,6.5>", ": its integer bits must be a whole number, not '6.5'"),
        ("fixed<16,>", ": its integer bits must be a whole number, not ''"),
        (16, ": it is int, not text"),
        (None, ": it is NoneType, not text"),
    ],
)
def test_unreadable_spellings(text, why):
    sentence = f"{text!r} is not a fixed-point format{why}; accepted are {FORMS}"
    with pytest.raises(SettingsError, match=f"^{re.escape(sentence)}$"):
        FixedPoint.parse(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("fixed<0,0>", "width must be 1 to 64 bits, not 0"),
        ("fixed<65,6>", "width must be 1 to 64 bits, not 65"),
        ("fixed<-3,6>", "width must be 1 to 64 bits, not -3"),
        (
            "fixed<8,600>",
            "integer_bits must be -512 to 512, not 600; "
            "a format further out holds no value that float64 can compute with",
        ),
        (
            "fixed<8,3,ROUND>",
            "rounding must be one of RND, RND_ZERO, RND_MIN_INF, RND_INF, RND_CONV, TRN, TRN_ZERO, not 'ROUND'",
        ),
        ("fixed<8,3,RND,CLIP>", "overflow must be one of SAT, SAT_ZERO, SAT_SYM, WRAP, WRAP_SM, not 'CLIP'"),
        ("fixed<8,3,RND,WRAP,9>", "saturation_bits must be 0 to the width, 8, not 9"),
        (
            "ufixed<8,3,RND,WRAP_SM>",
            "overflow WRAP_SM needs a signed format, the ap_fixed headers refuse it for ap_ufixed; use WRAP",
        ),
        (
            "fixed<1,0,RND,SAT_SYM>",
            "a signed format of 1 bit cannot hold any value but zero with overflow SAT_SYM; use SAT or 2 bits",
        ),
    ],
)
def test_formats_that_cannot_be(text, sentence):
    with pytest.raises(SettingsError, match=f"^{re.escape(f'{text}: {sentence}')}$"):
        FixedPoint.parse(text)


@pytest.mark.parametrize("width", [8.0, "8", None, True])
def test_bits_are_whole_numbers(width):
    with pytest.raises(SettingsError, match=f"^width must be a whole number, not {width!r}$"):
        FixedPoint(width, 3)


@pytest.mark.parametrize(
    ("text", "x", "sentence"),
    [
        ("fixed<8,3>", [0.0, np.nan], "x has nan at index 1 (of 2 values), which fixed<8,3> cannot take"),
        ("fixed<8,3>", [np.inf], "x has inf at index 0 (of 1 value), which fixed<8,3> cannot take"),
        ("fixed<64,3>", [-np.inf], "x has -inf at index 0 (of 1 value), which fixed<64,3> cannot take"),
        ("fixed<8,3>", [1j], "x must be real numbers, not complex128"),
        ("fixed<8,3>", ["a"], "x must be real numbers, not <U1"),
    ],
)
def test_numbers_that_cannot_be_quantized(text, x, sentence):
    for method in (FixedPoint.parse(text).quantize, FixedPoint.parse(text).to_integers):
        with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
            method(x)


def test_bad_codes_and_bad_outputs():
    precision = FixedPoint(4, 4)
    with pytest.raises(DataError, match=r"^code 8 at index 2 is not one of fixed<4,4>, which are -8 to 7$"):
        precision.from_integers([7, -8, 8])
    with pytest.raises(DataError, match=r"^codes must be integers, not float64$"):
        precision.from_integers([1.0])
    sentence = "out must be float64 of shape (2,) for fixed<4,4>, not float32 of shape (2,)"
    with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
        precision.quantize(np.zeros(2), np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("count", "codes"),
    [
        (0, "3 2 1 0 -1 -2 -3 -4 -5 -6 -7 -8 -8 -7 -6 -5 -4 -3 -2 -1 0 1 2 3 4 5 6 7 7 6 5 4 3 2 1 0 -1 -2 -3 -4 -5"),
        (1, "-4 -3 -2 -1 -1 -2 -3 -4 -5 -6 -7 -8 -8 -7 -6 -5 -4 -3 -2 -1 0 1 2 3 4 5 6 7 7 6 5 4 3 2 1 0 0 1 2 3 4"),
        (2, "-5 -6 -7 -8 -8 -7 -6 -5 -5 -6 -7 -8 -8 -7 -6 -5 -4 -3 -2 -1 0 1 2 3 4 5 6 7 7 6 5 4 4 5 6 7 7 6 5 4 4"),
        (3, "-8 -7 -7 -8 -8 -7 -7 -8 -8 -7 -7 -8 -8 -7 -6 -5 -4 -3 -2 -1 0 1 2 3 4 5 6 7 7 6 6 7 7 6 6 7 7 6 6 7 7"),
    ],
)  # fmt: skip
def test_sign_magnitude_wrapping_is_that_of_the_headers(count, codes):
    # printed by `ap_fixed<4, 4, AP_TRN, AP_WRAP_SM, count>` of the headers that hls4ml bundles, for -20 to 20
    precision = FixedPoint(4, 4, True, "TRN", "WRAP_SM", count)
    found = precision.quantize(np.arange(-20.0, 21.0))
    assert found.tolist() == [float(code) for code in codes.split()]
