"""What a study's report reads of a search, the runs of its trials, and its command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.errors import CodesignError, SearchError
from codesign.search.ledger import RUNS, TrialLine
from codesign.search.results import Found


@dataclass(frozen=True)
class Run:
    """One run of a trial that is complete.

    Parameters
    ----------
    params
        What was varied.
    seed
        Of the run.
    context
        Its settings, records and values.
    """

    params: Mapping[str, Any]
    seed: int
    context: Any

    def metric(self, stage: str, name: str) -> Any:
        """A number of a stage's record; ``None`` where it has none."""
        record = self.context.records.get(stage)
        return None if record is None else record.metrics.get(name)


def runs_of(found: Found) -> list[Run]:
    """Every run of every complete trial, by trial and seed.

    Raises
    ------
    SearchError
        If there is none yet, or one seed alone.
    """
    from codesign.stages import open_run

    seeds = found.about["seeds"]
    if len(seeds) < 2:
        raise SearchError(
            f"{found.folder}: a spread needs two seeds, not {len(seeds)}; give more in the search.yaml"
        )
    runs = [
        Run(line.params, seed, open_run(found.folder / RUNS / f"{number:05}" / f"seed{seed}"))
        for number, line in sorted(found.ledger.trials.items())
        if line.state == "complete"
        for seed in seeds
    ]
    if not runs:
        raise SearchError(f"{found.folder}: no trial has ended yet; codesign search run goes on with it")
    return runs


def left_out(found: Found) -> Iterator[TrialLine]:
    """The trials that came to nothing."""
    return (line for _, line in sorted(found.ledger.trials.items()) if line.state != "complete")


def report_command(
    module: str, text: str | None, write: Callable[[Path, str], str], arguments: list[str] | None = None
) -> int:
    """Write the report of a search beside it and print it: the command of a study; its exit code.

    Parameters
    ----------
    module
        The study's report, as it is called.
    text
        What it says of itself.
    write
        Writes the report of a search's folder under a name, and returns its text.
    arguments
        Of the command line, as default those of the process.
    """
    parser = argparse.ArgumentParser(
        f"python -m {module}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("search", type=Path, help="the search's folder")
    parser.add_argument("--name", default="digits", help="of the data")
    given = parser.parse_args(arguments)
    try:
        print(write(given.search, given.name))
    except CodesignError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
