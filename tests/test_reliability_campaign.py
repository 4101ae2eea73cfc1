"""The campaign against runs sees what is lost; as a whole, it loses nothing."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from campaign_reliability import Campaign

REPOSITORY = Path(__file__).resolve().parents[1]


class Always(random.Random):
    """Chance that takes the first signal and the end of the time."""

    def choice(self, seq):
        return seq[0]

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return Campaign(tmp_path, REPOSITORY / "models" / "tiny", Always())


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_program_that_ends_when_it_is_asked_loses_nothing(campaign: Campaign) -> None:
    campaign.kill(python("import time; time.sleep(60)"), 0.5, "a sleeper")
    assert campaign.finish(python("print('done')"), "a good one") < 60
    assert campaign.lost == []
    assert dict(campaign.done) == {"SIGTERM": 1, "commands run to their end": 1}


def test_what_goes_wrong_is_counted(campaign: Campaign) -> None:
    campaign.finish(python("print('no room'); exit(3)"), "a failure")
    late = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit('late')); print('on', flush=True); time.sleep(60)"
    campaign.kill(python(late), 2.0, "a bad end")
    raising = "import signal, time; signal.signal(15, lambda *_: 1 / 0); time.sleep(60)"
    campaign.kill(python(raising), 2.0, "a traceback")
    assert [sentence.split(":")[0] for sentence in campaign.lost] == [
        "a failure",
        "a bad end",
        "a traceback",
        "a traceback",
    ]
    assert campaign.lost[0] == "a failure: exit code 3: no room"


def test_a_process_that_is_left_running_is_seen(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaign_reliability.LEFT_S", 0.5)
    left = subprocess.Popen(python("import time; time.sleep(60)"), cwd=campaign.folder)
    try:
        campaign.require_nothing_running("a kill")
    finally:
        left.kill()
        left.wait()
    assert len(campaign.lost) == 1
    assert campaign.lost[0].startswith(f"a kill: still running: {sys.executable} -c import time")


def test_a_stage_that_is_gone_and_a_file_that_differs_are_seen(campaign: Campaign) -> None:
    campaign.require_kept("run", {"teacher": "abc"}, "a kill")
    for name in ("whole", "killed"):
        (campaign.folder / name / "scan").mkdir(parents=True)
        (campaign.folder / name / "scan" / "scan.json").write_text(name)
        (campaign.folder / name / "scan" / "stage.json").write_text(name)
    campaign.require_equal("killed", "a run")
    assert campaign.lost == [
        "a kill: lost the finished stages teacher",
        "a run: scan/scan.json and 0 more differ",
    ]


@pytest.mark.slow
def test_the_campaign_loses_nothing() -> None:
    words = [sys.executable, "scripts/campaign_reliability.py", "models/tiny", "--kills", "3", "--seed", "1"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nlost: 0\n" in done.stdout
