"""Molecular dynamics: integrators around a force field, a neighbour list, and frames.

Work is done in blocks of frames. A block is one compiled program: it builds the neighbour list, integrates, rebuilds
the list when an atom has moved too far, and counts pairs at every frame; nothing goes through the host in between.
After each block the host looks at what happened. A block whose list overflowed, or whose atoms outran it, is thrown
away and done again from its start with a larger list or earlier rebuilds, so no frame is lost or silently wrong. A
trajectory that is not finite, runs away or freezes raises SimulationError (`refine.sampling.watch`).

Everything that determines a trajectory is in `MDState`, and the list is rebuilt at the start of every block: a run
continued from a stored state in another process is bit for bit the one that never stopped. For the same reason
nothing is tuned by timing. Lists are planned in `refine.sampling.jax.lists`, programs are in
`refine.sampling.jax.programs`; the loop over blocks, on the host, is here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kernels.cell import wrap
from kernels.species import number_of_pairs
from refine.errors import InputError, SimulationError
from refine.potentials.protocols import ForceField
from refine.sampling.frames import Frames
from refine.sampling.given import RELAXING, check_numbers, check_relaxed, check_temperature, per_replica
from refine.sampling.jax import random_numbers, relaxation
from refine.sampling.jax.barostat import ConstantPressure
from refine.sampling.jax.device import computing, on_device
from refine.sampling.jax.lists import ListPlan, ListShape, longest_step
from refine.sampling.jax.programs import (
    Batch,
    Observed,
    Program,
    Programs,
    Recording,
    dynamics,
    instant_forces,
)
from refine.sampling.jax.relaxation import Relaxation
from refine.sampling.jax.spread import ALL, EACH, LATER, Spread, devices_for
from refine.sampling.jax.thermostats import Thermostat
from refine.sampling.momenta import maxwell_boltzmann
from refine.sampling.state import MDState, State
from refine.sampling.watch import Watch
from refine.system import System
from refine.units import BOLTZMANN

Array = NDArray[np.float64]
Positions = NDArray[np.floating[Any]]


class Sampler:
    """Samples one state point.

    system: atoms and cell.  force_field: see `ForceField`.  thermostat: an object of `refine.sampling.jax.thermostats`.
    timestep: fs.  stride: steps between frames.  n_bins, r_max: histogram of pair distances, Å.
    skin: Å beyond the cutoff in the neighbour list; None: chosen by `optimal_skin` when a trajectory starts.
    dtype: "float32" or "float64".  replicas: independent trajectories that advance together.
    phase: "liquid" makes a system that does not flow an error; "solid" does not.
    positions: whether frames keep them.
    devices: over which replicas are spread, see `refine.sampling.jax.spread.devices_for`.

    Raises InputError when the cutoff or r_max does not fit into the box, a number is out of range, or there are not so
    many devices.
    """

    def __init__(
        self,
        system: System,
        force_field: ForceField,
        *,
        thermostat: Thermostat,
        timestep: float,
        stride: int,
        n_bins: int,
        r_max: float,
        skin: float | None = None,
        dtype: str = "float32",
        replicas: int = 1,
        phase: str = "liquid",
        positions: bool = False,
        devices: int = 0,
    ) -> None:
        self.plan = ListPlan(system, force_field, skin)
        system.check_distance(r_max, "r_max of the pair counts")
        check_numbers(precision=dtype, phase=phase, timestep=timestep, stride=stride, n_bins=n_bins, replicas=replicas)
        self.thermostat, self.timestep, self.stride, self.phase = thermostat, timestep, stride, phase
        self.n_bins, self.r_max, self.positions = n_bins, r_max, positions
        self.spread = Spread(replicas, devices_for(devices))
        self.batch = Batch(self.plan, self.spread.share, np.dtype(dtype), self.spread.several)
        self._steps_per_block = _steps_per_block(system.n_atoms * replicas, force_field.cost)
        self.frames_per_block = max(1, self._steps_per_block // stride)
        freedom = thermostat.degrees_of_freedom(system.n_atoms)
        self.watch = Watch(system, timestep, stride, phase, freedom, thermostat.holds_temperature)
        self._programs = Programs(donate_argnums=0)

    @property
    def system(self) -> System:
        """Atoms and cell."""
        return self.plan.system

    @property
    def force_field(self) -> ForceField:
        """What is evaluated."""
        return self.plan.force_field

    @property
    def replicas(self) -> int:
        """Trajectories that advance together."""
        return self.spread.replicas

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of positions and momenta."""
        return self.batch.dtype

    @property
    def compilations(self) -> int:
        """Programs compiled so far: one for dynamics, one for minimisation, one more each time the list had to grow."""
        return self._programs.compilations

    # ---- the same atoms otherwise

    def changed(self, *, cell: Array | None = None, timestep: float | None = None) -> Sampler:
        """A sampler of the same atoms in another cell of the same shape ((3, 3) Å), or with another timestep (fs).

        Compiled programs are shared with the other cell, which is an argument of them; another timestep compiles.
        Raises InputError when the cutoff or r_max does not fit into the cell.
        """
        other = copy.copy(self) if cell is None else self.resized(cell)
        other.system.check_distance(other.r_max, "r_max of the pair counts")
        if timestep is not None and timestep != self.timestep:
            if not timestep > 0:
                raise InputError(f"timestep is {timestep}; it must be above zero")
            other.timestep = timestep
            other.watch = replace(other.watch, timestep=timestep)
        return other

    def resized(self, cell: Array) -> Sampler:
        """As `changed`, for what counts no pairs: r_max need not fit into the cell."""
        other = copy.copy(self)
        other.plan = self.plan.in_cell(cell)
        other.batch = replace(self.batch, plan=other.plan)
        other.watch = replace(self.watch, system=other.system)
        return other

    def with_stride(self, stride: int) -> Sampler:
        """A sampler of the same atoms with other steps between frames, and programs of its own."""
        other = copy.copy(self)
        other.stride, other._programs = stride, Programs(donate_argnums=0)
        other.frames_per_block = max(1, self._steps_per_block // stride)
        other.watch = replace(self.watch, stride=stride)
        return other

    def placed(self, turn: int) -> Sampler:
        """A sampler of the same atoms, state number `turn` of several, on devices of its own where there are enough."""
        other = copy.copy(self)
        other.spread, other._programs = replace(self.spread, turn=turn), Programs(donate_argnums=0)
        return other

    def with_thermostat(self, thermostat: Thermostat) -> Sampler:
        """A sampler of the same atoms with another thermostat, and programs of its own."""
        other = copy.copy(self)
        other.thermostat = thermostat
        other._programs = Programs(donate_argnums=0)
        return other

    def lenient(self) -> Sampler:
        """This sampler, but a liquid that does not flow is noted (`notes`), and its trajectory goes on."""
        other = copy.copy(self)
        other.watch = replace(self.watch, lenient=True)
        return other

    def at_pressure(self, pressure: float, seed: int) -> ConstantPressure:
        """This sampler at constant pressure (GPa); seed: of the moves of the volume."""
        return ConstantPressure(self, pressure, seed)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a lenient sampler has noted of its present trajectory."""
        return tuple(self.watch.notes)

    # ---- states

    def start(self, positions: Positions, temperature: float, seed: int) -> MDState:
        """A trajectory's first state: Maxwell-Boltzmann momenta at `temperature` (K) with zero total momentum.

        positions: (N, 3) for every replica, or (R, N, 3), Å.
        Momenta and random numbers of replica k follow from (seed, k).
        """
        every = per_replica(positions, self.replicas, self.system.n_atoms)
        check_temperature(temperature)
        momenta = np.stack(
            [maxwell_boltzmann(self.system.masses, temperature, [seed, k]) for k in range(self.replicas)]
        )
        with computing(self.dtype, self.spread.home):
            thermostat = jax.device_get(jax.jit(self._fresh, static_argnums=0)(np.uint32(seed)))  # int32 would overflow
        skin = self._skin_at(temperature)
        return MDState(
            positions=self.wrapped(every),
            momenta=momenta.astype(self.dtype),
            thermostat=thermostat,
            step=0,
            capacity=self.plan.first_capacity(skin),
            skin=skin,
            displacement=np.zeros(every.shape),
            sampled_steps=0,
        )

    def _fresh(self, seed: np.uint32) -> dict[str, jax.Array]:
        """The thermostat's variables of all replicas, (R, ...)."""
        keys = jax.random.split(random_numbers.new_key(seed), self.replicas)
        return jax.vmap(lambda key: self.thermostat.fresh(key, self.dtype))(keys)

    def adopted(self, state: State, temperature: float, seed: int) -> MDState:
        """A state of this sampler as it is; of a state of anything else, the start from its positions."""
        return state if isinstance(state, MDState) else self.start(state.positions, temperature, seed)

    def retuned(self, state: MDState, temperature: float) -> MDState:
        """The state as the first of a trajectory at `temperature` (K): with the neighbour list that one begins with."""
        skin = self._skin_at(temperature)
        return replace(
            state,
            skin=skin,
            capacity=self.plan.first_capacity(skin),
            displacement=np.zeros(state.positions.shape),
            sampled_steps=0,
        )

    @property
    def relaxation(self) -> int:
        """Steps of `minimise`."""
        return relaxation.STEPS

    def minimise(self, positions: Positions, params: Any, on_steps: Callable[[int], None] | None = None) -> Positions:
        """Positions (R, N, 3) after a relaxation in this force field: takes out what would explode.

        `relaxation` steps of `refine.sampling.jax.minimiser.fire`. No search for a minimum: forces need only become
        harmless.
        on_steps: called after every piece of the work with its steps.
        Raises SimulationError when the positions do not stay finite.
        """
        begun = self.wrapped(per_replica(positions, self.replicas, self.system.n_atoms))
        skin = self.plan.skin_for(relaxation.MOVE)
        capacity = self.plan.first_capacity(skin, packing=True)
        with computing(self.dtype, self.spread.home):
            fixed = (on_device(params, self.dtype), jnp.asarray(self.system.cell, self.dtype))
            relax = Relaxation(self.batch, self.spread, self._programs, begun, fixed, self._steps_per_block, on_steps)
            relaxed, _ = self._settled(relax, capacity, skin, where=RELAXING)
        check_relaxed(relaxed)
        return self.wrapped(relaxed)

    def forces(self, state: MDState, params: Any) -> Array:
        """Forces (R, N, 3) eV/Å on the atoms of a state."""
        with computing(self.dtype, self.spread.home):
            fixed = (on_device(params, self.dtype), jnp.asarray(self.system.cell, self.dtype))
            found, _ = self.settle(
                "forces",
                self.spread.program(partial(instant_forces, self.batch), EACH, (EACH, ALL, ALL)),
                lambda: (self.spread.put(state.positions), *fixed),
                state.capacity,
                state.skin,
                where=f"step {state.step}",
            )
        return np.asarray(self.spread.whole(found), np.float64)

    def wrapped(self, positions: Positions) -> Positions:
        """Positions (..., 3) Å in the cell, in the precision of the sampler."""
        return wrap(positions, self.system.cell).astype(self.dtype)

    def kinetic_temperature(self, kinetic: Array) -> Array:
        """Temperature (K) of kinetic energies (eV) of the whole box."""
        return 2 * kinetic / (self.watch.degrees_of_freedom * BOLTZMANN)

    def _skin_at(self, temperature: float) -> float:
        return self.plan.skin_for(longest_step(self.system, temperature, self.timestep, self.replicas))

    # ---- running

    def run(
        self,
        state: MDState,
        params: Any,
        temperature: float,
        frames: int,
        *,
        observe: bool = True,
        on_block: Callable[[int], None] | None = None,
    ) -> tuple[MDState, Frames]:
        """Advance every replica by `frames` frames (of `stride` steps each) at `temperature` (K).

        observe: False for equilibration: nothing is counted or judged, and the Frames that come back are empty.
        on_block: called after every block with the frames done so far in this run, per replica.
        Returns the new state and replicas * frames frames, replica after replica. `state` itself is unchanged.
        Several runs in a row equal one long run when all but the last are multiples of `frames_per_block`.
        Raises SimulationError naming the step when the dynamics are not finite, run away, or freeze.
        """
        if frames < 1:
            raise InputError(f"frames is {frames}; it must be at least 1")
        blocks: list[Observed] = []
        done = 0
        with computing(self.dtype, self.spread.home):
            fixed = (
                on_device(params, self.dtype),
                jnp.asarray(self.system.cell, self.dtype),
                jnp.asarray(BOLTZMANN * temperature, self.dtype),
                jnp.asarray(observe),
            )
            while done < frames:
                count = min(self.frames_per_block, frames - done)
                state, observed = self._block(state, fixed, count, observe)
                temperatures = self.kinetic_temperature(observed.kinetic.sum(axis=2, dtype=np.float64))
                self.watch.look(state, temperatures, temperature, sampling=observe)
                if observe:
                    blocks.append(observed)
                done += count
                if on_block is not None:
                    on_block(done)
        return state, self._frames(blocks)

    def _block(self, state: MDState, fixed: tuple[Any, ...], count: int, observe: bool) -> tuple[MDState, Observed]:
        """One block of `count` frames: the next state and what was observed."""
        steps = count * self.stride

        def arguments() -> tuple[Any, ...]:
            carried = (state.positions, state.momenta, state.thermostat)
            return (self.spread.put(carried), *fixed, jnp.asarray(count, jnp.int32))

        recording = Recording(self.stride, self.frames_per_block, self.n_bins, self.r_max, self.positions)
        make = partial(dynamics, self.batch, self.thermostat, self.timestep, recording)
        (*ended, buffers), capacity = self.settle(
            ("dynamics", self.timestep),
            self.spread.program(make, EACH, ((EACH, EACH, EACH, LATER), ALL, ALL)),
            arguments,
            state.capacity,
            state.skin,
            where=f"steps {state.step} to {state.step + steps}",
        )
        end, momenta, thermostat = self.spread.whole(ended)
        # a re-equilibration between two samples interrupts neither of the two
        counts = observe or state.sampled_steps > 0
        after = replace(
            state,
            positions=self.wrapped(end),
            momenta=momenta,
            thermostat=thermostat,
            step=state.step + steps,
            capacity=capacity,
            displacement=state.displacement + (end - state.positions) if counts else np.zeros(end.shape),
            sampled_steps=state.sampled_steps + steps if counts else 0,
        )
        return after, jax.tree.map(lambda buffer: buffer[:count], self.spread.whole(buffers, axis=1))

    def settle(
        self,
        kind: Hashable,
        make: Callable[[ListShape], Program],
        arguments: Callable[[], tuple[Any, ...]],
        capacity: int,
        skin: float,
        *,
        where: str,
    ) -> tuple[Any, int]:
        """Run a program until its list was large enough and never outrun: its result as numpy, and the capacity.

        kind: names the program, with all that it depends on beside its arguments and its list.
        make: it, for a list; see `refine.sampling.jax.programs.Program`.
        arguments() makes fresh device arrays each time: the program overwrites the first.
        capacity, skin: of the list at first.  where: for messages.
        """

        def once(shape: ListShape, reach: jax.Array, trigger: jax.Array) -> tuple[Any, ...]:
            ended: tuple[Any, ...] = self._programs.get(kind, shape, make)(*arguments(), reach, trigger)
            return ended

        return self._settled(once, capacity, skin, where=where)

    def _settled(
        self, once: Callable[..., tuple[Any, ...]], capacity: int, skin: float, *, where: str
    ) -> tuple[Any, int]:
        """See `settle`; once(shape, reach, trigger) is the work: (result, worst, overflow)."""
        reach = jnp.asarray(self.force_field.cutoff + skin, self.dtype)
        for rebuild_at in self.plan.rebuild_at:
            trigger = jnp.asarray(rebuild_at * skin, self.dtype)
            while True:
                result, worst, overflow = jax.device_get(once(self.plan.shape(capacity, skin), reach, trigger))
                if not overflow:
                    break
                capacity = self.plan.larger(capacity, skin, where)
            if math.sqrt(worst) <= skin / 2:
                return result, capacity
        if np.isfinite(worst):
            raise SimulationError(
                f"an atom moved {math.sqrt(worst):.2f} Å in one step",
                where=where,
                fix=f"shorten sampling.timestep (now {self.timestep:g} fs) or remove overlaps from the start structure",
            )
        return result, capacity  # not a number: the caller looks at the result and names the step

    def _frames(self, blocks: list[Observed]) -> Frames:
        """Frames in the order of the class: replica after replica. Sums over atoms are made here, in float64."""
        n_pairs = number_of_pairs(len(self.system.species))
        counts = [b.counts for b in blocks] or [np.zeros((0, self.replicas, n_pairs, self.n_bins), np.float32)]

        def total(name: str) -> Array:
            sums = [getattr(b, name).sum(axis=2, dtype=np.float64) for b in blocks] or [np.zeros((0, self.replicas))]
            return np.concatenate(sums).T.ravel()

        energy = total("energy")
        return Frames(
            counts=np.concatenate(counts).swapaxes(0, 1).reshape(-1, n_pairs, self.n_bins),
            energy=energy,
            virial=total("virial"),
            temperature=self.kinetic_temperature(total("kinetic")),
            replica=np.repeat(np.arange(self.replicas), len(energy) // self.replicas),
            r_max=self.r_max,
            n_per_species=self.system.n_per_species,
            volume=self.system.volume,
            positions=self._kept(blocks),
        )

    def _kept(self, blocks: list[Observed]) -> Positions | None:
        """Positions of frames, (frames, N, 3), in their order."""
        if not self.positions:
            return None
        n = self.system.n_atoms
        kept = [b.positions for b in blocks] or [np.zeros((0, self.replicas, n, 3), self.dtype)]
        return np.concatenate(kept).swapaxes(0, 1).reshape(-1, n, 3)


def _steps_per_block(atoms: int, cost: float) -> int:
    """About a second or less of work on two cores where forces are cheap: between two looks of the host, two reports of
    progress."""
    return int(np.clip(500_000 // (atoms * cost), 50 if cost <= 1.0 else 1, 1000))
