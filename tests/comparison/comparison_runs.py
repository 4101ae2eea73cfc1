"""Small runs, written as the flow writes them, and numbers in the form of the open RTL path."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

FIXTURES = Path(__file__).parents[1] / "reports" / "fixtures"
PART = "xcvu9p-flga2104-2L-e"


def write_run(
    folder: Path,
    *,
    design: str = "digits",
    seed: int = 0,
    accuracy: float = 0.96,
    bits: float = 4.0,
    bops: float = 72148.0,
    source: str | None = "digits",
    digest: str = "8f5b9482b00b",
    part: str = PART,
    weight_bits: int = 4,
    sparsity: float = 0.5,
    rtl: dict[str, Any] | None = None,
    estimates: dict[str, Any] | None = None,
    samples: int = 359,
    right: np.ndarray | None = None,
) -> Path:
    """Write what a finished run leaves, as far as comparisons read it: summary, settings, the stages' evidence.

    `right` tells sample by sample what the hardware classifies rightly; without it the outputs are not kept.
    """
    weight = f"fixed<{weight_bits},2,RND_CONV,SAT,0>"
    summary: dict[str, Any] = {
        "design": design,
        "seed": seed,
        "target": {"part": part, "clock_period_ns": 5.0, "backend": "Vitis", "io_type": "io_parallel"},
        "stages": [
            {
                "stage": "teacher",
                "seconds": 1.0,
                "validation_accuracy": 0.99,
                "test_accuracy": 0.98,
                "parameters": 51978,
            },
            {
                "stage": "student",
                "seconds": 1.0,
                "test_accuracy": 0.97,
                "parameters": 3562,
                "bops": 3709504.0,
            },
            {
                "stage": "quantization",
                "seconds": 2.0,
                "validation_accuracy": 0.97,
                "test_accuracy": accuracy,
                "parameters": 3466,
                "sparsity": sparsity,
                "average_weight_bits": bits,
                "bops": bops,
            },
        ],
        "layers": {
            "features": {"result": "ufixed<3,1,RND_CONV,SAT,0>"},
            "fc1": {
                "weight": weight,
                "bias": "fixed<7,3>",
                "accum": "fixed<17,12>",
                "result": "fixed<17,12>",
            },
        },
        "verification": {"reference": "QKeras", "rungs": [rung(samples)], "lsb": 0.0625},
        "seconds": 4.0,
        "versions": {"python": "3.11.7", "pyosys": "0.70"},
        "notes": [],
    }
    if rtl is not None:
        summary["rtl"] = rtl
    if estimates is not None:
        summary["estimates"] = estimates
    write(folder / "summary.json", summary)
    if source is not None:
        settings = {
            "name": design,
            "seed": seed,
            "data": {"source": source},
            "pruning": {"sparsity": sparsity},
            "scan": {"most_bits": weight_bits},
        }
        write(folder / "run.json", {"design": f"/somewhere/{design}", "settings": settings, "versions": {}})
    parents = {"student": ["teacher"], "quantization": ["student", "teacher"], "project": ["quantization"]}
    parents["verification"] = ["project", "quantization"]
    metrics: dict[str, Any] = {row["stage"]: row for row in summary["stages"]}
    metrics |= {"project": {"layers": summary["layers"]}, "verification": summary["verification"]}
    for stage, found in metrics.items():
        files = {"value.txt": f"{design} {stage}".encode()}
        if stage == "project":
            files = {"hls/firmware/weights.h": b"1, 2, 3"}
        if stage == "verification" and right is not None:
            targets = np.zeros(len(right), dtype=np.int64)
            arrays = io.BytesIO()
            np.savez(
                arrays, outputs=np.where(right, -1.0, 1.0)[:, None], targets=targets, class_names=["a", "b"]
            )
            files["test.npz"] = arrays.getvalue()
        write_stage(folder / stage, files, found, [*parents.get(stage, [])], digest)
    return folder


def rung(samples: int) -> dict[str, Any]:
    return {
        "name": "emulation",
        "samples": samples,
        "mismatches": 0,
        "first_index": None,
        "largest_lsb": 0.0,
        "argmax_flips": 0,
        "seconds": 0.5,
        "skipped": None,
    }


def write_stage(
    folder: Path, files: dict[str, bytes], metrics: Any, parents: list[str], dataset: str
) -> None:
    """Write a finished stage's folder; its digest is its name."""
    digests = {}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        digests[name] = hashlib.sha256(content).hexdigest()
    depends = {f"stage {parent}": f"digest of {parent}" for parent in parents}
    record = {
        "stage": folder.name,
        "parents": {"dataset": dataset},
        "digest": f"digest of {folder.name}",
        "metrics": metrics,
    }
    write(folder / "stage.json", {"key": "k", "depends": depends, "files": digests, "record": record})


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


YOSYS: dict[str, Any] = {
    "part": PART,
    "yosys_version": "0.70",
    "estimated_lut": 3900.5,
    "lut_by_size": {"lut1": 0, "lut6": 4000},
    "stage": "yosys",
    "lut": 4000,
    "ff": 1000,
    "carry8": 300,
    "dsp": 0,
    "bram_18k": 0,
    "uram": 0,
    "latency_cycles": 6,
    "latency_ns": 30.0,
    "clock_period_ns": 5.0,
    "interval_cycles": 1,
}
