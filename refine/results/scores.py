"""How frames are scored against a measured curve, wherever R_chi is stated, and against a measured number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.refinement.inference.nuisance import Nuisance, best
from refine.refinement.problem import Target
from refine.sampling.averages import error_of, standard_error
from refine.sampling.frames import Frames
from refine.scattering.instrument import added
from refine.study.datasets import DataSet, NumberSet, scored

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
    """R_chi of the mean of some frames, at the scale and background that are most probable for this mean on all
    measured Q (`refine.study.datasets.scored`).

    These are not the ones that a rule fits together with the potential, which belong to curves that are shown: so that
    samples of any rule, and of none, are scored alike.

    Args:
        data: the measurement.
        target: the same as a rule sees it.
        frames: of the data set's state.
        errors: whether the standard error is wanted, a jackknife over frames at fixed scale and background.
    """
    counts = frames.counts.mean(axis=0, dtype=np.float64)
    whole = scored(data, target)
    free = best(whole, whole.predict(counts))

    def r_chi(of: Array) -> float:
        return data.measurement.r_chi(of, free.scale, free.background)

    error = error_of(r_chi, frames.counts, frames.replica) if errors else None
    return Score(r_chi(counts), error, free)


def background_rms(data: DataSet, free: Nuisance) -> float | None:
    """rms over the measured points of what a background adds, in the declared quantity; None where it has none."""
    if not free.background:
        return None
    return float(np.sqrt(np.mean(added(data.measurement.shown_background, free.background) ** 2)))


@dataclass(frozen=True)
class NumberScore:
    """A measured number against frames of its state.

    Attributes:
        value, stderr: mean of the model, in the unit of the target, and its sampling error; NaN of a single frame.
        sigmas: model less measured, in standard deviations of both together, or of the measurement where the
            model's error is not known.
    """

    value: float
    stderr: float
    sigmas: float


def score_number(number: NumberSet, frames: Frames) -> NumberScore:
    """The mean of frames of the number's state beside what was measured."""
    values = number.target.values(frames)[:, 0]
    value = float(values.mean())
    error = float(standard_error(values, frames.replica)) if len(values) > 1 else math.nan
    spread = math.hypot(math.sqrt(float(number.target.covariance[0, 0])), error if math.isfinite(error) else 0.0)
    return NumberScore(value, error, (value - float(number.target.y[0])) / spread)
