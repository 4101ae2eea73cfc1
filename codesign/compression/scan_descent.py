"""From one width everywhere down to a width for each tensor, greedily."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from codesign.compression.formats import INPUT, Widths
from codesign.compression.scan_candidates import Candidates, Knob
from codesign.compression.scan_result import Trial
from codesign.compression.scan_trials import Measured

Told = Callable[[str], None]
"""Called after each trial with a remark."""


class Descent:
    """Narrow one tensor by one bit at a time, the one that saves most for the quality that it loses.

    Parameters
    ----------
    candidates
        Of the scan.
    start
        The width of every tensor at the beginning.
    told
        Hears of every trial.

    Attributes
    ----------
    widths, now
        Where it stands, and what that reaches.
    trials
        Everything that was tried, in order.
    """

    def __init__(self, candidates: Candidates, start: int, told: Told) -> None:
        self.candidates, self.start, self.told = candidates, start, told
        self.widths = candidates.uniform(start)
        self.trials: list[Trial] = []
        candidates.rebase(self.widths)
        self.now = candidates.measure(candidates.precision(self.widths))
        self._open = candidates.knobs(self.widths)

    def run(self) -> Descent:
        """Go on until no tensor may lose a bit more."""
        while tried := self._round():
            open_ = [trial for trial in tried if _knob(trial) in self._open]
            taken = max(open_, key=self._worth, default=None)
            self.trials += [replace(trial, accepted=trial is taken) for trial in tried]
            if taken is not None:
                self.widths = narrowed(self.widths, _knob(taken))[0]
                self.now = Measured(taken.quality, taken.overflows, taken.cost)
                self.candidates.rebase(self.widths)
        return self

    def _worth(self, trial: Trial) -> float:
        """Saved cost for lost quality; losing nothing counts as a tenth of a sample."""
        lost = max(self.now.quality - trial.quality, 0.1 * self.candidates.runner.resolution)
        return (self.now.cost - trial.cost) / lost

    def _round(self) -> list[Trial]:
        """Try every open tensor one bit narrower; those that may not lose it are closed for good."""
        tried: list[Trial] = []
        for knob in list(self._open):
            widths, bits = narrowed(self.widths, knob)
            allowed = bits >= self.candidates.settings.least_bits
            trial = self.candidates.trial(widths, "layers", knob, bits) if allowed else None
            if trial is not None:
                tried.append(replace(trial, start=self.start))
                self.told(f"{knob[0]} {knob[1]} {bits} bits")
            if trial is None or not self.candidates.keeps_quality(trial) or trial.cost >= self.now.cost:
                # what fails now fails later too: the rest only gets narrower
                self._open.remove(knob)
        return tried


def narrowed(widths: Widths, knob: Knob) -> tuple[Widths, int]:
    """The widths with one tensor a bit narrower, and its new width."""
    layer, tensor = knob
    if tensor == "weight":
        bits = widths.weights[layer] - 1
        return replace(widths, weights={**widths.weights, layer: bits}), bits
    if layer == INPUT and INPUT not in widths.results:
        return replace(widths, input=widths.input - 1), widths.input - 1
    bits = widths.results[layer] - 1
    return replace(widths, results={**widths.results, layer: bits}), bits


def _knob(trial: Trial) -> Knob:
    return str(trial.layer), str(trial.tensor)
