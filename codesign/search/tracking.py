"""What a search finds, in MLflow beside its own folder: a run for each trial, with parameters, metrics and artefacts."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codesign.errors import ToolError
from codesign.search.ledger import RUNS, Ledger, ProofLine, TrialLine

if TYPE_CHECKING:
    from codesign.search.settings import SearchSettings

_log = logging.getLogger(__name__)

_TRIAL, _SEARCH, _PROOF = "codesign.trial", "codesign.search", "codesign.proof"
_ARTEFACTS = (
    "run.json",
    "summary.json",
    "run.html",
    "quantization/precision_map.json",
    "quantization/front.json",
)
"""Files of a trial's first run that are kept as artefacts, as far as they are there."""


class Tracker:
    """Writes trials that have ended to a tracking server or folder; what it has already is not written again.

    A server that fails later ends the tracking, with a warning, and not the search: the ledger has everything, and the
    same command writes what is missing.

    Parameters
    ----------
    uri
        Of the server, the database (``sqlite:///mlflow.db``) or the folder (``file:///...``).
    folder
        The search's.
    mark
        Which search it is.
    name
        The experiment's.
    settings
        Of the search.

    Raises
    ------
    ToolError
        If MLflow is not installed, or the server does not answer.
    """

    def __init__(self, uri: str, folder: Path, mark: str, name: str, settings: SearchSettings) -> None:
        if importlib.util.find_spec("mlflow") is None:
            raise ToolError("--mlflow needs MLflow, which is not installed; pip install 'codesign[mlflow]'")
        # MLflow asks for this since it recommends databases; a folder was asked for here
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow.tracking import MlflowClient

        self.uri, self.folder, self.mark, self.settings = uri, folder, mark, settings
        self.known: dict[int, tuple[str, str]] = {}
        """The run's id, and of which state of its proof it has the numbers, by trial."""
        self.is_lost = False
        try:
            self.client = MlflowClient(tracking_uri=uri)
            found = self.client.get_experiment_by_name(name)
            self.experiment = self.client.create_experiment(name) if found is None else found.experiment_id
            self._read()
        except Exception as error:  # MLflow passes on what its stores and its network raise
            raise ToolError(f"--mlflow {uri}: {type(error).__name__}: {_first_line(error)}") from error

    def _read(self) -> None:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment], f"tags.`{_SEARCH}` = '{self.mark}'", max_results=1000, page_token=token
            )
            for run in page:
                tags = run.data.tags
                if run.info.status != "RUNNING":  # one that was cut off is written again
                    self.known[int(tags[_TRIAL])] = (run.info.run_id, tags.get(_PROOF, ""))
            token = page.token
            if not token:
                return

    def write(self, ledger: Ledger) -> None:
        """Write what the ledger has and the server does not."""
        if self.is_lost:
            return
        try:
            for number, line in list(ledger.trials.items()):
                proof = ledger.proofs.get(number)
                run_id, state = self.known.get(number, ("", ""))
                if not run_id:
                    run_id = self._trial(line)
                if proof is not None and state != _state(proof):
                    self._proof(run_id, proof)
                self.known[number] = (run_id, "" if proof is None else _state(proof))
        except Exception as error:  # see above
            self.is_lost = True
            _log.warning(
                "MLflow at %s is lost (%s); the same command writes what is missing",
                self.uri,
                _first_line(error),
            )

    def _trial(self, line: TrialLine) -> str:
        tags = {_SEARCH: self.mark, _TRIAL: str(line.number), "codesign.state": line.state}
        if line.reason:
            tags["codesign.reason"] = line.reason[:4000]
        run_id: str = self.client.create_run(
            self.experiment, run_name=f"trial {line.number}", tags=tags
        ).info.run_id
        spread = {f"{name}_spread": value for name, value in line.spread.items()}
        missed = {f"{name}_violation": value for name, value in line.violations.items()}
        self._numbers(run_id, {**line.values, **spread, **missed, "seconds": line.seconds})
        for name, value in line.params.items():
            self.client.log_param(run_id, name, value)
        first = min((self.folder / RUNS / f"{line.number:05}").glob("seed*"), default=None)
        if first is not None:
            self._artefacts(run_id, first)
        self.client.set_terminated(run_id, "FAILED" if line.state == "failed" else "FINISHED")
        return run_id

    def _proof(self, run_id: str, proof: ProofLine) -> None:
        self._numbers(run_id, {f"proved_{name}": value for name, value in proof.values.items()})
        if proof.folder:
            self._artefacts(run_id, self.folder / proof.folder)
        self.client.set_tag(run_id, _PROOF, _state(proof))

    def _numbers(self, run_id: str, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.client.log_metric(run_id, name, value)

    def _artefacts(self, run_id: str, run: Path) -> None:
        for name in _ARTEFACTS:
            if (run / name).is_file():
                self.client.log_artifact(run_id, str(run / name), str(Path(name).parent).lstrip("."))


def _state(proof: ProofLine) -> str:
    return f"{proof.state} {proof.vendor}".strip()


def _first_line(error: Any) -> str:
    return (str(error).splitlines() or [""])[0]
