"""The search of the scan: one curve for all tensors, then greedy narrowing tensor by tensor."""

from __future__ import annotations

import time
from dataclasses import asdict, replace

from codesign.compression.formats import INPUT, Ranges, Widths, precision_of, uniform_widths
from codesign.compression.scan_journal import Journal
from codesign.compression.scan_result import Phase, Trial
from codesign.compression.scan_trials import Measured, TrialRunner
from codesign.core.precision_map import PrecisionMap
from codesign.core.progress import Progress
from codesign.errors import DataError, ScanError
from codesign.networks.description import Network
from codesign.settings import ScanSettings

Knob = tuple[str, str]
"""A layer and which of its tensors: `weight` or `result`."""


class Search:
    """One scan.

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
    progress
        Told of every trial.
    """

    def __init__(
        self,
        network: Network,
        ranges: Ranges,
        runner: TrialRunner,
        settings: ScanSettings,
        journal: Journal,
        progress: Progress,
    ) -> None:
        self.network, self.ranges, self.runner = network, ranges, runner
        self.settings, self.journal, self.progress = settings, journal, progress
        self.least_quality = runner.float_quality - settings.tolerance
        self.trials: list[Trial] = []
        self.measured = 0
        self.seconds = 0.0

    def run(self) -> tuple[PrecisionMap, float]:
        """The chosen formats and their quality.

        Raises
        ------
        ScanError
            If no uniform width is within the tolerance; says the best that was found.
        """
        return self._layers(self._uniform())

    def _precision(self, widths: Widths) -> PrecisionMap:
        return precision_of(self.network, self.ranges, widths, self.settings.margin_bits)

    def _measure(self, precision: PrecisionMap) -> Measured:
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

    def _try(self, widths: Widths, phase: Phase, knob: Knob | None, bits: int) -> Trial | None:
        """Measure one candidate; ``None`` if no format of these widths holds the ranges."""
        try:
            precision = self._precision(widths)
        except DataError:
            return None
        measured = self._measure(precision)
        layer, tensor = knob or (None, None)
        return Trial(phase, layer, tensor, bits, measured.quality, measured.overflows, measured.cost)

    def _uniform(self) -> Widths:
        """The whole curve from most to least bits; goes on from the last good width before one that fails."""
        settings = self.settings
        chosen: Widths | None = None
        ended = False
        for bits in range(settings.most_bits, settings.least_bits - 1, -1):
            widths = uniform_widths(self.network, bits, settings.input_bits)
            trial = self._try(widths, "uniform", None, bits)
            if trial is None:
                break
            good = trial.quality >= self.least_quality and not ended
            # wide formats that fail by chance do not end the search, the first failure after a good one does
            ended = ended or (chosen is not None and not good)
            self.trials.append(replace(trial, accepted=good))
            chosen = widths if good else chosen
            done = len(self.trials)
            self.progress.step("scan", done, 2 * done, f"{bits} bits everywhere: {trial.quality:.4f}")
        if chosen is None:
            raise ScanError(self._nothing_found())
        return chosen

    def _nothing_found(self) -> str:
        settings = self.settings
        if not self.trials:
            return (
                f"no format of {settings.most_bits} bits everywhere (scan.input_bits: {settings.input_bits}) holds the "
                "values of the calibration set; raise scan.most_bits or scan.input_bits"
            )
        best = max(self.trials, key=lambda trial: trial.quality)
        return (
            f"no uniform width up to scan.most_bits = {settings.most_bits} keeps the quality within "
            f"{settings.tolerance:g} of the float network's {self.runner.float_quality:.4f}; the best is {best.quality:.4f} "
            f"at {best.bits} bits; raise scan.tolerance or scan.most_bits"
        )

    def _layers(self, widths: Widths) -> tuple[PrecisionMap, float]:
        """Greedy: narrow one tensor by one bit at a time, the one that saves most for the quality that it loses."""
        precision = self._precision(widths)
        self.runner.rebase(precision)
        now = self._measure(precision)
        knobs = self._knobs(widths)
        total = len(self.trials) + sum(bits - self.settings.least_bits for bits in knobs.values())
        while knobs:
            tried = self._round(widths, now, knobs, total)
            if not tried:
                break
            worths = [
                (now.cost - trial.cost) / max(now.quality - trial.quality, 0.1 * self.runner.resolution)
                for trial in tried
            ]
            taken = tried[worths.index(max(worths))]
            self.trials += [replace(trial, accepted=trial is taken) for trial in tried]
            widths = _narrowed(widths, (str(taken.layer), str(taken.tensor)))[0]
            now = Measured(taken.quality, taken.overflows, taken.cost)
            self.runner.rebase(self._precision(widths))
        self.progress.step("scan", len(self.trials), len(self.trials), f"quality {now.quality:.4f}")
        return self._precision(widths), now.quality

    def _round(self, widths: Widths, now: Measured, knobs: dict[Knob, int], total: int) -> list[Trial]:
        """Try every tensor one bit narrower; those that may go are returned, the others leave `knobs` for good."""
        tried: list[Trial] = []
        for knob in list(knobs):
            narrower, bits = _narrowed(widths, knob)
            allowed = bits >= self.settings.least_bits
            trial = self._try(narrower, "layers", knob, bits) if allowed else None
            if trial is not None and trial.quality >= self.least_quality and trial.cost < now.cost:
                tried.append(trial)
            else:
                # what fails now fails later too: the rest only gets narrower
                del knobs[knob]
                self.trials += [] if trial is None else [trial]
            done = len(self.trials) + len(tried)
            note = f"{knob[0]} {knob[1]} {bits} bits"
            self.progress.step("scan", min(done, total), max(done, total), note)
        return tried

    def _knobs(self, widths: Widths) -> dict[Knob, int]:
        knobs = {} if self.settings.input_bits else {(INPUT, "result"): widths.input}
        knobs |= {(name, "weight"): bits for name, bits in widths.weights.items()}
        return knobs | {(name, "result"): bits for name, bits in widths.results.items()}


def _narrowed(widths: Widths, knob: Knob) -> tuple[Widths, int]:
    """The widths with one tensor a bit narrower, and its new width."""
    layer, tensor = knob
    if tensor == "weight":
        bits = widths.weights[layer] - 1
        return replace(widths, weights={**widths.weights, layer: bits}), bits
    if layer == INPUT and INPUT not in widths.results:
        return replace(widths, input=widths.input - 1), widths.input - 1
    bits = widths.results[layer] - 1
    return replace(widths, results={**widths.results, layer: bits}), bits
