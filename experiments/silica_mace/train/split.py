"""Labelled frames into train.extxyz, valid.extxyz and test.extxyz.

    python split.py labelled.extxyz [more.extxyz ...] --folder data

Whole groups (make_frames.py) go to one file, about 80, 10 and 10 % of them; which one follows from the group's name
alone, so that more frames move none. Frames with a force above `LARGEST` are left out and counted: there the label
model is no judge.
"""

from __future__ import annotations

import argparse
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from ase.io import read, write

LARGEST = 100.0
"""eV/Å."""

PARTS = ("valid", "test", *["train"] * 8)


def main() -> None:
    """Read, deal, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path, nargs="+")
    parser.add_argument("--folder", type=Path, required=True)
    asked = parser.parse_args()

    frames = [atoms for path in asked.labelled for atoms in read(path, ":")]
    sane = [atoms for atoms in frames if np.linalg.norm(atoms.arrays["REF_forces"], axis=1).max() < LARGEST]
    print(f"{len(frames) - len(sane)} of {len(frames)} frames have a force above {LARGEST} eV/Å")
    for atoms in sane:
        atoms.info["config_type"] = atoms.info["phase"]  # what mace_run_train calls it

    asked.folder.mkdir(parents=True, exist_ok=True)
    for part in dict.fromkeys(PARTS):
        chosen = [atoms for atoms in sane if PARTS[zlib.crc32(atoms.info["group"].encode()) % len(PARTS)] == part]
        write(asked.folder / f"{part}.extxyz", chosen, format="extxyz")
        print(part, len(chosen), dict(Counter(atoms.info["phase"] for atoms in chosen)))


if __name__ == "__main__":
    main()
