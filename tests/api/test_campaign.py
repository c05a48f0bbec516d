"""`refine.Campaign`: points, what is started, where it stands, the table, results as `refine.open` gives them."""

from __future__ import annotations

import csv
import shutil
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import refine
from refine.campaign.jobs import Ended, Job
from refine.cli.main import app
from refine.errors import CheckpointError, InputError
from refine.files import exclusive
from tests import small_box

GRID = {"states.85K.temperature": [85.0, 95.0], "sampling.seed": [1, 2]}


class Copies:
    """Leaves a finished run in each point at once; in those of seed 2 at 95 K nothing."""

    workers = 1

    def __init__(self, finished: Path) -> None:
        self.finished, self.jobs = finished, list[Job]()

    def submit(self, job: Job) -> Future[Ended]:
        self.jobs.append(job)
        bad = "95.0_seed-2" in job.name
        if job.words[0] == "run" and not bad:
            shutil.copytree(self.finished, Path(job.folder) / "run")
        future: Future[Ended] = Future()
        future.set_result(Ended(2, 1.0, "no such file") if bad else Ended(0, 1.0))
        return future

    def running(self) -> int:
        return 0

    def broken(self) -> str:
        return ""

    def close(self) -> None:
        pass


def campaign_of(folder: Path, **tables: Any) -> refine.Campaign:
    small_box.write(folder)
    return refine.Campaign.of(study="study.toml", **{"grid": GRID, **tables}, folder=folder, out=folder / "campaign")


def test_from_points_to_results(folder: Path, tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path)
    names = [point.name for point in campaign.points]
    assert names == [f"temperature-{t}_seed-{seed}" for t in (85.0, 95.0) for seed in (1, 2)]
    executor = Copies(folder)
    standing = campaign.run(executor)
    assert [job.name for job in executor.jobs] == [f"{name}: run" for name in names]
    assert (standing.executor, standing.counts()) == ("Copies", {"done": 3, "waiting": 0, "failed": 1})

    status = campaign.status()
    assert status.counts() == standing.counts()
    assert [(point.name, task, why) for point, task, why in status.failures()] == [(names[3], "run", "no such file")]
    found = dict((point.name, result) for point, result in campaign)
    assert list(found) == names[:3]
    opened = refine.open(folder)
    for result in found.values():
        assert result.final.r_chi == opened.final.r_chi
        assert result.correction.energy([3.8]) == pytest.approx(opened.correction.energy([3.8]))
    table = campaign.table
    with (tmp_path / "campaign" / "table.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for ours, written in zip(table, rows, strict=True):
        for key, value in ours.items():  # columns that are empty in every row are not in the file
            if isinstance(value, int | float):
                assert float(written[key]) == pytest.approx(value, rel=1e-7)
            else:
                assert written.get(key, "") == (value or "")
    assert [row["temperature"] for row in table] == [85.0, 85.0, 95.0, 95.0]


def test_it_goes_on_as_the_command_does(folder: Path, tmp_path: Path) -> None:
    """And the command goes on with what was begun in Python: one campaign, one record."""
    campaign, executor = campaign_of(tmp_path, grid={"sampling.seed": [1]}), Copies(folder)
    campaign.run(executor)
    with pytest.raises(CheckpointError, match="holds a campaign"):
        campaign.run(executor)
    campaign.run(executor, resume=True)
    assert len(executor.jobs) == 1
    (tmp_path / "campaign.toml").write_text('study = "study.toml"\n[grid]\n"sampling.seed" = [1]\n')
    out = tmp_path / "campaign"
    told = CliRunner().invoke(app, ["campaign", str(tmp_path / "campaign.toml"), "--out", str(out), "--resume"])
    assert told.exit_code == 0
    assert "1 of 1 points done" in told.stdout
    read = refine.Campaign.from_toml(tmp_path / "campaign.toml", ["title=other"], out=out)
    assert read.config.title == "other"
    assert [point.name for point, _ in read] == ["seed-1"]


def test_while_somebody_carries_it_out(folder: Path, tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path)
    campaign.run(Copies(folder))
    standing = campaign.status()
    assert standing.running is None
    standing.running = 1
    standing.write(campaign.out)
    with exclusive(campaign.out):
        assert campaign.status().running == 1
    assert campaign.status().running is None


def test_what_is_damaged_is_no_result(folder: Path, tmp_path: Path) -> None:
    """The row says so, and so does the iteration."""
    campaign = campaign_of(tmp_path, grid={"sampling.seed": [1]})
    campaign.run(Copies(folder))
    (tmp_path / "campaign" / "points" / "seed-1" / "run" / "result.json").write_text("{")
    (row,) = campaign.table
    assert "not in the table: " in str(row["why"])
    with pytest.raises(InputError):
        list(campaign)


def test_faults_are_one_line(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path)
    with pytest.raises(InputError, match="there is no campaign"):
        campaign.status()
    with pytest.raises(InputError, match="no such file"):
        campaign.run(tmp_path / "site.py")
    with pytest.raises(InputError, match="did you mean 'study'"):
        refine.Campaign.of(studi="study.toml")
    other = campaign_of(tmp_path, run={"task": "compare"})
    other.run(Copies(tmp_path))
    with pytest.raises(InputError, match="its task is compare, which leaves no runs; see table"):
        list(other)


@pytest.mark.slow
def test_on_this_machine(tmp_path: Path) -> None:
    """Two runs for real: what each point says is what its own folder says, and the seeds differ."""
    campaign = campaign_of(tmp_path, grid={"sampling.seed": [1, 2]}, run={"workers": 1})
    assert campaign.run().counts()["done"] == 2
    scores = [result.final.r_chi["sq"] for _, result in campaign]
    assert scores == [row["sq r_chi_final"] for row in campaign.table]
    assert scores[0] != scores[1]
