"""Few frames of every phase that training has seen no part of, for ../weights.py.

    python held_out.py frames.extxyz [--seed 1001]

One melt, one compressed melt and the crystals of make_frames.py with another seed, `EACH` frames of a phase, as far
apart in temperature or strain as they come; and the glasses beside, as this model made them at 300 K.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from make_frames import CRYSTALS, Kind, crystals, melts, save  # a script beside this one

EACH = 4
GLASSES = (4, 5)
"""Not 2: the fits of ../weights.py begin there."""


def apart(kept: list[tuple[Kind, Atoms]], phase: str) -> list[tuple[Kind, Atoms]]:
    """`EACH` of a phase, the first and the last among them."""
    own = [one for one in kept if one[0].phase == phase]
    return [own[k] for k in np.linspace(0, len(own) - 1, EACH).round().astype(int)]


def main() -> None:
    """Make them, write one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1001)
    asked = parser.parse_args()

    glassy = melts("bks-1990", 20, 1.0, asked.seed)
    squeezed = melts("pedone-2006", 16, 1.3, asked.seed + 1)
    kept = [*apart(glassy, "liquid"), *apart(glassy, "glass"), *apart(squeezed, "compressed")]
    rng = np.random.default_rng(asked.seed)
    kept += [crystals(name, rng)[-1] for name in CRYSTALS]  # the one that is displaced most
    for number in GLASSES:
        atoms = read(Path(__file__).parents[1] / f"glass-{number}.extxyz")
        assert isinstance(atoms, Atoms)
        bare = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
        kept.append((Kind("glass of this model", f"glass-{number}"), bare))
    save(asked.out, kept)


if __name__ == "__main__":
    main()
