"""`refine campaign` and `refine campaign-status` as they are typed."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from refine.campaign.keys import CampaignConfig
from refine.campaign.points import points_of
from refine.campaign.reference import campaign_markdown
from refine.campaign.standing import PointStanding, Standing, StepStanding
from refine.cli.main import app
from refine.files import exclusive
from tests import small_box

ROOT = Path(__file__).parents[2]


def call(*words: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A campaign of four points, of which one is no study."""
    small_box.write(tmp_path)
    path = tmp_path / "campaign.toml"
    path.write_text(
        'study = "study.toml"\n[grid]\nsampling.seed = [1, 2]\n"states.85K.temperature" = [85.0, -1.0]\n'
        '[select]\nleave_out = [{ "sampling.seed" = 2, "states.85K.temperature" = -1.0 }]\n'
    )
    return path


def test_a_dry_run_starts_nothing(file: Path, tmp_path: Path) -> None:
    code, out, err = call("campaign", file, "--out", tmp_path / "out", "--dry-run")
    assert code == 2
    assert out.splitlines()[:3] == [
        "seed-1_temperature-85.0",
        "seed-1_temperature-1.0-07816f21",
        "seed-2_temperature-85.0",
    ]
    assert "  refine run study.toml --out run --continue" in out
    assert "3 points, 1 of them refused, 2 tasks" in out
    assert "states" in err
    assert not (tmp_path / "out").exists()
    assert call("campaign", file, "--dry-run", "--set", "grid={}")[0] == 2  # [select] names what is gone


def test_faults_are_one_line(file: Path, tmp_path: Path) -> None:
    for words, says in (
        (("campaign", tmp_path / "none.toml"), "no such file; give the path of a file with study and [grid]"),
        (("campaign", file, "--set", "study=none.toml", "--out", tmp_path / "o"), "no such file"),
        (("campaign", file, "--set", "run.cores=1000", "--out", tmp_path / "p"), "[run] cores: asks for 1000 of the"),
        (("campaign-status", tmp_path), "there is no campaign"),
    ):
        code, _, err = call(*words)
        assert code == 2
        assert says in err
        assert sum(line.startswith("refine: ") for line in err.splitlines()) == 1


def test_where_it_stands(tmp_path: Path) -> None:
    points = [
        PointStanding(name="a", steps=[StepStanding(task="run", ending="done")]),
        PointStanding(name="b", steps=[StepStanding(task="run")]),
        PointStanding(name="c", steps=[StepStanding(task="run", ending="input", line="no such key")]),
    ]
    standing = Standing(title="Argon", study="s.toml", tasks=["run"], running=1, left=60.0, points=points)
    standing.write(tmp_path)
    code, out, _ = call("campaign-status", tmp_path)
    assert code == 0
    assert out.splitlines() == [
        "Argon: 1 of 3 points done, 0 tasks running, 1 waiting, 1 failed",
        "nobody carries it out now; go on with it by --resume",
        "c: run failed: no such key",
    ]
    with exclusive(tmp_path):
        assert "1 task running, 0 waiting, 1 failed; about 60 s left" in call("campaign-status", tmp_path)[1]
        tree = json.loads(call("campaign-status", tmp_path, "--json")[1])
    assert (tree["done"], tree["running"], tree["failed"], tree["carried_out"]) == (1, 1, 1, True)


def test_the_page_of_keys_is_current() -> None:
    page = ROOT / "docs" / "reference" / "campaign.md"
    assert page.read_text(encoding="utf-8") == campaign_markdown(), "run: make reference"
    assert call("reference", "campaign")[1] == campaign_markdown()


def test_the_file_that_is_shown_is_read() -> None:
    page = (ROOT / "docs" / "tutorials" / "campaigns.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(points_of(CampaignConfig.parse(tomllib.loads(text)))) == 6
