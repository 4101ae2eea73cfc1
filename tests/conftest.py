"""What every test may use."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

# before anything imports TensorFlow: few lines, the same numbers everywhere, no GPU
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from small_chain import SmallChain

# a process that a shell started in the background ignores Ctrl-C, and so would the programs that tests interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# a busy machine is no failure of a property
settings.register_profile("codesign", deadline=None)
settings.load_profile("codesign")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compiled programs of tests are no user's."""
    os.environ["CODESIGN_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command; its exit code, its output and its errors."""
    from codesign.cli import main

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["codesign", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def small_chain(tmp_path_factory: pytest.TempPathFactory) -> SmallChain:
    """The chain on a small task, shared by all tests; nothing of it may be changed."""
    # imported here: most tests need no TensorFlow
    from small_chain import SmallChain

    return SmallChain(tmp_path_factory.mktemp("small_chain"))
