"""The one supported Keras 3 layer that hls4ml 1.3 cannot read, though its C++ computes it: zero padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def register_zero_padding() -> None:
    """Teach hls4ml's Keras 3 front end `ZeroPadding1D` and `ZeroPadding2D`, unless it knows them already."""
    from hls4ml.converters.keras_v3 import layer_handlers

    for rank in (1, 2):
        name = f"keras.src.layers.reshaping.zero_padding{rank}d.ZeroPadding{rank}D"
        layer_handlers.setdefault(name, _read)


def _read(layer: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    """Describe a layer as hls4ml's own readers do (`hls4ml.converters.keras_v3._base.KerasV3LayerHandler`)."""
    (given,), (made,) = inputs, outputs
    pads = [layer.padding] if len(given.shape) == 3 else layer.padding
    description: dict[str, Any] = {
        "name": layer.name,
        "class_name": type(layer).__name__,
        "module": layer.__module__,
        "input_keras_tensor_names": [given.name],
        "output_keras_tensor_names": [made.name],
        "input_shape": [list(given.shape[1:])],
        "data_format": "channels_last",
        "n_chan": given.shape[-1],
    }
    sides = (("height", "top", "bottom"), ("width", "left", "right"))[-len(pads) :]
    for axis, ((side, before, after), pad) in enumerate(zip(sides, pads, strict=True), 1):
        description |= {f"in_{side}": given.shape[axis], f"out_{side}": made.shape[axis]}
        description |= {f"pad_{before}": pad[0], f"pad_{after}": pad[1]}
    return (description,)
