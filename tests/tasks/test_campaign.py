"""Campaigns: what is started, started again, and never again; the table of one that was killed."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from refine.campaign.executors import Site
from refine.campaign.jobs import HELD, STOPPED, TOO_MUCH, Ended, Job
from refine.campaign.keys import CampaignConfig
from refine.campaign.rows import table_of
from refine.campaign.standing import Standing, StepStanding, read_standing
from refine.errors import CheckpointError, InputError
from refine.files import is_held
from refine.tasks import campaign as engine
from refine.tasks.run.loop import run_study
from tests import small_box
from tests.listening import Told

GRID = {"system.number_density": [0.0205, 0.02125], "states.85K.temperature": [85.0, 95.0]}


class Stub:
    """Ends each task at once, as a function says."""

    workers = 2

    def __init__(self, end: Callable[[Job], int]) -> None:
        self.end, self.jobs, self.closed = end, [], False  # type: ignore[var-annotated]

    def submit(self, job: Job) -> Future[Ended]:
        self.jobs.append(job)
        future: Future[Ended] = Future()
        try:
            future.set_result(Ended(self.end(job), 1.0, "the last word"))
        except Exception as error:
            future.set_exception(error)
        return future

    def running(self) -> int:
        return 0

    def broken(self) -> str:
        return ""

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """result.json of the small box, which stands for what a task leaves."""
    import refine

    folder = tmp_path_factory.mktemp("finished")
    study = refine.Study.from_toml(small_box.write(folder))
    run_study(study, folder / "out")
    return folder / "out" / "result.json"


def config_of(folder: Path, **tables: Any) -> CampaignConfig:
    small_box.write(folder)
    return CampaignConfig.parse({"study": "study.toml", "grid": GRID, **tables}, folder)


def carry_out(config: CampaignConfig, out: Path, end: Callable[[Job], int], **more: Any) -> tuple[Standing, Stub]:
    stub = Stub(end)
    return engine.campaign(config, out, lambda: stub, **more), stub


def leaving(result: Path, code: int = 0) -> Callable[[Job], int]:
    """A task that leaves a result, at the temperature and density of its point."""

    def end(job: Job) -> int:
        out = Path(job.folder) / "run"
        out.mkdir(exist_ok=True)
        temperature = float(re.findall(r"temperature-([0-9.]+)", job.name)[0])
        tree = json.loads(result.read_text())
        for one in tree["correction"]:
            one["temperature"], one["phi"] = temperature, [temperature / 85 * x for x in one["phi"]]
        (out / "result.json").write_text(json.dumps(tree))
        return code

    return end


def test_a_table_and_a_page(finished: Path, tmp_path: Path) -> None:
    standing, stub = carry_out(config_of(tmp_path), tmp_path / "out", leaving(finished, 4))
    assert standing.counts() == {"done": 4, "waiting": 0, "failed": 0}
    assert stub.closed
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").open(encoding="utf-8")))
    assert [(row["number_density"], row["temperature"]) for row in rows] == [
        ("0.0205", "85"),
        ("0.0205", "95"),
        ("0.02125", "85"),
        ("0.02125", "95"),
    ]
    after = json.loads(finished.read_text())["final"]["r_chi"]["sq"]
    assert all(float(row["sq r_chi_final"]) == pytest.approx(after, rel=1e-7) for row in rows)
    page = (tmp_path / "out" / "campaign.html").read_text(encoding="utf-8")
    figures = json.loads(re.findall(r'id="figures">(.*?)</script>', page, re.DOTALL)[0])
    kinds = [figure["id"].split("-")[0] for figure in figures]
    assert set(kinds) == {"map", "phi", "trend"}
    grid = next(figure for figure in figures if figure["id"].startswith("map"))["data"][0]
    assert len(grid["x"]) == 4
    assert grid["marker"]["color"] == pytest.approx([after] * 4)
    phi = next(figure for figure in figures if figure["id"].startswith("phi"))["data"]
    names = ["85 K, 0.0205", "85 K, 0.02125", "95 K, 0.0205", "95 K, 0.02125"]
    assert sorted({line["name"] for line in phi}) == names
    assert {(line["name"][6:], line["line"]["dash"]) for line in phi} == {("0.0205", "solid"), ("0.02125", "dash")}
    again, untouched = carry_out(config_of(tmp_path), tmp_path / "out", leaving(finished), resume=True)
    assert untouched.jobs == []
    assert again.counts()["done"] == 4


def test_parquet(finished: Path, tmp_path: Path) -> None:
    """The same table."""
    import pyarrow.parquet

    carry_out(config_of(tmp_path), tmp_path / "out", leaving(finished))
    table = pyarrow.parquet.read_table(tmp_path / "out" / "table.parquet").to_pylist()
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").open(encoding="utf-8")))
    assert [row["point"] for row in table] == [row["point"] for row in rows]
    assert [row["sq r_chi_final"] for row in table] == pytest.approx([float(row["sq r_chi_final"]) for row in rows])


def test_one_bad_point_fails_alone(finished: Path, tmp_path: Path) -> None:
    """One that no study allows is never started; one that its command refuses is not tried again."""
    config = config_of(tmp_path, grid={"system.number_density": [0.02, -1.0, 0.021], "states.85K.temperature": [85.0]})
    good = leaving(finished)
    standing, stub = carry_out(config, tmp_path / "out", lambda job: 2 if "0.021" in job.name else good(job))
    assert [point.ending for point in standing.points] == ["done", "input", "input"]
    assert len(stub.jobs) == 2
    (_, _, early), (_, task, late) = standing.failures()
    assert "number_density = -1.0 should be greater than 0" in early
    assert (task, late) == ("run", "the last word")
    page = (tmp_path / "out" / "campaign.html").read_text(encoding="utf-8")
    assert "the last word" in page


def test_faults_of_machines_are_tried_again(finished: Path, tmp_path: Path) -> None:
    """As often as allowed, those that did not come further; whatever an executor raises is one."""
    good, seen = leaving(finished), []

    def end(job: Job) -> int:
        seen.append(job.name)
        if "0.0205" in job.name:
            return -9
        if seen.count(job.name) == 1:
            raise RuntimeError("the node is gone")
        return good(job)

    standing, _ = carry_out(config_of(tmp_path, run={"retries": 1}), tmp_path / "out", end)
    assert [point.ending for point in standing.points] == ["machine", "machine", "done", "done"]
    assert [point.steps[0].starts for point in standing.points] == [2, 2, 2, 2]
    assert "signal 9" in standing.failures()[0][2]


def test_a_site_that_takes_no_tasks_any_more_is_no_fault_of_its_points(finished: Path, tmp_path: Path) -> None:
    """One line, and not one a point; what was not done waits for --resume."""
    good = leaving(finished)

    class Breaks(Stub):
        def broken(self) -> str:
            return "JobError: no such partition" if len(self.jobs) > 2 else ""

    def end(job: Job) -> int:
        if len(stub.jobs) > 2:
            raise RuntimeError("JobError:\n no such partition")
        return good(job)

    stub = Breaks(end)
    with pytest.raises(InputError, match=r"^site.py: takes no tasks any more .* no such partition.*--resume$"):
        engine.campaign(config_of(tmp_path), tmp_path / "out", lambda: stub, executor="site.py")
    assert stub.closed
    assert read_standing(tmp_path / "out").counts() == {"done": 2, "waiting": 2, "failed": 0}
    standing, _ = carry_out(config_of(tmp_path), tmp_path / "out", good, resume=True)
    assert standing.counts()["done"] == 4


def test_a_task_that_comes_further_is_queued_as_often_as_it_takes(finished: Path, tmp_path: Path) -> None:
    """By walltimes or by faults; and it goes on."""
    good, seen = leaving(finished), []

    def end(job: Job) -> int:
        seen.append(job.words)
        out = Path(job.folder) / "run"
        out.mkdir(exist_ok=True)
        if len(seen) < 9:
            (out / "new.h5").write_text(str(len(seen)))
            (out / "new.h5").replace(out / "run.h5")
            return STOPPED if len(seen) % 2 else -15
        return good(job)

    grid = {"states.85K.temperature": [85.0]}
    standing, _ = carry_out(config_of(tmp_path, grid=grid, run={"retries": 0}), tmp_path / "out", end)
    (step,) = standing.points[0].steps
    assert (step.ending, step.starts, step.stops, step.faults) == ("done", 9, 4, 0)
    assert set(seen) == {("run", "study.toml", "--out", "run", "--continue")}


def test_what_a_point_took_is_counted_over_all_starts_of_the_campaign(finished: Path, tmp_path: Path) -> None:
    """And faults are those of one start of it: what failed is tried as often again."""
    config = config_of(tmp_path, grid={"states.85K.temperature": [85.0]}, run={"retries": 1})
    carry_out(config, tmp_path / "out", lambda _: -9)
    ended = [0, -9]
    standing, _ = carry_out(config, tmp_path / "out", lambda job: ended.pop() or leaving(finished)(job), resume=True)
    (step,) = standing.points[0].steps
    assert (step.ending, step.starts, step.seconds, step.faults) == ("done", 4, 4.0, 1)


@pytest.mark.parametrize(
    ("code", "moved", "keeps", "ending"),
    [
        (0, True, True, "done"),
        (3, True, True, "done"),
        (4, True, True, "done"),
        (2, True, True, "input"),
        (TOO_MUCH, True, True, "input"),
        (STOPPED, True, True, "waiting"),
        (STOPPED, False, True, "machine"),
        (STOPPED, False, False, "input"),
        (HELD, False, True, "machine"),
        (1, False, True, "machine"),
        (-9, True, True, "waiting"),
    ],
)
def test_how_an_end_is_judged(code: int, moved: bool, keeps: bool, ending: str) -> None:
    step = StepStanding(task="run")
    engine.judge(step, Ended(code, 1.0, "why"), moved=moved, keeps=keeps, retries=0)
    assert step.ending == ending
    assert (step.line == "") == (ending == "done")


def test_tasks_of_a_point_wait_for_one_another(tmp_path: Path) -> None:
    """And none follows one that failed."""
    grid = {"states.85K.temperature": [85.0, 95.0]}
    config = config_of(tmp_path, grid=grid, run={"task": ["prepare", "run", "compare"]})
    standing, stub = carry_out(config, tmp_path / "out", lambda job: 2 if "95.0: run" in job.name else 0)
    assert [job.name.split(": ")[1] for job in stub.jobs if "85.0" in job.name] == ["prepare", "run", "compare"]
    assert [job.name.split(": ")[1] for job in stub.jobs if "95.0" in job.name] == ["prepare", "run"]
    assert [point.ending for point in standing.points] == ["done", "input"]


def test_progress_counts_tasks_and_those_that_are_never_started(tmp_path: Path) -> None:
    """Of four points one is refused, and one fails in the first of two tasks."""
    grid = GRID | {"states.85K.temperature": [85.0, -1.0]}
    run, told = {"task": ["prepare", "compare"]}, Told()
    config = config_of(tmp_path, grid=grid, run=run)
    end = lambda job: 2 if "0.0205" in job.name and "prepare" in job.name else 0  # noqa: E731
    carry_out(config, tmp_path / "out", end, progress=told)
    # the two at -1 K count as one task each
    assert ("campaign", 6, 6) in told.stages
    assert not any("left" in line for line in told.lines)


def test_what_is_done_is_not_mixed_with_another_study(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    carry_out(config_of(tmp_path), out, leaving(finished))
    with pytest.raises(CheckpointError, match="holds a campaign; go on with it by --resume"):
        carry_out(config_of(tmp_path), out, leaving(finished))
    config = config_of(tmp_path, grid={**GRID, "states.85K.temperature": [85.0, 95.0, 105.0]})
    standing, stub = carry_out(config, out, leaving(finished), resume=True)
    assert (len(stub.jobs), standing.counts()["done"]) == (2, 6)
    config = config_of(tmp_path)
    (tmp_path / "study.toml").write_text(small_box.STUDY.replace("sigma = 3.38", "sigma = 3.39"))
    with pytest.raises(CheckpointError, match="was made of another study"):
        carry_out(config, out, leaving(finished), resume=True)


def test_an_interruption_keeps_what_is_done(finished: Path, tmp_path: Path) -> None:
    good, seen = leaving(finished), []

    class Stops(Told):
        def message(self, text: str) -> None:
            seen.append(text)
            if "2 of 4 points done" in text:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(config_of(tmp_path), tmp_path / "out", good, progress=Stops())
    assert read_standing(tmp_path / "out").counts() == {"done": 2, "waiting": 2, "failed": 0}
    _, stub = carry_out(config_of(tmp_path), tmp_path / "out", good, resume=True)
    assert len(stub.jobs) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', "[" * 5000, '{"format": 99}', "\x00\x01"])
def test_a_damaged_record_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "campaign.json").write_text(text)
    with pytest.raises(InputError) as error:
        read_standing(tmp_path)
    assert "\n" not in str(error.value)


def test_no_record_leads_out_of_its_folder(tmp_path: Path) -> None:
    standing = {"title": "", "study": "", "tasks": ["run"], "points": [{"name": "../../etc"}]}
    (tmp_path / "campaign.json").write_text(json.dumps(standing))
    with pytest.raises(InputError, match="damaged"):
        read_standing(tmp_path)


def test_what_cannot_be_read_is_told_and_left_out(finished: Path, tmp_path: Path) -> None:
    def end(job: Job) -> int:
        leaving(finished)(job)
        if "0.0205" in job.name:
            (Path(job.folder) / "run" / "result.json").write_text("{")
        return 0

    told = Told()
    carry_out(config_of(tmp_path), tmp_path / "out", end, progress=told)
    rows = engine.rows_of(read_standing(tmp_path / "out"), tmp_path / "out")
    assert [bool(row.unread) for row in rows] == [True, True, False, False]
    assert len(table_of(rows)[1]) == 4


TWELVE = """
study = "study.toml"
[grid]
"system.number_density" = [0.0205, 0.0209, 0.02125]
"states.85K.temperature" = [85.0, 95.0]
"sampling.seed" = [1, 2]
[run]
workers = 2
"""


def start(folder: Path, out: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "refine", "campaign", str(folder / "campaign.toml"), "--out", str(out), *words]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=Path(__file__).parents[2])


HTEX = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

provider = LocalProvider(launcher=SimpleLauncher(), init_blocks=1, max_blocks=1)
executor = HighThroughputExecutor(max_workers_per_node=2, address="127.0.0.1", provider=provider, cpu_affinity="block")
config = Config(executors=[executor], strategy="none")
"""


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a campaign of twelve points, and a thirteenth at a density where the correction does not fit into
    the box; `whole` is where two local workers carried it out."""
    folder = tmp_path_factory.mktemp("twelve")
    small_box.write(folder).write_text(small_box.STUDY.replace("iterations = 2", "iterations = 1"))
    leave = '[select]\nleave_out = [{ "system.number_density" = 0.5, "sampling.seed" = 2 }, '
    leave += '{ "system.number_density" = 0.5, "states.85K.temperature" = 95.0 }]\n'
    (folder / "campaign.toml").write_text(TWELVE.replace("0.02125]", "0.02125, 0.5]") + leave)
    (folder / "site.py").write_text(HTEX)
    assert start(folder, folder / "whole").wait() == 2
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("executor", ["local", "site.py"])
def test_killed_three_times_it_ends_with_the_same_table(twelve: Path, executor: str) -> None:
    """By local workers, and by Parsl's executor for clusters on this machine: the table of one that nobody killed."""
    killed, words = twelve / f"killed-{executor}", ("--resume", "--executor", executor)
    words = words if executor == "local" else (*words[:2], str(twelve / executor))
    moments = random.Random(7)
    for _ in range(3):
        process = start(twelve, killed, *words)
        time.sleep(moments.uniform(8.0, 25.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not is_held(killed)
    assert start(twelve, killed, *words).wait() == 2
    assert (killed / "table.csv").read_bytes() == (twelve / "whole" / "table.csv").read_bytes()
    standing = read_standing(killed)
    assert standing.counts() == {"done": 12, "waiting": 0, "failed": 1}
    ((point, task, line),) = standing.failures()
    assert (point.values["system.number_density"], task) == (0.5, "run")
    assert "r_cut" in line or "box" in line


NO_PARTITION = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import SlurmProvider

provider = SlurmProvider(partition="nope", init_blocks=0, min_blocks=0, max_blocks=1, walltime="00:01:00")
config = Config(executors=[HighThroughputExecutor(address="127.0.0.1", provider=provider)], strategy="simple")
"""


@pytest.mark.slow
def test_jobs_that_a_scheduler_does_not_take_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition that is not there; what Slurm's programs answer is theirs, and not Slurm's."""
    small_box.write(tmp_path)
    (tmp_path / "site.py").write_text(NO_PARTITION)
    (programs := tmp_path / "bin").mkdir()
    for name in ("sbatch", "squeue", "sacct", "scancel"):
        (programs / name).write_text("#!/bin/sh\necho sbatch: error: invalid partition specified: nope >&2\nexit 1\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    config = CampaignConfig.parse({"study": "study.toml", "grid": GRID}, tmp_path)
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"takes no tasks any more .*invalid partition specified: nope"):
        engine.campaign(config, out, lambda: Site(tmp_path / "site.py", out / "parsl"), executor="site.py")
    assert read_standing(out).counts() == {"done": 0, "waiting": 4, "failed": 0}
