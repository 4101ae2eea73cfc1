"""The designs to start from, and a new one made of one of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from codesign.core.files import write_text
from codesign.core.sealed import whole_folder
from codesign.errors import OutputFolderError, SettingsError, did_you_mean

_PACKAGE = Path(__file__).parent
_NEEDED = ("design.yaml", "networks.py")


def designs() -> Mapping[str, str]:
    """The designs that come with codesign, each with what its `design.yaml` begins with: what it is.

    In a checkout they are the folders of `models/`, in an installed package copies of them.
    """
    return {path.name: _about(path / "design.yaml") for path in sorted(_home().iterdir()) if _is_design(path)}


def new_design(folder: str | Path, start: str = "digits") -> Path:
    """Make a design folder of one's own as a copy of one that comes with codesign.

    Parameters
    ----------
    folder
        The new folder; its last part becomes the design's name.
    start
        One of `designs()`.

    Raises
    ------
    SettingsError
        There is no such design, or the folder's name cannot be a design's.
    OutputFolderError
        The folder is there already, or cannot be written.
    """
    folder = Path(folder)
    known = designs()
    if start not in known:
        hint = did_you_mean(start, known, "the designs are")
        raise SettingsError(f"--from: there is no design {start!r}; {hint}")
    name = folder.resolve().name
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise SettingsError(
            f"the name {name!r} cannot be a design's; begin with a letter and use letters, digits, '_' and '-'"
        )
    if folder.exists():
        raise OutputFolderError(f"{folder} is there already; choose another name, or remove it")
    try:
        with whole_folder(folder) as made:
            for file in sorted((_home() / start).iterdir()):
                if file.suffix in (".yaml", ".py"):
                    shutil.copyfile(file, made / file.name)
            text = (made / "design.yaml").read_text(encoding="utf-8")
            write_text(
                made / "design.yaml",
                re.sub(r"^name:.*$", f"name: {name}", text, count=1, flags=re.MULTILINE),
            )
    except OSError as error:
        raise OutputFolderError(
            f"{folder} cannot be written ({error.strerror}); choose another folder"
        ) from error
    return folder


def _home() -> Path:
    shipped = _PACKAGE / "designs"
    return shipped if shipped.is_dir() else _PACKAGE.parent / "models"


def _is_design(path: Path) -> bool:
    return all((path / file).is_file() for file in _NEEDED)


def _about(path: Path) -> str:
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    return " ".join(lines)
