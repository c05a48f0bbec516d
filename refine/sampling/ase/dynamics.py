"""Dynamics of ASE for one block: built anew from where the block starts, so that nothing else has a say in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.verlet import VelocityVerlet
from numpy.typing import NDArray

from refine.sampling.external.mover import NOTHING, Memory, Motion, Start
from refine.units import BOLTZMANN, TIME_UNIT

Array = NDArray[np.float64]

CHAIN = 3
"""Thermostats in a chain."""


def dynamics_of(atoms: Atoms, motion: Motion, start: Start) -> MolecularDynamics:
    """Dynamics that go on from atoms.

    Langevin is ASE's (E. Vanden-Eijnden and G. Ciccotti, Chem. Phys. Lett. 429, 310 (2006)), with 1/`time_constant` as
    its friction and without `fixcm`, with which it does not sample the canonical ensemble. Nosé-Hoover is `Chain`, with
    Q = kT tau^2. What else `Motion` may have is constant energy.
    """
    timestep, tau = motion.timestep / TIME_UNIT, 1000 * motion.time_constant / TIME_UNIT
    if not motion.holds_temperature:
        return VelocityVerlet(atoms, timestep)
    if motion.thermostat == "langevin":
        random = np.random.default_rng(start.seed)
        return Langevin(atoms, timestep, temperature_K=start.temperature, friction=1 / tau, fixcm=False, rng=random)
    if motion.thermostat != "nose-hoover":
        raise ValueError(f"no such thermostat: {motion.thermostat!r}")
    freedom = motion.degrees_of_freedom(len(atoms))
    return Chain(atoms, timestep, kT=BOLTZMANN * start.temperature, tau=tau, freedom=freedom, memory=start.memory)


def memory_of(dynamics: Any) -> Memory:
    """What continues the thermostat; Langevin's needs no more than a seed."""
    return dynamics.memory if isinstance(dynamics, Chain) else NOTHING


class Chain(MolecularDynamics):
    """Dynamics of ASE with a Nosé-Hoover chain: half a step of the chain, velocity Verlet, half a step of the chain.

    ASE's own `NoseHooverChainNVT` counts 3N degrees of freedom also where the momentum of the whole is conserved, and
    N atoms are then hotter by N/(N - 1) than asked for; and it hands out no variables to go on from.
    Source: G. J. Martyna, M. E. Tuckerman, D. J. Tobias and M. L. Klein, Mol. Phys. 87, 1117 (1996).

    Args:
        atoms: with a calculator and momenta.
        timestep, tau: in eV-Å-amu.
        kT: eV.
        freedom: degrees of freedom.
        memory: that of the chain that this one goes on from; without it the chain starts at rest.
    """

    def __init__(self, atoms: Atoms, timestep: float, *, kT: float, tau: float, freedom: int, memory: Memory) -> None:
        super().__init__(atoms, timestep)
        self.kT, self.freedom = kT, freedom
        chain = np.frombuffer(memory.tobytes(), np.float64) if len(memory) else np.zeros(2 * CHAIN)
        self.position, self.momentum = np.array(chain).reshape(2, CHAIN)
        self.mass = np.full(len(self.position), kT * tau**2)
        self.mass[0] *= freedom

    @property
    def memory(self) -> Memory:
        """Positions and momenta of the chain, as bytes."""
        return np.frombuffer(np.concatenate([self.position, self.momentum]).tobytes(), np.uint8)

    def step(self) -> None:
        """One step."""
        atoms, dt = self.atoms, self.dt
        column = atoms.get_masses()[:, None]
        momenta = self._chained(atoms.get_momenta(), column)
        momenta = momenta + dt / 2 * atoms.get_forces(md=True)
        atoms.set_positions(atoms.get_positions() + dt * momenta / column)
        momenta = momenta + dt / 2 * atoms.get_forces(md=True)
        atoms.set_momenta(self._chained(momenta, column))

    def _chained(self, momenta: Array, column: Array) -> Array:
        """Half a step of the chain: its momenta from the last to the first, then the atoms' momenta and the chain's
        positions, then its momenta from the first to the last."""
        p, dt = self.momentum, self.dt
        twice = float(np.sum(momenta**2 / column))
        for m in reversed(range(len(p))):
            self._pull(m, twice)
        scale = float(np.exp(-dt / 2 * p[0] / self.mass[0]))
        self.position += dt / 2 * p / self.mass
        for m in range(len(p)):
            self._pull(m, twice * scale**2)
        return momenta * scale

    def _pull(self, m: int, twice: float) -> None:
        """A quarter of a step of the chain's momentum m; twice: twice the kinetic energy, eV."""
        p, mass, dt = self.momentum, self.mass, self.dt
        force = twice - self.freedom * self.kT if m == 0 else p[m - 1] ** 2 / mass[m - 1] - self.kT
        scale = 1.0 if m == len(p) - 1 else float(np.exp(-dt / 8 * p[m + 1] / mass[m + 1]))
        p[m] = scale * (scale * p[m] + dt / 4 * force)
