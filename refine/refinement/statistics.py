"""Pooled averages, Jacobians and their sampling noise, from stored pair counts alone.

For one thermodynamic state, with frames f of weight w_f (MBAR), y_f = A h_f + y0 and N_f = Σ h_f B:

    <y>        = Σ w_f y_f
    J          = -beta Σ w_f (y_f - <y>)(N_f - <N>)                          d<y>/d theta, the fluctuation formula
    y(delta)   = <y> + J delta = Σ w_f z_f,  z_f = y_f - beta (y_f - <y>) (N_f - <N>).delta

The covariance of the mean of z is the sampling noise of the linear prediction, that of the Jacobian included:
Var = g Σ w_f^2 (z_f - <z>)(z_f - <z>)', g the statistical inefficiency from block averages. float64 throughout: the
covariances are differences of large sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.potentials.pair import PairCorrection
from refine.refinement.problem import Problem, Sample, Target
from refine.refinement.reweighting import effective_sample_size, mbar_weights
from refine.sampling.frames import Frames

Array = NDArray[np.float64]

BLOCKS = 10
"""Blocks a replica for the statistical inefficiency: the longest blocks whose variance is still known to a third."""


def coefficient_counts(frames: Sequence[Frames], correction: PairCorrection) -> Array:
    """N: (all frames, active * knots), dimensionless; the correction's energy is theta . N plus its wall's.

    The frames share their bins.
    """
    basis = correction.binned_basis(frames[0].edges)
    rows = [[f.counts[:, p].astype(float) @ basis[p] for p in correction.active_pairs] for f in frames]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def statistical_inefficiency(values: Array, replica: NDArray[np.integer]) -> Array:
    """How many successive frames are worth one independent frame: (n,), at least 1.

    Variance of block means times block length over variance of frames, every replica cut into `BLOCKS` blocks; each
    point's value is averaged with the mean over all points, because ten blocks alone leave it uncertain by a half.

    Args:
        values: (frames, n), frames of a replica in order of time.
        replica: (frames,) which replica a frame belongs to.
    """
    variance = values.var(axis=0)
    means, lengths = [], []
    for index in np.unique(replica):
        for block in np.array_split(values[replica == index], BLOCKS):
            if len(block):
                means.append(block.mean(axis=0))
                lengths.append(len(block))
    between = np.var(means, axis=0, ddof=1) * np.mean(lengths)
    ratio = np.divide(between, variance, out=np.ones_like(variance), where=variance > 0.0)
    return np.maximum(1.0, 0.5 * (ratio + ratio.mean()))


@dataclass(frozen=True)
class Response:
    """Predicted curves of one state and their linear response at one correction, with what their noise needs.

    Attributes:
        y: (n,) predicted curves, scale 1, targets one after the other.
        jacobian: (n, active * knots), curve units per eV.
    """

    y: Array
    jacobian: Array
    beta: float
    weights: Array
    deviations_y: Array
    deviations_n: Array
    inefficiency: Array

    def noise(self, delta: Array | None = None) -> Array:
        """Sampling covariance (n, n) of y + J delta (without delta: of y), shrunk to its diagonal where uncertain."""
        z = self.deviations_y
        if delta is not None:
            z = z - self.beta * z * (self.deviations_n @ delta)[:, None]
            z = z - self.weights @ z
        scaled = z * self.weights[:, None] * np.sqrt(self.inefficiency)
        covariance = scaled.T @ scaled
        # From few independent frames the smallest eigenvalues come out far too small and would be trusted most: shrink
        # to the diagonal, all the way when there are no more independent frames than points.
        independent = effective_sample_size(self.weights) / float(self.inefficiency.mean())
        shrinkage = min(1.0, len(self.y) / independent)
        return (1.0 - shrinkage) * covariance + shrinkage * np.diag(np.diag(covariance))


@dataclass(frozen=True)
class Pool:
    """All frames of one state, weighted for one correction."""

    counts: tuple[Frames, ...]
    coefficient_counts: Array
    weights: Array
    kt: float

    @property
    def effective_sample_size(self) -> float:
        """Kish's number of equally weighted frames."""
        return effective_sample_size(self.weights)

    def mean_counts(self) -> Array:
        """<h>: (pairs, bins)."""
        split = np.cumsum([len(f.counts) for f in self.counts])[:-1]
        parts = zip(np.split(self.weights, split), self.counts, strict=True)
        return np.sum([np.tensordot(w, f.counts, axes=1) for w, f in parts], axis=0)

    def response(self, targets: Sequence[Target]) -> Response:
        """Prediction and Jacobian of targets of this state, one after the other in one vector."""
        y = np.concatenate([np.hstack([t.predict(f.counts) for t in targets]) for f in self.counts])
        mean = self.weights @ y
        dy, dn = y - mean, self.coefficient_counts - self.weights @ self.coefficient_counts
        beta = 1.0 / self.kt
        jacobian = -beta * (dy * self.weights[:, None]).T @ dn
        # The newest ensemble's correlation time stands for all: earlier frames only enter where they resemble it.
        newest = self.counts[-1]
        inefficiency = statistical_inefficiency(y[-len(newest.counts) :], newest.replica)
        return Response(mean, jacobian, beta, self.weights, dy, dn, inefficiency)


def pool(problem: Problem, samples: Sequence[Sample], state: int, correction: PairCorrection) -> Pool:
    """All sampled frames of a state, weighted for a correction by MBAR.

    `samples[-1]` is the ensemble whose correlation time counts. N is taken with the present core for every ensemble;
    cores only differ where next to nothing is sampled.
    """
    frames = tuple(sample.frames[state] for sample in samples)
    numbers = coefficient_counts(frames, correction)
    kt = problem.kt(state)
    reduced = np.array([numbers @ sample.correction.theta for sample in samples]) / kt
    sizes = np.array([len(f.counts) for f in frames])
    weights = mbar_weights(reduced, sizes, numbers @ correction.theta / kt)
    return Pool(frames, numbers, weights, kt)
