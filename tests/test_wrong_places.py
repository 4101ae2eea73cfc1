"""What a user gives in the place of something else: one sentence on stderr that says what it is, before any work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fake_chain
import pytest
from tiny_design import environment, write_design

from codesign.cli import main

HLS = ("verify", "rtl", "build", "advise", "emulator")
TAKES = {
    **dict.fromkeys(HLS, "HLS project"),
    "run": "design",
    "scan": "run's folder",
    "convert": "run's folder",
    "report": "build",
    "compare": "build",
    "front": "run's folder",
    "search run": "search",
    "search status": "search's folder",
    "search best": "search's folder",
    "search page": "search's folder",
}
"""Every command that opens something, and what for."""

NEEDS = {command: ["-o", "out"] for command in ("scan", "convert", "emulator")}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A design, an unfinished run of it, a folder of other things, a model, a table."""
    folder = tmp_path_factory.mktemp("places")
    write_design(folder / "design")
    (folder / "other").mkdir()
    for name in ("other/notes.txt", "table.csv", "model.keras"):
        (folder / name).write_text("a,b\n1,2\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fake_chain.install(patch.setattr, folder / "log")
        patch.setattr(sys, "argv", ["codesign", "run", "design", "-o", "half", "--until", "student"])
        with pytest.raises(SystemExit):
            main()
    return folder


@pytest.fixture
def refused(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """The one line on stderr of a command that is refused."""
    monkeypatch.chdir(places)

    def run(*words: str, code: int = 1) -> str:
        monkeypatch.setattr(sys, "argv", ["codesign", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        assert ended.value.code == code, shown.err
        assert shown.out == ""
        assert shown.err.startswith("error: ")
        assert shown.err.count("\n") == 1
        return shown.err.removeprefix("error: ").strip()

    return run


@pytest.mark.parametrize("command", TAKES)
def test_a_wrong_place_is_told_for_what_it_is(refused: Callable[..., str], command: str) -> None:
    def told(place: str) -> str:
        return refused(*command.split(), place, *NEEDS.get(command, []))

    nothing = "does not exist" if command in ("scan", "convert") else "there is no such file or folder"
    assert nothing in told("nowhere")
    assert "other is no " in told("other")
    if TAKES[command] != "design":
        found = told("design")
        assert "(it is a design);" in found
        runs = TAKES[command] not in ("search", "search's folder")
        assert ("codesign run " in found and found.endswith("makes one")) == runs
    for file in ("table.csv", "model.keras"):
        assert file in told(file)


@pytest.mark.parametrize("command", [*HLS, "scan", "convert", "report", "report -o page.html"])
def test_an_unfinished_run_says_what_it_has_and_how_it_goes_on(
    refused: Callable[..., str], places: Path, command: str
) -> None:
    words = command.split()
    found = refused(words[0], "half", *words[1:], *NEEDS.get(command, []))
    assert found.startswith("half is a run without ")
    assert found.endswith(
        f"(done are teacher, student); codesign run {places / 'design'} -o half goes on with it"
    )


def test_a_run_in_the_place_of_its_design_says_how_it_goes_on(
    refused: Callable[..., str], places: Path
) -> None:
    assert refused("run", "half") == (
        f"half is no design (it is a run's folder); codesign run {places / 'design'} -o half goes on with it"
    )
    assert refused("front", "half").startswith("half is a run without a front; ")
    assert refused("run", "tiny").endswith("; codesign new tiny --from tiny makes it")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("run", "missing argument 'design'; codesign run --help says what it takes"),
        ("run design --bogus", "no such option: --bogus; codesign run --help says what it takes"),
        ("search best", "missing argument 'folder'; codesign search best --help says what it takes"),
        ("bogus", "no such command 'bogus'; codesign --help says what it takes"),
    ],
)
def test_a_command_line_that_nothing_takes_is_one_sentence(
    refused: Callable[..., str], words: str, sentence: str
) -> None:
    assert refused(*words.split(), code=2) == sentence


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("new design", "design is there already; choose another name, or remove it"),
        ("report half -o table.csv/page.html", "is no folder); choose another file"),
        ("report half -o page.txt", "does not end in .html; a run is written as a page"),
        ("compare half -o table.csv/page.html", "is no folder); choose another file"),
        ("verify half --rungs ,", "no rung was asked for; there are emulation, "),
        ("verify half --vectors table.csv", "table.csv is no .npz of test vectors (it is a file); "),
        ("convert model.keras -o out", "--data: missing; name the data that model.keras was trained on"),
        ("run design -o out --set teacher.file=table.csv", "table.csv must be a .keras or .h5 file, not .csv"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_before_work(refused: Callable[..., str], words: str, sentence: str) -> None:
    assert sentence in refused(*words.split())


@pytest.mark.parametrize("words", ["convert model.keras -o fresh", "scan no.keras -o fresh"])
def test_what_needs_no_tensorflow_is_told_without_it(words: str, places: Path) -> None:
    code = (
        "import sys\nfrom codesign.cli import main\n"
        f"sys.argv = {['codesign', *words.split()]}\n"
        "try:\n    main()\nexcept SystemExit as end:\n    print(end.code, 'tensorflow' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=places,
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert (done.stdout.split(), done.stderr.count("error: ")) == (["1", "False"], 1)
    assert not (places / "fresh").exists()
