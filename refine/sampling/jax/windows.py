"""Windows of dynamics and their exact derivative: the compiled program, and what it is differentiated by.

A window takes n steps of BAOAB or velocity Verlet from a stored configuration; the random numbers are fixed by the
stored key, split as the sampler would. At the ends of its last blocks a smooth pair count is taken,

    O(R_n) = Σ_{i<j} v_ab(r_ij),      v linear between bin centres, zero from r_max on,

and its derivative by the parameters of the force field is the exact derivative of these n discrete steps.

Memory. Reverse mode needs every state again. The steps lie in sqrt(n) blocks of sqrt(n) steps; only the states between
blocks are kept, a block is done again when its turn comes, and in it every step once more, so that of what a force
leaves behind for its derivative there is one step's at a time (A. Griewank and A. Walther, ACM Trans. Math. Softw. 26,
19 (2000); T. Chen et al., arXiv:1604.06174): 2 sqrt(n) states of 6 N numbers, for two extra passes of forces.

What is observed must be smooth on the scale of the atoms' motion: O's derivative is a sum of slopes of v, and where v
is a spike of a few bins, as for a point of an unbroadened g(r), its scatter grows with the inverse of their width.
Curves in Q, or in r as seen through a Q range, are smooth.

Neighbour lists are constants of the steps: they are made of stopped positions, and so is the wrapping.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kernels.cell import minimum_image, split
from kernels.species import pair_row, species_of
from refine.sampling.jax import random_numbers
from refine.sampling.jax.lists import ListPlan, ListShape
from refine.units import TIME_UNIT

Array = NDArray[np.float64]

TILE = 128
"""Atoms whose pairs with all others are counted at a time."""


class LinearParams(NamedTuple):
    """Parameters of a force field and how they change, point + Σ_k theta_k tangents_k.

    tangents: for every leaf of `point` in the order of jax.tree.leaves (k, ...), None where it does not change.
    """

    point: Any
    tangents: tuple[Any, ...]

    @classmethod
    def build(cls, point: Any, moved: Sequence[Any], step: float | Sequence[float]) -> LinearParams:
        """From params at a point and with each of k parameters moved by its step."""
        steps = np.broadcast_to(np.asarray(step, float), len(moved))
        leaves = [jax.tree.leaves(one) for one in moved]
        tangents: list[Any] = []
        for at, leaf in enumerate(jax.tree.leaves(point)):
            ends = [one[at] for one in leaves]
            if all(end is leaf for end in ends):  # weights of a model: not even compared
                tangents.append(None)
                continue
            start = np.asarray(leaf, np.float64)
            change = np.stack([(np.asarray(end, np.float64) - start) / h for end, h in zip(ends, steps, strict=True)])
            tangents.append(change if change.any() else None)
        if all(tangent is None for tangent in tangents):
            raise ValueError("no parameter of the force field changes with what it is differentiated by")
        return cls(point, tuple(tangents))

    @property
    def size(self) -> int:
        """k."""
        return len(next(tangent for tangent in self.tangents if tangent is not None))


class _Phase(NamedTuple):
    """Positions and momenta (N, 3) at the end of a step of BAOAB but for its last half kick."""

    positions: jax.Array
    momenta: jax.Array


class _Drive(NamedTuple):
    """What is given to a step: its kick in units of the timestep, and its random key or numbers (None: no noise)."""

    kick: jax.Array
    key: jax.Array | None


@dataclass(frozen=True)
class WindowProgram:
    """What a window is.

    plan: of its neighbour lists.  dtype: of its coordinates.
    timestep: fs.  gamma: friction of Langevin dynamics, 1/internal time; None: constant energy.
    blocks, lists, per_list: blocks of a window, lists of a block, steps with one list.
    n_bins, r_max: bins of the pair counts that v belongs to, Å.
    """

    plan: ListPlan
    dtype: np.dtype[Any]
    timestep: float
    gamma: float | None
    blocks: int
    lists: int
    per_list: int
    n_bins: int
    r_max: float

    def program(self, shape: ListShape) -> Callable[..., Any]:
        """(theta, ...) -> ((O, (largest squared displacement under one list, overflow)), dO/d theta)."""
        field = self.plan.force_field
        masses = jnp.asarray(self.plan.system.masses, self.dtype)[:, None]
        timestep = self.timestep / TIME_UNIT
        decay = 1.0 if self.gamma is None else math.exp(-self.gamma * timestep)

        def observed(
            theta: jax.Array,
            positions: jax.Array,
            momenta: jax.Array,
            variables: dict[str, jax.Array],
            linear: LinearParams,
            cell: jax.Array,
            kT: jax.Array,
            cotangent: jax.Array,
            weights: jax.Array,
            reach: jax.Array,
        ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            leaves, tree = jax.tree.flatten(linear.point)
            changed = (
                leaf if tangent is None else leaf + jnp.tensordot(theta, tangent, 1)
                for leaf, tangent in zip(leaves, linear.tangents, strict=True)
            )
            params = jax.tree.unflatten(tree, list(changed))
            spread = jnp.sqrt(masses * kT * (1 - decay**2))

            def under_one_list(state: _Phase, of_step: _Drive) -> tuple[_Phase, tuple[jax.Array, jax.Array]]:
                at_start = jax.lax.stop_gradient(state.positions)
                neighbors = self.plan.build(at_start, cell, reach, shape)
                # drawn before the steps: inside one XLA would draw them again for every pair that needs a position
                noise = None if of_step.key is None else jax.vmap(self._normal)(of_step.key)

                @partial(jax.checkpoint, prevent_cse=False)
                def one(state: _Phase, of_step: _Drive) -> tuple[_Phase, jax.Array]:
                    r, p = state
                    p = p + of_step.kick * timestep * field.forces(params, r, neighbors, cell)
                    r = r + timestep / 2 * p / masses
                    if of_step.key is not None:
                        p = decay * p + spread * of_step.key
                    r = r + timestep / 2 * p / masses
                    moved = jax.lax.stop_gradient(r) - at_start
                    return _Phase(r, p), jnp.max(jnp.sum(moved**2, axis=1))

                state, moved = jax.lax.scan(one, state, _Drive(of_step.kick, noise), length=self.per_list)
                return state, (jnp.max(moved), neighbors.overflow)

            def advanced(state: _Phase, of_step: _Drive) -> tuple[_Phase, jax.Array, jax.Array]:
                state, (moved, overflow) = jax.lax.scan(under_one_list, state, of_step, length=self.lists)
                return state, jnp.max(moved), jnp.any(overflow)

            def resting(state: _Phase, _: _Drive) -> tuple[_Phase, jax.Array, jax.Array]:
                return state, jnp.zeros((), self.dtype), jnp.asarray(False)

            active = jnp.max(jnp.where(weights > 0, jnp.arange(self.blocks), -1))

            @partial(jax.checkpoint, prevent_cse=False)
            def block(state: _Phase, at: tuple[jax.Array, jax.Array, _Drive]) -> tuple[_Phase, tuple[jax.Array, ...]]:
                index, weight, of_step = at
                # blocks after the window's end are neither done nor differentiated
                state, moved, overflow = jax.lax.cond(index <= active, advanced, resting, state, of_step)
                count = jax.lax.cond(
                    weight > 0,
                    lambda r: weight * self._count(r, cell, cotangent),
                    lambda r: jnp.zeros((), self.dtype),
                    state.positions,
                )
                return state, (count, moved, overflow)

            state, drive = _Phase(positions, momenta), self._drive(variables)
            _, (counts, moved, overflow) = jax.lax.scan(block, state, (jnp.arange(self.blocks), weights, drive))
            return jnp.sum(counts), (jnp.max(moved), jnp.any(overflow))

        return jax.value_and_grad(observed, has_aux=True)

    def _drive(self, variables: dict[str, jax.Array]) -> _Drive:
        """Of all steps, (blocks, lists, steps of a list, ...): the keys as `integrators.langevin` splits them."""
        shape = (self.blocks, self.lists, self.per_list)
        # the half kicks that end a step and begin the next are at the same positions: one force, and none at the end
        kick = jnp.ones(math.prod(shape), self.dtype).at[0].set(0.5).reshape(shape)
        if self.gamma is None:
            return _Drive(kick, None)

        def split_off(key: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            left, drawn = jax.random.split(random_numbers.wrap(key))
            return jax.random.key_data(left), jax.random.key_data(drawn)

        _, keys = jax.lax.scan(split_off, variables["key"], None, length=math.prod(shape))
        return _Drive(kick, keys.reshape(*shape, 2))

    def _normal(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(random_numbers.wrap(key), (self.plan.system.n_atoms, 3), self.dtype)

    def _count(self, positions: jax.Array, cell: jax.Array, cotangent: jax.Array) -> jax.Array:
        """Σ_{i<j} v_ab(r_ij), v linear between bin centres, constant below the first, falling to zero at r_max."""
        system = self.plan.system
        n, species = system.n_atoms, len(system.species)
        slope = jnp.concatenate([cotangent[:, 1:] - cotangent[:, :-1], -2 * cotangent[:, -1:]], axis=1)
        tiles = math.ceil(n / TILE)
        atoms = jnp.minimum(jnp.arange(tiles * TILE, dtype=jnp.int32), n - 1).reshape(tiles, TILE)
        everyone = jnp.arange(n, dtype=jnp.int32)
        kinds = species_of(everyone, system.n_per_species)
        components = split(positions)

        @jax.checkpoint
        def add(total: jax.Array, tile: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            here, real = tile
            dx, dy, dz = (x[here][:, None] - x[None] for x in components)
            dx, dy, dz = minimum_image(dx, dy, dz, cell, system.orthorhombic)
            pairs = real[:, None] & (here[:, None] < everyone[None])
            r2 = jnp.where(pairs, dx * dx + dy * dy + dz * dz, 1.0)  # no root of zero on the diagonal
            place = jnp.sqrt(r2) * (self.n_bins / self.r_max) - 0.5
            place = jnp.clip(place, 0.0, self.n_bins - 0.5)
            bin_ = jnp.minimum(place.astype(jnp.int32), self.n_bins - 1)
            index = pair_row(kinds[here][:, None], kinds[None], species) * self.n_bins + bin_
            v = cotangent.ravel()[index] + (place - bin_) * slope.ravel()[index]
            return total + jnp.sum(jnp.where(pairs, v, 0.0)), None

        real = (jnp.arange(tiles * TILE) < n).reshape(tiles, TILE)
        return jax.lax.scan(add, jnp.zeros((), positions.dtype), (atoms, real))[0]
