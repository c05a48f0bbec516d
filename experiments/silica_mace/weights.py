"""A pair correction, readouts or low-rank changes, with and without replay: the second table of README.md.

    python experiments/silica_mace/weights.py [--frames N] RUN ...

RUN: finished runs of study.toml or weights.toml, for a column each, named by their folders; the first column is the
model alone. Every answer is sampled anew, on the glass that it was fitted to and on one that it was not (glass 4): R_χ,
angles and pressure as in table.py. What an answer does elsewhere is the change of the forces of `reference.extxyz`,
root mean squares of components: frames of other phases, which neither curve nor replay has seen.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

import refine
from refine import Study
from refine.export.read import read_correction

sys.path.insert(0, str(Path(__file__).parent))
from table import found  # experiments are scripts in folders, no package

FOLDER = Path(__file__).parent
MODEL = FOLDER / "silica-mace.safetensors"
GLASSES = {"the glass of the fit": "glass-2.extxyz", "another glass": "glass-4.extxyz"}


def answers(run: Path | None, glass: str, frames: int) -> dict[str, float]:
    """The rows of one answer on one glass; None: of the model alone."""
    keys = [f"system.structure={json.dumps(glass)}", f"sampling.frames={frames}"]
    refined = run is not None and (run / "model.safetensors").exists()
    if run is not None and refined:
        keys.append(f"model.path={json.dumps(str(run.absolute() / 'model.safetensors'))}")
    study = Study.from_toml(FOLDER / "study.toml", keys)
    pair = run is not None and not refined
    return found(study, read_correction(run).correction if pair else study.initial_correction())[0]


def forgotten(run: Path | None) -> dict[str, float]:
    """Change of the forces by phase, meV/Å."""
    changes: dict[str, float] = {}
    frames = read(FOLDER / "reference.extxyz", ":")
    for atoms in frames:
        assert isinstance(atoms, Atoms)
        if run is not None:
            atoms.calc = refine.read_calculator(run, model=MODEL)
        forces = atoms.arrays["mace_forces"] if run is None else atoms.get_forces()
        change = 1000.0 * np.sqrt(np.mean((forces - atoms.arrays["mace_forces"]) ** 2))
        changes[f"forces of {atoms.info['phase']}, change, meV/Å"] = float(change)
    return changes


def main() -> None:
    """Sample all, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=200)
    asked = parser.parse_args()
    columns: dict[str, dict[str, str]] = {}
    for run in (None, *asked.runs):
        name = "the model alone" if run is None else run.name
        rows: dict[str, str] = {}
        for where, glass in GLASSES.items():
            rows |= {f"{row}, {where}": f"{value:.3f}" for row, value in answers(run, glass, asked.frames).items()}
            print(f"{name}, {where}", file=sys.stderr, flush=True)
        columns[name] = rows | {row: f"{value:.0f}" for row, value in forgotten(run).items()}
    print(f"| | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}")
    for row in next(iter(columns.values())):
        print(f"| {row} | {' | '.join(rows[row] for rows in columns.values())} |")


if __name__ == "__main__":
    main()
