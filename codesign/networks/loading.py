"""Trained Keras and QKeras models from files: one door for all that users have."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import keras

from codesign.errors import DataError

_ANY = "; save it with model.save('name.keras') in the Keras that made it"


def load_model(path: str | Path, what: str = "the model") -> keras.Model:
    """Load a trained model, QKeras' layers and this package's own included.

    Parameters
    ----------
    path
        A `.keras`, `.h5` or `.hdf5` file.
    what
        What it is, for sentences.

    Raises
    ------
    DataError
        If the file is missing, is something else (a folder of a SavedModel, weights alone, a model of Keras 2), or cannot be
        loaded: one sentence with the cure.
    """
    path = Path(path)
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            raise DataError(f"{what} {path} is a SavedModel, which holds no layers{_ANY}")
        raise DataError(f"{what} {path} is a folder; give a .keras or .h5 file")
    if not path.is_file():
        raise DataError(f"{what} {path} does not exist; give a trained .keras or .h5 file")
    if path.name.endswith((".weights.h5", ".weights.json")):
        raise DataError(
            f"{what} {path} holds weights alone; save the whole model with model.save('name.keras')"
        )
    fault = _fault_of_archive(path, what) if path.suffix == ".keras" else _fault_of_h5(path, what)
    if fault is not None:
        raise DataError(fault)
    # registers QKeras' layers and this package's own
    from codesign.networks import qkeras_classes  # noqa: F401

    try:
        model = keras.models.load_model(path, compile=False)
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
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read("metadata.json"))
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        return f"{what} {path} is no .keras file, or it is damaged ({type(error).__name__}: {error}); save the model again"
    version = str(about.get("keras_version", "")) if isinstance(about, dict) else ""
    if version.startswith("2."):
        return (
            f"{what} {path} was saved by Keras {version}; load it there and save it as .h5, which both read"
        )
    return None


def _fault_of_h5(path: Path, what: str) -> str | None:
    if path.suffix.lower() not in (".h5", ".hdf5"):
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


def _reason(error: Exception) -> str:
    """The first sentence of what Keras says: it goes on with the whole configuration."""
    text = " ".join(str(error).split())
    if "Could not locate class" in text or "Unknown layer" in text or "Could not deserialize" in text[:200]:
        name = text.split("'")[1] if text.count("'") > 1 else "of its classes"
        return (
            f"the class {name!r} is not known; import the module that defines it and register it with "
            "@keras.saving.register_keras_serializable(), or build the model of Keras' own layers"
        )
    if "safe_mode" in text or "Lambda" in text[:300]:
        return "it has a Lambda layer, whose function cannot be read; use layers"
    return f"{type(error).__name__}: {text[:200]}"
