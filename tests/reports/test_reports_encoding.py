"""The same report in every form in which systems keep text."""

import codecs
import json

import pytest
from reports_project import FIXTURES

from codesign.errors import ReportFormatError
from codesign.reports import read_report

FORMS = {
    "UTF-8 with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16 of PowerShell": lambda text: codecs.BOM_UTF16_LE + text.replace("\n", "\r\n").encode("utf-16-le"),
    "UTF-16, big end first": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "lines of Windows": lambda text: text.replace("\n", "\r\n").encode(),
}
FILES = sorted(path for path in FIXTURES.iterdir() if path.is_file())


def said(path):
    return json.dumps(read_report(path).to_dict(), sort_keys=True).replace(str(path.parent), "")


@pytest.mark.parametrize("form", FORMS)
def test_every_report_says_the_same_in_every_form(form, tmp_path):
    for fixture in FILES:
        path = tmp_path / fixture.name
        path.write_bytes(FORMS[form](fixture.read_text()))
        assert said(path) == said(fixture), fixture.name


def test_half_a_sign_and_zero_bytes_are_damage(tmp_path):
    text = (FIXTURES / "vivado_power.rpt").read_text()
    path = tmp_path / "power.rpt"
    path.write_bytes(FORMS["UTF-16 of PowerShell"](text)[:-1])
    with pytest.raises(ReportFormatError, match="contents: breaks off within a sign of UTF-16; half written"):
        read_report(path)
    path.write_bytes(text.encode("utf-16-le"))
    with pytest.raises(ReportFormatError, match="contents: byte 1 is zero: half written, or no text"):
        read_report(path)
    path.write_bytes(FORMS["UTF-16 of PowerShell"](text[:300] + "\0" + text[300:]))
    with pytest.raises(ReportFormatError, match="is zero: half written"):
        read_report(path)
