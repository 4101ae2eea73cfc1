"""The equality ladder: every way to compute the network's numbers, on the same vectors, equal to the last bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.core.ladder_table import ladder_table
from codesign.core.ports import Port, apart, columns_of
from codesign.core.progress import SILENT, Progress
from codesign.core.quality import predicted_classes
from codesign.core.shown import Brief, Shown
from codesign.core.text_table import TextTable
from codesign.errors import (
    ConversionError,
    DataError,
    NotVerifiedError,
    ReportMissingError,
    ToolNotFoundError,
    VerificationError,
)
from codesign.hls.project import HlsProject

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Recorded:
    """A computation that reads what an earlier run left of these vectors from their first on: it is given all at once.

    Parameters
    ----------
    read
        As every computation.
    """

    read: Compute

    def __call__(self, project: HlsProject, x: np.ndarray) -> np.ndarray | Partial | Decisions:
        """What was left."""
        return self.read(project, x)


@dataclass(frozen=True)
class Partial(Brief):
    """Outputs of the first samples only, from what did not compute all of them.

    Parameters
    ----------
    outputs
        float64 of shape `(samples, n_outputs)`.
    samples
        How many.
    """

    outputs: np.ndarray
    samples: int


@dataclass(frozen=True)
class Decisions(Brief):
    """Of each output the class alone that it decides on, of what computes no logits.

    Parameters
    ----------
    classes
        float64 of shape `(n_samples, n_ports)`.
    """

    classes: np.ndarray


Compute = Callable[[HlsProject, np.ndarray], np.ndarray | Partial | Decisions]
"""`(project, x) -> outputs`, float64 of shape `(n_samples, n_outputs)`."""

SAMPLES_AT_ONCE = 50_000
"""How many samples a rung is given at once."""

SKIPPED_FOR = (ToolNotFoundError, ReportMissingError, ConversionError)
"""Why a rung is skipped: its tool is missing, what it reads was not built, the network cannot take its form."""


@dataclass(frozen=True)
class Rung:
    """One way of computing, compared with the reference.

    Parameters
    ----------
    name
        What computed.
    samples
        How many samples were compared; 0 if the rung was skipped, fewer than all if it had computed fewer.
    mismatches
        How many samples differ in any output.
    first_index
        The first that differs, ``None`` if none does.
    largest_lsb
        The largest difference in units of the output's least significant bit.
    argmax_flips
        How many samples change their class, in any head; ``None`` where outputs are of no classes.
    seconds
        Wall time of computing.
    skipped
        Why the rung was not climbed, ``None`` if it was.
    outputs
        Of a network with several outputs, how many samples differ in each, by name.
    head_flips
        Of several heads with classes, how many samples change their class in each, by name.
    decisions
        Whether it computed classes alone, and these were compared with those that the reference decides on.
    """

    name: str
    samples: int
    mismatches: int
    first_index: int | None
    largest_lsb: float
    argmax_flips: int | None
    seconds: float
    skipped: str | None = None
    outputs: Mapping[str, int] = field(default_factory=dict)
    head_flips: Mapping[str, int] = field(default_factory=dict)
    decisions: bool = False

    @property
    def where(self) -> str:
        """The outputs that differ, for sentences; nothing for a network with one."""
        named = ", ".join(f"{name!r}" for name, count in self.outputs.items() if count)
        return named and f" in output {named}"


@dataclass(frozen=True)
class Verification(Shown):
    """The table of a ladder.

    Parameters
    ----------
    reference
        The name of the rung that the others are compared with.
    rungs
        The others, in order.
    lsb
        The value of the output's least significant bit; of several outputs, of the finest one's.
    """

    reference: str
    rungs: tuple[Rung, ...]
    lsb: float

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        climbed = [rung for rung in self.rungs if rung.skipped is None]
        return {
            "reference": self.reference,
            "verdict": "bit-exact" if self.agrees else "NOT bit-exact" if climbed else "nothing compared",
            "rungs": "; ".join(
                f"{rung.name} {rung.mismatches} of {rung.samples} differ"
                if rung.skipped is None
                else f"{rung.name} skipped"
                for rung in self.rungs
            ),
        }

    def tables(self) -> Iterator[TextTable]:
        """The ladder."""
        yield ladder_table(self.to_dict())

    def to_frame(self) -> DataFrame:
        """A pandas table, a row a rung; its columns are the fields of `Rung`."""
        import pandas

        return pandas.DataFrame([asdict(rung) for rung in self.rungs], columns=[f.name for f in fields(Rung)])

    @property
    def agrees(self) -> bool:
        """Whether at least one rung was climbed and none differs."""
        climbed = [rung for rung in self.rungs if rung.skipped is None]
        return bool(climbed) and not any(rung.mismatches for rung in climbed)

    def require_agreement(self, advice: str | None = None) -> None:
        """Raise `VerificationError` for the first rung that differs, with what to do about it."""
        for rung in self.rungs:
            if rung.mismatches:
                assert rung.first_index is not None
                raise VerificationError(
                    f"{rung.name} and {self.reference}{rung.where}",
                    mismatches=rung.mismatches,
                    samples=rung.samples,
                    first_index=rung.first_index,
                    largest_lsb=rung.largest_lsb,
                    advice=advice,
                )
        if not self.agrees:
            reasons = "; ".join(f"{rung.name}: {rung.skipped}" for rung in self.rungs)
            raise DataError(f"nothing was compared with {self.reference} ({reasons})")

    def require_run(self, names: Iterable[str]) -> None:
        """Raise `NotVerifiedError` for rungs that were asked for and skipped."""
        skipped = [rung for rung in self.rungs if rung.skipped is not None and rung.name in set(names)]
        if skipped:
            reasons = "\n  - ".join(f"{rung.name}: {rung.skipped}" for rung in skipped)
            raise NotVerifiedError(f"not run, though asked for:\n  - {reasons}")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Verification:
        """The inverse of `to_dict`."""
        return cls(value["reference"], tuple(Rung(**rung) for rung in value["rungs"]), value["lsb"])


def compare(
    project: HlsProject,
    x: np.ndarray,
    reference: np.ndarray,
    *,
    reference_name: str = "QKeras",
    rungs: Mapping[str, Compute],
    classes: Mapping[str, slice] | None = None,
    progress: Progress = SILENT,
) -> Verification:
    """Compare every rung with a reference, exactly.

    Parameters
    ----------
    project
        The converted project.
    x
        Inputs of shape `(n_samples, *input_shape)` on the input grid.
    reference
        What the outputs must be, shape `(n_samples, n_outputs)`.
    reference_name
        What made the reference.
    rungs
        The computations by name (see `codesign.verification.rungs`); one that cannot be climbed here (see
        `SKIPPED_FOR`) is skipped with the reason.
    classes
        Where the outputs stand that decide on a class, by head, so that changes of it are counted
        (`codesign.core.task.Task.class_places`); by default each of the network's outputs decides on one.

    Raises
    ------
    DataError
        If there are none, they are off the input grid, or they do not fit the project or the reference.
    """
    if len(x) == 0:
        raise DataError("there are no samples to compare; give at least one")
    if x.shape[1:] != project.input_shape:
        raise DataError(f"inputs have shape {x.shape[1:]}, but the project takes {project.input_shape}")
    graph = project.graph()
    for index, port in enumerate(graph.input_ports):
        grid = graph[port.name].result
        shares = (apart(graph.input_ports, x[part])[index] for part in _shares(len(x)))
        off = np.concatenate(
            [~grid.is_representable(values).reshape(len(values), -1).all(axis=1) for values in shares]
        )
        if off.any():
            name = "" if len(graph.inputs) == 1 else f" of {port.name!r}"
            raise DataError(
                f"{int(off.sum())} of {len(x)} input vectors are off the input grid{name} {grid}, "
                f"first at index {int(off.argmax())}; quantize them with the grid's quantize first"
            )
    if reference.shape != (len(x), project.n_outputs):
        raise DataError(f"the reference has shape {reference.shape}, not {(len(x), project.n_outputs)}")
    steps = [graph[name].result.step for name in graph.outputs]
    if classes is None:
        places = zip(graph.output_ports, columns_of(graph.output_ports), strict=True)
        classes = {port.name: columns for port, columns in places}
    done = []
    for index, (name, compute) in enumerate(rungs.items()):
        progress.step("verification", index, len(rungs), name)
        done.append(_compared(name, compute, project, x, reference, graph.output_ports, steps, classes))
    progress.step("verification", len(rungs), len(rungs))
    return Verification(reference_name, tuple(done), min(steps))


def _compared(
    name: str,
    compute: Compute,
    project: HlsProject,
    x: np.ndarray,
    reference: np.ndarray,
    ports: Sequence[Port],
    steps: Sequence[float],
    classes: Mapping[str, slice],
) -> Rung:
    rungs: list[Rung] = []
    for part in [slice(0, len(x))] if isinstance(compute, Recorded) else _shares(len(x)):
        rung = _share(name, compute, project, x[part], reference[part], ports, steps, classes)
        if rung.skipped is not None:
            return rung
        rungs.append(rung)
        if rung.samples < part.stop - part.start:  # it has computed no more
            break
    return _joined(name, rungs)


def _share(
    name: str,
    compute: Compute,
    project: HlsProject,
    x: np.ndarray,
    reference: np.ndarray,
    ports: Sequence[Port],
    steps: Sequence[float],
    classes: Mapping[str, slice],
) -> Rung:
    started = time.monotonic()
    try:
        outputs = compute(project, x)
    except SKIPPED_FOR as reason:
        return Rung(name, 0, 0, None, 0.0, 0 if classes else None, 0.0, skipped=str(reason))
    seconds = time.monotonic() - started
    if isinstance(outputs, Partial):
        reference = reference[: outputs.samples]
        outputs = outputs.outputs
    if decided := isinstance(outputs, Decisions):
        reference, outputs = _classes(reference, columns_of(ports)), outputs.classes
        ports, steps = [replace(port, shape=(1,)) for port in ports], [1.0] * len(ports)
    if outputs.shape != reference.shape:
        raise DataError(f"{name} computed outputs of shape {outputs.shape}, not {reference.shape}")
    difference = np.abs(outputs - reference.astype(np.float64))
    differs = difference.any(axis=1)
    places = columns_of(ports)
    flips = (
        {"": differs}
        if decided
        else {
            head: predicted_classes(outputs[:, columns]) != predicted_classes(reference[:, columns])
            for head, columns in classes.items()
        }
    )
    return Rung(
        name=name,
        samples=len(reference),
        mismatches=int(differs.sum()),
        first_index=int(differs.argmax()) if differs.any() else None,
        largest_lsb=max(
            float(difference[:, columns].max(initial=0.0) / step)
            for columns, step in zip(places, steps, strict=True)
        ),
        argmax_flips=int(np.any(list(flips.values()), axis=0).sum()) if flips else None,
        seconds=seconds,
        outputs={
            port.name: int(difference[:, columns].any(axis=1).sum())
            for port, columns in zip(ports, places, strict=True)
            if len(ports) > 1
        },
        head_flips={head: int(changed.sum()) for head, changed in flips.items() if len(flips) > 1},
        decisions=decided,
    )


def _classes(outputs: np.ndarray, places: Sequence[slice]) -> np.ndarray:
    """The classes that outputs decide on, float64 of shape `(n_samples, n_ports)`."""
    return np.stack([predicted_classes(outputs[:, columns]) for columns in places], axis=1).astype(np.float64)


def _joined(name: str, rungs: Sequence[Rung]) -> Rung:
    """One rung of those of its shares."""
    samples = list(accumulate((rung.samples for rung in rungs), initial=0))
    first = [
        start + rung.first_index
        for start, rung in zip(samples, rungs, strict=False)
        if rung.first_index is not None
    ]
    return Rung(
        name=name,
        samples=samples[-1],
        mismatches=sum(rung.mismatches for rung in rungs),
        first_index=min(first, default=None),
        largest_lsb=max(rung.largest_lsb for rung in rungs),
        argmax_flips=None if rungs[0].argmax_flips is None else sum(rung.argmax_flips or 0 for rung in rungs),
        seconds=sum(rung.seconds for rung in rungs),
        outputs={port: sum(rung.outputs[port] for rung in rungs) for port in rungs[0].outputs},
        head_flips={head: sum(rung.head_flips[head] for rung in rungs) for head in rungs[0].head_flips},
        decisions=rungs[0].decisions,
    )


def _shares(n_samples: int) -> list[slice]:
    """Shares of the samples, so that a rung needs no more memory for a million vectors than for some thousand."""
    starts = range(0, n_samples, SAMPLES_AT_ONCE)
    return [slice(start, min(start + SAMPLES_AT_ONCE, n_samples)) for start in starts]
