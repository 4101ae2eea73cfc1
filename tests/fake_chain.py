"""The flow with stages that make nothing: names, parents and settings of the real ones, a second of work in all.

As a script it is the command line with such stages, and can end itself at given moments to begin anew:
``fake_chain.py LOG SECONDS SIGNAL MOMENTS run DESIGN ...``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.core.files import json_digest
from codesign.core.record import Record
from codesign.stages import STAGES, Context, Stage

LADDER: Mapping[str, Any] = {"reference": "QKeras", "rungs": [], "lsb": 1.0}
METRICS: Mapping[str, Mapping[str, Any]] = {
    "project": {"layers": {}},
    "rtl": {"skipped": "it is a fake"},
    "verification": {"test_accuracy": 0.5, **LADDER},
    "csynth": {"skipped": "it is a fake"},
}


@dataclass(frozen=True)
class FakeValue:
    """What a fake stage makes."""

    text: str
    record: Record


class FakeStage(Stage):
    """A stage that depends on what the real one depends on, and makes one small file."""

    def __init__(self, real: Stage, log: Path, seconds: float, seen: Callable[[Stage, Context], Any]) -> None:
        self.name, self.title, self.formerly = real.name, real.title, real.formerly
        self.parents, self.sections, self.uses_networks = real.parents, real.sections, real.uses_networks
        self.real = real
        self.log, self.seconds, self.seen = log, seconds, seen

    def depends(self, context: Context) -> dict[str, str]:
        return self.real.depends(context)

    def not_done(self, context: Context) -> dict[str, str]:
        return self.real.not_done(context)

    def was_asked(self, context: Context) -> bool:
        return self.real.was_asked(context)

    def check(self, context: Context) -> None:
        if not self.parents:
            with self.log.open("a") as log:
                log.write("checks\n")

    def make(self, context: Context, folder: Path) -> Any:
        with self.log.open("a") as log:
            log.write(f"{self.name}\n")
        for parent in self.parents:
            assert context.value(parent).text == context.records[parent].digest
        time.sleep(self.seconds)
        digest = json_digest(
            [self.name, self.seen(self, context), [context.records[name].digest for name in self.parents]]
        )
        metrics = METRICS.get(self.name, {"test_accuracy": 0.5})
        return FakeValue(digest, Record.of(digest, metrics))

    def save(self, value: Any, folder: Path) -> None:
        (folder / "value.txt").write_text(value.text)

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        return FakeValue((folder / "value.txt").read_text(), record)


def sees_everything(stage: Stage, context: Context) -> Any:
    """What a real result depends on: another value, another result."""
    networks = context.networks_digest if stage.uses_networks else None
    sections = [context.settings.section(name) for name in stage.sections]
    return [sections, context.settings.seed, context.dataset.digest, networks]


def sees_settings(stage: Stage, context: Context) -> Any:
    """A result that `networks.py` did not change, as when only a comment of it is another."""
    return [context.settings.section(name) for name in stage.sections]


def install(
    replace: Callable[[Any, str, Any], None],
    log: Path,
    seconds: float = 0.0,
    seen: Callable[[Stage, Context], Any] = sees_everything,
) -> None:
    """Put fakes in the place of all stages.

    `replace` is `setattr` or a monkeypatch's.
    """
    import codesign.flow
    import codesign.stages

    fakes = tuple(FakeStage(stage, log, seconds, seen) for stage in STAGES)

    replace(codesign.flow, "STAGES", fakes)
    replace(codesign.stages, "STAGES", fakes)
    replace(codesign.flow, "plot_run", lambda folder: ())
    replace(codesign.flow, "write_run_page", lambda folder, path: path)


def disturbed(log: Path, number: int, moment: float) -> int:
    """Run the command line in a child that gets a signal a moment after it began to work; its exit code."""
    child = os.fork()
    if child == 0:
        # a process that a shell started in the background ignores Ctrl-C; this one must not
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from codesign.cli import main

        main()
    until = time.monotonic() + 60
    while not log.exists() and time.monotonic() < until and not _ended(child):
        time.sleep(0.001)
    time.sleep(moment)
    # nobody else reaps the child: the number is still its own
    os.kill(child, number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _ended(child: int) -> bool:
    """Whether a child that is not reaped yet has ended, as one that finds a finished run does at once."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


if __name__ == "__main__":
    log, seconds, number = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    install(setattr, log, seconds)
    moments = [float(word) for word in sys.argv[4].split(",") if word]
    sys.argv = ["codesign", *sys.argv[5:]]
    import codesign.cli
    import codesign.flow
    import codesign.terminal
    from codesign.data import load_dataset

    # what every child needs is imported once
    load_dataset("digits")
    for index, moment in enumerate(moments):
        code = disturbed(log, number, moment)
        # a run that was finished before does no work, and so writes no log
        log.touch()
        log.rename(log.with_name(f"{log.name}-{index:02}-{code}"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    codesign.cli.main()
