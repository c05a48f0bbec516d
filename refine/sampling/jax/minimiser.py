"""FIRE, the fast inertial relaxation engine: dynamics that stop whenever they run uphill.

Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006). Operations and their order are those of jax_md.minimize.fire_descent,
and so are the positions, bit for bit (tests/sampling/jax/test_integrators.py). Unit masses: time is a step length
(Å^2 per eV), not physics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from refine.sampling.jax.integrators import Force

__all__ = ["fire"]

# jax_md keeps its constants, and with them the timestep, in the shortest float that holds them.
_FIRST_TIMESTEP, _LONGEST_TIMESTEP, _FIRST_MIXING = np.float16(0.1), np.float16(0.4), np.float16(0.1)
_FASTER, _SLOWER, _LESS_MIXING = np.float16(1.1), np.float16(0.5), np.float16(0.99)
_PATIENCE = 5
"""Steps downhill before the timestep grows."""


class Falling(NamedTuple):
    """State: position, momentum and force (N, 3); timestep and mixing, float16; downhill: steps in a row that were."""

    position: jax.Array
    momentum: jax.Array
    force: jax.Array
    timestep: jax.Array
    mixing: jax.Array
    downhill: jax.Array


def fire(force: Force, longest_move: float) -> tuple[Callable[..., Falling], Callable[..., Falling]]:
    """(begin(positions (N, 3), **arguments) -> state, step(state, **arguments) -> state).

    arguments: of the force (eV/Å). longest_move: of an atom along each axis in one step, Å.
    """

    def begin(positions: jax.Array, **arguments: Any) -> Falling:
        return Falling(
            positions,
            jnp.zeros_like(positions),
            force(positions, **arguments),
            jnp.asarray(_FIRST_TIMESTEP),
            jnp.asarray(_FIRST_MIXING),
            jnp.zeros((), jnp.int32),
        )

    def step(state: Falling, **arguments: Any) -> Falling:
        r, p, f, dt, mixing, downhill = state
        half = jnp.float32(dt / 2)
        p = p + half * f
        r = r + jnp.clip(jnp.float32(dt) * p, -longest_move, longest_move)
        f = force(r, **arguments)
        p = p + half * f

        f_norm, p_norm = jnp.sqrt(jnp.sum(f**2) + 1e-6), jnp.sqrt(jnp.sum(p**2))
        power = jnp.sum(f * p)
        p = p + mixing * (f * p_norm / f_norm - p)
        downhill = jnp.where(power >= 0, downhill + 1, 0)
        faster = (power > 0) & (downhill > _PATIENCE)
        dt = jnp.where(faster, jnp.minimum(dt * _FASTER, _LONGEST_TIMESTEP), dt)
        dt = jnp.where(power < 0, dt * _SLOWER, dt)
        mixing = jnp.where(faster, mixing * _LESS_MIXING, mixing)
        mixing = jnp.where(power < 0, _FIRST_MIXING, mixing)
        return Falling(r, (power >= 0) * p, f, dt, mixing, downhill)

    return begin, step
