"""What a campaign itself needs for a point, without the point: `python experiments/benchmarks/campaign.py [POINTS]`.

The points are liquid argon with other seeds, and each task ends at once, so that planning, writing, judging and the
record are what is timed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path

from refine.campaign.jobs import Ended, Job
from refine.campaign.keys import CampaignConfig
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


def main() -> None:
    """Print the times of a point."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
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


if __name__ == "__main__":
    main()
