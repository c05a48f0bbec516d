"""What a campaign itself needs for a point, without the point: `python experiments/benchmarks/campaign.py [POINTS]`.

The points are liquid argon with other seeds, and each task ends at once, so that planning, writing, judging and the
record are what is timed. With `local` or a site file behind it, `campaign.py 20 SITE.py`, so many tasks are carried out
there, one after the other, that only say refine's version: what is timed is the way there and back, and how long a
process takes that does nothing.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path

from refine.campaign.executors import executor_named
from refine.campaign.jobs import Ended, Job
from refine.campaign.keys import CampaignConfig, Execution
from refine.campaign.standing import CAMPAIGN
from refine.tasks.campaign import campaign, plans_of

ARGON = Path(__file__).parents[1] / "argon"


class AtOnce:
    """Ends each task when it is given."""

    workers = None

    def submit(self, job: Job) -> Future[Ended]:
        """See `refine.campaign.executors.Executor`."""
        future: Future[Ended] = Future()
        future.set_result(Ended(2, 0.0, "nothing was started"))
        return future

    def running(self) -> int:
        """None."""
        return 0

    def close(self) -> None:
        """Nothing."""


def time_points(n: int) -> None:
    """Print the times of a point."""
    config = CampaignConfig.parse({"study": "study.toml", "grid": {"sampling.seed": list(range(n))}}, ARGON)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        began = time.perf_counter()
        plans_of(config, out)
        planned = time.perf_counter()
        campaign(config, out, AtOnce)
        seconds = (planned - began, time.perf_counter() - planned - (planned - began))
        size = (out / CAMPAIGN).stat().st_size
    print(f"{n} points; of each: planned in {1e3 * seconds[0] / n:.1f} ms; written, given, judged and shown in")
    print(f"{1e3 * seconds[1] / n:.1f} ms; {size / n:.0f} bytes of {CAMPAIGN}")


def time_tasks(n: int, name: str) -> None:
    """Print the times of tasks that do nothing. The first one waits for workers, and is told apart."""
    with tempfile.TemporaryDirectory(dir=".") as folder:  # which all nodes should see
        executor = executor_named(name, Execution(), Path(folder))
        try:
            job, rows = Job("version", str(Path(folder).resolve()), ("--version",), "log"), []
            for _ in range(n + 1):
                began = time.perf_counter()
                ended = executor.submit(job).result()
                if ended.code != 0:
                    raise SystemExit(f"a task ended with code {ended.code}: {ended.line}")
                rows.append((time.perf_counter() - began - ended.seconds, ended.seconds))
        finally:
            executor.close()
    way, process = (statistics.median(row[k] for row in rows[1:]) for k in (0, 1))
    print(f"{name}: the first task had a worker after {rows[0][0]:.1f} s; of {n} others, medians: there and back in")
    print(f"{1e3 * way:.1f} ms, in a process of {process:.2f} s")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        time_tasks(int(sys.argv[1]), sys.argv[2])
    else:
        time_points(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
