"""Scripts that are written for a trajectory besides those of LAMMPS."""

from __future__ import annotations

import json
import re
from pathlib import Path

from refine.sampling.files.script import CONTINUE, INPUT, LOG, RESTART, Wanted

TRAJECTORY = "trajectory.extxyz"
"""What `run_ase.py` writes."""


def submission(title: str, missing: str | None) -> str:
    """A template for a queue; it goes on with a trajectory that a job before has begun."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-")[:60]
    note = "" if missing is None else "# The input is to be completed first, see README.txt of the step.\n"
    return f"""#!/bin/sh
#SBATCH --job-name={name}
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --time=24:00:00
# A template for SLURM: change what your machine wants, and submit it again until all frames are there.
{note}cd "${{SLURM_SUBMIT_DIR:-.}}" || exit 1
input={INPUT}
for file in {RESTART}.*; do
    if [ -e "$file" ]; then input={CONTINUE}; fi
done
${{LAMMPS:-srun lmp}} -in "$input" -log "{LOG}-$(date +%Y%m%d-%H%M%S)"
"""


def ase_run(wanted: Wanted, run: Path, state: str, structure: str) -> str:
    """Dynamics of ASE under base and correction as refine evaluates them."""
    motion = wanted.motion
    stages = [
        [stage.temperature, stage.end, stage.picoseconds, motion.timestep if stage.timestep is None else stage.timestep]
        for stage in wanted.before
    ]
    values = {
        "RUN": str(run),
        "STATE": state,
        "STRUCTURE": structure,
        "TRAJECTORY": TRAJECTORY,
        "TEMPERATURE": wanted.temperature,
        "TIMESTEP": motion.timestep,
        "TIME_CONSTANT": motion.time_constant,
        "STAGES": stages,
        "FRAMES": wanted.frames,
        "STRIDE": wanted.stride,
        "SEED": wanted.seed,
        "RELAX": int(wanted.relax),
    }
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items())
    return ASE.replace("@TITLE@", json.dumps(wanted.title)[1:-1]).replace("@VALUES@", lines)


ASE = '''"""@TITLE@: the trajectory that is waited for, by Langevin dynamics of ASE.

Run it where refine is installed, in the folder that it lies in; RUN is the folder of the run.
"""

import numpy as np
from ase import units
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import FIRE

import refine

@VALUES@

atoms = read(STRUCTURE)
atoms.calc = refine.awaited_calculator(RUN, STATE)
random = np.random.default_rng(SEED)


def dynamics(kelvin, femtoseconds):
    friction = 1.0 / (1000.0 * TIME_CONSTANT * units.fs)
    return Langevin(
        atoms, femtoseconds * units.fs, temperature_K=kelvin, friction=friction, fixcm=False, rng=random
    )


if RELAX:
    FIRE(atoms, maxstep=0.1, logfile=None).run(fmax=1.0, steps=300)
MaxwellBoltzmannDistribution(atoms, temperature_K=STAGES[0][0] if STAGES else TEMPERATURE, rng=random)
for begin, end, picoseconds, femtoseconds in STAGES:
    pieces = 1 if begin == end else 100
    steps = -(-round(1000.0 * picoseconds / femtoseconds) // pieces)
    for k in range(pieces):
        dynamics(begin + (end - begin) * (k + 1) / pieces, femtoseconds).run(steps)

moving = dynamics(TEMPERATURE, TIMESTEP)
open(TRAJECTORY, "w").close()
for _ in range(FRAMES):
    moving.run(STRIDE)
    atoms.get_potential_energy(), atoms.get_stress()  # both go into the file
    write(TRAJECTORY, atoms, format="extxyz", append=True)
'''
