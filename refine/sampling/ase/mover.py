"""A box of atoms in the hands of ASE, under any of its calculators.

Each block begins with atoms, dynamics and a calculator that remember nothing of what was before, so it is the same, bit
for bit, in another process, as far as the calculator gives the same numbers for the same atoms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from ase import Atoms
from ase.optimize import FIRE
from numpy.typing import NDArray

from kernels.cell import wrap
from refine.errors import InputError, RefineError, SimulationError
from refine.sampling.ase.dynamics import dynamics_of, memory_of
from refine.sampling.ase.potential import Acting, atoms_of, energy_of, kinetic_of, virial_of
from refine.sampling.external.mover import Evaluated, Motion, Squeezed, Start, Walk
from refine.sampling.given import RELAXING
from refine.sampling.volumes import MOVE_EVERY, Volumes
from refine.system import System
from refine.units import BOLTZMANN, PRESSURE_UNIT, TIME_UNIT

Array = NDArray[np.float64]

HARMLESS = 0.5
"""eV/Å, the largest force at which the relaxation of a start structure may end."""


class AseMover:
    """See `refine.sampling.external.mover.Mover`.

    system: atoms and cell.  acting: the potential.
    """

    def __init__(self, system: System, acting: Acting) -> None:
        self.system, self.acting = system, acting

    def _atoms(self, positions: Array, momenta: Array | None = None) -> Atoms:
        atoms = atoms_of(self.system, positions, momenta)
        atoms.calc = self.acting.fresh()
        return atoms

    def walk(
        self, start: Start, motion: Motion, frames: int, stride: int, *, observe: bool, where: tuple[int, int]
    ) -> Walk:
        """See `Mover`."""
        n, masses = self.system.n_atoms, self.system.masses[:, None]
        atoms = self._atoms(start.positions, start.momenta)
        dynamics = dynamics_of(atoms, motion, start)
        positions, virial, stress = (np.full((frames, *shape), np.nan) for shape in ((n, 3), (3, 3), (3, 3)))
        kinetic, energy = np.full((2, frames), np.nan)
        for frame in range(frames):
            first = where[0] + frame * stride
            with calculating(f"steps {first} to {first + stride}, replica {where[1]}"):
                if not all(self._step(dynamics, motion) for _ in range(stride)):
                    break  # the kinetic energy stays NaN, by which the watch finds it and says where
                momenta = atoms.get_momenta()
                positions[frame], kinetic[frame] = atoms.positions, kinetic_of(atoms)
                if observe:
                    energy[frame], virial[frame] = energy_of(atoms), virial_of(atoms)
                    stress[frame] = momenta.T @ (momenta / masses) + virial[frame]
        return Walk(positions, atoms.get_momenta(), kinetic, energy, virial, stress, memory_of(dynamics))

    def _step(self, dynamics: Any, motion: Motion) -> bool:
        """One step; False where atoms fly so far in it that no list of neighbours follows, or are nowhere."""
        atoms = dynamics.atoms
        try:
            dynamics.step()
        except RefineError as error:  # of our own calculator: positions or an energy that are not numbers
            if isinstance(error, InputError) and np.isfinite(atoms.positions).all():
                raise
            return False
        fastest = np.abs(atoms.get_velocities()).max() * motion.timestep / TIME_UNIT
        return bool(fastest < self.system.r_box and np.isfinite(atoms.positions).all())

    def evaluate(self, positions: Array) -> Evaluated:
        """See `Mover`."""
        with calculating("forces"):
            atoms = self._atoms(positions)
            return Evaluated(energy_of(atoms), np.array(atoms.get_forces(), np.float64))

    def relaxed(self, positions: Array, steps: int, longest: float) -> Array:
        """See `Mover`; by FIRE."""
        with calculating(RELAXING):
            atoms = self._atoms(positions)
            FIRE(atoms, logfile=None, maxstep=longest).run(fmax=HARMLESS, steps=steps)
            return np.array(atoms.positions)

    def squeeze(
        self, start: Start, motion: Motion, moves: int, pressure: float, width: float, *, where: tuple[int, int]
    ) -> Squeezed:
        """See `Mover`."""
        n, kT, random = self.system.n_atoms, BOLTZMANN * start.temperature, np.random.default_rng(start.seed)
        atoms = self._atoms(start.positions, start.momenta)
        dynamics = dynamics_of(atoms, motion, start)
        volume, energies, kinetic = np.zeros((3, moves))
        accepted = np.zeros(moves, bool)
        for move in range(moves):
            first = where[0] + move * MOVE_EVERY
            with calculating(f"steps {first} to {first + MOVE_EVERY}"):
                if not all(self._step(dynamics, motion) for _ in range(MOVE_EVERY)):
                    kinetic[move:] = np.nan
                    volume[move:] = atoms.get_volume()
                    break
                kinetic[move], before = kinetic_of(atoms), energy_of(atoms)
                cell, at, growth = atoms.cell.array.copy(), atoms.get_positions(), width * (2 * random.random() - 1)
                work = pressure / PRESSURE_UNIT * atoms.get_volume() * math.expm1(growth)
                atoms.set_cell(cell * math.exp(growth / 3))
                atoms.set_positions(at * math.exp(growth / 3))
                after = energy_of(atoms)
                cost = after - before + work
                accepted[move] = math.log(1.0 - random.random()) < (n + 1) * growth - cost / kT
                if not accepted[move]:
                    atoms.set_cell(cell)
                    atoms.set_positions(at)
                volume[move], energies[move] = atoms.get_volume(), after if accepted[move] else before
        cell, volumes = atoms.cell.array.copy(), Volumes(volume, energies, accepted, n)
        at = wrap(atoms.positions, cell)
        return Squeezed(at, cell, atoms.get_momenta(), kinetic, volumes, memory_of(dynamics))


@contextmanager
def calculating(where: str) -> Iterator[None]:
    """What a calculator raises, whatever it is, as a SimulationError of one line that says where."""
    try:
        with np.errstate(all="ignore"):  # what is not finite is found, and said where
            yield
    except RefineError:
        raise
    except Exception as error:
        said = " ".join(str(error).split()) or "no message"
        raise SimulationError(
            f"the calculator failed: {type(error).__name__}: {said:.200}",
            where=where,
            fix="calculate one structure with it by ASE alone, to see what it lacks",
        ) from error
