"""Every metric's name, title, unit, form and direction, once.

Records, summaries, reports and comparisons name their numbers by these names; a name carries its unit where it has
one (`latency_ns`), and the direction says which of two values is the better one. A metric without a direction is a
circumstance (the clock that was asked for), not a merit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Direction = Literal["higher", "lower"]
Group = Literal["quality", "network", "resource", "speed", "power"]


@dataclass(frozen=True)
class Metric:
    """A number that designs are compared by.

    Parameters
    ----------
    name
        Its name in records, reports and files.
    title
        What tables and axes call it, without the unit.
    unit
        The unit of the value; empty for counts, fractions and figures of merit.
    better
        Which of two values is the better one; ``None`` for a circumstance.
    group
        `quality` (depends on the data), `network` (before any hardware), `resource`, `speed`, `power`.
    form
        How a value is printed.
    """

    name: str
    title: str
    unit: str
    better: Direction | None
    group: Group
    form: str

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def text(self, value: float) -> str:
        """A value in the metric's form, without the unit."""
        text = self.form.format(value)
        # a small negative number rounds to a zero that keeps its sign
        return text.removeprefix("-") if not any(digit in text for digit in "123456789") else text

    def delta_text(self, delta: float) -> str:
        """A difference of two values in the metric's form, always with its sign."""
        text = self.text(delta)
        return text if text.startswith("-") else f"+{text}"

    def is_better(self, value: float, reference: float) -> bool | None:
        """Whether `value` beats `reference`; ``None`` if they are equal or the metric has no direction."""
        if self.better is None or value == reference:
            return None
        return (value > reference) == (self.better == "higher")


_COUNT, _NS, _WATT = "{:,.0f}", "{:,.3f}", "{:.3f}"

_ALL = (
    Metric("test_accuracy", "test accuracy", "", "higher", "quality", "{:.4f}"),
    Metric("validation_accuracy", "validation accuracy", "", "higher", "quality", "{:.4f}"),
    Metric("test_r2", "test R2", "", "higher", "quality", "{:.4f}"),
    Metric("validation_r2", "validation R2", "", "higher", "quality", "{:.4f}"),
    Metric("test_auc", "test area under the ROC curve", "", "higher", "quality", "{:.4f}"),
    Metric("validation_auc", "validation area under the ROC curve", "", "higher", "quality", "{:.4f}"),
    Metric("test_quality", "test quality of the heads", "", "higher", "quality", "{:.4f}"),
    Metric("validation_quality", "validation quality of the heads", "", "higher", "quality", "{:.4f}"),
    Metric("test_rmse", "test RMSE, in the target's units", "", "lower", "quality", "{:.4g}"),
    Metric("test_bias", "test bias, in the target's units", "", None, "quality", "{:.3g}"),
    Metric("test_resolution", "test resolution, in the target's units", "", "lower", "quality", "{:.4g}"),
    Metric("test_efficiency", "signal efficiency at 1 % of background", "", "higher", "quality", "{:.4f}"),
    Metric("test_rejection", "background rejection at 90 % of signal", "", "higher", "quality", "{:,.1f}"),
    Metric("auc", "area under the ROC curve", "", "higher", "quality", "{:.4f}"),
    Metric("parameters", "parameters", "", "lower", "network", _COUNT),
    Metric("sparsity", "sparsity", "", "higher", "network", "{:.1%}"),
    Metric("weights_removed", "weights removed", "", "higher", "network", "{:.1%}"),
    Metric("average_weight_bits", "mean weight bits", "", "lower", "network", "{:.2f}"),
    Metric("bops", "BOPs", "", "lower", "network", _COUNT),
    Metric("ebops", "EBOPs", "", "lower", "network", _COUNT),
    Metric("lut", "LUT", "", "lower", "resource", _COUNT),
    Metric("ff", "FF", "", "lower", "resource", _COUNT),
    Metric("dsp", "DSP", "", "lower", "resource", _COUNT),
    Metric("bram_18k", "BRAM 18K", "", "lower", "resource", _COUNT),
    Metric("uram", "URAM", "", "lower", "resource", _COUNT),
    Metric("carry8", "CARRY8", "", "lower", "resource", _COUNT),
    Metric("latency_cycles", "latency", "cycles", "lower", "speed", _COUNT),
    Metric("latency_ns", "latency", "ns", "lower", "speed", "{:,.1f}"),
    Metric("interval_cycles", "interval (II)", "cycles", "lower", "speed", _COUNT),
    Metric("clock_period_ns", "clock asked for", "ns", None, "speed", _NS),
    Metric("estimated_clock_ns", "estimated clock", "ns", "lower", "speed", _NS),
    Metric("wns_ns", "worst setup slack", "ns", "higher", "speed", _NS),
    Metric("tns_ns", "total setup slack", "ns", "higher", "speed", _NS),
    Metric("whs_ns", "worst hold slack", "ns", "higher", "speed", _NS),
    Metric("fmax_mhz", "highest clock", "MHz", "higher", "speed", "{:,.1f}"),
    Metric("power_w", "power", "W", "lower", "power", _WATT),
    Metric("dynamic_power_w", "dynamic power", "W", "lower", "power", _WATT),
    Metric("static_power_w", "static power", "W", "lower", "power", _WATT),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})
"""Every metric by name, in the order of tables."""
