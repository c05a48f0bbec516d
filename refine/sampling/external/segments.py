"""Trajectories at constant energy by another program; see `refine.sampling.segments`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.cell import wrap
from refine.sampling.external.sampler import ExternalSampler
from refine.sampling.segments import STRESS_EVERY, Segments, refuse_drift

Array = NDArray[np.float64]


class ExternalSegments:
    """Runs segments one after the other, and makes them longer on request; see `ConstantEnergy`.

    sampler: of one replica, without a thermostat, whose frames are `STRESS_EVERY` steps apart.
    params: of its potential.  positions: (S, N, 3) Å where they start.  temperature: K, of their first momenta.
    seed: of these.  interval: about the time between stored positions, ps.
    """

    def __init__(
        self,
        sampler: ExternalSampler,
        params: Any,
        positions: NDArray[np.floating[Any]],
        temperature: float,
        seed: int,
        interval: float,
    ) -> None:
        if sampler.replicas != 1 or sampler.motion.holds_temperature or sampler.stride != STRESS_EVERY:
            raise ValueError("segments need a sampler of one replica without a thermostat")
        self.sampler, self.params, self.temperature = sampler, params, temperature
        self.stress_interval = STRESS_EVERY * sampler.timestep / 1000
        self._moments = max(1, round(interval / self.stress_interval))  # in an interval
        self.interval = self._moments * self.stress_interval
        self.points_per_block = max(1, sampler.frames_per_block // self._moments)
        self.ends = [sampler.start(at, temperature, seed + k) for k, at in enumerate(positions)]
        self._positions: list[list[Array]] = [[end.positions] for end in self.ends]
        self._stress: list[list[Array]] = [[] for _ in self.ends]
        self._kinetic: list[list[Array]] = [[] for _ in self.ends]
        self._energy = [sampler.mover(params).evaluate(end.positions[0]).energy for end in self.ends]
        kinetic = [float((end.momenta[0] ** 2 / (2 * sampler.system.masses[:, None])).sum()) for end in self.ends]
        self._first = [potential + own for potential, own in zip(self._energy, kinetic, strict=True)]

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
        sampler = self.sampler
        segments = Segments(
            positions=np.stack([np.concatenate(p) for p in self._positions]),
            stress=np.stack([np.concatenate(s) for s in self._stress]),
            interval=self.interval,
            stress_interval=self.stress_interval,
            temperature=np.array([sampler.kinetic_temperature(np.concatenate(k)).mean() for k in self._kinetic]),
            drift=(np.array(self._energy) - self._first) / sampler.system.n_atoms,
        )
        refuse_drift(segments, self.temperature, sampler.timestep)
        return segments

    def _advance(self, s: int, count: int) -> None:
        """One segment by `count` intervals."""
        sampler, state = self.sampler, self.ends[s]
        moments = count * self._moments
        start = sampler.start_of(state, 0, self.temperature)
        walk = sampler.mover(self.params).walk(
            start, sampler.motion, moments, STRESS_EVERY, observe=True, where=(state.step, 0)
        )
        after = replace(
            state,
            positions=wrap(walk.positions[-1:], sampler.system.cell),
            momenta=walk.momenta[None],
            step=state.step + moments * STRESS_EVERY,
        )
        sampler.watch.look(after, sampler.kinetic_temperature(walk.kinetic)[:, None], self.temperature, sampling=False)
        self.ends[s] = after
        self._positions[s].append(walk.positions[self._moments - 1 :: self._moments])
        self._stress[s].append(walk.stress)
        self._kinetic[s].append(walk.kinetic[self._moments - 1 :: self._moments])
        self._energy[s] = float(walk.energy[-1] + walk.kinetic[-1])
