"""The search of the scan: one curve for all tensors, then greedy narrowing tensor by tensor."""

from __future__ import annotations

from dataclasses import replace

from codesign.compression.scan_candidates import Candidates
from codesign.compression.scan_descent import Descent
from codesign.compression.scan_result import Trial
from codesign.core.precision_map import PrecisionMap
from codesign.core.progress import Progress
from codesign.errors import ScanError


class Search:
    """One scan.

    Parameters
    ----------
    candidates
        Measures widths of the network, within the settings.
    progress
        Told of every trial.

    Attributes
    ----------
    trials
        Every candidate: the curve, then each descent.
    """

    def __init__(self, candidates: Candidates, progress: Progress) -> None:
        self.candidates, self.progress = candidates, progress
        self.trials: list[Trial] = []
        self._done = self._expected = 0

    def run(self) -> tuple[PrecisionMap, float]:
        """The chosen formats and their quality.

        Raises
        ------
        ScanError
            If no uniform width is within the tolerance; says the best that was found.
        """
        starts = self._starts()
        self._expected = self._done + sum(map(self._trials_below, starts))
        descents = [Descent(self.candidates, bits, self._tell).run() for bits in starts]
        best = min(descents, key=lambda descent: (descent.now.cost, -descent.now.quality))
        for descent in descents:
            led = descent is best
            self.trials += [replace(trial, accepted=trial.accepted and led) for trial in descent.trials]
        self.progress.step("scan", self._done, self._done, f"quality {best.now.quality:.4f}")
        return self.candidates.precision(best.widths), best.now.quality

    def _starts(self) -> list[int]:
        """Measure the whole curve; its knee, and a good width above, from where more tensors can give way.

        The knee is the last good width before one that fails.
        """
        settings = self.candidates.settings
        good: list[int] = []
        ended = False
        for bits in range(settings.most_bits, settings.least_bits - 1, -1):
            trial = self.candidates.trial(self.candidates.uniform(bits), "uniform", None, bits)
            if trial is None:
                break
            keeps = self.candidates.keeps_quality(trial) and not ended
            # wide formats that fail by chance do not end the search, the first failure after a good one does
            ended = ended or (bool(good) and not keeps)
            good += [bits] if keeps else []
            self.trials.append(replace(trial, accepted=keeps))
            self._tell(f"{bits} bits everywhere: {trial.quality:.4f}")
        if not good:
            raise ScanError(self._nothing_found())
        return sorted({good[-1], min(good[-1] + settings.headroom_bits, good[0])})

    def _trials_below(self, bits: int) -> int:
        """About how many trials a descent has: each tensor is tried in every round until it is closed."""
        knobs = self.candidates.knobs(self.candidates.uniform(bits))
        return 2 * len(knobs) * (bits - self.candidates.settings.least_bits)

    def _tell(self, note: str) -> None:
        self._done += 1
        # while the curve is measured, nothing is known of what follows
        total = max(self._expected, self._done + 1) if self._expected else 2 * self._done
        self.progress.step("scan", self._done, total, note)

    def _nothing_found(self) -> str:
        settings = self.candidates.settings
        if not self.trials:
            return (
                f"no format of {settings.most_bits} bits everywhere (scan.input_bits: {settings.input_bits}) holds the "
                "values of the calibration set; raise scan.most_bits or scan.input_bits"
            )
        best = max(self.trials, key=lambda trial: trial.quality)
        clipping = " or scan.percentile" if settings.percentile < 100 else ""
        return (
            f"no uniform width up to scan.most_bits = {settings.most_bits} keeps the quality within "
            f"{settings.tolerance:g} of the float network's {self.candidates.runner.float_quality:.4f}; the best is "
            f"{best.quality:.4f} at {best.bits} bits; raise scan.tolerance or scan.most_bits{clipping}"
        )
