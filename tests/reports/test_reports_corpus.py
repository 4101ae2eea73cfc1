"""Real reports, where they lie beside the repository: every value fits the answer key."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT.parent / "shared" / "data" / "reports"
SCRIPT = ROOT / "scripts" / "score_reports.py"


def score(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, env=environment
    )


@pytest.mark.skipif(
    not (CORPUS / "INDEX.json").is_file(), reason=f"no corpus of reports in {CORPUS.relative_to(ROOT.parent)}"
)
def test_every_report_of_the_corpus_fits_its_key():
    run = score(CORPUS)
    assert run.returncode == 0, run.stdout + run.stderr
    total = run.stdout.splitlines()[-2].split()
    assert total[0] == "all"
    assert total[1] == total[3]
    assert int(total[3]) >= 100


def test_the_score_lists_deviations_and_fails(tmp_path):
    fixture = ROOT / "tests" / "reports" / "fixtures" / "cosim.performance.result.transaction.xml"
    (tmp_path / "t.xml").write_bytes(fixture.read_bytes())
    entry = (
        '[{"path": "t.xml", "kind": "other", "tool": null, "version": null, "part": null, "top": null, "truth": '
        '{"n_transactions": 3, "rows": [["transaction", "0:", "9", "1"], ["transaction", "1:", "13", "3"], '
        '["transaction", "2:", "9", "x"]]}}]'
    )
    (tmp_path / "INDEX.json").write_text(entry)
    run = score(tmp_path)
    assert run.returncode == 1
    assert "t.xml\n    latency 1:: 13.0 in the key, 12 read\n" in run.stdout
    (tmp_path / "INDEX.json").write_text(entry.replace('"13"', '"12"'))
    assert score(tmp_path).returncode == 0


def test_a_folder_without_a_key_is_said_to_be_none(tmp_path):
    run = score(tmp_path)
    assert run.returncode == 2
    assert (
        run.stderr
        == f"{tmp_path / 'INDEX.json'} is not there; name a folder of reports with its answer key\n"
    )
