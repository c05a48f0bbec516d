"""Trajectories at constant energy by another program; see `refine.sampling.segments`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.cell import wrap
from refine.sampling.external.sampler import ExternalSampler
from refine.sampling.segments import STRESS_EVERY, Lengthened


class ExternalSegments(Lengthened):
    """See `Lengthened`; frames of the sampler are `STRESS_EVERY` steps apart."""

    sampler: ExternalSampler

    def __init__(
        self,
        sampler: ExternalSampler,
        params: Any,
        positions: NDArray[np.floating[Any]],
        temperature: float,
        seed: int,
        interval: float,
    ) -> None:
        if sampler.stride != STRESS_EVERY:
            raise ValueError("segments need frames as far apart as stresses")
        steps = sampler.frames_per_block * STRESS_EVERY
        super().__init__(
            sampler, sampler.motion.holds_temperature, steps, params, positions, temperature, seed, interval
        )
        for energy, end in zip(self._energy, self.ends, strict=True):
            kinetic = float((end.momenta[0] ** 2 / (2 * sampler.system.masses[:, None])).sum())
            energy.append(sampler.mover(params).evaluate(end.positions[0]).energy + kinetic)

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
        self._energy[s].append(float(walk.energy[-1] + walk.kinetic[-1]))
