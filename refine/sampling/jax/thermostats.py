"""Thermostats: each builds its integrator and knows what of the integrator's state must be carried on.

A thermostat is an object handed to the `Sampler`; the name in a study file is looked up in `THERMOSTATS`, here and
nowhere else. Times are in ps at the border; inside, dynamics run in eV-Å-amu, whose unit of time is
`refine.units.TIME_UNIT` fs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp

from kernels.neighbors import NeighborList
from refine.sampling.jax import integrators
from refine.sampling.jax.integrators import Arrays, Force, Integrator
from refine.units import TIME_UNIT


class Thermostat(Protocol):
    """What the sampler asks of a thermostat. All arrays here belong to one replica."""

    holds_temperature: ClassVar[bool]
    """Whether the kinetic temperature is the one asked for, in the mean over a trajectory."""

    at_frames: ClassVar[bool] = False
    """Whether `at_frame` does anything."""

    def degrees_of_freedom(self, n_atoms: int) -> int:
        """Degrees of freedom among which kinetic energy is shared: T = 2 K / (dof k)."""

    def integrator(self, force: Force, timestep: float) -> Integrator:
        """timestep in internal units. kT is given to every step as a keyword, so a change compiles nothing."""

    def fresh(self, key: jax.Array, dtype: Any) -> Arrays:
        """Variables of the thermostat at the start of a trajectory."""

    def variables(self, state: Any) -> Arrays:
        """The variables of the thermostat that continue a trajectory."""

    def at_frame(self, state: Any, neighbors: NeighborList, cell: jax.Array) -> Any:
        """The state after a frame was taken of it."""
        return state


@dataclass(frozen=True)
class Langevin(Thermostat):
    """Langevin dynamics, BAOAB splitting (Leimkuhler & Matthews, J. Chem. Phys. 138, 174102 (2013)); one random draw
    a step.

    time_constant_ps: 1/gamma, the relaxation time of a free atom's momentum. Momentum is not conserved: all 3N
    degrees of freedom are thermal. Averages over configurations are right to second order in the timestep with a small
    coefficient: exactly for harmonic forces, and to fourth order at high friction. The kinetic temperature is of second
    order even then.
    """

    time_constant_ps: float = 0.5
    holds_temperature: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_time_constant(self.time_constant_ps)

    def degrees_of_freedom(self, n_atoms: int) -> int:
        return 3 * n_atoms

    def integrator(self, force: Force, timestep: float) -> Integrator:
        gamma = TIME_UNIT / (1000 * self.time_constant_ps)
        return integrators.langevin(force, timestep, gamma)

    def fresh(self, key: jax.Array, dtype: Any) -> Arrays:
        return {"key": jax.random.key_data(key)}

    def variables(self, state: Any) -> Arrays:
        return {"key": jax.random.key_data(state.key)}


@dataclass(frozen=True)
class NoseHoover(Thermostat):
    """Deterministic: a Nosé-Hoover chain of three (Martyna, Klein & Tuckerman, J. Chem. Phys. 97, 2635 (1992)).

    time_constant_ps: tau in the chain's masses Q = kT tau^2 (the first times its degrees of freedom). One chain
    update before and one after each step is enough while the timestep is below a tenth of tau. Momentum is conserved:
    3N - 3 degrees of freedom.
    """

    time_constant_ps: float = 0.5
    holds_temperature: ClassVar[bool] = True
    CHAIN: ClassVar[int] = 3

    def __post_init__(self) -> None:
        _check_time_constant(self.time_constant_ps)

    def degrees_of_freedom(self, n_atoms: int) -> int:
        return 3 * n_atoms - 3

    def integrator(self, force: Force, timestep: float) -> Integrator:
        tau = 1000 * self.time_constant_ps / TIME_UNIT
        return integrators.nose_hoover(force, timestep, tau, self.degrees_of_freedom)

    def fresh(self, key: jax.Array, dtype: Any) -> Arrays:
        return {"chain_position": jnp.zeros(self.CHAIN, dtype), "chain_momentum": jnp.zeros(self.CHAIN, dtype)}

    def variables(self, state: Any) -> Arrays:
        return {"chain_position": state.chain_position, "chain_momentum": state.chain_momentum}


@dataclass(frozen=True)
class VelocityVerlet(Thermostat):
    """No thermostat: constant energy. The temperature asked for is only that of the first momenta. For tests and
    diagnostics."""

    holds_temperature: ClassVar[bool] = False

    def degrees_of_freedom(self, n_atoms: int) -> int:
        return 3 * n_atoms - 3

    def integrator(self, force: Force, timestep: float) -> Integrator:
        return integrators.velocity_verlet(force, timestep)

    def fresh(self, key: jax.Array, dtype: Any) -> Arrays:
        return {}

    def variables(self, state: Any) -> Arrays:
        return {}


def _check_time_constant(time_constant_ps: float) -> None:
    if not 0 < time_constant_ps < float("inf"):
        raise ValueError(f"a thermostat needs a time constant above zero; got {time_constant_ps} ps")


THERMOSTATS: dict[str, Callable[[float], Thermostat]] = {"langevin": Langevin, "nose-hoover": NoseHoover}
"""Thermostats by their name in a study file; each is called with its time constant in ps."""
