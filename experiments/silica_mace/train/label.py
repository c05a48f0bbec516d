"""Energies, forces and stresses of SevenNet-0, for mace_run_train.

    python label.py frames.extxyz labelled.extxyz [--every 4]

Runs in an environment of its own (Makefile), for sevenn and mace-torch want different versions of e3nn. A run that was
interrupted goes on after the last frame that it wrote, where what it wrote is of the same frames.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write
from sevenn.calculator import SevenNetCalculator

MODEL = "7net-0"


def labelled(out: Path, frames: list[Atoms]) -> int:
    """How many frames are labelled already; SystemExit where the file holds others."""
    done = read(out, ":", format="extxyz") if out.exists() else []
    pairs = zip(done, frames, strict=False)
    same = all(len(a) == len(b) and np.allclose(a.positions, b.positions, atol=1e-6) for a, b in pairs)
    if not same or len(done) > len(frames):
        raise SystemExit(f"{out} holds labels of other frames; remove it to label these")
    return len(done)


def main() -> None:
    """Label what is not labelled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=1, help="label one frame in so many")
    asked = parser.parse_args()

    frames = read(asked.frames, f"::{asked.every}")
    done = labelled(asked.out, frames)
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
