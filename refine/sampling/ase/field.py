"""A base model and a correction as calculators of ASE, and energy, virial and their differences from these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.calculators.mixing import SumCalculator
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.ase import on_top
from refine.potentials.calculator import Calculator
from refine.potentials.correction import PairCorrection
from refine.sites import set_species
from refine.system import System

Array = NDArray[np.float64]

STRAIN = 1e-3
"""Of every length, up and down, for the virial of a calculator without stress: W is off by parts in 1e4 for the walls
of atoms, and by V times a few meV of noise in the energy no more than the noise of a frame."""


class CalculatorField:
    """A base for the atoms of a box, see `refine.sampling.engine.EngineField`.

    Args:
        make: makes the calculator of the base, when it is first needed.
        cutoff: of pair functions, Å, which have to fit into the box; 0: there are none.
        dispersion: see `refine.potentials.keys.Model`.
    """

    def __init__(self, make: Callable[[], BaseCalculator], cutoff: float, dispersion: str) -> None:
        self._make, self.cutoff = make, cutoff
        self._top = on_top(None, dispersion)

    @cached_property
    def base(self) -> BaseCalculator:
        """The calculator of the base."""
        return self._make()

    def params(self, correction: PairCorrection | None, base: Any = None) -> Acting:
        """The potential that acts; InputError for changed parameters of the base, which no calculator takes."""
        if base is not None:
            raise InputError(
                "the parameters of a base cannot be changed in a calculator of ASE",
                where="[sampling] engine",
                fix='set engine = "jax"',
            )
        return Acting(self.base, correction, self._top)


@dataclass(frozen=True)
class Acting:
    """A base and what comes on top of it.

    base: calculator of the base.  correction: None: there is none.
    top: the calculator of every correction of a field, and of its dispersion: its programs are compiled once.
    """

    base: BaseCalculator
    correction: PairCorrection | None
    top: Calculator

    def fresh(self) -> BaseCalculator:
        """The calculator, which remembers nothing of what it calculated before: its numbers follow from the atoms."""
        for one in (self.base, self.top):
            if isinstance(one, Calculator):
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


def virial_of(atoms: Atoms) -> float:
    """W = sum r . f over pairs, -dU/d(ln length), eV: of the stress, or of two energies of the strained box."""
    if has_stress(atoms.calc):
        return float(np.trace(virial_tensor_of(atoms)))
    ends = []
    for sign in (1.0, -1.0):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array * (1.0 + sign * STRAIN), scale_atoms=True)
        strained.calc = atoms.calc
        ends.append(energy_of(strained))
    return -(ends[0] - ends[1]) / (2.0 * STRAIN)


def virial_tensor_of(atoms: Atoms) -> Array:
    """W = sum r (x) f = -dU/dstrain, (3, 3) eV."""
    return np.asarray(-atoms.get_volume() * atoms.get_stress(voigt=False), np.float64)


def kinetic_of(atoms: Atoms) -> float:
    """Kinetic energy, eV."""
    return float(np.sum(atoms.get_momenta() ** 2 / (2 * atoms.get_masses()[:, None])))
