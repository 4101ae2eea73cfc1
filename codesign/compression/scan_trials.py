"""Measuring one candidate of the scan: quality, overflows and cost of a precision map, without converting anew; once."""

from __future__ import annotations

import inspect
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

from codesign.compression.formats import nominal_precision
from codesign.core.files import json_digest, write_text
from codesign.core.fixed_point import FixedPoint
from codesign.core.interrupt import stop_if_asked
from codesign.core.ports import side_by_side
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.core.quality import QUALITIES, Quality
from codesign.core.target import Target
from codesign.core.task import Task
from codesign.cost import bops_of, estimate_luts
from codesign.emulation import Emulator, Session, count_overflows
from codesign.errors import OutputFolderError, ScanError, SettingsError
from codesign.hls.convert import HardwareChoices, convert_graph
from codesign.hls.graph import Graph, read_graph, types_of
from codesign.networks.build import build_float
from codesign.networks.description import Network
from codesign.networks.logits import predict_logits
from codesign.networks.prepare import hardware_form
from codesign.networks.shapes import layer_shapes
from codesign.settings import ScanSettings

CostUnit = Literal["bops", "luts"]
Types = dict[str, dict[str, FixedPoint]]


class Reached(TypedDict):
    """What a candidate reached: quality, values that wrap or saturate on the calibration set, and cost."""

    quality: float
    overflows: int
    cost: float


class ScannedNetwork:
    """A network that is measured at any formats on one set of samples; nothing is converted or compiled again.

    The network is converted to an hls4ml graph once. A candidate is run by the bit-exact emulator, from the first layer
    whose formats differ from those of the *base*: the results of the base's layers are kept.

    Parameters
    ----------
    network
        Prepared: folded, with explicit quantization points.
    x, labels
        Inputs `(n_samples, *input_shape)` and class indices `(n_samples,)` that quality is measured on.
    calibration
        Inputs that overflows are counted on.
    quality
        `(labels, logits) -> quality`.
    cost
        What a candidate costs: ``bops``, or estimated ``luts`` of a network that multiplies by shifting and adding.
    keep_bytes
        How much of the base's results to keep; the rest is computed again for each candidate.
    """

    def __init__(
        self,
        network: Network,
        x: np.ndarray,
        labels: np.ndarray,
        calibration: np.ndarray,
        quality: Quality,
        *,
        cost: CostUnit = "bops",
        keep_bytes: int = 2**30,
    ) -> None:
        self.network, self.x, self.labels = network, x, labels
        self.calibration = calibration
        self.quality, self.cost_unit, self.keep_bytes = quality, cost, keep_bytes
        self.shapes = layer_shapes(network)
        self.kernels = {layer.name: layer.weights["kernel"] for layer in network.weight_layers}
        self.biases = {
            layer.name: layer.weights["bias"] for layer in network.weight_layers if "bias" in layer.weights
        }
        model = build_float(network)
        self.float_quality = quality(labels, predict_logits(model, x))
        self.resolution = 1.0 / len(labels)
        self.base = Emulator.of(_graph(network))
        self._session = Session(x, memory_bytes=keep_bytes)
        self._planned: tuple[str, Emulator] = ("", self.base)

    def measure(self, precision: PrecisionMap) -> Reached:
        """Quality, overflows on the calibration set, and cost of a candidate."""
        stop_if_asked()
        return Reached(
            quality=self.quality(self.labels, self.logits(precision)),
            overflows=self.overflows(precision),
            cost=self.cost(precision),
        )

    def overflows(self, precision: PrecisionMap) -> int:
        """How many values wrap or saturate on the calibration set, weights and biases included."""
        report = count_overflows(self.emulator(precision), self.calibration)
        return report.wrapped + report.saturated

    def logits(self, precision: PrecisionMap) -> np.ndarray:
        """The outputs of a candidate, float64 of shape `(n_samples, n_outputs)`: those of the hardware, exactly."""
        return side_by_side(self._session.run(self.emulator(precision)))

    def logits_of(self, precision: PrecisionMap, x: np.ndarray) -> np.ndarray:
        """The outputs of a candidate for other inputs."""
        return self.emulator(precision).outputs(x)

    def rebase(self, precision: PrecisionMap) -> None:
        """Make a candidate the base that later ones differ from: the results of its layers are kept."""
        self.base = self.emulator(precision)
        self._session.run(self.base, keep=True)

    def cost(self, precision: PrecisionMap) -> float:
        """What a candidate costs for one sample, in the unit that the runner was made for."""
        return self.luts(precision) if self.cost_unit == "luts" else self.bops(precision)

    def bops(self, precision: PrecisionMap) -> float:
        """Bit operations of a candidate for one sample."""
        return bops_of(self.shapes, precision, self.kernels)

    def luts(self, precision: PrecisionMap) -> float:
        """Estimated LUTs of a candidate; layers that did not change are remembered."""
        return estimate_luts(self.shapes, precision, self.kernels, self.biases)

    def emulator(self, precision: PrecisionMap) -> Emulator:
        """The network with a candidate's formats, planned; layers that are as in the base are not planned anew."""
        if precision.digest != self._planned[0]:
            self._refuse_widths(precision)
            _, formats = hardware_form(self.network, precision)
            self._planned = precision.digest, self.base.with_types(_changed(self.base, formats))
        return self._planned[1]

    @staticmethod
    def _refuse_widths(precision: PrecisionMap) -> None:
        """The emulator rounds a kernel to one format."""
        finer = [name for name, layer in precision.layers.items() if layer.weight_widths is not None]
        if finer:
            raise SettingsError(
                f"layers.{finer[0]}.weight_widths: the scan measures one width a kernel; leave them out",
                source="precision map",
            )


def _graph(network: Network) -> Graph:
    """The hls4ml graph of a network with its float weights: they are rounded when a candidate's formats are applied."""
    rounded, formats = hardware_form(network, nominal_precision(network))
    unrounded = rounded.map_layers(
        lambda layer: layer.with_weights(**network[layer.name].weights) if layer.weights else layer
    )
    return read_graph(
        convert_graph(build_float(unrounded), formats, Target(), HardwareChoices(), "unwritten")
    )


def _changed(base: Emulator, formats: PrecisionMap) -> Types:
    """The formats of a map (in hardware form) that differ from the base's."""
    grids = {name: LayerPrecision(result=formats.of_input(name)) for name in base.graph.inputs}
    wanted = {**grids, **formats.layers}
    changed: Types = {}
    for name, layer in wanted.items():
        node = base.graph[name]
        different = {
            tensor: precision
            for tensor, precision in types_of(node, layer).items()
            if node.types[tensor] != precision
        }
        if different:
            changed[name] = different
    return changed


@dataclass(frozen=True)
class CheckedQuality:
    """A quality whose faults are told in a sentence.

    Parameters
    ----------
    name
        What messages call it.
    function
        `(labels, logits) -> quality`, higher is better; labels int64 `(n_samples,)`, logits `(n_samples, n_outputs)`.
    """

    name: str
    function: Quality

    @classmethod
    def of(cls, settings: ScanSettings, given: Quality | None, task: Task) -> CheckedQuality:
        """The user's function, or else the one that the settings name, or else the task's.

        Raises
        ------
        SettingsError
            For one that the task does not have.
        """
        named = settings.quality
        if given is None and named is not None and named != task.measure:
            if named not in task.qualities:
                others = " or ".join(map(repr, task.qualities))
                raise SettingsError(
                    f"scan.quality: {named!r} is not for the task {task.kind!r}; leave it out, for "
                    f"{task.measure!r}{f', or choose {others}' if others else ''}"
                )
            return cls(named, QUALITIES[named])
        if given is None:
            common = QUALITIES.get(task.measure) if type(task).quality is Task.quality else None
            return cls(task.measure, common or task.quality)
        return cls(getattr(given, "__qualname__", type(given).__name__), given)

    @property
    def key(self) -> str:
        """What tells one quality from another between runs: the name, and a function's source where it can be read."""
        if self.function in QUALITIES.values():
            return self.name
        try:
            return f"{self.name}\n{inspect.getsource(self.function)}"
        except (OSError, TypeError):
            return self.name

    def __call__(self, labels: np.ndarray, logits: np.ndarray) -> float:
        """Measure.

        Raises
        ------
        ScanError
            If the function raises, or returns no finite number.
        """
        try:
            value = self.function(labels, logits)
        except Exception as error:
            raise ScanError(
                f"the quality {self.name!r} raised {type(error).__name__} on {len(labels)} samples with logits of shape "
                f"{logits.shape}: {error}; it takes (labels, logits) and returns a number"
            ) from error
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ScanError(
                f"the quality {self.name!r} must return a number, not {value!r} ({type(value).__name__})"
            ) from None
        if not math.isfinite(number):
            raise ScanError(
                f"the quality {self.name!r} is {number} on {len(labels)} samples; it must be finite: check that every "
                "class has samples in the validation part"
            )
        return number


class Journal:
    """Measurements by key, in a file that grows by a line with each of them.

    Parameters
    ----------
    path
        A JSON-lines file; its folder exists. ``None`` keeps nothing.
    digest
        Of everything that the measurements depend on; a file with another one is begun anew.

    Raises
    ------
    OutputFolderError
        If the file cannot be written.
    """

    def __init__(self, path: Path | None, digest: str) -> None:
        self.path = path
        self.known = {} if path is None else _read_journal(path, digest)
        if path is None:
            return
        self.digest = digest
        lines = [json.dumps({"scan": digest}), *(self._line(*row) for row in self.known.items())]
        try:
            # written anew without the half line that an interruption may have left
            write_text(path, "\n".join(lines) + "\n")
        except OSError as error:
            raise OutputFolderError(
                f"the journal {path} cannot be written ({error.strerror}); choose another folder"
            ) from error

    def get(self, key: str) -> Reached | None:
        """What was measured, or ``None``."""
        return self.known.get(key)

    def add(self, key: str, value: Reached) -> None:
        """Keep a measurement, on the disk before the next one begins."""
        self.known[key] = value
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(self._line(key, value) + "\n")

    def _line(self, key: str, value: Reached) -> str:
        return json.dumps({"key": key, "value": value, "check": _check(self.digest, key, value)})


def _check(digest: str, key: str, value: Reached) -> str:
    """What tells a line that was written here from one that was edited since, or is of another scan."""
    return json_digest([digest, key, value])[:16]


def _read_journal(path: Path, digest: str) -> dict[str, Reached]:
    if not path.is_file():
        return {}
    known: dict[str, Reached] = {}
    head, *lines = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    try:
        if json.loads(head) != {"scan": digest}:
            return {}
        for line in lines:
            row = json.loads(line)
            value = row["value"]
            if row["check"] != _check(digest, row["key"], value):
                raise ValueError("it was edited")
            known[row["key"]] = Reached(
                quality=float(value["quality"]), overflows=int(value["overflows"]), cost=float(value["cost"])
            )
    except (ValueError, KeyError, TypeError):
        # what stands before the damage counts
        pass
    return known
