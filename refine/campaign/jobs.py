"""One task of a campaign in a process of its own, wherever it is started.

The process is `python -m refine.cli.watched`, which holds the point's folder, ends with whoever started it, stops in
time, and stays within its memory. What escapes from it, a crash of a library included, hurts nobody else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

WATCHED = "refine.cli.watched"

STOPPED, TOO_MUCH, HELD = 75, 76, 77
"""Exit codes of the watched process besides those of the command: its time was up and it has stopped; it took more
memory than it may; another process kept holding the folder."""

PATIENCE = 150.0
"""Seconds that a task waits for another one to let go of its folder: a site's workers notice only after two minutes of
silence that a campaign was killed, and end their tasks then (heartbeat_threshold of Parsl)."""

GRACE = 120.0
"""Seconds before its walltime at which a task is asked to stop, or a tenth of the walltime, whichever is less."""

LINE = 400
"""Characters that are kept of the line that says why a task failed."""


@dataclass(frozen=True)
class Job:
    """A task to be carried out.

    Attributes:
        name: of the point, and the task.
        folder: absolute; the command runs there, and the log is in it.
        words: behind `refine`.
        log: name of the file that is appended to.
        threads: that it may start.
        walltime: s; None: without end.
        memory: bytes; None: without limit.
        cores: that it is pinned to; None: those of whoever starts it.
    """

    name: str
    folder: str
    words: tuple[str, ...]
    log: str
    threads: int = 1
    walltime: float | None = None
    memory: int | None = None
    cores: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Ended:
    """How a task ended.

    code: of its process; negative: the signal that ended it.  seconds: that it took.  line: what it said last, of a
    refusal the refusal.
    """

    code: int
    seconds: float
    line: str = ""


def carry_out(job: Job, started: Callable[[subprocess.Popen[bytes]], None] | None = None) -> Ended:
    """Start a task, and wait for its end.

    Nothing is raised for a task that fails. started: told of the process.

    Raises:
        OSError: no process can be started, or no log be written.
    """
    alive, held = os.pipe()
    began, log = time.monotonic(), Path(job.folder) / job.log
    limits = {
        "alive": alive,
        "folder": job.folder,
        "patience": PATIENCE,
        "walltime": job.walltime,
        "grace": None if job.walltime is None else min(GRACE, 0.1 * job.walltime),
        "memory": job.memory,
        "cores": job.cores,
    }
    command = [sys.executable, "-P", "-m", WATCHED, json.dumps(limits), *job.words]
    try:
        with log.open("ab") as stream:
            begin = stream.tell()
            process = subprocess.Popen(
                command,
                cwd=job.folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=_environment(job.threads),
                pass_fds=(alive,),
                start_new_session=True,  # Ctrl-C is for the campaign, which tells its tasks
            )
        os.close(alive)
        alive = -1
        if started is not None:
            started(process)
        code = process.wait()
    finally:
        os.close(held)  # the process ends when nobody holds this end any more
        if alive >= 0:
            os.close(alive)
    return Ended(code, time.monotonic() - began, last_line(log, begin))


def _environment(threads: int) -> dict[str, str]:
    """As here, with so many threads of linear algebra and of XLA's on a processor (NPROC)."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")
    return {**os.environ, **dict.fromkeys(names, str(threads))}


def last_line(log: Path, begin: int = 0) -> str:
    """The last line of a log behind a position, or the last that is an error of refine."""
    try:
        with log.open("rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(begin, end - 16 * 1024))
            lines = [line for line in stream.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return ""
    errors = [line.removeprefix("refine: ") for line in lines if line.startswith("refine: ")]
    said = (errors or lines or [""])[-1]
    return in_one_line(said)


def in_one_line(text: str) -> str:
    """What a program or library said, as far as a line holds it.

    >>> in_one_line("Error 1:\\n\\tno such partition\\n")
    'Error 1: no such partition'
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:LINE]


def in_words(code: int, line: str) -> str:
    """What is said of a task that did not end well."""
    if code < 0:
        return f"the process was ended by signal {-code}" + (f"; last line: {line}" if line else "")
    if code == TOO_MUCH:
        return line
    return line or f"the process ended with code {code}"
