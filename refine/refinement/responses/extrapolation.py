"""Samples of several corrections carried to one of them by linear response, instead of being reweighted to it.

With theta_i of sample i, <y>_i its mean curves, d_i = theta - theta_i and J_i = -beta Cov_i(y, N)

    y(theta) = Σ_i a_i (<y>_i + J d_i),   J = Σ_i b_i J_i

Reweighting the same frames (`statistics.pool`) is exact, but the effective number that it leaves falls exponentially
with the number of atoms: in a box of a few hundred only the newest sample counts. Means of curves depend on theta
almost linearly. What is not linear is taken to be a share of |J d_i|^2, in the space of the curves, that grows with the
square of the way in kT up to `NONLINEAR`. a_i are those of the least variance of y(theta), the noise of <y>_i and of J
and that together (generalised least squares of one mean); b_i fall with the way in kT. Both are our own choice;
tests/refinement/test_pooling.py compares it with reweighting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.refinement.inference.statistics import Carried, Response, coefficient_counts, statistical_inefficiency
from refine.refinement.problem import Problem, Sample, Target
from refine.sampling.frames import Frames
from refine.units import BOLTZMANN

Array = NDArray[np.float64]

NONLINEAR = 0.1
"""Squared share of a linear change that is not linear: a linear model is trusted to a third of what it predicts."""

LINEAR = 0.3
"""Size of a change of phi, rms over sampled pairs in kT, at which half of the weight of a Jacobian is gone."""


@dataclass(frozen=True)
class Extrapolation:
    """Frames of several samples of one state, to be carried to one correction.

    Attributes:
        frames: of each sample, the one at the correction last.
        numbers: N, (all frames, len(theta)).
        ways: d_i, (samples, len(theta)), eV.
        sizes: (samples,), rms of d_i in kT over sampled pairs.
        kt: eV.
    """

    frames: tuple[Frames, ...]
    numbers: Array
    ways: Array
    sizes: Array
    kt: float

    @classmethod
    def build(
        cls, problem: Problem, samples: Sequence[Sample], state: int, correction: PairCorrection
    ) -> Extrapolation:
        """samples: the one that was sampled with the correction last."""
        frames = tuple(sample.frames[state] for sample in samples)
        numbers = coefficient_counts(frames, correction, problem.temperatures[state])
        kt = problem.kt(state)
        ways = np.array([correction.theta - sample.correction.theta for sample in samples])
        sizes = np.array([step_size(correction, way, frames[-1], kt) for way in ways])
        return cls(frames, numbers, ways, sizes, kt)

    def response(self, targets: Sequence[Target]) -> Response:
        """Prediction and Jacobian of targets of this state, one after the other in one vector."""
        lengths = [len(f) for f in self.frames]
        ends = np.cumsum(lengths)
        parts = tuple(slice(int(end - n), int(end)) for end, n in zip(ends, lengths, strict=True))
        y = np.concatenate([np.hstack([t.predict(f.counts) for t in targets]) for f in self.frames])
        means = np.array([y[part].mean(axis=0) for part in parts])
        dy = np.concatenate([y[part] - mean for part, mean in zip(parts, means, strict=True)])
        dn = np.concatenate([self.numbers[part] - self.numbers[part].mean(axis=0) for part in parts])
        beta = 1.0 / self.kt
        slopes = np.array(lengths) / (1.0 + (self.sizes / LINEAR) ** 2)
        slopes /= slopes.sum()
        slope_weights = np.repeat(slopes / lengths, lengths)
        jacobian = -beta * (dy * slope_weights[:, None]).T @ dn

        own = [statistical_inefficiency(y[part], f.replica) for part, f in zip(parts, self.frames, strict=True)]
        inefficiency = np.average(own, axis=0, weights=lengths)
        noise = np.array(
            [inefficiency * (dy[part] ** 2).mean(axis=0) / n for part, n in zip(parts, lengths, strict=True)]
        )
        bent = NONLINEAR * np.minimum(1.0, (self.sizes / LINEAR) ** 2)[:, None] * (self.ways @ jacobian.T) ** 2
        scale = noise[-1] + np.concatenate([np.diag(t.covariance) / t.weight for t in targets])
        # of J d_i, for each pair of samples, beside what each sample has for itself
        along = dn @ self.ways.T * slope_weights[:, None]
        of_slope = beta**2 * along.T @ (along * (dy**2 @ (inefficiency / scale) / len(scale))[:, None])
        errors = of_slope + np.diag(((noise + bent) / scale).mean(axis=1))
        shares = np.maximum(np.linalg.solve(errors, np.ones(len(lengths))), 0.0)
        shares /= shares.sum()
        displacement = shares @ self.ways
        carried = Carried(slope_weights, displacement, parts, shares**2 @ bent)
        weights = np.repeat(shares / lengths, lengths)
        return Response(
            shares @ means + jacobian @ displacement, jacobian, beta, weights, dy, dn, inefficiency, carried
        )


def step_size(correction: PairCorrection, delta: Array, frames: Frames, kt: float) -> float:
    """rms of delta phi over the sampled pairs within r_cut, kT."""
    centres = frames.centres
    change = correction.with_theta(delta).at(kt / BOLTZMANN)
    pairs = list(correction.active_pairs)
    dphi = np.einsum("pbk,pk->pb", change.binned_basis(frames.edges), change.coefficients)[pairs]
    h = frames.counts.mean(axis=0, dtype=np.float64)[pairs] * (centres < correction.basis.r_cut)
    return float(np.sqrt((h * dphi**2).sum() / h.sum()) / kt)
