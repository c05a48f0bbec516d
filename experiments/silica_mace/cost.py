"""What a step of a study costs here with its model, and so a run: ask before swapping in a larger model.

    python experiments/silica_mace/cost.py STUDY [--set model.path=my.model] [--steps 26000]

STUDY: one that names the model. --set: as of `refine run`; paths are relative to the study. --steps: of the run; that
of this folder takes about as many. Times blocks of frames of the first state, lists and counts included, after
one in which programs are compiled. Memory is the most that the process has held, all of it.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

from refine import Study
from refine.errors import RefineError
from refine.sampling.starts import begin

TURNS = 3
"""Blocks of frames that are timed; the shortest counts."""


def main() -> None:
    """Sample a few frames, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--steps", type=int, default=26_000)
    asked = parser.parse_args()

    try:
        study = Study.from_toml(asked.study, asked.overrides)
    except RefineError as error:
        raise SystemExit(f"cost.py: {error}") from None
    field, sampler = study.samplers()[0]
    params, kelvin = field.params(study.initial_correction()), study.config.states[0].temperature
    frames = sampler.frames_per_block
    state, _ = sampler.run(begin(sampler, params, kelvin, 1), params, kelvin, frames)
    turns = []
    for _ in range(TURNS):
        began = time.monotonic()
        state, _ = sampler.run(state, params, kelvin, frames)
        turns.append(time.monotonic() - began)
    step = min(turns) / (frames * sampler.stride)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30
    print(
        f"{sampler.system.n_atoms} atoms: {1e3 * step:.1f} ms a step, so {asked.steps * step / 3600:.2f} h for "
        f"{asked.steps} steps; {held:.2f} GiB held at most"
    )


if __name__ == "__main__":
    main()
