"""What happens to a float network before it gets number formats: folding and explicit quantization points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap, Tensor
from codesign.networks.build import exact_formats, needs_of, require_formats, value_formats, weights_on_grid
from codesign.networks.description import LayerSpec, Network, free_name


def prepare_for_quantization(network: Network) -> Network:
    """Fold the batch normalisations, then make every quantization point an explicit layer.

    The numbers that the float network computes stay the same up to float32 rounding of the folded weights.
    """
    return add_quantization_points(fold_batch_norm(network))


def fold_batch_norm(network: Network) -> Network:
    """Fold each normalisation into a layer that multiplies anyway (Jacob et al. 2018, arXiv:1712.05877, eq. 14).

    Into the weight layer before it if only the normalisation reads that one; else into every weight layer behind it, where
    nothing lies between that a constant does not pass (an activation, padding with zeros). One that cannot be folded stays
    as a `scale`: a factor and a term for each channel. Constant scales of the inputs are folded likewise.

    Zeros of a kernel stay exactly zero: a channel is only scaled.
    """
    network = with_scales(network)
    for name in [layer.name for layer in network.layers if layer.kind == "scale"]:
        network = _folded(network, network[name])
    return network


def with_scales(network: Network) -> Network:
    """The network with each batch normalisation as a `scale`: a factor and a term for each channel."""
    return network.map_layers(lambda layer: _as_scale(layer) if layer.row.role == "norm" else layer)


def _as_scale(norm: LayerSpec) -> LayerSpec:
    weights = {name: array.astype(np.float64) for name, array in norm.weights.items()}
    scale = weights["gamma"] / np.sqrt(weights["variance"] + norm.config["epsilon"])
    return LayerSpec(
        norm.name,
        "scale",
        norm.inputs,
        weights={"kernel": scale, "bias": weights["beta"] - weights["mean"] * scale},
    )


def _folded(network: Network, scale: LayerSpec) -> Network:
    """The network without a scale if it can be folded into the layer before it or all layers behind it."""
    before = network[scale.inputs[0]]
    if before.row.role == "product" and network.read_once(before.name):
        folded = {before.name: _scaled_outputs(before, scale)}
    else:
        readers = _readers(network, scale)
        if readers is None:
            return network
        folded = {name: _scaled_inputs(network[name], scale) for name in readers}
    folded_in = network.map_layers(lambda layer: folded.get(layer.name, layer))
    return folded_in.without({scale.name: before.name})


def _readers(network: Network, scale: LayerSpec) -> list[str] | None:
    """The weight layers behind a scale that can take it; ``None`` if anything else reads it."""
    readers: list[str] = []
    if scale.name in network.output_names:
        return None
    ends = list(network.consumers(scale.name))
    while ends:
        layer = ends.pop()
        shifts = bool(scale.weights.get("bias", np.zeros(1)).any())
        if layer.row.role == "product" and not (shifts and layer.config.get("padding") == "same"):
            readers.append(layer.name)
        elif layer.kind == "flatten" and layer.name not in network.output_names:
            ends += network.consumers(layer.name)
        else:
            return None
    return readers


def _scaled_outputs(layer: LayerSpec, scale: LayerSpec) -> LayerSpec:
    factor, term = _constants(scale)
    kernel = layer.weights["kernel"].astype(np.float64)
    # a depthwise kernel (*window, channels, 1) has its channels on the axis before the last
    by_channel = factor[:, None] if layer.row.per_channel and kernel.ndim > 1 else factor
    bias = layer.weights.get("bias", np.zeros_like(factor)).astype(np.float64)
    return layer.with_weights(kernel=kernel * by_channel, bias=bias * factor + term)


def _scaled_inputs(layer: LayerSpec, scale: LayerSpec) -> LayerSpec:
    factor, term = _constants(scale)
    kernel = layer.weights["kernel"].astype(np.float64)
    axis = -1 if kernel.ndim == 1 else -2
    # behind a flattened image the channels repeat along the axis
    factor, term = (np.tile(values, kernel.shape[axis] // len(values)) for values in (factor, term))
    by_row = factor if kernel.ndim == 1 else factor[:, None]
    constant = kernel * (term if kernel.ndim == 1 else term[:, None])
    if layer.row.per_channel:
        constant = constant.reshape(-1, kernel.shape[axis]).sum(axis=0)
    else:
        constant = constant.reshape(-1, kernel.shape[-1]).sum(axis=0)
    bias = layer.weights.get("bias")
    weights = {"kernel": kernel * by_row}
    if bias is not None or constant.any():
        weights["bias"] = constant + (0 if bias is None else bias)
    return layer.with_weights(**weights)


def _constants(scale: LayerSpec) -> tuple[np.ndarray, np.ndarray]:
    factor = scale.weights["kernel"].astype(np.float64)
    return factor, scale.weights.get("bias", np.zeros_like(factor)).astype(np.float64)


def add_quantization_points(network: Network) -> Network:
    """Put a `linear` layer, named ``<layer>_out``, where a wide result would reach another layer unquantized.

    The results of weight layers, averages and additions are as wide as their accumulators; unless only activations
    read it, or it is the network's output, the next layer would multiply with those bits.
    """
    taken = {layer.name for layer in network.layers}
    points = {
        layer.name: free_name(f"{layer.name}_out", taken)
        for layer in network.layers
        if layer.row.needs_point
        and any(
            not user.row.only_rounds if layer.row.inexact else not user.row.rounds
            for user in network.consumers(layer.name)
        )
    }
    layers: list[LayerSpec] = []
    for layer in network.layers:
        layers.append(replace(layer, inputs=tuple(points.get(name, name) for name in layer.inputs)))
        if layer.name in points:
            layers.append(LayerSpec(points[layer.name], "linear", (layer.name,)))
    return replace(network, layers=tuple(layers))


def hardware_form(network: Network, precision: PrecisionMap) -> tuple[Network, PrecisionMap]:
    """What is converted: weights on their grids, and a `linear` layer's format at the layer before it where it can be.

    A `linear` layer only rounds. Where nothing else reads a sum, the layer that makes it writes it in that format; a second
    rounding, or one of several of the same values, stays a layer of its own.
    """
    require_formats(network, precision)
    network = _with_explicit_padding(network, precision)
    formats = dict(precision.layers)
    dropped = {layer.name: layer.inputs[0] for layer in network.layers if _can_move(layer, network, formats)}
    for name, source in dropped.items():
        before = formats.get(source, LayerPrecision())
        formats[source] = before.replaced("result", formats.pop(name).result)
    hardware = network.without(dropped).map_layers(
        lambda layer: weights_on_grid(layer, formats.get(layer.name))
    )
    layers = list(hardware.layers)
    moved = value_formats(hardware, replace(precision, layers=formats))
    exact = exact_formats(hardware, replace(precision, layers=formats))
    for name in _without_inference(hardware):
        formats[name] = LayerPrecision(result=moved[name])
    for layer in layers:
        if layer.row.role == "product" and any(user.row.fused for user in hardware.consumers(layer.name)):
            formats[layer.name] = _with_exact_sums(formats[layer.name], exact[layer.name])
    for layer in layers:
        own = formats.get(layer.name)
        if own is not None and layer.inputs:
            needs = needs_of(layer, own, moved[layer.inputs[0]])
            given: tuple[tuple[Tensor, FixedPoint | None], ...] = (
                ("accum", needs.accum),
                ("result", needs.result),
            )
            for tensor, needed in given:
                formats[layer.name] = (
                    formats[layer.name].replaced(tensor, needed) if needed else formats[layer.name]
                )
    layers, formats = _with_inputs_of_their_type(layers, formats, moved)
    hardware = replace(hardware, layers=tuple(layers))
    order = {layer.name: formats[layer.name] for layer in layers if layer.name in formats}
    return hardware, replace(precision, layers=order)


def _with_inputs_of_their_type(
    layers: list[LayerSpec], formats: dict[str, LayerPrecision], moved: Mapping[str, FixedPoint | None]
) -> tuple[list[LayerSpec], dict[str, LayerPrecision]]:
    """Give what a layer reads the type that its C++ needs, which holds it."""
    made: list[LayerSpec] = []
    taken = {layer.name for layer in layers}
    for layer in layers:
        given = moved[layer.inputs[0]] if layer.inputs else None
        reads = needs_of(layer, formats[layer.name], given).reads if layer.name in formats else None
        if reads not in (None, given):
            name = free_name(f"{layer.name}_in", taken)
            made.append(LayerSpec(name, "linear", layer.inputs))
            formats[name] = LayerPrecision(result=reads)
            layer = replace(layer, inputs=(name,))
        made.append(layer)
    return made, formats


def _with_exact_sums(own: LayerPrecision, exact: FixedPoint | None) -> LayerPrecision:
    """Formats with an accumulator that holds every sum.

    hls4ml drops a rounding behind a result of inferred type, and multiplies a scale into the layer before it.
    """
    return (
        own if own.accum is not None or own.result is not None or exact is None else replace(own, accum=exact)
    )


def _without_inference(network: Network) -> set[str]:
    """Layers that move values and must be told their format: cropping, and all such layers before it.

    hls4ml gives a cropping its input's type when it makes the layer, before it infers any.
    """
    found = {layer.name for layer in network.layers if layer.row.role == "move" and layer.row.inexact}
    for layer in reversed(network.layers):
        if layer.name in found:
            found |= {name for name in layer.inputs if network[name].row.role == "move"}
    return found


def _with_explicit_padding(network: Network, precision: PrecisionMap) -> Network:
    """Pad with zeros before a maximum over windows of values that are never negative.

    hls4ml's C++ pads with the highest bit alone: the least value of a signed type, but the middle of an unsigned one.
    """
    sizes, formats = network.shapes(), value_formats(network, precision)
    layers: list[LayerSpec] = []
    taken = {layer.name for layer in network.layers}
    for layer in network.layers:
        given = formats[layer.inputs[0]] if layer.inputs else None
        if layer.row.largest and given is not None and not given.signed:
            pads = [
                max((out - 1) * stride + pool - size, 0)
                for out, stride, pool, size in zip(
                    sizes[layer.name],
                    layer.config["strides"],
                    layer.config["pool_size"],
                    sizes[layer.inputs[0]],
                    strict=False,
                )
            ]
            if layer.config["padding"] == "same" and any(pads):
                pairs = [[total // 2, total - total // 2] for total in pads]
                name = free_name(f"{layer.name}_pad", taken)
                config = {"padding": pairs if len(pairs) > 1 else pairs[0]}
                layers.append(LayerSpec(name, f"zero_padding{len(pairs)}d", layer.inputs, config))
                layer = replace(layer, inputs=(name,), config={**layer.config, "padding": "valid"})
        layers.append(layer)
    return replace(network, layers=tuple(layers))


def _can_move(layer: LayerSpec, network: Network, formats: Mapping[str, LayerPrecision]) -> bool:
    """Whether the layer before a point can round in its place."""
    if not layer.row.only_rounds:
        return False
    before = network[layer.inputs[0]]
    own = formats.get(before.name, LayerPrecision()).result
    return before.row.needs_point and own is None and network.read_once(before.name)
