"""When an iteration has come to rest: chi^2 of a finite sample with its own error, and the size of a step.

chi^2 of a sample scatters because its frames are few, and for as long as a fit lasts its decrease from one sample to
the next is compared with that scatter and not with a fixed tolerance. For e the misfit, with the sampling covariance N
of <y> in the weight W = (Σ_measured/weight + N)^-1,

    chi^2 = e' W e,      Var chi^2 = 4 e' W N W e + 2 tr(W N W N),

the variance of a quadratic form of a normal vector (A. M. Mathai and S. B. Provost, Quadratic Forms in Random
Variables, Marcel Dekker (1992)). Used by the rules without a trust region: ibi, epsr, rmc and difftre. Gauss-Newton
judges its steps by what it predicted of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.potentials.pair import PairCorrection
from refine.refinement.nuisance import best
from refine.refinement.problem import Problem, Sample, Target
from refine.refinement.statistics import pool

Array = NDArray[np.float64]

RISE = 2.0
"""A rise of chi^2 by more than so many sampling errors is one."""


@dataclass(frozen=True)
class Change:
    """By how much chi^2 fell since the sample before, and the sampling error of that; None where there was none."""

    decrease: float | None = None
    error: float | None = None

    @property
    def settled(self) -> bool:
        """chi^2 fell by no more than its error, and did not rise by more than twice that."""
        return (
            self.decrease is not None and self.error is not None and -RISE * self.error <= self.decrease <= self.error
        )

    @property
    def rose(self) -> bool:
        """chi^2 rose by more than sampling explains."""
        return self.decrease is not None and self.error is not None and self.decrease < -RISE * self.error

    def __str__(self) -> str:
        decrease, error = self.decrease or 0.0, self.error or 0.0
        return f"chi^2 {'rose' if decrease < 0.0 else 'fell'} by {abs(decrease):.1f} ± {error:.1f}"


@dataclass(frozen=True)
class Misfit:
    """chi^2 of curves of one sample, with the variance that its finite number of frames gives it."""

    chi2: float
    variance: float

    def since(self, previous: dict[str, float] | None) -> Change:
        """What became of chi^2 since `previous` (as `stored`)."""
        if previous is None:
            return Change()
        return Change(previous["chi2"] - self.chi2, float(np.sqrt(self.variance + previous["variance"])))

    @property
    def stored(self) -> dict[str, float]:
        """For a rule's memory."""
        return {"chi2": self.chi2, "variance": self.variance}


def misfit(problem: Problem, sample: Sample, targets: Sequence[Target]) -> Misfit:
    """chi^2 = Σ e' (Σ_measured/weight + Var<y>)^-1 e over targets, at their best scale and background."""
    chi2 = variance = 0.0
    for target in targets:
        response = pool(problem, [sample], target.state, sample.correction).response([target])
        free = best(target, response.y)
        error, noise = target.y - free.apply(target, response.y), free.scale**2 * response.noise()
        weight = np.linalg.inv(target.covariance / target.weight + noise)
        chi2 += float(error @ weight @ error)
        variance += float(4.0 * (weight @ error) @ noise @ (weight @ error) + 2.0 * np.sum((weight @ noise) ** 2))
    return Misfit(chi2, variance)


def rms_in_kt(problem: Problem, sample: Sample, theta: Array) -> Array:
    """(active pairs,): rms of theta . B over the pairs of atoms of state 0 sampled within r_cut, kT; 0 where none
    are."""
    correction, frames = sample.correction, sample.frames[0]
    pairs = list(correction.active_pairs)
    phi = np.einsum("pbk,pk->pb", correction.binned_basis(frames.edges)[pairs], theta.reshape(len(pairs), -1))
    counts = frames.counts.mean(axis=0, dtype=np.float64)[pairs] * (frames.edges[1:] < correction.basis.r_cut)
    total = counts.sum(axis=1)
    return np.sqrt(np.divide((counts * phi**2).sum(axis=1), total, out=np.zeros_like(total), where=total > 0.0)) / (
        problem.kt(0)
    )


def confirmed(memory: dict[str, Any], settled: bool, final_factor: float) -> tuple[bool, str]:
    """Whether an iteration has converged, and words for it: when it is settled on a longer sample too, which is asked
    for otherwise.

    memory: of a rule; its "frames_factor" becomes `final_factor` when settled.
    """
    if not settled:
        return False, ""
    converged = memory["frames_factor"] >= final_factor
    memory["frames_factor"] = final_factor
    return converged, "converged" if converged else "sampling longer to confirm"


def refuse_temperature_dependence(correction: PairCorrection, method: str) -> None:
    """InputError for a phi that changes with temperature, in a method whose update has no such term."""
    if correction.terms > 1:
        raise InputError(
            f"{method} cannot refine a correction that changes with temperature",
            where="[correction]",
            fix="make it independent of temperature, or use gauss-newton",
        )
