"""What becomes of every argument of every Keras and QKeras layer that is read: read, harmless, or only its default."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from codesign.core.layers import LAYERS

TRAINING = frozenset(
    f"{what}_{of}"
    for what in (
        "kernel",
        "recurrent",
        "bias",
        "depthwise",
        "pointwise",
        "alpha",
        "embeddings",
        "beta",
        "gamma",
        "moving_mean",
        "moving_variance",
    )
    for of in ("initializer", "regularizer", "constraint", "range")
) | {"activity_regularizer"}
"""Arguments that matter while weights are made or trained, not for what a trained layer computes."""

BASE = frozenset({"name", "trainable", "autocast", "args", "kwargs"})
"""Arguments of every layer that change no number."""

BASE_DEFAULTS: Mapping[str, Any] = {"dtype": None, "quantization_config": None}
"""Arguments of every layer that are checked on the layer itself: its policy, its mode of quantization."""

_DENSE = {"units", "activation", "use_bias"}
_CONV = {
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "data_format",
    "dilation_rate",
    "activation",
    "use_bias",
}
_DEPTHWISE = (_CONV - {"filters"}) | {"depth_multiplier"}
_POOL = {"pool_size", "strides", "padding", "data_format"}
_NORM = {"axis", "momentum", "epsilon", "center", "scale"}
_RECURRENT = {
    "units",
    "activation",
    "use_bias",
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "dropout",  # nothing at inference, as is a layer of it
    "recurrent_dropout",
    "seed",
    "unroll",  # how it is computed
}
_GATED = {*_RECURRENT, "recurrent_activation", "use_cudnn"}
_QUANTIZERS = {"kernel_quantizer", "bias_quantizer"}
_PARTS = {"depthwise_quantizer", "pointwise_quantizer", "bias_quantizer"}
_FOLDED = {"ema_freeze_delay", "folding_mode", *_NORM}

READ: Mapping[str, frozenset[str]] = {
    name: frozenset(arguments)
    for name, arguments in {
        "InputLayer": {"shape", "batch_size", "batch_shape"},
        "TakeInput": {"start", "shape"},
        "Dense": _DENSE,
        "Conv1D": _CONV | {"groups"},
        "Conv2D": _CONV | {"groups"},
        "DepthwiseConv1D": _DEPTHWISE,
        "DepthwiseConv2D": _DEPTHWISE,
        "SeparableConv1D": _CONV | {"depth_multiplier"},
        "SeparableConv2D": _CONV | {"depth_multiplier"},
        "EinsumDense": {"equation", "output_shape", "activation", "bias_axes"},
        "BatchNormalization": _NORM,
        "Normalization": {"axis", "mean", "variance", "invert"},
        "Rescaling": {"scale", "offset"},
        "Activation": {"activation"},
        "ReLU": {"max_value", "negative_slope", "threshold"},
        "PReLU": {"shared_axes"},
        "Softmax": {"axis"},
        "Dot": {"axes", "normalize"},
        "Embedding": {"input_dim", "output_dim", "weights"},
        "GRU": _GATED | {"reset_after"},
        "LSTM": _GATED | {"unit_forget_bias"},
        "SimpleRNN": _RECURRENT,
        "Flatten": {"data_format"},
        "Reshape": {"target_shape"},
        "RepeatVector": {"n"},
        "UpSampling1D": {"size"},
        "UpSampling2D": {"size", "data_format", "interpolation"},
        **{
            f"Global{w}Pooling{rank}D": {"data_format", "keepdims"}
            for w in ("Max", "Average")
            for rank in (1, 2)
        },
        "TimeDistributed": {"layer"},
        "Bidirectional": {"layer", "merge_mode", "backward_layer", "weights"},
        "QDense": _DENSE | _QUANTIZERS,
        "QConv1D": _CONV | _QUANTIZERS,
        "QConv2D": _CONV | _QUANTIZERS,
        "QDepthwiseConv2D": _DEPTHWISE | {"depthwise_quantizer", "bias_quantizer"},
        "QSeparableConv1D": _CONV | _PARTS | {"depth_multiplier"},
        "QSeparableConv2D": _CONV | _PARTS | {"depth_multiplier"},
        "QDenseBatchnorm": _DENSE | _QUANTIZERS | _FOLDED,
        "QConv2DBatchnorm": _CONV | _QUANTIZERS | _FOLDED,
        "QDepthwiseConv2DBatchnorm": _DEPTHWISE | {"depthwise_quantizer", "bias_quantizer"} | _FOLDED,
        "QBatchNormalization": _NORM
        | {f"{name}_quantizer" for name in ("beta", "gamma", "mean", "variance", "inverse")},
        "QActivation": {"activation"},
        "QSimpleRNN": {"units"},
        "QLSTM": {"units"},
        "QGRU": {"units"},
        "QBidirectional": {"layer", "merge_mode", "backward_layer", "weights"},
        "QAveragePooling2D": _POOL | {"average_quantizer", "activation"},
        "QGlobalAveragePooling2D": {"data_format", "average_quantizer", "activation"},
    }.items()
}
"""The arguments that the reader of a class looks at, and takes or refuses, besides the options of its row."""

_BY_ROW: Mapping[str, frozenset[str]] = {
    name: frozenset((*row.options, "data_format")) for row in LAYERS for name in row.keras
}

ONLY: Mapping[str, Mapping[str, Any]] = {
    "InputLayer": {"sparse": False, "ragged": False, "optional": False, "input_tensor": None},
    "Dense": {"lora_rank": None, "lora_alpha": None},
    "EinsumDense": {"lora_rank": None, "lora_alpha": None, "gptq_unpacked_column_size": None},
    "Embedding": {
        "mask_zero": False,
        "lora_rank": None,
        "lora_alpha": None,
    },
    "BatchNormalization": {
        "synchronized": False,
        "renorm": False,
        "renorm_clipping": None,
        "renorm_momentum": 0.99,
    },
    "QConv2D": {"mask": None},
    "QConv2DBatchnorm": {"mask": None},
    "QBatchNormalization": {"activation": None},
}
"""Arguments that must have this value: another is refused by name."""


def unexpected(layer: Any) -> Iterator[tuple[str, Any, Any]]:
    """Arguments of a layer with a value that is not read: name, value, the value that there must be."""
    for name, value in ONLY.get(type(layer).__name__, {}).items():
        given = _value_of(layer, name, value)
        if given != value:
            yield name, given, value
    policy = getattr(layer, "dtype_policy", None)
    if getattr(policy, "quantization_mode", None) is not None:
        yield "dtype", policy.name, "float32"  # type: ignore[union-attr]
    elif policy is not None and policy.compute_dtype != "float32":
        yield "dtype", policy.name, "float32"
    if getattr(layer, "lora_enabled", False):
        yield "lora_enabled", True, False
    if getattr(layer, "quantization_config", None) is not None:
        yield "quantization_config", layer.quantization_config, None
    for variable in layer.variables if isinstance(layer, keras.Layer) else ():
        if not str(variable.dtype).startswith("float") and not variable.path.endswith(
            ("seed_generator_state", "count", "iteration")  # of random numbers, of an adaptation, of training
        ):
            yield f"weight {variable.name}", str(variable.dtype), "float32"


def _value_of(layer: Any, name: str, default: Any) -> Any:
    """What a layer keeps of an argument; some keep it in their configuration alone."""
    if hasattr(layer, name):
        return getattr(layer, name)
    try:
        return layer.get_config().get(name, default)
    except TypeError:  # a part of it that cannot be written, such as an activation: its reader says so
        return default


def arguments_of(layer_class: type) -> frozenset[str]:
    """Every argument of a layer's constructor, those of Keras' base layer included."""
    own = set(inspect.signature(layer_class.__init__).parameters) - {"self"}  # type: ignore[misc]
    return frozenset(own | (set(inspect.signature(keras.Layer.__init__).parameters) - {"self"}))


def undeclared(layer_class: type) -> frozenset[str]:
    """Arguments of which nobody has said what becomes of them."""
    name = layer_class.__name__
    known = (
        READ.get(name, frozenset())
        | _BY_ROW.get(name, frozenset())
        | set(ONLY.get(name, ()))
        | TRAINING
        | BASE
        | set(BASE_DEFAULTS)
    )
    known |= {"depthwise_quantizer", "bias_quantizer"} if name == "DepthwiseConv1D" else set()
    if hasattr(layer_class, "described"):  # a student's own layer reads back what made it
        known |= set(inspect.signature(layer_class.__init__).parameters)  # type: ignore[misc]
    return arguments_of(layer_class) - known
