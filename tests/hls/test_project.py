"""A project on disk: whole or not at all, checked against its manifest, the same bytes every time."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_chain import SmallChain

from codesign.core.files import json_digest, tree_digests
from codesign.core.sealed import HLS_PROJECT
from codesign.core.target import Target
from codesign.errors import OutputFolderError, StaleProjectError
from codesign.hls import project as project_module
from codesign.hls.csim import BUILD
from codesign.hls.project import GRAPH, MANIFEST, HlsProject, open_project
from codesign.stages.project import convert


@pytest.fixture
def project(small_chain: SmallChain, tmp_path: Path) -> HlsProject:
    """A copy that may be damaged."""
    source = small_chain.converted.project.folder
    folder = tmp_path / "project"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(BUILD))
    return open_project(folder)


def refusal(kind: type[Exception], call: Callable[..., object], *arguments: Any, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_a_project_can_be_moved_and_is_what_it_was(small_chain: SmallChain, project: HlsProject) -> None:
    original = small_chain.converted.project
    assert project.digest == original.digest
    assert (project.target, project.input_shape, project.n_outputs, project.top) == (
        small_chain.settings.hardware.target,
        (5,),
        3,
        "codesign_top",
    )
    assert dict(project.settings) == small_chain.settings.section("hardware")


def test_no_file_names_the_place_where_it_was_written(small_chain: SmallChain) -> None:
    folder = small_chain.converted.project.folder
    for path in folder.rglob("*"):
        if path.is_file() and BUILD not in path.parts and path.suffix != ".npz":
            text = path.read_text(encoding="utf-8", errors="replace")
            assert str(folder.parent) not in text, path
            assert "-writing-" not in text, path


def test_nothing_is_left_beside_a_project(small_chain: SmallChain) -> None:
    assert [path.name for path in small_chain.converted.project.folder.parent.iterdir()] == ["project"]


def test_the_same_student_makes_the_same_bytes(small_chain: SmallChain, tmp_path: Path) -> None:
    again = convert(
        small_chain.quantized, small_chain.dataset, small_chain.settings.hardware, tmp_path / "again"
    )
    assert again.project.digest == small_chain.converted.project.digest
    first = tree_digests(small_chain.converted.project.folder)
    assert tree_digests(tmp_path / "again") == {
        name: d for name, d in first.items() if not name.startswith(BUILD)
    }


def test_a_stamp_of_digits_alone_makes_no_other_bytes(
    small_chain: SmallChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # YAML quotes such a string: one stamp in forty
    monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID("12345678-1234-4234-8234-123456781234"))
    again = convert(
        small_chain.quantized, small_chain.dataset, small_chain.settings.hardware, tmp_path / "again"
    )
    assert again.project.digest == small_chain.converted.project.digest


def test_the_graph_is_kept_without_hls4ml(small_chain: SmallChain, project: HlsProject) -> None:
    graph = project.graph()
    network, precision = small_chain.quantized.hardware()
    assert graph[graph.inputs[0]].result == precision.input
    for layer in network.weight_layers:
        np.testing.assert_array_equal(graph[layer.name].weights["weight"], layer.weights["kernel"])


def weights_in_headers(folder: Path) -> dict[str, np.ndarray]:
    """The values of every weight header of a project by the layer's name, as C++ reads them."""
    values = {}
    for path in (folder / "firmware" / "weights").glob("w*.h"):
        match = re.search(r"(\w+?)_weight_t w\d+\[(\d+)\] = \{([^}]*)\}", path.read_text())
        assert match is not None, path
        values[match[1]] = np.array(match[3].split(","), dtype=np.float64)
        assert len(values[match[1]]) == int(match[2])
    return values


def test_pruned_weights_are_zero_in_the_headers_and_nowhere_else(
    small_chain: SmallChain, project: HlsProject
) -> None:
    headers = weights_in_headers(project.folder)
    pruned = small_chain.pruned.network
    network, _ = small_chain.quantized.hardware()
    assert set(headers) == {layer.name for layer in network.weight_layers}
    for layer in network.weight_layers:
        np.testing.assert_array_equal(headers[layer.name], layer.weights["kernel"].ravel())
        zeros = pruned[layer.name].weights["kernel"].ravel() == 0
        assert (headers[layer.name][zeros] == 0).all()
        assert zeros.mean() >= 0.19


def test_text_weights_are_those_of_the_headers(project: HlsProject) -> None:
    for path in (project.folder / "firmware" / "weights").glob("*.txt"):
        header = re.search(r"= \{([^}]*)\}", path.with_suffix(".h").read_text())
        assert header is not None
        texts = [np.array(text.split(","), dtype=np.float64) for text in (path.read_text(), header[1])]
        np.testing.assert_array_equal(*texts)


def test_a_changed_file_is_named(project: HlsProject) -> None:
    path = project.folder / "firmware" / "parameters.h"
    path.write_text(path.read_text() + "\n")
    count = len(json.loads((project.folder / MANIFEST).read_text())["files"])
    assert refusal(StaleProjectError, open_project, project.folder) == (
        f"{project.folder}: 1 of {count} files were changed after the manifest, first firmware/parameters.h; "
        "convert the student again"
    )


def test_a_missing_file_is_named(project: HlsProject) -> None:
    (project.folder / GRAPH).unlink()
    count = len(json.loads((project.folder / MANIFEST).read_text())["files"])
    assert refusal(StaleProjectError, open_project, project.folder) == (
        f"{project.folder}: 1 of {count} files are missing, first {GRAPH}; convert the student again"
    )


def test_products_of_builds_do_not_make_a_project_stale(project: HlsProject) -> None:
    (project.folder / BUILD).mkdir()
    (project.folder / BUILD / "csim").write_text("")
    assert open_project(project.folder).digest == project.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "{folder} is no HLS project of codesign (it has no {name}); convert a student into it"),
        (
            "{",
            "{folder}/{name} is damaged (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); "
            "convert the student again",
        ),
        ("[]", "{folder}/{name} is damaged (it holds [], no object); convert the student again"),
        ('{"format": 7}', "{folder}/{name} has format 7, not 1; convert the student again"),
    ],
)
def test_what_is_no_project(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / MANIFEST).write_text(text)
    assert refusal(StaleProjectError, open_project, tmp_path) == message.format(
        folder=tmp_path, name=MANIFEST
    )


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("top", None),
        ("n_outputs", "4"),
        ("n_outputs", True),
        ("input_shape", []),
        ("input_shape", ["x"]),
        ("input_shape", 3),
        ("target", {"part": 3}),
        ("target", {"part": "p", "clock_period_ns": 5.0, "backend": "Vitis", "io_type": "io_serial"}),
        ("settings", {"strategy": "latency"}),  # not those of the digest
        ("settings_digest", 4),
        ("files", {}),
    ],
)
def test_an_entry_of_the_manifest_of_another_type_is_damage(
    tmp_path: Path, entry: str, value: object
) -> None:
    (tmp_path / "source.cpp").write_text("")
    manifest: dict[str, object] = {
        "top": "codesign_top",
        "target": vars(Target()),
        "input_shape": [3],
        "n_outputs": 4,
        "settings": {},
        "settings_digest": json_digest({}),
    }
    HLS_PROJECT.close(tmp_path, manifest)
    assert open_project(tmp_path).n_inputs == 3
    written = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**written, entry: value}))
    assert refusal(StaleProjectError, open_project, tmp_path).startswith(
        f"{tmp_path / MANIFEST} is damaged ("
    )


def rewrite(chain: SmallChain, folder: Path, **options: Any) -> HlsProject:
    return convert(chain.quantized, chain.dataset, chain.settings.hardware, folder, **options).project


def test_a_project_is_replaced_only_when_asked_and_then_whole(
    small_chain: SmallChain, project: HlsProject
) -> None:
    (project.folder / "firmware" / "old.h").write_text("// of an earlier project")
    assert refusal(OutputFolderError, rewrite, small_chain, project.folder) == (
        f"{project.folder} already holds an HLS project of codesign; choose another folder or ask to overwrite it"
    )
    assert (project.folder / "firmware" / "old.h").exists()
    assert rewrite(small_chain, project.folder, overwrite=True).digest == project.digest
    assert not (project.folder / "firmware" / "old.h").exists()


def test_a_folder_of_something_else_is_never_replaced(small_chain: SmallChain, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    for overwrite in (False, True):
        assert refusal(OutputFolderError, rewrite, small_chain, tmp_path, overwrite=overwrite) == (
            f"{tmp_path} is not empty and no HLS project of codesign; choose another folder"
        )
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_a_write_that_fails_leaves_the_old_project(
    small_chain: SmallChain, project: HlsProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree_digests(project.folder)

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(project_module, "write_vectors", fail)
    with pytest.raises(OutputFolderError, match="No space left on device"):
        rewrite(small_chain, project.folder, overwrite=True)
    assert tree_digests(project.folder) == before
    assert [path.name for path in project.folder.parent.iterdir()] == ["project"]
