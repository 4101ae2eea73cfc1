"""The one door for subprocesses: list arguments, a log, a time limit, and nothing left running behind.

Every program that the package starts (compilers, simulators, vendor tools) goes through `run_process`. The
program gets a process group of its own, so that a time-out or Ctrl-C ends it together with everything it
started; vendor tools are shell wrappers around wrappers, and ending only the outermost one leaves the real
work running.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from codesign.core.interrupt import stop_if_asked
from codesign.errors import ToolError, ToolFailedError, ToolNotFoundError

LAST_LINES = 10
"""How many lines of output a result or an error carries."""

TERMINATE_GRACE_S = 5.0
"""How long a process group may take to end after SIGTERM before it is killed."""

DRAIN_S = 1.0
"""How long output is still read after the program ended while something it started holds the pipe open."""

_POLL_S = 0.1
_CHUNK_BYTES = 65536


@dataclass(frozen=True)
class CompletedRun:
    """A program that ran to its end.

    Parameters
    ----------
    command
        The argument list.
    exit_code
        Its exit code; negative for a signal.
    seconds
        Wall time.
    log_path
        The file that holds everything it printed, if one was asked for.
    last_lines
        The last lines it printed, at most `LAST_LINES`, blank ones left out.
    """

    command: tuple[str, ...]
    exit_code: int
    seconds: float
    log_path: Path | None
    last_lines: tuple[str, ...]


def run_process(
    command: Sequence[str | Path],
    *,
    cwd: str | Path,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    log_path: str | Path | None = None,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
) -> CompletedRun:
    r"""Run a program to its end, passing on each line of its output (stdout and stderr together) as it comes.

    Parameters
    ----------
    command
        The program and its arguments; never a shell string.
    cwd
        The folder to run it in.
    env
        Variables added to (or replacing those of) this process's environment.
    timeout_s
        Wall time after which the whole process group is ended; ``None`` waits for ever.
    log_path
        A file for everything printed; begun afresh, its folder made if missing, each line flushed.
    on_line
        Called with each line, without its end. ``\n``, ``\r\n`` and a lone ``\r`` (progress displays) end a
        line; bytes that are not UTF-8 arrive as U+FFFD.
    check
        Whether an exit code other than 0 raises.

    Returns
    -------
    CompletedRun
        Command, exit code, wall time, log and last lines.

    Raises
    ------
    ToolNotFoundError
        There is no such program.
    ToolFailedError
        It exited with a code other than 0 (and `check`), or the time ran out (exit code ``None``).
    ToolError
        The folder does not exist, or the program cannot be executed.

    Notes
    -----
    Should this process be killed, the group is ended as well.

    On a time-out, on Ctrl-C and on an exception from `on_line` the group gets SIGTERM, then SIGKILL after
    `TERMINATE_GRACE_S`. What a program leaves in its group when it ends by itself is ended as well.
    """
    words = tuple(os.fspath(word) for word in command)
    started = time.monotonic()
    deadline = None if timeout_s is None else started + timeout_s
    last: deque[str] = deque(maxlen=LAST_LINES)
    log = None if log_path is None else Path(log_path)
    with _open_log(log) as log_file:

        def take(line: str) -> None:
            if line.strip():
                last.append(line)
            if log_file is not None:
                log_file.write(line + "\n")
                log_file.flush()
            if on_line is not None:
                on_line(line)

        process = _start(words, Path(cwd), env)
        guard = None
        try:
            guard = _start_guard(process)
            for line in _lines(process, deadline):
                take(line)
        except subprocess.TimeoutExpired:
            raise ToolFailedError(words, None, last, log, reason=f"no end after {timeout_s:g} s") from None
        finally:
            end_group(process)
            _dismiss(guard)
    seconds = time.monotonic() - started
    if check and process.returncode != 0:
        raise ToolFailedError(words, process.returncode, last, log)
    return CompletedRun(words, process.returncode, seconds, log, tuple(last))


def capture(
    command: Sequence[str | Path],
    *,
    cwd: str | Path = ".",
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = 60.0,
    check: bool = True,
) -> str:
    """Run a short program and return what it printed; the errors are those of `run_process`."""
    lines: list[str] = []
    run_process(command, cwd=cwd, env=env, timeout_s=timeout_s, on_line=lines.append, check=check)
    return "\n".join(lines)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process started as the leader of its own group, and all that is left in the group."""
    try:
        if _signal_group(process, signal.SIGTERM):
            _await_end(process, TERMINATE_GRACE_S)
    finally:  # also when a second Ctrl-C cuts the grace short
        if _signal_group(process, signal.SIGKILL):
            _await_end(process, TERMINATE_GRACE_S)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


_GUARD = """\
read -r word && exit
kill -TERM "-$1"
sleep 5
kill -KILL "-$1"
"""
"""Ends a group when the pipe that it reads closes without a word: when this process was killed."""


def _start_guard(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes] | None:
    """A shell that ends the process's group should this process be killed, which leaves it no time to do so itself."""
    try:
        return subprocess.Popen(
            ("/bin/sh", "-c", _GUARD, "sh", str(process.pid)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None


def _dismiss(guard: subprocess.Popen[bytes] | None) -> None:
    if guard is not None:
        guard.communicate(b"done\n")


def _signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to the group; whether there was a group to send it to."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _await_end(process: subprocess.Popen[bytes], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        process.poll()  # reaps the leader: as a zombie it would keep the group alive
        if not _signal_group(process, 0):
            return
        time.sleep(_POLL_S / 10)


def _start(words: tuple[str, ...], cwd: Path, env: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    if not cwd.is_dir():
        raise ToolError(f"{words[0]} cannot run in {cwd}: there is no such folder")
    try:
        return subprocess.Popen(
            words,
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            bufsize=0,
        )
    except FileNotFoundError:
        raise ToolNotFoundError(Path(words[0]).name, [words[0]]) from None
    except OSError as error:
        raise ToolError(f"{words[0]} cannot be executed: {error.strerror}") from error


@contextlib.contextmanager
def _open_log(path: Path | None) -> Iterator[IO[str] | None]:
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        yield file


def _lines(process: subprocess.Popen[bytes], deadline: float | None) -> Iterator[str]:
    """Yield the lines of a running process; raise `subprocess.TimeoutExpired` when `deadline` passes."""
    splitter = _LineSplitter()
    for chunk in _chunks(process, deadline):
        yield from splitter.feed(chunk)
    yield from splitter.finish()


def _chunks(process: subprocess.Popen[bytes], deadline: float | None) -> Iterator[bytes]:
    pipe = process.stdout
    if pipe is None:  # cannot be: _start always asks for the pipe
        return
    ended_at: float | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            stop_if_asked()
            if selector.select(_POLL_S):
                chunk = os.read(pipe.fileno(), _CHUNK_BYTES)
                if not chunk:
                    break
                yield chunk
            now = time.monotonic()
            if deadline is not None and now > deadline:
                raise subprocess.TimeoutExpired(process.args, now)
            # a left-over grandchild may hold the pipe for ever after the program itself has ended
            if process.poll() is not None:
                ended_at = now if ended_at is None else ended_at
                if now > ended_at + DRAIN_S:
                    break
    # a program may close its output and work on
    remaining = None if deadline is None else max(deadline - time.monotonic(), 0.0)
    process.wait(remaining)


class _LineSplitter:
    r"""Bytes in, lines out; ``\r\n``, ``\n`` and a lone ``\r`` each end one line, also across chunks."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._pending = ""
        self._after_cr = False

    def feed(self, chunk: bytes) -> Iterator[str]:
        text = self._decoder.decode(chunk)
        if not text:
            return
        if self._after_cr:  # the second half of a \r\n that was cut in two
            text = text.removeprefix("\n")
        self._after_cr = text.endswith("\r")
        *complete, self._pending = _split(self._pending + text)
        yield from complete

    def finish(self) -> Iterator[str]:
        rest = self._pending + self._decoder.decode(b"", final=True)
        self._pending = ""
        if rest:
            yield rest


def _split(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
