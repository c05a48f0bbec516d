"""Equilibrate, then sample: how frames are made, the same in every task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from refine.potentials.correction import PairCorrection
from refine.progress import Progress
from refine.sampling.engine import FrameMaker, increments
from refine.sampling.frames import Frames, by_replica
from refine.sampling.state import State
from refine.tasks.pilot import equilibrated

if TYPE_CHECKING:
    from refine.study.study import Study

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
) -> Iterator[tuple[State, Frames | None, int]]:
    """Frames of every replica piece by piece: the state behind a piece, its frames, and their number for one replica.

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
        starts = [equilibrated(study, s, sampler, params, progress) for s, (sampler, params, _) in enumerate(of_state)]
    progress.stage(f"sampling the {'base' if corrections is None else 'refined'} model", len(samplers) * per_replica)
    sampled = []
    for start, (sampler, params, temperature) in zip(starts, of_state, strict=True):
        parts: list[Frames] = []
        for _, piece, count in pieces(sampler, start, params, temperature, per_replica):
            assert piece is not None
            parts.append(piece)
            progress.advance(count)
        sampled.append(by_replica(parts))
    return tuple(sampled)
