"""`refine explore` as it is called: what is refused, in one line, and the page of its keys."""

from __future__ import annotations

from pathlib import Path

from refine.study.schema import explore_markdown
from tests import small_box
from tests.commands import call, refused

ROOT = Path(__file__).parents[2]

EXPLORE = """
study = "study.toml"
[model]
new = true
[label]
base = "ase"
calculator = "ase.calculators.lj:LennardJones"
"""


def test_faults_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "explore.toml"
    file.write_text(EXPLORE)
    out = ("--out", tmp_path / "out")
    assert "no such file" in refused("explore", file, *out)  # the study
    small_box.write(tmp_path)
    assert "give the path of a file with study, [model] and [label]" in refused("explore", tmp_path / "none.toml")
    assert "there is no loop to go on with" in refused("explore", file, *out, "--resume")
    assert "[model] should have exactly one" in refused("explore", file, *out, "--set", "model.name=small")
    assert "[label]" in refused("explore", file, *out, "--set", 'label.calculator="os:system"', "--set", "label.base=x")
    assert "frames" in refused("explore", file, *out, "--set", "select.frames=1")
    run = tmp_path / "run"
    run.mkdir()
    (run / "result.json").write_text("{}")
    assert "this folder holds a run" in refused("explore", file, "--out", run)


def test_the_page_of_keys_is_up_to_date() -> None:
    page = ROOT / "docs" / "reference" / "explore.md"
    assert page.read_text(encoding="utf-8") == explore_markdown(), "run: make reference"
    assert call("reference", "explore") == explore_markdown()
