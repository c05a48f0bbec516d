"""Well-tempered metadynamics in compiled programs: a thermostat around another one, with hills among its variables.

The hills are part of what the thermostat carries on (`MDState.thermostat`): a trajectory that is resumed from a stored
state is bit for bit the one that never stopped, and each replica has hills of its own. Frames know nothing of the bias:
their energies are those of the force field.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernels.neighbors import NeighborList
from kernels.pair_sums import SumTable, all_pairs, pair_sum_forces, pair_sums, sum_table
from refine.errors import InputError
from refine.potentials.protocols import ForceField
from refine.sampling.bias import Bias, Hills
from refine.sampling.jax.integrators import Arrays, Force, Integrator
from refine.sampling.jax.sampler import Sampler
from refine.sampling.jax.thermostats import Thermostat
from refine.sampling.state import MDState

_PREFIX = "bias_"
_NAMES = ("centres", "heights", "number")


class Biased(NamedTuple):
    """State of biased dynamics: that of the integrator inside; hills: centres (H, d), heights (H,) kT, zero for those
    to come, and their number."""

    inner: Any
    centres: jax.Array
    heights: jax.Array
    number: jax.Array

    @property
    def position(self) -> jax.Array:
        """(N, 3) Å."""
        position: jax.Array = self.inner.position
        return position

    @property
    def momentum(self) -> jax.Array:
        """(N, 3)."""
        momentum: jax.Array = self.inner.momentum
        return momentum


@dataclass(frozen=True)
class Metadynamics(Thermostat):
    """A thermostat that the bias comes on top of.

    inner: it.  bias: variables and hills.  room: for so many hills, one a frame.  field: what is sampled.
    """

    inner: Thermostat
    bias: Bias
    room: int
    field: ForceField
    at_frames: ClassVar[bool] = True

    @property
    def holds_temperature(self) -> bool:  # type: ignore[override]
        """As the one inside."""
        return self.inner.holds_temperature

    def degrees_of_freedom(self, n_atoms: int) -> int:
        return self.inner.degrees_of_freedom(n_atoms)

    def integrator(self, force: Force, timestep: float) -> Integrator:
        def biased(positions: jax.Array, *, hills: tuple[jax.Array, ...], **arguments: Any) -> jax.Array:
            neighbors, cell, kT = (arguments[name] for name in ("neighbors", "cell", "kT"))
            return force(positions, **arguments) + self.forces(positions, hills, neighbors, cell, kT)

        inner = self.inner.integrator(biased, timestep)

        def begin(
            positions: jax.Array, momenta: jax.Array, masses: jax.Array, variables: Arrays, **arguments: Any
        ) -> Biased:
            hills = tuple(variables[_PREFIX + name] for name in _NAMES)
            own = {name: value for name, value in variables.items() if not name.startswith(_PREFIX)}
            return Biased(inner.begin(positions, momenta, masses, own, hills=hills, **arguments), *hills)

        def step(state: Biased, **arguments: Any) -> Biased:
            return state._replace(inner=inner.step(state.inner, hills=state[1:], **arguments))

        return Integrator(begin, step)

    def fresh(self, key: jax.Array, dtype: Any) -> Arrays:
        hills = {
            "centres": jnp.zeros((self.room, len(self.bias.variables)), dtype),
            "heights": jnp.zeros(self.room, dtype),
            "number": jnp.zeros((), jnp.int32),
        }
        return self.inner.fresh(key, dtype) | {_PREFIX + name: value for name, value in hills.items()}

    def variables(self, state: Biased) -> Arrays:
        return self.inner.variables(state.inner) | {_PREFIX + name: getattr(state, name) for name in _NAMES}

    def at_frame(self, state: Biased, neighbors: NeighborList, cell: jax.Array) -> Biased:
        """The state with one hill more, where it is."""
        s = self._combined(self._sums(state.position, neighbors, cell))
        height = self.bias.height * jnp.exp(-self._potential(s, state[1:]) / (self.bias.factor - 1))
        return state._replace(
            centres=state.centres.at[state.number].set(s, mode="drop"),
            heights=state.heights.at[state.number].set(height, mode="drop"),
            number=state.number + 1,
        )

    def forces(
        self,
        positions: jax.Array,
        hills: tuple[jax.Array, ...],
        neighbors: NeighborList,
        cell: jax.Array,
        kT: jax.Array,
    ) -> jax.Array:
        """(N, 3) eV/Å of the bias alone."""
        sums = self._sums(positions, neighbors, cell)
        slopes = jax.grad(lambda x: self._potential(self._combined(x), hills))(sums)
        idx, table = self._idx(positions, neighbors), self._table(positions.dtype)
        return pair_sum_forces(
            positions, idx, table, kT * slopes, cell, self.field.n_per_species, self.field.orthorhombic
        )

    def _sums(self, positions: jax.Array, neighbors: NeighborList, cell: jax.Array) -> jax.Array:
        """(rows of all variables,)."""
        idx, table = self._idx(positions, neighbors), self._table(positions.dtype)
        return pair_sums(positions, idx, table, cell, self.field.n_per_species, self.field.orthorhombic)

    def _combined(self, sums: jax.Array) -> jax.Array:
        """(d,) variables."""
        values, first = [], 0
        for one in self.bias.variables:
            x = sums[first : first + len(one.constants)] + jnp.asarray(one.constants, sums.dtype)
            values.append(x[0] if one.rest is None else jnp.sqrt(jnp.sum(x**2) + one.rest**2))
            first += len(one.constants)
        return jnp.stack(values)

    def _potential(self, s: jax.Array, hills: tuple[jax.Array, ...]) -> jax.Array:
        """V in kT."""
        centres, heights, _ = hills
        apart = (s - centres) / jnp.asarray(self.bias.widths, s.dtype)
        total: jax.Array = jnp.sum(heights * jnp.exp(-jnp.sum(apart**2, axis=1) / 2))
        return total

    def _table(self, dtype: Any) -> SumTable:
        functions = np.concatenate([one.functions for one in self.bias.variables])
        return sum_table(functions, self.bias.r_max, dtype)

    def _idx(self, positions: jax.Array, neighbors: NeighborList) -> jax.Array:
        """The list that there is anyway where it reaches so far, else all pairs."""
        if self.bias.r_max <= self.field.cutoff and not self.field.periodic_images:
            return neighbors.idx
        return all_pairs(positions.shape[0])


def biased_sampler(sampler: Sampler, bias: Bias, room: int) -> Sampler:
    """A sampler of the same atoms under a bias; room: for so many frames of each replica, a hill each.

    InputError where the variables need distances beyond half of the box.
    """
    sampler.system.check_distance(bias.r_max, "the distance that a variable of the bias sees")
    if room < 1:
        raise InputError(f"there is room for {room} hills", where="[bias] frames", fix="use 1 or more")
    return sampler.with_thermostat(Metadynamics(sampler.thermostat, bias, room, sampler.force_field))


def biased_start(sampler: Sampler, state: MDState) -> MDState:
    """An unbiased state as the first of `biased_sampler`: no hills yet."""
    thermostat = sampler.thermostat
    assert isinstance(thermostat, Metadynamics)
    empty = {
        "centres": np.zeros((sampler.replicas, thermostat.room, len(thermostat.bias.variables)), sampler.dtype),
        "heights": np.zeros((sampler.replicas, thermostat.room), sampler.dtype),
        "number": np.zeros(sampler.replicas, np.int32),
    }
    return replace(state, thermostat=state.thermostat | {_PREFIX + name: value for name, value in empty.items()})


def hills_of(state: MDState, bias: Bias) -> tuple[Hills, ...]:
    """The hills of every replica of a state of `biased_sampler`."""
    centres, heights, numbers = (np.asarray(state.thermostat[_PREFIX + name], np.float64) for name in _NAMES)
    return tuple(Hills(c[: int(n)], h[: int(n)], bias) for c, h, n in zip(centres, heights, numbers, strict=True))
