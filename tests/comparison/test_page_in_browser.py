"""The page of a run in headless Chromium: it fits a phone and a desk, and its pictures can be saved."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparison_runs import YOSYS, write_run

from codesign.comparison.run_page import write_run_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

LOOK = """
<script>
window.addEventListener("load", function () {
  var kept = [], real = URL.createObjectURL;
  URL.createObjectURL = function (blob) { kept.push(blob); return real.call(URL, blob); };
  HTMLAnchorElement.prototype.click = function () {};  // no download, which nothing here would end
  var wide = Array.prototype.filter.call(document.querySelectorAll("main > *"), function (part) {
    return part.getBoundingClientRect().right > innerWidth + 1;
  });
  document.querySelectorAll('figure .save button[data-form="svg"]').forEach(function (button) { button.click(); });
  Promise.all(kept.map(function (blob) { return blob.text(); })).then(function (all) {
    var svg = all[all.length - 1];  // of the network, which is kept out of sight
    var parsed = new DOMParser().parseFromString(svg, "image/svg+xml");
    var found = {
      width: innerWidth, page: document.documentElement.scrollWidth, overflowing: wide.length,
      figures: document.querySelectorAll("figure").length, svg: parsed.documentElement.nodeName, saved: all.length,
      variables: (all.join('').match(/var\\(/g) || []).length
    };
    var note = document.createElement("pre");
    note.id = "found"; note.textContent = JSON.stringify(found);
    document.body.appendChild(note);
  });
});
</script></body>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
@pytest.mark.parametrize("width", [500, 1280])
def test_the_page_fits_its_window_and_its_pictures_can_be_saved(width: int, tmp_path: Path) -> None:
    run = write_run(tmp_path / "digits run", rtl=YOSYS, right=np.arange(60) % 5 > 0, samples=60)
    page = write_run_page(run, tmp_path / "run.html")
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("</body>", LOOK), encoding="utf-8")
    words = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},2000"]
    done = subprocess.run(
        [*words, "--virtual-time-budget=5000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    (kept,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout)
    found: dict[str, Any] = json.loads(kept)
    assert found["width"] == width
    assert found["page"] <= width
    assert (found["overflowing"], found["svg"], found["variables"]) == (0, "svg", 0)
    assert found["saved"] == found["figures"] >= 4
