"""How frames are scored against a measured curve, wherever R_chi is stated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.refinement.inference.nuisance import Nuisance, best
from refine.refinement.problem import Target
from refine.sampling.averages import error_of
from refine.sampling.frames import Frames
from refine.study.datasets import DataSet

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """One data set against frames of its state.

    Attributes:
        r_chi, r_chi_stderr: of T(r) over the data set's score range; the error is that of the sampling, None where it
            was not asked for.
        nuisance: the scale and background that R_chi is taken at, one and zero unless they are free.
    """

    r_chi: float
    r_chi_stderr: float | None
    nuisance: Nuisance


def score(data: DataSet, target: Target, frames: Frames, *, errors: bool = True) -> Score:
    """R_chi of the mean of some frames, at the most probable scale and background for this mean.

    These are not the ones that a rule fits together with the potential, which belong to curves that are shown: so that
    samples of any rule, and of none, are scored alike.

    Args:
        data: the measurement.
        target: the same as a rule sees it.
        frames: of the data set's state.
        errors: whether the standard error is wanted, a jackknife over frames at fixed scale and background.
    """
    counts = frames.counts.mean(axis=0, dtype=np.float64)
    free = best(target, target.predict(counts))

    def r_chi(of: Array) -> float:
        return data.measurement.r_chi(of, free.scale, free.background)

    error = error_of(r_chi, frames.counts, frames.replica) if errors else None
    return Score(r_chi(counts), error, free)
