"""A signal whose exception is lost in a destructor still ends the work, in Python's own loops and in running tools."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_design import environment

LOST = """
import os, signal, sys, time
from codesign.core.interrupt import listening, stop_if_asked

class Swallows:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(0.05)

listens = listening()
listens.__enter__()
value = Swallows()
del value
print("lost", flush=True)
try:
    {work}
except KeyboardInterrupt:
    print("ended", flush=True)
"""

WORK = {
    "a look": "stop_if_asked()",
    "a tool": "from codesign.core.process import run_process; run_process(['sleep', '60'], cwd='.')",
    **{
        f"{shown} progress": f"from codesign.terminal import {shown}; {shown}().step('scan', 1, 2)"
        for shown in ("TerminalProgress", "JsonLines", "Quiet")
    },
    "no progress": "from codesign.core.progress import SILENT; SILENT.step('scan', 1, 2)",
}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_destructor_swallows_ends_the_next_step(
    work: str, number: signal.Signals, tmp_path: Path
) -> None:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", LOST.format(work=work), str(int(number))],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=environment(),
        check=False,
    )
    assert "Exception ignored in" in done.stderr  # as it is: the exception itself is lost
    assert done.stdout == "lost\nended\n"
    assert time.monotonic() - started < 30


def test_nothing_that_receives_progress_goes_round_the_look_for_signals() -> None:
    """`Progress.step` looks, `show` is what a receiver writes."""
    home = Path(__file__).resolve().parents[2] / "codesign"
    receivers = []
    for path in sorted(home.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ClassDef):
                continue
            names = {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}
            step = [argument.arg for argument in names["step"].args.args[:4]] if "step" in names else []
            if step == ["self", "what", "done", "total"]:
                receivers.append(node.name)
    assert receivers == ["Progress"]


IGNORED = """
import os, signal
from codesign.core.interrupt import listening, stop_if_asked
signal.signal(signal.SIGINT, signal.SIG_IGN)
with listening():
    os.kill(os.getpid(), signal.SIGINT)
    stop_if_asked()
print("went on")
"""


def test_what_a_process_was_told_to_ignore_stays_ignored() -> None:
    words = [sys.executable, "-c", IGNORED]
    assert subprocess.check_output(words, text=True, env=environment(), timeout=60) == "went on\n"


AFTER = """
import os, signal
from codesign.core.interrupt import listening, stop_if_asked
try:
    with listening():
        os.kill(os.getpid(), signal.SIGTERM)
except KeyboardInterrupt:
    pass
stop_if_asked()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
print("as before")
"""


def test_a_program_that_called_the_command_line_is_as_it_was() -> None:
    words = [sys.executable, "-c", "import signal; signal.signal(2, signal.default_int_handler)" + AFTER]
    assert subprocess.check_output(words, text=True, env=environment(), timeout=60) == "as before\n"
