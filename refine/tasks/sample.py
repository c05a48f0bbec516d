"""Equilibrate, then sample: how frames are made, the same in every task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from refine.potentials.correction import PairCorrection
from refine.progress import Progress
from refine.sampling.engine import Engine, FrameMaker, increments
from refine.sampling.frames import Frames, by_replica
from refine.sampling.state import State
from refine.tasks.lanes import in_lanes, lanes_of
from refine.tasks.pilot import equilibrated_states

if TYPE_CHECKING:
    from refine.study.study import Study

Piece = tuple[State, Frames | None, int]
"""The state behind a piece of a trajectory, its frames (None where they do not count), and how many a replica has."""

FEWEST_FRAMES = 4
"""Frames of a replica in any sample: fewer have no scatter to tell an error from."""


def frames_per_replica(frames: float, replicas: int) -> int:
    """Frames of each replica, so that all together are `frames` or more.

    >>> frames_per_replica(100, 8)
    13
    """
    return max(FEWEST_FRAMES, math.ceil(frames / replicas))


def pieces(
    engine: FrameMaker[Any],
    state: State,
    params: Any,
    temperature: float,
    frames: int,
    *,
    settle: int = 0,
    done: int = 0,
    size: int | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> Iterator[Piece]:
    """Frames of every replica piece by piece.

    A trajectory that is interrupted behind a piece goes on bit for bit as if it had not been.

    Args:
        engine: dynamics, or moves of atoms (`refine.sampling`).
        params: what the engine takes beside the temperature (K): of a force field, or scale and background of curves.
        frames: of each replica, that count; behind `settle` that do not, and come as None.
        done: of both together, already.
        size: of a piece, frames; None: what the engine does at a time.
        on_frames: called within a piece, with the frames that are new.
    """
    largest = engine.frames_per_block if size is None else size
    while done < settle + frames:
        observe = done >= settle
        count = min(largest, (settle + frames if observe else settle) - done)
        on_block = increments(on_frames)
        state, piece = engine.run(state, params, temperature, count, observe=observe, on_block=on_block)
        done += count
        yield state, piece if observe else None, count


def sample_states(
    study: Study,
    frames: int,
    progress: Progress,
    *,
    positions: bool = False,
    corrections: Sequence[PairCorrection] | None = None,
    starts: Sequence[State] | None = None,
) -> tuple[Frames, ...]:
    """Frames of every state under the base model, started as a run starts.

    Args:
        frames: of each state, all replicas together.
        positions: whether frames keep them.
        corrections: of each state, on top of the base; None: none.
        starts: equilibrated ones of each state (`refine.tasks.pilot`); None: they are made.

    Raises what the dynamics raise.
    """
    samplers = study.samplers(positions=positions)
    per_replica = frames_per_replica(frames, study.settings.replicas)
    temperatures = study.problem.temperatures
    acting = [study.initial_correction()] * len(samplers) if corrections is None else corrections
    of_state = [
        (sampler, field.params(correction.at(temperature)), temperature)
        for (field, sampler), correction, temperature in zip(samplers, acting, temperatures, strict=True)
    ]
    if starts is None:
        starts = list(equilibrated_states(study, [(sampler, params) for sampler, params, _ in of_state], progress))
    progress.stage(f"sampling the {'base' if corrections is None else 'refined'} model", len(samplers) * per_replica)

    def work(start: State, sampler: Engine[Any], params: Any, temperature: float, _: Progress) -> Iterator[Piece]:
        return pieces(sampler, start, params, temperature, per_replica)

    works = [partial(work, start, *one) for start, one in zip(starts, of_state, strict=True)]
    parts: list[list[Frames]] = [[] for _ in works]
    for s, (_, piece, count) in in_lanes(works, lanes_of(study, [sampler for _, sampler in samplers]), progress):
        assert piece is not None
        parts[s].append(piece)
        progress.advance(count)
    return tuple(map(by_replica, parts))
