"""What the scan leaves: the chosen formats, every trial, and the proof that nothing can wrap."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from codesign.affine.ptq import AffineRow
from codesign.core.files import read_json, write_json, write_text
from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import PrecisionMap
from codesign.core.record import Record
from codesign.core.shown import Shown, metric_facts
from codesign.core.text_table import TextTable, spreadsheet_safe
from codesign.emulation import Emulator
from codesign.emulation.emulator import proven_accumulators

if TYPE_CHECKING:
    from pandas import DataFrame

Phase = Literal["uniform", "layers", "hessian"]


@dataclass(frozen=True)
class Trial:
    """One candidate of the scan.

    Parameters
    ----------
    phase
        ``uniform``: the same width everywhere; ``layers``: one tensor narrower than in the best map so far;
        ``hessian``: all widths chosen by second derivatives within a budget.
    layer, tensor
        What was made narrower, in the layers phase.
    bits
        Its width; the width of every tensor in the uniform phase; ``None`` in the Hessian phase.
    quality
        On the validation part.
    overflows
        How many values wrapped or saturated on the calibration set.
    cost
        BOPs or estimated LUTs, as the settings say.
    accepted
        Whether the result was reached through it.
    start
        In the layers phase, the width of all tensors that the descent began from.
    budget
        In the Hessian phase, the cost that the widths were allowed.
    """

    phase: Phase
    layer: str | None
    tensor: str | None
    bits: int | None
    quality: float
    overflows: int
    cost: float
    accepted: bool = False
    start: int | None = None
    budget: float | None = None


@dataclass(frozen=True)
class AccumulatorProof:
    """What is known of the sums of one layer, whatever the input.

    Parameters
    ----------
    layer
        The layer, in hardware form.
    precision
        The narrowest format that holds every sum, as hls4ml spells it; fractional bits are those of the products.
    least, most
        Values that no sum leaves, for any input on the input grid: interval analysis over the rounded weights and
        the formats of the layer's inputs. A sum reaches them if its inputs can take their limits together.
    inferred_bits
        The width that hls4ml gives the accumulator, which must hold the worst weights of the weight format.
    """

    layer: str
    precision: str
    least: float
    most: float
    inferred_bits: int

    @property
    def holds(self) -> bool:
        """Whether the format holds everything between the bounds."""
        precision = FixedPoint.parse(self.precision)
        return precision.minimum <= self.least and self.most <= precision.maximum

    @property
    def sentence(self) -> str:
        """What is proved, in words."""
        return f"{self.precision} holds every sum: {self.least:g} to {self.most:g} for any input on the input grid"


@dataclass(frozen=True)
class ScanResult(Shown):
    """What the scan chose, and everything it tried.

    Parameters
    ----------
    precision
        The formats, keyed by the layers of the prepared network: the post-training result, and the map to train on
        with.
    trials
        Every candidate, in order.
    float_quality
        The quality without quantization, on the validation part.
    quality
        The quality of `precision` without further training.
    record
        The stage's evidence.
    proofs
        For each layer that sums products, the bounds that no input on the input grid can leave.
    affine
        The quality of the same student with scales and zero points, for each of `scan.affine_widths`.
    """

    precision: PrecisionMap
    trials: tuple[Trial, ...]
    float_quality: float
    quality: float
    record: Record
    proofs: tuple[AccumulatorProof, ...] = ()
    affine: tuple[AffineRow, ...] = ()

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        return {
            "quality": f"{self.quality:.4f} (float {self.float_quality:.4f})",
            **metric_facts(self.record.metrics),
            "trials": str(len(self.trials)),
            "wraps": "no input" if self.no_input_wraps else "some input",
        }

    def tables(self) -> Iterator[TextTable]:
        """The formats."""
        return self.precision.tables()

    def to_frame(self) -> DataFrame:
        """The trials as a pandas table, a row each, in order; its columns are the fields of `Trial`."""
        import pandas

        return pandas.DataFrame(
            [asdict(trial) for trial in self.trials], columns=[f.name for f in fields(Trial)]
        )

    @property
    def no_input_wraps(self) -> bool:
        """Whether every accumulator is proved to hold its sums for all inputs on the input grid.

        The results of layers saturate, they never wrap.
        """
        return bool(self.proofs) and all(proof.holds for proof in self.proofs)

    def save(self, folder: Path) -> None:
        """Write the map as JSON, the trials as CSV, and qualities, trials, proofs and affine rows as JSON."""
        self.precision.save(folder / "precision_map.json")
        write_text(folder / "trials.csv", _csv(self.trials))
        write_json(
            folder / "scan.json",
            {
                "float_quality": self.float_quality,
                "quality": self.quality,
                "no_input_wraps": self.no_input_wraps,
                "accumulators": [asdict(proof) for proof in self.proofs],
                "affine": [asdict(row) for row in self.affine],
                "trials": [asdict(trial) for trial in self.trials],
            },
        )

    @classmethod
    def load(cls, folder: Path, record: Record) -> ScanResult:
        """Read what `save` wrote."""
        kept: dict[str, Any] = read_json(folder / "scan.json")
        trials = tuple(Trial(**trial) for trial in kept["trials"])
        proofs = tuple(AccumulatorProof(**proof) for proof in kept["accumulators"])
        precision = PrecisionMap.load(folder / "precision_map.json")
        # scans of an older version have none
        affine = tuple(AffineRow(**row) for row in kept.get("affine", ()))
        return cls(precision, trials, kept["float_quality"], kept["quality"], record, proofs, affine)


def prove_accumulators(emulator: Emulator) -> tuple[AccumulatorProof, ...]:
    """Bound the sums of every layer of a converted network.

    Raises
    ------
    ConversionError
        If an input exists that overflows an accumulator.
    """
    bounds = emulator.accumulators
    return tuple(
        AccumulatorProof(
            name, str(precision), bounds[name].least, bounds[name].most, bounds[name].precision.width
        )
        for name, precision in proven_accumulators(emulator).items()
    )


def _csv(trials: tuple[Trial, ...]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Trial)], lineterminator="\n")
    writer.writeheader()
    for trial in trials:
        writer.writerow({name: spreadsheet_safe(value) for name, value in asdict(trial).items()})
    return text.getvalue()
