"""Integrators and the minimiser against jax_md, whose trajectories they repeat bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from refine.sampling.jax import integrators, random_numbers
from refine.sampling.jax.integrators import Integrator
from refine.sampling.jax.minimiser import fire
from refine.units import BOLTZMANN

N, REPLICAS, STEPS = 27, 2, 200
TIMESTEP, GAMMA, TAU, LONGEST_MOVE = 0.5, 0.02, 40.0, 0.1
kT = BOLTZMANN * 95.0


def lennard_jones(positions: jax.Array, **_: Any) -> jax.Array:
    """Forces of argon in a cubic box of 11 Å, nearest images."""
    apart = positions[:, None] - positions[None]
    apart = apart - 11.0 * jnp.round(apart / 11.0)
    r2 = jnp.sum(apart**2, axis=2) + 100.0 * jnp.eye(N, dtype=positions.dtype)
    s6 = (3.405**2 / r2) ** 3
    return jnp.sum((24 * 0.0103 * (2 * s6**2 - s6) / r2)[:, :, None] * apart, axis=1)


def move(position: jax.Array, displacement: jax.Array, **_: Any) -> jax.Array:
    return position + displacement


def starts(dtype: str, scatter: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions and momenta (REPLICAS, N, 3) and masses (N,) of two species."""
    rng = np.random.default_rng(3)
    lattice = np.stack(np.meshgrid(*[np.arange(3) * 11.0 / 3] * 3), axis=-1).reshape(-1, 3)
    positions = lattice + rng.normal(scale=scatter, size=(REPLICAS, N, 3))
    masses = np.where(np.arange(N) < 14, 39.948, 83.798)
    momenta = rng.normal(size=(REPLICAS, N, 3)) * np.sqrt(masses[:, None] * kT)
    return positions.astype(dtype), momenta.astype(dtype), masses.astype(dtype)


def of_jax_md(name: str) -> Integrator:
    """An integrator of jax_md.simulate into whose state momenta and the thermostat's variables are put."""
    from jax_md import simulate

    init, step = {
        "velocity_verlet": lambda: simulate.nve(lennard_jones, move, dt=TIMESTEP),
        "langevin": lambda: simulate.nvt_langevin(lennard_jones, move, dt=TIMESTEP, kT=0.0, gamma=GAMMA),
        "nose_hoover": lambda: simulate.nvt_nose_hoover(
            lennard_jones, move, dt=TIMESTEP, kT=0.0, tau=TAU, chain_length=3, chain_steps=1, sy_steps=1
        ),
    }[name]()

    def begin(r: jax.Array, p: jax.Array, masses: jax.Array, variables: Any, **arguments: Any) -> Any:
        state = init(random_numbers.new_key(0), r, mass=masses, momenta=p, **arguments)
        if name == "langevin":
            return state.set(rng=random_numbers.wrap(variables["key"]))
        if name == "nose_hoover":
            chain = {"position": variables["chain_position"], "momentum": variables["chain_momentum"]}
            # the momentum is conserved: three degrees of freedom fewer than jax_md counts
            return state.set(chain=state.chain.set(**chain, degrees_of_freedom=3 * N - 3))
        return state

    return Integrator(begin, step)


def trajectory(integrator: Any, variables: Any, dtype: str, replicas: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and momenta after STEPS steps, one replica unbatched or several under vmap."""
    positions, momenta, masses = starts(dtype)

    def one(r: jax.Array, p: jax.Array, variables: Any, masses: jax.Array, kT: jax.Array) -> Any:
        state = integrator.begin(r, p, masses, variables, kT=kT)
        state = jax.lax.fori_loop(0, STEPS, lambda _, state: integrator.step(state, kT=kT), state)
        return state.position, state.momentum

    of_all = jax.vmap(one, in_axes=(0, 0, 0, None, None)) if replicas > 1 else one
    take = slice(0, replicas) if replicas > 1 else 0
    variables = jax.tree.map(lambda x: x[take], variables)
    return jax.device_get(
        jax.jit(of_all)(positions[take], momenta[take], variables, masses, jnp.asarray(kT, masses.dtype))
    )


def ours(name: str) -> Integrator:
    return {
        "velocity_verlet": lambda: integrators.velocity_verlet(lennard_jones, TIMESTEP),
        "langevin": lambda: integrators.langevin(lennard_jones, TIMESTEP, GAMMA),
        "nose_hoover": lambda: integrators.nose_hoover(lennard_jones, TIMESTEP, TAU, lambda n: 3 * n - 3),
    }[name]()


@pytest.mark.parametrize("replicas", [1, REPLICAS])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["velocity_verlet", "langevin", "nose_hoover"])
def test_trajectories_are_those_of_jax_md_bit_for_bit(name: str, dtype: str, replicas: int) -> None:
    with jax.enable_x64(dtype == "float64"):
        key = jax.random.key_data(jax.random.split(random_numbers.new_key(7), REPLICAS))
        chain = jnp.zeros((REPLICAS, 3), dtype)
        variables = {"key": key, "chain_position": chain, "chain_momentum": chain}
        found = trajectory(ours(name), variables, dtype, replicas)
        expected = trajectory(of_jax_md(name), variables, dtype, replicas)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype == dtype
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("replicas", [1, REPLICAS])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relaxed_positions_are_those_of_jax_md_bit_for_bit(dtype: str, replicas: int) -> None:
    """A start that overlaps: both signs of the power, and moves that are cut short, occur."""
    from jax_md import minimize

    def clipped(position: jax.Array, displacement: jax.Array, **_: Any) -> jax.Array:
        return position + jnp.clip(displacement, -LONGEST_MOVE, LONGEST_MOVE)

    def relaxed(begin: Callable[..., Any], step: Callable[..., Any]) -> np.ndarray:
        def one(r: jax.Array) -> jax.Array:
            return jax.lax.fori_loop(0, STEPS, lambda _, state: step(state), begin(r)).position

        r = starts(dtype, scatter=0.6)[0]
        return np.asarray(jax.jit(jax.vmap(one))(r) if replicas > 1 else jax.jit(one)(r[0]))

    with jax.enable_x64(dtype == "float64"):
        found = relaxed(*fire(lennard_jones, LONGEST_MOVE))
        expected = relaxed(*minimize.fire_descent(lennard_jones, clipped))
    assert found.dtype == expected.dtype == dtype
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, expected)
