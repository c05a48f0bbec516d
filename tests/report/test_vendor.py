"""The script that draws the figures: the release it is said to be, whole, and enough without the Python package."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from refine.report.document import PLOTLY

VERSION = "4.1.1"
SHA256 = "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"


def test_it_is_the_release() -> None:
    script = gzip.decompress(PLOTLY.read_bytes())
    assert hashlib.sha256(script).hexdigest() == SHA256
    assert f"plotly.js (basic - minified) v{VERSION}\n".encode() in script[:200]


def test_the_page_beside_it_names_the_same_release_and_the_licence_is_there() -> None:
    page = PLOTLY.with_name("README.md").read_text(encoding="utf-8")
    assert SHA256 in page
    assert f"plotly.js-basic-dist-min@{VERSION}" in page
    assert "MIT License" in PLOTLY.with_name("LICENSE").read_text(encoding="utf-8")


def test_packed_again_it_is_the_same_file() -> None:
    """No name and no time stand in the header of gzip."""
    assert PLOTLY.read_bytes()[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03"


def test_reports_are_made_without_plotly(make_run: Any) -> None:
    out: Path = make_run()
    code = f"import sys; sys.modules['plotly'] = None; import refine.report; refine.report.write_report({str(out)!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert 'id="plotly"' in (out / "report.html").read_text(encoding="utf-8")
