"""How each kind of layer becomes logic, after the C++ templates of hls4ml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from codesign.hls.graph import DECISION, Graph, Node
from codesign.rtl.layers.activations import trace_activation, trace_hard, trace_parametrized, trace_prelu
from codesign.rtl.layers.linear import (
    trace_batch_normalization,
    trace_convolution,
    trace_dense,
    trace_depthwise,
    trace_einsum_dense,
)
from codesign.rtl.layers.pooling import trace_global_pooling, trace_pooling
from codesign.rtl.layers.shapes import (
    trace_broadcast,
    trace_concatenate,
    trace_copy,
    trace_cropping,
    trace_embedding,
    trace_merge,
    trace_resize,
    trace_transpose,
    trace_zero_padding,
)
from codesign.rtl.layers.softmax import trace_decision, trace_softmax
from codesign.rtl.wires import Wires

Tracer = Callable[[Node, Sequence[Wires], Graph], Wires]

TRACERS: Mapping[str, Tracer] = {
    "dense": trace_dense,
    "einsum_dense": trace_einsum_dense,
    "conv_1d": trace_convolution,
    "conv_2d": trace_convolution,
    "depthwise_conv_1d": trace_depthwise,
    "depthwise_conv_2d": trace_depthwise,
    "batch_normalization": trace_batch_normalization,
    "activation": trace_activation,
    "parametrized_activation": trace_parametrized,
    "prelu": trace_prelu,
    "hard_activation": trace_hard,
    "softmax": trace_softmax,
    "pooling_1d": trace_pooling,
    "pooling_2d": trace_pooling,
    "global_pooling_1d": trace_global_pooling,
    "global_pooling_2d": trace_global_pooling,
    "zero_padding_1d": trace_zero_padding,
    "zero_padding_2d": trace_zero_padding,
    "embedding": trace_embedding,
    "cropping_1d": trace_cropping,
    "cropping_2d": trace_cropping,
    "resize": trace_resize,
    "merge": trace_merge,
    "concatenate": trace_concatenate,
    "reshape": trace_copy,
    "clone": trace_copy,
    "broadcast": trace_broadcast,
    "transpose": trace_transpose,
    DECISION: trace_decision,
}
"""The function that traces each kind of node (besides ``input``); kinds that are not here cannot become RTL."""
