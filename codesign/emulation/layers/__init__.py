"""How each kind of layer computes, after the C++ templates of hls4ml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from codesign.emulation.codes import Signal
from codesign.emulation.layers.activations import plan_activation, plan_hard, plan_parametrized, plan_prelu
from codesign.emulation.layers.linear import (
    plan_batch_normalization,
    plan_convolution,
    plan_dense,
    plan_depthwise,
    plan_einsum_dense,
)
from codesign.emulation.layers.pooling import plan_global_pooling, plan_pooling
from codesign.emulation.layers.recurrent import plan_bidirectional, plan_recurrent
from codesign.emulation.layers.shapes import (
    plan_broadcast,
    plan_concatenate,
    plan_copy,
    plan_cropping,
    plan_embedding,
    plan_input,
    plan_merge,
    plan_resize,
    plan_transpose,
    plan_zero_padding,
)
from codesign.emulation.layers.softmax import plan_decision, plan_softmax
from codesign.emulation.layers.step import Step
from codesign.hls.graph import DECISION, Graph, Node

Planner = Callable[[Node, Sequence[Signal], Graph], Step]

PLANNERS: Mapping[str, Planner] = {
    "input": plan_input,
    "dense": plan_dense,
    "einsum_dense": plan_einsum_dense,
    "conv_1d": plan_convolution,
    "conv_2d": plan_convolution,
    "depthwise_conv_1d": plan_depthwise,
    "depthwise_conv_2d": plan_depthwise,
    "batch_normalization": plan_batch_normalization,
    "activation": plan_activation,
    "parametrized_activation": plan_parametrized,
    "prelu": plan_prelu,
    "hard_activation": plan_hard,
    "softmax": plan_softmax,
    "pooling_1d": plan_pooling,
    "pooling_2d": plan_pooling,
    "global_pooling_1d": plan_global_pooling,
    "global_pooling_2d": plan_global_pooling,
    "zero_padding_1d": plan_zero_padding,
    "zero_padding_2d": plan_zero_padding,
    "cropping_1d": plan_cropping,
    "cropping_2d": plan_cropping,
    "resize": plan_resize,
    "merge": plan_merge,
    "concatenate": plan_concatenate,
    "reshape": plan_copy,
    "clone": plan_copy,
    "broadcast": plan_broadcast,
    "transpose": plan_transpose,
    "embedding": plan_embedding,
    "lstm": plan_recurrent,
    "gru": plan_recurrent,
    "bidirectional": plan_bidirectional,
    DECISION: plan_decision,
}
"""Every kind of node that `codesign.hls.graph` makes."""
