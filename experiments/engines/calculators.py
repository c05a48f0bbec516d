"""Calculators of other packages as a base: a short study through refine's commands, and the sum of base and correction
taken apart.

    python experiments/engines/calculators.py [--only CHGNet SevenNet] [--out FOLDER]
    python experiments/engines/calculators.py --only MACE --model MY.model        # of H and O, by mace-torch

For each calculator whose package is installed `refine predict` samples S(Q) and pressure. `refine run` then fits, in
two samples, that S(Q), with an error so large that it has no say, and a pressure that is 2 GPa higher: made up, what is
shown is that the loop goes round. What acts in it, base and correction as the engine puts them together, is looked at
for a correction of random coefficients and atoms near the start: energy, forces and virial beside those of the
calculator alone plus a sum of φ(r) over the pairs of ASE's list of neighbours, whose slope is taken by differences; and
its stress beside energies of strained boxes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from refine import Study
from refine.files import make_folder, write_text
from refine.potentials.ase import on_top
from refine.potentials.ase_allowed import TRUSTED
from refine.sampling.ase.potential import Acting, energy_of
from refine.tables.toml import to_toml
from refine.units import PRESSURE_UNIT

Array = NDArray[np.float64]

FRAMES, STRIDE = 16, 2
"""Of a sample, and steps between them."""

HIGHER, WITHIN = 2.0, 0.2
"""GPa: what is asked of the correction, and the standard error of what is said to be measured."""

HEIGHT = 0.02
"""eV, of the coefficients of a correction."""

DIFFERENCE = 1e-4
"""Å, of the slope of φ."""


def copper() -> Atoms:
    """108 atoms, off their lattice."""
    atoms = bulk("Cu", cubic=True).repeat(3)
    atoms.rattle(0.1, seed=1)
    return atoms


def rock_salt() -> Atoms:
    """64 atoms of NaCl, off their lattice."""
    atoms = bulk("NaCl", "rocksalt", a=5.7, cubic=True).repeat(2)
    atoms.rattle(0.1, seed=1)
    return atoms


def water() -> Atoms:
    """8 molecules, turned at random."""
    random, atoms = np.random.default_rng(0), Atoms(cell=3 * [6.2], pbc=True)
    for corner in np.ndindex(2, 2, 2):
        one = molecule("H2O")
        one.rotate(random.uniform(0, 360), random.normal(size=3), center="COM")
        one.translate(3.1 * np.array(corner) + 1.0 - one.get_center_of_mass())
        atoms += one
    return atoms


@dataclass(frozen=True)
class Tried:
    """package: name of its distribution.  calculator, arguments: of [model].  atoms: where it starts.
    r_min, r_cut: of the correction, Å.  timestep: fs.  temperature: K.
    strain: of the boxes; larger where energies have seven digits."""

    package: str
    calculator: str
    arguments: Mapping[str, Any]
    atoms: Callable[[], Atoms] = rock_salt
    r_min: float = 2.0
    r_cut: float = 5.4
    timestep: float = 1.0
    temperature: float = 600.0
    strain: float = 2e-3


in_water = partial(Tried, atoms=water, r_min=0.6, r_cut=3.0, timestep=0.5, temperature=300.0)

CALCULATORS = {
    "EMT": Tried("ase", "ase.calculators.emt:EMT", {}, copper, strain=1e-4),
    "CHGNet": Tried("chgnet", "chgnet.model:CHGNetCalculator", {"use_device": "cpu"}),
    "SevenNet": Tried("sevenn", "sevenn.calculator:SevenNetCalculator", {"model": "7net-0", "device": "cpu"}),
    "GFN1-xTB": in_water(
        "tblite", "tblite.ase:TBLite", {"method": "GFN1-xTB", "accuracy": 0.01, "verbosity": 0}, strain=1e-3
    ),
    "MACE": in_water(
        "mace-torch",
        "mace.calculators:MACECalculator",
        {"device": "cpu", "default_dtype": "float64"},
        strain=1e-4,
    ),
}


def study(tried: Tried, curve: Mapping[str, Any], *numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Of one curve, with these other keys, and measured numbers."""
    return {
        "system": {"structure": "start.extxyz"},
        "states": [{"name": "short", "temperature": tried.temperature}],
        "data": [{"name": "sq", "quantity": "S(Q)", "radiation": "neutron", **curve}, *numbers],
        "model": {"base": "ase", "calculator": tried.calculator, "arguments": dict(tried.arguments)},
        "correction": {"r_min": tried.r_min, "r_cut": tried.r_cut, "knots": 8},
        "sampling": {
            "timestep": tried.timestep,
            "equilibration": 0.02,
            "reequilibration": 0.01,
            "frames": FRAMES,
            "stride": STRIDE,
            "replicas": 1,
        },
        "refinement": {"iterations": 1},
    }


def command(folder: Path, *words: str) -> None:
    """A command of refine, with what it says in a file; RuntimeError with its last line where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "refine", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    write_text(folder / f"{words[0]}.log", done.stdout + done.stderr)
    if done.returncode not in (0, 3, 4):  # better, nothing better found, or stopped at the limit
        raise RuntimeError(f"refine {' '.join(words)}: {(done.stderr.strip() or 'no word').splitlines()[-1]}")


def run(tried: Tried, folder: Path) -> None:
    """Both commands, in a folder."""
    make_folder(folder)
    ase.io.write(folder / "start.extxyz", tried.atoms())
    write_text(folder / "predict.toml", to_toml(study(tried, {"role": "predict", "q_range": [1.5, 10.0]})))
    command(folder, "predict", "predict.toml", "--out", "predicted", "--overwrite")
    q, values = np.loadtxt(folder / "predicted/curves/sq.csv", delimiter=",", skiprows=1, usecols=(0, 1)).T
    write_text(folder / "sq.csv", "".join(f"{x:.4f},{y:.6f},2.0\n" for x, y in zip(q, values, strict=True)))
    (state,) = json.loads((folder / "predicted/predict.json").read_text())["states"]
    pressure = {
        "name": "p",
        "quantity": "pressure",
        "value": round(state["mean_pressure_GPa"] + HIGHER, 3),
        "sigma": WITHIN,
    }
    write_text(folder / "study.toml", to_toml(study(tried, {"file": "sq.csv"}, pressure)))
    command(folder, "run", "study.toml", "--out", "run", "--overwrite")


@dataclass(frozen=True)
class Apart:
    """How far what acts is from the sum, eV, eV/Å and eV, at most; the correction's own, to compare with; and its
    stress from the energy of strained boxes, GPa, and the largest component of it."""

    energy: float
    force: float
    virial: float
    correction: tuple[float, float, float]
    stress: float
    largest: float


def apart(tried: Tried, folder: Path) -> Apart:
    """Of the study in a folder."""
    study, atoms = Study.from_toml(folder / "study.toml"), tried.atoms()
    phi = study.initial_correction()
    phi = phi.with_theta(np.random.default_rng(3).normal(scale=HEIGHT, size=phi.theta.shape))
    base = study.base.calculator
    total = Acting(base, phi, on_top(None, "none")).fresh()
    energy, forces, virial = _pairs(atoms, phi)
    atoms.calc = base
    before = energy_of(atoms), atoms.get_forces(), -atoms.get_volume() * atoms.get_stress(voigt=False)
    atoms.calc = total
    after = energy_of(atoms), atoms.get_forces(), -atoms.get_volume() * atoms.get_stress(voigt=False)
    off = [after[k] - before[k] - (energy, forces, virial)[k] for k in range(3)]
    stress = atoms.get_stress(voigt=False)
    strained = np.zeros((3, 3))
    for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        up = np.zeros((3, 3))
        up[a, b] += tried.strain / 2
        up[b, a] += tried.strain / 2
        ends = [_strained(atoms, sign * up) for sign in (1.0, -1.0)]
        strained[a, b] = strained[b, a] = (ends[0] - ends[1]) / (2 * tried.strain * atoms.get_volume())
    return Apart(
        *(float(np.abs(one).max()) for one in off),
        correction=(abs(energy), float(np.abs(forces).max()), float(np.abs(virial).max())),
        stress=PRESSURE_UNIT * float(np.abs(stress - strained).max()),
        largest=PRESSURE_UNIT * float(np.abs(stress).max()),
    )


def _pairs(atoms: Atoms, phi: Any) -> tuple[float, Array, Array]:
    """Energy, forces and virial of a correction."""
    i, j, r, apart = neighbor_list("ijdD", atoms, phi.basis.r_cut)
    names = np.array(atoms.get_chemical_symbols())
    rows = {frozenset(pair): k for k, pair in enumerate(phi.pairs)}
    row = np.array([rows[frozenset((a, b))] for a, b in zip(names[i], names[j], strict=True)])
    value, up, down = (phi.energy(x)[row, np.arange(len(r))] for x in (r, r + DIFFERENCE, r - DIFFERENCE))
    pull = ((up - down) / (2 * DIFFERENCE) / r)[:, None] * apart  # on i, towards j where φ rises
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, i, pull)
    return float(value.sum() / 2), forces, -0.5 * pull.T @ apart


def _strained(atoms: Atoms, strain: Array) -> float:
    other = atoms.copy()
    other.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    other.calc = atoms.calc
    return energy_of(other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(CALCULATORS), choices=list(CALCULATORS))
    parser.add_argument("--model", type=Path, help="of MACE, a file")
    parser.add_argument("--out", type=Path, default=Path("runs/engines/calculators"))
    options = parser.parse_args()
    head = ["", "version", "energy - sum, eV", "forces, eV/Å", "virial, eV", "of the correction alone"]
    head += ["stress - dU/dstrain, GPa", "largest stress, GPa"]
    head += ["pressure, GPa: before", "asked for", "after"]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}", flush=True)
    for name in options.only:
        tried, folder = CALCULATORS[name], (options.out / name).absolute()
        try:
            release = version(tried.package)
        except PackageNotFoundError:
            print(f"{name}: {tried.package} is not installed", file=sys.stderr)
            continue
        if name == "MACE":
            if options.model is None:
                print("MACE: --model FILE is wanted", file=sys.stderr)
                continue
            os.environ[TRUSTED] = str(options.model.resolve().parent)
            tried = replace(tried, arguments={"model_paths": str(options.model.resolve()), **tried.arguments})
        run(tried, folder)
        found = apart(tried, folder)
        (state,) = json.loads((folder / "run/result.json").read_text())["states"]
        asked = tomllib.loads((folder / "study.toml").read_text())["data"][1]["value"]
        cells = [
            f"{name}, {tried.package}",
            release,
            f"{found.energy:.0e}",
            f"{found.force:.0e}",
            f"{found.virial:.0e}",
        ]
        cells += [", ".join(f"{x:.2g}" for x in found.correction), f"{found.stress:.0e}", f"{found.largest:.2g}"]
        cells += [f"{x:.2f}" for x in (state["pressure_initial_GPa"], asked, state["pressure_GPa"])]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
