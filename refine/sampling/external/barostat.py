"""Constant pressure around a program that moves atoms and evaluates them in other volumes.

The moves are those of `refine.sampling.jax.barostat`, where the ensemble is explained.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.sampling.external.mover import stacked
from refine.sampling.state import ExternalState
from refine.sampling.volumes import FIRST_WIDTH, MOVE_EVERY, Volumes, joined, refuse_gas, too_small, tuned

if TYPE_CHECKING:
    from refine.sampling.external.sampler import ExternalSampler

Array = NDArray[np.float64]


class ExternalBarostat:
    """See `refine.sampling.engine.Barostat`.

    sampler: of one replica, with a thermostat; its cell is only where its box began.  pressure: GPa.
    seed: of the moves.
    """

    def __init__(self, sampler: ExternalSampler, pressure: float, seed: int) -> None:
        if sampler.replicas != 1 or not sampler.motion.holds_temperature:
            raise ValueError("constant pressure needs a sampler of one replica with a thermostat")
        if not math.isfinite(pressure):
            raise ValueError(f"constant pressure needs a finite pressure: {pressure}")
        self.sampler, self.pressure, self.seed, self.width = sampler, pressure, seed, FIRST_WIDTH
        self.moves_per_block = max(1, sampler.frames_per_block * sampler.stride // MOVE_EVERY)
        self._now = sampler

    def moves_in(self, picoseconds: float) -> int:
        """Moves in so long a time, at least one."""
        return max(1, math.ceil(picoseconds * 1000 / (self.sampler.timestep * MOVE_EVERY)))

    def run(
        self, state: ExternalState, cell: Array, params: Any, temperature: float, moves: int, *, tune: bool = False
    ) -> tuple[ExternalState, Array, Volumes]:
        """Advance by `moves` moves of the volume, each after `MOVE_EVERY` steps, at `temperature` (K).

        cell: (3, 3) Å, in which the positions of the state are.  tune: adapt the width of moves after every block.
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
