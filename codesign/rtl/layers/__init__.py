"""How each kind of layer becomes logic, after the C++ templates of hls4ml; each file is a family."""

from __future__ import annotations

from collections.abc import Mapping

from codesign.rtl.layers import activations, linear, pooling, shapes, softmax
from codesign.rtl.layers.common import Tracer

TRACERS: Mapping[str, Tracer] = {
    kind: trace
    for family in (linear, activations, softmax, pooling, shapes)
    for kind, trace in family.TRACERS.items()
}
"""The function that traces each kind of node (besides ``input``); kinds that are not here cannot become RTL."""
