"""The first rung: what was read of a model computes what the user's own model computes.

Everything behind it is proved against the network that was read, so this is where a misreading must end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from codesign.core.precision_map import PrecisionMap
from codesign.errors import ConversionError, DataError
from codesign.networks.build import build_float, build_quantized
from codesign.networks.description import LayerSpec, Network
from codesign.networks.keras_graph import functional

if TYPE_CHECKING:
    from codesign.networks.keras_reader import Reader
    from codesign.networks.qkeras_classes import Instead

SAMPLES = 256
"""How many samples are compared at most when a model is read."""

NOISE = 1e-4
"""The difference of float32 sums in another order, relative to the largest output."""


def check_float(model: keras.Model, network: Network, reader: Reader, x: np.ndarray | None) -> None:
    """Compare a float model with the network that was read of it.

    Parameters
    ----------
    model
        The user's.
    network
        Ends at its logits.
    reader
        What read it: knows the function that was left out at the end, and where each layer came from.
    x
        Inputs `(n_samples, *input_shape)`; random ones if ``None``.

    Raises
    ------
    ConversionError
        If any output differs by more than float32 noise or any decision differs, with the first layer that does.
    """
    inputs = _inputs(network, x)
    outputs = _outputs(model, inputs)
    if not np.isfinite(outputs).all():
        raise ConversionError(
            f"the model {model.name!r} computes outputs that are not finite; train it again, or scale its inputs"
        )
    built = build_float(network)
    logits = _outputs(built, inputs)
    scale = float(np.abs(logits).max(initial=0.0))
    ours = ended(logits, reader.dropped)
    close = NOISE * (scale if reader.dropped is None else max(1.0, scale))
    differs = (
        (np.abs(ours.astype(np.float64) - outputs) > max(close, 1e-30)).reshape(len(inputs), -1).any(axis=1)
    )
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        top = np.sort(logits, axis=1)
        clear = top[:, -1] - top[:, -2] > NOISE * scale
        differs |= clear & (outputs.argmax(axis=1) != logits.argmax(axis=1))
    if differs.any():
        _refuse(model, built, reader, inputs, differs, lambda a, b: _distance(a, b) > NOISE)


def check_quantized(
    model: keras.Model, network: Network, precision: PrecisionMap, reader: Reader, x: np.ndarray | None
) -> tuple[str, ...]:
    """Compare a QKeras model with the network and the formats that were read of it, to the last bit, on the input grid.

    Activations that the hardware computes with other numbers are compared as the model computes them.

    Returns
    -------
    tuple of str
        A sentence for each such activation: what differs, and in how many samples the hardware's outputs do.

    Raises
    ------
    ConversionError
        If any output differs in any bit, with the first layer that does.
    """
    inputs = precision.input.quantize(_inputs(network, x)).astype(np.float32)
    outputs = _outputs(model, inputs)
    instead = {
        layer.name: reader.instead[layer.name] for layer in network.layers if layer.name in reader.instead
    }
    student = _with_own_activations(network, precision, instead)
    ours = ended(_outputs(student, inputs), reader.dropped)
    differs = (ours != outputs).reshape(len(inputs), -1).any(axis=1)
    if differs.any():
        _refuse(model, student, reader, inputs, differs, lambda a, b: not np.array_equal(a, b))
    if not instead:
        return ()
    hardware = ended(_outputs(build_quantized(network, precision), inputs), reader.dropped)
    changed = int((hardware != outputs).reshape(len(inputs), -1).any(axis=1).sum())
    largest = float(np.abs(hardware.astype(np.float64) - outputs).max(initial=0.0))
    return tuple(
        f"layer {name!r} computes other numbers than {type(given.quantizer).__name__} of the model ({given.why}): with the "
        f"hardware's {changed} of {len(inputs)} samples have other outputs, by up to {largest:.3g}"
        for name, given in instead.items()
    )


def _with_own_activations(
    network: Network, precision: PrecisionMap, instead: Mapping[str, Instead]
) -> keras.Model:
    """The student with the user's own activations where the hardware computes other numbers."""
    import qkeras

    names, given = {layer.name for layer in network.layers}, network.layers[0].name
    own = {name: qkeras.QActivation(each.quantizer, name=name) for name, each in instead.items()}
    needed, layers = {network.output.name}, []
    for layer in reversed(network.layers):
        if layer.name in needed or layer.kind == "input":
            if layer.name in instead:
                source = instead[layer.name].source
                layer = LayerSpec(layer.name, "linear", (source if source in names else given,))
            needed |= set(layer.inputs)
            layers.append(layer)
    return build_quantized(replace(network, layers=tuple(reversed(layers))), precision, own)


def check_same(model: keras.Model, copy: keras.Model, end: Callable[[np.ndarray], np.ndarray]) -> None:
    """Compare a model with a copy of it whose last function was left out.

    Raises
    ------
    ConversionError
        If the copy, followed by `end`, computes other numbers.
    """
    opened = functional(model)
    if len(opened.inputs) != 1 or any(size is None for size in opened.inputs[0].shape[1:]):
        return
    x = np.random.default_rng(0).normal(size=(16, *opened.inputs[0].shape[1:])).astype(np.float32)
    given, made = _outputs(model, x), end(_outputs(copy, x))
    if not np.isfinite(given).all():
        raise ConversionError(
            f"the model {model.name!r} has weights or outputs that are not finite; give one of a training that went well"
        )
    if np.abs(given - made).max(initial=0.0) > NOISE * max(float(np.abs(given).max(initial=0.0)), 1e-30):
        raise ConversionError(
            f"a copy of the model {model.name!r} that ends at its logits computes other numbers (by up to "
            f"{np.abs(given - made).max():.3g}); one of its layers keeps values that are no weights, or is random at inference"
        )


def _inputs(network: Network, x: np.ndarray | None) -> np.ndarray:
    if x is None:
        return np.random.default_rng(0).normal(size=(32, *network.input_shape)).astype(np.float32)
    x = np.asarray(x, dtype=np.float32)
    if x.shape[1:] != network.input_shape:
        raise DataError(
            f"the data's samples have shape {x.shape[1:]}, but {network.name!r} takes {network.input_shape}"
        )
    return x[:SAMPLES]


def _outputs(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model(x, training=False)))


def ended(logits: np.ndarray, dropped: str | None) -> np.ndarray:
    """Outputs of logits: followed by the function that was left out, if any."""
    if dropped is None:
        return logits
    return np.asarray(
        keras.ops.convert_to_numpy(getattr(keras.activations, dropped)(keras.ops.convert_to_tensor(logits)))
    )


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    scale = float(np.abs(a).max(initial=0.0))
    return float(np.abs(a.astype(np.float64) - b).max(initial=0.0)) / max(scale, 1e-30)


def _refuse(
    model: keras.Model,
    built: keras.Model,
    reader: Reader,
    x: np.ndarray,
    differs: np.ndarray,
    unequal: Callable[[np.ndarray, np.ndarray], bool],
) -> None:
    where = _first_difference(model, built, reader, x, unequal)
    raise ConversionError(
        f"the network that was read of {model.name!r} computes other numbers than the model itself for {int(differs.sum())} of "
        f"{len(x)} samples, first at index {int(differs.argmax())}; {where}"
    )


def _first_difference(
    model: keras.Model,
    built: keras.Model,
    reader: Reader,
    x: np.ndarray,
    unequal: Callable[[np.ndarray, np.ndarray], bool],
) -> str:
    """Say at which layer the two part."""
    opened = functional(model)
    top = {id(node.outputs[0]) for nodes in opened._nodes_by_depth.values() for node in nodes}
    names = {layer.name for layer in built.layers}
    found = [
        (call, reader.of[call.outputs[0]])
        for call in reader.graph.calls
        if call.outputs and id(call.tensors[0]) in top and reader.of.get(call.outputs[0]) in names
    ]
    try:
        theirs: Any = keras.Model(opened.inputs, [call.tensors[0] for call, _ in found])(x, training=False)
        ours: Any = keras.Model(built.inputs, [built.get_layer(name).output for _, name in found])(
            x, training=False
        )
    except Exception:
        return "the first layer that differs could not be found; read the model layer by layer"
    for (call, name), given, made in zip(found, theirs, ours, strict=True):
        a, b = (np.asarray(keras.ops.convert_to_numpy(values)) for values in (given, made))
        if a.shape != b.shape or unequal(a, b):
            largest = float(np.abs(a.astype(np.float64) - b).max()) if a.shape == b.shape else float("inf")
            return (
                f"the first layer that differs is {call.name!r} ({type(call.layer).__name__}, read as {name!r}), "
                f"by up to {largest:.3g}; replace it by a supported layer"
            )
    return "every layer agrees but the end; end the model with a linear layer, softmax or sigmoid"
