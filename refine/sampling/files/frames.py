"""Frames of files, one by one, as the study has its atoms and its box."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.sampling.cells import vectors_between
from refine.sampling.formats import BINARY, Naming
from refine.sampling.formats.lammps import STEP
from refine.sampling.trajectories import checked
from refine.sampling.trajectory_files import Truncated, atoms_of, kind_of_trajectory
from refine.sites import deuterium_in
from refine.system import System
from refine.units import BOLTZMANN

if TYPE_CHECKING:
    from ase import Atoms

Array = NDArray[np.float64]

SAME_BOX = 2e-4
"""What the digits of a file may make of a box: of products of two vectors, as a share of that of their lengths."""


@dataclass(frozen=True)
class Frame:
    """Of one file.

    positions: (N, 3) Å, sorted by species, in the box of the study.  energy, virial, temperature: eV, eV, K; NaN where
    nobody says.  step: its number; -1 where nobody says.  where: for errors.
    """

    positions: Array
    energy: float
    virial: float
    temperature: float
    step: int
    where: str


def frames_of(path: Path, system: System, notes: list[str], held: int) -> Iterator[Frame]:
    """The frames of a file, each when the next one is there: the last may not be whole.

    system: whose atoms and box they must have.  notes: what is passed over is added to them, in words.
    held: degrees of freedom that are.
    Raises InputError for what are no frames of it.
    """
    naming, before = Naming.of(None, system.species), list[Frame]()
    named = np.repeat(system.species, system.n_per_species).tolist()
    binary = kind_of_trajectory(path) in BINARY
    # of a box that programs turn nobody could say how it was turned
    upright = not np.triu(system.cell, 1).any()

    def boxless(atoms: Atoms) -> bool:
        return binary and upright and not atoms.cell.rank

    def is_cut() -> bool:
        return not binary and _is_cut(path)

    try:
        for number, atoms, _ in atoms_of(path, naming, usual=system.species, named=named):
            yield from before
            if boxless(atoms):
                if number == 1:
                    notes.append(f"{path.name} has no cell: its frames are taken to be of the box of the study")
                atoms.set_cell(system.cell)
                atoms.set_pbc(True)
            before = [_frame(atoms, system, held, f"{path}, frame {number}")]
    except InputError as error:
        if not (isinstance(error, Truncated) or (before and is_cut())):
            raise
        notes.append(f"{path.name} ends within a frame, which is left out")
    else:
        if before and is_cut():  # whatever its last line was to be
            notes.append(f"{path.name} ends within a line, and its last frame is left out")
            return
    yield from before


def _is_cut(path: Path) -> bool:
    """Whether the last line of a file was not finished."""
    with path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) == 0:
            return False
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) != b"\n"


def _frame(atoms: Atoms, system: System, held: int, at: str) -> Frame:
    if atoms.cell.rank < 3:
        raise InputError("the frame has no cell", where=at, fix='write it with the frames (extxyz: Lattice="...")')
    cell, positions, present = checked(atoms, None, at)
    present, _ = deuterium_in(present, system.species)  # a study says which isotope of hydrogen it is
    numbers = {name: present.count(name) for name in dict.fromkeys((*system.species, *present))}
    if [numbers[name] for name in system.species] != list(system.n_per_species) or len(numbers) > len(system.species):
        wanted = dict(zip(system.species, system.n_per_species, strict=True))
        raise InputError(f"the frame has {_words(numbers)}, the study {_words(wanted)}", where=at)
    # the user's own cell, where that of the study is an upright one of the same lattice
    vectors = vectors_between(cell, system.cell, SAME_BOX)
    if vectors is None:
        raise InputError(
            f"the box is {_edges(cell)}, and that of the study {_edges(system.cell)}",
            where=at,
            fix="sample at constant volume, from the structure that was written",
        )
    order = np.argsort([system.species.index(name) for name in present], kind="stable")
    placed = (positions @ np.linalg.inv(vectors @ cell) @ system.cell)[order]  # the same box, however it is turned
    results: dict[str, Any] = {} if atoms.calc is None else atoms.calc.results
    energy = results.get("energy", results.get("free_energy", np.nan))
    stress = results.get("stress")
    virial = np.nan if stress is None else -system.volume * float(np.sum(np.asarray(stress).ravel()[:3]))
    temperature = np.nan
    if atoms.has("momenta"):
        temperature = 2.0 * float(atoms.get_kinetic_energy()) / ((3 * len(atoms) - held) * BOLTZMANN)
    return Frame(placed, float(energy), virial, temperature, int(atoms.info.get(STEP, -1)), at)


def _words(numbers: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in numbers.items())


def _edges(cell: Array) -> str:
    a, b, c = np.linalg.norm(cell, axis=1)
    angles = [
        np.degrees(np.arccos(np.clip(u @ v / np.linalg.norm(u) / np.linalg.norm(v), -1.0, 1.0)))
        for u, v in ((cell[1], cell[2]), (cell[0], cell[2]), (cell[0], cell[1]))
    ]
    turned = "" if np.allclose(angles, 90.0, atol=0.01) else " at " + ", ".join(f"{x:.2f}" for x in angles) + "°"
    return f"{a:.4f} × {b:.4f} × {c:.4f} Å{turned}"
