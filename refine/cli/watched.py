"""A command as a campaign starts it, `python -m refine.cli.watched LIMITS WORDS...`.

It holds a folder, ends with whoever started it, stops before its time is up, and stays within its memory and cores.
LIMITS is JSON, of `refine.campaign.jobs`.
"""

from __future__ import annotations

import _thread
import json
import os
import resource
import select
import signal
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from refine.campaign.jobs import HELD, STOPPED, TOO_MUCH
from refine.cli.common import EXHAUSTED, INPUT_ERROR, NOT_IMPROVED
from refine.errors import CheckpointError
from refine.files import exclusive

INTERVAL = 0.5
"""Seconds between looks at the limits."""


class Watch(threading.Thread):
    """Looks at the limits while the command runs.

    limits: as `refine.campaign.jobs.carry_out` gives them. stopped: whether the command was asked to stop.
    """

    def __init__(self, limits: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.limits, self.began, self.stopped = limits, time.monotonic(), False

    def run(self) -> None:
        """Until the process ends, or is ended."""
        limits = self.limits
        while True:
            if select.select([limits["alive"]], [], [], INTERVAL)[0]:  # the other end is closed: nobody waits any more
                end_programs()
                os.kill(os.getpid(), signal.SIGKILL)
            if limits["memory"] is not None and (used := peak_memory() + sum(programs().values())) > limits["memory"]:
                gib = f"{used / 2**30:.2f} GiB of memory, and {limits['memory'] / 2**30:g} are allowed"
                print(f"refine: the task took {gib}; give [run] memory", file=sys.stderr, flush=True)
                end_programs()
                os._exit(TOO_MUCH)
            if limits["walltime"] is None:
                continue
            left = limits["walltime"] - (time.monotonic() - self.began)
            if left < 0:
                end_programs()
                os._exit(STOPPED)
            if left < limits["grace"] and not self.stopped:
                self.stopped = True
                _thread.interrupt_main()


def peak_memory() -> int:
    """Bytes that this process alone has had in memory at once."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def programs() -> dict[int, int]:
    """Processes that this one has started, those of MPI say, and that these have: by number, how many bytes they have
    in memory now. Empty where the system has no /proc."""
    parents, bytes_of = dict[int, int](), dict[int, int]()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:  # number (name) state parent ... and the 24th is pages in memory; the name may hold anything
            words = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        number = int(entry.parent.name)
        parents[number], bytes_of[number] = int(words[1]), int(words[21]) * resource.getpagesize()
    found, first = set[int](), {os.getpid()}
    while first:
        first = {number for number, parent in parents.items() if parent in first}
        found |= first
    return {number: bytes_of[number] for number in found}


def end_programs() -> None:
    """End what this process has started, which would go on for nobody."""
    for number in programs():
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def main() -> None:
    """Entry point."""
    limits = json.loads(sys.argv[1])
    sys.argv = ["refine", *sys.argv[2:]]
    if limits["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, limits["cores"])
    watch = Watch(limits)
    watch.start()
    with ExitStack() as held:
        _hold(held, Path(limits["folder"]), limits["patience"])
        from refine.cli.main import main as command

        code = 1
        try:
            command()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except KeyboardInterrupt:
            pass
        sys.stdout.flush()
        good = code in (0, INPUT_ERROR, NOT_IMPROVED, EXHAUSTED)
        sys.exit(STOPPED if watch.stopped and not good else code)


def _hold(held: ExitStack, folder: Path, patience: float) -> None:
    """Hold a folder, which a task that is just being ended may still hold."""
    give_up = time.monotonic() + patience
    while True:
        try:
            held.enter_context(exclusive(folder))
            return
        except CheckpointError as error:
            waiting = isinstance(error.__cause__, BlockingIOError)
            if not waiting or time.monotonic() > give_up:
                print(f"refine: {error}", file=sys.stderr)
                sys.exit(HELD if waiting else INPUT_ERROR)
            time.sleep(INTERVAL)


if __name__ == "__main__":
    main()
