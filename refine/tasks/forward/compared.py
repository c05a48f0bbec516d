"""One data set, or one measured number, against the frames of a trajectory or of a sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from refine.refinement.inference.nuisance import Nuisance, best
from refine.refinement.observables.keys import MeasuredNumber
from refine.refinement.problem import Target
from refine.results.scores import NumberScore, score, score_number
from refine.sampling.averages import FRAMES_FOR_ERRORS
from refine.sampling.frames import Frames
from refine.scattering.metrics import chi_squared
from refine.study.datasets import DataSet, NumberSet, number_set, target_of
from refine.study.schema import StudyConfig
from refine.system import Box


@dataclass(frozen=True)
class Compared:
    """One data set against the frames.

    Attributes:
        r_chi, r_chi_stderr: of T(r); the error is None with too few frames.
        chi2: of the points that a fit would take, `points` of them, at the scale and background that are best for
            them; None where the data state no errors.
        free: scale and background of R_chi, fitted where the study leaves them free.
    """

    data: DataSet
    target: Target
    r_chi: float
    r_chi_stderr: float | None
    chi2: float | None
    free: Nuisance

    @property
    def points(self) -> int:
        """Number of points behind chi2."""
        return len(self.target.y)

    @property
    def span(self) -> tuple[float, float]:
        """Å, range of R_chi."""
        r = self.data.measurement.r
        return float(r[0]), float(r[-1])


def compared(config: StudyConfig, data: DataSet, box: Box, frames: Frames) -> Compared:
    """Of frames in their box."""
    target = target_of(config, box.pairs, data)
    scores = score(data, target, frames, errors=len(frames) >= FRAMES_FOR_ERRORS)
    predicted = target.predict(frames.counts.mean(axis=0, dtype=np.float64))
    misfit = target.y - best(target, predicted).apply(target, predicted)
    chi2 = chi_squared(misfit, target.covariance) if target.sigma_known else None
    return Compared(data, target, scores.r_chi, scores.r_chi_stderr, chi2, scores.nuisance)


@dataclass(frozen=True)
class ComparedNumber:
    """A measured number against the frames.

    Attributes:
        number: bound to the trajectory's box; None, as is the score, where a trajectory does not tell it: it holds
            positions, and neither energies nor forces.
    """

    entry: MeasuredNumber
    number: NumberSet | None
    score: NumberScore | None

    @property
    def measured(self) -> tuple[float, float]:
        """What was measured and its standard deviation, in `unit`."""
        if self.number is None:
            return self.entry.value, self.entry.sigma
        return float(self.number.target.y[0]), math.sqrt(float(self.number.target.covariance[0, 0]))

    @property
    def unit(self) -> str:
        """That of the observable, in which the two are compared; of a density, that of a pressure."""
        return self.entry.unit if self.number is None else self.number.target.observable.unit


def compared_number(entry: MeasuredNumber, box: Box, temperature: float, frames: Frames) -> ComparedNumber:
    """Of frames in their box; temperature: of the study's state, K."""
    if entry.observable(box, temperature).operator is None:
        return ComparedNumber(entry, None, None)
    number = number_set(entry, 0, box, temperature)
    return ComparedNumber(entry, number, score_number(number, frames))
