"""One training in a process: ``python -m codesign.training.job_worker FOLDER`` (see `codesign.training.jobs`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from codesign.core.progress import NO_VALUES


class _Lines:
    """Progress as lines for the process that waits."""

    def step(
        self, what: str, done: int, total: int, note: str = "", values: Mapping[str, float] = NO_VALUES
    ) -> None:
        """Say which epoch is done."""
        sys.stdout.write(f"epoch {done} of {total} {note}\n")
        sys.stdout.flush()


def main(folder: Path) -> int:
    """Do the job in a folder; the exit code is 3 if its training went wrong, with the message in ``error.json``."""
    from codesign.networks.backend import import_backend

    import_backend()
    from codesign.core.files import write_json
    from codesign.errors import TrainingError
    from codesign.training.job import run_job
    from codesign.training.job_files import read_job, write_result

    try:
        write_result(run_job(read_job(folder), _Lines()), folder)
    except TrainingError as error:
        write_json(folder / "error.json", {"message": str(error)})
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
