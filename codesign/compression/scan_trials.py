"""Measuring one candidate of the scan: quality, overflows and cost of a precision map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.core.precision_map import PrecisionMap
from codesign.cost import bops_of
from codesign.networks.description import Network
from codesign.networks.forward import Forward
from codesign.networks.shapes import layer_shapes
from codesign.training.evaluate import Quality


@dataclass(frozen=True)
class Measured:
    """What a candidate reached."""

    quality: float
    overflows: int
    cost: float


class TrialRunner:
    """Measures candidates on one set of samples.

    Parameters
    ----------
    network
        Prepared.
    x, labels
        Inputs `(n_samples, *input_shape)` and class indices `(n_samples,)`.
    quality
        `(labels, logits) -> quality`.
    """

    def __init__(self, network: Network, x: np.ndarray, labels: np.ndarray, quality: Quality) -> None:
        self.network, self.labels, self.quality = network, labels, quality
        self.shapes = layer_shapes(network)
        self.kernels = {layer.name: layer.weights["kernel"] for layer in network.weight_layers}
        self.forward = Forward(network, x)
        self.float_quality = quality(labels, self.forward.run(None)[0])
        self.resolution = 1.0 / len(labels)

    def measure(self, precision: PrecisionMap) -> Measured:
        """Quality, saturated activation values, and BOPs of a candidate."""
        logits, overflows = self.forward.run(precision)
        return Measured(self.quality(self.labels, logits), overflows, self.cost(precision))

    def cost(self, precision: PrecisionMap) -> float:
        """BOPs of a candidate for one sample."""
        return bops_of(self.shapes, precision, self.kernels)
