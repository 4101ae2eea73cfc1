"""`constraints.txt` is what is installed where this is tested, and fits what `pyproject.toml` asks for."""

from __future__ import annotations

import re

import pytest
import write_constraints
from packaging.utils import canonicalize_name

LINES = write_constraints.FILE.read_text(encoding="utf-8").splitlines()
PINNED = dict(line.split("==") for line in LINES if not line.startswith("#"))


def test_the_installed_versions_are_those_of_the_file():
    made_on = LINES[1].removeprefix("# ")
    if made_on != write_constraints.environment():
        pytest.skip(f"the file is of {made_on}, and this is {write_constraints.environment()}")
    wanted = write_constraints.versions()
    assert wanted == PINNED, (
        "run python scripts/write_constraints.py after the tests passed with other versions"
    )
    assert write_constraints.text().splitlines() == LINES


def test_every_dependency_is_pinned_to_a_version_that_it_allows():
    for requirement, must in write_constraints.roots():
        version = PINNED.get(canonicalize_name(requirement.name))
        assert version is not None or not must, requirement
        assert version is None or requirement.specifier.contains(version, prereleases=True), requirement


def test_every_pinned_version_is_of_the_oldest_pythons_too():
    # pip searches for minutes among what is left where a pin is for newer ones only, as on Debian's 3.11.2
    assert write_constraints.too_new() == []


def test_young_packages_have_an_upper_bound():
    bounded = {
        canonicalize_name(requirement.name)
        for requirement, must in write_constraints.roots()
        if must and any(spec.operator in ("<", "==", "~=") for spec in requirement.specifier)
    }
    assert {"alkaid", "typer", "keras", "tensorflow", "qkeras-v3", "hls4ml", "pyosys", "optuna"} <= bounded


def test_make_installs_with_them():
    makefile = (write_constraints.ROOT / "Makefile").read_text(encoding="utf-8")
    assert "-c $(CONSTRAINTS)" in makefile
    installs = [line for line in makefile.splitlines() if "pip install" in line or "$(INSTALL)" in line]
    assert len(installs) >= 3
    # the peer's environment has pins of its own
    own = [line for line in installs if "-r scripts/peers.txt" not in line]
    assert all("$(INSTALL)" in line or line.startswith("INSTALL :=") for line in own)
    peers = (write_constraints.ROOT / "scripts" / "peers.txt").read_text(encoding="utf-8").splitlines()
    assert all("==" in line for line in peers if not line.startswith("#"))
    assert all(re.match(r"[a-z0-9][a-z0-9.-]*$", name) for name in PINNED)
