"""Pooled averages, Jacobians and their sampling noise, from stored pair counts alone.

For one thermodynamic state, with frames f of weight w_f (MBAR), y_f = A h_f + y0 and N_f = Σ h_f B:

    <y>        = Σ w_f y_f
    J          = -beta Σ w_f (y_f - <y>)(N_f - <N>)                          d<y>/d theta, the fluctuation formula
    y(delta)   = <y> + J delta = Σ w_f z_f,  z_f = y_f - beta (y_f - <y>) (N_f - <N>).delta

The covariance of the mean of z is the sampling noise of the linear prediction, that of the Jacobian included:
Var = g Σ w_f^2 (z_f - <z>)(z_f - <z>)', g the statistical inefficiency. float64 throughout: the
covariances are differences of large sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.refinement.inference.reweighting import effective_sample_size, mbar_weights
from refine.refinement.problem import Problem, Sample, Target
from refine.sampling.averages import inefficiency
from refine.sampling.frames import Frames

Array = NDArray[np.float64]


def coefficient_counts(frames: Sequence[Frames], correction: PairCorrection, temperature: float) -> Array:
    """N: (all frames, len(theta)), dimensionless; the correction's energy at `temperature` (K) is theta . N plus its
    wall's.

    The frames share their bins.
    """
    basis = correction.binned_basis(frames[0].edges)
    rows = [[f.counts[:, p].astype(float) @ basis[p] for p in correction.active_pairs] for f in frames]
    counts = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    return np.concatenate([factor * counts for factor in correction.factors(temperature)], axis=1)


def statistical_inefficiency(values: Array, replica: NDArray[np.integer]) -> Array:
    """How many successive frames are worth one independent frame: (n,), at least 1.

    g of `sampling.averages`, for many points that weigh each other in a fit: each point's g is at least halfway to the
    mean over all points. From one run a single g is known to a half only, and too small an error is the worse mistake.

    Args:
        values: (frames, n), frames of a replica in order of time.
        replica: (frames,) which replica a frame belongs to.
    """
    g = inefficiency(values, replica)
    pooled: Array = np.maximum(g, 0.5 * (g + g.mean()))
    return pooled


@dataclass(frozen=True)
class Carried:
    """What a response that is carried from several ensembles to one correction has besides: y = Σ w y_f + J d.

    Attributes:
        slope_weights: (frames,) of the covariances in J, deviations being those from each ensemble's own means.
        displacement: d, (len(theta),), the mean way from the ensembles to the correction, eV.
        parts: the frames of each ensemble.
        curvature: (n,) variance of what is not linear on that way.
    """

    slope_weights: Array
    displacement: Array
    parts: tuple[slice, ...]
    curvature: Array


@dataclass(frozen=True)
class Response:
    """Predicted curves of one state and their linear response at one correction, with what their noise needs.

    Attributes:
        y: (n,) predicted curves, scale 1, targets one after the other.
        jacobian: (n, len(theta)), curve units per eV.
        carried: where the frames are of several ensembles and not reweighted.
    """

    y: Array
    jacobian: Array
    beta: float
    weights: Array
    deviations_y: Array
    deviations_n: Array
    inefficiency: Array
    carried: Carried | None = None

    @property
    def effective_sample_size(self) -> float:
        """Kish's number of equally weighted frames."""
        return effective_sample_size(self.weights)

    @property
    def slope_weights(self) -> Array:
        """(frames,) weights of the products that J is the mean of."""
        return self.weights if self.carried is None else self.carried.slope_weights

    def noise(self, delta: Array | None = None) -> Array:
        """Sampling covariance (n, n) of y + J delta (without delta: of y), shrunk to its diagonal where uncertain."""
        z = self.weights[:, None] * self.deviations_y
        moved = np.zeros(self.deviations_n.shape[1]) if self.carried is None else self.carried.displacement
        moved = moved if delta is None else moved + delta
        if moved.any():
            w = self.slope_weights[:, None]
            products = self.deviations_y * (self.deviations_n @ moved)[:, None]
            for part in [slice(None)] if self.carried is None else self.carried.parts:
                centred = products[part] - (w[part] * products[part]).sum(axis=0) / w[part].sum()
                z[part] -= self.beta * w[part] * centred
        scaled = z * np.sqrt(self.inefficiency)
        covariance = scaled.T @ scaled
        if self.carried is not None:
            covariance = covariance + np.diag(self.carried.curvature)
        # From few independent frames the smallest eigenvalues come out far too small and would be trusted most: shrink
        # to the diagonal, all the way when there are no more independent frames than points.
        independent = effective_sample_size(self.weights) / float(self.inefficiency.mean())
        shrinkage = min(1.0, len(self.y) / independent)
        return (1.0 - shrinkage) * covariance + shrinkage * np.diag(np.diag(covariance))

    def gram_noise(self, whiten: Callable[[Array], Array]) -> Array:
        """What sampling noise adds to J'Σ^-1 J on average: (k, k), k = len(theta).

        J = -beta Σ w_f dy_f dN_f' is a mean of products, so with g the statistical inefficiency

            E[J'Σ^-1 J] - E[J]'Σ^-1 E[J] = beta^2 g Σ w_f^2 (dy_f'Σ^-1 dy_f) dN_f dN_f' - g Σ w_f^2 J'Σ^-1 J

        Args:
            whiten: (n, frames) curve values to L^-1 of them, Σ = L L'.
        """
        squared = np.sum(whiten(self.deviations_y.T) ** 2, axis=0)  # (frames,)
        g = float(self.inefficiency.mean())
        w = self.slope_weights
        scaled = self.deviations_n * (w * np.sqrt(squared))[:, None]
        jw = whiten(self.jacobian)
        return g * (self.beta**2 * scaled.T @ scaled - float(np.sum(w**2)) * jw.T @ jw)


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
    numbers = coefficient_counts(frames, correction, problem.temperatures[state])
    kt = problem.kt(state)
    reduced = np.array([numbers @ sample.correction.theta for sample in samples]) / kt
    sizes = np.array([len(f.counts) for f in frames])
    weights = mbar_weights(reduced, sizes, numbers @ correction.theta / kt)
    return Pool(frames, numbers, weights, kt)
