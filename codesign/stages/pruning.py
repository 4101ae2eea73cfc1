"""The pruned student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from codesign.core.files import json_digest
from codesign.core.record import Record
from codesign.stages.context import Context, Stage, load_history, save_student


class Pruning(Stage):
    """`prune_student`."""

    name = "pruning"
    title = "pruning"
    parents = ("student", "teacher")
    sections = ("pruning", "distillation")

    def depends(self, context: Context) -> dict[str, str]:
        """The method ``hardware`` counts what the target saves."""
        depends = super().depends(context)
        if context.settings.pruning.method == "hardware":
            depends["settings hardware"] = json_digest(context.settings.section("hardware"))
        return depends

    def check(self, context: Context) -> None:
        """The sparsities fit the student's layers."""
        from codesign.compression.prune import check_pruning

        check_pruning(context.untrained_network, context.settings.pruning)

    def make(self, context: Context, folder: Path) -> Any:
        """Prune the student."""
        from codesign.compression.prune import prune_student

        settings = context.settings
        pruned = prune_student(
            context.value("student"),
            context.value("teacher"),
            context.dataset,
            settings.pruning,
            settings.distillation,
            hardware=settings.hardware,
            seed=settings.seed,
            progress=context.progress,
        )
        _refuse_illegal_reuse(pruned, context, folder)
        return pruned

    def save(self, value: Any, folder: Path) -> None:
        """Keep the network, a Keras model of it and the history."""
        save_student(value, folder)

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """The pruned student."""
        from codesign.compression.prune import PrunedStudent
        from codesign.networks.description import Network

        return PrunedStudent(Network.load(folder / "network.npz"), load_history(folder), record)


def _refuse_illegal_reuse(pruned: Any, context: Context, folder: Path) -> None:
    """Units that went take their columns along: a reuse factor that no longer divides what is left is told now.

    Raises
    ------
    SettingsError
        With the factors that are legal.
    """
    from codesign.stages.project import check_convertible

    if _shapes(pruned.network) != _shapes(context.untrained_network):
        check_convertible(pruned.network, context.settings.hardware, folder / "hls")


def _shapes(network: Any) -> dict[str, tuple[int, ...]]:
    return {layer.name: np.shape(layer.weights.get("kernel")) for layer in network.weight_layers}
