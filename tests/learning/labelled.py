"""Labelled frames of several kinds, and files of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write

from refine.learning.frames import LabelledFrame
from refine.potentials.calculator import Calculator
from refine.potentials.mace.architecture import Checkpoint

KINDS = {
    "cubic": ("OOOOFeFe", np.eye(3) * 6.0, (True, True, True)),
    "smaller than the cutoff": ("FeOOHO", np.diag([3.9, 7.0, 6.0]), (True, True, True)),
    "triclinic": ("OOOOOFeFe", np.array([[6.0, 0.0, 0.0], [2.0, 6.5, 0.0], [-1.0, 1.5, 6.2]]), (True, True, True)),
    "a layer": ("HOH", np.eye(3) * 5.0, (True, True, False)),
    "a molecule": ("OH", np.zeros((3, 3)), (False, False, False)),
}
"""Symbols, cell (Å), periodic vectors."""


def atoms_of(kind: str, seed: int = 0) -> Atoms:
    """Atoms at random, none closer than 1.4 Å."""
    symbols, cell, periodic = KINDS[kind]
    rng = np.random.default_rng((seed, *kind.encode()))
    while True:
        space = cell if cell.any() else 2.5 * np.eye(3)
        atoms = Atoms(symbols, rng.random((len(Atoms(symbols)), 3)) @ space, cell=cell, pbc=periodic)
        apart = atoms.get_all_distances(mic=any(periodic)) + 10.0 * np.eye(len(atoms))
        if apart.min() > 1.4:
            return atoms


def labelled_by(checkpoint: Checkpoint, frames: list[Atoms]) -> list[LabelledFrame]:
    """The frames with the labels of a model, by the ASE calculator, in float64; it compiles for each composition."""
    calculator = Calculator(checkpoint)
    found = []
    for number, atoms in enumerate(frames):
        atoms.calc = calculator
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        stress = atoms.get_stress(voigt=False) if atoms.pbc.all() else None
        found.append(_frame(atoms, energy, forces, stress, number))
    return found


def unlabelled(frames: list[Atoms]) -> list[LabelledFrame]:
    """The frames with zeros for labels."""
    return [
        _frame(atoms, 0.0, np.zeros((len(atoms), 3)), np.zeros((3, 3)) if atoms.pbc.all() else None, number)
        for number, atoms in enumerate(frames)
    ]


def noisy(frames: list[LabelledFrame], noise: float = 0.3, seed: int = 0) -> list[LabelledFrame]:
    """Normal deviates added to every label, in its own unit; a hundredth of them to stresses."""
    rng, found = np.random.default_rng(seed), []
    for frame in frames:
        added, stress = rng.normal(size=(3, 3)), frame.stress
        assert frame.energy is not None
        assert frame.forces is not None
        changed = {
            "energy": frame.energy + noise * rng.normal(),
            "forces": frame.forces + noise * rng.normal(size=frame.forces.shape),
            "stress": None if stress is None else stress + 0.01 * noise * (added + added.T),
        }
        found.append(replace(frame, **changed))
    return found


def _frame(atoms: Atoms, energy: float, forces: np.ndarray, stress: np.ndarray | None, number: int) -> LabelledFrame:
    symbols, where = tuple(atoms.get_chemical_symbols()), f"frame {number}"
    periodic = np.array(atoms.pbc)
    return LabelledFrame(symbols, atoms.positions, atoms.cell.array, periodic, energy, forces, stress, where=where)


def write_labelled(path: Path, frames: list[LabelledFrame]) -> Path:
    """As extended XYZ with labels of the usual names."""
    every = []
    for frame in frames:
        atoms = Atoms(frame.symbols, frame.positions, cell=frame.cell, pbc=frame.periodic)
        atoms.info |= {name: value for name in ("charge", "spin") if (value := getattr(frame, name)) is not None}
        atoms.info["REF_energy"] = frame.energy
        if frame.forces is not None:
            atoms.arrays["REF_forces"] = frame.forces
        if frame.stress is not None:
            atoms.info["REF_stress"] = frame.stress.ravel()
        every.append(atoms)
    write(path, every, format="extxyz")
    return path
