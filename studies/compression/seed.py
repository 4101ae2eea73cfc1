"""What this study makes for one seed: teachers, students, pruned and quantized ones, and their RTL."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from codesign.core.files import write_json
from codesign.errors import CodesignError
from codesign.settings import PruningSettings
from studies.compression.grid import FLOAT, METHODS, SCANNED, Cell, Study, read_results


class SeedStudy:
    """One seed: every value is made when a result that needs it is missing, and kept while the seed is worked on.

    Parameters
    ----------
    study
        What is measured.
    seed
        Of the split and of every training.
    """

    def __init__(self, study: Study, seed: int) -> None:
        from codesign.networks.backend import import_backend
        from codesign.settings import read_design
        from codesign.stages import new_context

        import_backend()
        self.seed, self.folder = seed, study.folder / f"seed{seed}"
        # the seeds run side by side already
        alone = {"teacher.workers": 1, "distillation.search.workers": 1}
        alone |= {"teacher.kind": "ensemble", "teacher.members": study.members}
        given = {**alone, **study.overrides, "seed": seed, "data.split_seed": seed}
        self.settings = read_design(study.design, given)
        self.context = new_context(study.design, self.settings, self.folder)
        self.results = read_results(study.folder, seed)
        self.kinds = tuple(dict.fromkeys(cell.teacher for cell in study.cells))
        self._students: dict[str, Any] = {}
        self._pruned: dict[tuple[str, float, str], Any] = {}

    @cached_property
    def dataset(self) -> Any:
        """Split by the seed."""
        return self.context.dataset

    @cached_property
    def n_outputs(self) -> int:
        """Of every network."""
        return int(self.context.build("student").output_shape[-1])

    @cached_property
    def ensemble(self) -> Any:
        """Its members begin at seeds that no other seed of the study uses."""
        from codesign.training.ensemble import train_ensemble

        settings = self.settings.teacher
        return train_ensemble(
            self.context.build("teacher"), self.dataset, settings, seed=self.seed * settings.members
        )

    @cached_property
    def best_member(self) -> Any:
        """The member that is best on the validation part."""
        from codesign.training.teacher import teacher_of

        members = self.ensemble.record.metrics["member_validation_accuracy"]
        index = members.index(max(members))
        return teacher_of(
            self.ensemble.members[index],
            self.dataset,
            self.ensemble.member_histories[index],
            made_of={"ensemble": self.ensemble.record.digest},
        )

    @cached_property
    def specialists(self) -> Any:
        """The same member as the generalist."""
        from codesign.training.specialists import train_specialists

        return train_specialists(
            self.context.build("teacher"),
            self.dataset,
            self.settings.teacher,
            generalist=self.best_member,
            seed=self.seed,
        )

    def teacher(self, kind: str) -> Any:
        """The teacher of a kind; who learns from the labels alone gets one that the loss gives no weight."""
        if kind == "ensemble":
            return self.ensemble
        return self.specialists if kind == "specialists" else self.best_member

    def distillation(self, kind: str) -> Any:
        """The loss of a kind of teacher."""
        from codesign.training.distill import with_learnt_temperature

        settings = self.settings.distillation
        if kind == "scratch":
            alone = {"alpha": 1.0, "temperature": 1.0, "form": "soft", "terms": (), "hint_epochs": 0}
            return settings.model_copy(update=alone)
        return (
            with_learnt_temperature(settings, self._students[kind].record)
            if kind in self._students
            else settings
        )

    def student(self, kind: str) -> Any:
        """The float student; temperature and alpha are chosen on the validation part where the design leaves them open."""
        from codesign.training.distill import distill_student

        if kind not in self._students:
            self._students[kind] = distill_student(
                self.context.build("student"),
                self.teacher(kind),
                self.dataset,
                self.distillation(kind),
                seed=self.seed,
            )
        return self._students[kind]

    def pruning(self, cell: Cell) -> Any:
        """How a cell's student is pruned: inside quantization where its widths are given and its method can be."""
        values = {**self.settings.pruning.model_dump(), **METHODS[cell.method]}
        values |= {"sparsity": cell.sparsity, "inside": "float"}
        if cell.precision not in (FLOAT, SCANNED) and values["method"] not in ("structured", "hardware"):
            values |= {"inside": "quantization", "schedule": "iterative"}
        return PruningSettings.model_validate(values)

    def pruned(self, cell: Cell) -> Any:
        """The float student with that part removed while it goes on learning."""
        from codesign.compression.prune import prune_student

        kind, settings = cell.teacher, self.pruning(cell)
        if cell.sparsity == 0 or settings.inside == "quantization":
            return self.student(kind)
        key = (kind, cell.sparsity, cell.method)
        if key not in self._pruned:
            self._pruned[key] = prune_student(
                self.student(kind),
                self.teacher(kind),
                self.dataset,
                settings,
                self.distillation(kind),
                hardware=self.settings.hardware,
                seed=self.seed,
            )
        return self._pruned[key]

    def quantization(self, cell: Cell) -> Any:
        """Its epochs: those that a student did not have while it was pruned, so that all train as long."""
        settings, pruning = self.settings.quantization, self.pruning(cell)
        before = 0 if cell.sparsity == 0 or pruning.inside == "quantization" else pruning.epochs
        epochs = settings.epochs + (pruning.epochs if cell.precision == SCANNED else 0) - before
        if pruning.inside == "quantization" and pruning.rewind != "none":
            # every round begins again (arXiv:1803.03635, section 1)
            epochs *= pruning.rounds
        return settings.model_copy(update={"epochs": max(1, epochs)})

    def quantized(self, cell: Cell) -> Any:
        """The student of a cell after quantization-aware training."""
        from codesign.compression.formats import measure_ranges, precision_of, uniform_widths
        from codesign.compression.quantize import quantize_student
        from codesign.compression.scan import scan_bit_widths
        from codesign.networks.prepare import prepare_for_quantization

        start = self.pruned(cell)
        if cell.precision == SCANNED:
            precision = scan_bit_widths(start, self.dataset, self.settings.scan).precision
        else:
            prepared = prepare_for_quantization(start.network)
            scan = self.settings.scan
            calibration = self.dataset.calibration(scan.calibration_samples)
            ranges = measure_ranges(prepared, calibration, scan.percentile)
            precision = precision_of(prepared, ranges, uniform_widths(prepared, int(cell.precision)))
        return quantize_student(
            start.network,
            precision,
            self.teacher(cell.teacher),
            self.dataset,
            self.quantization(cell),
            self.distillation(cell.teacher),
            pruning=self.pruning(cell) if cell.sparsity > 0 else None,
            early=self.student(cell.teacher).early,
            seed=self.seed,
        )

    def measure(self, cell: Cell) -> dict[str, Any]:
        """Train a cell's student; its quality and cost. A quantized one is kept for its RTL."""
        from codesign.cost import estimate_luts
        from codesign.networks.shapes import layer_shapes

        if cell.precision == FLOAT:
            student = self.pruned(cell)
            return self._quality(student, student.network, cell)
        student = self.quantized(cell)
        folder = self.design_folder(cell)
        folder.mkdir(parents=True, exist_ok=True)
        student.network.save(folder / "network.npz")
        student.precision.save(folder / "precision_map.json")
        weights = {layer.name: layer.weights for layer in student.network.weight_layers}
        luts = estimate_luts(
            layer_shapes(student.network),
            student.precision,
            {name: arrays["kernel"] for name, arrays in weights.items()},
            {name: arrays["bias"] for name, arrays in weights.items() if "bias" in arrays},
        )
        return {
            **self._quality(student, student.hardware()[0], cell),
            "average_weight_bits": student.precision.average_bits("weight"),
            "average_result_bits": student.precision.average_bits("result"),
            "estimated_luts": luts,
        }

    def _quality(self, student: Any, built: Any, cell: Cell) -> dict[str, Any]:
        from codesign.core.quality import background_rejection, macro_auc
        from codesign.networks.logits import predict_logits

        logits = predict_logits(student.model(), self.dataset.x_test)
        metrics = student.record.metrics
        return {
            "validation": metrics["validation_accuracy"],
            "test": metrics["test_accuracy"],
            "auc": macro_auc(self.dataset.y_test, logits),
            "rejection": background_rejection(self.dataset.y_test, logits),
            "bops": metrics["bops"],
            "removed": built.weights_removed(self.student(cell.teacher).network),
        }

    def measure_teachers(self) -> dict[str, Any]:
        """How good the teachers are themselves, and what they were distilled with."""
        found = {"members": self.ensemble.record.metrics["member_test_accuracy"]}
        kinds = {"best member": self.best_member, "ensemble": self.ensemble}
        if "specialists" in self.kinds:
            kinds["specialists"] = self.specialists
            found["clusters"] = self.specialists.record.metrics["clusters"]
        for name, teacher in kinds.items():
            found[name] = teacher.record.metrics["test_accuracy"]
        # a resumed study trained some of them in an earlier process
        found["distillation"] = {
            kind: self.student(kind).record.metrics["distillation"] for kind in self.kinds
        }
        found["searched"] = [kind for kind in self.kinds if "search" in self.student(kind).record.metrics]
        return found

    @property
    def asks_more(self) -> bool:
        """Whether there are kinds of teachers that the kept row of the teachers lacks."""
        return not set(self.kinds) <= set(self.results["teachers"]["distillation"])

    def design_folder(self, cell: Cell) -> Path:
        """Where a quantized student is kept."""
        return self.folder / "designs" / cell.key.replace(" ", "-")

    def measure_rtl(self, cell: Cell) -> dict[str, Any]:
        """LUTs, flip-flops and latency of a kept student from the open RTL, and whether its logic computes the same."""
        import numpy as np

        from codesign.compression.quantize import QuantizedStudent
        from codesign.core.precision_map import PrecisionMap
        from codesign.core.record import Record
        from codesign.networks.description import Network
        from codesign.networks.logits import predict_logits
        from codesign.rtl import interpret
        from codesign.stages.project import convert
        from codesign.stages.rtl import build_rtl

        kept, work = self.design_folder(cell), self.folder / "rtl"
        network = Network.load(kept / "network.npz")
        precision = PrecisionMap.load(kept / "precision_map.json")
        record = Record.of(network.digest, {})
        student = QuantizedStudent(network, precision, None, record)
        shutil.rmtree(work, ignore_errors=True)
        try:
            project = convert(student, self.dataset, self.settings.hardware, work / "hls")
            rtl = build_rtl(project, self.settings.hardware, work / "rtl")
            if rtl.project is None:
                return {"skipped": rtl.record.metrics["skipped"]}
            x = precision.input.quantize(self.dataset.x_test)
            differs = interpret(rtl.project, x) != predict_logits(student.model(), x)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        metrics = rtl.record.metrics
        figures = {
            name: metrics[name]
            for name in ("lut", "ff", "dsp", "latency_cycles", "latency_ns")
            if name in metrics
        }
        skipped = {"skipped": metrics["skipped"]} if "skipped" in metrics else {}
        return {**figures, **skipped, "mismatches": int(np.any(differs, axis=1).sum())}

    def keep(self, key: str, row: dict[str, Any]) -> None:
        """Add a result to the seed's file."""
        self.results[key] = row
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "results.json", self.results)


def work(study: Study, seed: int, rtl: bool) -> None:
    """Measure what a seed lacks: its students, or with `rtl` their open RTL."""
    one = SeedStudy(study, seed)
    if rtl:
        quantized = [cell for cell in study.cells if one.design_folder(cell).is_dir()]
        jobs: list[tuple[str, Callable[[], dict[str, Any]]]]
        jobs = [(f"rtl {cell.key}", partial(one.measure_rtl, cell)) for cell in quantized]
    else:
        jobs = [(cell.key, partial(one.measure, cell)) for cell in study.cells]
        jobs.append(("teachers", one.measure_teachers))
    missing = [
        (key, job) for key, job in jobs if key not in one.results or (key == "teachers" and one.asks_more)
    ]
    began = time.monotonic()
    for index, (key, job) in enumerate(missing, 1):
        started = time.monotonic()
        try:
            row = job()
        except CodesignError as error:
            if key == "teachers":
                raise
            # a student that was pruned to pieces may have no path, or no formats that keep what is left of it
            row = {"skipped": str(error)}
        one.keep(key, row)
        now = time.monotonic()
        left = (now - began) / index * (len(missing) - index) / 60
        told = next(
            (f"{row[name]:.5g}" for name in ("test", "lut", "ensemble") if name in row), row.get("skipped")
        )
        print(
            f"{study.name}, seed {seed} [{index}/{len(missing)}] {key}: {told} "
            f"({now - started:.0f} s, {left:.0f} min left)",
            file=sys.stderr,
            flush=True,
        )
