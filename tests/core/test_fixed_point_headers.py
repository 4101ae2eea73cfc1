"""FixedPoint against the ap_fixed headers that hls4ml ships, compiled here: every mode, equal to the last bit."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from codesign.core.fixed_point import FixedPoint, Overflow, Rounding

ROUNDINGS: tuple[Rounding, ...] = ("RND", "RND_ZERO", "RND_MIN_INF", "RND_INF", "RND_CONV", "TRN", "TRN_ZERO")
SATURATING: tuple[Overflow, ...] = ("SAT", "SAT_ZERO", "SAT_SYM")

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")


@dataclass(frozen=True)
class Format:
    """A type to sweep, and the wider ap_fixed that values take on their second way to it."""

    width: int
    integer_bits: int
    signed: bool
    saturation_bits: int = 0
    wide: tuple[int, int] = (40, 20)

    @property
    def macro(self) -> str:
        arguments = (
            self.width,
            self.integer_bits,
            str(self.signed).lower(),
            self.saturation_bits,
            *self.wide,
        )
        return f"FORMAT({','.join(map(str, arguments))})"

    def types(self) -> list[FixedPoint]:
        """Every pair of modes, in the order of the sweep."""
        overflows: list[Overflow] = [*(SATURATING if self.saturation_bits == 0 else ()), "WRAP"]
        if self.signed:
            overflows.append("WRAP_SM")
        return [
            FixedPoint(self.width, self.integer_bits, self.signed, rounding, overflow, self.saturation_bits)
            for overflow in overflows
            for rounding in ROUNDINGS
            if not (self.width == 1 and self.signed and overflow == "SAT_SYM")
        ]


def values_for(form: Format, count: int, rng: np.random.Generator) -> np.ndarray:
    """Ties and neighbours of ties all over the range and past it, random values near and far, powers of two."""
    step, span = 2.0 ** (form.integer_bits - form.width), 2.0**form.width
    share = count // 5
    quarters = np.round(rng.uniform(-2.5 * span, 2.5 * span, share) * 4) / 4
    small = rng.integers(-40, 41, share) / 4
    nudged = np.nextafter(
        np.round(rng.uniform(-span, span, share) * 2) / 2, rng.choice([-np.inf, np.inf], share)
    )
    random = rng.normal(size=share) * span * 2.0 ** rng.integers(-12, 14, share)
    ends = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])[:, None] * span + np.arange(-6, 7) / 4
    powers = np.concatenate([sign * 2.0 ** np.arange(-70, 60) for sign in (-1, 1)])
    rest = np.concatenate([ends.ravel(), powers, rng.uniform(-span, span, share)])[:share]
    return np.concatenate([quarters, small, nudged, random, rest]) * step


def build(forms: list[Format], folder: Path) -> Path:
    package = importlib.util.find_spec("hls4ml").submodule_search_locations[0]
    headers = Path(package) / "templates" / "vivado" / "ap_types"
    source = Path(__file__).with_name("fixed_sweep.cpp")
    program = folder / "sweep"
    macro = "-DFORMATS=" + " ".join(form.macro for form in forms)
    command = ["g++", "-O0", "-w", "-std=c++17", f"-I{headers}", macro, str(source), "-o", str(program)]
    subprocess.run(command, check=True, timeout=600)
    return program


def sweep(forms: list[Format], count: int, folder: Path) -> int:
    """Compare `count` values a format with the compiled headers; return how many assignments were equal."""
    rng = np.random.default_rng(7)
    inputs = [values_for(form, count, rng) for form in forms]
    with open(folder / "source", "wb") as file:
        for values in inputs:
            file.write(np.int64(values.size).tobytes() + values.tobytes())
    program = build(forms, folder)
    subprocess.run([program, folder / "source", folder / "result"], check=True, timeout=600)
    codes = np.fromfile(folder / "result", np.int64)
    done = 0
    for form, values in zip(forms, inputs, strict=True):
        wide = FixedPoint(*form.wide).quantize(values)
        for precision in form.types():
            part = codes[done : done + 2 * values.size].reshape(-1, 2)
            for way, given in (("double", values), ("ap_fixed", wide)):
                computed = precision.to_integers(given)
                expected = sign_extended(part[:, int(way == "ap_fixed")], precision)
                wrong = np.flatnonzero(computed != expected)
                assert wrong.size == 0, (
                    f"{precision} from {way} {form.wide}: {wrong.size} differ, first {given[wrong[0]]!r} "
                    f"= {given[wrong[0]] / precision.step} steps: {computed[wrong[0]]}, headers {expected[wrong[0]]}"
                )
            done += part.size
    assert done == codes.size
    return done


def sign_extended(bits: np.ndarray, precision: FixedPoint) -> np.ndarray:
    if precision.width == 64:
        return bits if precision.signed else bits.view(np.uint64)
    if not precision.signed:
        return bits
    return np.where(bits >= 1 << (precision.width - 1), bits - (1 << precision.width), bits)


QUICK = [
    Format(8, 3, True),
    Format(5, -2, True),
    Format(4, 7, True),
    Format(6, 2, False),
    Format(7, 3, True, saturation_bits=3),
]


def test_every_mode_equals_the_headers(tmp_path):
    assert sweep(QUICK, 5000, tmp_path) > 1_000_000


FULL = [
    *(
        Format(width, integer, signed)
        for width, integer in [(2, 0), (3, -4), (3, 9), (9, 9)]
        for signed in (True, False)
    ),
    Format(16, 6, True),
    *(Format(12, 4, signed, wide=(14, 6)) for signed in (True, False)),
    *(Format(12, 4, signed, wide=(6, 2)) for signed in (True, False)),
    *(Format(12, 4, signed, wide=(12, 7)) for signed in (True, False)),
    *(Format(24, 1, signed, wide=(53, 26)) for signed in (True, False)),
    *(Format(40, 30, signed, wide=(53, 33)) for signed in (True, False)),
    *(Format(53, 10, signed, wide=(50, 20)) for signed in (True, False)),
    *(Format(64, 30, signed, wide=(52, 40)) for signed in (True, False)),
    *(Format(1, integer, signed) for integer in (-3, 0, 1, 4) for signed in (True, False)),
    *(Format(8, 3, signed, bits) for bits in (1, 2, 8) for signed in (True, False)),
    *(Format(6, integer, True, bits) for integer, bits in [(-2, 1), (9, 4)]),
]


@pytest.mark.slow
def test_every_mode_equals_the_headers_on_many_more_formats(tmp_path):
    for start in range(0, len(FULL), 6):
        folder = tmp_path / str(start)
        folder.mkdir()
        assert sweep(FULL[start : start + 6], 8_000, folder) > 0
