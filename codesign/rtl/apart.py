"""Tracing a large network in a process of its own, which can be ended at once: alkaid's solver heeds no signals.

``python -m codesign.rtl.apart FOLDER`` is that process.
"""

from __future__ import annotations

import os
import pickle
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from codesign.core.files import read_json, write_json
from codesign.core.process import run_process
from codesign.core.progress import SILENT, Progress
from codesign.errors import ConversionError, ToolFailedError
from codesign.hls.graph import Graph
from codesign.rtl.estimate import estimate_rtl
from codesign.rtl.trace import Pipeline, pipeline, trace_graph

_HERE_S = 0.5  # an estimate of less is not worth the start of a process
_REFUSED = 3
_WHAT = "rtl"


class _Lines(Progress):
    """Progress as lines for the process that waits."""

    def show(self, what: str, done: int, total: int, note: str, values: Mapping[str, float]) -> None:
        """Say which layer is being traced."""
        sys.stdout.write(f"step {done} {total} {note}\n")
        sys.stdout.flush()


def pipelined(
    graph: Graph, cutoff_ns: float, *, ternary_adders: bool, progress: Progress = SILENT
) -> Pipeline:
    """Trace a graph and cut it into stages; what takes long is done by a process that Ctrl-C and SIGTERM end.

    Parameters
    ----------
    graph
        The network.
    cutoff_ns, ternary_adders
        As for `codesign.rtl.trace.pipeline`.
    progress
        Told each layer as its tracing begins.

    Raises
    ------
    ConversionError
        Layers or types that cannot become RTL.
    """
    if estimate_rtl(graph).tracing_s < _HERE_S:
        return pipeline(trace_graph(graph, progress), cutoff_ns, ternary_adders=ternary_adders)
    with tempfile.TemporaryDirectory(prefix="codesign-rtl-") as name:
        folder = Path(name)
        graph.save(folder / "graph.npz")
        write_json(folder / "job.json", {"cutoff_ns": cutoff_ns, "ternary_adders": ternary_adders})

        def show(line: str) -> None:
            if step := re.fullmatch(r"step (\d+) (\d+) (.*)", line):
                progress.step(_WHAT, int(step[1]), int(step[2]), step[3])

        home = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
        try:
            run_process(
                [sys.executable, "-m", __name__, folder], cwd=folder, env={"PYTHONPATH": path}, on_line=show
            )
        except ToolFailedError as error:
            if error.exit_code == _REFUSED:
                raise ConversionError(read_json(folder / "error.json")["message"]) from None
            raise
        with (folder / "pipeline.pickle").open("rb") as file:  # our own, of a moment ago
            stages: Pipeline = pickle.load(file)
        return stages


def main(folder: Path) -> int:
    """Do the job in a folder; the exit code is 3 for a network that is refused, with the message in ``error.json``."""
    job = read_json(folder / "job.json")
    try:
        logic = trace_graph(Graph.load(folder / "graph.npz"), _Lines())
        stages = pipeline(logic, job["cutoff_ns"], ternary_adders=job["ternary_adders"])
    except ConversionError as error:
        write_json(folder / "error.json", {"message": str(error)})
        return _REFUSED
    with (folder / "pipeline.pickle").open("wb") as file:
        pickle.dump(stages, file)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
