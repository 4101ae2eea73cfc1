"""Layers that hls4ml 1.3 cannot read from Keras 3, though its C++ computes them: described as its own readers do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_Description = dict[str, Any]
_SIDES = (("height", "top", "bottom"), ("width", "left", "right"))


def register_layers() -> None:
    """Teach hls4ml's Keras 3 front end these layers, unless it knows them already."""
    from hls4ml.converters.keras_v3 import layer_handlers

    for name, describe in _HANDLERS.items():
        layer_handlers.setdefault(name, _handler(describe))


def _handler(describe: Callable[[Any, Any, Any], _Description]) -> Any:
    """What hls4ml calls (`hls4ml.converters.keras_v3._base.KerasV3LayerHandler`)."""

    def handle(layer: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> tuple[_Description, ...]:
        (given,), (made,) = inputs, outputs
        common = {
            "name": layer.name,
            "class_name": type(layer).__name__,
            "module": layer.__module__,
            "input_keras_tensor_names": [given.name],
            "output_keras_tensor_names": [made.name],
            "input_shape": [list(given.shape[1:])],
            "data_format": "channels_last",
        }
        return ({**common, **describe(layer, given, made)},)

    return handle


def _sizes(given: Any, made: Any) -> _Description:
    description: _Description = {"n_chan": given.shape[-1]}
    for axis, (side, _, _) in enumerate(_SIDES[4 - len(given.shape) :], 1):
        description |= {f"in_{side}": given.shape[axis], f"out_{side}": made.shape[axis]}
    return description


def _ends(what: str, pairs: Any, given: Any) -> _Description:
    pairs = [pairs] if len(given.shape) == 3 else pairs
    return {
        f"{what}_{end}": size
        for (_, *ends), pair in zip(_SIDES[2 - len(pairs) :], pairs, strict=True)
        for end, size in zip(ends, pair, strict=True)
    }


def _padding(layer: Any, given: Any, made: Any) -> _Description:
    return _sizes(given, made) | _ends("pad", layer.padding, given)


def _cropping(layer: Any, given: Any, made: Any) -> _Description:
    return _sizes(given, made) | _ends("crop", layer.cropping, given)


def _upsampling(layer: Any, given: Any, made: Any) -> _Description:
    if len(given.shape) == 3:
        sides = {"in_height": 1, "out_height": 1, "width_factor": int(made.shape[1] // given.shape[1])}
    else:
        sides = {"height_factor": int(layer.size[0]), "width_factor": int(layer.size[1])}
    return {"class_name": "Resize", "algorithm": "nearest", **_sizes(given, made), **sides}


def _scale(layer: Any, given: Any, made: Any) -> _Description:
    kernel = np.asarray(layer.kernel)
    bias = np.zeros_like(kernel) if layer.bias is None else np.asarray(layer.bias)
    n_in = int(np.prod(given.shape[1:]))
    return {
        "class_name": "BatchNormalization",
        "scale_data": kernel,
        "bias_data": bias,
        "n_in": n_in,
        "n_filt": -1 if len(given.shape) == 2 else given.shape[-1],
        "use_gamma": True,
        "use_beta": True,
    }


def _embedding(layer: Any, given: Any, made: Any) -> _Description:
    table = np.asarray(layer.embeddings)
    return {
        "n_in": int(np.prod(given.shape[1:])),
        "n_out": table.shape[1],
        "vocab_size": table.shape[0],
        "embeddings_data": table,
    }


_HANDLERS: dict[str, Callable[[Any, Any, Any], _Description]] = {
    "codesign.networks.hardware_layers.Scale": _scale,
    "keras.src.layers.core.embedding.Embedding": _embedding,
    **{f"keras.src.layers.reshaping.zero_padding{n}d.ZeroPadding{n}D": _padding for n in (1, 2)},
    **{f"keras.src.layers.reshaping.cropping{n}d.Cropping{n}D": _cropping for n in (1, 2)},
    **{f"keras.src.layers.reshaping.up_sampling{n}d.UpSampling{n}D": _upsampling for n in (1, 2)},
}
