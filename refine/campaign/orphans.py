"""Ends processes when the one that started this has ended, however it did: `python -m refine.campaign.orphans PID...`.

Parsl's interchange outlives a campaign that is killed: it would go on giving its tasks away, and keep nodes for nobody.
Once it is gone, workers miss it (heartbeat_threshold), end what they do, and with them their jobs end.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress


def ending_with_this(pids: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start what ends processes of these numbers when this one is gone; it ends nothing where it is ended before."""
    command = [sys.executable, "-P", "-m", "refine.campaign.orphans", *map(str, pids)]
    # a session of its own, so that Ctrl-C and a terminal that closes do not reach it
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def main() -> None:
    """Wait until nobody holds the other end of the standard input, then end them."""
    import psutil  # comes with Parsl; it knows a process from a later one of the same number

    processes = []
    for pid in map(int, sys.argv[1:]):
        with suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    sys.stdin.buffer.read()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    main()
