"""Trained Keras and QKeras models from files: one door for all that users have."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from codesign.core.files import is_checkpoint, is_saved_model
from codesign.core.places import H5
from codesign.errors import DataError
from codesign.networks import keras2


def load_model(path: str | Path, what: str = "the model") -> keras.Model:
    """Load a trained model, QKeras' layers and this package's own included.

    Parameters
    ----------
    path
        A `.keras`, `.h5` or `.hdf5` file, of Keras 2 or 3, or the folder of a SavedModel that Keras 2 wrote.
    what
        What it is, for sentences.

    Raises
    ------
    DataError
        If the file is missing, is something else (an exported SavedModel, weights alone), or cannot be loaded: one sentence
        with the cure.
    """
    path = Path(path)
    if path.is_dir():
        if is_saved_model(path):
            return _read(path, what, lambda: keras2.load_saved_model(path, what))
        raise DataError(f"{what} {path} is a folder; give a .keras or .h5 file")
    if not path.is_file() and not is_checkpoint(path):
        raise DataError(f"{what} {path} does not exist; give a trained .keras or .h5 file")
    if path.name.endswith((".weights.h5", ".weights.json")) or is_checkpoint(path):
        raise DataError(
            f"{what} {path} holds weights alone; save the whole model with model.save('name.keras')"
        )
    fault = _fault_of_archive(path, what) if path.suffix == ".keras" else _fault_of_h5(path, what)
    if fault is not None:
        raise DataError(fault)
    return _read(path, what, lambda: _load(path))


def _load(path: Path) -> keras.Model:
    if path.suffix == ".keras":
        if keras2.is_keras2(_metadata(path).get("keras_version")):
            return keras2.load_archive(path)
    elif keras2.is_keras2(_h5_version(path)):
        return keras2.load_h5(path)
    return keras.models.load_model(path, compile=False)


def _read(path: Path, what: str, load: Callable[[], keras.Model]) -> keras.Model:
    """What a file holds; whatever goes wrong becomes one sentence."""
    # registers QKeras' layers and this package's own
    from codesign.networks import qkeras_classes  # noqa: F401

    try:
        model = load()
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{what} {path} cannot be loaded: {_reason(error)}") from error
    if not isinstance(model, keras.Model):
        raise DataError(f"{what} {path} holds a {type(model).__name__}, not a keras.Model")
    return model


def _fault_of_archive(path: Path, what: str) -> str | None:
    """Why a `.keras` file is none of Keras 3, as far as its outside tells."""
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"\x89HDF"):
        return f"{what} {path} is an HDF5 file by another name; rename it to .h5"
    if not zipfile.is_zipfile(path):
        return (
            f"{what} {path} is no .keras file (it is no zip archive), or it is damaged; save the model again"
        )
    try:
        _metadata(path)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        return f"{what} {path} is no .keras file, or it is damaged ({type(error).__name__}: {error}); save the model again"
    return None


def _metadata(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        about = json.loads(archive.read("metadata.json"))
    return about if isinstance(about, dict) else {}


def _fault_of_h5(path: Path, what: str) -> str | None:
    if path.suffix.lower() not in H5:
        return f"{what} {path} must be a .keras or .h5 file, not {path.suffix or 'a file without a suffix'}"
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if "model_config" not in file.attrs:
                return (
                    f"{what} {path} holds weights alone; save the whole model with model.save('name.keras')"
                )
    except OSError as error:
        return f"{what} {path} is no HDF5 file, or it is damaged ({error}); save the model again"
    return None


def _h5_version(path: Path) -> Any:
    import h5py

    with h5py.File(path, "r") as file:
        return file.attrs.get("keras_version")


def _reason(error: Exception) -> str:
    """The innermost sentence of what Keras says: around it stands the whole configuration."""
    text = " ".join(str(error).split())
    if operation := re.search(
        r"'class_name': '(?:TFOpLambda|SlicingOpLambda)'.*?'function': '([^']+)'", text
    ):
        return (
            f"its graph has TensorFlow's own operation {operation[1]!r}; put a layer of Keras in its place (Activation, Add, "
            "Multiply, ...)"
        )
    if name := re.search(r"(?:Could not locate class|Unknown layer:) '?(\w+)", text):
        return (
            f"the class {name[1]!r} is not known; import the module that defines it and register it with "
            "@keras.saving.register_keras_serializable(), or build the model of Keras' own layers"
        )
    if "safe_mode" in text or "Lambda" in text[:300]:
        return "it has a Lambda layer, whose function cannot be read; use layers"
    inner = text.rsplit("Exception encountered: ", 1)[-1]
    return f"{type(error).__name__}: {inner[:200]}"
