"""What an interrupted scan had measured: kept line by line, so that it need not be measured again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codesign.core.files import write_text
from codesign.errors import OutputFolderError


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
        self.known = {} if path is None else _read(path, digest)
        if path is None:
            return
        lines = [json.dumps({"scan": digest})] + [
            json.dumps({"key": key, "value": value}) for key, value in self.known.items()
        ]
        try:
            # written anew without the half line that an interruption may have left
            write_text(path, "\n".join(lines) + "\n")
        except OSError as error:
            raise OutputFolderError(
                f"the journal {path} cannot be written ({error.strerror}); choose another folder"
            ) from error

    def get(self, key: str) -> Mapping[str, Any] | None:
        """What was measured, or ``None``."""
        return self.known.get(key)

    def add(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep a measurement, on the disk before the next one begins."""
        self.known[key] = dict(value)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "value": value}) + "\n")


def _read(path: Path, digest: str) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    known: dict[str, dict[str, Any]] = {}
    head, *lines = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    try:
        if json.loads(head) != {"scan": digest}:
            return {}
        for line in lines:
            row = json.loads(line)
            known[row["key"]] = row["value"]
    except (ValueError, KeyError, TypeError):
        # what stands before the damage counts
        pass
    return known
