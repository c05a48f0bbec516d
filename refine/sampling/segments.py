"""Pieces of trajectory at constant energy, started from sampled frames: dynamics that no thermostat has touched.

A thermostat leaves the ensemble as it is, but not the motion in it: Langevin's friction damps diffusion and viscosity
alike. Positions and momenta of the canonical ensemble are independent, so a frame of any thermostat with new momenta
from the Maxwell-Boltzmann distribution is a point of it, and the average over velocity Verlet trajectories from such
points is the canonical average of the undisturbed dynamics. New momenta add up to zero, which the dynamics conserve.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import SimulationError
from refine.sampling.frames import Frames
from refine.units import BOLTZMANN

Array = NDArray[np.float64]

STRESS_EVERY = 2
"""Steps between stresses. The fastest vibration lasts ten steps or more, and the stress, quadratic in displacements,
half of it."""

DRIFT = 0.02
"""Largest mean change of the energy of an atom over a segment, kT: the temperature, and D with it, would be another."""


@dataclass(frozen=True)
class Segments:
    """Trajectories at constant energy, equally long.

    Attributes:
        positions: (S, points, N, 3) Å, wrapped or not, `interval` ps apart; the first is the start.
        stress: (S, moments, 3, 3) eV, sum of p (x) p / m + r (x) f over the box, `stress_interval` ps apart.
        interval, stress_interval: ps.
        temperature: (S,) K, mean of each.
        drift: (S,) change of the energy of an atom from the first to the last moment, eV.
    """

    positions: NDArray[np.floating[Any]]
    stress: Array
    interval: float
    stress_interval: float
    temperature: Array
    drift: Array

    @property
    def length(self) -> float:
        """Of each, ps."""
        return float(self.interval * (self.positions.shape[1] - 1))


def starts(frames: Frames, segments: int) -> NDArray[np.floating[Any]]:
    """Positions (segments, N, 3) of frames spread evenly over all of them."""
    if frames.positions is None:
        raise ValueError("these frames keep no positions")
    if segments > len(frames):
        raise ValueError(f"{len(frames)} frames cannot start {segments} segments")
    chosen = np.floor((np.arange(segments) + 0.5) * len(frames) / segments).astype(int)
    spread: NDArray[np.floating[Any]] = frames.positions[chosen]
    return spread


def refuse_drift(segments: Segments, temperature: float, timestep: float) -> None:
    """SimulationError where the energy is not conserved; temperature: K.  timestep: fs."""
    mean = abs(float(segments.drift.mean())) / (BOLTZMANN * temperature)
    if mean > DRIFT:
        raise SimulationError(
            f"energy is not conserved without a thermostat: {mean:.3f} kT for each atom in {segments.length:.3g} ps",
            where="segments at constant energy",
            fix=f"shorten sampling.timestep (now {timestep:g} fs) or use double precision",
        )


class Lengthened(ABC):
    """Segments that are run one after the other, and made longer on request: a `refine.sampling.engine.ConstantEnergy`.

    sampler: of one replica, without a thermostat (`holds_temperature`).  steps_per_block: of it.
    params: of its potential.  positions: (S, N, 3) Å where segments start.  temperature: K, of their first momenta.
    seed: of these.  interval: about the time between stored positions, ps.

    Attributes:
        ends: (S,) states at which the segments end so far.
        interval, stress_interval: ps.
        points_per_block: the most intervals in a block.
    """

    def __init__(
        self,
        sampler: Any,
        holds_temperature: bool,
        steps_per_block: int,
        params: Any,
        positions: NDArray[np.floating[Any]],
        temperature: float,
        seed: int,
        interval: float,
    ) -> None:
        if sampler.replicas != 1 or holds_temperature:
            raise ValueError("segments need a sampler of one replica without a thermostat")
        self.sampler, self.params, self.temperature = sampler, params, temperature
        self.stress_interval = STRESS_EVERY * sampler.timestep / 1000
        self._moments = max(1, round(interval / self.stress_interval))  # in an interval
        self.interval: float = self._moments * self.stress_interval
        self.points_per_block = max(1, steps_per_block // (self._moments * STRESS_EVERY))
        self.ends = [sampler.start(at, temperature, seed + k) for k, at in enumerate(positions)]
        self._positions: list[list[NDArray[np.floating[Any]]]] = [[end.positions] for end in self.ends]
        self._stress: list[list[NDArray[np.floating[Any]]]] = [[] for _ in self.ends]
        self._kinetic: list[list[NDArray[np.floating[Any]]]] = [[] for _ in self.ends]
        self._energy: list[list[float]] = [[] for _ in self.ends]

    def points_in(self, picoseconds: float) -> int:
        """Intervals in so long a time, at least one."""
        return max(1, round(picoseconds / self.interval))

    def lengthen(self, points: int, on_block: Callable[[int], None] | None = None) -> Segments:
        """Every segment longer by so many intervals; on_block is told how many of all segments were done.

        Raises SimulationError when the dynamics fail or the energy is not conserved.
        """
        for s in range(len(self.ends)):
            done = 0
            while done < points:
                count = min(self.points_per_block, points - done)
                self._advance(s, count)
                done += count
                if on_block is not None:
                    on_block(count)
        temperatures = [self.sampler.kinetic_temperature(np.concatenate(k)).mean() for k in self._kinetic]
        segments = Segments(
            positions=np.stack([np.concatenate(p) for p in self._positions]),
            stress=np.stack([np.concatenate(s) for s in self._stress]).astype(np.float64),
            interval=self.interval,
            stress_interval=self.stress_interval,
            temperature=np.array(temperatures),
            drift=np.array([e[-1] - e[0] for e in self._energy]) / self.sampler.system.n_atoms,
        )
        refuse_drift(segments, self.temperature, self.sampler.timestep)
        return segments

    @abstractmethod
    def _advance(self, s: int, count: int) -> None:
        """One segment by `count` intervals: its end, and what it was on the way."""
