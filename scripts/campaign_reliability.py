"""Kill runs at random moments, fill the disk, remove locks, and count what is lost: nothing.

``python scripts/campaign_reliability.py models/tiny --kills 12 --seed 1``

A design is run with small settings. It is ended again and again by SIGTERM, SIGKILL and Ctrl-C, its files may not grow beyond
random sizes (as on a full disk), its lock is removed or is a folder, it is copied without hidden files; then the commands `rtl`,
`verify` and `scan` are killed. After every attack no stage that had finished may be lost, no process may be left, no traceback
printed; and the same command must finish, with the bytes of a run that nobody disturbed. Every attack is told as it ends. The
exit code is 1 if anything is lost.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from codesign.core.files import tree_digests
from codesign.run_folder import LOCK, RunFolder
from codesign.stages import STAGES

SMALL = (
    *("data.max_samples=400", "teacher.epochs=2", "distillation.epochs=2"),
    *("distillation.temperature=2.0", "distillation.alpha=0.1", "pruning.epochs=2", "quantization.epochs=1"),
    *("scan.tolerance=0.5", "scan.most_bits=6", "scan.least_bits=5", "hardware.testbench_samples=5"),
    "hardware.open_rtl=false",
)
SIGNALS = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)
LEFT_S = 20.0
"""How long a program may still run after its command was killed."""

TIMES = ("stage.json", "verification.json")
"""The files of a stage that hold how long it took."""


@dataclass
class Campaign:
    """The commands, what was done to them, and what was lost.

    Parameters
    ----------
    folder
        Where everything is written.
    design
        The design's folder.
    chance
        Decides moments, signals and sizes.
    """

    folder: Path
    design: Path
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    def count(self, what: str) -> None:
        """Count an attack, and tell what is lost by now."""
        self.done[what] += 1
        print(f"{what}: {self.done[what]}; lost: {len(self.lost)}", flush=True)

    def command(self, *words: str | Path) -> list[str]:
        """A command line of the package."""
        return [sys.executable, "-m", "codesign", *map(str, words)]

    def run_words(self, name: str) -> list[str]:
        """The run of the design in one of the campaign's folders."""
        settings = [word for setting in SMALL for word in ("--set", setting)]
        return self.command("run", self.design, "--output", self.folder / name, *settings)

    def start(self, words: Sequence[str], most_bytes: int | None = None) -> subprocess.Popen[str]:
        """Begin a command; its files may be limited."""

        def limit() -> None:
            # a process that a shell started in the background ignores Ctrl-C; this one must not
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if most_bytes is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))

        log = (self.folder / "last.log").open("w")
        try:
            return subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, text=True, preexec_fn=limit)
        finally:
            log.close()

    def finish(self, words: Sequence[str], what: str) -> float:
        """Run a command to its end, which must be a good one; its seconds."""
        started = time.monotonic()
        code = self.start(words).wait()
        if code != 0:
            self.lost.append(f"{what}: exit code {code}: {self.last()}")
        self.count("commands run to their end")
        return time.monotonic() - started

    def last(self) -> str:
        """The last line that the last command printed."""
        lines = (self.folder / "last.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def kill(self, words: Sequence[str], seconds: float, what: str) -> None:
        """End a command at a random moment by a random signal, and look for what it leaves running."""
        number = self.chance.choice(SIGNALS)
        moment = self.chance.uniform(0.0, seconds)
        process = self.start(words)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            self.count(number.name)
            process.wait(60)
        text = (self.folder / "last.log").read_text(errors="replace")
        if number == signal.SIGTERM and process.returncode not in (0, 130, -number):
            self.lost.append(f"{what}: SIGTERM gave exit code {process.returncode}: {self.last()}")
        if "Traceback" in text and "Exception ignored" not in text and "KeyboardInterrupt" not in text:
            self.lost.append(f"{what}: a traceback after {number.name}: {self.last()}")
        self.require_nothing_running(what)

    def require_nothing_running(self, what: str) -> None:
        """Every program that works in the campaign's folder ends within some seconds."""
        until = time.monotonic() + LEFT_S
        while (left := working_in(self.folder)) and time.monotonic() < until:
            time.sleep(0.1)
        if left:
            self.lost.append(f"{what}: still running: {'; '.join(left)}")

    def finished(self, name: str) -> dict[str, str]:
        """The finished stages of a run, with the digest of what each made."""
        folder = RunFolder(self.folder / name)
        found = {stage.name: folder.evidence(stage.name) for stage in STAGES}
        return {stage: evidence.record.digest for stage, evidence in found.items() if evidence is not None}

    def require_kept(self, name: str, before: dict[str, str], what: str) -> None:
        """No stage that had finished is gone or another."""
        after = self.finished(name)
        gone = [stage for stage, digest in before.items() if after.get(stage) != digest]
        if gone:
            self.lost.append(f"{what}: lost the finished stages {', '.join(gone)}")

    def require_equal(self, name: str, what: str) -> None:
        """A run has the bytes of the undisturbed one, beside the times it took."""
        for stage in STAGES:
            one, other = (tree_digests(self.folder / run / stage.name) for run in ("whole", name))
            named = {path for path in {**one, **other} if not path.endswith((*TIMES, "build_gcc/csim.log"))}
            differ = [path for path in sorted(named) if one.get(path) != other.get(path)]
            if differ:
                self.lost.append(f"{what}: {stage.name}/{differ[0]} and {len(differ) - 1} more differ")
        self.count("runs compared with the undisturbed one")


def working_in(folder: Path) -> list[str]:
    """The command lines of the processes whose working directory or arguments lie in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            inside = (process / "cwd").readlink().is_relative_to(folder)
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        named = any(str(folder).encode() in word for word in words[1:])
        is_tool = words[0].rsplit(b"/", 1)[-1] not in (b"bash", b"sh") and b"campaign" not in b" ".join(words)
        if state != "Z" and is_tool and (inside or named):
            found.append(b" ".join(words).decode(errors="replace")[:120])
    return found


def kills(campaign: Campaign, count: int) -> None:
    """Runs that are killed at random, each time going on, until they finish."""
    whole = campaign.finish(campaign.run_words("whole"), "the undisturbed run")
    for attack in range(count):
        name = f"killed{attack // 4}"
        before = campaign.finished(name)
        # the later ones mostly resume: their moments are spread over what is left of the stages
        campaign.kill(campaign.run_words(name), whole, f"kill {attack + 1}")
        campaign.require_kept(name, before, f"kill {attack + 1}")
        if (campaign.folder / name / "summary.json").is_file():
            campaign.count("kills that came after the end")
        if attack % 3 == 1:
            (campaign.folder / name / LOCK).unlink(missing_ok=True)
            campaign.count("locks removed")
        if attack % 4 == 3 or attack == count - 1:
            campaign.finish(campaign.run_words(name), f"the run after kill {attack + 1}")
            campaign.require_equal(name, f"the run after kill {attack + 1}")
            left = [path.name for path in (campaign.folder / name).glob(".*") if path.name != LOCK]
            if left:
                campaign.lost.append(f"{name}: leftovers {', '.join(left)}")


def full_disks(campaign: Campaign, count: int) -> None:
    """Files that may not grow beyond a random size."""
    for attack in range(count):
        what, before = f"full disk {attack + 1}", campaign.finished("full")
        most = int(2 ** campaign.chance.uniform(8, 18))
        code = campaign.start(campaign.run_words("full"), most).wait()
        text = (campaign.folder / "last.log").read_text(errors="replace")
        campaign.count("full disks")
        if "Traceback" in text or (code != 0 and "error: " not in text):
            campaign.lost.append(f"{what} at {most} bytes: exit code {code}: {campaign.last()}")
        campaign.require_kept("full", before, what)
        campaign.require_nothing_running(what)
    campaign.finish(campaign.run_words("full"), "the run after full disks")
    campaign.require_equal("full", "the run after full disks")


def locks_and_copies(campaign: Campaign) -> None:
    """A lock that is a folder, a second run at the same time, a copy without hidden files."""
    folder = campaign.folder / "copied"
    shutil.copytree(campaign.folder / "whole", folder, ignore=shutil.ignore_patterns(".*"))
    (folder / "summary.json").unlink()
    campaign.finish(campaign.run_words("copied"), "a copy without hidden files")
    campaign.require_equal("copied", "a copy without hidden files")
    (folder / LOCK).unlink()
    (folder / LOCK).mkdir()
    code = campaign.start(campaign.run_words("copied")).wait()
    if code != 1 or "is a folder" not in campaign.last():
        campaign.lost.append(f"a lock that is a folder: exit code {code}: {campaign.last()}")
    campaign.count("locks that are folders")


def other_commands(campaign: Campaign, count: int) -> None:
    """`rtl`, `verify` and `scan`, killed and finished by the same command."""
    project = campaign.folder / "whole" / "project" / "hls"
    copy = campaign.folder / "project"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("build_gcc"))
    whole = campaign.folder / "whole"
    for name, words in {
        "rtl": campaign.command("rtl", copy, "--output", campaign.folder / "verilog"),
        "verify": campaign.command("verify", copy, "--rungs", "emulation,csim"),
        "scan": campaign.command("scan", whole, "--output", campaign.folder / "scan", "--tolerance", "0.5"),
    }.items():
        for attack in range(count):
            campaign.kill(words, 25.0, f"{name} {attack + 1}")
            if name == "scan" and (campaign.folder / "scan" / "scan.json").is_file():
                shutil.rmtree(campaign.folder / "scan")  # it had finished before it was killed
        campaign.finish(words, f"{name} after its kills")
    left = [path for path in campaign.folder.rglob(".*") if path.name not in (LOCK, ".codesign-lock.held")]
    if left:
        campaign.lost.append(f"leftovers: {', '.join(str(path) for path in left)}")


def main() -> None:
    """Attack, count, say."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("design", type=Path, nargs="?", default=Path("models/tiny"))
    parser.add_argument(
        "--kills", type=int, default=12, help="of runs; a third as many of each other command"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="leave the folder that everything was written to")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="codesign-campaign-"))
    campaign = Campaign(folder, asked.design.resolve(), random.Random(asked.seed))
    try:
        kills(campaign, asked.kills)
        full_disks(campaign, max(2, asked.kills // 3))
        locks_and_copies(campaign)
        other_commands(campaign, max(1, asked.kills // 3))
    except KeyboardInterrupt:
        campaign.lost.append("the rest of the campaign, which Ctrl-C ended")
    finally:
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    for what, number in sorted(campaign.done.items()):
        print(f"{what}: {number}")
    print(f"lost: {len(campaign.lost)}")
    for sentence in campaign.lost:
        print(f"  - {sentence}")
    sys.exit(1 if campaign.lost else 0)


if __name__ == "__main__":
    main()
