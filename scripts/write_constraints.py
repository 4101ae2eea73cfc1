"""Write `constraints.txt`: the versions of all direct and indirect dependencies that are installed here and were tested.

    python scripts/write_constraints.py

The dependencies are those of `pyproject.toml`, with its extras as far as they are installed, and what those need on this Python
and platform. `make` installs with them (`make CONSTRAINTS= run` without); `tests/docs/test_constraints.py` holds the file.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "constraints.txt"
_OWN = "codesign"
OLDEST = ("3.11.0", "3.12.0", "3.13.0")
"""Of each Python that is supported; some distributions stay with such a one."""


def environment() -> str:
    """The Python and platform that versions were tested on."""
    return (
        f"Python {sys.version_info.major}.{sys.version_info.minor}, {platform.system()} {platform.machine()}"
    )


def roots() -> Iterator[tuple[Requirement, bool]]:
    """The requirements of `pyproject.toml`, and whether each must be installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    yield from ((Requirement(text), True) for text in project["dependencies"])
    for texts in project["optional-dependencies"].values():
        yield from ((Requirement(text), False) for text in texts)


def too_new() -> list[str]:
    """What is installed and needs a newer Python than the oldest of a version that is supported."""
    return [
        f"{name} {version} needs Python {needs}: install an older one"
        for name, version in versions().items()
        if (needs := importlib.metadata.metadata(name).get("Requires-Python"))
        and not all(SpecifierSet(needs).contains(python) for python in OLDEST)
    ]


def versions() -> dict[str, str]:
    """The installed versions by canonical name, of everything that is needed.

    Raises
    ------
    SystemExit
        A dependency is not installed.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement, "", must) for requirement, must in roots()]
    while waiting:
        requirement, extra, must = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name == _OWN or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        try:
            distribution = importlib.metadata.distribution(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            if must:
                raise SystemExit(
                    f"{requirement} is not installed here; pip install -e '.[dev]' first"
                ) from None
            continue
        found[name] = distribution.version
        for wanted in {"", *requirement.extras}:
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                # a part of an extra that is not there belongs to an extra that was not tested
                needs = (Requirement(text) for text in distribution.requires or ())
                waiting += [(need, wanted, must and need.marker is None) for need in needs]
    return dict(sorted(found.items()))


def text() -> str:
    """What the file holds."""
    head = [
        "# The versions that this package was tested with; written by scripts/write_constraints.py.",
        f"# {environment()}",
    ]
    return "\n".join([*head, *(f"{name}=={version}" for name, version in versions().items()), ""])


if __name__ == "__main__":
    if faults := too_new():
        sys.exit("\n".join(faults))
    FILE.write_text(text(), encoding="utf-8")
    print(f"{FILE.name}: {len(versions())} packages, {environment()}")
