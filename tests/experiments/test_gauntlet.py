"""The gauntlet: its studies state only what a user must, and its runner does a row once and says what came."""

import tomllib
from pathlib import Path

import pytest

from refine.study.schema import StudyConfig
from tests.experiments.scripts import script

FOLDER = Path(__file__).parents[2] / "experiments" / "gauntlet"
run = script(FOLDER / "run.py")
ROWS, page = run.ROWS, run.page


@pytest.mark.parametrize("name", ROWS)
def test_a_study_states_only_what_a_user_must(name):
    row = ROWS[name]
    tree = tomllib.loads((FOLDER / row.study).read_text(encoding="utf-8"))
    assert set(tree) <= {"title", "system", "states", "schedule", "data", "model"}
    assert not any({"sigma", "fit_q", "fit_r", "weight"} & set(data) for data in tree["data"])
    config = StudyConfig.from_toml(FOLDER / row.study, run.overrides(row, tree, Path("/nowhere"), small=False))
    assert config.data[0].role == "fit"
    assert (row.synthetic is not None or row.data is not None) == str(config.data[0].file).startswith("/nowhere")


def test_a_row_without_its_data_says_so(tmp_path, capsys):
    assert run.main(["--only", "geo2", "--out", str(tmp_path)]) == 0
    assert "geo2: data not at hand" in capsys.readouterr().out
    assert not (tmp_path / "geo2" / run.DONE).exists()


def test_the_page_names_what_ended_worse():
    one = {
        "status": "iterations-exhausted", "samples": 3, "taken_back": 1, "md_steps": 12000, "atoms": 500,
        "r_chi": {"neutron": ("fit", 0.05, 0.02, 0.001), "g": ("score", 0.05, 0.06, 0.001)},
        "worse": ["g"], "message": "stopped at the limit of 2 updates",
        "pressure": (0.1, 0.02, 0.2, 0.03), "covered": {"68": 0.7, "95": 0.96},
        "seconds": 90.0, "date": "2026-01-02", "cores": 2, "load": 1.0, "small": False,
    }  # fmt: skip
    text = page(ROWS, {"argon": one, "geo2": {"failed": "data not at hand"}})
    assert "| argon | 500 | at its limit | 2, 1 taken back | 12,000 | neutron 0.050 → 0.020 | g 0.050 → 0.060 |" in text
    assert "| 70%, 96% |" in text
    assert "Worse than at the start: argon (g)." in text
    assert "| geo2 | | data not at hand |" in text
    assert "`correction.r_cut` | 7 |" in text


@pytest.mark.slow
def test_a_row_is_run_once(tmp_path, monkeypatch):
    """Argon and krypton, with samples so short that only the road is tested; how straight its step was can be told."""
    asked = ["--only", "binary", "--out", str(tmp_path), "--page", str(tmp_path / "page.md"), "--budget", "small"]
    run.main(asked)
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| binary | 300 |" in text
    assert "whose numbers mean nothing" in text
    monkeypatch.delattr(run, "run_row")
    run.main(asked)
    (iteration, straight, _, _), *_ = script(FOLDER / "bent.py").steps(tmp_path / "binary" / "run")
    assert iteration == 1
    assert 0.0 < straight < 10.0
