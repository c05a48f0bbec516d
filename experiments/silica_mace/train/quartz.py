"""α-quartz relaxed, cell included: lattice, bonds, angles.

    python quartz.py MODEL

MODEL: 7net-0 or another name that SevenNet knows (in the environment of label.py), or a MACE model file (refine's own).
Measured, 298 K: a 4.9134 Å, c 5.4052 Å, Si-O 1.605 and 1.614 Å, Si-O-Si 143.7° (Levien, Prewitt and Weidner 1980).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.neighborlist import neighbor_list
from ase.optimize import BFGS
from ase.spacegroup import crystal

BOND = 2.0
"""Å, beyond the first shell."""

ACCURACY = 1e-3
"""eV/Å, largest force at the end."""


def calculator(model: str) -> Calculator:
    """Of refine for a file, of SevenNet for a name."""
    if Path(model).is_file():
        import refine

        return refine.Calculator(model)
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator(model, device="cpu")


def angles(atoms: Atoms) -> np.ndarray:
    """Si-O-Si, degrees. ASE's lists, because refine is not where SevenNet is."""
    i, vectors = neighbor_list("iD", atoms, BOND)
    found = []
    for oxygen in np.flatnonzero(atoms.numbers == 8):
        a, b = vectors[i == oxygen]
        found.append(np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))))
    return np.array(found)


def main() -> None:
    """Relax and print."""
    (model,) = sys.argv[1:]
    atoms = crystal(
        ["Si", "O"],
        [(0.4697, 0.0, 2 / 3), (0.4135, 0.2669, 0.7858)],
        spacegroup=154,
        cellpar=[4.9134, 4.9134, 5.4052, 90, 90, 120],
    )
    atoms.calc = calculator(model)
    if not BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=ACCURACY, steps=500):
        raise SystemExit(f"{model}: not relaxed after 500 steps")
    a, b, c = atoms.cell.lengths()
    bonds = np.sort(neighbor_list("d", atoms, BOND))
    short, long = bonds[: len(bonds) // 2].mean(), bonds[len(bonds) // 2 :].mean()
    print(
        f"{model}: a {a:.4f} b {b:.4f} c {c:.4f} Å, Si-O {short:.4f} and {long:.4f} Å, "
        f"Si-O-Si {angles(atoms).mean():.2f}°, density {len(atoms) / atoms.get_volume():.5f} /Å^3"
    )


if __name__ == "__main__":
    main()
