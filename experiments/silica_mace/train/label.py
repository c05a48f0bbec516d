"""Energies, forces and stresses of SevenNet-0, for mace_run_train.

    python label.py frames.extxyz labelled.extxyz

Runs in an environment of its own (Makefile), for sevenn and mace-torch want different versions of e3nn. A run that was
interrupted goes on after the last frame that it wrote.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ase.io import iread, read, write
from sevenn.calculator import SevenNetCalculator

MODEL = "7net-0"


def main() -> None:
    """Label what is not labelled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", type=Path)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()

    frames = read(asked.frames, ":")
    done = sum(1 for _ in iread(asked.out)) if asked.out.exists() else 0
    calculator = SevenNetCalculator(MODEL, device="cpu")
    began = time.monotonic()
    for number, atoms in enumerate(frames[done:], start=done + 1):
        atoms.calc = calculator
        atoms.info["REF_energy"] = float(atoms.get_potential_energy())
        atoms.info["REF_stress"] = atoms.get_stress()  # xx yy zz yz xz xy
        atoms.arrays["REF_forces"] = atoms.get_forces()
        atoms.calc = None
        write(asked.out, atoms, format="extxyz", append=True)
        if number % 20 == 0:
            print(f"{number} of {len(frames)}, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
