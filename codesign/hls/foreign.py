"""Projects that hls4ml wrote by itself, without a manifest: the graph behind them, proved by writing it again."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import yaml

from codesign.core.target import DEFAULT_TOP, Backend, IoType, Target
from codesign.errors import ConversionError, StaleProjectError
from codesign.hls.keras_layers import register_layers

if TYPE_CHECKING:
    import keras
    from hls4ml.model import ModelGraph

CONFIG = "hls4ml_config.yml"
_MODEL = "keras_model.keras"


class _Loader(yaml.SafeLoader):
    """Plain YAML, and hls4ml's word for the path of a Keras model."""


def _path(loader: yaml.SafeLoader, node: Any) -> Any:
    return loader.construct_scalar(node)


_Loader.add_constructor("!keras_model", _path)


def is_foreign(folder: str | Path) -> bool:
    """Whether hls4ml wrote a folder as a project."""
    return (Path(folder) / CONFIG).is_file()


def convert_foreign(folder: str | Path, load: Callable[[Path], keras.Model]) -> tuple[ModelGraph, Target]:
    """Convert the Keras model in an hls4ml project again, with the project's own configuration.

    Parameters
    ----------
    folder
        The project.
    load
        Reads its `.keras` file.

    Raises
    ------
    ConversionError
        If the project was not made of a Keras model, or not for Vitis or Vivado, or hls4ml refuses the configuration.
    """
    import hls4ml

    folder = Path(folder)
    config = _read_config(folder / CONFIG)
    path = folder / _MODEL
    if not path.is_file():
        raise ConversionError(
            f"{folder} has no {_MODEL}, which hls4ml leaves in the projects of Keras models; convert the model again"
        )
    target = Target(
        str(config.get("Part")),
        float(config.get("ClockPeriod", 5.0)),
        _known(folder, config, "Backend", get_args(Backend)),
        _known(folder, config, "IOType", get_args(IoType)),
    )
    register_layers()
    model = load(path)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            graph = hls4ml.converters.convert_from_config(
                {**config, "KerasModel": model, "ProjectName": DEFAULT_TOP}
            )
    except Exception as error:
        raise ConversionError(
            f"hls4ml cannot convert {path} again: {type(error).__name__}: {error}"
        ) from error
    return graph, target


def require_same_firmware(foreign: str | Path, again: str | Path) -> None:
    """Compare the sources and weights of a project with those that were written of it again, but for its name.

    Raises
    ------
    StaleProjectError
        If one differs: the folder is not what its configuration and model say, or of another hls4ml.
    """
    config = _read_config(Path(foreign) / CONFIG)
    name = str(config.get("ProjectName", "myproject"))
    theirs, ours = Path(foreign) / "firmware", Path(again) / "firmware"
    files = [
        ours / f"{DEFAULT_TOP}.cpp",
        ours / f"{DEFAULT_TOP}.h",
        ours / "parameters.h",
        ours / "defines.h",
    ]
    files += sorted((ours / "weights").glob("*"))
    for path in files:
        other = theirs / path.relative_to(ours).parent / path.name.replace(DEFAULT_TOP, name)
        text = other.read_bytes() if other.is_file() else None
        renamed = None if text is None else _renamed(text, name)
        if renamed != _renamed(path.read_bytes(), DEFAULT_TOP):
            what = "is missing" if text is None else "is another"
            raise StaleProjectError(
                f"{other} {what}: it is not what the installed hls4ml writes of {_MODEL} and {CONFIG} beside it, so that "
                "nothing can be said of the project; convert the model again"
            )


def _renamed(text: bytes, name: str) -> bytes:
    for spelling in (str, str.upper):
        text = text.replace(spelling(name).encode(), b"@")
    return text


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConversionError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict):
        raise ConversionError(f"{path} holds no configuration of hls4ml")
    return config


def _known(folder: Path, config: dict[str, Any], key: str, known: tuple[str, ...]) -> Any:
    value = config.get(key)
    if value not in known:
        raise ConversionError(f"{folder / CONFIG}: {key} is {value!r}; known are {', '.join(known)}")
    return value
