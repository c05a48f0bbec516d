"""The relaxation of start structures: FIRE within neighbour lists, in pieces that are one in a whole, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from kernels.neighbors import NeighborList
from refine.sampling.jax.lists import ListShape
from refine.sampling.jax.minimiser import fire
from refine.sampling.jax.programs import Batch, Program, Programs, Walk
from refine.sampling.jax.spread import ALL, EACH, Spread

STEPS, MOVE = 300, 0.1
"""Steps of the minimiser, and the longest move of an atom along each axis in one of them, Å."""


@dataclass
class Relaxation:
    """Of the positions of a batch, (R, N, 3) Å in its precision.

    spread: of the replicas over devices.  programs: where its programs are kept.  fixed: params and cell.
    piece: steps at a time.
    on_steps: called after each piece with its steps; once for each, however often the list has to grow.
    """

    batch: Batch
    spread: Spread
    programs: Programs
    positions: NDArray[np.floating[Any]]
    fixed: tuple[Any, jax.Array]
    piece: int
    on_steps: Callable[[int], None] | None
    told: int = 0

    def __call__(self, shape: ListShape, reach: jax.Array, trigger: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        """The whole of it with lists of a shape; what goes in and comes out is that of `programs.Program`."""
        on_devices = Walk._make((EACH, EACH, EACH, ALL))
        first = self.spread.program(partial(_first, self.batch), EACH, on_devices)
        steps = self.spread.program(partial(_steps, self.batch), on_devices, on_devices)
        begin = self.programs.get("relaxation", shape, first)
        advance = self.programs.get("steps of the relaxation", shape, steps)
        walk, done = begin(self.spread.put(self.positions), *self.fixed, reach), 0
        while done < STEPS:
            count = min(self.piece, STEPS - done)
            walk = advance(walk, *self.fixed, jnp.asarray(count, jnp.int32), reach, trigger)
            done += count
            if self.on_steps is not None and done > self.told:
                walk.worst.block_until_ready()
                self.on_steps(done - self.told)
                self.told = done
        ended = self.spread.whole(jax.device_get(walk.state.position))
        return ended, walk.worst, jnp.any(walk.neighbors.overflow)


def _first(batch: Batch, shape: ListShape) -> Program:
    """(positions, params, cell, reach) -> walk."""
    start, _ = fire(batch.force, MOVE)

    def program(positions: jax.Array, params: Any, cell: jax.Array, reach: jax.Array) -> Walk:
        def begin(r: jax.Array, neighbors: NeighborList) -> Any:
            return start(r, neighbors=neighbors, params=params, cell=cell)

        neighbors = batch.each(lambda r: batch.plan.build(r, cell, reach, shape))(positions)
        return Walk.begin(batch.each(begin)(positions, neighbors), neighbors)

    return program


def _steps(batch: Batch, shape: ListShape) -> Program:
    """(walk, params, cell, count, reach, trigger) -> walk. The lists go along: made anew they would round otherwise."""
    _, step = fire(batch.force, MOVE)

    def program(
        walk: Walk, params: Any, cell: jax.Array, count: jax.Array, reach: jax.Array, trigger: jax.Array
    ) -> Walk:
        def advance_one(state: Any, neighbors: NeighborList) -> Any:
            return step(state, neighbors=neighbors, params=params, cell=cell)

        _, advance = batch.stepper(shape, cell, reach, trigger, advance_one)
        end: Walk = jax.lax.fori_loop(0, count, advance, walk)
        return end._replace(worst=batch.largest(end.worst))

    return program
