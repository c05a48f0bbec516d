"""Engines: what samples, as those who ask for samples see it.

`FrameMaker` is what a run takes frames from: molecular dynamics, or moves that fit the atoms to the data. `Engine` is
molecular dynamics: a melt, a schedule, equilibration. `EngineKind` builds them, and `EngineField`, the potential as
they take it; `refine.sampling.engines` has the table of kinds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from refine.sampling.frames import Frames
from refine.sampling.state import State
from refine.sampling.volumes import Volumes
from refine.system import System

if TYPE_CHECKING:
    from refine.potentials.correction import PairCorrection
    from refine.potentials.protocols import Base
    from refine.sampling.jax.adjoint import Adjoint
    from refine.sampling.segments import Segments


Array = NDArray[np.float64]

Positions = NDArray[np.floating[Any]]

S = TypeVar("S", bound=State)

OnSteps = Callable[[int], None]
"""Is told, piece by piece, how many more steps are done."""


class FrameMaker(Protocol[S]):
    """Frames of one state point."""

    @property
    def frames_per_block(self) -> int:
        """Runs of so many frames, and of multiples of it, add up to one long run bit for bit."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noted of the present trajectory, in words for a user."""

    def start(self, positions: Positions, temperature: float, seed: int) -> S:
        """The first state from positions (N, 3) for all replicas, or (R, N, 3), Å, at a temperature (K).

        Deterministic in the seed; replicas differ.
        """

    def adopted(self, state: State, temperature: float, seed: int) -> S:
        """A state of this engine as it is; of a state of another one, the start from its positions."""

    def run(
        self,
        state: S,
        params: Any,
        temperature: float,
        frames: int,
        *,
        observe: bool = True,
        on_block: Callable[[int], None] | None = None,
    ) -> tuple[S, Frames]:
        """So many frames of every replica at a temperature (K): the new state, and the frames, replica after replica.

        params: what the force field takes.  observe: False: nothing is counted, and the Frames are empty.
        on_block: called with the frames done so far, per replica, after every block.
        `state` is unchanged, and all that the continuation depends on is in the new one: a run that goes on from its
        stored arrays in another process is bit for bit the one that never stopped.
        Raises SimulationError, naming the step, where the trajectory failed.
        """


class Barostat(Protocol[S]):
    """An engine at constant pressure; moves of the volume are its unit of length."""

    @property
    def moves_per_block(self) -> int:
        """Runs of so many moves, and of multiples of it, add up to one long run bit for bit."""

    def moves_in(self, picoseconds: float) -> int:
        """Moves in so long a time, at least one."""

    def run(
        self, state: S, cell: Array, params: Any, temperature: float, moves: int, *, tune: bool = False
    ) -> tuple[S, Array, Volumes]:
        """So many moves from a state in a cell (3, 3) Å: the new state, its cell, and what the volume did.

        tune: adapt the moves; what is sampled meanwhile is for equilibration.
        """


class Engine(FrameMaker[S], Protocol[S]):
    """Molecular dynamics of one state point."""

    @property
    def system(self) -> System:
        """Atoms and cell."""

    @property
    def timestep(self) -> float:
        """fs."""

    @property
    def stride(self) -> int:
        """Steps between frames."""

    @property
    def replicas(self) -> int:
        """Trajectories side by side."""

    @property
    def n_bins(self) -> int:
        """Bins of the histogram of pair distances in frames."""

    @property
    def r_max(self) -> float:
        """Å, the end of that histogram."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of positions."""

    @property
    def relaxation(self) -> int:
        """Steps of `minimise`."""

    def minimise(self, positions: Positions, params: Any, on_steps: OnSteps | None = None) -> Positions:
        """Positions (R, N, 3) Å without overlaps that would explode; no minimum is looked for."""

    def changed(self, *, cell: Array | None = None, timestep: float | None = None) -> Engine[S]:
        """The same atoms in another cell of the same shape ((3, 3) Å), or with another timestep (fs)."""

    def retuned(self, state: S, temperature: float) -> S:
        """The state as the first of a trajectory: what is tuned at its start, tuned to this temperature (K)."""

    def forces(self, state: S, params: Any) -> Array:
        """Forces (R, N, 3) eV/Å on the atoms of a state; params: what the force field takes."""

    def lenient(self) -> Engine[S]:
        """This engine, but a liquid that does not flow is noted (`notes`), and its trajectory goes on."""

    def at_pressure(self, pressure: float, seed: int) -> Barostat[S]:
        """This engine at constant pressure (GPa); seed: of the moves of the volume."""


def frames_in(picoseconds: float, engine: Engine[Any]) -> int:
    """Frames of an engine in so long a time, rounded up."""
    return frames_of(picoseconds, engine.timestep, engine.stride)


def frames_of(picoseconds: float, timestep: float, stride: int) -> int:
    """Frames that are so many steps (of so many fs) apart in so long a time, rounded up."""
    return math.ceil(picoseconds * 1000 / (timestep * stride))


def increments(tell: OnSteps | None, each: int = 1) -> Callable[[int], None] | None:
    """The `on_block` of a run that tells how much is new, `each` for every frame.

    >>> on_block = increments(print, each=10)
    >>> on_block(2), on_block(5)
    20
    30
    (None, None)
    """
    if tell is None:
        return None
    before = 0

    def on_block(done: int) -> None:
        nonlocal before
        tell((done - before) * each)
        before = done

    return on_block


def unobserved(
    engine: Engine[S], state: S, params: Any, temperature: float, frames: int, on_steps: OnSteps | None = None
) -> S:
    """The state after so many frames at a temperature (K) that nobody looks at."""
    on_block = increments(on_steps, engine.stride)
    return engine.run(state, params, temperature, frames, observe=False, on_block=on_block)[0]


class ConstantEnergy(Protocol):
    """Trajectories that no thermostat touches, equally long, and longer on request."""

    @property
    def interval(self) -> float:
        """ps between stored positions."""

    def points_in(self, picoseconds: float) -> int:
        """Intervals in so long a time, at least one."""

    def lengthen(self, points: int, on_block: Callable[[int], None] | None = None) -> Segments:
        """Every trajectory longer by so many intervals, as a whole; on_block is told how many of all were done.

        Raises SimulationError when the dynamics fail or the energy is not conserved.
        """


class Dynamics(Protocol):
    """What a study says of its dynamics; see [sampling] in the reference of the study file."""

    @property
    def thermostat(self) -> str:
        """Its name in `refine.sampling.jax.thermostats.THERMOSTATS`."""

    @property
    def time_constant(self) -> float:
        """Of the thermostat, ps."""

    @property
    def timestep(self) -> float:
        """fs."""

    @property
    def stride(self) -> int:
        """Steps between frames."""

    @property
    def precision(self) -> str:
        """ "float32" or "float64"."""

    @property
    def processes(self) -> int:
        """Of an engine that is a program of its own; 0: it samples in this process."""

    @property
    def threads(self) -> int:
        """Of each process of such an engine."""

    @property
    def devices(self) -> int:
        """Over which an engine spreads replicas that it moves side by side; 0: all of an accelerator."""


class EngineField(Protocol):
    """A base model for the atoms of one box as an engine takes it, in whatever form that engine evaluates."""

    def params(self, correction: PairCorrection | None, base: Any = None) -> Any:
        """The potential that acts, as `Engine.run` and the others take it.

        correction: None: there is none.
        base: in place of the base model's own parameters, whatever these are (`BaseParameters.at`).
        """


class EngineKind(Protocol):
    """An entry of the table: what builds samplers, trajectories at constant energy, and gradients through them."""

    @property
    def differentiates(self) -> bool:
        """Whether there are gradients through trajectories, `adjoint`."""

    @property
    def side_by_side(self) -> bool:
        """Whether replicas move together, in less time than one after the other."""
        return False

    @property
    def elsewhere(self) -> bool:
        """Whether atoms are moved by others, at other times: a run waits for their frames (`refine.tasks.step`), and
        nothing else samples."""
        return False

    @property
    def parallel(self) -> bool:
        """Whether `processes` and `threads` of a study are this engine's."""
        return False

    def check_processes(self, processes: int) -> None:
        """InputError where so many processes, of a study, cannot be started here."""

    def check_changed(self, base: Any) -> None:
        """InputError where this engine cannot take a base with parameters that change; base: of `BaseParameters.at`."""

    def holds_pressure(self, processes: int) -> bool:
        """Whether a stage of a schedule may have a pressure; processes: of the study."""
        return True

    def check(self, kind: Base, model: Any, base: Any, systems: Sequence[System]) -> None:
        """InputError where this engine cannot move these atoms under a base, or is not installed.

        kind, model, base: of the study: its kind, its table of keys, and what was read. Nothing is compiled or started.
        """

    def advantage(self, kind: Base, base: Any) -> str | None:
        """Why `engine = "auto"` takes this engine for a base, in words; None where it does not. `check` comes after."""

    def field(self, kind: Base, model: Any, base: Any, cutoff: float, system: System, precision: str) -> EngineField:
        """The potential for a box. cutoff: Å, largest r_cut that a correction will have.  precision: of `Dynamics`.

        Raises InputError where the base does not fit into the box, or the engine cannot evaluate it.
        """

    def sampler(
        self,
        system: System,
        field: Any,
        settings: Dynamics,
        *,
        n_bins: int,
        r_max: float,
        phase: str,
        replicas: int = 1,
        positions: bool = False,
    ) -> Engine[Any]:
        """An engine of one state point.

        field: of `field`, made for the precision of the settings.  n_bins, r_max: histogram of pair distances, Å.
        phase: "liquid" makes a system that does not flow an error; "solid" does not.
        positions: whether frames keep them.
        Raises InputError where a length does not fit into the box, or a number is out of range.
        """

    def placed(self, engine: Engine[Any], turn: int) -> Engine[Any]:
        """An engine as that of state number `turn` of a study: on devices of its own, where there are so many."""
        return engine

    def lane(self, engine: Engine[Any]) -> int:
        """Engines of different lanes may be used at the same time, in threads of their own; those of one take turns."""
        return 0

    def constant_energy(
        self,
        system: System,
        field: Any,
        settings: Dynamics,
        params: Any,
        positions: Positions,
        *,
        temperature: float,
        seed: int,
        interval: float,
        phase: str,
    ) -> ConstantEnergy:
        """Trajectories of one potential from positions (S, N, 3) Å, with momenta of a temperature (K) from the seed.

        field: as of `sampler`.  params: of the field.
        interval: about the time between stored positions, ps.  phase: as of `sampler`.
        """

    def adjoint(
        self,
        system: System,
        field: Any,
        settings: Dynamics,
        *,
        temperature: float,
        steps: int,
        n_bins: int,
        r_max: float,
        clip: float | None = None,
    ) -> Adjoint:
        """Gradients through windows of `steps` steps at a temperature (K); field: made for float64. InputError where
        there are none, or a number is out of range."""
