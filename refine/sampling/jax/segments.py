"""Pieces of trajectory at constant energy, in programs compiled by jax; see `refine.sampling.segments`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kernels.neighbors import NeighborList
from refine.sampling.jax.device import on_device, precision
from refine.sampling.jax.lists import ListShape
from refine.sampling.jax.programs import Program, Walk
from refine.sampling.segments import STRESS_EVERY, Lengthened
from refine.sampling.state import MDState
from refine.units import TIME_UNIT

if TYPE_CHECKING:
    from refine.sampling.jax.sampler import Sampler

Array = NDArray[np.float64]


class _Record(NamedTuple):
    """Of a block: positions (P, N, 3) and kinetic energy (P, N) at its points, stress (P, m, 3, 3) in between, and
    potential energies (2, N) at its first and last moment."""

    positions: Any
    kinetic: Any
    stress: Any
    energy: Any


class SegmentRunner(Lengthened):
    """See `Lengthened`."""

    sampler: Sampler

    def __init__(
        self,
        sampler: Sampler,
        params: Any,
        positions: NDArray[np.floating[Any]],
        temperature: float,
        seed: int,
        interval: float,
    ) -> None:
        steps = sampler.frames_per_block * sampler.stride
        held = sampler.thermostat.holds_temperature
        super().__init__(sampler, held, steps, params, positions, temperature, seed, interval)

    def _advance(self, s: int, count: int) -> None:
        """One segment by `count` intervals."""
        sampler, state = self.sampler, self.ends[s]
        dtype, steps = sampler.dtype, count * self._moments * STRESS_EVERY
        with precision(dtype):
            fixed = (
                on_device(self.params, dtype),
                jnp.asarray(sampler.system.cell, dtype),
                jnp.asarray(count, jnp.int32),
            )

            def arguments() -> tuple[Any, ...]:
                carried = (jnp.array(state.positions[0], copy=True), jnp.array(state.momenta[0], copy=True))
                return (carried, *fixed)

            (positions, momenta, record), capacity = sampler.settle(
                ("dynamics at constant energy", sampler.timestep, self._moments),
                self._program,
                arguments,
                state.capacity,
                state.skin,
                where=f"constant energy, steps {state.step} to {state.step + steps}",
            )
        after = replace(
            state,
            positions=sampler.wrapped(positions[None]),
            momenta=momenta[None],
            step=state.step + steps,
            capacity=capacity,
        )
        kinetic = record.kinetic[:count].sum(axis=1, dtype=np.float64)
        temperatures = sampler.kinetic_temperature(kinetic)
        sampler.watch.look(after, temperatures[:, None], self.temperature, sampling=False)
        self.ends[s] = after
        self._positions[s].append(record.positions[:count])
        self._stress[s].append(record.stress[:count].reshape(-1, 3, 3))
        self._kinetic[s].append(kinetic)
        potential = record.energy.sum(axis=1, dtype=np.float64)
        if not self._energy[s]:
            self._energy[s].append(float(potential[0] + self._kinetic_energy(state)))
        self._energy[s].append(float(potential[1] + self._kinetic_energy(after)))

    def _kinetic_energy(self, state: MDState) -> float:
        momenta = np.asarray(state.momenta[0], np.float64)
        return float((momenta**2 / (2 * self.sampler.system.masses[:, None])).sum())

    def _program(self, shape: ListShape) -> Program:
        """The program of a block. Records go into buffers of a full block, so the number of points compiles nothing."""
        sampler, field, moments, points = self.sampler, self.sampler.force_field, self._moments, self.points_per_block
        n, dtype, batch = sampler.system.n_atoms, sampler.dtype, sampler.batch
        integrator = sampler.thermostat.integrator(batch.force, sampler.timestep / TIME_UNIT)
        masses = jnp.asarray(sampler.system.masses, dtype)

        def program(
            carried: tuple[Any, Any],
            params: Any,
            cell: jax.Array,
            count: jax.Array,
            reach: jax.Array,
            trigger: jax.Array,
        ) -> tuple[Any, jax.Array, jax.Array]:
            keywords = {"params": params, "cell": cell, "kT": jnp.zeros((), dtype)}

            def begin(r: jax.Array, p: jax.Array, neighbors: NeighborList) -> Any:
                return integrator.begin(r, p, masses, {}, neighbors=neighbors, **keywords)

            def advance_one(state: Any, neighbors: NeighborList) -> Any:
                return integrator.step(state, neighbors=neighbors, **keywords)

            lists, advance = batch.stepper(shape, cell, reach, trigger, advance_one)

            def of_one(walk: Any) -> tuple[jax.Array, jax.Array, NeighborList]:
                return walk.state.position[0], walk.state.momentum[0], jax.tree.map(lambda x: x[0], walk.neighbors)

            def potential(walk: Any) -> jax.Array:
                r, _, neighbors = of_one(walk)
                return field.observables(params, r, neighbors, cell)[0]

            def moment(index: jax.Array, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
                walk, stress = carry
                walk = jax.lax.fori_loop(0, STRESS_EVERY, advance, walk)
                r, p, neighbors = of_one(walk)
                kinetic = jnp.matmul(p.T, p / masses[:, None], precision=jax.lax.Precision.HIGHEST)
                return walk, stress.at[index].set(kinetic + field.virial_tensor(params, r, neighbors, cell))

            def point(index: jax.Array, carry: tuple[Any, _Record]) -> tuple[Any, _Record]:
                walk, record = carry
                walk, stress = jax.lax.fori_loop(0, moments, moment, (walk, jnp.zeros((moments, 3, 3), dtype)))
                r, p, _ = of_one(walk)
                kinetic = jnp.sum(p**2, axis=1) / (2 * masses)
                record = record._replace(
                    positions=record.positions.at[index].set(r),
                    kinetic=record.kinetic.at[index].set(kinetic),
                    stress=record.stress.at[index].set(stress),
                )
                return walk, record

            record = _Record(
                jnp.zeros((points, n, 3), dtype),
                jnp.zeros((points, n), dtype),
                jnp.zeros((points, moments, 3, 3), dtype),
                jnp.zeros((2, n), dtype),
            )
            positions, momenta = (x[None] for x in carried)
            neighbors = lists(positions)
            walk = Walk.begin(batch.each(begin)(positions, momenta, neighbors), neighbors)
            first = potential(walk)
            walk, record = jax.lax.fori_loop(0, count, point, (walk, record))
            record = record._replace(energy=jnp.stack([first, potential(walk)]))
            after = (walk.state.position[0], walk.state.momentum[0], record)
            return after, walk.worst, jnp.any(walk.neighbors.overflow)

        return program
