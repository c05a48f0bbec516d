"""How straight the steps of finished runs were: what `STRAIGHT` of refine/refinement/responses/tangent.py is chosen by.

    python experiments/gauntlet/bent.py runs/gauntlet/ternary/run ...

A line for each step of gauss-newton in a liquid: what the closure finds bent of it, in units of what is linear, the
gain (actual over predicted decrease of chi^2), and what was believed of the step before it was made.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import refine
from refine import Study
from refine.progress import NullProgress
from refine.refinement.inference.linearisation import by_state
from refine.refinement.responses.combined import Combined
from refine.tasks.run.loop import Run


def steps(folder: Path) -> list[tuple[int, float, float | None, str]]:
    """(iteration, bent, gain, words) of every step of a run."""
    run = Run(Study.from_toml(folder / "study.toml"), folder, resume=True, overwrite=False, progress=NullProgress())
    problem, samples, rows = run.study.problem, run.samples, refine.open(folder).iterations
    found = []
    for k in range(1, min(len(samples), len(rows))):
        begin = next(j for j in range(k - 1, -1, -1) if rows[j].accepted)
        correction = samples[begin].correction
        way = samples[k].correction.theta - correction.theta
        before = [*samples[:begin], *samples[begin + 1 : k], samples[begin]]
        bent = max(Combined(problem, before, s, correction, targets).bent(way) for s, targets in by_state(problem))
        found.append((k, bent, rows[k].gain, rows[k - 1].reason))
    return found


def main() -> None:
    """Print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    for folder in parser.parse_args().runs:
        print(folder)
        for iteration, bent, gain, words in steps(folder):
            believed = next((name for name in ("linear response", "the closure") if f"{name} is believed" in words), "")
            print(f"{iteration:3d}  bent {bent:5.2f}  gain {'' if gain is None else f'{gain:6.2f}'}  {believed}")


if __name__ == "__main__":
    main()
