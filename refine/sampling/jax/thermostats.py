"""Thermostats: each builds its jax_md.simulate pair (init, step) and knows what of its state must be carried on.

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
from jax_md import simulate

from refine.sampling.jax import random_numbers
from refine.units import TIME_UNIT

Arrays = dict[str, jax.Array]
Force = Callable[..., jax.Array]
Integrator = tuple[Callable[..., Any], Callable[..., Any]]
"""(init(key, positions, mass=, momenta=, **kwargs) -> state, step(state, **kwargs) -> state) as jax_md.simulate makes
them."""


class Thermostat(Protocol):
    """What the sampler asks of a thermostat. All arrays here belong to one replica."""

    holds_temperature: ClassVar[bool]

    def degrees_of_freedom(self, n_atoms: int) -> int:
        """Degrees of freedom among which kinetic energy is shared: T = 2 K / (dof k)."""

    def integrator(self, force: Force, timestep: float) -> Integrator:
        """jax_md's pair; timestep in internal units. kT is given to every step as a keyword, so a change compiles
        nothing."""

    def fresh(self, key: jax.Array, dtype: Any) -> Arrays:
        """Variables of the thermostat at the start of a trajectory."""

    def restore(self, state: Any, variables: Arrays) -> Any:
        """jax_md's state with the thermostat's variables put back into it."""

    def variables(self, state: Any) -> Arrays:
        """The variables of the thermostat that continue a trajectory."""


def _move(position: jax.Array, displacement: jax.Array, **_: Any) -> jax.Array:
    """jax_md's shift function. Coordinates stay unwrapped within a block of steps, where every distance is a minimum
    image."""
    return position + displacement


@dataclass(frozen=True)
class Langevin:
    """Langevin dynamics, BAOAB splitting (Leimkuhler & Matthews, J. Chem. Phys. 138, 174102 (2013)); one random draw
    a step.

    time_constant_ps: 1/gamma, the relaxation time of a free atom's momentum. Momentum is not conserved: all 3N
    degrees of freedom are thermal. Configurations are right to fourth order in the timestep; the kinetic temperature
    only to second.
    """

    time_constant_ps: float = 0.5
    holds_temperature: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_time_constant(self.time_constant_ps)

    def degrees_of_freedom(self, n_atoms: int) -> int:
        return 3 * n_atoms

    def integrator(self, force: Force, timestep: float) -> Integrator:
        gamma = TIME_UNIT / (1000 * self.time_constant_ps)
        return simulate.nvt_langevin(force, _move, dt=timestep, kT=0.0, gamma=gamma)

    def fresh(self, key: jax.Array, dtype: Any) -> Arrays:
        return {"key": jax.random.key_data(key)}

    def restore(self, state: Any, variables: Arrays) -> Any:
        return state.set(rng=random_numbers.wrap(variables["key"]))

    def variables(self, state: Any) -> Arrays:
        return {"key": jax.random.key_data(state.rng)}


@dataclass(frozen=True)
class NoseHoover:
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
        return simulate.nvt_nose_hoover(
            force, _move, dt=timestep, kT=0.0, chain_length=self.CHAIN, chain_steps=1, sy_steps=1, tau=tau
        )

    def fresh(self, key: jax.Array, dtype: Any) -> Arrays:
        return {"chain_position": jnp.zeros(self.CHAIN, dtype), "chain_momentum": jnp.zeros(self.CHAIN, dtype)}

    def restore(self, state: Any, variables: Arrays) -> Any:
        # jax_md counts 3N degrees of freedom; with the momentum conserved that would hold the atoms N/(N-1) times too
        # hot.
        chain = state.chain.set(
            position=variables["chain_position"],
            momentum=variables["chain_momentum"],
            degrees_of_freedom=self.degrees_of_freedom(state.position.shape[0]),
        )
        return state.set(chain=chain)

    def variables(self, state: Any) -> Arrays:
        return {"chain_position": state.chain.position, "chain_momentum": state.chain.momentum}


@dataclass(frozen=True)
class VelocityVerlet:
    """No thermostat: constant energy. The temperature asked for is only that of the first momenta. For tests and
    diagnostics."""

    holds_temperature: ClassVar[bool] = False

    def degrees_of_freedom(self, n_atoms: int) -> int:
        return 3 * n_atoms - 3

    def integrator(self, force: Force, timestep: float) -> Integrator:
        return simulate.nve(force, _move, dt=timestep)

    def fresh(self, key: jax.Array, dtype: Any) -> Arrays:
        return {}

    def restore(self, state: Any, variables: Arrays) -> Any:
        return state

    def variables(self, state: Any) -> Arrays:
        return {}


def _check_time_constant(time_constant_ps: float) -> None:
    if not 0 < time_constant_ps < float("inf"):
        raise ValueError(f"a thermostat needs a time constant above zero; got {time_constant_ps} ps")


THERMOSTATS: dict[str, Callable[[float], Thermostat]] = {"langevin": Langevin, "nose-hoover": NoseHoover}
"""Thermostats by their name in a study file; each is called with its time constant in ps."""
