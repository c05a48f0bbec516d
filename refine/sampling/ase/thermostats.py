"""Thermostats over dynamics of ASE: each builds the dynamics of a block from stored variables, and gives them back.

Every block of steps begins with dynamics built anew from the state, so a trajectory that goes on in another process is
bit for bit the one that never stopped. Meanings and time constants are those of `refine.sampling.jax.thermostats`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from ase import Atoms
from ase.md.langevin import Langevin as AseLangevin
from ase.md.md import MolecularDynamics
from ase.md.verlet import VelocityVerlet as AseVerlet
from numpy.typing import NDArray

from refine.sampling.state import Arrays
from refine.units import BOLTZMANN, TIME_UNIT

Array = NDArray[np.float64]

CHAIN = 3
"""Thermostats in a chain."""


class Thermostat(Protocol):
    """What the sampler asks of a thermostat. All arrays here belong to one replica."""

    holds_temperature: ClassVar[bool]
    """Whether the kinetic temperature is the one asked for, in the mean over a trajectory."""

    def degrees_of_freedom(self, n_atoms: int) -> int:
        """Degrees of freedom among which kinetic energy is shared: T = 2 K / (dof k)."""

    def fresh(self, seed: int, replica: int) -> Arrays:
        """Variables of the thermostat at the start of a trajectory."""

    def dynamics(
        self, atoms: Atoms, timestep: float, temperature: float, variables: Arrays, step: int
    ) -> MolecularDynamics:
        """Dynamics that go on from atoms and variables at a step. timestep: fs.  temperature: K."""

    def variables(self, dynamics: Any, before: Arrays) -> Arrays:
        """The variables that continue the trajectory. before: those that the dynamics were built from."""


@dataclass(frozen=True)
class Langevin(Thermostat):
    """Langevin dynamics of ASE (E. Vanden-Eijnden and G. Ciccotti, Chem. Phys. Lett. 429, 310 (2006)).

    time_constant_ps: 1/gamma. Momentum is not conserved, all 3N degrees of freedom are thermal: `fixcm` is off, with
    which ASE does not sample the canonical ensemble. Random numbers of a block follow from seed, replica and step.
    """

    time_constant_ps: float = 0.5
    holds_temperature: ClassVar[bool] = True

    def degrees_of_freedom(self, n_atoms: int) -> int:
        return 3 * n_atoms

    def fresh(self, seed: int, replica: int) -> Arrays:
        return {"seed": np.array([seed, replica], np.int64)}

    def dynamics(
        self, atoms: Atoms, timestep: float, temperature: float, variables: Arrays, step: int
    ) -> MolecularDynamics:
        return AseLangevin(
            atoms,
            timestep / TIME_UNIT,
            temperature_K=temperature,
            friction=TIME_UNIT / (1000 * self.time_constant_ps),
            fixcm=False,
            rng=np.random.default_rng([*variables["seed"].tolist(), step]),
        )

    def variables(self, dynamics: Any, before: Arrays) -> Arrays:
        return before


@dataclass(frozen=True)
class NoseHoover(Thermostat):
    """A Nosé-Hoover chain of three, see `Chain`. time_constant_ps: tau in Q = kT tau^2. Momentum is conserved: 3N - 3
    degrees of freedom."""

    time_constant_ps: float = 0.5
    holds_temperature: ClassVar[bool] = True

    def degrees_of_freedom(self, n_atoms: int) -> int:
        return 3 * n_atoms - 3

    def fresh(self, seed: int, replica: int) -> Arrays:
        return {"chain_position": np.zeros(CHAIN), "chain_momentum": np.zeros(CHAIN)}

    def dynamics(
        self, atoms: Atoms, timestep: float, temperature: float, variables: Arrays, step: int
    ) -> MolecularDynamics:
        return Chain(
            atoms,
            timestep / TIME_UNIT,
            kT=BOLTZMANN * temperature,
            tau=1000 * self.time_constant_ps / TIME_UNIT,
            freedom=self.degrees_of_freedom(len(atoms)),
            position=variables["chain_position"],
            momentum=variables["chain_momentum"],
        )

    def variables(self, dynamics: Any, before: Arrays) -> Arrays:
        return {"chain_position": dynamics.position.copy(), "chain_momentum": dynamics.momentum.copy()}


@dataclass(frozen=True)
class VelocityVerlet(Thermostat):
    """No thermostat: constant energy. The temperature asked for is only that of the first momenta."""

    holds_temperature: ClassVar[bool] = False

    def degrees_of_freedom(self, n_atoms: int) -> int:
        return 3 * n_atoms - 3

    def fresh(self, seed: int, replica: int) -> Arrays:
        return {}

    def dynamics(
        self, atoms: Atoms, timestep: float, temperature: float, variables: Arrays, step: int
    ) -> MolecularDynamics:
        return AseVerlet(atoms, timestep / TIME_UNIT)

    def variables(self, dynamics: Any, before: Arrays) -> Arrays:
        return before


class Chain(MolecularDynamics):  # type: ignore[misc]
    """Dynamics of ASE with a Nosé-Hoover chain: half a step of the chain, velocity Verlet, half a step of the chain.

    ASE's own `NoseHooverChainNVT` counts 3N degrees of freedom also where the momentum of the whole is conserved, and
    N atoms are then hotter by N/(N - 1) than asked for; and it hands out no variables to go on from.
    Source: G. J. Martyna, M. E. Tuckerman, D. J. Tobias and M. L. Klein, Mol. Phys. 87, 1117 (1996).

    Args:
        atoms: with a calculator and momenta.
        timestep, tau: in eV-Å-amu.
        kT: eV.
        freedom: degrees of freedom.
        position, momentum: of the chain, (M,); copied.
    """

    def __init__(
        self, atoms: Atoms, timestep: float, *, kT: float, tau: float, freedom: int, position: Array, momentum: Array
    ) -> None:
        super().__init__(atoms, timestep)
        self.kT, self.freedom = kT, freedom
        self.position, self.momentum = np.array(position, np.float64), np.array(momentum, np.float64)
        self.mass = np.full(len(self.position), kT * tau**2)
        self.mass[0] *= freedom

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


THERMOSTATS: dict[str, Callable[[float], Thermostat]] = {"langevin": Langevin, "nose-hoover": NoseHoover}
"""Thermostats by their name in a study file; each is called with its time constant in ps."""
