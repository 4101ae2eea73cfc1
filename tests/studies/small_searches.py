"""The searches of the studies made small: few choices, two seeds, short trainings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from codesign.search.run import make_plan, run_search
from codesign.search.settings import read_search
from codesign.search.space import Params

STUDIES = Path(__file__).resolve().parents[2] / "studies"


def points_of(name: str, folder: Path) -> list[Params]:
    """Every point of a study's grid, which its design takes."""
    settings, file = read_search(STUDIES / name)
    return [params for _, params in make_plan(settings, file, folder / "search").space.points()]


def run_small(
    name: str, folder: Path, choices: Mapping[str, list[Any]], settings: Mapping[str, Any], **others: Any
) -> Path:
    """Run a study with some of its choices; the search's folder."""
    given = yaml.safe_load((STUDIES / name).read_text())
    given |= {"design": str((STUDIES / name).parent / given["design"]), "seeds": given["seeds"][:2], **others}
    for path, some in choices.items():
        entry = given["space"][path]
        given["space"][path] = {**entry, "choices": some} if isinstance(entry, dict) else some
    (folder / "search.yaml").write_text(yaml.safe_dump(given))
    return run_search(folder / "search.yaml", workers=1, overrides=settings).folder


def clouds(path: Path) -> Path:
    """Four features that tell three classes apart, in a file."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    x = rng.normal(size=(3, 4))[y] * 2 + rng.normal(size=(600, 4))
    np.savez(path, X=x.astype(np.float32), y=y)
    return path
