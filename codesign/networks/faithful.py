"""The first rung: what was read of a model computes what the user's own model computes.

Everything behind it is proved against the network that was read, so this is where a misreading must end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from codesign.core.ports import apart, columns_of, side_by_side
from codesign.core.precision_map import PrecisionMap
from codesign.errors import ConversionError, DataError
from codesign.networks.build import build_float, build_quantized
from codesign.networks.description import LayerSpec, Network
from codesign.networks.exact import exceeds_float32, float64_outputs
from codesign.networks.joined import fed, outputs_of
from codesign.networks.keras_graph import functional
from codesign.networks.logits import NOISE, ended, without_endings

if TYPE_CHECKING:
    from codesign.networks.keras_reader import Reader
    from codesign.networks.qkeras_classes import Instead

SAMPLES = 256
"""How many samples are compared at most when a model is read."""


def check_float(model: keras.Model, network: Network, reader: Reader, x: np.ndarray | None) -> None:
    """Compare a float model with the network that was read of it.

    Parameters
    ----------
    model
        The user's.
    network
        Ends at its logits.
    reader
        What read it: knows the function that was left out at each end, and where each layer came from.
    x
        Inputs `(n_samples, *input_shape)`, several side by side; random ones if ``None``.

    Raises
    ------
    ConversionError
        If any output differs by more than float32 noise or any decision differs, with the first layer that does.
    """
    inputs = _inputs(network, x)
    if (whole := _whole_inputs(model)) and x is None:
        inputs = np.rint(np.abs(inputs))
    elif whole and (inputs != np.rint(inputs)).any():
        raise ConversionError(
            f"the model {model.name!r} takes {whole}, so that Keras cuts off the fractions of the data, unlike hardware; "
            "give its keras.Input dtype='float32', or whole numbers with data.scaling none"
        )
    outputs = side_by_side(outputs_of(model, inputs))
    if not np.isfinite(outputs).all():
        raise ConversionError(
            f"the model {model.name!r} computes outputs that are not finite; train it again, or scale its inputs"
        )
    built = build_float(network)
    ports = network.outputs
    logits = side_by_side(outputs_of(built, inputs))
    model_ends, endings = _at_logits(model, network, reader)
    outputs = outputs if model_ends is model else side_by_side(outputs_of(model_ends, inputs))
    ours = ended(logits, ports, endings)
    differs = np.zeros(len(inputs), bool)
    for port, columns, end in zip(ports, columns_of(ports), endings, strict=True):
        own, given = logits[:, columns], outputs[:, columns]
        scale = float(np.abs(own).max(initial=0.0))
        close = NOISE * (scale if end is None else max(1.0, scale))
        differs |= (np.abs(ours[:, columns].astype(np.float64) - given) > max(close, 1e-30)).any(axis=1)
        if len(port.shape) == 1 and port.size > 1:
            top = np.sort(own, axis=1)
            clear = top[:, -1] - top[:, -2] > NOISE * scale
            differs |= clear & (given.argmax(axis=1) != own.argmax(axis=1))
    if differs.any():
        _refuse(model, built, reader, inputs, differs, lambda a, b: _distance(a, b) > NOISE)


def check_quantized(
    model: keras.Model, network: Network, precision: PrecisionMap, reader: Reader, x: np.ndarray | None
) -> tuple[str, ...]:
    """Compare a QKeras model with the network and the formats that were read of it, to the last bit, on the input grid.

    Both compute in float64 where the formats allow sums that float32 does not hold. Activations that the hardware computes
    with other numbers are compared as the model computes them.

    Returns
    -------
    tuple of str
        A sentence for each such activation: what differs, and in how many samples the hardware's outputs do.

    Raises
    ------
    ConversionError
        If any output differs in any bit, with the first layer that does.
    """
    inputs = precision.quantize_inputs(network.inputs, _inputs(network, x))
    wide = exceeds_float32(network, precision)
    compute = float64_outputs if wide else outputs_of
    inputs = inputs if wide else inputs.astype(np.float32)
    model_ends, endings = _at_logits(model, network, reader)
    outputs = side_by_side(compute(model_ends, inputs))
    instead = {
        layer.name: reader.instead[layer.name] for layer in network.layers if layer.name in reader.instead
    }
    student = _with_own_activations(network, precision, instead, reader)
    ours = ended(side_by_side(compute(student, inputs)), network.outputs, endings)
    differs = (ours != outputs).any(axis=1)
    if differs.any():
        _refuse(model, student, reader, inputs, differs, lambda a, b: not np.array_equal(a, b))
    if not instead:
        return ()
    hardware = side_by_side(compute(build_quantized(network, precision), inputs))
    hardware = ended(hardware, network.outputs, endings)
    changed = int((hardware != outputs).any(axis=1).sum())
    largest = float(np.abs(hardware.astype(np.float64) - outputs).max(initial=0.0))
    return tuple(
        f"layer {name!r} computes other numbers than {given.what} of the model ({given.why}): with the "
        f"hardware's {changed} of {len(inputs)} samples have other outputs, by up to {largest:.3g}"
        for name, given in instead.items()
    )


def _with_own_activations(
    network: Network, precision: PrecisionMap, instead: Mapping[str, Instead], reader: Reader
) -> keras.Model:
    """The student with the user's own activations where the hardware computes other numbers."""
    names = {layer.name for layer in network.layers}
    own = {name: each.made(name) for name, each in instead.items()}
    needed, layers = set(network.output_names), []
    for layer in reversed(network.layers):
        if layer.name in needed or layer.row.role == "input":
            if layer.name in instead:
                source = instead[layer.name].source
                # the grid of an input, which is no layer any more
                source = source if source in names else reader.layers[source].inputs[0]
                layer = LayerSpec(layer.name, "linear", (source,))
            needed |= set(layer.inputs)
            layers.append(layer)
    return build_quantized(replace(network, layers=tuple(reversed(layers))), precision, own)


def _at_logits(
    model: keras.Model, network: Network, reader: Reader
) -> tuple[keras.Model, tuple[str | None, ...]]:
    """The model without the functions that the reader left out at its ends, and those that could not be left out.

    Large logits are all 0 or 1 behind a softmax, which would hide that they differ.
    """
    # a cut is tried on random numbers, which are no places in a table
    if not any(reader.endings) or network.index_sizes():
        return model, reader.endings
    cut, ends = without_endings(model)
    return (cut, (None,) * len(ends)) if ends == reader.endings else (model, reader.endings)


def _inputs(network: Network, x: np.ndarray | None) -> np.ndarray:
    if x is None:
        return random_inputs(network, 32)
    x = np.asarray(x, dtype=np.float32)
    if x.shape[1:] != network.input_shape:
        raise DataError(
            f"the data's samples have shape {x.shape[1:]}, but {network.name!r} takes {network.input_shape}"
        )
    check_indices(network, x)
    return x[:SAMPLES]


def _whole_inputs(model: keras.Model) -> str:
    """The dtype of inputs that are whole numbers; empty without any."""
    dtypes = (str(tensor.dtype) for tensor in functional(model).inputs)
    return next((dtype for dtype in dtypes if "int" in dtype), "")


def random_inputs(network: Network, n_samples: int) -> np.ndarray:
    """Inputs `(n_samples, *input_shape)`, float32: normal ones, places in a table where an input is one; always the same."""
    rng, rows = np.random.default_rng(0), network.index_sizes()
    parts = [
        rng.integers(rows[port.name], size=(n_samples, *port.shape))
        if port.name in rows
        else rng.normal(size=(n_samples, *port.shape))
        for port in network.inputs
    ]
    return (parts[0] if len(parts) == 1 else side_by_side(parts)).astype(np.float32)


def check_indices(network: Network, x: np.ndarray) -> None:
    """Refuse inputs that an embedding has no row for; `DataError` says which."""
    parts = dict(zip((port.name for port in network.inputs), apart(network.inputs, x), strict=True))
    for name, rows in network.index_sizes().items():
        values = parts[name]
        wrong = (values != np.floor(values)) | (values < 0) | (values >= rows)
        if wrong.any():
            raise DataError(
                f"{network.name!r} looks its input {name!r} up in a table of {rows} rows, but the data have the value "
                f"{float(values[wrong].flat[0]):g} there; give whole numbers from 0, with data.scaling none"
            )


def _listed(model: keras.Model, x: np.ndarray) -> list[np.ndarray]:
    return keras.tree.flatten(fed(model, x))


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
    names = {layer.name for layer in built.layers}
    found = [
        (call, reader.of[call.outputs[0]])
        for call in reader.graph.calls
        if call.outputs and not call.nested and reader.of.get(call.outputs[0]) in names
    ]
    try:
        # lists, also where the models are called with something else
        ends: Any = [call.tensors[0] for call, _ in found]
        theirs: Any = keras.Model(opened.inputs, ends)(_listed(model, x), training=False)
        ends = [built.get_layer(name).output for _, name in found]
        ours: Any = keras.Model(built.inputs, ends)(_listed(built, x), training=False)
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
    return "every layer agrees but the ends; end the model with linear layers, softmax or sigmoid"
