"""Post-training quantization with scales and zero points, for comparison with fixed point.

Jacob et al. 2018 (arXiv:1712.05877); Wu et al. 2020 (NVIDIA, arXiv:2004.09602).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from codesign.affine.calibration import CALIBRATORS, Calibrator, calibrate, check_calibration_set
from codesign.affine.integer import (
    IntegerAveragePool,
    IntegerLayer,
    IntegerLinear,
    IntegerMaxPool,
    IntegerNetwork,
    IntegerRelu,
    IntegerReshape,
)
from codesign.affine.quantizer import AffineQuantizer
from codesign.core.quality import predicted_classes
from codesign.core.text_table import counted
from codesign.errors import ConversionError, DataError
from codesign.networks.build import build_float
from codesign.networks.description import LayerSpec, Network
from codesign.networks.joined import each_output_of
from codesign.networks.logits import BATCH_SIZE, predict_logits
from codesign.networks.prepare import fold_batch_norm
from codesign.networks.read_keras import read_keras

_SUPPORTED = "Dense, Conv1D, Conv2D, BatchNormalization (folded), ReLU, MaxPooling, AveragePooling, Flatten and Reshape"


@dataclass(frozen=True)
class AffineSettings:
    """How a network is quantized.

    Parameters
    ----------
    weight_bits, activation_bits
        2 to 16.
    calibrator
        For the activations and the input.
    weight_calibrator
        For the weights; the maximum is NVIDIA's recommendation (section 4), ``mse`` is better below 6 bits.
    per_channel
        Give each output channel of the weights a scale of its own.
    symmetric_weights, symmetric_activations
        Keep the zero points at 0.
    percentile
        The percentage that the percentile calibrator keeps.
    output_bits
        Bits of the logits; wide, since nothing is multiplied with them.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    calibrator: Calibrator = "max"
    weight_calibrator: Calibrator = "max"
    per_channel: bool = True
    symmetric_weights: bool = True
    symmetric_activations: bool = False
    percentile: float = 99.99
    output_bits: int = 16


@dataclass(frozen=True)
class AffineRow:
    """One row of the table of quality against width.

    Parameters
    ----------
    width
        Bits of weights and activations.
    calibrator
        Of the activations.
    quality
        The fraction of right classes, or another quality that was asked for; ``None`` if int32 accumulators overflow.
    float_quality
        That of the float network.
    overflow
        What overflowed, or ``None``.
    """

    width: int
    calibrator: Calibrator
    quality: float | None
    float_quality: float
    overflow: str | None = None


def quantize_affine(
    model: keras.Model | Network,
    x_calibration: np.ndarray,
    settings: AffineSettings | None = None,
    *,
    allow_constant: bool = False,
) -> IntegerNetwork:
    """Make an integer-only network of a trained float one.

    Parameters
    ----------
    model
        A sequential network of Dense, Conv1D, Conv2D, BatchNormalization, ReLU, MaxPooling, AveragePooling, Flatten
        and Reshape layers, as a Keras model (a softmax or sigmoid at its end is left out) or a `Network`.
    x_calibration
        float32 inputs of shape `(n_samples, *input_shape)` to take the activations' ranges from.
    settings
        Bits and calibrators; 8 bits by default.
    allow_constant
        Accept features that never change in the calibration set.

    Raises
    ------
    ConversionError
        For a network that is no chain, a layer that has no integer form here, a bias that int32 cannot hold.
    DataError
        For a calibration set that is empty, not finite, of another shape, or has constant features.
    SettingsError
        For bits outside 2 to 16 or an unknown calibrator.
    """
    network = affine_form(model)
    check_calibration_set(x_calibration, allow_constant)
    return _quantized(network, _activations(network, x_calibration), settings or AffineSettings())


def affine_table(
    model: keras.Model | Network,
    x_calibration: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    widths: Sequence[int] = tuple(range(2, 17)),
    calibrators: Sequence[Calibrator] = CALIBRATORS,
    *,
    weight_calibrator: Calibrator = "mse",
    quality: Callable[[np.ndarray, np.ndarray], float] | None = None,
    allow_constant: bool = False,
) -> tuple[AffineRow, ...]:
    """Measure the quality of the integer network against its width, for each calibrator.

    Parameters
    ----------
    model, x_calibration, allow_constant
        See `quantize_affine`.
    x
        float32 inputs of shape `(n_samples, *input_shape)` to measure on.
    y
        Class indices of shape `(n_samples,)`; 0 and 1 for a network with one output, whose logit decides by its sign.
    widths
        Bits of weights and activations, 2 to 16.
    calibrators
        For the activations.
    weight_calibrator
        For the weights, per channel.
    quality
        `(labels, logits) -> quality`, the accuracy if it is left out.

    Returns
    -------
    tuple of AffineRow
        A row for each width and calibrator, widths first. A network whose accumulators leave int32 on `x` has no
        quality but the reason.
    """
    network = affine_form(model)
    check_calibration_set(x_calibration, allow_constant)
    if len(x) != len(y) or len(x) == 0:
        raise DataError(f"{len(x)} inputs need as many labels, not {len(y)}; and at least one")
    measure = quality or _accuracy
    activations = _activations(network, x_calibration)
    float_quality = measure(y, predict_logits(build_float(network), x))
    rows = []
    for width in widths:
        for calibrator in calibrators:
            settings = AffineSettings(width, width, calibrator, weight_calibrator)
            reached, overflow = None, None
            try:
                logits = _quantized(network, activations, settings).predict(x)
            except ConversionError as error:
                overflow = str(error)
            else:
                reached = measure(y, logits)
            rows.append(AffineRow(width, calibrator, reached, float_quality, overflow))
    return tuple(rows)


def _accuracy(labels: np.ndarray, logits: np.ndarray) -> float:
    return float(np.mean(predicted_classes(logits) == np.asarray(labels)))


def affine_form(model: keras.Model | Network) -> Network:
    """The network with batch normalisation folded, if it can compute with integers alone.

    Raises
    ------
    ConversionError
        For a network that is no chain, or a layer that has no integer form here; every fault is named.
    """
    network = fold_batch_norm(model if isinstance(model, Network) else read_keras(model))
    faults = []
    if len(network.inputs) > 1 or network.ends:
        raise ConversionError(
            f"the network {network.name!r} has no integer-only form: it has {counted(len(network.inputs), 'input')} and "
            f"{counted(len(network.output_names), 'output')}, and only a chain of one to one is supported"
        )
    for before, layer in zip(network.layers, network.layers[1:], strict=False):
        if not layer.row.matrix and layer.kind not in _MAKERS:
            faults.append(f"layer {layer.name!r} ({layer.kind}) is not supported; supported are {_SUPPORTED}")
        elif layer.inputs != (before.name,):
            faults.append(
                f"layer {layer.name!r} reads {', '.join(layer.inputs)}; only a plain chain of layers is supported"
            )
    if faults:
        raise ConversionError(
            "\n  - ".join([f"the network {network.name!r} has no integer-only form", *faults])
        )
    return network


def _activations(network: Network, x: np.ndarray) -> Mapping[str, np.ndarray]:
    """The float outputs, by layer, at which codes are rescaled: of the input, and of weight layers after their ReLU."""
    if x.shape[1:] != network.input_shape:
        expected = ", ".join(map(str, network.input_shape))
        raise DataError(f"the calibration set must have shape (n_samples, {expected}), not {x.shape}")
    model = build_float(network)
    names = [
        _activated(network, index).name for index, layer in enumerate(network.layers) if layer.row.matrix
    ]
    if not names:
        raise ConversionError(f"the network {network.name!r} has no Dense or convolution to quantize")
    outputs = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    values = each_output_of(outputs, [x], BATCH_SIZE)
    return {network.layers[0].name: x, **dict(zip(names, values, strict=True))}


def _activated(network: Network, index: int) -> LayerSpec:
    """The ReLU directly after a layer, or the layer itself."""
    after = network.layers[index + 1 : index + 2]
    return after[0] if after and after[0].kind == "relu" else network.layers[index]


def _quantized(
    network: Network, activations: Mapping[str, np.ndarray], settings: AffineSettings
) -> IntegerNetwork:
    last = [layer for layer in network.layers if layer.row.matrix][-1]
    source = current = _activation_quantizer(
        activations[network.layers[0].name], settings.activation_bits, settings
    )
    layers: list[IntegerLayer] = []
    for index, layer in enumerate(network.layers[1:], start=1):
        if layer.row.matrix:
            activated = _activated(network, index)
            bits = settings.output_bits if layer is last else settings.activation_bits
            output = _activation_quantizer(activations[activated.name], bits, settings)
            layers.append(_linear(layer, current, output, settings, relu=activated is not layer))
            current = output
        elif layer.kind != "relu" or not network.layers[index - 1].row.matrix:  # that one is in its layer
            layers.append(_MAKERS[layer.kind](layer, current))
    return IntegerNetwork(network.input_shape, source, tuple(layers), current)


def _activation_quantizer(values: np.ndarray, bits: int, settings: AffineSettings) -> AffineQuantizer:
    return calibrate(
        values,
        bits,
        settings.calibrator,
        symmetric=settings.symmetric_activations,
        percentile=settings.percentile,
    )


def _linear(
    layer: LayerSpec, source: AffineQuantizer, output: AffineQuantizer, settings: AffineSettings, relu: bool
) -> IntegerLinear:
    kernel = layer.weights["kernel"].astype(np.float64)
    weight = calibrate(
        kernel,
        settings.weight_bits,
        settings.weight_calibrator,
        symmetric=settings.symmetric_weights,
        axis=-1 if settings.per_channel else None,
        percentile=settings.percentile,
    )
    bias = layer.weights.get("bias", np.zeros(kernel.shape[-1])).astype(np.float64)
    strides = tuple(layer.config.get("strides", ()))
    padding = layer.config.get("padding", "valid")
    return IntegerLinear(
        layer.name, weight.quantize(kernel), bias, source, weight, output, relu, strides, padding
    )


def _pool(layer: LayerSpec) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    return layer.name, tuple(layer.config["pool_size"]), tuple(layer.config["strides"])


def _reshape(layer: LayerSpec, quantizer: AffineQuantizer) -> IntegerReshape:
    return IntegerReshape(layer.name, tuple(layer.config.get("target_shape", (-1,))))


def _max_pool(layer: LayerSpec, quantizer: AffineQuantizer) -> IntegerMaxPool:
    return IntegerMaxPool(*_pool(layer), layer.config["padding"])


def _average_pool(layer: LayerSpec, quantizer: AffineQuantizer) -> IntegerAveragePool:
    return IntegerAveragePool(*_pool(layer))


def _relu(layer: LayerSpec, quantizer: AffineQuantizer) -> IntegerRelu:
    return IntegerRelu(layer.name, quantizer.zero_point[0])


_MAKERS: Mapping[str, Any] = {
    "flatten": _reshape,
    "reshape": _reshape,
    "max_pool1d": _max_pool,
    "max_pool2d": _max_pool,
    "average_pool1d": _average_pool,
    "average_pool2d": _average_pool,
    "relu": _relu,
}
