"""The search of the scan: one curve for all tensors, then a width for each: by greedy narrowing, or by the Hessian."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from codesign.compression.formats import INPUT, Ranges, Widths, precision_of, several_inputs, uniform_widths
from codesign.compression.hessian_precision import HessianWidths
from codesign.compression.scan_result import Phase, Trial
from codesign.compression.scan_trials import Journal, ScannedNetwork
from codesign.compression.sensitivity import LEAST_WIDTH
from codesign.core.precision_map import PrecisionMap
from codesign.core.progress import Progress
from codesign.core.task import Task
from codesign.cost import INPUT as COST_INPUT
from codesign.errors import DataError, ScanError
from codesign.networks.build import build_float
from codesign.networks.logits import predict_logits
from codesign.settings import ScanSettings
from codesign.training.objectives import objective_of

_BUDGETS = 16  # at most: each halves the interval of budgets, as a ratio
_CLOSE = 1.01  # budgets within this ratio are one
_LUT_WIDTHS_BELOW = 3

TensorName = tuple[str, str]
"""A layer and which of its tensors, `weight` or `result`; the network's input is the result of `INPUT`."""


class Search:
    """One scan.

    Parameters
    ----------
    network
        What is measured, prepared for quantization.
    ranges
        The extremes of its tensors.
    settings
        Tolerance, margin, limits.
    journal
        What an interrupted scan measured; a candidate in it is not run again.
    progress
        Told of every trial.
    task
        What the outputs are, for their second derivatives.

    Attributes
    ----------
    trials
        Every candidate: the curve, then each descent, or each budget.
    measured, seconds
        How many candidates were run, and how long that and making bases for them took.
    """

    def __init__(
        self,
        network: ScannedNetwork,
        ranges: Ranges,
        settings: ScanSettings,
        journal: Journal,
        progress: Progress,
        task: Task,
    ) -> None:
        self.network, self.ranges, self.settings, self.task = network, ranges, settings, task
        self.journal, self.progress = journal, progress
        self.least_quality = network.float_quality - settings.tolerance
        self.trials: list[Trial] = []
        self.measured = 0
        self.seconds = 0.0
        self._done = self._expected = 0

    def run(self) -> tuple[PrecisionMap, float]:
        """The chosen formats and their quality.

        Raises
        ------
        ScanError
            If no uniform width is within the tolerance; says the best that was found.
        """
        if self.settings.budget is not None:
            return self._within_budget(self.settings.budget)
        starts = self._starts()
        if self.settings.method == "hessian":
            widths, now = self._weigh(starts[0])
            return self.precision(widths), now.quality
        self._expected = self._done + sum(map(self._trials_below, starts))
        descents = [self._descend(bits) for bits in starts]
        best = min(descents, key=lambda descent: (descent.now.cost, -descent.now.quality))
        for descent in descents:
            led = descent is best
            self.trials += [replace(trial, accepted=trial.accepted and led) for trial in descent.trials]
        self.progress.step("scan", self._done, self._done, f"quality {best.now.quality:.4f}")
        return self.precision(best.widths), best.now.quality

    def precision(self, widths: Widths) -> PrecisionMap:
        """The formats of widths; `DataError` if no format of these widths holds the ranges."""
        return precision_of(self.network.network, self.ranges, widths, self.settings.margin_bits)

    def uniform(self, bits: int) -> Widths:
        """The widths of one point of the curve."""
        return uniform_widths(self.network.network, bits, self.settings.input_bits)

    def tensors(self, widths: Widths) -> list[TensorName]:
        """Every tensor whose width is searched, in the order of the network: input, weights, results."""
        inputs = several_inputs(self.network.network)
        fixed = inputs if self.settings.input_bits else ()
        names = [] if self.settings.input_bits or inputs else [(INPUT, "result")]
        names += [(name, "weight") for name in widths.weights]
        return names + [(name, "result") for name in widths.results if name not in fixed]

    def _measure(
        self,
        widths: Widths,
        phase: Phase,
        name: TensorName | None,
        bits: int | None,
        start: int | None = None,
        budget: float | None = None,
    ) -> Trial | None:
        """Measure one candidate, or take it from the journal; ``None`` if no format of these widths holds the ranges."""
        try:
            precision = self.precision(widths)
        except DataError:
            return None
        reached = self.journal.get(precision.digest)
        if reached is None:
            started = time.monotonic()
            reached = self.network.measure(precision)
            self.seconds += time.monotonic() - started
            self.measured += 1
            self.journal.add(precision.digest, reached)
        layer, tensor = name or (None, None)
        return Trial(phase, layer, tensor, bits, **reached, start=start, budget=budget)

    def _rebase(self, widths: Widths) -> None:
        """Let the candidates to come be computed from where they differ from these widths."""
        started = time.monotonic()
        self.network.rebase(self.precision(widths))
        self.seconds += time.monotonic() - started

    def _keeps_quality(self, trial: Trial) -> bool:
        return trial.quality >= self.least_quality

    def _starts(self) -> list[int]:
        """Measure the whole curve; its knee, and a good width above, from where more tensors can give way.

        The knee is the last good width before one that fails.
        """
        settings = self.settings
        good: list[int] = []
        ended = False
        for bits in range(settings.most_bits, settings.least_bits - 1, -1):
            trial = self._measure(self.uniform(bits), "uniform", None, bits)
            if trial is None:
                break
            keeps = self._keeps_quality(trial) and not ended
            # wide formats that fail by chance do not end the search, the first failure after a good one does
            ended = ended or (bool(good) and not keeps)
            good += [bits] if keeps else []
            self.trials.append(replace(trial, accepted=keeps))
            self._tell(f"{bits} bits everywhere: {trial.quality:.4f}")
        if not good:
            raise ScanError(self._nothing_found())
        return sorted({good[-1], min(good[-1] + settings.headroom_bits, good[0])})

    def _weigh(self, knee: int) -> tuple[Widths, Trial]:
        """Let second derivatives choose all widths within falling budgets; the cheapest map that keeps the quality."""
        uniform = self.uniform(knee)
        self._rebase(uniform)
        now = self._measure(uniform, "uniform", None, knee)
        assert now is not None, "it was measured for the curve"
        chooser = self._chooser(knee)
        high, low = now.cost, chooser.least_cost()
        best, found, budget = uniform, now, high
        tried: list[Widths] = [uniform]
        self._expected = self._done + _BUDGETS
        for _ in range(_BUDGETS):
            # a budget that no choice meets, or that leaves nothing between what keeps the quality and what does not
            if high <= _CLOSE * low:
                break
            choice = chooser.choose(budget)
            widths = with_widths(uniform, dict(choice.widths.items()))
            trial = self._measure(widths, "hessian", None, None, budget=budget)
            if trial is not None and widths not in tried:
                tried.append(widths)
                self.trials.append(trial)
                self._tell(f"within {budget:,.0f} {self.settings.cost}: {trial.quality:.4f}")
            if trial is not None and self._keeps_quality(trial):
                high = min(budget, choice.cost)
                if trial.cost < found.cost:
                    best, found = widths, trial
            else:
                low = budget
            budget = math.sqrt(low * high)
        self.trials = [replace(trial, accepted=trial.accepted or trial is found) for trial in self.trials]
        self.progress.step("scan", self._done, self._done, f"quality {found.quality:.4f}")
        return best, found

    def _within_budget(self, part: float) -> tuple[PrecisionMap, float]:
        """The widths that second derivatives choose within a part of the cost of the widest; its quality is what it is."""
        most = self.settings.most_bits
        widest = self._measure(self.uniform(most), "uniform", None, most)
        if widest is None:
            raise ScanError(self._nothing_found())
        self.trials.append(widest)
        self._tell(f"{most} bits everywhere: {widest.quality:.4f}")
        chooser, budget = self._chooser(most), part * widest.cost
        least = chooser.least_cost()
        if budget < least:
            raise ScanError(
                f"scan.budget: no widths cost so little; give at least {math.ceil(1000 * least / widest.cost) / 1000:g}, or "
                "lower scan.least_bits"
            )
        trial, limit = None, budget
        while limit >= least:
            choice = chooser.choose(limit)
            widths = with_widths(self.uniform(most), dict(choice.widths.items()))
            trial = self._measure(widths, "hessian", None, None, budget=budget)
            if trial is None or trial.cost <= budget:
                break
            # a narrower format may round up to one more integer bit, and then has fewer zeros than the program counts
            limit = min(limit, choice.cost) * 0.999 * budget / trial.cost
        if trial is None or trial.cost > budget:
            raise ScanError(
                "scan.budget: no format of the widths that it allows holds the values; raise scan.budget or scan.least_bits"
            )
        self.trials.append(replace(trial, accepted=True))
        self.progress.step("scan", self._done, self._done, f"quality {trial.quality:.4f}")
        return self.precision(widths), trial.quality

    def _chooser(self, knee: int) -> HessianWidths:
        """Sensitivities at the float network, by how much its own predictions change (of classes Kullback-Leibler).

        That divergence is least at the float network itself, so its first derivative is zero there, as the expansion
        to second order wants it, whatever the student was trained with.
        """
        settings, network = self.settings, self.network
        logits = predict_logits(build_float(network.network), network.calibration)
        objective = objective_of(self.task, logits.shape[1])
        most = min(knee + settings.headroom_bits, settings.most_bits)
        least = max(settings.least_bits, LEAST_WIDTH)
        if settings.cost == "luts":
            # each combination is solved by itself
            least = max(least, knee - _LUT_WIDTHS_BELOW)
        widths = range(least, most + 1)
        return HessianWidths(
            network.network,
            lambda predicted, outputs: objective.divergence(predicted, outputs, 1.0),
            network.calibration,
            logits,
            self.precision(self.uniform(knee)),
            settings.cost,
            widths=widths,
            activation_widths=widths,
            input_widths=None if settings.input_bits else widths,
            samples=settings.hessian_samples,
            progress=self.progress,
        )

    def _descend(self, start: int) -> _Descent:
        """From one width everywhere, narrow one tensor by a bit at a time, the one that saves most for what it loses.

        It ends when no tensor may lose a bit more.
        """
        widths = self.uniform(start)
        self._rebase(widths)
        now = self._measure(widths, "uniform", None, start)
        assert now is not None, "it was measured for the curve"
        descent = _Descent(widths, now, [], self.tensors(widths))
        while tried := self._round(descent, start):
            open_ = [trial for trial in tried if _name(trial) in descent.open]
            taken = max(open_, key=lambda trial: self._worth(descent.now, trial), default=None)
            descent.trials += [replace(trial, accepted=trial is taken) for trial in tried]
            if taken is not None:
                descent.widths, descent.now = narrowed(descent.widths, _name(taken))[0], taken
                self._rebase(descent.widths)
        return descent

    def _round(self, descent: _Descent, start: int) -> list[Trial]:
        """Try every open tensor one bit narrower; those that may not lose it are closed for good."""
        tried: list[Trial] = []
        for name in list(descent.open):
            widths, bits = narrowed(descent.widths, name)
            allowed = bits >= self.settings.least_bits
            trial = self._measure(widths, "layers", name, bits, start) if allowed else None
            if trial is not None:
                tried.append(trial)
                self._tell(f"{name[0]} {name[1]} {bits} bits")
            if trial is None or not self._keeps_quality(trial) or trial.cost >= descent.now.cost:
                # what fails now fails later too: the rest only gets narrower
                descent.open.remove(name)
        return tried

    def _worth(self, now: Trial, trial: Trial) -> float:
        """Saved cost for lost quality; losing nothing counts as a tenth of a sample."""
        lost = max(now.quality - trial.quality, 0.1 * self.network.resolution)
        return (now.cost - trial.cost) / lost

    def _trials_below(self, bits: int) -> int:
        """About how many trials a descent has: each tensor is tried in every round until it is closed."""
        return 2 * len(self.tensors(self.uniform(bits))) * (bits - self.settings.least_bits)

    def _tell(self, note: str) -> None:
        self._done += 1
        # while the curve is measured, nothing is known of what follows
        total = max(self._expected, self._done + 1) if self._expected else 2 * self._done
        self.progress.step("scan", self._done, total, note)

    def _nothing_found(self) -> str:
        settings = self.settings
        if not self.trials:
            return (
                f"no format of {settings.most_bits} bits everywhere (scan.input_bits: {settings.input_bits}) holds the "
                "values of the calibration set; raise scan.most_bits or scan.input_bits"
            )
        best = max(self.trials, key=lambda trial: trial.quality)
        clipping = " or scan.percentile" if settings.percentile < 100 else ""
        return (
            f"no uniform width up to scan.most_bits = {settings.most_bits} keeps the quality within "
            f"{settings.tolerance:g} of the float network's {self.network.float_quality:.4f}; the best is "
            f"{best.quality:.4f} at {best.bits} bits; raise scan.tolerance or scan.most_bits{clipping}"
        )


@dataclass
class _Descent:
    """Where a descent stands: its widths, what they reach, what it tried, and the tensors that may still lose a bit."""

    widths: Widths
    now: Trial
    trials: list[Trial]
    open: list[TensorName]


def with_widths(widths: Widths, chosen: Mapping[TensorName, int]) -> Widths:
    """The widths with those of some tensors replaced."""
    weights, results, of_input = dict(widths.weights), dict(widths.results), widths.input
    for (layer, tensor), bits in chosen.items():
        if tensor == "weight":
            weights[layer] = bits
        elif layer == COST_INPUT:
            of_input = bits
        else:
            results[layer] = bits
    return Widths(of_input, weights, results)


def narrowed(widths: Widths, name: TensorName) -> tuple[Widths, int]:
    """The widths with one tensor a bit narrower, and its new width."""
    layer, tensor = name
    if tensor == "weight":
        bits = widths.weights[layer] - 1
        return replace(widths, weights={**widths.weights, layer: bits}), bits
    if layer == INPUT and INPUT not in widths.results:
        return replace(widths, input=widths.input - 1), widths.input - 1
    bits = widths.results[layer] - 1
    return replace(widths, results={**widths.results, layer: bits}), bits


def _name(trial: Trial) -> TensorName:
    return str(trial.layer), str(trial.tensor)
