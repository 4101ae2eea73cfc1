"""What is compared: a design with its numbers, each with its stage, what that stage is worth, and its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from codesign.core.metrics import METRICS
from codesign.core.parts import find_device
from codesign.core.shown import Brief
from codesign.reports.records import same_part

EntryKind = Literal["run", "unfinished", "seeds", "project", "rtl", "build", "report"]

TEACHER = "teacher"
NETWORK = "quantized"
ESTIMATE = "estimate"
CSYNTH = "csynth"
YOSYS = "yosys"
UNKNOWN = "unknown"

SEVERAL = "; "
"""Between the types that several seeds gave one tensor."""


@dataclass(frozen=True)
class Step:
    """A stage that numbers are of.

    Parameters
    ----------
    name
        Its name in files.
    title
        What tables call it.
    remark
        What its numbers are worth, in one sentence.
    is_hardware
        Whether its numbers are of hardware.
    """

    name: str
    title: str
    remark: str
    is_hardware: bool = True


_ALL = (
    Step(TEACHER, "teacher", "The network that was distilled, in floating point.", False),
    Step(NETWORK, "quantized student", "The network that the hardware computes, bit for bit.", False),
    Step(ESTIMATE, "estimate", "Counted from the network's weights and formats; nothing was synthesised."),
    Step(CSYNTH, "C synthesis", "The HLS scheduler's estimate; Vivado usually needs fewer LUTs."),
    Step("cosim", "co-simulation", "Cycles counted in RTL simulation."),
    Step(YOSYS, "Yosys", "The open RTL path: a netlist after synthesis with Yosys, not placed."),
    Step("synthesis", "Vivado synthesis", "Vivado's netlist after synthesis, not placed."),
    Step("post-opt", "Vivado, optimised", "Vivado's netlist after opt_design, not placed."),
    Step("post-place", "Vivado, placed", "Vivado's netlist after placement, not routed."),
    Step("post-route", "Vivado, routed", "Vivado's netlist after routing: what the part will hold."),
    Step(UNKNOWN, "Vivado, stage not printed", "The report does not say of which stage it is."),
)

STEPS: Mapping[str, Step] = MappingProxyType({step.name: step for step in _ALL})
"""Every stage by name, in the order of the flow."""


@dataclass(frozen=True)
class Number:
    """One number of one design.

    Parameters
    ----------
    metric
        A name of `codesign.core.metrics.METRICS`.
    step
        The stage it is of, a name of `STEPS`.
    value
        In the metric's unit; of several seeds the mean.
    spread
        The standard deviation over seeds (of the sample, n - 1); ``None`` for a single run.
    samples
        Of how many runs.
    available
        What the part has of it; ``None`` for what is no resource or not known.
    source
        The file it was read from.
    count
        On how many samples of data a quality was measured; ``None`` for other metrics and where nobody knows.
    """

    metric: str
    step: str
    value: float
    spread: float | None = None
    samples: int = 1
    available: float | None = None
    source: str = ""
    count: int | None = None

    @property
    def percent(self) -> float | None:
        """The use in percent of what the part has."""
        return 100.0 * self.value / self.available if self.available else None


@dataclass(frozen=True)
class Entry(Brief):
    """One design of a comparison.

    Parameters
    ----------
    name
        What tables call it.
    kind
        A run, one that has not ended, several runs that differ in the seed only, a project, a folder of reports, one
        report.
    source
        Its folder or file.
    numbers
        At most one of each metric and stage.
    design
        The design's name; ``None`` for reports.
    dataset, dataset_digest
        Where the data came from, and the digest of its values: accuracies of different digests are not of the same
        samples.
    part
        The FPGA part.
    tools
        Tool and version by stage.
    layers
        Types by layer and tensor (`weight`, `bias`, `accum`, `result`), as hls4ml prints them; of seeds that differ all
        that there are, with `SEVERAL` between them.
    settings
        Settings by dotted path.
    networks_digest
        The digest of the file that builds the networks.
    seeds
        The seeds of the runs.
    notes
        What the reader must know, for example reports that were left out.
    is_trustworthy
        Whether nothing was left out that should have been there, and all of it is what it was when it was made.
    right
        Which samples of the test part the network of the hardware classifies rightly: bool `(n_samples,)`; ``None``
        where that was not kept.
    """

    name: str
    kind: EntryKind
    source: str
    numbers: tuple[Number, ...] = ()
    design: str | None = None
    dataset: str | None = None
    dataset_digest: str | None = None
    part: str | None = None
    tools: Mapping[str, str] = field(default_factory=dict)
    layers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    networks_digest: str | None = None
    seeds: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    is_trustworthy: bool = True
    right: np.ndarray | None = field(default=None, repr=False, compare=False)

    def number(self, metric: str, step: str) -> Number | None:
        """The number of a metric at a stage; ``None`` if there is none."""
        return next((n for n in self.numbers if n.metric == metric and n.step == step), None)

    def steps(self) -> tuple[str, ...]:
        """The stages that it has numbers of, in the order of the flow."""
        mine = {number.step for number in self.numbers}
        return tuple(step for step in STEPS if step in mine)

    @property
    def device(self) -> str | None:
        """The device of its part (`VU9P`), or as much of the part's name as tells it where the device is not known."""
        if self.part is None:
            return None
        device = find_device(self.part)
        return device.name if device else self.part.upper().removeprefix("XC").split("-")[0]

    def same_device(self, other: Entry) -> bool:
        """Whether percentages and counts are of the same silicon, as far as both parts are known."""
        if self.part is None or other.part is None:
            return True
        return self.device == other.device or same_part(self.part, other.part)


def measured(
    step: str, values: Mapping[str, Any], *, part: str | None = None, available: Any = None, source: str = ""
) -> Iterator[Number]:
    """Numbers of one stage from values by metric; what is no metric, and what is ``None``, is left out.

    Parameters
    ----------
    step
        The stage.
    values
        By metric.
    part
        Whose totals a resource is held against.
    available
        Totals that a report printed (an object with `lut`, `ff`, ...); they win over what is known of the part.
    source
        The file.
    """
    device = find_device(part) if part else None
    for name, value in values.items():
        if name not in METRICS or value is None:
            continue
        total = getattr(available, name, None) or getattr(device, name, None)
        is_resource = METRICS[name].group == "resource"
        yield Number(name, step, float(value), available=total if is_resource else None, source=source)


def sorted_numbers(numbers: Sequence[Number]) -> tuple[Number, ...]:
    """Numbers in the order of the flow and of the metrics; of two of one metric and stage the first."""
    first = {(number.metric, number.step): number for number in reversed(numbers)}
    steps, metrics = list(STEPS), list(METRICS)
    return tuple(sorted(first.values(), key=lambda n: (steps.index(n.step), metrics.index(n.metric))))
