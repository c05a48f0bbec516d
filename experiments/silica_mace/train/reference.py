"""Energies and forces of the trained model by mace-torch itself, of one held-out frame of each phase.

    python reference.py silica-mace.model test.extxyz reference.extxyz

tests/experiments/test_silica_mace.py compares the shipped file with them. In float64, of weights that are float32.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ase.io import read, write
from mace.calculators import MACECalculator


def main() -> None:
    """Evaluate and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()

    first = {atoms.info["phase"]: atoms for atoms in reversed(read(asked.test, ":"))}
    calculator = MACECalculator(model_paths=str(asked.model), device="cpu", default_dtype="float64")
    for phase, atoms in first.items():
        atoms.info = {"phase": phase}
        del atoms.arrays["REF_forces"]
        atoms.calc = calculator
        energy, forces = float(atoms.get_potential_energy()), atoms.get_forces()
        atoms.calc = None
        atoms.info["mace_energy"], atoms.arrays["mace_forces"] = energy, forces
    write(asked.out, list(first.values()), format="extxyz")


if __name__ == "__main__":
    main()
