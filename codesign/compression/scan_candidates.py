"""Candidates of the scan as rows: widths become formats, formats are measured, once each."""

from __future__ import annotations

import time
from dataclasses import asdict

from codesign.compression.formats import INPUT, Ranges, Widths, precision_of, uniform_widths
from codesign.compression.scan_journal import Journal
from codesign.compression.scan_result import Phase, Trial
from codesign.compression.scan_trials import Measured, TrialRunner
from codesign.core.precision_map import PrecisionMap
from codesign.errors import DataError
from codesign.networks.description import Network
from codesign.settings import ScanSettings

Knob = tuple[str, str]
"""A layer and which of its tensors: `weight` or `result`."""


class Candidates:
    """Every candidate of one scan.

    Parameters
    ----------
    network
        Prepared for quantization.
    ranges
        The extremes of its tensors.
    runner
        Measures candidates of this network.
    settings
        Tolerance, margin, limits.
    journal
        What an interrupted scan measured; a candidate in it is not run again.

    Attributes
    ----------
    measured, seconds
        How many candidates were run, and how long that and making bases for them took.
    """

    def __init__(
        self, network: Network, ranges: Ranges, runner: TrialRunner, settings: ScanSettings, journal: Journal
    ) -> None:
        self.network, self.ranges, self.runner = network, ranges, runner
        self.settings, self.journal = settings, journal
        self.least_quality = runner.float_quality - settings.tolerance
        self.measured = 0
        self.seconds = 0.0

    def uniform(self, bits: int) -> Widths:
        """The widths of one point of the curve."""
        return uniform_widths(self.network, bits, self.settings.input_bits)

    def knobs(self, widths: Widths) -> list[Knob]:
        """Every tensor whose width is searched, in the order of the network: input, weights, results."""
        knobs = [] if self.settings.input_bits else [(INPUT, "result")]
        knobs += [(name, "weight") for name in widths.weights]
        return knobs + [(name, "result") for name in widths.results]

    def precision(self, widths: Widths) -> PrecisionMap:
        """The formats of widths.

        Raises
        ------
        DataError
            If no format of these widths holds the ranges.
        """
        return precision_of(self.network, self.ranges, widths, self.settings.margin_bits)

    def measure(self, precision: PrecisionMap) -> Measured:
        """What formats reach: from the journal, or measured now."""
        key = precision.digest
        kept = self.journal.get(key)
        if kept is not None:
            return Measured(**kept)
        started = time.monotonic()
        measured = self.runner.measure(precision)
        self.seconds += time.monotonic() - started
        self.measured += 1
        self.journal.add(key, asdict(measured))
        return measured

    def rebase(self, widths: Widths) -> None:
        """Let the candidates to come be computed from where they differ from these widths."""
        started = time.monotonic()
        self.runner.rebase(self.precision(widths))
        self.seconds += time.monotonic() - started

    def trial(self, widths: Widths, phase: Phase, knob: Knob | None, bits: int) -> Trial | None:
        """Measure one candidate; ``None`` if no format of these widths holds the ranges."""
        try:
            precision = self.precision(widths)
        except DataError:
            return None
        measured = self.measure(precision)
        layer, tensor = knob or (None, None)
        return Trial(phase, layer, tensor, bits, measured.quality, measured.overflows, measured.cost)

    def keeps_quality(self, trial: Trial) -> bool:
        """Whether a candidate is within the tolerance."""
        return trial.quality >= self.least_quality
