"""Small converted networks, right or with a planted fault, and what they should compute."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.core.layer_trace import LayerTrace
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.core.target import Target
from codesign.emulation import Emulator
from codesign.hls.convert import HardwareChoices, convert_graph
from codesign.hls.graph import Graph, read_graph
from codesign.hls.project import HlsProject, write_project
from codesign.networks.build import build_float, build_quantized
from codesign.networks.description import LayerSpec, Network
from codesign.networks.layer_outputs import trace_layers
from codesign.networks.prepare import hardware_form
from codesign.verification import Diagnosis, diagnose

GRID = FixedPoint(8, 3, True, "RND_CONV", "SAT")
WEIGHT = FixedPoint(6, 2, True, "RND_CONV", "SAT")
ACTIVATION = FixedPoint(6, 2, False, "RND_CONV", "SAT")


@dataclass(frozen=True)
class Case:
    """A QKeras student, its inputs, and conversions of it."""

    network: Network
    precision: PrecisionMap
    x: np.ndarray
    model: keras.Model

    def hls(self, precision: PrecisionMap | None = None, folder: Any = "unwritten") -> Any:
        """Convert the student's own weights, with other formats if they are given."""
        network, _ = hardware_form(self.network, self.precision)
        return convert_graph(
            build_float(network), precision or self.precision, Target(), HardwareChoices(), folder
        )

    def graph(self, precision: PrecisionMap | None = None) -> Graph:
        return read_graph(self.hls(precision))

    def planted(self, graph: Graph, layer: str, tensor: str, wrong: FixedPoint) -> Graph:
        """Give a tensor another format, as a new conversion of the same weights would."""
        tensors = ("accum", "result") if tensor == "accum" else (tensor,)
        return Emulator.of(graph).with_types({layer: dict.fromkeys(tensors, wrong)}).graph

    def trace(self, graph: Graph, x: np.ndarray | None = None) -> LayerTrace:
        return trace_layers(self.model, self.x if x is None else x, [node.name for node in graph])

    def logits(self) -> np.ndarray:
        return np.asarray(self.model.predict(self.x, verbose=0), dtype=np.float64)

    def project(self, folder: Any, precision: PrecisionMap | None = None) -> HlsProject:
        return write_project(
            self.hls(precision, folder), folder, Target(), vectors=self.x, golden=self.logits()
        )

    def diagnose(self, graph: Graph, x: np.ndarray | None = None) -> Diagnosis | None:
        return diagnose(graph, self.x if x is None else x, self.trace(graph, x))


def dense_spec(rng: np.random.Generator, name: str, source: str, n_in: int, n_out: int) -> LayerSpec:
    weights = {"kernel": rng.normal(0, 0.8, (n_in, n_out)), "bias": rng.normal(0, 0.5, n_out)}
    return LayerSpec(name, "dense", (source,), {}, weights)


def small_case(seed: int = 3, n: int = 200) -> Case:
    """Three dense layers, 6 inputs and 4 outputs."""
    rng = np.random.default_rng(seed)
    network = Network(
        (
            LayerSpec("features", "input", (), {"shape": [6]}),
            dense_spec(rng, "fc1", "features", 6, 8),
            LayerSpec("relu1", "relu", ("fc1",)),
            dense_spec(rng, "fc2", "relu1", 8, 8),
            LayerSpec("relu2", "relu", ("fc2",)),
            dense_spec(rng, "logits", "relu2", 8, 4),
        ),
        "planted",
    )
    layers = {name: LayerPrecision(WEIGHT, WEIGHT) for name in ("fc1", "fc2", "logits")}
    layers |= {name: LayerPrecision(result=ACTIVATION) for name in ("relu1", "relu2")}
    precision = PrecisionMap(GRID, layers)
    x = GRID.quantize(rng.normal(0, 1.5, (n, 6)).astype(np.float32))
    return Case(network, precision, x, build_quantized(network, precision))


def float_model(middle: Any, seed: int = 0) -> keras.Model:
    """Dense, a layer between, dense; the kernels are on the weights' grid."""
    rng = np.random.default_rng(seed)
    inputs = keras.Input((6,), name="features")
    hidden = middle(keras.layers.Dense(5, name="fc1")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(hidden))
    for name in ("fc1", "logits"):
        kernel = model.get_layer(name).kernel
        kernel.assign(WEIGHT.quantize(rng.normal(0, 0.5, kernel.shape).astype(np.float32)))
    return model


def plain_graph(model: keras.Model, layers: Mapping[str, Mapping[str, Any]]) -> Graph:
    """Convert a float model with hls4ml's own configuration; `layers` holds types and options by layer."""
    import hls4ml

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        config = hls4ml.utils.config_from_keras_model(
            model, granularity="name", backend="Vitis", default_precision="fixed<16,6>"
        )
        types = {"weight": str(WEIGHT), "bias": str(WEIGHT)}
        given = {"features": {"result": str(GRID)}, "fc1": types, "logits": types}
        for name, options in {**given, **layers}.items():
            for key, value in options.items():
                place = config["LayerName"][name]
                (place if key[0].isupper() else place["Precision"])[key] = value
        return read_graph(
            hls4ml.converters.convert_from_keras_model(
                model,
                hls_config=config,
                output_dir="unwritten",
                backend="Vitis",
                io_type="io_parallel",
                allow_da_fallback=False,
            )
        )


def grid_inputs(n: int = 150, seed: int = 1) -> np.ndarray:
    return GRID.quantize(np.random.default_rng(seed).normal(0, 1.5, (n, 6)).astype(np.float32))
