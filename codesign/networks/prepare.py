"""What happens to a float network before it gets number formats: folding and explicit quantization points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.errors import ConversionError
from codesign.networks.description import ACTIVATION_KINDS, WEIGHT_KINDS, LayerSpec, Network

_WIDE = (*WEIGHT_KINDS, "add", "average_pool1d", "average_pool2d")


def prepare_for_quantization(network: Network) -> Network:
    """Fold the batch normalisations, then make every quantization point an explicit layer.

    The numbers that the float network computes stay the same up to float32 rounding of the folded weights.
    """
    return add_quantization_points(fold_batch_norm(network))


def fold_batch_norm(network: Network) -> Network:
    """Fold each batch normalisation into the weight layer before it (Jacob et al. 2018, arXiv:1712.05877, eq. 14).

    Zeros of a kernel stay exactly zero: a channel is only scaled.

    Raises
    ------
    ConversionError
        For a normalisation that does not directly follow a weight layer which only it reads.
    """
    layers = {layer.name: layer for layer in network.layers}
    for norm in [layer for layer in network.layers if layer.kind == "batch_norm"]:
        before = layers[norm.inputs[0]]
        if before.kind not in WEIGHT_KINDS or len(network.consumers(before.name)) != 1:
            raise ConversionError(
                f"batch normalisation {norm.name!r} follows {before.name!r} ({before.kind}) and cannot be folded; "
                "put it directly after a Dense or convolution whose output nothing else reads"
            )
        layers[before.name] = _folded(before, norm)
        del layers[norm.name]
        layers = {
            name: replace(
                layer, inputs=tuple(before.name if source == norm.name else source for source in layer.inputs)
            )
            for name, layer in layers.items()
        }
    return replace(network, layers=tuple(layers.values()))


def _folded(layer: LayerSpec, norm: LayerSpec) -> LayerSpec:
    weights = {name: array.astype(np.float64) for name, array in norm.weights.items()}
    scale = weights["gamma"] / np.sqrt(weights["variance"] + norm.config["epsilon"])
    kernel = layer.weights["kernel"].astype(np.float64)
    # a depthwise kernel (h, w, channels, 1) has its channels on the axis before the last
    kernel = kernel * (scale[:, None] if layer.kind == "depthwise_conv2d" else scale)
    bias = layer.weights.get("bias", np.zeros_like(scale)) - weights["mean"]
    return layer.with_weights(
        kernel=kernel.astype(np.float32), bias=(bias * scale + weights["beta"]).astype(np.float32)
    )


def add_quantization_points(network: Network) -> Network:
    """Put a `linear` layer, named ``<layer>_out``, where a wide result would reach another layer unquantized.

    The results of weight layers, average pools and additions are as wide as their accumulators; unless only ReLUs
    read it, or it is the network's output, the next layer would multiply with those bits.
    """
    taken = {layer.name for layer in network.layers}
    points = {
        layer.name: _free(f"{layer.name}_out", taken)
        for layer in network.layers
        if layer.kind in _WIDE
        and any(user.kind not in ACTIVATION_KINDS for user in network.consumers(layer.name))
    }
    layers: list[LayerSpec] = []
    for layer in network.layers:
        layers.append(replace(layer, inputs=tuple(points.get(name, name) for name in layer.inputs)))
        if layer.name in points:
            layers.append(LayerSpec(points[layer.name], "linear", (layer.name,)))
    return replace(network, layers=tuple(layers))


def _free(name: str, taken: set[str]) -> str:
    """The name, with underscores behind it until no layer of the user has it."""
    while name in taken:
        name += "_"
    return name


def hardware_form(network: Network, precision: PrecisionMap) -> tuple[Network, PrecisionMap]:
    """What is converted: weights on their grids, and each `linear` layer's format moved to the layer before it.

    A `linear` layer only rounds; in hardware the layer before it writes its result in that format.
    """
    formats = dict(precision.layers)
    dropped = {layer.name: layer.inputs[0] for layer in network.layers if layer.kind == "linear"}
    for name, source in dropped.items():
        before = formats.get(source, LayerPrecision())
        formats[source] = before.replaced("result", formats.pop(name).result)
    layers = []
    for layer in network.layers:
        if layer.name in dropped:
            continue
        layer = replace(layer, inputs=tuple(dropped.get(name, name) for name in layer.inputs))
        layers.append(_on_grid(layer, formats.get(layer.name)))
    order = {layer.name: formats[layer.name] for layer in layers if layer.name in formats}
    return replace(network, layers=tuple(layers)), replace(precision, layers=order)


def _on_grid(layer: LayerSpec, formats: LayerPrecision | None) -> LayerSpec:
    if layer.kind not in WEIGHT_KINDS:
        return layer
    if formats is None or formats.weight is None or ("bias" in layer.weights and formats.bias is None):
        raise ConversionError(
            f"layer {layer.name!r} has no weight or bias format in the precision map; give it both"
        )
    weights = {"kernel": formats.on_grid(layer.weights["kernel"], layer.name)}
    if "bias" in layer.weights and formats.bias is not None:
        weights["bias"] = formats.bias.quantize(layer.weights["bias"])
    return layer.with_weights(**weights)
