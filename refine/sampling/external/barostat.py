"""Constant pressure around a program that moves atoms and evaluates them in other volumes.

The moves are those of `refine.sampling.jax.barostat`, where the ensemble is explained.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.sampling.external.mover import stacked
from refine.sampling.state import ExternalState
from refine.sampling.volumes import MOVE_EVERY, VolumeMoves, Volumes, too_small

if TYPE_CHECKING:
    from refine.sampling.external.sampler import ExternalSampler

Array = NDArray[np.float64]


class ExternalBarostat(VolumeMoves[ExternalState]):
    """See `refine.sampling.engine.Barostat`."""

    sampler: ExternalSampler

    def __init__(self, sampler: ExternalSampler, pressure: float, seed: int) -> None:
        super().__init__(sampler, sampler.motion.holds_temperature, pressure, seed)
        self._now = sampler

    def _block(
        self, state: ExternalState, cell: Array, params: Any, temperature: float, count: int
    ) -> tuple[ExternalState, Array, Volumes]:
        if not np.array_equal(cell, self._now.system.cell):
            self._now = self.sampler.resized(cell)
        now = self._now
        start = now.start_of(state, 0, temperature)
        seed = int(np.random.SeedSequence([self.seed, start.seed]).generate_state(1)[0])
        squeezed = now.mover(params).squeeze(
            start._replace(seed=seed), now.motion, count, self.pressure, self.width, where=(state.step, 0)
        )
        after = replace(
            state,
            positions=squeezed.positions[None],
            momenta=squeezed.momenta[None],
            thermostat=state.thermostat | {"memory": stacked([squeezed.memory])},
            step=state.step + count * MOVE_EVERY,
            displacement=np.zeros(state.positions.shape),
            sampled_steps=0,
        )
        watch = replace(now.watch, stride=MOVE_EVERY)
        watch.look(after, now.kinetic_temperature(squeezed.kinetic)[:, None], temperature, sampling=False)
        cutoff, smallest = now.field.cutoff, float((squeezed.volumes.volume.min() / now.system.volume) ** (1 / 3))
        if cutoff is not None and cutoff > smallest * now.system.r_box:
            raise too_small(cutoff, self.pressure)
        return after, squeezed.cell, squeezed.volumes
