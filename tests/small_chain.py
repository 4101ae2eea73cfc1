"""The whole chain on a small task, each value made when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import keras
from keras import layers
from learning_tasks import clouds

from codesign.compression.prune import PrunedStudent, prune_student
from codesign.compression.quantize import QuantizedStudent, quantize_student
from codesign.compression.scan import ScanResult, scan_bit_widths
from codesign.data import Dataset
from codesign.settings import DesignSettings, make_design
from codesign.stages.project import ConvertedStudent, convert
from codesign.training.distill import Student, distill_student
from codesign.training.teacher import Teacher, train_teacher

SETTINGS: dict[str, Any] = {
    "name": "small",
    "data": {"source": "clouds.npz"},
    "teacher": {"epochs": 4, "learning_rate": 0.02},
    "distillation": {"epochs": 4, "learning_rate": 0.02, "temperature": 2.0},
    "pruning": {"epochs": 5, "learning_rate": 0.01, "sparsity": 0.5, "layers": {"out": 0.2}},
    "scan": {"tolerance": 0.05, "most_bits": 7, "least_bits": 3, "calibration_samples": 100},
    "quantization": {"epochs": 3, "learning_rate": 0.005},
}


def teacher_model(dataset: Dataset) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(dataset.input_shape),
            layers.Dense(16, activation="relu", name="wide"),
            layers.Dropout(0.1),
            layers.Dense(dataset.n_classes, activation="softmax", name="classes"),
        ],
        name="teacher",
    )


def student_model(dataset: Dataset) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(dataset.input_shape),
            layers.Dense(8, use_bias=False, name="fc1"),
            layers.BatchNormalization(name="norm1"),
            layers.Activation("relu", name="relu1"),
            layers.Dense(6, activation="relu", name="fc2"),
            layers.Dense(dataset.n_classes, name="out"),
        ],
        name="student",
    )


class SmallChain:
    """Dataset, teacher, student, pruned, scan, quantized, converted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def settings(self) -> DesignSettings:
        return make_design(SETTINGS)

    @cached_property
    def dataset(self) -> Dataset:
        return clouds()

    @cached_property
    def teacher(self) -> Teacher:
        return train_teacher(teacher_model(self.dataset), self.dataset, self.settings.teacher)

    @cached_property
    def student(self) -> Student:
        model = student_model(self.dataset)
        return distill_student(model, self.teacher, self.dataset, self.settings.distillation)

    @cached_property
    def pruned(self) -> PrunedStudent:
        settings = self.settings
        return prune_student(
            self.student, self.teacher, self.dataset, settings.pruning, settings.distillation
        )

    @cached_property
    def scan(self) -> ScanResult:
        return scan_bit_widths(self.pruned, self.dataset, self.settings.scan)

    @cached_property
    def quantized(self) -> QuantizedStudent:
        settings = self.settings
        return quantize_student(
            self.pruned.network,
            self.scan.precision,
            self.teacher,
            self.dataset,
            settings.quantization,
            settings.distillation,
        )

    @cached_property
    def converted(self) -> ConvertedStudent:
        return convert(self.quantized, self.dataset, self.settings.hardware, self.folder / "project")
