"""Constant pressure: molecular dynamics at constant temperature with Monte Carlo moves of the volume.

Every `MOVE_EVERY` steps the cell and all positions are scaled; docs/theory/sampling.md has the probability with which
that is accepted. It leaves the isothermal-isobaric ensemble, exp[-(U + p V) / kT] V^N dV, as it is; so do the dynamics
at constant volume in between. Momenta are independent of positions and stay what they are. Sources: K.-H. Chow and D.
M. Ferguson, Comput. Phys. Commun. 91, 283 (1995); J. Åqvist, P. Wennerström, M. Nervall, S. Bjelic and B. O. Brandsdal,
Chem. Phys. Lett. 384, 288 (2004).

The pressure is that of the force field as it is, cut off where it is cut off: nothing is added for attraction beyond
the cutoff. Where a model u means the whole tail and the sampled u_cut is brought to zero continuously, the pressure of
u is that of u_cut plus p_tail < 0, for g = 1 in the tail

    p_tail = 2 pi rho^2 sum_ab c_a c_b integral of r^2 (u_ab - u_cut,ab) dr,

for Lennard-Jones (8 pi / 3) rho^2 epsilon sigma^3 [(sigma/r_c)^9 / 3 - (sigma/r_c)^3], so run at p - p_tail. (The
correction of the virial, Allen and Tildesley, Computer Simulation of Liquids, 2017, section 2.8, is about twice as
large: it is for a u that jumps to zero at r_c, and adds what the virial there does not see.)

Lists of neighbours are built anew after every move, and for every trial. Their static shape is that of a cell somewhat
smaller than the present one; a block in which the cell became smaller still is thrown away and done again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kernels.neighbors import NeighborList
from refine.sampling.jax import random_numbers
from refine.sampling.jax.device import on_device, precision
from refine.sampling.jax.lists import ListShape
from refine.sampling.jax.programs import Program, Walk
from refine.sampling.state import MDState
from refine.sampling.volumes import FIRST_WIDTH, MOVE_EVERY, VolumeMoves, Volumes, too_small
from refine.units import BOLTZMANN, PRESSURE_UNIT, TIME_UNIT

if TYPE_CHECKING:
    from refine.sampling.jax.sampler import Sampler

Array = NDArray[np.float64]

ROOM_TO_SHRINK = 0.95
"""Edge of the cell that the lists are shaped for, in edges of the present one."""

KEPT_SHAPE = (0.85, 0.98)
"""The lists keep their shape while the edge that it is for is within these shares of the present one."""


class _Moves(NamedTuple):
    """Carried from move to move, and on the host afterwards.

    scale: edge of the cell in those of the block's first cell.  lowest: the smallest that was tried.
    worst: largest squared displacement that a list has seen, Å^2.
    edges, energies, accepted, kinetic: a record for every move.
    """

    positions: Any
    momenta: Any
    variables: Any
    scale: Any
    lowest: Any
    worst: Any
    overflow: Any
    edges: Any
    energies: Any
    accepted: Any
    kinetic: Any


class ConstantPressure(VolumeMoves[MDState]):
    """Samples at constant pressure with the dynamics of a sampler."""

    sampler: Sampler

    def __init__(self, sampler: Sampler, pressure: float, seed: int, *, width: float = FIRST_WIDTH) -> None:
        super().__init__(sampler, sampler.thermostat.holds_temperature, pressure, seed, width)
        # cube root of the volume that lists are shaped for, Å; kept, as another one may compile
        self._listed_edge = 0.0

    def _block(
        self, state: MDState, cell: Array, params: Any, temperature: float, count: int
    ) -> tuple[MDState, Array, Volumes]:
        sampler = self.sampler.resized(cell)
        edge = sampler.system.volume ** (1 / 3)
        shrink = self._listed_edge / edge
        if not KEPT_SHAPE[0] <= shrink <= KEPT_SHAPE[1]:
            shrink = self._least_edge(sampler)
        while True:
            smallest = sampler.resized(cell * shrink)
            listed = self._listed(smallest, state, temperature)
            moves, capacity = self._moves(sampler, smallest, listed, params, temperature, count)
            if not moves.lowest < shrink:  # also where it is not a number
                break
            shrink = self._least_edge(sampler, float(moves.lowest))
        self._listed_edge = shrink * edge
        cell = cell * float(moves.scale)
        after = replace(
            listed,
            positions=sampler.resized(cell).wrapped(moves.positions[None]),
            momenta=moves.momenta[None],
            thermostat=jax.tree.map(lambda x: np.asarray(x)[None], moves.variables),
            step=state.step + count * MOVE_EVERY,
            capacity=capacity,
            displacement=np.zeros(state.displacement.shape),
            sampled_steps=0,
        )
        watch = replace(sampler.watch, stride=MOVE_EVERY)
        kinetic = sampler.kinetic_temperature(moves.kinetic[:count].astype(np.float64))
        watch.look(after, kinetic[:, None], temperature, sampling=False)
        volume = sampler.system.volume * moves.edges[:count].astype(np.float64) ** 3
        seen = Volumes(
            volume, moves.energies[:count].astype(np.float64), moves.accepted[:count], state.positions.shape[1]
        )
        return after, cell, seen

    def _least_edge(self, sampler: Sampler, lowest: float = 1.0) -> float:
        """Edge of the cell that lists are shaped for, in present ones: with room below the lowest that was tried, but
        never below what the cutoff needs."""
        field = sampler.force_field
        needed = 0.0 if field.periodic_images else field.cutoff / sampler.system.r_box
        if lowest < needed:
            raise too_small(field.cutoff, self.pressure)
        return max(lowest * ROOM_TO_SHRINK, needed)

    @staticmethod
    def _listed(smallest: Sampler, state: MDState, temperature: float) -> MDState:
        """The state with a list that is right in every cell from the smallest on."""
        field, system = smallest.force_field, smallest.system
        exact = system.orthorhombic or field.periodic_images or field.cutoff + state.skin <= system.r_box
        return state if exact or math.isinf(state.skin) else smallest.retuned(state, temperature)

    def _moves(
        self, sampler: Sampler, smallest: Sampler, state: MDState, params: Any, temperature: float, count: int
    ) -> tuple[_Moves, int]:
        """The moves of one block, and the capacity that the list needed."""
        dtype = sampler.dtype
        with precision(dtype):
            key = jax.random.fold_in(random_numbers.new_key(self.seed), state.step)
            fixed = (
                on_device(params, dtype),
                jnp.asarray(sampler.system.cell, dtype),
                jnp.asarray(BOLTZMANN * temperature, dtype),
                jnp.asarray(self.pressure / PRESSURE_UNIT * sampler.system.volume, dtype),
                jnp.asarray(self.width, dtype),
                jax.random.key_data(key),
                jnp.asarray(count, jnp.int32),
            )

            def arguments() -> tuple[Any, ...]:
                carried = (state.positions[0], state.momenta[0], {k: v[0] for k, v in state.thermostat.items()})
                return (jax.tree.map(lambda x: jnp.array(x, copy=True), carried), *fixed)

            return smallest.settle(
                ("dynamics at constant pressure", sampler.timestep),
                self._program,
                arguments,
                state.capacity,
                state.skin,
                where=f"steps {state.step} to {state.step + count * MOVE_EVERY}",
            )

    def _program(self, shape: ListShape) -> Program:
        """The program of a block. Records go into buffers of a full block, so the number of moves compiles nothing."""
        sampler, field = self.sampler, self.sampler.force_field
        batch, thermostat = sampler.batch, sampler.thermostat
        integrator = thermostat.integrator(batch.force, sampler.timestep / TIME_UNIT)
        n, masses = sampler.system.n_atoms, jnp.asarray(sampler.system.masses, sampler.dtype)

        def program(
            carried: tuple[Any, Any, Any],
            params: Any,
            first_cell: jax.Array,
            kT: jax.Array,
            work: jax.Array,
            width: jax.Array,
            key: jax.Array,
            count: jax.Array,
            reach: jax.Array,
            trigger: jax.Array,
        ) -> tuple[_Moves, jax.Array, jax.Array]:
            def lists_in(cell: jax.Array) -> tuple[Callable[..., Any], Callable[..., Any]]:
                def advance_one(state: Any, neighbors: NeighborList) -> Any:
                    return integrator.step(state, neighbors=neighbors, params=params, cell=cell, kT=kT)

                return batch.stepper(shape, cell, reach, trigger, advance_one)

            def energies(positions: jax.Array, neighbors: NeighborList, cell: jax.Array) -> jax.Array:
                return field.observables(params, positions, jax.tree.map(lambda x: x[0], neighbors), cell)[0]

            def move(index: jax.Array, m: _Moves) -> _Moves:
                cell = first_cell * m.scale
                lists, advance = lists_in(cell)
                neighbors = lists(m.positions[None])

                def begin(r: jax.Array, p: jax.Array, of_thermostat: Any, near: NeighborList) -> Any:
                    given = {"params": params, "cell": cell, "kT": kT, "neighbors": near}
                    return integrator.begin(r, p, masses, of_thermostat, **given)

                one = jax.tree.map(lambda x: x[None], (m.positions, m.momenta, m.variables))
                walk = Walk.begin(batch.each(begin)(*one, neighbors), neighbors)
                walk = jax.lax.fori_loop(0, MOVE_EVERY, advance, walk)
                positions, momenta = walk.state.position[0], walk.state.momentum[0]

                uniform = jax.random.uniform(
                    jax.random.fold_in(random_numbers.wrap(key), index), (2,), sampler.dtype, minval=1e-30
                )
                growth = width * (2 * uniform[0] - 1)
                factor = jnp.exp(growth / 3)
                trial, trial_cell = positions * factor, cell * factor
                trial_lists = lists_in(trial_cell)[0](trial[None])
                before = energies(positions, walk.neighbors, cell)
                after = energies(trial, trial_lists, trial_cell)
                # differences atom by atom: the sum of a large box has not the digits for it
                cost = jnp.sum(after - before) + work * m.scale**3 * jnp.expm1(growth)
                accepted = jnp.log(uniform[1]) < (n + 1) * growth - cost / kT
                scale = jnp.where(accepted, m.scale * factor, m.scale)
                return _Moves(
                    positions=jnp.where(accepted, trial, positions),
                    momenta=momenta,
                    variables=thermostat.variables(jax.tree.map(lambda x: x[0], walk.state)),
                    scale=scale,
                    lowest=jnp.minimum(m.lowest, m.scale * factor),
                    worst=jnp.maximum(m.worst, walk.worst),
                    overflow=m.overflow | jnp.any(walk.neighbors.overflow) | jnp.any(trial_lists.overflow),
                    edges=m.edges.at[index].set(scale),
                    energies=m.energies.at[index].set(jnp.sum(jnp.where(accepted, after, before))),
                    accepted=m.accepted.at[index].set(accepted),
                    kinetic=m.kinetic.at[index].set(jnp.sum(momenta**2 / (2 * masses[:, None]))),
                )

            one, zero = jnp.ones((), sampler.dtype), jnp.zeros((), sampler.dtype)
            records = jnp.zeros(self.moves_per_block, sampler.dtype)
            start = _Moves(*carried, one, one, zero, jnp.array(False), records, records, records.astype(bool), records)
            end = jax.lax.fori_loop(0, count, move, start)
            return end, end.worst, end.overflow

        return program
