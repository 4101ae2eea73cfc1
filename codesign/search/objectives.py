"""What a search can aim at: each number, its direction, the stage it is read after, and how it is read of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from codesign.errors import did_you_mean


@dataclass(frozen=True)
class Objective:
    """A number that trials are judged by.

    Parameters
    ----------
    name
        In `search.yaml`, tables and files.
    title
        What pictures call it.
    direction
        Which way is better.
    after
        The stage that a run must have finished.
    form
        How a value is printed.
    """

    name: str
    title: str
    direction: Literal["maximize", "minimize"]
    after: Literal["quantization", "project"]
    form: str

    @property
    def sign(self) -> float:
        """What makes a smaller value the better one."""
        return -1.0 if self.direction == "maximize" else 1.0


_ALL = (
    Objective("quality", "validation quality", "maximize", "quantization", "{:.4f}"),
    Objective("luts", "LUTs, estimate", "minimize", "quantization", "{:,.0f}"),
    Objective("parameters", "parameters", "minimize", "quantization", "{:,.0f}"),
    Objective("bops", "BOPs", "minimize", "quantization", "{:,.0f}"),
    Objective("latency_cycles", "latency, cycles", "minimize", "project", "{:.1f}"),
    Objective("latency_ns", "latency, ns", "minimize", "project", "{:.1f}"),
    Objective("dsps", "multipliers", "minimize", "project", "{:,.0f}"),
    Objective("interval_cycles", "interval (II), cycles", "minimize", "project", "{:.1f}"),
)

OBJECTIVES: Mapping[str, Objective] = MappingProxyType({objective.name: objective for objective in _ALL})
"""Every objective by name."""


def objective_fault(name: str, direction: str | None = None) -> str | None:
    """What is wrong with an objective or a limit, in words; ``None`` if nothing is."""
    if name not in OBJECTIVES:
        return f"{name} is no objective; {did_you_mean(name, OBJECTIVES, 'there are')}"
    if direction not in (None, OBJECTIVES[name].direction):
        return f"{name} is to {OBJECTIVES[name].direction}, not to {direction}"
    return None


def last_stage(names: Collection[str]) -> str:
    """The stage after which a run has all numbers."""
    later = any(OBJECTIVES[name].after == "project" for name in names)
    return "project" if later else "quantization"


def violations(values: Mapping[str, float], limits: Mapping[str, float]) -> dict[str, float]:
    """By how much of the limit each limit is missed; 0 or below where it is met."""
    return {name: OBJECTIVES[name].sign * (values[name] - limit) / limit for name, limit in limits.items()}


def measure(folder: str | Path, names: Collection[str]) -> dict[str, float]:
    """Read numbers of a run whose stages up to `last_stage` stand; the test part is not looked at.

    Parameters
    ----------
    folder
        The run's.
    names
        Of `OBJECTIVES`.
    """
    from codesign.stages import open_run

    context = open_run(folder)
    record = context.records["quantization"]
    values: dict[str, float] = {}
    if "quality" in names:
        values["quality"] = record.metrics[f"validation_{context.dataset.task.measure}"]
    values |= {name: record.metrics[name] for name in ("parameters", "bops") if name in names}
    if "luts" in names:
        values["luts"] = _luts(context)
    if last_stage(names) == "project":
        values |= _of_graph(context, names)
    return {name: float(values[name]) for name in names}


def short_quality(folder: str | Path) -> dict[str, float]:
    """Validation quality and parameters of a run that ends after the distillation."""
    from codesign.stages import open_run

    context = open_run(folder)
    metrics = context.records["student"].metrics
    quality = metrics[f"validation_{context.dataset.task.measure}"]
    return {"quality": float(quality), "parameters": float(metrics["parameters"])}


def _luts(context: Any) -> float:
    """LUTs of the shift-and-add network, estimated in milliseconds (`codesign.cost.estimate_luts`)."""
    from codesign.cost import estimate_luts
    from codesign.networks.shapes import layer_shapes

    network, precision = context.value("quantization").hardware()
    io_type = context.settings.hardware.io_type
    return estimate_luts(layer_shapes(network), precision, network.kernels, network.biases, io_type=io_type)


def _of_graph(context: Any, names: Collection[str]) -> dict[str, float]:
    """Latency of the pipelined open RTL, and what the reuse adviser says of the project's own factors."""
    from codesign.hls.reuse_table import advise_graph
    from codesign.rtl.apart import pipelined

    graph = context.value("project").project.graph()
    values: dict[str, float] = {}
    if {"latency_cycles", "latency_ns"} & set(names):
        clock = context.settings.hardware.clock_period_ns
        # as `codesign.rtl.write_rtl` pipelines it
        cycles = pipelined(graph, 0.9 * clock, ternary_adders=False).latency_cycles
        values |= {"latency_cycles": cycles, "latency_ns": cycles * clock}
    chosen = [
        option for layer in advise_graph(graph) for option in layer.options if option.factor == layer.now
    ]
    values["dsps"] = sum(option.multipliers for option in chosen)
    values["interval_cycles"] = max((option.interval_cycles for option in chosen), default=1)
    return values
