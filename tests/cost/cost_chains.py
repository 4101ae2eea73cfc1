"""Small networks to count, built from plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.cost import INPUT, LayerShape


@dataclass(frozen=True)
class Chain:
    """Dense layers `fc0, fc1 ...` with a ReLU `relu0 ...` after each but the last."""

    shapes: tuple[LayerShape, ...]
    precision: PrecisionMap
    kernels: dict[str, np.ndarray]
    biases: dict[str, np.ndarray]


def dense_shapes(sizes: tuple[int, ...]) -> tuple[LayerShape, ...]:
    last = len(sizes) - 2
    return tuple(
        LayerShape(
            f"fc{k}",
            "dense",
            sizes[k],
            sizes[k + 1],
            sources=(f"relu{k - 1}",) if k else (INPUT,),
            activations=(f"relu{k}",) if k < last else (),
        )
        for k in range(len(sizes) - 1)
    )


def make_chain(sizes: tuple[int, ...], bits: int, density: float = 1.0, seed: int = 0) -> Chain:
    rng = np.random.default_rng(seed)
    shapes = dense_shapes(sizes)
    weight = FixedPoint(bits, 1, True, "RND_CONV", "SAT")
    layers: dict[str, LayerPrecision] = {}
    for shape in shapes:
        layers[shape.name] = LayerPrecision(weight, weight)
        for activation in shape.activations:
            layers[activation] = LayerPrecision(result=FixedPoint(bits, 1, False, "RND_CONV", "SAT"))

    def normal(*size: int) -> np.ndarray:
        return rng.normal(size=size) / np.sqrt(size[0] * density) * (rng.random(size) < density)

    return Chain(
        shapes,
        PrecisionMap(FixedPoint(bits, 2, True, "RND_CONV", "SAT"), layers),
        {shape.name: normal(shape.n_inputs, shape.n_outputs) for shape in shapes},
        {shape.name: rng.normal(size=shape.n_outputs) / 8 for shape in shapes},
    )
