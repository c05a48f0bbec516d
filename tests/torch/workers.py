"""What a process that is timed by experiments/benchmarks/mace.py does, whichever library it uses.

Needs nothing but the standard library, so that both interpreters can import it. Commands come as lines on the standard
input, answers go as lines of JSON to the standard output:

    time NAME SECONDS   evaluate at least twice and for that long: the shortest times, of the clock and of the
                        processor (all threads together), in seconds
    memory              MiB, see `Memory`
    save PATH           write energy and forces
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Memory:
    """Of this process, beyond what it held when everything was loaded and nothing was evaluated yet, MiB.

    first: the most it held until the second evaluation began: with whatever is compiled and set up then.
    later: the most it held since.

    On Linux these are the kernel's own record of the largest resident size (VmHWM, which is ru_maxrss without what the
    parent process held), reset after the first evaluation; elsewhere ru_maxrss, so that `later` includes `first`.
    """

    loaded: float
    first: float = 0.0
    later: float = 0.0

    @classmethod
    def begin(cls) -> Memory:
        _forget_peak()
        return cls(_megabytes("VmRSS"))

    def after_first(self) -> None:
        self.first = _megabytes("VmHWM") - self.loaded
        _forget_peak()

    def finish(self) -> dict[str, float]:
        self.later = _megabytes("VmHWM") - self.loaded
        return {"first": self.first, "later": self.later}


def serve(
    tasks: dict[str, Callable[[], object]],
    save: Callable[[Path], None],
    memory: Callable[[], dict[str, float]] | None = None,
) -> None:
    """Answer commands until there are no more. The task named "forces" is evaluated once beforehand.

    tasks: each evaluates once and returns when the result is there.
    memory: where the memory that counts is that of an accelerator.
    """
    record = Memory.begin()
    tasks["forces"]()
    record.after_first()
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "time":
            answer: object = best(tasks[arguments[0]], float(arguments[1]))
        elif command == "memory":
            answer = record.finish() if memory is None else memory()
        elif command == "save":
            save(Path(arguments[0]))
            answer = arguments[0]
        else:
            raise SystemExit(f"no command is called {command}")
        print(json.dumps(answer), flush=True)


def best(task: Callable[[], object], seconds: float) -> list[float]:
    """The shortest of at least two evaluations, by the clock and by the processor."""
    found: list[tuple[float, float]] = []
    start = time.perf_counter()
    while len(found) < 2 or time.perf_counter() - start < seconds:
        begin = time.perf_counter(), time.process_time()
        task()
        found.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    return [min(times) for times in zip(*found, strict=True)]


def _megabytes(field: str) -> float:
    if STATUS.exists():
        (kilobytes,) = (line.split()[1] for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
        return int(kilobytes) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _forget_peak() -> None:
    if STATUS.exists():
        CLEAR.write_text("5")
