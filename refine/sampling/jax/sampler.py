"""Molecular dynamics: integrators around a force field, a neighbour list, and frames.

Work is done in blocks of frames. A block is one compiled program: it builds the neighbour list, integrates, rebuilds
the list when an atom has moved too far, and counts pairs at every frame; nothing goes through the host in between.
After each block the host looks at what happened. A block whose list overflowed, or whose atoms outran it, is thrown
away and done again from its start with a larger list or earlier rebuilds, so no frame is lost or silently wrong. A
trajectory that is not finite, runs away or freezes raises SimulationError (`refine.sampling.watch`).

Everything that determines a trajectory is in `MDState`, and the list is rebuilt at the start of every block: a run
continued from a stored state in another process is bit for bit the one that never stopped. For the same reason
nothing is tuned by timing.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernels.cell import wrap
from kernels.histogram import pair_histogram
from kernels.neighbors import Grid, NeighborList, build, choose_grid, choose_images, estimate_capacity
from refine.errors import InputError, SimulationError
from refine.potentials.protocols import ForceField
from refine.sampling.frames import Frames
from refine.sampling.jax import random_numbers
from refine.sampling.jax.minimiser import fire
from refine.sampling.jax.thermostats import Thermostat
from refine.sampling.state import MDState
from refine.sampling.watch import Watch
from refine.system import System
from refine.units import BOLTZMANN, TIME_UNIT

REBUILD_COST = 4.0
"""Cost of one list rebuild in evaluations of a pair potential (two cores, 500 to 4,000 atoms), for the choice of the
skin."""

SKINS = (0.3, 3.0)
"""Range of the skin, Å. Where forces are dear and a list is cheap, it starts at six steps of the fastest atom."""

REBUILD_AT = (0.4, 0.2, 0.0)
"""Displacements, in skins, at which the list is rebuilt. Half of the skin is the limit, and the check comes a step
before the force; the second and third serve blocks in which an atom was faster than that. Dear forces begin with the
second."""


class _Room(NamedTuple):
    """Places in a new list over the mean number of neighbours: of a liquid, and of a packing, which is less even."""

    liquid: float
    packing: float


ROOM, TIGHT_ROOM = _Room(1.15, 1.5), _Room(1.05, 1.2)
"""Where forces are cheap, and where an empty place costs more than compiling once more after an overflow."""

CAPACITY_GROWTH = 1.15
"""Factor by which a list that overflowed grows: every place costs as much as a neighbour, at every step."""

MINIMISER_STEPS, MINIMISER_MOVE = 300, 0.1
"""Steps of the minimiser, and the longest move of an atom along each axis in one of them, Å."""


class _Shape(NamedTuple):
    """Static shape of a neighbour list and of the inner one, if any; a change compiles the programs again."""

    capacity: int
    grid: Grid | None
    images: tuple[tuple[int, ...], ...] | None
    inner: _Shape | None = None


class _Observed(NamedTuple):
    """Per frame of a block: counts (F, R, P, bins), per-atom kinetic energy, energy and virial (F, R, N), and positions
    (F, R, N, 3), or None where they are not kept."""

    counts: Any
    kinetic: Any
    energy: Any
    virial: Any
    positions: Any


class _Walk(NamedTuple):
    """Carried from step to step.

    moved: (R,) largest squared displacement since the list was built, Å^2.  worst: the largest it has ever been.
    """

    state: Any
    neighbors: NeighborList
    moved: jax.Array
    worst: jax.Array


class Sampler:
    """Samples one state point.

    system: atoms and cell.  force_field: see `ForceField`.  thermostat: an object of `refine.sampling.jax.thermostats`.
    timestep: fs.  stride: steps between frames.  n_bins, r_max: histogram of pair distances, Å.
    skin: Å beyond the cutoff in the neighbour list; None: chosen by `optimal_skin` when a trajectory starts.
    dtype: "float32" or "float64".  replicas: independent trajectories that advance together.
    phase: "liquid" makes a system that does not flow an error; "solid" does not.
    positions: whether frames keep them.

    Raises InputError when the cutoff or r_max does not fit into the box or a number is out of range.
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
    ) -> None:
        if force_field.periodic_images:
            self._check_images(system, force_field)
        else:
            _check_fits(force_field.cutoff, "the cutoff of the potential", system)
        _check_fits(r_max, "r_max of the pair counts", system)
        for name, value in (("timestep", timestep), ("stride", stride), ("n_bins", n_bins), ("replicas", replicas)):
            if not value > 0:
                raise InputError(f"{name} is {value}; it must be above zero")
        if skin is not None and not skin > 0:
            raise InputError(f"skin is {skin} Å; it must be above zero")
        if dtype not in ("float32", "float64"):
            raise InputError(f"precision is {dtype!r}; it must be float32 or float64")
        if phase not in ("liquid", "solid"):
            raise InputError(f"phase is {phase!r}; it must be liquid or solid")
        if force_field.n_per_species != system.n_per_species or force_field.orthorhombic != system.orthorhombic:
            raise ValueError("the force field was made for another system")
        self.system, self.force_field, self.thermostat = system, force_field, thermostat
        self.timestep, self.stride, self.n_bins, self.r_max, self.skin = timestep, stride, n_bins, r_max, skin
        self.dtype, self.replicas, self.phase, self.positions = np.dtype(dtype), replicas, phase, positions
        self.frames_per_block = max(1, _steps_per_block(system.n_atoms * replicas, force_field.cost) // stride)
        dear = force_field.cost > 1.0
        self._room = TIGHT_ROOM if dear else ROOM
        self._rebuild_at: tuple[float, ...] = REBUILD_AT[1:] if dear else REBUILD_AT
        self._freedom = thermostat.degrees_of_freedom(system.n_atoms)
        self._watch = Watch(system, timestep, stride, phase, self._freedom, thermostat.holds_temperature)
        self._programs: dict[tuple[str, _Shape], Callable[..., Any]] = {}
        self._traces: list[str] = []

    @property
    def compilations(self) -> int:
        """Programs compiled so far: one for dynamics, one for minimisation, one more each time the list had to grow."""
        return len(self._traces)

    # ---- the same atoms otherwise

    def changed(self, *, cell: np.ndarray | None = None, timestep: float | None = None) -> Sampler:
        """A sampler of the same atoms in another cell of the same shape ((3, 3) Å), or with another timestep (fs).

        Compiled programs are shared with the other cell, which is an argument of them; another timestep compiles.
        Raises InputError when the cutoff or r_max does not fit into the cell.
        """
        other = copy.copy(self) if cell is None else self._resized(cell)
        _check_fits(other.r_max, "r_max of the pair counts", other.system)
        if timestep is not None and timestep != self.timestep:
            if not timestep > 0:
                raise InputError(f"timestep is {timestep}; it must be above zero")
            other.timestep, other._programs = timestep, {}
            other._watch = replace(other._watch, timestep=timestep)
        return other

    def lenient(self) -> Sampler:
        """This sampler, but a liquid that does not flow is noted (`notes`), and its trajectory goes on."""
        other = copy.copy(self)
        other._watch = replace(self._watch, lenient=True)
        return other

    @property
    def notes(self) -> tuple[str, ...]:
        """What a lenient sampler has noted of its present trajectory."""
        return tuple(self._watch.notes)

    def _resized(self, cell: np.ndarray) -> Sampler:
        other = copy.copy(self)
        other.system = replace(self.system, cell=np.asarray(cell, np.float64), positions=None)
        if other.system.orthorhombic != self.system.orthorhombic:
            raise ValueError("another cell must be orthorhombic where this one is, and only there")
        if self.force_field.periodic_images:
            self._check_images(other.system, self.force_field)
        else:
            _check_fits(self.force_field.cutoff, "the cutoff of the potential", other.system)
        other._watch = replace(self._watch, system=other.system)
        return other

    def retuned(self, state: MDState, temperature: float) -> MDState:
        """The state with the neighbour list that a trajectory at `temperature` (K) begins with."""
        skin = self._choose_skin(_fastest(temperature, self.system, self.replicas) * self.timestep / TIME_UNIT)
        return replace(state, skin=skin, capacity=self._first_capacity(skin))

    # ---- starting

    def start(self, positions: np.ndarray, temperature: float, seed: int) -> MDState:
        """A trajectory's first state: Maxwell-Boltzmann momenta at `temperature` (K) with zero total momentum.

        positions: (N, 3) for every replica, or (R, N, 3), Å.
        Momenta and random numbers of replica k follow from (seed, k).
        """
        positions = self._per_replica(positions)
        if not temperature > 0:
            raise InputError(f"temperature is {temperature} K; it must be above zero")
        momenta = np.stack([_maxwell(self.system.masses, temperature, [seed, k]) for k in range(self.replicas)])
        with self._precision():
            thermostat = jax.device_get(jax.jit(self._fresh, static_argnums=0)(seed))
        skin = self._choose_skin(_fastest(temperature, self.system, self.replicas) * self.timestep / TIME_UNIT)
        return MDState(
            positions=self._wrapped(positions),
            momenta=momenta.astype(self.dtype),
            thermostat=thermostat,
            step=0,
            capacity=self._first_capacity(skin),
            skin=skin,
            displacement=np.zeros(positions.shape),
            sampled_steps=0,
        )

    def _fresh(self, seed: int) -> dict[str, jax.Array]:
        """The thermostat's variables of all replicas, (R, ...)."""
        keys = jax.random.split(random_numbers.new_key(seed), self.replicas)
        return jax.vmap(lambda key: self.thermostat.fresh(key, self.dtype))(keys)

    def minimise(self, positions: np.ndarray, params: Any) -> np.ndarray:
        """Positions (R, N, 3) after `MINIMISER_STEPS` of FIRE in this force field: takes out what would explode.

        `refine.sampling.jax.minimiser`. No search for a minimum: forces need only become harmless.
        Raises SimulationError when the positions do not stay finite.
        """
        positions = self._wrapped(self._per_replica(positions))
        skin = self._choose_skin(MINIMISER_MOVE)
        capacity = self._first_capacity(skin, packing=True)
        where = "relaxation of the start structure"
        with self._precision():
            fixed = (self._as_device(params), jnp.asarray(self.system.cell, self.dtype))
            relaxed, _ = self._settle("minimise", capacity, skin, lambda: (jnp.array(positions), *fixed), where=where)
        if not np.isfinite(relaxed).all():
            raise SimulationError(
                "positions are no longer finite numbers",
                where=where,
                fix="remove overlaps, check that the potential is repulsive at short range, or give a start structure",
            )
        return self._wrapped(relaxed)

    def _choose_skin(self, step_length: float) -> float:
        """The skin asked for, or the optimal one.

        In a triclinic cell the minimum image is exact up to r_box only: where that is too short and the force field
        knows no other images, the list is of all pairs (an infinite skin) and never rebuilt.
        """
        field = self.force_field
        dear = field.cutoff if field.inner_cutoff is None else field.inner_cutoff
        skin = optimal_skin(dear, step_length, field.cost) if self.skin is None else self.skin
        if field.periodic_images:
            return min(skin, self.system.r_box)  # atoms of a list of images are followed for half of the skin
        fits = self.system.orthorhombic or field.cutoff + skin <= self.system.r_box
        return skin if fits else math.inf

    def _first_capacity(self, skin: float, *, packing: bool = False) -> int:
        """Places in the list, before it had to grow."""
        if math.isinf(skin):
            return self._everyone(skin)
        return self._estimate(self.force_field.cutoff, skin, self._room.packing if packing else self._room.liquid)

    def _estimate(self, cutoff: float, skin: float, margin: float) -> int:
        images = self._images(cutoff, skin)
        copies = 1 if images is None else len(images)
        n, volume = copies * self.system.n_atoms, copies * self.system.volume
        return min(max(1, n - 1), estimate_capacity(n, volume, cutoff + skin, margin))

    def _everyone(self, skin: float) -> int:
        """All candidates that an atom may have as neighbours."""
        images = self._images(self.force_field.cutoff, skin)
        return max(1, (1 if images is None else len(images)) * self.system.n_atoms - 1)

    def _images(self, cutoff: float, skin: float) -> tuple[tuple[int, ...], ...] | None:
        """Explicit images for a list, or None where nearest images are right: up to r_box, and in an orthorhombic cell
        it is enough when the cutoff ends there."""
        nearest = self.system.orthorhombic and cutoff <= self.system.r_box
        if nearest or not self.force_field.periodic_images:
            return None
        images = choose_images(self.system.cell, cutoff + skin, self.system.n_atoms)
        return None if images is None else tuple(tuple(image) for image in images.tolist())

    @staticmethod
    def _check_images(system: System, field: ForceField) -> None:
        try:
            choose_images(system.cell, field.cutoff + SKINS[1], system.n_atoms)
        except ValueError as error:
            raise InputError(str(error), fix="repeat the cell along its short vectors") from None

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
        blocks: list[_Observed] = []
        done = 0
        with self._precision():
            fixed = (
                self._as_device(params),
                jnp.asarray(self.system.cell, self.dtype),
                jnp.asarray(BOLTZMANN * temperature, self.dtype),
                jnp.asarray(observe),
            )
            while done < frames:
                count = min(self.frames_per_block, frames - done)
                state, observed = self._block(state, fixed, count, observe)
                temperatures = self._kinetic_temperature(observed.kinetic.sum(axis=2, dtype=np.float64))
                self._watch.look(state, temperatures, temperature, sampling=observe)
                if observe:
                    blocks.append(observed)
                done += count
                if on_block is not None:
                    on_block(done)
        return state, self._frames(blocks)

    def _block(self, state: MDState, fixed: tuple[Any, ...], count: int, observe: bool) -> tuple[MDState, _Observed]:
        """One block of `count` frames: the next state and what was observed."""
        steps = count * self.stride

        def arguments() -> tuple[Any, ...]:
            carried = (state.positions, state.momenta, state.thermostat)
            return (jax.tree.map(lambda x: jnp.array(x, copy=True), carried), *fixed, jnp.asarray(count, jnp.int32))

        (end, momenta, thermostat, buffers), capacity = self._settle(
            "dynamics", state.capacity, state.skin, arguments, where=f"steps {state.step} to {state.step + steps}"
        )
        # a re-equilibration between two samples interrupts neither of the two
        counts = observe or state.sampled_steps > 0
        after = replace(
            state,
            positions=self._wrapped(end),
            momenta=momenta,
            thermostat=thermostat,
            step=state.step + steps,
            capacity=capacity,
            displacement=state.displacement + (end - state.positions) if counts else np.zeros(end.shape),
            sampled_steps=state.sampled_steps + steps if counts else 0,
        )
        return after, jax.tree.map(lambda buffer: buffer[:count], buffers)

    def _settle(
        self,
        kind: str,
        capacity: int,
        skin: float,
        arguments: Callable[[], tuple[Any, ...]],
        *,
        where: str,
        make: Callable[[_Shape], Callable[..., Any]] | None = None,
    ) -> tuple[Any, int]:
        """Run a program until its list was large enough and never outrun: its result as numpy, and the capacity.

        arguments() makes fresh device arrays each time: the program may overwrite them.
        make: for a kind of program that is not the sampler's own.
        """
        reach = jnp.asarray(self.force_field.cutoff + skin, self.dtype)
        for rebuild_at in self._rebuild_at:
            trigger = jnp.asarray(rebuild_at * skin, self.dtype)
            while True:
                program = self._program(kind, self._shape(capacity, skin), make)
                result, worst, overflow = _call(program, *arguments(), reach, trigger)
                if not overflow:
                    break
                capacity = self._larger(capacity, skin, where)
            if math.sqrt(worst) <= skin / 2:
                return result, capacity
        if np.isfinite(worst):
            raise SimulationError(
                f"an atom moved {math.sqrt(worst):.2f} Å in one step",
                where=where,
                fix=f"shorten sampling.timestep (now {self.timestep:g} fs) or remove overlaps from the start structure",
            )
        return result, capacity  # not a number: the caller looks at the result and names the step

    def _larger(self, capacity: int, skin: float, where: str) -> int:
        if capacity > 3 * self._everyone(skin):
            # places for all atoms and still too few: it is a cell of the grid that overflows, however large it is made
            raise SimulationError("the atoms have gathered in one part of the box", where=where)
        return math.ceil(CAPACITY_GROWTH * capacity) + 8

    def _shape(self, capacity: int, skin: float) -> _Shape:
        """The list with so many places; where these had to grow, so do those in each cell and in the inner list."""
        field = self.force_field
        growth = max(1.0, capacity / self._first_capacity(skin))
        inner = None
        if field.inner_cutoff is not None:
            places = (
                capacity
                if math.isinf(skin)
                else math.ceil(growth * self._estimate(field.inner_cutoff, skin, self._room.liquid))
            )
            inner = self._list_shape(places, field.inner_cutoff, skin, growth)
        return self._list_shape(capacity, field.cutoff, skin, growth)._replace(inner=inner)

    def _list_shape(self, capacity: int, cutoff: float, skin: float, growth: float) -> _Shape:
        images = self._images(cutoff, skin)
        grid = None
        if images is None and not math.isinf(skin):
            grid = choose_grid(self.system.cell, cutoff + skin, self.system.n_atoms, margin=1.5 * growth)
        return _Shape(capacity, grid, images)

    # ---- helpers on the host

    def _frames(self, blocks: list[_Observed]) -> Frames:
        """Frames in the order of the class: replica after replica. Sums over atoms are made here, in float64."""
        n_pairs = _n_pairs(self.system)
        counts = [b.counts for b in blocks] or [np.zeros((0, self.replicas, n_pairs, self.n_bins), np.float32)]

        def total(name: str) -> np.ndarray:
            sums = [getattr(b, name).sum(axis=2, dtype=np.float64) for b in blocks] or [np.zeros((0, self.replicas))]
            return np.concatenate(sums).T.ravel()

        energy = total("energy")
        return Frames(
            counts=np.concatenate(counts).swapaxes(0, 1).reshape(-1, n_pairs, self.n_bins),
            energy=energy,
            virial=total("virial"),
            temperature=self._kinetic_temperature(total("kinetic")),
            replica=np.repeat(np.arange(self.replicas), len(energy) // self.replicas),
            r_max=self.r_max,
            n_per_species=self.system.n_per_species,
            volume=self.system.volume,
            positions=self._kept(blocks),
        )

    def _kept(self, blocks: list[_Observed]) -> np.ndarray | None:
        """Positions of frames, (frames, N, 3), in their order."""
        if not self.positions:
            return None
        n = self.system.n_atoms
        kept = [b.positions for b in blocks] or [np.zeros((0, self.replicas, n, 3), self.dtype)]
        return np.concatenate(kept).swapaxes(0, 1).reshape(-1, n, 3)

    def _kinetic_temperature(self, kinetic: np.ndarray) -> np.ndarray:
        """Temperature (K) of kinetic energies (eV) of the whole box."""
        return 2 * kinetic / (self._freedom * BOLTZMANN)

    def _per_replica(self, positions: np.ndarray) -> np.ndarray:
        shape = (self.replicas, self.system.n_atoms, 3)
        positions = np.asarray(positions, np.float64)
        if positions.shape not in (shape, shape[1:]):
            raise ValueError(f"positions have shape {positions.shape}; expected {shape} or {shape[1:]}")
        return np.broadcast_to(positions, shape)

    def _wrapped(self, positions: np.ndarray) -> np.ndarray:
        return wrap(positions, self.system.cell).astype(self.dtype)

    def _precision(self) -> Any:
        """Context in which jax keeps the sampler's precision, whatever the program around it has set."""
        return jax.enable_x64(self.dtype == np.float64)

    def _as_device(self, params: Any) -> Any:
        def convert(leaf: Any) -> jax.Array:
            floating = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
            return jnp.asarray(leaf, self.dtype if floating else None)

        return jax.tree.map(convert, params)

    # ---- compiled programs

    def _program(
        self, kind: str, shape: _Shape, make: Callable[[_Shape], Callable[..., Any]] | None = None
    ) -> Callable[..., Any]:
        key = (kind, shape)
        if key not in self._programs:
            make = make or {"dynamics": self._dynamics, "minimise": self._minimisation}[kind]
            self._programs[key] = jax.jit(make(shape), donate_argnums=0)
        return self._programs[key]

    def _dynamics(self, shape: _Shape) -> Callable[..., Any]:
        """The program of one block. Frames go into buffers of a full block, so their number compiles nothing."""
        system, thermostat = self.system, self.thermostat
        integrator = thermostat.integrator(self._force, self.timestep / TIME_UNIT)
        masses = jnp.asarray(system.masses, self.dtype)

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
            self._traces.append("dynamics")  # Python runs while tracing only
            positions, momenta, variables = carried
            keywords = {"params": params, "cell": cell, "kT": kT}

            def begin(r: jax.Array, p: jax.Array, own: Any, neighbors: NeighborList) -> Any:
                return integrator.begin(r, p, masses, own, neighbors=neighbors, **keywords)

            def advance_one(state: Any, neighbors: NeighborList) -> Any:
                return integrator.step(state, neighbors=neighbors, **keywords)

            def observation(state: Any, neighbors: NeighborList) -> tuple[jax.Array, ...]:
                r = state.position
                counts = pair_histogram(r, cell, system.n_per_species, self.n_bins, self.r_max, system.orthorhombic)
                return counts, *self.force_field.observables(params, r, neighbors, cell)

            lists, advance = self._stepper(shape, cell, reach, trigger, advance_one)

            def frame(index: jax.Array, carry: tuple[_Walk, _Observed]) -> tuple[_Walk, _Observed]:
                walk, buffers = carry
                walk = jax.lax.fori_loop(0, self.stride, advance, walk)
                nothing = (buffers.counts[0], buffers.energy[0], buffers.virial[0])
                counts, energy, virial = jax.lax.cond(
                    observe, self._each(observation), lambda *_: nothing, walk.state, walk.neighbors
                )
                kinetic = jnp.sum(walk.state.momentum**2, axis=2) / (2 * masses)
                new = _Observed(counts, kinetic, energy, virial, walk.state.position if self.positions else None)
                return walk, jax.tree.map(lambda buffer, x: buffer.at[index].set(x), buffers, new)

            neighbors = lists(positions)
            walk = _begin(self._each(begin)(positions, momenta, variables, neighbors), neighbors)
            walk, observed = jax.lax.fori_loop(0, count, frame, (walk, self._buffers()))
            after = (walk.state.position, walk.state.momentum, self._each(thermostat.variables)(walk.state), observed)
            return after, walk.worst, jnp.any(walk.neighbors.overflow)

        return program

    def _minimisation(self, shape: _Shape) -> Callable[..., Any]:
        """The program of `minimise`."""
        start, step = fire(self._force, MINIMISER_MOVE)

        def program(
            positions: jax.Array, params: Any, cell: jax.Array, reach: jax.Array, trigger: jax.Array
        ) -> tuple[jax.Array, jax.Array, jax.Array]:
            self._traces.append("minimise")  # Python runs while tracing only

            def begin(r: jax.Array, neighbors: NeighborList) -> Any:
                return start(r, neighbors=neighbors, params=params, cell=cell)

            def advance_one(state: Any, neighbors: NeighborList) -> Any:
                return step(state, neighbors=neighbors, params=params, cell=cell)

            lists, advance = self._stepper(shape, cell, reach, trigger, advance_one)
            neighbors = lists(positions)
            walk = _begin(self._each(begin)(positions, neighbors), neighbors)
            walk = jax.lax.fori_loop(0, MINIMISER_STEPS, advance, walk)
            return walk.state.position, walk.worst, jnp.any(walk.neighbors.overflow)

        return program

    def _stepper(
        self,
        shape: _Shape,
        cell: jax.Array,
        reach: jax.Array,
        trigger: jax.Array,
        advance_one: Callable[[Any, NeighborList], Any],
    ) -> tuple[Callable[[jax.Array], NeighborList], Callable[[Any, _Walk], _Walk]]:
        """The two halves of a step, for all replicas: lists of positions (R, N, 3), and (index, walk) -> walk."""

        def list_of(positions: jax.Array, reach: jax.Array, shape: _Shape) -> NeighborList:
            return build(
                positions,
                cell,
                reach,
                capacity=shape.capacity,
                orthorhombic=self.system.orthorhombic,
                grid=shape.grid,
                images=None if shape.images is None else np.array(shape.images),
            )

        def lists_of(positions: jax.Array) -> NeighborList:
            outer = list_of(positions, reach, shape)
            if shape.inner is None or self.force_field.inner_cutoff is None:
                return outer
            less = self.force_field.cutoff - self.force_field.inner_cutoff
            inner = list_of(positions, reach - less, shape.inner)
            return outer._replace(inner=inner, overflow=outer.overflow | inner.overflow)

        def rebuilt(positions: jax.Array, old: NeighborList) -> NeighborList:
            new = self._each(lists_of)(positions)
            return new._replace(overflow=new.overflow | old.overflow)

        def advance(_: Any, walk: _Walk) -> _Walk:
            # one decision for all replicas, outside vmap: inside it both branches would run at every step
            neighbors = jax.lax.cond(
                jnp.any(walk.moved > trigger**2),
                rebuilt,
                lambda _, old: old,
                walk.state.position,
                walk.neighbors,
            )
            state = self._each(advance_one)(walk.state, neighbors)
            moved = jnp.max(jnp.sum((state.position - neighbors.reference) ** 2, axis=2), axis=1)
            return _Walk(state, neighbors, moved, jnp.maximum(walk.worst, jnp.max(moved)))

        return self._each(lists_of), advance

    def _force(
        self, positions: jax.Array, *, params: Any, neighbors: NeighborList, cell: jax.Array, **_: Any
    ) -> jax.Array:
        return self.force_field.forces(params, positions, neighbors, cell)

    def _each(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` of one replica, for all: vmap, except that a single replica keeps its faster unbatched program."""
        if self.replicas > 1:
            return jax.vmap(function)

        def single(*arguments: Any) -> Any:
            result = function(*jax.tree.map(lambda x: x[0], arguments))
            return jax.tree.map(lambda x: jnp.asarray(x)[None], result)

        return single

    def _buffers(self) -> _Observed:
        frames = (self.frames_per_block, self.replicas)
        atoms = jnp.zeros((*frames, self.system.n_atoms), self.dtype)
        counts = jnp.zeros((*frames, _n_pairs(self.system), self.n_bins), jnp.float32)
        positions = jnp.zeros((*atoms.shape, 3), self.dtype) if self.positions else None
        return _Observed(counts, atoms, atoms, atoms, positions)


def optimal_skin(cutoff: float, step_length: float, cost: float = 1.0) -> float:
    """Skin (Å) with the least work per step: (1 + s/cutoff)^3 forces + REBUILD_COST / (steps that the list lasts).

    step_length: how far the fastest atom moves in a step, Å; a list lasts REBUILD_AT[0] * s / step_length steps.
    cost: of the forces, in those of a pair potential. Within `SKINS`. A formula and never a timing, so that a resumed
    run repeats the same numbers.
    """
    least = SKINS[0] if cost <= 1.0 else float(np.clip(6 * step_length, 0.1, SKINS[1]))
    skins = np.arange(least, SKINS[1] + 0.01, 0.05)
    steps = 1 + REBUILD_AT[0] * skins / max(step_length, 1e-3)
    return float(skins[np.argmin((1 + skins / cutoff) ** 3 + REBUILD_COST / cost / steps)])


def _begin(state: Any, neighbors: NeighborList) -> _Walk:
    replicas, dtype = state.position.shape[0], state.position.dtype
    return _Walk(state, neighbors, jnp.zeros(replicas, dtype), jnp.zeros((), dtype))


def _call(program: Callable[..., Any], *arguments: Any) -> Any:
    """The program's result on the host."""
    return jax.device_get(program(*arguments))


def _n_pairs(system: System) -> int:
    return len(system.species) * (len(system.species) + 1) // 2


def _maxwell(masses: np.ndarray, temperature: float, seed: list[int]) -> np.ndarray:
    """Momenta (N, 3), normal with variance m kT, from which the drift of the whole has been taken."""
    column = masses[:, None]
    momenta = np.sqrt(column * BOLTZMANN * temperature) * np.random.default_rng(seed).normal(size=(len(masses), 3))
    return momenta - column * momenta.sum(axis=0) / column.sum()


def _fastest(temperature: float, system: System, replicas: int) -> float:
    """Typical largest speed among all atoms, Å per internal time: sigma sqrt(2 ln(10 N)) for the lightest species."""
    sigma = math.sqrt(BOLTZMANN * temperature / float(system.masses.min()))
    return sigma * math.sqrt(2 * math.log(10 * system.n_atoms * replicas))


def _steps_per_block(atoms: int, cost: float) -> int:
    """About a second or less of work on two cores where forces are cheap: between two looks of the host, two reports of
    progress."""
    return int(np.clip(500_000 // (atoms * cost), 50 if cost <= 1.0 else 1, 1000))


def _check_fits(length: float, name: str, system: System) -> None:
    if not 0 < length <= system.r_box * (1 + 1e-9):
        raise InputError(
            f"{name} is {length:.3f} Å; half of the smallest height of the box is {system.r_box:.3f} Å",
            fix="use more atoms or a shorter distance",
        )
