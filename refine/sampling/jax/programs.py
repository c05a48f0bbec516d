"""The compiled programs of the sampler: a block of dynamics, forces, and the steps that programs are made of.

Within a program coordinates stay unwrapped, the neighbour lists of all replicas are rebuilt when an atom of any has
moved too far, and nothing goes through the host. What a program cannot mend itself it reports: the largest displacement
under one list, and whether a list overflowed (`refine.sampling.jax.sampler.Sampler.settle`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernels.histogram import pair_histogram
from kernels.neighbors import NeighborList
from kernels.species import number_of_pairs
from refine.compiled import announce
from refine.sampling.jax.lists import ListPlan, ListShape
from refine.sampling.jax.spread import AXIS
from refine.sampling.jax.thermostats import Thermostat
from refine.units import TIME_UNIT

Program = Callable[..., Any]
"""(..., reach, trigger) -> (result, worst, overflow). reach: Å, cutoff and skin.  trigger: Å, displacement at which
lists are rebuilt.  worst: the largest squared displacement under one list, Å^2."""


class Walk(NamedTuple):
    """Carried from step to step; leaves of `state` and `neighbors` begin with an axis of replicas.

    moved: (R,) largest squared displacement since the list was built, Å^2.  worst: the largest it has ever been.
    """

    state: Any
    neighbors: NeighborList
    moved: jax.Array
    worst: jax.Array

    @classmethod
    def begin(cls, state: Any, neighbors: NeighborList) -> Walk:
        """Before the first step."""
        replicas, dtype = state.position.shape[0], state.position.dtype
        return cls(state, neighbors, jnp.zeros(replicas, dtype), jnp.zeros((), dtype))


class Observed(NamedTuple):
    """Per frame of a block: counts (F, R, P, bins), per-atom kinetic energy, energy and virial (F, R, N), and positions
    (F, R, N, 3), or None where they are not kept."""

    counts: Any
    kinetic: Any
    energy: Any
    virial: Any
    positions: Any


@dataclass(frozen=True)
class Recording:
    """What is recorded of a block.

    stride: steps between frames.  frames: the most in a block.  n_bins, r_max: histogram of pair distances, Å.
    positions: whether frames keep them.
    """

    stride: int
    frames: int
    n_bins: int
    r_max: float
    positions: bool


@dataclass(frozen=True)
class Batch:
    """Replicas of a system that advance together, and how a step of theirs is made.

    plan: of their neighbour lists.  replicas: how many.  dtype: of their positions.
    spread: whether they are a device's share of more, in a program of `refine.sampling.jax.spread`.
    """

    plan: ListPlan
    replicas: int
    dtype: np.dtype[Any]
    spread: bool = False

    def force(
        self, positions: jax.Array, *, params: Any, neighbors: NeighborList, cell: jax.Array, **_: Any
    ) -> jax.Array:
        """(N, 3) eV/Å of one replica, with the arguments that an integrator passes on."""
        return self.plan.force_field.forces(params, positions, neighbors, cell)

    def each(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` of one replica, for all: vmap, except that a single replica keeps its faster unbatched program."""
        if self.replicas > 1 or self.spread:
            return jax.vmap(function)

        def single(*arguments: Any) -> Any:
            result = function(*jax.tree.map(lambda x: x[0], arguments))
            return jax.tree.map(lambda x: jnp.asarray(x)[None], result)

        return single

    def any(self, of_replicas: jax.Array) -> jax.Array:
        """Whether it is so for any replica on any device."""
        found = jnp.any(of_replicas)
        return jax.lax.pmax(found.astype(jnp.int32), AXIS) > 0 if self.spread else found

    def largest(self, of_share: jax.Array) -> jax.Array:
        """The largest of all devices."""
        return jax.lax.pmax(of_share, AXIS) if self.spread else of_share

    def stepper(
        self,
        shape: ListShape,
        cell: jax.Array,
        reach: jax.Array,
        trigger: jax.Array,
        advance_one: Callable[[Any, NeighborList], Any],
    ) -> tuple[Callable[[jax.Array], NeighborList], Callable[[Any, Walk], Walk]]:
        """The two halves of a step: lists of positions (R, N, 3), and (index, walk) -> walk.

        advance_one: (state, neighbors) -> state after a timestep, of one replica.
        """

        def lists_of(positions: jax.Array) -> NeighborList:
            return self.plan.build(positions, cell, reach, shape)

        def rebuilt(positions: jax.Array, old: NeighborList) -> NeighborList:
            new: NeighborList = self.each(lists_of)(positions)
            return new._replace(overflow=new.overflow | old.overflow)

        def advance(_: Any, walk: Walk) -> Walk:
            # one decision for all replicas, outside vmap: inside it both branches would run at every step
            neighbors = jax.lax.cond(
                self.any(walk.moved > trigger**2),
                rebuilt,
                lambda _, old: old,
                walk.state.position,
                walk.neighbors,
            )
            state = self.each(advance_one)(walk.state, neighbors)
            moved = jnp.max(jnp.sum((state.position - neighbors.reference) ** 2, axis=2), axis=1)
            return Walk(state, neighbors, moved, jnp.maximum(walk.worst, jnp.max(moved)))

        return self.each(lists_of), advance


def dynamics(batch: Batch, thermostat: Thermostat, timestep: float, recording: Recording, shape: ListShape) -> Program:
    """The program of one block. Frames go into buffers of a full block, so their number compiles nothing.

    timestep: fs.
    """
    system, field, dtype = batch.plan.system, batch.plan.force_field, batch.dtype
    integrator = thermostat.integrator(batch.force, timestep / TIME_UNIT)
    masses = jnp.asarray(system.masses, dtype)

    def buffers() -> Observed:
        frames = (recording.frames, batch.replicas)
        atoms = jnp.zeros((*frames, system.n_atoms), dtype)
        counts = jnp.zeros((*frames, number_of_pairs(len(system.species)), recording.n_bins), jnp.float32)
        positions = jnp.zeros((*atoms.shape, 3), dtype) if recording.positions else None
        return Observed(counts, atoms, atoms, atoms, positions)

    def program(
        carried: tuple[Any, Any, Any],
        params: Any,
        cell: jax.Array,
        kT: jax.Array,
        observe: jax.Array,
        count: jax.Array,
        reach: jax.Array,
        trigger: jax.Array,
    ) -> tuple[Any, jax.Array, jax.Array]:
        positions, momenta, variables = carried
        keywords = {"params": params, "cell": cell, "kT": kT}

        def begin(r: jax.Array, p: jax.Array, of_thermostat: Any, neighbors: NeighborList) -> Any:
            return integrator.begin(r, p, masses, of_thermostat, neighbors=neighbors, **keywords)

        def advance_one(state: Any, neighbors: NeighborList) -> Any:
            return integrator.step(state, neighbors=neighbors, **keywords)

        def observation(state: Any, neighbors: NeighborList) -> tuple[jax.Array, ...]:
            r = state.position
            counts = pair_histogram(
                r, cell, system.n_per_species, recording.n_bins, recording.r_max, system.orthorhombic
            )
            return counts, *field.observables(params, r, neighbors, cell)

        lists, advance = batch.stepper(shape, cell, reach, trigger, advance_one)

        def frame(index: jax.Array, carry: tuple[Walk, Observed]) -> tuple[Walk, Observed]:
            walk, kept = carry
            walk = jax.lax.fori_loop(0, recording.stride, advance, walk)
            nothing = (kept.counts[0], kept.energy[0], kept.virial[0])
            counts, energy, virial = jax.lax.cond(
                observe, batch.each(observation), lambda *_: nothing, walk.state, walk.neighbors
            )
            kinetic = jnp.sum(walk.state.momentum**2, axis=2) / (2 * masses)
            if thermostat.at_frames:
                after = batch.each(lambda state, near: thermostat.at_frame(state, near, cell))
                walk = walk._replace(state=after(walk.state, walk.neighbors))
            new = Observed(counts, kinetic, energy, virial, walk.state.position if recording.positions else None)
            return walk, jax.tree.map(lambda buffer, x: buffer.at[index].set(x), kept, new)

        neighbors = lists(positions)
        walk = Walk.begin(batch.each(begin)(positions, momenta, variables, neighbors), neighbors)
        walk, observed = jax.lax.fori_loop(0, count, frame, (walk, buffers()))
        after = (walk.state.position, walk.state.momentum, batch.each(thermostat.variables)(walk.state), observed)
        return after, batch.largest(walk.worst), batch.any(walk.neighbors.overflow)

    return program


def instant_forces(batch: Batch, shape: ListShape) -> Program:
    """The program of the forces on positions (R, N, 3) as they are: (R, N, 3) eV/Å."""

    def program(
        positions: jax.Array, params: Any, cell: jax.Array, reach: jax.Array, trigger: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        def force(r: jax.Array) -> tuple[jax.Array, jax.Array]:
            neighbors = batch.plan.build(r, cell, reach, shape)
            return batch.force(r, params=params, neighbors=neighbors, cell=cell), neighbors.overflow

        forces, overflow = batch.each(force)(positions)
        return forces, jnp.zeros((), forces.dtype), batch.any(overflow)

    return program


class Programs:
    """Programs compiled so far, by what they do and the shape of their lists; `compilations` counts them.

    Samplers of the same atoms in other cells share one of these: the cell is an argument of every program.

    options: of jax.jit.
    """

    def __init__(self, **options: Any) -> None:
        self.compilations = 0
        self._options = options
        self._compiled: dict[tuple[Hashable, ListShape], Program] = {}

    def get(self, kind: Hashable, shape: ListShape, make: Callable[[ListShape], Program]) -> Program:
        """The program of a kind for a shape, made and compiled at its first use.

        kind: all that a program depends on beside the shape and its arguments; its name, or a tuple that has it first.
        """
        if (kind, shape) not in self._compiled:
            name = str(kind[0] if isinstance(kind, tuple) else kind)
            self._compiled[kind, shape] = jax.jit(self._counted(make(shape), name), **self._options)
        return self._compiled[kind, shape]

    def _counted(self, program: Program, name: str) -> Program:
        @wraps(program)
        def counted(*arguments: Any) -> Any:
            self.compilations += 1  # Python runs while tracing only
            announce(name)
            return program(*arguments)

        return counted
