"""Molecular dynamics by ASE: an engine over any calculator, in blocks of frames, one replica after the other.

Everything that determines a trajectory is in `MDState`; positions and momenta are float64, whatever [sampling]
precision says of a base. Each block begins with atoms, dynamics and calculators that remember nothing, so a run
continued from a stored state in another process is bit for bit the one that never stopped, as far as the calculator
gives the same numbers for the same atoms.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.optimize import FIRE
from numpy.typing import NDArray

from kernels.cell import wrap
from kernels.histogram import pair_histogram
from kernels.species import number_of_pairs
from refine.errors import InputError, RefineError, SimulationError
from refine.sampling.ase.field import Acting, CalculatorField, atoms_of, energy_of, kinetic_of, virial_of
from refine.sampling.ase.thermostats import Thermostat
from refine.sampling.engine import OnSteps, Positions
from refine.sampling.frames import Frames
from refine.sampling.momenta import maxwell
from refine.sampling.state import MDState, State
from refine.sampling.watch import Watch
from refine.system import System
from refine.units import BOLTZMANN, TIME_UNIT

if TYPE_CHECKING:
    from refine.sampling.ase.barostat import ConstantPressure

Array = NDArray[np.float64]

STEPS_PER_BLOCK = 100
"""Between two checkpoints: with a slow calculator, a minute."""

RELAXATION, PIECE = 300, 25
"""Steps of `minimise`, and those after which it tells how far it is."""

HARMLESS = 0.5
"""eV/Å, the largest force at which the relaxation of a start structure may end."""

_count = jax.jit(pair_histogram, static_argnames=("n_per_species", "n_bins", "orthorhombic"))


@dataclass
class _Seen:
    """Of the frames of a block, each of every replica: kinetic temperatures (frames, R) K, energies and virials alike,
    counts (frames, R, pairs, bins), positions (frames, R, N, 3)."""

    temperature: Array
    energy: Array
    virial: Array
    counts: NDArray[np.float32]
    positions: Array | None


class AseSampler:
    """Samples one state point.

    system: atoms and cell.  field: the base.  thermostat: of `refine.sampling.ase.thermostats`.
    timestep: fs.  stride: steps between frames.  n_bins, r_max: histogram of pair distances, Å.
    replicas: independent trajectories, one after the other.
    phase: "liquid" makes a system that does not flow an error; "solid" does not.
    positions: whether frames keep them.

    Raises InputError when a cutoff or r_max does not fit into the box or a number is out of range.
    """

    def __init__(
        self,
        system: System,
        field: CalculatorField,
        *,
        thermostat: Thermostat,
        timestep: float,
        stride: int,
        n_bins: int,
        r_max: float,
        replicas: int = 1,
        phase: str = "liquid",
        positions: bool = False,
    ) -> None:
        if field.cutoff:
            system.check_distance(field.cutoff, "the cutoff of the potential")
        system.check_distance(r_max, "r_max of the pair counts")
        for name, value in (("timestep", timestep), ("stride", stride), ("n_bins", n_bins), ("replicas", replicas)):
            if not value > 0:
                raise InputError(f"{name} is {value}; it must be above zero")
        if phase not in ("liquid", "solid"):
            raise InputError(f"phase is {phase!r}; it must be liquid or solid")
        self.system, self.field, self.thermostat, self.phase = system, field, thermostat, phase
        self.timestep, self.stride, self.replicas = timestep, stride, replicas
        self.n_bins, self.r_max, self.positions = n_bins, r_max, positions
        self.dtype, self.relaxation = np.dtype(np.float64), RELAXATION
        self.frames_per_block = max(1, STEPS_PER_BLOCK // stride)
        freedom = thermostat.degrees_of_freedom(system.n_atoms)
        self.watch = Watch(system, timestep, stride, phase, freedom, thermostat.holds_temperature)

    # ---- the same atoms otherwise

    def changed(self, *, cell: Array | None = None, timestep: float | None = None) -> AseSampler:
        """A sampler of the same atoms in another cell of the same shape ((3, 3) Å), or with another timestep (fs)."""
        other = copy.copy(self) if cell is None else self.resized(cell)
        other.system.check_distance(other.r_max, "r_max of the pair counts")
        if timestep is not None and timestep != self.timestep:
            if not timestep > 0:
                raise InputError(f"timestep is {timestep}; it must be above zero")
            other.timestep = timestep
            other.watch = replace(other.watch, timestep=timestep)
        return other

    def resized(self, cell: Array) -> AseSampler:
        """As `changed`, for what counts no pairs: r_max need not fit into the cell."""
        other = copy.copy(self)
        other.system = replace(self.system, cell=np.asarray(cell, np.float64))
        other.watch = replace(self.watch, system=other.system)
        if other.field.cutoff:
            other.system.check_distance(other.field.cutoff, "the cutoff of the potential")
        return other

    def lenient(self) -> AseSampler:
        """This sampler, but a liquid that does not flow is noted (`notes`), and its trajectory goes on."""
        other = copy.copy(self)
        other.watch = replace(self.watch, lenient=True)
        return other

    def at_pressure(self, pressure: float, seed: int) -> ConstantPressure:
        """This sampler at constant pressure (GPa); seed: of the moves of the volume."""
        from refine.sampling.ase.barostat import ConstantPressure

        return ConstantPressure(self, pressure, seed)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a lenient sampler has noted of its present trajectory."""
        return tuple(self.watch.notes)

    # ---- states

    def start(self, positions: Positions, temperature: float, seed: int) -> MDState:
        """A trajectory's first state: Maxwell-Boltzmann momenta at `temperature` (K) with zero total momentum.

        positions: (N, 3) for every replica, or (R, N, 3), Å. Momenta and random numbers of replica k follow from
        (seed, k).
        """
        every = self._per_replica(positions)
        if not temperature > 0:
            raise InputError(f"temperature is {temperature} K; it must be above zero")
        fresh = [self.thermostat.fresh(seed, k) for k in range(self.replicas)]
        return MDState(
            positions=wrap(every, self.system.cell),
            momenta=np.stack([maxwell(self.system.masses, temperature, [seed, k]) for k in range(self.replicas)]),
            thermostat={name: np.stack([one[name] for one in fresh]) for name in fresh[0]},
            step=0,
            capacity=0,
            skin=0.0,
            displacement=np.zeros(every.shape),
            sampled_steps=0,
        )

    def adopted(self, state: State, temperature: float, seed: int) -> MDState:
        """A state of this sampler as it is; of a state of anything else, the start from its positions."""
        if isinstance(state, MDState) and state.thermostat.keys() == self.thermostat.fresh(seed, 0).keys():
            return state
        return self.start(state.positions, temperature, seed)

    def retuned(self, state: MDState, temperature: float) -> MDState:
        """The state as the first of a trajectory: what moved before does not count."""
        return replace(state, displacement=np.zeros(state.positions.shape), sampled_steps=0)

    def minimise(self, positions: Positions, params: Acting, on_steps: OnSteps | None = None) -> Positions:
        """Positions (R, N, 3) after a relaxation by ASE's FIRE, which takes out what would explode.

        Raises SimulationError when the positions do not stay finite, or the calculator fails.
        """
        relaxed = []
        for at in self._per_replica(positions):
            atoms = atoms_of(self.system, wrap(at, self.system.cell))
            atoms.calc = params.fresh()
            with calculating("relaxation of the start structure"):
                optimiser = FIRE(atoms, logfile=None)
                for _ in range(RELAXATION // PIECE):
                    optimiser.run(fmax=HARMLESS, steps=PIECE)
                    if on_steps is not None and not relaxed:  # as if all replicas were relaxed at once
                        on_steps(PIECE)
            if not np.isfinite(atoms.positions).all():
                raise SimulationError(
                    "positions are no longer finite numbers",
                    where="relaxation of the start structure",
                    fix="remove overlaps, check that the potential is repulsive at short range, or give a start "
                    "structure",
                )
            relaxed.append(wrap(atoms.positions, self.system.cell))
        return np.stack(relaxed)

    def forces(self, state: MDState, params: Acting) -> Array:
        """Forces (R, N, 3) eV/Å on the atoms of a state."""
        found = []
        for at in state.positions:
            atoms = atoms_of(self.system, at)
            atoms.calc = params.fresh()
            with calculating(f"step {state.step}"):
                found.append(np.asarray(atoms.get_forces(), np.float64))
        return np.stack(found)

    def kinetic_temperature(self, kinetic: Any) -> Any:
        """Temperature (K) of kinetic energies (eV) of the whole box."""
        return 2 * kinetic / (self.watch.degrees_of_freedom * BOLTZMANN)

    def _per_replica(self, positions: Positions) -> Array:
        shape = (self.replicas, self.system.n_atoms, 3)
        positions = np.asarray(positions, np.float64)
        if positions.shape not in (shape, shape[1:]):
            raise ValueError(f"positions have shape {positions.shape}; expected {shape} or {shape[1:]}")
        return np.broadcast_to(positions, shape)

    # ---- running

    def run(
        self,
        state: MDState,
        params: Acting,
        temperature: float,
        frames: int,
        *,
        observe: bool = True,
        on_block: Callable[[int], None] | None = None,
    ) -> tuple[MDState, Frames]:
        """Advance every replica by `frames` frames (of `stride` steps each) at `temperature` (K).

        observe: False for equilibration: nothing is counted or judged, and the Frames that come back are empty.
        on_block: called after every block with the frames done so far in this run, per replica.
        Several runs in a row equal one long run when all but the last are multiples of `frames_per_block`.
        Raises SimulationError naming the step when the dynamics are not finite, run away, or freeze, or the calculator
        fails.
        """
        if frames < 1:
            raise InputError(f"frames is {frames}; it must be at least 1")
        blocks, done = [], 0
        while done < frames:
            count = min(self.frames_per_block, frames - done)
            state, seen = self._block(state, params, temperature, count, observe)
            self.watch.look(state, seen.temperature, temperature, sampling=observe)
            if observe:
                blocks.append(seen)
            done += count
            if on_block is not None:
                on_block(done)
        return state, self._frames(blocks)

    def _block(
        self, state: MDState, params: Acting, temperature: float, count: int, observe: bool
    ) -> tuple[MDState, _Seen]:
        """One block of `count` frames: the next state and what was observed."""
        seen = self._nothing(count)
        ends, momenta, variables = [], [], []
        for k in range(self.replicas):
            before = {name: value[k] for name, value in state.thermostat.items()}
            atoms = atoms_of(self.system, state.positions[k], state.momenta[k])
            atoms.calc = params.fresh()
            dynamics = self.thermostat.dynamics(atoms, self.timestep, temperature, before, state.step)
            for frame in range(count):
                first = state.step + frame * self.stride
                with calculating(f"steps {first} to {first + self.stride}"):
                    if not self._advance(dynamics):
                        break  # its temperature is not a number, by which the watch finds it
                    seen.temperature[frame, k] = self.kinetic_temperature(kinetic_of(atoms))
                    if observe:
                        self._observe(seen, frame, k, atoms)
            ends.append(atoms.get_positions())
            momenta.append(atoms.get_momenta())
            variables.append(self.thermostat.variables(dynamics, before))
        end, steps = np.stack(ends), count * self.stride
        # a re-equilibration between two samples interrupts neither of the two
        counts = observe or state.sampled_steps > 0
        after = replace(
            state,
            positions=wrap(end, self.system.cell),
            momenta=np.stack(momenta),
            thermostat={name: np.stack([one[name] for one in variables]) for name in state.thermostat},
            step=state.step + steps,
            displacement=state.displacement + (end - state.positions) if counts else np.zeros(end.shape),
            sampled_steps=state.sampled_steps + steps if counts else 0,
        )
        return after, seen

    def _advance(self, dynamics: Any) -> bool:
        """The steps of a frame; False where atoms have begun to fly, which no list of neighbours can follow."""
        atoms, farthest = dynamics.atoms, self.system.r_box * TIME_UNIT / self.timestep
        for _ in range(self.stride):
            try:
                dynamics.step()
            except RefineError as error:  # of our own calculator: positions or an energy that are not numbers
                if isinstance(error, SimulationError) or not np.isfinite(atoms.positions).all():
                    return False
                raise
            # also where it is not a number
            if not np.abs(atoms.get_velocities()).max() < farthest or not np.isfinite(atoms.positions).all():
                return False
        return True

    def _nothing(self, count: int) -> _Seen:
        n_pairs = number_of_pairs(len(self.system.species))
        unknown = np.full((3, count, self.replicas), np.nan)
        return _Seen(
            *unknown,
            np.zeros((count, self.replicas, n_pairs, self.n_bins), np.float32),
            np.zeros((count, self.replicas, self.system.n_atoms, 3)) if self.positions else None,
        )

    def _observe(self, seen: _Seen, frame: int, k: int, atoms: Atoms) -> None:
        seen.energy[frame, k] = energy_of(atoms)
        seen.virial[frame, k] = virial_of(atoms)
        at = wrap(atoms.positions, self.system.cell)
        seen.counts[frame, k] = _count(
            jnp.asarray(at, jnp.float32),
            jnp.asarray(self.system.cell, jnp.float32),
            n_per_species=self.system.n_per_species,
            n_bins=self.n_bins,
            r_max=self.r_max,
            orthorhombic=self.system.orthorhombic,
        )
        if seen.positions is not None:
            seen.positions[frame, k] = at

    def _frames(self, blocks: list[_Seen]) -> Frames:
        """Frames in the order of the class: replica after replica."""
        blocks = blocks or [self._nothing(0)]

        def joined(name: str) -> Any:
            """(replicas * frames, ...)"""
            every = np.concatenate([getattr(block, name) for block in blocks]).swapaxes(0, 1)
            return every.reshape(-1, *every.shape[2:])

        energy = joined("energy")
        return Frames(
            counts=joined("counts"),
            energy=energy,
            virial=joined("virial"),
            temperature=joined("temperature"),
            replica=np.repeat(np.arange(self.replicas), len(energy) // self.replicas),
            r_max=self.r_max,
            n_per_species=self.system.n_per_species,
            volume=self.system.volume,
            positions=joined("positions") if self.positions else None,
        )


@contextmanager
def calculating(where: str) -> Iterator[None]:
    """What a calculator raises, whatever it is, as a SimulationError of one line that says where."""
    try:
        with np.errstate(all="ignore"):  # what is not finite is found, and said where
            yield
    except RefineError:
        raise
    except Exception as error:
        said = " ".join(str(error).split()) or "no message"
        raise SimulationError(
            f"the calculator failed: {type(error).__name__}: {said:.200}",
            where=where,
            fix="calculate one structure with it by ASE alone, to see what it lacks",
        ) from error
