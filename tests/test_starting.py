"""`codesign new`: the designs that come with the package, from a checkout and from a wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest
from tiny_design import REPOSITORY, codesign

from codesign.errors import OutputFolderError, SettingsError
from codesign.settings import read_design
from codesign.starting import designs, new_design


def test_every_design_of_the_repository_is_offered_and_says_what_it_is() -> None:
    there = {path.parent.name for path in (REPOSITORY / "models").glob("*/design.yaml")}
    assert set(designs()) == there
    assert all(len(about) > 20 for about in designs().values())


def test_every_design_names_what_another_table_needs() -> None:
    for start in designs():
        text = (REPOSITORY / "models" / start / "design.yaml").read_text(encoding="utf-8")
        data = text[text.index("\ndata:") : text.index("\n\n", text.index("\ndata:"))]
        names = ("scaling",) if "data.py" in data else ("scaling", "label_column", ".csv")
        assert [name for name in names if name not in data] == []


@pytest.mark.parametrize("start", designs())
def test_a_new_design_is_the_old_one_under_its_own_name(start: str, tmp_path: Path) -> None:
    made = new_design(tmp_path / "deep" / "my_design", start)
    old = REPOSITORY / "models" / start
    files = {path.name for path in old.iterdir() if path.suffix in (".yaml", ".py")}
    assert {path.name for path in made.iterdir()} == files
    for name in files - {"design.yaml"}:
        assert (made / name).read_bytes() == (old / name).read_bytes()
    mine = read_design(made)
    assert (mine.name, mine.model_copy(update={"name": start})) == ("my_design", read_design(old))
    assert [path.name for path in made.parent.iterdir()] == ["my_design"]


def test_names_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^--from: there is no design 'digit'; did you mean digits\?$"):
        new_design(tmp_path / "mine", "digit")
    with pytest.raises(SettingsError, match=r"^the name '2nd' cannot be a design's; begin with a letter"):
        new_design(tmp_path / "2nd")
    (tmp_path / "taken").mkdir()
    with pytest.raises(
        OutputFolderError, match=r"taken is there already; choose another name, or remove it$"
    ):
        new_design(tmp_path / "taken")
    (tmp_path / "file").touch()
    with pytest.raises(OutputFolderError, match=r"cannot be written"):
        new_design(tmp_path / "file" / "mine")


def test_the_command_says_what_comes_next_and_lists_the_designs(tmp_path: Path) -> None:
    done = codesign("new", "mine", "--from", "tiny", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "codesign run mine\n" in done.stdout
    assert read_design(tmp_path / "mine").name == "mine"
    listed = codesign("new", "--list", cwd=tmp_path).stdout
    assert all(name in listed for name in designs())
    done = codesign("new", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    every = "|".join(designs())
    assert done.stderr == f"error: name the new design's folder: codesign new my_design --from {every}\n"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["wheel", "editable"])
def test_an_installed_package_begins_designs_far_from_the_repository(form: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    ignore = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "hls_projects", "__pycache__")
    shutil.copytree(REPOSITORY, tree, ignore=ignore)
    home = tmp_path / "env"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "-q"]
    if form == "wheel":  # of the source distribution, so that both are whole
        _run([*pip, "install", "build"])
        _run([python, "-m", "build", "--outdir", tmp_path / "dist", tree])
        shutil.rmtree(tree)
        (wheel,) = (tmp_path / "dist").glob("*.whl")
        _run([*pip, "install", "--no-deps", wheel])
    else:
        _run([*pip, "install", "--no-deps", "-e", tree])
    # what codesign needs comes from this environment, codesign itself does not
    (site,) = home.glob("lib/python*/site-packages")
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    run = [home / "bin" / "codesign"]
    loaded = _run([python, "-c", "import codesign; print(codesign.__file__)"], cwd=tmp_path)
    assert Path(loaded).is_relative_to(site if form == "wheel" else tree)
    assert all(name in _run([*run, "new", "--list"], cwd=tmp_path) for name in designs())
    _run([*run, "new", "mine", "--from", "sequence"], cwd=tmp_path)
    assert read_design(tmp_path / "mine").name == "mine"
    assert _run([*run, "--version"], cwd=tmp_path).startswith("codesign ")
    # the templates of a whole run are in it too
    settings = ["data.max_samples=400", "teacher.epochs=3", "distillation.epochs=2", "pruning.epochs=5"]
    settings += ["quantization.epochs=2", "hardware.testbench_samples=5", "scan.tolerance=0.3"]
    _run([*run, "new", "small", "--from", "digits"], cwd=tmp_path)
    _run([*run, "run", "small", *(word for value in settings for word in ("--set", value))], cwd=tmp_path)
    assert "Bit-exact on" in (tmp_path / "hls_projects" / "small" / "run" / "run.html").read_text(
        encoding="utf-8"
    )


def _run(words: list[str | Path], cwd: Path | None = None) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, env=clean, cwd=cwd, check=False
    )
    if done.returncode and "pip" in map(str, words) and "onnection" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
