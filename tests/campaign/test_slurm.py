"""A campaign under Slurm, by the site file that ships: collected where a controller answers (conftest.py)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from refine.campaign.executors import Local
from refine.campaign.keys import CampaignConfig
from refine.campaign.standing import read_standing
from refine.tasks.campaign import campaign
from tests import small_box

ROOT = Path(__file__).parents[2]
SITE = ROOT / "experiments" / "sites" / "slurm.py"
CAMPAIGN = 'study = "study.toml"\n[grid]\n"sampling.seed" = [1, 2]\n[run]\nwalltime = "00:10:00"\n'
ENVIRONMENT = f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={ROOT}"


def site_file(folder: Path) -> Path:
    """The one that ships, for one task at a time on one node of the partition that is the default."""
    text = SITE.read_text(encoding="utf-8")
    for old, new in (
        ('account="ACCOUNT"', "account=None"),
        ('partition="PARTITION"', "partition=None"),
        ("source PATH/TO/VENV/bin/activate", ENVIRONMENT),
        ("max_workers_per_node=16", "max_workers_per_node=1"),
        ("cores_per_worker=4", "cores_per_worker=1"),
        ("nodes_per_block=4", "nodes_per_block=1"),
        ("max_blocks=10", "max_blocks=1"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "site.py").write_text(text, encoding="utf-8")
    return folder / "site.py"


def start(folder: Path, out: Path) -> subprocess.Popen[bytes]:
    words = ["campaign", str(folder / "campaign.toml"), "--out", str(out), "--executor", str(site_file(folder))]
    command = [sys.executable, "-m", "refine", *words, "--resume"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)


def running_jobs(out: Path) -> list[str]:
    """Numbers of those whose scripts lie in the campaign's folder."""
    words = ["squeue", "--noheader", "--states=RUNNING", "--Format=JobID:20,Command:1000"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in told.splitlines()]
    return [row[0] for row in rows if row[1].startswith(str(out.resolve()))]


def until(true: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_job_that_is_cancelled_costs_nothing_but_time(tmp_path: Path) -> None:
    """Cancelled within a run, the campaign killed too, and taken up again: the table of this machine, byte by byte."""
    small_box.write(tmp_path)
    (tmp_path / "campaign.toml").write_text(CAMPAIGN)
    config = CampaignConfig.from_toml(tmp_path / "campaign.toml")
    whole, out = tmp_path / "whole", tmp_path / "slurm"
    campaign(config, whole, lambda: Local(config.run))

    process = start(tmp_path, out)
    until(lambda: list(out.glob("points/*/run/run.h5")), 300.0)
    (job,) = running_jobs(out)
    subprocess.run(["scancel", job], check=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert read_standing(out).counts()["done"] < 2
    assert start(tmp_path, out).wait(600.0) == 0
    assert (out / "table.csv").read_bytes() == (whole / "table.csv").read_bytes()
    until(lambda: not running_jobs(out), 60.0)  # what was asked for is given back
