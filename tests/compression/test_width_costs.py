"""The terms of the integer program add up to the costs of the maps that the choices stand for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from codesign.compression.hessian_precision import bops_terms, lut_terms, weight_bit_terms
from codesign.compression.sensitivity import Sensitivity, TensorName, with_tensor_width
from codesign.compression.width_program import CostTerm
from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.cost import INPUT, LayerShape, bops_of, estimate_luts, weight_bits_of

WEIGHT, RESULT = FixedPoint(8, 1, True, "RND_CONV", "SAT"), FixedPoint(8, 2, False, "RND_CONV", "SAT")
SHAPES = (
    LayerShape("c", "conv1d", 2, 3, kernel_size=2, output_positions=4, activations=("rc",)),
    LayerShape("dw", "depthwise_conv2d", 3, 3, 2, 3, groups=3, sources=("rc",), activations=("rd",)),
    LayerShape("fc", "dense", 12, 2, sources=("rd", INPUT)),
)
PRECISION = PrecisionMap(
    FixedPoint(6, 2, True, "RND_CONV", "SAT"),
    {name: LayerPrecision(WEIGHT, WEIGHT) for name in ("c", "dw", "fc")}
    | {name: LayerPrecision(result=RESULT) for name in ("rc", "rd")},
)


def kernels() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "c": rng.normal(size=(2, 2, 3)) / 3,
        "dw": rng.normal(size=(2, 1, 3, 1)) / 3,
        "fc": rng.normal(size=(12, 2)) / 3,
    }


def row(layer: str, tensor: str, *widths: int) -> Sensitivity:
    return Sensitivity(layer, tensor, widths, (0.0,) * len(widths))


def applied(choice: dict[TensorName, int]) -> PrecisionMap:
    precision = PRECISION
    for name, width in choice.items():
        precision = with_tensor_width(precision, name, width)
    return precision


def choices(rows: list[Sensitivity]) -> list[dict[TensorName, int]]:
    products = itertools.product(*(one.widths for one in rows))
    return [dict(zip((one.name for one in rows), widths, strict=True)) for widths in products]


def total(terms: tuple[CostTerm, ...], rows: list[Sensitivity], choice: dict[TensorName, int]) -> float:
    widths = {one.name: one.widths for one in rows}
    return sum(
        term.values[tuple(widths[name].index(choice[name]) for name in term.tensors)] for term in terms
    )


ROWS = [
    row("c", "weight", 3, 5),
    row("dw", "weight", 4),
    row("fc", "weight", 2, 6),
    row("rc", "result", 3, 7),
    row("rd", "result", 4, 8),
    row(INPUT, "result", 5, 6),
]


@pytest.mark.parametrize(
    "rows", [ROWS, ROWS[:3], ROWS[3:], ROWS[:1]], ids=["all", "weights", "activations", "one"]
)
def test_bops_and_bits_of_every_choice(rows):
    weights = kernels()
    operations = bops_terms(SHAPES, PRECISION, weights, rows)
    bits = weight_bit_terms(SHAPES, PRECISION, rows)
    assert len(operations) == len(bits) == 3
    for choice in choices(rows):
        precision = applied(choice)
        assert total(operations, rows, choice) == pytest.approx(bops_of(SHAPES, precision, weights))
        assert total(bits, rows, choice) == weight_bits_of(SHAPES, precision)


def test_luts_of_every_choice():
    weights, rows = kernels(), [ROWS[0], ROWS[3]]
    biases = {"c": np.array([0.1, -0.2, 0.3])}
    terms = lut_terms(SHAPES, PRECISION, weights, rows, biases=biases)
    # the third layer reads neither of the two, the first has its own result among its tensors
    assert [term.tensors for term in terms] == [(rows[0].name, rows[1].name), (rows[1].name,), ()]
    for choice in choices(rows):
        alone = sum(
            estimate_luts([shape], applied(choice), {shape.name: weights[shape.name]}, biases)
            for shape in SHAPES
        )
        assert total(terms, rows, choice) == pytest.approx(alone)
        assert total(terms, rows, choice) >= 0.98 * estimate_luts(SHAPES, applied(choice), weights, biases)


def test_outputs_that_nothing_reads_cost_no_luts():
    shapes = (
        LayerShape("a", "dense", 4, 3, activations=("ra",)),
        LayerShape("b", "dense", 3, 2, sources=("ra",)),
    )
    layers = {"a": LayerPrecision(WEIGHT), "b": LayerPrecision(WEIGHT), "ra": LayerPrecision(result=RESULT)}
    precision = PrecisionMap(PRECISION.input, layers)
    rng = np.random.default_rng(1)
    weights = {"a": rng.normal(size=(4, 3)) / 3, "b": rng.normal(size=(3, 2)) / 3}
    weights["b"][1] = 0
    rows = [row("a", "weight", 4, 6)]
    without = {**weights, "a": weights["a"] * [1, 0, 1]}
    for term, expected in zip(
        lut_terms(shapes, precision, weights, rows), lut_terms(shapes, precision, without, rows), strict=True
    ):
        np.testing.assert_array_equal(term.values, expected.values)


def test_streaming_has_each_matrix_once():
    rows = [ROWS[0]]
    parallel, stream = (
        lut_terms(SHAPES[:1], PRECISION, kernels(), rows, io_type=io_type)[0].values
        for io_type in ("io_parallel", "io_stream")
    )
    np.testing.assert_allclose(parallel, 4 * stream)
