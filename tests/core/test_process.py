"""One door for subprocesses: output, failure, time limits, and nothing left running."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_design import environment

from codesign.core.process import LAST_LINES, _LineSplitter, capture, run_process
from codesign.errors import ToolError, ToolFailedError, ToolNotFoundError

# a parent that starts a child which ignores SIGTERM, writes its number, and sleeps
FAMILY = """
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"],
    stdout=subprocess.PIPE)
child.stdout.readline()
open("child.pid", "w").write(str(child.pid))
print("ready", flush=True)
{then}
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_output_of_both_streams_reaches_the_log_and_the_callback(tmp_path: Path) -> None:
    seen: list[str] = []
    log = tmp_path / "new" / "run.log"
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr)"
    run = run_process(python(code), cwd=tmp_path, log_path=log, on_line=seen.append)
    assert seen == ["out", "err"]
    assert log.read_text() == "out\nerr\n"
    assert run.exit_code == 0
    assert run.last_lines == ("out", "err")
    assert run.command == tuple(python(code))
    assert run.log_path == log
    assert run.seconds > 0


def test_lines_arrive_while_the_program_still_runs(tmp_path: Path) -> None:
    go = tmp_path / "go"
    code = """if True:
        import os, time
        print("waiting", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.01)
        print("done")
    """
    seen: list[str] = []

    def react(line: str) -> None:
        seen.append(line)
        go.touch()  # the program ends only because its first line came through

    run_process(python(code), cwd=tmp_path, on_line=react, timeout_s=30)
    assert seen == ["waiting", "done"]


def test_arguments_are_never_read_by_a_shell(tmp_path: Path) -> None:
    word = "$HOME; touch evil && *"
    assert capture([*python("import sys; print(sys.argv[1])"), word], cwd=tmp_path) == word
    assert list(tmp_path.iterdir()) == []


def test_variables_are_added_to_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "old")
    code = "import os; print(os.environ['KEPT'], os.environ['NEW'])"
    assert capture(python(code), cwd=tmp_path, env={"NEW": "1"}) == "old 1"


def test_undecodable_bytes_and_progress_displays_become_lines(tmp_path: Path) -> None:
    code = r"import sys; sys.stdout.buffer.write(b'10%\r20%\rbad \xff\r\nend without newline')"
    assert capture(python(code), cwd=tmp_path).split("\n") == ["10%", "20%", "bad �", "end without newline"]


@given(text=st.text(alphabet="aé€😀\r\n", max_size=30), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_lines_do_not_depend_on_how_the_bytes_were_cut(text: str, cuts: list[int]) -> None:
    data = text.encode()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    splitter = _LineSplitter()
    lines = [line for a, b in itertools.pairwise(edges) for line in splitter.feed(data[a:b])]
    lines += splitter.finish()
    expected = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert lines == (expected[:-1] if expected[-1] == "" else expected)


def test_failure_says_command_code_last_ten_lines_and_log(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    command = python("print(*range(30), sep='\\n'); raise SystemExit(7)")
    with pytest.raises(ToolFailedError) as caught:
        run_process(command, cwd=tmp_path, log_path=log)
    error = caught.value
    assert error.exit_code == 7
    assert error.last_lines == tuple(str(n) for n in range(30 - LAST_LINES, 30))
    assert error.log_path == log
    assert str(error).endswith("\n  28\n  29\nthe whole log: " + str(log))
    assert "ended with exit code 7" in str(error)


def test_a_signal_is_a_negative_exit_code(tmp_path: Path) -> None:
    run = run_process(python("import os; os.kill(os.getpid(), 9)"), cwd=tmp_path, check=False)
    assert run.exit_code == -9


def test_unknown_program_folder_and_file_that_cannot_run(tmp_path: Path) -> None:
    with pytest.raises(ToolNotFoundError, match=r"^no-such-tool was not found \(looked for no-such-tool\)$"):
        run_process(["no-such-tool"], cwd=tmp_path)
    missing = tmp_path / "missing"
    with pytest.raises(ToolError, match=rf"^true cannot run in {missing}: there is no such folder$"):
        run_process(["true"], cwd=missing)
    plain = tmp_path / "plain"
    plain.write_text("data")
    with pytest.raises(ToolError, match=rf"^{plain} cannot be executed: Permission denied$"):
        run_process([plain], cwd=tmp_path)


def test_a_silent_program_is_ended_when_its_time_is_over(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError, match=r"ran out of time: no end after 0\.3 s") as caught:
        run_process(python("import time; time.sleep(60)"), cwd=tmp_path, timeout_s=0.3)
    assert caught.value.exit_code is None


def test_a_program_that_closes_its_output_is_still_timed(tmp_path: Path) -> None:
    code = "import os, time; os.close(1); os.close(2); time.sleep(60)"
    with pytest.raises(ToolFailedError, match="ran out of time"):
        run_process(python(code), cwd=tmp_path, timeout_s=0.5)


def test_time_out_ends_grandchildren_that_ignore_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codesign.core.process.TERMINATE_GRACE_S", 0.2)
    with pytest.raises(ToolFailedError):
        run_process(python(FAMILY.format(then="time.sleep(60)")), cwd=tmp_path, timeout_s=2.0)
    assert not is_alive(int((tmp_path / "child.pid").read_text()))


def test_what_a_finished_program_left_behind_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codesign.core.process.TERMINATE_GRACE_S", 0.2)
    run = run_process(python(FAMILY.format(then="pass")), cwd=tmp_path, timeout_s=30)
    assert run.exit_code == 0
    assert not is_alive(int((tmp_path / "child.pid").read_text()))


def test_ctrl_c_ends_the_group_and_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codesign.core.process.TERMINATE_GRACE_S", 0.2)
    pid_file = tmp_path / "child.pid"

    def interrupt() -> None:
        while not pid_file.exists() or not pid_file.read_text():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_process(python(FAMILY.format(then="time.sleep(60)")), cwd=tmp_path, timeout_s=30)
    thread.join()
    assert not is_alive(int(pid_file.read_text()))


def test_an_exception_from_the_callback_ends_the_program(tmp_path: Path) -> None:
    def refuse(line: str) -> None:
        raise ValueError(line)

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with pytest.raises(ValueError, match=r"^\d+$") as caught:
        run_process(python(code), cwd=tmp_path, on_line=refuse, timeout_s=30)
    assert not is_alive(int(str(caught.value)))


MAIN = """
import sys
from codesign.core.process import run_process
run_process([sys.executable, "-c", sys.argv[1]], cwd=sys.argv[2], on_line=lambda line: print(line, flush=True))
"""


def test_a_main_process_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    words = [*python(MAIN), FAMILY.format(then="time.sleep(60)").replace("signal.SIG_IGN", "signal.SIG_DFL")]
    main = subprocess.Popen([*words, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment())
    assert main.stdout is not None
    assert main.stdout.readline() == "ready\n"
    main.kill()
    main.communicate()
    child = int((tmp_path / "child.pid").read_text())
    until = time.monotonic() + 20
    while is_alive(child) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_alive(child)
