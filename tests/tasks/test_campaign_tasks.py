"""Each task of a campaign for real, in processes of its own: the table is what the command leaves in each point."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refine.campaign.executors import Local
from refine.campaign.keys import CampaignConfig
from refine.campaign.rows import rows_of, table_of
from refine.campaign.standing import Standing, read_standing
from refine.learning.keys import LearnConfig
from refine.potentials.mace.reader.neutral import write_neutral
from refine.study.schema import StudyConfig
from refine.tasks.campaign import campaign
from refine.tasks.forward import forward
from refine.tasks.learn import learn
from tests import small_box
from tests.learning.labelled import atoms_of, labelled_by, write_labelled
from tests.tasks.test_learn import TEACHER, perturbed
from tests.trajectories import frames, write_extxyz

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def carried_out(config: CampaignConfig, out: Path) -> tuple[Standing, list[dict[str, Any]]]:
    """Where it stands at its end, and its table."""
    standing = campaign(config, out, lambda: Local(config.run))
    return standing, table(out)


def table(out: Path) -> list[dict[str, Any]]:
    header, cells = table_of(rows_of(read_standing(out), out))
    return [dict(zip(header, row, strict=True)) for row in cells]


def figures(out: Path) -> dict[str, dict[str, Any]]:
    """Of the page, by their names."""
    page = (out / "campaign.html").read_text(encoding="utf-8")
    found = json.loads(re.findall(r'id="figures">(.*?)</script>', page, re.DOTALL)[0])
    return {figure["id"]: figure for figure in found}


def test_structures_runs_and_comparisons_follow_one_another(tmp_path: Path) -> None:
    """A run begins from the structure of its own point, and what is compared is that run."""
    small_box.write(tmp_path)
    tree = {"study": "study.toml", "grid": {"states.85K.temperature": [85.0, 95.0]}, "prepare": {"settle": 0.5}}
    config = CampaignConfig.parse({**tree, "run": {"task": ["prepare", "run", "compare"]}}, tmp_path)
    out = tmp_path / "out"
    standing, rows = carried_out(config, out)
    assert [(step.task, step.ending, step.starts) for step in standing.points[1].steps] == [
        (task, "done", 1) for task in ("prepare", "run", "compare")
    ]
    energies = []
    for point, row in zip(standing.points, rows, strict=True):
        folder = out / "points" / point.name
        assert row["85K prepared number_density"] == pytest.approx(0.02125, rel=1e-6)
        energies.append(row["85K prepared potential_energy_eV"])
        study = StudyConfig.from_toml(folder / "run" / "study.toml")
        begun = study.states[0].model_dump()["structure"]
        assert (folder / "run" / begun).resolve() == (folder / "start-85K.extxyz").resolve()
        # the base model is compared by the run's own first sample
        assert row["lennard-jones: sq r_chi"] == pytest.approx(row["sq r_chi_initial"], rel=1e-9)
        assert row["run: sq r_chi"] == pytest.approx(row["sq r_chi_final"], abs=5 * row["sq r_chi_final_stderr"])
    assert energies[0] < energies[1]  # the colder one


def test_trajectories_are_scored(tmp_path: Path) -> None:
    """As in this process, each by its own name."""
    small_box.write(tmp_path)
    cell, names = np.eye(3) * (108 / 0.02125) ** (1 / 3), ("one.extxyz", "two.extxyz")
    for k, name in enumerate(names):
        write_extxyz(tmp_path / name, frames(4 + 4 * k, {"Ar": 108}, cell)[4 * k :])
    tree = {"study": "study.toml", "grid": {"forward.trajectory": list(names)}, "run": {"task": "forward"}}
    _, rows = carried_out(CampaignConfig.parse(tree, tmp_path), tmp_path / "out")
    study = StudyConfig.from_toml(tmp_path / "study.toml")
    expected = [{score.data.name: score.r_chi for score in forward(study, tmp_path / name).scores} for name in names]
    assert [{name: row[f"{name} r_chi"] for name in ("sq", "gr")} for row in rows] == [
        pytest.approx(one, rel=1e-6) for one in expected
    ]
    assert expected[0] != expected[1]


LEARN = """
title = "A student"
[model]
path = "student.safetensors"
[frames]
train = ["frames.extxyz"]
test_share = 0.1
[learn]
epochs = 20
batch = 4
"""


def test_trainings_over_a_grid(tmp_path: Path) -> None:
    """Killed within a training, taken up, and the same numbers as of trainings that nobody stopped."""
    atoms = [atoms_of(kind, seed) for seed in range(6) for kind in ("cubic", "triclinic")]
    write_labelled(tmp_path / "frames.extxyz", labelled_by(TEACHER, atoms))
    write_neutral(perturbed(TEACHER), tmp_path / "student.safetensors")
    (tmp_path / "learn.toml").write_text(LEARN)
    (tmp_path / "campaign.toml").write_text(
        'study = "learn.toml"\n[grid]\n"learn.learning_rate" = [0.002, 0.01]\n[run]\ntask = "learn"\n'
    )
    out = tmp_path / "out"
    words = ["-m", "refine", "campaign", str(tmp_path / "campaign.toml"), "--out", str(out)]
    process = subprocess.Popen([sys.executable, *words], cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL)
    while not list(out.glob("points/*/learn/learn.h5")):
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    config = CampaignConfig.from_toml(tmp_path / "campaign.toml")
    standing = campaign(config, out, lambda: Local(config.run), resume=True)
    assert standing.counts() == {"done": 2, "waiting": 0, "failed": 0}
    rows = table(out)
    for row, rate in zip(rows, (0.002, 0.01), strict=True):
        alone = LearnConfig.from_toml(tmp_path / "learn.toml", [f"learn.learning_rate={rate}"])
        found = learn(alone, tmp_path / f"alone-{rate}")
        for part, errors in found.after.items():
            assert errors.forces is not None
            assert row[f"{part} forces_meV_per_angstrom after"] == 1e3 * errors.forces
    assert rows[0]["test forces_meV_per_angstrom after"] != rows[1]["test forces_meV_per_angstrom after"]
    assert any(name.startswith("trend-learning-rate-test-forces") for name in figures(out))
