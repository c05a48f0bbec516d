"""Time to the first frame of argon: `refine run` with an empty cache of programs, again, and of another checkout.

    python experiments/benchmarks/startup.py [--against CHECKOUT] [--repeats 5]

Each run is a process of its own, on experiments/argon/study.toml with an equilibration of one frame: the clock runs
from the start of the process to the line with which the next stage begins, when that frame has been reported. Runs take
turns, so that other work on the machine is on all of them; the ratio is what counts. Seconds of the processor, which
other work stretches less, stand beside them. --against: a checkout of another commit, as `git worktree add` makes it,
which is run in its folder with the same interpreter.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parents[2]
FIRST_FRAME = "sampling the base model"


def seconds(checkout: Path, cache: Path) -> tuple[float, float]:
    """From the start of `refine run` of a checkout to its first frame: on the clock, and of the processor."""
    with tempfile.TemporaryDirectory() as out:
        words = ["run", str(checkout / "experiments/argon/study.toml"), "--out", str(Path(out) / "argon")]
        words += ["--set", "sampling.equilibration=0.2"]  # ps: one frame
        environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
        environment |= {"PYTHONPATH": str(checkout), "REFINE_CACHE": str(cache), "PYTHONUNBUFFERED": "1"}
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen(
            [sys.executable, "-m", "refine", *words],
            cwd=checkout,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        lines: list[str] = []
        taken = None
        for line in process.stdout:
            lines.append(line)
            if FIRST_FRAME in line:
                taken = time.perf_counter() - begun
                process.kill()
        process.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if taken is None:
        raise SystemExit("".join(lines) + "\nthe run ended before its first frame")
    return taken, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout to run beside this one")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    runs = {"first run": HERE, "second run": HERE}
    if given.against:
        runs["the other checkout"] = given.against.resolve()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(given.repeats):
        with tempfile.TemporaryDirectory() as cache:
            for name, checkout in runs.items():
                taken[name].append(seconds(checkout, Path(cache)))
    print("| to the first frame | seconds, least | median | ratio | of the processor, median | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    second = np.array(taken["second run"])
    for name, values in taken.items():
        of_clock, of_processor = np.array(values).T
        ratios = np.median(np.array(values) / second, axis=0)
        print(
            f"| {name} | {of_clock.min():.1f} | {np.median(of_clock):.1f} | {ratios[0]:.1f} "
            f"| {np.median(of_processor):.1f} | {ratios[1]:.1f} |"
        )


if __name__ == "__main__":
    main()
