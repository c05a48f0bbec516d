"""What acts, as ASE takes it: a base and a correction as calculators, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, Calculator
from ase.calculators.mixing import SumCalculator
from numpy.typing import NDArray

from refine.potentials.calculator import Calculator as OwnCalculator
from refine.potentials.correction import PairCorrection
from refine.sites import set_species
from refine.system import System

Array = NDArray[np.float64]

STRAIN = 1e-3
"""Of every length, up and down, for the virial of a calculator without stress: W is off by parts in 1e4 where atoms
have steep walls, and noise of the energy is 700 times larger in it."""


@dataclass(frozen=True, eq=False)
class Acting:
    """A base and what comes on top of it.

    base: calculator of the base.  correction: None: there is none.
    top: the calculator of every correction of a field, and of its dispersion: its programs are compiled once.
    """

    base: Calculator
    correction: PairCorrection | None
    top: OwnCalculator

    def fresh(self) -> BaseCalculator:
        """The calculator, which remembers nothing of what it calculated before: its numbers follow from the atoms."""
        for one in (self.base, self.top):
            if isinstance(one, OwnCalculator):
                one.forget()
            else:
                one.reset()  # of ASE's: all counts as changed, and lists of neighbours are made anew
        if self.correction is None and self.top.dispersion == "none":
            return self.base
        self.top.correction = self.correction
        return SumCalculator([self.base, self.top])


def atoms_of(system: System, positions: Array, momenta: Array | None = None) -> Atoms:
    """The atoms of a system at positions (N, 3) Å, with momenta (N, 3) in eV-Å-amu, which are ASE's units, too."""
    atoms = Atoms(
        f"X{system.n_atoms}", np.array(positions, np.float64), masses=system.masses, cell=system.cell, pbc=True
    )
    set_species(atoms, np.repeat(system.species, system.n_per_species).tolist())
    atoms.set_masses(system.masses)
    if momenta is not None:
        atoms.set_momenta(np.array(momenta, np.float64))
    return atoms


def energy_of(atoms: Atoms) -> float:
    """Potential energy, eV: the one that the forces derive from, where a calculator has two (electronic smearing)."""
    consistent = "free_energy" in atoms.calc.implemented_properties
    return float(atoms.get_potential_energy(force_consistent=consistent))


def has_stress(calculator: BaseCalculator) -> bool:
    """Whether it tells the stress."""
    return "stress" in calculator.implemented_properties


def virial_of(atoms: Atoms) -> Array:
    """W = sum r (x) f = -dU/dstrain, (3, 3) eV: from the stress; of a calculator without, from two energies of the
    strained box, which tell its trace alone: what is not the trace is then NaN."""
    if has_stress(atoms.calc):
        return np.asarray(-atoms.get_volume() * atoms.get_stress(voigt=False), np.float64)
    ends = []
    for sign in (1.0, -1.0):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array * (1.0 + sign * STRAIN), scale_atoms=True)
        strained.calc = atoms.calc
        ends.append(energy_of(strained))
    trace = -(ends[0] - ends[1]) / (2.0 * STRAIN)
    return np.where(np.eye(3, dtype=bool), trace / 3, np.nan)


def kinetic_of(atoms: Atoms) -> float:
    """Kinetic energy, eV."""
    return float(np.sum(atoms.get_momenta() ** 2 / (2 * atoms.get_masses()[:, None])))
