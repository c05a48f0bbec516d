"""Who carries tasks out: processes of this machine, or a site that Parsl knows."""

from __future__ import annotations

import os
import queue
import runpy
import signal
import subprocess
import sysconfig
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from refine.campaign.jobs import Ended, Job, carry_out, in_one_line
from refine.campaign.keys import Execution
from refine.campaign.orphans import ending_with_this
from refine.errors import InputError

LOCAL = "local"
"""The word for this machine."""

PARSL = "parsl"
"""Folder of Parsl's logs in that of the campaign."""


class Executor(Protocol):
    """Carries tasks out, several at a time."""

    workers: int | None
    """Tasks at a time; None: not known."""

    def submit(self, job: Job) -> Future[Ended]:
        """Carry a task out when there is room; what the future raises is a fault of machines."""

    def running(self) -> int:
        """How many tasks are being carried out now."""

    def broken(self) -> str:
        """Why no task can be carried out any more, whichever it is; empty while they can."""

    def close(self) -> None:
        """End what runs, and take no more."""


class Local:
    """Processes of this machine, each on cores of its own where the system can pin them.

    Raises:
        InputError: not even one task has enough cores or memory.
    """

    def __init__(self, keys: Execution) -> None:
        cores, pinned = available_cores()
        room = {"cores": len(cores) // keys.cores}
        if keys.memory is not None:
            room["memory"] = int(physical_memory() / 2**30 / keys.memory)
        for word, number in room.items():
            if number < 1:
                has = f"{len(cores)} cores" if word == "cores" else f"{physical_memory() / 2**30:.1f} GiB"
                raise InputError(
                    f"asks for {getattr(keys, word):g} of the {has} that there are",
                    where=f"[run] {word}",
                    fix="ask for less",
                )
        self.workers: int | None = keys.workers or min(room.values())
        self._slots: queue.SimpleQueue[tuple[int, ...] | None] = queue.SimpleQueue()
        for k in range(self.workers):
            # more workers than cores suffice for share them all
            own = tuple(cores[k * keys.cores : (k + 1) * keys.cores])
            self._slots.put(own if pinned and self.workers <= room["cores"] else None)
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="campaign")
        self._lock, self._closed = threading.Lock(), False
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._given = 0

    def submit(self, job: Job) -> Future[Ended]:
        """See `Executor`."""
        with self._lock:
            self._given += 1
        future = self._pool.submit(self._carry_out, job)
        future.add_done_callback(self._ended)
        return future

    def running(self) -> int:
        """See `Executor`: as many as there are workers for, also while one goes from a task to the next."""
        with self._lock:
            return min(self._given, self.workers or 0)

    def broken(self) -> str:
        """See `Executor`: what fails here is a task."""
        return ""

    def close(self) -> None:
        """See `Executor`. A run has kept what it did until a few seconds ago."""
        with self._lock:
            self._closed = True
            for process in self._processes:
                process.send_signal(signal.SIGKILL)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _ended(self, _: Future[Ended]) -> None:
        with self._lock:
            self._given -= 1

    def _carry_out(self, job: Job) -> Ended:
        slot, mine = self._slots.get(), []

        def started(process: subprocess.Popen[bytes]) -> None:
            with self._lock:
                self._processes.add(process)
                mine.append(process)
                if self._closed:
                    process.send_signal(signal.SIGKILL)

        try:
            return carry_out(replace(job, cores=slot), started)
        finally:
            with self._lock:
                self._processes.difference_update(mine)
            self._slots.put(slot)


class Site:
    """What a site file says: a Python file of the user's own, whose `config` is a Config of Parsl.

    Raises:
        InputError: there is no Parsl, or the file has no such `config`.
    """

    def __init__(self, file: Path, logs: Path) -> None:
        kernel, app = _parsl()
        config = read_site(file)
        _find_programs()
        if config.run_dir == "runinfo":  # Parsl's default, in the folder that one happens to be in
            config.run_dir = str(logs)
        self.workers: int | None = None
        self._kernel = kernel(config)
        self._app: Callable[[Job], Future[Ended]] = app(carry_out, data_flow_kernel=self._kernel)
        interchanges = [getattr(one, "interchange_proc", None) for one in self._kernel.executors.values()]
        self._orphans = ending_with_this([process.pid for process in interchanges if process is not None])

    def submit(self, job: Job) -> Future[Ended]:
        """See `Executor`."""
        return self._app(job)

    def running(self) -> int:
        """See `Executor`: of what was given to the site's executors, as many as they have workers for."""
        total = 0
        for executor in self._kernel.executors.values():
            if callable(ask := getattr(executor, "connected_managers", None)):
                total += sum(manager["tasks"] for manager in ask())
        return total

    def broken(self) -> str:
        """See `Executor`: Parsl has given up on all executors of the site, whose jobs the scheduler does not take."""
        theirs = [one for label, one in self._kernel.executors.items() if label != "_parsl_internal"]
        if not theirs or not all(getattr(one, "bad_state_is_set", False) for one in theirs):
            return ""
        error = theirs[0].executor_exception
        return in_one_line(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """See `Executor`: jobs of the scheduler are given back."""
        self._kernel.cleanup()
        self._orphans.kill()
        self._orphans.wait()


def executor_named(name: str, keys: Execution, out: Path) -> Executor:
    """Who carries the tasks out that a campaign in `out` gives: this machine where it is "local", else a site file.

    Raises:
        InputError: the site file cannot be used, or not even one task has enough cores or memory.
    """
    return Local(keys) if name == LOCAL else Site(Path(name), out.resolve() / PARSL)


def read_site(file: Path) -> Any:
    """The Config of a site file, which is run for it.

    Raises:
        InputError: the file cannot be run, or has none.
    """
    where, fix = str(file), "see experiments/sites for examples"
    if not file.is_file():
        raise InputError("no such file", where=where, fix='give the path of a site file, or "local"')
    from parsl.config import Config

    try:
        config = runpy.run_path(str(file)).get("config")
    except (Exception, SystemExit) as error:  # whatever a file of the user's own raises
        raise InputError(f"{type(error).__name__}: {error}", where=where, fix=fix) from error
    if not isinstance(config, Config):
        raise InputError("has no variable config with a Config of Parsl", where=where, fix=fix)
    return config


def _parsl() -> tuple[Callable[..., Any], Callable[..., Any]]:
    try:
        import parsl
    except ImportError:
        raise InputError(
            "a site file needs Parsl, which is not installed",
            where="--executor",
            fix='python -m pip install "refine-potentials[campaign]"',
        ) from None
    return parsl.DataFlowKernel, parsl.python_app  # parsl.load allows one in a process, and a notebook may want two


def _find_programs() -> None:
    """Parsl starts programs of its own by their names, which lie beside this Python, activated or not."""
    beside, path = sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)
    if beside not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([beside, path])


def available_cores() -> tuple[Sequence[int], bool]:
    """Numbers of the cores that this process may use, and whether it may pin others to them."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0)), True
    return range(os.cpu_count() or 1), False


def physical_memory() -> int:
    """Bytes of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
