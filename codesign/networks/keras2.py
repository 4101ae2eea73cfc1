"""Models that Keras 2 saved: their configuration said in Keras 3's words, their weights as they are."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from codesign.errors import DataError

_MODELS = ("Sequential", "Functional", "Model")
_INNER = ("layer", "forward_layer", "backward_layer", "cell")
"""Arguments that are layers themselves."""

_GONE: Mapping[str, Any] = {"time_major": False, "ragged": False, "groups": 1, "input_length": None}
"""Arguments that Keras 3 has not everywhere, with the only value that it can stand for."""

_WITH_GROUPS = ("Conv1D", "Conv2D", "Conv3D", "QConv1D", "QConv2D")

_SAMPLES, _NEAR = 64, 1e-4
"""On how many inputs a SavedModel and what was read of it are compared, and how far they may differ, of the largest output."""


def is_keras2(version: Any) -> bool:
    """Whether this is what a file says whose writer was Keras 2: ``2.11.0``, ``2.2.4-tf``, or nothing."""
    text = version.decode(errors="replace") if isinstance(version, bytes) else str(version or "2.")
    return text.startswith("2.")


def load_h5(path: Path) -> keras.Model:
    """The model of an `.h5` file."""
    import h5py

    with h5py.File(path, "r") as file:
        config = json.loads(file.attrs["model_config"])
    model = _built(config)
    model.load_weights(path, by_name=True)
    for name, inner in _nested(config).items():  # whose weights are in a row
        _require_order(model.get_layer(name), inner, path)
    return model


def load_archive(path: Path) -> keras.Model:
    """The model of a `.keras` file."""
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="codesign-keras2-") as folder:
        config = json.loads(archive.read("config.json"))
        model = _built(config)
        _require_order(model, config, path)
        model.load_weights(archive.extract("model.weights.h5", folder))
    return model


def _nested(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The models inside a model, by name."""
    layers = config["config"]["layers"]
    return {
        one["config"]["name"]: one
        for one in layers
        if isinstance(one["config"], Mapping) and "layers" in one["config"]
    }


def _require_order(model: keras.Model, config: Mapping[str, Any], path: Path) -> None:
    """Refuse weights that are kept in a row, of layers that Keras 3 has in another order: they would change places."""
    here = [layer.name for layer in model.layers if layer.weights]
    there = [one["config"]["name"] for one in config["config"]["layers"]]
    if here != [name for name in there if name in here]:
        raise DataError(
            f"{path} cannot be read for sure: Keras 3 has the layers of {model.name!r} in another order, {', '.join(here)}; save "
            "it as a SavedModel, model.save('name') in the Keras that made it"
        )
    for name, inner in _nested(config).items():
        _require_order(model.get_layer(name), inner, path)


def load_saved_model(path: Path, what: str) -> keras.Model:
    """The model of a SavedModel folder, whose own function must compute the same numbers.

    Raises
    ------
    DataError
        If the folder has no layers (an export, or TensorFlow without Keras), or computes other numbers than they.
    """
    import tensorflow as tf

    about = path / "keras_metadata.pb"
    root = next(_strings(about.read_bytes()), "{}") if about.is_file() else "{}"
    saved = json.loads(root)
    if "config" not in saved:
        raise DataError(
            f"{what} {path} is a SavedModel without layers, which can only compute; save it with model.save('name.keras') in "
            "the Keras that made it"
        )
    model = _built(saved)
    held = tf.saved_model.load(str(path))
    weights = [np.asarray(variable) for variable in held.variables]
    model.set_weights(weights)
    _settle(model)
    _prove(model, held.signatures["serving_default"], f"{what} {path}")
    return model


def _settle(model: keras.Model) -> None:
    """Let normalisations take the means and variances that were set."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _settle(layer)
        elif isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def _prove(model: keras.Model, function: Any, name: str) -> None:
    """Refuse a model that does not compute what the SavedModel's own function does."""
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(_SAMPLES, *input.shape[1:])).astype("float32") for input in model.inputs]
    arguments = function.structured_input_signature[1]
    names = [next(iter(arguments))] if len(x) == 1 else [input.name for input in model.inputs]
    outputs = function(**dict(zip(names, x, strict=True)))
    theirs = [outputs[key] for key in (outputs if len(outputs) == 1 else model.output_names)]
    ours = model(x if len(x) > 1 else x[0], training=False)
    for one, other in zip(theirs, ours if isinstance(ours, list) else [ours], strict=True):
        given, found = np.asarray(one), np.asarray(other)
        if not np.allclose(given, found, rtol=0, atol=_NEAR * max(1.0, np.abs(given).max())):
            raise DataError(
                f"{name} computes other numbers than its layers (up to {np.abs(given - found).max():.3g}); save it with "
                "model.save('name.h5') in the Keras that made it"
            )


def _strings(message: bytes) -> Iterator[str]:
    """The metadata of the nodes of a `SavedMetadata` protocol buffer, the model's first (field 1, and in it field 5)."""
    for number, node in _fields(message):
        if number == 1:
            yield from (value.decode() for inner, value in _fields(node) if inner == 5)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a protocol buffer that hold bytes, with their numbers."""
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            varint()
        elif kind == 2:
            size = varint()
            yield number, message[place : place + size]
            place += size
        else:
            raise ValueError(f"a field of kind {kind} in the metadata of a SavedModel")


def _built(config: Mapping[str, Any]) -> keras.Model:
    """A model without its weights."""
    model: keras.Model = keras.models.model_from_json(json.dumps(_entry(_plain(config))))
    return model


def _plain(value: Any) -> Any:
    """JSON without the marks of tuples and shapes, which a SavedModel has, and with the registered names of Keras 3.

    Without its registered name a quantizer would be read with its defaults in place of its own settings.
    """
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if not isinstance(value, Mapping):
        return value
    if "items" in value and value.get("class_name") in ("__tuple__", "TensorShape"):
        return _plain(value["items"])
    plain = {
        name: _plain(part) for name, part in value.items() if name not in ("build_config", "compile_config")
    }
    if "config" in plain and (registered := _registered(str(plain.get("class_name")))):
        plain |= {"module": None, "registered_name": registered}
    return plain


def _registered(kind: str) -> str | None:
    """The name under which a class of others than Keras is registered: ``qkeras>quantized_bits``."""
    kind = kind.split(">")[-1]
    return next((name for name in keras.saving.get_custom_objects() if name.split(">")[-1] == kind), None)


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A layer or a model, as Keras 3 writes it."""
    kind = entry["class_name"].split(">")[-1]
    config = {
        name: value
        for name, value in entry["config"].items()
        if name not in _GONE or value != _GONE[name] or (name == "groups" and kind in _WITH_GROUPS)
    }
    if kind.startswith("Separable"):  # it has two kernels, and these arguments for neither
        config = {
            name: value
            for name, value in config.items()
            if not name.startswith("kernel_") or name == "kernel_size"
        }
    for name in _INNER:
        if isinstance(config.get(name), Mapping) and "class_name" in config[name]:
            config[name] = _entry(config[name])
    if isinstance(config.get("dtype"), Mapping):  # a policy
        config["dtype"] = config["dtype"]["config"]["name"]
    axis = config.get("axis")
    if isinstance(axis, list) and len(axis) == 1:
        config["axis"] = axis[0]
    if kind == "InputLayer" and "batch_input_shape" in config:
        config["batch_shape"] = config.pop("batch_input_shape")
    if kind in _MODELS:
        return _model_entry(kind, config)
    known = hasattr(keras.layers, kind)
    return {
        "module": "keras.layers" if known else None,
        "class_name": kind,
        "config": config,
        "registered_name": None if known else _registered(kind) or kind,
    }


def _model_entry(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    given = config["layers"]
    layers: list[dict[str, Any]] = []
    for entry in given:
        made = _entry(entry)
        shape = made["config"].pop("batch_input_shape", None)
        if shape is not None and kind == "Sequential" and not layers:
            name = f"{made['config']['name']}_input"
            layers.append(
                _entry({"class_name": "InputLayer", "config": {"batch_shape": shape, "name": name}})
            )
        layers.append(made)
    if kind == "Sequential":
        new = {"name": config["name"], "layers": layers}
        return {"module": "keras", "class_name": kind, "config": new, "registered_name": None}
    # a nested model began with a call of its own, which Keras 3 does not count, but for the outputs of a functional one
    kinds = {one["config"]["name"]: one["class_name"] for one in layers if one["class_name"] in _MODELS}
    nested, sequential = set(kinds), {name for name, its in kinds.items() if its == "Sequential"}
    for made, entry in zip(layers, given, strict=True):
        made["name"] = entry["name"]
        made["inbound_nodes"] = [_counted(node, nested) for node in entry["inbound_nodes"]]
    new = {
        "name": config["name"],
        "trainable": True,
        "layers": layers,
        "input_layers": _alone(config["input_layers"]),
        "output_layers": _alone(_counted(config["output_layers"], sequential)),
    }
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": new,
        "registered_name": "Functional",
    }


def _alone(ports: Any) -> Any:
    """The one port of a list, which would be a list of one array to Keras 3; several as they are."""
    return ports[0] if len(ports) == 1 and isinstance(ports[0], list) else ports


def _counted(node: Any, nested: set[str]) -> Any:
    """A reference `[layer, call, output, ...]`, or a list of them, with the calls counted as Keras 3 does."""
    if not isinstance(node, list):
        return node
    if len(node) >= 3 and isinstance(node[0], str) and isinstance(node[1], int):
        return [node[0], node[1] - 1, *node[2:]] if node[0] in nested and node[1] else node
    return [_counted(part, nested) for part in node]
