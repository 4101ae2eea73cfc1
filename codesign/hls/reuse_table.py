"""The reuse-factor adviser for a converted network: every layer with its legal factors and what they imply."""

from __future__ import annotations

import math
from dataclasses import dataclass

from codesign.core.shown import Brief
from codesign.core.target import Strategy
from codesign.errors import SettingsError
from codesign.hls.graph import Graph, Node
from codesign.hls.reuse import STRATEGY_OF, MatrixShape, ReuseOption, advise_reuse


@dataclass(frozen=True)
class LayerAdvice(Brief):
    """What can be chosen for one layer.

    Parameters
    ----------
    shape
        What the layer multiplies.
    strategy
        The strategy that the options are for.
    now
        The reuse factor that the project has; ``None`` if the options are for another strategy than the project's.
    options
        Every factor worth choosing, the fastest first.
    """

    shape: MatrixShape
    strategy: Strategy
    now: int | None
    options: tuple[ReuseOption, ...]


def advise_graph(graph: Graph, strategy: Strategy | None = None) -> tuple[LayerAdvice, ...]:
    """Advise every dense and convolution layer of a converted network.

    Parameters
    ----------
    graph
        The network.
    strategy
        Another strategy than the one that each layer has.

    Raises
    ------
    SettingsError
        For a strategy that there is not.
    """
    known = tuple(STRATEGY_OF.values())
    if strategy is not None and strategy not in known:
        raise SettingsError(f"strategy: {strategy!r} is not one of {', '.join(known)}")
    advice = []
    for node in graph:
        shape = shape_of_node(node)
        if shape is not None:
            own = STRATEGY_OF[str(node.attributes["strategy"])]
            now = int(node.attributes["reuse_factor"]) if strategy in (None, own) else None
            options = advise_reuse(shape, strategy or own, graph.io_type)
            advice.append(LayerAdvice(shape, strategy or own, now, options))
    return tuple(advice)


def shape_of_node(node: Node) -> MatrixShape | None:
    """Take the shape from a layer of a graph; ``None`` for a layer that has none of this kind."""
    matrix = node.row.matrix
    if matrix is None:
        return None
    kernel = node.weights["weight"]
    sizes = {"n_in": math.prod(kernel.shape[:-1]), "n_out": kernel.shape[-1]}
    zeros = int((kernel == 0).sum())
    if matrix == "dense":
        return MatrixShape(node.name, matrix, **sizes, zero_weights=zeros)
    positions = {
        f"{side}_positions": int(node.attributes.get(f"{side}_height", 1))
        * int(node.attributes[f"{side}_width"])
        for side in ("in", "out")
    }
    return MatrixShape(node.name, matrix, **sizes, **positions, zero_weights=zeros)
