"""Integrators: how positions and momenta advance by a timestep.

Each maker returns an `Integrator`, two pure functions of one replica. Units are eV, Å and amu, so that time is in
`refine.units.TIME_UNIT` fs. Operations, their order and the splitting of random keys are those of jax_md.simulate
(nve, nvt_nose_hoover, nvt_langevin): trajectories are bit for bit the same (tests/sampling/jax/test_integrators.py).
jax_md itself is not imported: that takes longer than a short run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from refine.sampling.jax import random_numbers

__all__ = ["Arrays", "Force", "Integrator", "langevin", "nose_hoover", "velocity_verlet"]

Arrays = dict[str, jax.Array]
Force = Callable[..., jax.Array]
"""(positions (N, 3), **arguments) -> forces (N, 3), eV/Å; kT is among the arguments, for those who ask for it."""


class Integrator(NamedTuple):
    """The two functions of an integrator; states have `position`, `momentum`, `force` (N, 3) and `mass` (N, 1).

    begin: (positions (N, 3), momenta (N, 3), masses (N,), variables, **arguments) -> state; variables: the arrays of a
        thermostat (`refine.sampling.jax.thermostats`).
    step: (state, **arguments) -> state after one timestep, coordinates unwrapped. kT (eV) is one of the arguments.
    """

    begin: Callable[..., Any]
    step: Callable[..., Any]


class Newtonian(NamedTuple):
    """State of `velocity_verlet`."""

    position: jax.Array
    momentum: jax.Array
    force: jax.Array
    mass: jax.Array


class Stochastic(NamedTuple):
    """State of `langevin`; key: of the random numbers to come."""

    position: jax.Array
    momentum: jax.Array
    force: jax.Array
    mass: jax.Array
    key: jax.Array


class Chained(NamedTuple):
    """State of `nose_hoover`: positions, momenta and masses (M,) of the chain, its time constant, and the kinetic
    energy that it sees.

    Masses and time constant are carried, as in jax_md, although they never change: XLA rounds constants otherwise.
    """

    position: jax.Array
    momentum: jax.Array
    force: jax.Array
    mass: jax.Array
    chain_position: jax.Array
    chain_momentum: jax.Array
    chain_mass: jax.Array
    tau: jax.Array
    kinetic_energy: jax.Array


Moving = TypeVar("Moving", Newtonian, Stochastic, Chained)


def velocity_verlet(force: Force, timestep: float) -> Integrator:
    """Newton's equations at constant energy: half a kick, a drift, half a kick.

    The timestep is rounded to float32, whatever the precision of the coordinates.
    Source: W. C. Swope et al., J. Chem. Phys. 76, 637 (1982).
    """

    def begin(
        positions: jax.Array, momenta: jax.Array, masses: jax.Array, variables: Arrays, **arguments: Any
    ) -> Newtonian:
        return Newtonian(positions, momenta, force(positions, **arguments), masses[:, None])

    def step(state: Newtonian, **arguments: Any) -> Newtonian:
        return verlet_step(state, force, timestep, arguments)

    return Integrator(begin, step)


def langevin(force: Force, timestep: float, gamma: float) -> Integrator:
    """Langevin dynamics, dp = f dt - gamma p dt + sqrt(2 gamma m kT) dW, split as BAOAB.

    Half a kick, half a drift, p -> c p + sqrt((1 - c^2) m kT) xi with c = exp(-gamma dt), half a drift, half a kick;
    xi are 3 N normal numbers. gamma: per unit of time.
    Source: B. Leimkuhler and C. Matthews, J. Chem. Phys. 138, 174102 (2013).
    """

    def begin(
        positions: jax.Array, momenta: jax.Array, masses: jax.Array, variables: Arrays, **arguments: Any
    ) -> Stochastic:
        key = random_numbers.wrap(variables["key"])
        return Stochastic(positions, momenta, force(positions, **arguments), masses[:, None], key)

    def step(state: Stochastic, **arguments: Any) -> Stochastic:
        half = timestep / 2
        state = _drift(_kick(state, half), half)
        decay = jnp.exp(-gamma * timestep)
        width = jnp.sqrt(arguments["kT"] * (1 - decay**2))
        key, drawn = jax.random.split(state.key)
        mean, deviation = decay * state.momentum, jnp.sqrt(width**2 * state.mass)
        momentum = mean + deviation * jax.random.normal(drawn, mean.shape, dtype=mean.dtype)
        state = _drift(state._replace(momentum=momentum, key=key), half)
        return _kick(state._replace(force=force(state.position, **arguments)), half)

    return Integrator(begin, step)


def nose_hoover(force: Force, timestep: float, tau: float, freedom: Callable[[int], int]) -> Integrator:
    """A Nosé-Hoover chain: half a step of the chain, a step of velocity Verlet, half a step of the chain.

    tau: its time constant; the masses of the chain are Q = kT tau^2, the first times the degrees of freedom,
    `freedom(N)`. Its length is that of its variables. Timestep and tau are rounded to float32.
    Source: G. J. Martyna, M. E. Tuckerman, D. J. Tobias and M. L. Klein, Mol. Phys. 87, 1117 (1996).
    """

    def masses_of_chain(kT: jax.Array, tau: jax.Array, n_atoms: int, length: int) -> jax.Array:
        equal = kT * tau ** jnp.float32(2) * jnp.ones(length, jnp.float32)
        return equal.at[0].multiply(freedom(n_atoms))

    def begin(
        positions: jax.Array, momenta: jax.Array, masses: jax.Array, variables: Arrays, **arguments: Any
    ) -> Chained:
        mass, xi = masses[:, None], variables["chain_position"]
        return Chained(
            positions,
            momenta,
            force(positions, **arguments),
            mass,
            xi,
            variables["chain_momentum"],
            masses_of_chain(arguments["kT"], jnp.float32(tau), len(positions), len(xi)),
            jnp.float32(tau),
            _kinetic_energy(momenta, mass),
        )

    def step(state: Chained, **arguments: Any) -> Chained:
        n_atoms, kT = len(state.position), arguments["kT"]
        state = state._replace(chain_mass=masses_of_chain(kT, state.tau, n_atoms, len(state.chain_position)))
        state = _chain_step(state, timestep, freedom(n_atoms), kT)
        state = verlet_step(state, force, timestep, arguments)
        state = state._replace(kinetic_energy=_kinetic_energy(state.momentum, state.mass))
        return _chain_step(state, timestep, freedom(n_atoms), kT)

    return Integrator(begin, step)


def verlet_step(state: Moving, force: Force, timestep: float | jax.Array, arguments: dict[str, Any]) -> Moving:
    """One step of velocity Verlet, of any state."""
    half = jnp.float32(timestep / 2)
    state = _drift(_kick(state, half), jnp.float32(timestep))
    return _kick(state._replace(force=force(state.position, **arguments)), half)


def _kick(state: Moving, time: float | jax.Array) -> Moving:
    return state._replace(momentum=state.momentum + time * state.force)


def _drift(state: Moving, time: float | jax.Array) -> Moving:
    return state._replace(position=state.position + time * state.momentum / state.mass)


def _kinetic_energy(momentum: jax.Array, mass: jax.Array) -> jax.Array:
    return 0.5 * jnp.sum(momentum**2 / mass)


def _chain_step(state: Chained, timestep: float, freedom: int, kT: jax.Array) -> Chained:
    """Half a timestep of the chain: its momenta from the last to the first, then the atoms' momenta and the chain's
    positions, then its momenta from the first to the last."""
    delta = jnp.float32(timestep)
    half, quarter, eighth = delta / 2, delta / 4, delta / 8
    last = len(state.chain_momentum) - 1
    p, mass, kinetic = state.chain_momentum, state.chain_mass, state.kinetic_energy

    def pulled(m: int | jax.Array, next_momentum: jax.Array, force: jax.Array) -> jax.Array:
        scale = jnp.exp(-eighth * next_momentum / mass[m + 1])
        return scale * (scale * p[m] + quarter * force)

    def downwards(next_momentum: jax.Array, m: jax.Array) -> tuple[jax.Array, jax.Array]:
        new = pulled(m, next_momentum, p[m - 1] ** 2 / mass[m - 1] - kT)
        return new, new

    def upwards(force: jax.Array, m: jax.Array) -> tuple[jax.Array, jax.Array]:
        new = pulled(m, p[m + 1], force)
        return new**2 / mass[m] - kT, new

    p = p.at[last].add(quarter * (p[last - 1] ** 2 / mass[last - 1] - kT))
    between = jnp.arange(last - 1, 0, -1)
    p = p.at[between].set(jax.lax.scan(downwards, p[last], between, unroll=2)[1])
    p = p.at[0].set(pulled(0, p[1], 2 * kinetic - freedom * kT))

    scale = jnp.exp(-half * p[0] / mass[0])
    momentum, kinetic = state.momentum * scale, kinetic * scale**2
    xi = state.chain_position + half * p / mass

    but_last = jnp.arange(last)
    force, new = jax.lax.scan(upwards, 2 * kinetic - freedom * kT, but_last, unroll=2)
    p = p.at[but_last].set(new).at[last].add(quarter * force)
    return state._replace(momentum=momentum, chain_position=xi, chain_momentum=p, kinetic_energy=kinetic)
