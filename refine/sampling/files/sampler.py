"""The `Engine` that moves nothing: its frames are those that somebody has brought (`Returned`)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from kernels.cell import wrap
from refine.errors import InputError, SimulationError
from refine.potentials.correction import PairCorrection
from refine.potentials.lammps import Script
from refine.potentials.protocols import Finished
from refine.sampling.engine import Dynamics
from refine.sampling.frames import Frames
from refine.sampling.given import per_replica
from refine.sampling.molecules import Molecules
from refine.sampling.state import ExternalState, State
from refine.system import System, species_pairs

if TYPE_CHECKING:
    from refine.potentials.protocols import Base

Array = NDArray[np.float64]
Positions = NDArray[np.floating[Any]]

NAME = "files"
"""Of the engine, in its states."""

ALL = 10**9
"""Frames of a block: what came back is one."""


def refused() -> InputError:
    """For whoever asks it for a sample."""
    return InputError(
        'nothing here moves atoms for engine "files", whose frames come from elsewhere',
        where="[sampling] engine",
        fix="use refine step, or for this command another engine, as in --set sampling.engine='\"jax\"'",
    )


@dataclass(frozen=True)
class FilesPotential:
    """What is to act: a base, with its own parameters or others (`EngineField.params`), and a correction."""

    kind: Base
    model: Any
    base: Any
    correction: PairCorrection | None


@dataclass(frozen=True)
class FilesField:
    """A base for the atoms of one box; see `refine.sampling.engine.EngineField`. reach: Å, largest r_cut."""

    kind: Base
    model: Any
    base: Any
    reach: float
    system: System

    def __post_init__(self) -> None:
        self.kind.check_box(self.base, self.reach, self.system)

    @cached_property
    def molecules(self) -> Molecules | None:
        """Its molecules; None: the atoms are alone."""
        if not self.model.has_molecules:
            return None
        species = self.system.species
        run = Finished(species, species_pairs(species), self.reach, None, Path(), potential=self.base)
        return Molecules.of(self.kind.lammps(self.model, run, Script("refine", species)), species)

    def params(self, correction: PairCorrection | None, base: Any = None) -> FilesPotential:
        """The two as they are: who moves the atoms is told in words that he knows."""
        return FilesPotential(self.kind, self.model, self.base if base is None else base, correction)


@dataclass(frozen=True)
class Returned:
    """What came back for one state.

    frames: those that count.  positions: (R, N, 3) Å, the last of each replica.  notes: for the user, in words.
    failed: why there are none, where the potential could not be sampled.
    """

    frames: Frames | None
    positions: Array | None
    notes: tuple[str, ...] = ()
    failed: str | None = None


class FilesSampler:
    """See `refine.sampling.engine.Engine`. What moves atoms raises InputError; `run` gives the frames that came back.

    n_bins, r_max: histogram of pair distances, Å.  positions: whether frames keep them.
    """

    def __init__(
        self, system: System, settings: Dynamics, *, n_bins: int, r_max: float, replicas: int, positions: bool
    ) -> None:
        system.check_distance(r_max, "r_max of the pair counts")
        self.system, self.replicas, self.n_bins, self.r_max = system, replicas, n_bins, r_max
        self.timestep, self.stride, self.precision = settings.timestep, settings.stride, settings.precision
        self.positions = positions
        self.dtype: np.dtype[Any] = np.dtype(np.float64)
        self.relaxation, self.frames_per_block = 0, ALL
        self._returned: Returned | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noted of the trajectory that came back."""
        return () if self._returned is None else self._returned.notes

    def giving(self, returned: Returned) -> FilesSampler:
        """This, with what came back."""
        other = copy.copy(self)
        other._returned = returned
        return other

    def lenient(self) -> FilesSampler:
        """This: whether a liquid flows is not looked at."""
        return self

    def where_from(self, positions: Positions) -> ExternalState:
        """Where a trajectory is to begin: positions (N, 3) or (R, N, 3) Å. Nobody knows momenta."""
        every = wrap(per_replica(positions, self.replicas, self.system.n_atoms), self.system.cell)
        return ExternalState(NAME, every, np.zeros(every.shape), {}, 0, np.zeros(every.shape), 0)

    def adopted(self, state: State, temperature: float, seed: int) -> ExternalState:
        """A state of this engine as it is; of another one, its positions."""
        if isinstance(state, ExternalState) and state.engine == NAME:
            return state
        return self.where_from(state.positions)

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
        """The frames that came back, however many, and where they end.

        Raises InputError where nothing did, and SimulationError where the potential could not be sampled.
        """
        returned = self._returned
        if returned is None:
            raise refused()
        if returned.frames is None or returned.positions is None:
            raise SimulationError(returned.failed or "the potential could not be sampled")
        end = wrap(np.asarray(returned.positions, np.float64), self.system.cell)
        steps = state.step + self.stride * (len(returned.frames) // self.replicas)
        if on_block is not None:
            on_block(frames)
        return replace(state, positions=end, step=steps), returned.frames

    def start(self, positions: Positions, temperature: float, seed: int) -> NoReturn:
        """InputError, as of all that follow: nothing here moves atoms."""
        raise refused()

    def minimise(self, positions: Positions, params: Any, on_steps: Callable[[int], None] | None = None) -> NoReturn:
        """See `start`."""
        raise refused()

    def changed(self, *, cell: Array | None = None, timestep: float | None = None) -> NoReturn:
        """See `start`."""
        raise refused()

    def retuned(self, state: State, temperature: float) -> NoReturn:
        """See `start`."""
        raise refused()

    def forces(self, state: State, params: Any) -> NoReturn:
        """See `start`."""
        raise refused()

    def at_pressure(self, pressure: float, seed: int) -> NoReturn:
        """See `start`."""
        raise refused()
