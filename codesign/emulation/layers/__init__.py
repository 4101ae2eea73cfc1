"""How each kind of layer computes, after the C++ templates of hls4ml; each file is a family."""

from __future__ import annotations

from collections.abc import Mapping

from codesign.emulation.layers import activations, linear, pooling, recurrent, shapes, softmax
from codesign.emulation.layers.step import Planner

PLANNERS: Mapping[str, Planner] = {
    kind: plan
    for family in (linear, activations, softmax, pooling, shapes, recurrent)
    for kind, plan in family.PLANNERS.items()
}
"""Every kind of node that `codesign.hls.graph` makes."""
