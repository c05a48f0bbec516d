"""The `Engine` around a program that is not ours: states, frames, pair counts and the watch; the program only moves
atoms.

Work is done in blocks. Every block begins from the arrays of a state, with a thermostat that is defined anew, from what
the program left of it, and a seed that follows from the state's seed, the replica and the step. So a run that goes on
from a stored state in another process is the one that never stopped, as far as the program computes the same twice.
Replicas move one after the other.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.cell import wrap
from kernels.species import number_of_pairs
from refine.errors import InputError
from refine.sampling.counting import pair_counts
from refine.sampling.external.barostat import ExternalBarostat
from refine.sampling.external.mover import NOTHING, Motion, Mover, MoverOf, Start, Walk, stacked, unstacked
from refine.sampling.frames import Frames
from refine.sampling.given import check_numbers, check_relaxed, check_temperature, per_replica
from refine.sampling.momenta import maxwell_boltzmann
from refine.sampling.state import ExternalState, State
from refine.sampling.watch import Watch
from refine.system import System
from refine.units import BOLTZMANN

Array = NDArray[np.float64]
Positions = NDArray[np.floating[Any]]

ATOM_STEPS, STEPS = 1_000_000, (100, 2000)
"""Steps of all atoms in a block, about a second of work, and the limits of the steps of a block."""

RELAXATION, LONGEST_MOVE = 300, 0.1
"""Steps of a minimiser, and the longest move of an atom in one of them, Å."""


class ExternalSampler:
    """Samples one state point; see `refine.sampling.engine.Engine`.

    engine: its name, which its states carry.  field: the potential.  n_bins, r_max: histogram of pair distances, Å.
    precision: "float32" or "float64", of the pair distances, and of positions that frames keep.
    phase: "liquid" makes a system that does not flow an error; "solid" does not.
    steps_per_block: None: about a second of a program for pair potentials.

    Raises InputError where a length does not fit into the box or a number is out of range.
    """

    def __init__(
        self,
        engine: str,
        system: System,
        field: MoverOf,
        motion: Motion,
        *,
        stride: int,
        n_bins: int,
        r_max: float,
        precision: str,
        replicas: int = 1,
        phase: str = "liquid",
        positions: bool = False,
        steps_per_block: int | None = None,
    ) -> None:
        if field.cutoff is not None:
            system.check_distance(field.cutoff, "the cutoff of the potential")
        system.check_distance(r_max, "r_max of the pair counts")
        numbers = {"timestep": motion.timestep, "stride": stride, "n_bins": n_bins, "replicas": replicas}
        check_numbers(precision=precision, phase=phase, **numbers)
        self.engine, self.system, self.field, self.motion = engine, system, field, motion
        self.stride, self.n_bins, self.r_max, self.replicas = stride, n_bins, r_max, replicas
        self.precision, self.positions = precision, positions
        steps = int(np.clip(ATOM_STEPS // (system.n_atoms * replicas), *STEPS))
        self.frames_per_block = max(1, (steps_per_block or steps) // stride)
        self.constraints = 0 if field.molecules is None else field.molecules.constraints
        freedom = motion.degrees_of_freedom(system.n_atoms) - self.constraints
        self.watch = Watch(system, motion.timestep, stride, phase, freedom, motion.holds_temperature)
        self._mover: tuple[Any, Mover] | None = None

    @property
    def timestep(self) -> float:
        """fs."""
        return self.motion.timestep

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of positions and momenta of states."""
        return np.dtype(np.float64)

    @property
    def relaxation(self) -> int:
        """Steps of `minimise`."""
        return RELAXATION

    @property
    def notes(self) -> tuple[str, ...]:
        """What a lenient sampler has noted of its present trajectory."""
        return tuple(self.watch.notes)

    # ---- the same atoms otherwise

    def changed(self, *, cell: Array | None = None, timestep: float | None = None) -> ExternalSampler:
        """A sampler of the same atoms in another cell of the same shape ((3, 3) Å), or with another timestep (fs).

        Raises InputError when the cutoff or r_max does not fit into the cell.
        """
        other = copy.copy(self)
        if cell is not None and not np.array_equal(cell, self.system.cell):
            other = self.resized(cell)
            if self.field.cutoff is not None:
                other.system.check_distance(self.field.cutoff, "the cutoff of the potential")
            other.system.check_distance(self.r_max, "r_max of the pair counts")
        if timestep is not None and timestep != self.timestep:
            if not timestep > 0:
                raise InputError(f"timestep is {timestep}; it must be above zero")
            other.motion = replace(self.motion, timestep=timestep)
            other.watch = replace(other.watch, timestep=timestep)
        return other

    def resized(self, cell: Array) -> ExternalSampler:
        """As `changed`, for what counts no pairs: no length is compared with the cell."""
        other = copy.copy(self)
        other.system = replace(self.system, cell=np.asarray(cell, np.float64), positions=None)
        other.watch = replace(self.watch, system=other.system)
        other._mover = None
        return other

    def lenient(self) -> ExternalSampler:
        """This sampler, but a liquid that does not flow is noted (`notes`), and its trajectory goes on."""
        other = copy.copy(self)
        other.watch = replace(self.watch, lenient=True)
        return other

    def at_pressure(self, pressure: float, seed: int) -> ExternalBarostat:
        """This sampler at constant pressure (GPa); seed: of the moves of the volume."""
        return ExternalBarostat(self, pressure, seed)

    # ---- states

    def start(self, positions: Positions, temperature: float, seed: int) -> ExternalState:
        """A trajectory's first state: Maxwell-Boltzmann momenta at `temperature` (K) with zero total momentum.

        positions: (N, 3) for every replica, or (R, N, 3), Å.
        Momenta and random numbers of replica k follow from (seed, k).
        """
        every = per_replica(positions, self.replicas, self.system.n_atoms)
        check_temperature(temperature)
        replicas = range(self.replicas)
        return ExternalState(
            engine=self.engine,
            positions=wrap(every, self.system.cell),
            momenta=np.stack([maxwell_boltzmann(self.system.masses, temperature, [seed, k]) for k in replicas]),
            thermostat={
                "seed": np.array([[seed, k] for k in replicas], np.int64),
                "memory": stacked([NOTHING] * self.replicas),
            },
            step=0,
            displacement=np.zeros(every.shape),
            sampled_steps=0,
        )

    def adopted(self, state: State, temperature: float, seed: int) -> ExternalState:
        """A state of this engine as it is; of a state of anything else, the start from its positions."""
        if isinstance(state, ExternalState) and state.engine == self.engine:
            return state
        return self.start(state.positions, temperature, seed)

    def retuned(self, state: ExternalState, temperature: float) -> ExternalState:
        """The state as the first of a trajectory: what it moved before does not count."""
        return replace(state, displacement=np.zeros(state.positions.shape), sampled_steps=0)

    def minimise(self, positions: Positions, params: Any, on_steps: Callable[[int], None] | None = None) -> Positions:
        """Positions (R, N, 3) after `relaxation` steps of the program's minimiser: takes out what would explode.

        on_steps: called after each replica with its share of the steps.
        Raises SimulationError where the positions do not stay finite.
        """
        mover, told, relaxed = self.mover(params), 0, []
        begun = wrap(per_replica(positions, self.replicas, self.system.n_atoms), self.system.cell)
        for k, one in enumerate(begun, start=1):
            relaxed.append(mover.relaxed(one, RELAXATION, LONGEST_MOVE))
            if on_steps is not None:
                on_steps(RELAXATION * k // self.replicas - told)
                told = RELAXATION * k // self.replicas
        every = np.stack(relaxed)
        check_relaxed(every)
        return wrap(every, self.system.cell)

    def forces(self, state: ExternalState, params: Any) -> Array:
        """Forces (R, N, 3) eV/Å on the atoms of a state."""
        mover = self.mover(params)
        return np.stack([mover.evaluate(one).forces for one in state.positions])

    def kinetic_temperature(self, kinetic: Array) -> Array:
        """Temperature (K) of kinetic energies (eV) of the whole box."""
        return 2 * kinetic / (self.watch.degrees_of_freedom * BOLTZMANN)

    def mover(self, params: Any) -> Mover:
        """The program under a potential; kept while the potential stays the same."""
        if self._mover is None or self._mover[0] != params:
            self._mover = params, self.field.mover(self.system, params)
        return self._mover[1]

    def start_of(self, state: ExternalState, replica: int, temperature: float) -> Start:
        """Where the next block of a replica begins."""
        seed = np.random.SeedSequence([*state.thermostat["seed"][replica].tolist(), state.step])
        memory = unstacked(state.thermostat["memory"][replica])
        number = int(seed.generate_state(1)[0])
        return Start(state.positions[replica], state.momenta[replica], temperature, number, memory)

    # ---- running

    def run(
        self,
        state: ExternalState,
        params: Any,
        temperature: float,
        frames: int,
        *,
        observe: bool = True,
        on_block: Callable[[int], None] | None = None,
    ) -> tuple[ExternalState, Frames]:
        """Advance every replica by `frames` frames (of `stride` steps each) at `temperature` (K); see `FrameMaker.run`.

        Raises SimulationError naming the step when the program fails, or the dynamics run away or freeze.
        """
        if frames < 1:
            raise InputError(f"frames is {frames}; it must be at least 1")
        mover, blocks, done = self.mover(params), [], 0
        while done < frames:
            count = min(self.frames_per_block, frames - done)
            walks = [
                mover.walk(
                    self.start_of(state, k, temperature),
                    self.motion,
                    count,
                    self.stride,
                    observe=observe,
                    where=(state.step, k),
                )
                for k in range(self.replicas)
            ]
            state = self._after(state, walks, count * self.stride, counts=observe)
            temperatures = self.kinetic_temperature(np.stack([walk.kinetic for walk in walks], axis=1))
            self.watch.look(state, temperatures, temperature, sampling=observe)
            if observe:
                blocks.append([self._observed(walk) for walk in walks])
            done += count
            if on_block is not None:
                on_block(done)
        return state, self._frames(blocks)

    def _after(self, state: ExternalState, walks: list[Walk], steps: int, *, counts: bool) -> ExternalState:
        end = np.stack([walk.positions[-1] for walk in walks])
        counts = counts or state.sampled_steps > 0  # a re-equilibration between two samples interrupts neither of them
        return replace(
            state,
            positions=wrap(end, self.system.cell),
            momenta=np.stack([walk.momenta for walk in walks]),
            thermostat=state.thermostat | {"memory": stacked([walk.memory for walk in walks])},
            step=state.step + steps,
            displacement=state.displacement + (end - state.positions) if counts else np.zeros(end.shape),
            sampled_steps=state.sampled_steps + steps if counts else 0,
        )

    def _observed(self, walk: Walk) -> dict[str, NDArray[Any]]:
        """The frames of a block of one replica, as `Frames` has them."""
        arrays: dict[str, NDArray[Any]] = {}
        if self.positions:
            arrays["positions"] = walk.positions.astype(self.precision)
        temperature = self.kinetic_temperature(walk.kinetic)
        counts = pair_counts(walk.positions, self.system, self.n_bins, self.r_max, self.precision)
        if (molecules := self.field.molecules) is not None:
            counts, arrays["bonded"] = molecules.counts(walk.positions, self.system, counts, self.r_max)
        # a length that is held has no kinetic energy; p V = N k T + W/3 counts all atoms as free, which is right with
        # the virial of a stiff spring in its place, -kT for each
        held = self.constraints * BOLTZMANN * temperature
        return arrays | {
            "counts": counts,
            "energy": walk.energy,
            "virial": np.trace(walk.virial, axis1=1, axis2=2) - held,
            "temperature": temperature,
        }

    def _frames(self, blocks: list[list[dict[str, NDArray[Any]]]]) -> Frames:
        """Frames in the order of the class: replica after replica."""
        n_pairs, n = number_of_pairs(len(self.system.species)), self.system.n_atoms
        empty: dict[str, NDArray[Any]] = {
            "counts": np.zeros((0, n_pairs, self.n_bins), np.float32),
            **{name: np.zeros(0) for name in ("energy", "virial", "temperature")},
        }
        if self.positions:
            empty["positions"] = np.zeros((0, n, 3), self.precision)
        if self.field.molecules is not None:
            empty["bonded"] = np.zeros((0, n_pairs, self.n_bins), np.float32)
        by_replica = [block[k] for k in range(self.replicas) for block in blocks]
        arrays = {name: np.concatenate([none, *(one[name] for one in by_replica)]) for name, none in empty.items()}
        return Frames(
            **arrays,
            replica=np.repeat(np.arange(self.replicas), len(arrays["energy"]) // self.replicas),
            r_max=self.r_max,
            n_per_species=self.system.n_per_species,
            volume=self.system.volume,
        )
