"""`codesign advise`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from codesign.cli.projects import project_of

_ROWS = 12


def advise(
    folder: Annotated[Path, typer.Argument(help="An HLS project, or a run's folder.")],
    strategy: Annotated[
        str | None,
        typer.Option(help="latency, resource, unrolled or distributed_arithmetic; else the project's."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every factor, not a dozen of each layer.")] = False,
) -> None:
    """List the reuse factors that hls4ml builds as asked, with the multipliers and the interval they imply."""
    from codesign.core.text_table import TextTable
    from codesign.hls.reuse_table import advise_graph
    from codesign.terminal import show_tables

    project = project_of(folder)
    rows = []
    for layer in advise_graph(project.graph(), strategy):  # type: ignore[arg-type]
        options = layer.options if every else _spread(layer.options, layer.now)
        for option in options:
            mark = " (now)" if option.factor == layer.now else ""
            rows.append(
                (
                    layer.shape.name,
                    f"{layer.shape.n_in} x {layer.shape.n_out}",
                    layer.strategy,
                    f"{option.factor}{mark}",
                    str(option.multipliers),
                    str(option.interval_cycles),
                )
            )
        if not layer.options:
            rows.append((layer.shape.name, "", layer.strategy, "none: hls4ml has no such kernel", "", ""))
    header = ("layer", "weights", "strategy", "reuse factor", "multipliers", "II (cycles)")
    title = f"Legal reuse factors under {project.target.io_type}"
    show_tables([TextTable(title, header, tuple(rows))], [])


def _spread(options: Sequence[Any], now: int | None) -> list[Any]:
    """A dozen options from the fastest to the smallest, evenly, and the one that the project has, if any."""
    if len(options) <= _ROWS:
        return list(options)
    kept = {round(index * (len(options) - 1) / (_ROWS - 1)) for index in range(_ROWS)}
    kept |= {index for index, option in enumerate(options) if option.factor == now}
    return [options[index] for index in sorted(kept)]
