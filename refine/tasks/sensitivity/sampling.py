"""Frames of one potential, with states along the trajectory from which windows start."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refine.progress import Progress
from refine.sampling.engine import Engine
from refine.sampling.frames import Frames, by_replica
from refine.tasks.pilot import equilibrated
from refine.tasks.sample import pieces

if TYPE_CHECKING:
    from refine.study.study import Study

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sampled:
    """Frames of one potential, the states between their parts, and what they cost.

    starts: states of the engine.  steps: of dynamics, all replicas together, equilibration included.
    seconds: of wall time.
    """

    frames: Frames
    starts: list[Any]
    steps: int
    seconds: float

    @property
    def counts(self) -> Array:
        """(frames, pairs, bins)."""
        return self.frames.counts.astype(np.float64)


def sampled(
    study: Study,
    s: int,
    sampler: Engine[Any],
    params: Any,
    seed: int,
    frames: int,
    parts: int,
    label: str,
    progress: Progress,
) -> Sampled:
    """At least `frames` frames of a state, all replicas together, in `parts` parts of equal length.

    params: of the force field.  seed: of the start.  label: what the progress is called.
    """
    began = time.monotonic()
    each = math.ceil(frames / (parts * sampler.replicas))
    start = equilibrated(study, s, sampler, params, progress, seed=seed, label=f"equilibrating for {label}")
    progress.stage(label, parts * each)
    taken, starts = [], []
    temperature = study.problem.temperatures[s]
    taken_in = pieces(sampler, start, params, temperature, parts * each, size=each, on_frames=progress.advance)
    for state, piece, _ in taken_in:
        assert piece is not None
        taken.append(piece)
        starts.append(state)
    return Sampled(by_replica(taken), starts, starts[-1].step * sampler.replicas, time.monotonic() - began)
