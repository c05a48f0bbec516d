"""Moves of the volume of a box at constant pressure, and what the volume did."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from refine.errors import SimulationError
from refine.sampling.averages import standard_error
from refine.sampling.state import State

S = TypeVar("S", bound=State)

Array = NDArray[np.float64]

MOVE_EVERY = 25
"""Steps between moves of the volume: its cost, two lists and three energies, is then a third of that of the steps."""

FIRST_WIDTH, WIDTHS = 0.02, (1e-4, 0.2)
"""Half-width w of a move in ln V at the start, and the limits within which it is tuned to an acceptance of a half."""

EVAPORATED = 10.0
"""Volumes of the first box beyond which a run at constant pressure is given up."""


@dataclass(frozen=True)
class Volumes:
    """What the volume did: one entry for every move.

    volume: (moves,) Å^3.  energy: (moves,) eV, of the whole box.  accepted: (moves,) bool.  n_atoms: in the box.

    >>> volume = np.array([990.0, 1010.0])
    >>> Volumes(volume, np.zeros(2), np.array([True, False]), n_atoms=20).number_density
    (0.02, nan)
    """

    volume: Array
    energy: Array
    accepted: NDArray[np.bool_]
    n_atoms: int

    @property
    def number_density(self) -> tuple[float, float]:
        """N / <V> and its standard error, atoms/Å^3; the error is NaN for fewer than four moves."""
        density = self.n_atoms / float(self.volume.mean())
        error = float(standard_error(self.volume)) if len(self.volume) >= 4 else math.nan
        return density, density * error / float(self.volume.mean())


def joined(parts: Sequence[Volumes]) -> Volumes:
    """Successive parts of one trajectory as one.

    >>> one = Volumes(np.array([990.0]), np.zeros(1), np.array([True]), n_atoms=20)
    >>> joined([one, one]).volume.tolist()
    [990.0, 990.0]
    """
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in ("volume", "energy", "accepted")
    }
    return Volumes(**arrays, n_atoms=parts[0].n_atoms)


def tuned(width: float, volumes: Volumes) -> float:
    """Half-width of the next moves in ln V, from the share of those of this width that was accepted."""
    return float(np.clip(width * np.clip(2 * volumes.accepted.mean(), 0.5, 1.5), *WIDTHS))


def refuse_gas(volumes: Volumes, first: float, temperature: float, pressure: float, step: int) -> None:
    """SimulationError for a box that has evaporated; first: Å^3, its volume at the start.  pressure: GPa."""
    if volumes.volume[-1] > EVAPORATED * first:
        raise SimulationError(
            f"the box has grown {EVAPORATED:g}-fold: at {temperature:.0f} K and {pressure:g} GPa this is a gas",
            where=f"step {step}",
            fix="raise the pressure, or cool at constant volume first",
        )


def too_small(cutoff: float, pressure: float) -> SimulationError:
    """What to raise where a box shrinks below what a cutoff (Å) needs; pressure: GPa."""
    return SimulationError(
        f"the box shrinks below what the cutoff of {cutoff:.2f} Å needs",
        where=f"constant pressure of {pressure:g} GPa",
        fix="use more atoms, a shorter cutoff or a higher density at the start",
    )


class VolumeMoves(ABC, Generic[S]):
    """Blocks of moves of the volume, a half of `refine.sampling.engine.Barostat` that all engines share.

    sampler: of one replica, with a thermostat (`holds_temperature`); its cell is only where its box began.
    pressure: GPa.  seed: of the moves.  width: half-width of a move in ln V; changed by runs that tune it.
    """

    def __init__(
        self, sampler: Any, holds_temperature: bool, pressure: float, seed: int, width: float = FIRST_WIDTH
    ) -> None:
        if sampler.replicas != 1 or not holds_temperature:
            raise ValueError("constant pressure needs a sampler of one replica with a thermostat")
        if not (math.isfinite(pressure) and width > 0):
            raise ValueError(f"constant pressure needs a finite pressure and a width above zero: {pressure}, {width}")
        self.sampler, self.pressure, self.seed, self.width = sampler, pressure, seed, width
        self.moves_per_block = max(1, sampler.frames_per_block * sampler.stride // MOVE_EVERY)

    def moves_in(self, picoseconds: float) -> int:
        """Moves in so long a time, at least one."""
        between: float = self.sampler.timestep * MOVE_EVERY  # fs
        return max(1, math.ceil(picoseconds * 1000 / between))

    def run(
        self, state: S, cell: Array, params: Any, temperature: float, moves: int, *, tune: bool = False
    ) -> tuple[S, Array, Volumes]:
        """Advance by `moves` moves of the volume, each after `MOVE_EVERY` steps, at `temperature` (K).

        cell: (3, 3) Å, in which the positions of the state are.  tune: adapt the width of moves after every block; what
        is sampled meanwhile is for equilibration.
        Returns the new state, its cell and what the volume did. Deterministic in the seed, the state and earlier runs.
        Raises SimulationError when the dynamics fail, the box becomes too small for the cutoff, or evaporates.
        """
        if moves < 1:
            raise ValueError(f"moves is {moves}; it must be at least 1")
        seen, done = [], 0
        while done < moves:
            count = min(self.moves_per_block, moves - done)
            state, cell, volumes = self._block(state, cell, params, temperature, count)
            if tune:
                self.width = tuned(self.width, volumes)
            seen.append(volumes)
            done += count
            refuse_gas(volumes, self.sampler.system.volume, temperature, self.pressure, state.step)
        return state, cell, joined(seen)

    @abstractmethod
    def _block(self, state: S, cell: Array, params: Any, temperature: float, count: int) -> tuple[S, Array, Volumes]:
        """So many moves: the next state, its cell, and what the volume did."""
