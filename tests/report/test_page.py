"""The page as text: complete, escaped, offline, small, written whole or not at all."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from refine.errors import CheckpointError
from refine.report import write_report

_VOID = {"meta", "link", "br", "img", "input"}


class _Outline(HTMLParser):
    """Elements and attributes of a page, and whether every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)


def test_hostile_text_stays_text(crowded_run: Path) -> None:
    text = write_report(crowded_run).read_text(encoding="utf-8")
    page = _Outline(text)
    assert page.open == []
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 3  # data of the figures, plotly, and the script that draws
    assert "img" not in tags
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "</script><script>alert(2)</script>" in "".join(page.words)


def test_nothing_is_fetched(make_run: Any) -> None:
    page = _Outline(write_report(make_run()).read_text(encoding="utf-8"))
    addresses = [a[key] or "" for _, a in page.elements for key in ("src", "href") if key in a]
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    anchors = {a["id"] for _, a in page.elements if "id" in a}
    assert {address[1:] for address in addresses if address.startswith("#")} <= anchors


def test_it_says_what_a_reader_needs(make_run: Any) -> None:
    page = write_report(make_run(rejected=frozenset({2})))
    assert page.name == "report.html"
    said = " ".join(_Outline(page.read_text(encoding="utf-8")).words)
    for part in (
        "Liquid argon at 85 K",
        "The run stopped by itself: the last change of χ² was within twice its sampling error.",
        "5 iterations, 1 of them rejected, 71\u00a0s.",
        "What was compared with what",
        "both sides see the box's 14.2 Å range",
        "Yarnell et al., Phys. Rev. A 7, 2130 (1973)",
        "7.32 meV at 85 K",
        "28.660 × 28.660 × 28.660\u00a0Å",
        "0.0123 GPa",
        "species = { Ar = 500 }",
        "versions.numpy",
    ):
        assert part in said


def test_warnings_come_before_the_table(crowded_run: Path, make_run: Any) -> None:
    text = write_report(crowded_run).read_text(encoding="utf-8")
    assert 0 < text.index("2 warnings") < text.index('class="scores"')


def test_no_warning_box_without_warnings(make_run: Any) -> None:
    assert 'role="alert"' not in write_report(make_run()).read_text(encoding="utf-8")


def test_it_is_small_and_holds_plotly_once(crowded_run: Path) -> None:
    page = write_report(crowded_run)
    assert page.stat().st_size < 6e6
    assert page.read_text(encoding="utf-8").count('id="plotly"') == 1


def test_the_same_folder_gives_the_same_page(make_run: Any) -> None:
    out = make_run()
    assert write_report(out).read_bytes() == write_report(out).read_bytes()


def test_text_that_has_no_utf8_form(make_run: Any) -> None:
    out = make_run(provenance={"host": "a\ud800b"})
    assert "a?b" in write_report(out).read_text(encoding="utf-8")


def test_a_failed_write_leaves_the_folder_as_it_was(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = make_run()
    before = write_report(out).read_bytes()
    listing = sorted(out.iterdir())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(CheckpointError, match=r"report\.html.*No space left on device"):
        write_report(out)
    assert (out / "report.html").read_bytes() == before
    assert sorted(out.iterdir()) == listing


def test_optional_numbers_may_all_be_absent(make_run: Any) -> None:
    out = make_run()
    result = json.loads((out / "result.json").read_text())
    for step in result["iterations"]:
        for key in set(step) - {"iteration", "r_chi", "chi2"}:
            del step[key]
    result["states"] = [{"name": "85K", "temperature": 85}]
    result["correction"] = []
    result["iterations"] = result["iterations"][:1]
    for key in ("seconds", "provenance", "message", "title"):
        del result[key]
    (out / "result.json").write_text(json.dumps(result))
    text = write_report(out).read_text(encoding="utf-8")
    assert "<h1>Refinement</h1>" in text
    assert "1 iteration." in re.sub(r"<[^>]+>", "", text)


def test_jax_is_not_imported() -> None:
    code = "import sys, refine.report; print([m for m in ('jax', 'jaxlib', 'jax_md', 'ase') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
