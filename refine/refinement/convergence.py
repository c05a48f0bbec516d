"""chi^2 of a finite sample, by which samples are compared in every rule and in the report.

    chi^2 = e' W e - tr(W N),      Var chi^2 = 4 e_0' W N W e_0 + 2 tr(W N W N),

e the misfit of the mean curve at its best scale and background, W = (Σ_measured/weight)^-1 with the errors that the
measurement states or that were estimated before the fit, N the sampling covariance of the mean curve: see "Judging a
step" in docs/theory/gauss-newton.md. (A. M. Mathai and S. B. Provost, Quadratic Forms in Random Variables, Marcel
Dekker (1992), for the mean and variance of a quadratic form of a normal vector.) With L'^-1 the whitened curves of the
frames, W = L^-1' L^-1, everything follows from their variances; no covariance of many points is estimated from few
frames.

A change of chi^2 is compared with its sampling error, not with a fixed tolerance, for as long as a fit lasts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from refine.errors import InputError
from refine.potentials.correction import PairCorrection
from refine.refinement.inference.nuisance import best
from refine.refinement.inference.statistics import inefficiency_of
from refine.refinement.problem import Problem, Sample, Target

Array = NDArray[np.float64]

RISE = 3.0
"""A rise of chi^2 by more than so many sampling errors is one: of equal samples one in seven hundred seems to rise."""

LUCKY = 2.5
"""Times the error of two samples as good as the better one; errors of chi^2 differ by as much between samples of one
potential. The error of the worse one grows with its misfit: of a liquid about to cavitate it would excuse any rise."""


@dataclass(frozen=True)
class Change:
    """By how much chi^2 fell since the sample before, and the sampling error of that; None where there was none.

    Attributes:
        decrease, error: of chi^2.
        alike: the error if the newer sample had the misfit of the one before.

    >>> str(Change(12.0, 5.0)), Change(12.0, 5.0).settled, Change(-20.0, 5.0).rose
    ('chi^2 fell by 12.0 ± 5.0', False, True)
    """

    decrease: float | None = None
    error: float | None = None
    alike: float = float("inf")

    @property
    def settled(self) -> bool:
        """chi^2 fell by no more than its error, and did not rise by more than sampling explains."""
        return self.decrease is not None and self.error is not None and self.decrease <= self.error and not self.rose

    @property
    def rose(self) -> bool:
        """chi^2 rose by more than sampling explains."""
        return self.decrease is not None and self.decrease < -self.allowance

    def failed(self, promised: float) -> bool:
        """chi^2 rose by more than one error, where it was `promised` to fall: by more than sampling explains, both
        together.

        >>> Change(-20.0, 10.0).failed(5.0), Change(-20.0, 10.0).failed(15.0), Change(20.0, 10.0).failed(90.0)
        (False, True, False)
        """
        if self.decrease is None or promised <= 0.0:
            return False
        return self.decrease < -self.allowance / RISE and promised - self.decrease > self.allowance

    def rose_above(self, lowest_of: int) -> bool:
        """`rose`, where the sample before is the one with the lowest chi^2 of so many, n: by chance it is too low by
        sqrt(ln n) errors of the difference (the extreme of n normal numbers is at most sqrt(2 ln n) on average).

        >>> Change(-40.0, 10.0).rose_above(1), Change(-40.0, 10.0).rose_above(8)
        (True, False)
        """
        beyond = (1.0 + math.sqrt(math.log(lowest_of)) / RISE) * self.allowance
        return self.decrease is not None and self.decrease < -beyond

    @property
    def allowance(self) -> float:
        """By how much chi^2 may differ from what was expected of it, for sampling alone."""
        return RISE * min(self.error or 0.0, LUCKY * self.alike)

    def __str__(self) -> str:
        decrease, error = self.decrease or 0.0, self.error or 0.0
        return f"chi^2 {'rose' if decrease < 0.0 else 'fell'} by {abs(decrease):.1f} ± {error:.1f}"


@dataclass(frozen=True)
class Misfit:
    """chi^2 of curves of one sample, its sampling noise taken off, the variance that this noise gives it, and how many
    frames there are."""

    chi2: float
    variance: float
    frames: int

    def since(self, previous: dict[str, float] | None) -> Change:
        """What became of chi^2 since `previous` (as `stored`)."""
        if previous is None:
            return Change()
        alike = previous["variance"] * (1.0 + previous["frames"] / self.frames)
        error = self.variance + previous["variance"]
        return Change(previous["chi2"] - self.chi2, float(np.sqrt(error)), float(np.sqrt(alike)))

    def with_replay(self, term: float, points: int) -> Misfit:
        """chi^2 and what frames that are replayed add to it: the loss is chi^2/(2 points) + R
        (`refine.learning.replay`), and R, the `term`, has no sampling error.

        >>> Misfit(100.0, 4.0, 50).with_replay(0.5, 30)
        Misfit(chi2=130.0, variance=4.0, frames=50)
        """
        return replace(self, chi2=self.chi2 + 2.0 * points * term)

    @property
    def stored(self) -> dict[str, float]:
        """For a rule's memory."""
        return {"chi2": self.chi2, "variance": self.variance, "frames": self.frames}

    @property
    def error(self) -> float:
        """Standard error of chi^2 from the sampling."""
        return float(np.sqrt(self.variance))


def misfit(sample: Sample, targets: Sequence[Target]) -> Misfit:
    """chi^2 of a sample for curves of any states, the weights of their data sets included (see the module)."""
    states = sorted({target.state for target in targets})
    parts = [_of_state(sample, s, [target for target in targets if target.state == s]) for s in states]
    frames = sum(part.frames for part in parts)
    return Misfit(sum(part.chi2 for part in parts), sum(part.variance for part in parts), frames)


def _of_state(sample: Sample, state: int, targets: Sequence[Target]) -> Misfit:
    """Curves of one sample share its noise: all their points are one vector."""
    y = np.hstack([target.values(sample.frames[state]) for target in targets])
    mean, frames = y.mean(axis=0), len(y)
    deviations = (y - mean) * np.sqrt(inefficiency_of(sample, state, targets, y)) / frames
    misfits, whitened, end = [], [], 0
    for target in targets:
        part, end = slice(end, end + len(target.y)), end + len(target.y)
        lower = np.linalg.cholesky(target.covariance / target.weight)
        free = best(target, mean[part])
        misfits.append(solve_triangular(lower, target.y - free.apply(target, mean[part]), lower=True))
        whitened.append(free.scale * solve_triangular(lower, deviations[:, part].T, lower=True).T)
    error, each = np.concatenate(misfits), np.hstack(whitened)
    noise = each.T @ each  # W^1/2 N W^1/2
    scatter = float(np.sum(noise**2))
    # the misfit holds the noise too, which adds 4 tr(NWNW) to the first term on average
    variance = max(4.0 * float(error @ noise @ error) - 2.0 * scatter, 2.0 * scatter)
    return Misfit(float(error @ error) - float(np.trace(noise)), variance, frames)


def plain_chi2(target: Target, y: Array) -> float:
    """e' W e of a model curve y (n,) at its best scale and background: of a prediction, whose noise is not known."""
    error = target.y - best(target, y).apply(target, y)
    return float(error @ np.linalg.solve(target.covariance / target.weight, error))


REPLAYED = ", replayed frames included"
"""What is said of a chi^2 `with_replay`."""

CONVERGED = "converged"
"""What a rule says of the sample that confirmed that nothing is left to change."""


def confirmed(settled: bool, frames_factor: float, final_factor: float) -> tuple[bool, float, str]:
    """Whether an iteration has converged, the length of the next sample, and words: it has when it is settled on a
    longer sample too, which is asked for otherwise.

    Args:
        settled: whether the newest sample changed nothing of significance.
        frames_factor: its length, in units of ordinary ones.
        final_factor: that of confirming ones.

    >>> confirmed(False, 1.0, 2.0), confirmed(True, 1.0, 2.0), confirmed(True, 2.0, 2.0)
    ((False, 1.0, ''), (False, 2.0, 'sampling longer to confirm'), (True, 2.0, 'converged'))
    """
    if not settled:
        return False, frames_factor, ""
    converged = frames_factor >= final_factor
    return converged, final_factor, CONVERGED if converged else "sampling longer to confirm"


def refuse_temperature_dependence(correction: PairCorrection, method: str) -> None:
    """InputError for a phi that changes with temperature, in a method whose update has no such term."""
    if correction.terms > 1:
        raise InputError(
            f"{method} cannot refine a correction that changes with temperature",
            where="[correction]",
            fix="make it independent of temperature, or use gauss-newton",
        )


def refuse_numbers(problem: Problem, method: str) -> None:
    """InputError for a measured number among what is fitted, in a method that is defined for curves."""
    for target in problem.targets:
        if target.is_number:
            raise InputError(
                f"{method} fits curves, and {target.quantity} is a number",
                where=f"[[data]] {target.name}",
                fix='give it role = "score", or use gauss-newton or difftre',
            )
