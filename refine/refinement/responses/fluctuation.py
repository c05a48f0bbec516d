"""The fluctuation response: averages and their derivatives from stored pair counts alone, carried to one correction.

For one thermodynamic state, with frames f of weight w_f, y_f = A h_f + y0 and N_f = Σ h_f B:

    <y>        = Σ w_f y_f
    J          = -beta Σ w_f (y_f - <y>)(N_f - <N>)                          d<y>/d theta, the fluctuation formula
    y(delta)   = <y> + J delta = Σ w_f z_f,  z_f = y_f - beta (y_f - <y>) (N_f - <N>).delta

What depends on theta at fixed atoms too (`Observable.explicit`, the pressure for one) has J + Σ w_f dy_f/d theta.
docs/theory/response.md derives them, the noise of the prediction, and how samples of several corrections are carried to
one of them (`Extrapolation`). The weights there are our own choice; tests/refinement/inference/test_pooling.py compares
them with reweighting (`responses.pool`). float64 throughout: the covariances are differences of large sums.

When not to use it: where g has to change by factors, and where the sample has no pairs at all: J is zero there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.refinement.inference.reweighting import effective_sample_size
from refine.refinement.inference.statistics import coefficient_counts, inefficiency_of
from refine.refinement.problem import Problem, Sample, Target
from refine.refinement.steps import step_size
from refine.sampling.frames import Frames
from refine.units import BOLTZMANN

Array = NDArray[np.float64]

NONLINEAR = 0.1
"""Squared share of a linear change that is not linear: a linear model is trusted to a third of what it predicts."""

LINEAR = 0.3
"""Size of a change of phi, rms over sampled pairs in kT, at which half of the weight of a Jacobian is gone."""


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
class Fluctuation:
    """Predicted curves of one state and their linear response at one correction, with what their noise needs.

    A `Response` (`responses.protocol`).

    Attributes:
        y: (n,) predicted curves, scale 1, targets one after the other.
        jacobian: (n, len(theta)), curve units per eV.
        carried: where the frames are of several ensembles and not reweighted.
        explicit: dy_f/d theta at fixed atoms, (frames, len(theta)), of every point that has one, by its index.
    """

    y: Array
    jacobian: Array
    beta: float
    weights: Array
    deviations_y: Array
    deviations_n: Array
    inefficiency: Array
    carried: Carried | None = None
    explicit: Mapping[int, Array] = field(default_factory=dict)
    linear: ClassVar[bool] = True

    @property
    def effective_sample_size(self) -> float:
        """Kish's number of equally weighted frames."""
        return effective_sample_size(self.weights)

    @property
    def slope_weights(self) -> Array:
        """(frames,) weights of the products that J is the mean of."""
        return self.weights if self.carried is None else self.carried.slope_weights

    def curves(self, delta: Array) -> Array:
        """y + J delta, (n,)."""
        return np.asarray(self.y + self.jacobian @ delta)

    def predict(self, delta: Array) -> tuple[Array, Array]:
        """y + J delta and J: the curves (n,) and their derivative (n, len(theta)) when theta changes by delta, eV."""
        return self.curves(delta), self.jacobian

    def noise(self, delta: Array | None = None) -> Array:
        """Sampling covariance (n, n) of y + J delta (without delta: of y), shrunk to its diagonal where uncertain."""
        moved = np.zeros(self.deviations_n.shape[1]) if self.carried is None else self.carried.displacement
        moved = moved if delta is None else moved + delta
        z = self.weights[:, None] * self.deviations_y + self._slope_deviations(moved)
        scaled = z * np.sqrt(self.inefficiency)
        covariance = scaled.T @ scaled
        if self.carried is not None:
            covariance = covariance + np.diag(self.carried.curvature)
        # From few independent frames the smallest eigenvalues come out far too small and would be trusted most: shrink
        # to the diagonal, all the way when there are no more independent frames than points.
        independent = effective_sample_size(self.weights) / float(self.inefficiency.mean())
        shrinkage = min(1.0, len(self.y) / independent)
        return np.asarray((1.0 - shrinkage) * covariance + shrinkage * np.diag(np.diag(covariance)))

    def slope_variance(self, delta: Array) -> Array:
        """Sampling variance (n,) of J delta alone."""
        return np.asarray(self.inefficiency * np.sum(self._slope_deviations(delta) ** 2, axis=0))

    def slope_variance_slope(self, delta: Array) -> Array:
        """Derivative of `slope_variance` by delta, (n, len(theta))."""
        squares = np.zeros((len(self.y), len(delta)))
        w, along = self.slope_weights, self.deviations_n @ delta
        for part in [slice(None)] if self.carried is None else self.carried.parts:
            y, n = self.deviations_y[part], self.deviations_n[part]
            share = w[part] / w[part].sum()
            # products y_f (N_f delta) and y_f N_f, less their means
            product = y * along[part][:, None]
            for point, slopes in self.explicit.items():
                product[:, point] -= slopes[part] @ delta / self.beta
            product = (product - share @ product) * (self.beta * w[part][:, None]) ** 2
            means = (y * share[:, None]).T @ n
            squares += 2.0 * ((product * y).T @ n - product.sum(axis=0)[:, None] * means)
            for point, slopes in self.explicit.items():
                own = (slopes[part] - share @ slopes[part]) / self.beta
                squares[point] -= 2.0 * product[:, point] @ own
        return np.asarray(self.inefficiency[:, None] * squares)

    def mean_slope_variance(self) -> Array:
        """The mean of `slope_variance` over all delta of unit variance in every coefficient, (n,)."""
        weights = self.slope_weights**2 * np.sum(self.deviations_n**2, axis=1)
        squares = weights @ self.deviations_y**2
        for point, slopes in self.explicit.items():
            products = self.deviations_y[:, point, None] * self.deviations_n - slopes / self.beta
            squares[point] = self.slope_weights**2 @ np.sum((products - self.slope_weights @ products) ** 2, axis=1)
        return np.asarray(self.beta**2 * self.inefficiency * squares)

    def _slope_deviations(self, delta: Array) -> Array:
        """What each frame adds to J delta, less its share of it, (frames, n)."""
        deviations = np.zeros_like(self.deviations_y)
        if delta.any():
            w = self.slope_weights[:, None]
            products = self.deviations_y * (self.deviations_n @ delta)[:, None]
            for point, slopes in self.explicit.items():
                products[:, point] -= slopes @ delta / self.beta
            for part in [slice(None)] if self.carried is None else self.carried.parts:
                centred = products[part] - (w[part] * products[part]).sum(axis=0) / w[part].sum()
                deviations[part] = -self.beta * w[part] * centred
        return deviations

    def gram_noise(self, whiten: Callable[[Array], Array], part: slice = slice(None)) -> Array:
        """What sampling noise adds to J'Σ^-1 J of some of the points on average: (k, k), k = len(theta).

        J = -beta Σ w_f dy_f dN_f' is a mean of products, so with g the statistical inefficiency

            E[J'Σ^-1 J] - E[J]'Σ^-1 E[J] = beta^2 g Σ w_f^2 (dy_f'Σ^-1 dy_f) dN_f dN_f' - g Σ w_f^2 J'Σ^-1 J

        and where y_f depends on theta at fixed atoms, the products are those less (dy_f/d theta)/beta.

        Args:
            whiten: (points, any) curve values to L^-1 of them, Σ = L L'.
            part: the points.
        """
        whitened = whiten(self.deviations_y[:, part].T)  # (points, frames)
        squared = np.sum(whitened**2, axis=0)
        g = float(self.inefficiency.mean())
        w = self.slope_weights
        scaled = self.deviations_n * (w * np.sqrt(squared))[:, None]
        jw = whiten(self.jacobian[part])
        total = self.beta**2 * scaled.T @ scaled - float(np.sum(w**2)) * jw.T @ jw
        inside = range(len(self.y))[part]
        rows = {inside.index(point): w[:, None] * slopes for point, slopes in self.explicit.items() if point in inside}
        units = {row: whiten(np.eye(len(inside))[:, [row]])[:, 0] for row in rows}
        for row, slopes in rows.items():
            cross = self.beta * (self.deviations_n * (w * (units[row] @ whitened))[:, None]).T @ slopes
            total -= cross + cross.T
            for other, of_other in rows.items():
                total += float(units[row] @ units[other]) * slopes.T @ of_other
        return np.asarray(g * total)


@dataclass(frozen=True)
class Extrapolation:
    """Frames of several samples of one state, to be carried to one correction.

    Attributes:
        correction: the one.
        samples: the one at the correction last.
        state: index of theirs.
        numbers: N, (all frames, len(theta)).
        displacements: d_i, (samples, len(theta)), eV.
        sizes: (samples,), rms of d_i in kT over sampled pairs.
        kt: eV.
    """

    correction: PairCorrection
    samples: tuple[Sample, ...]
    state: int
    numbers: Array
    displacements: Array
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
        displacements = np.array([correction.theta - sample.correction.theta for sample in samples])
        sizes = np.array(
            [
                step_size(correction, d, frames[-1], kt, temperature=kt / BOLTZMANN, reach="centre")
                for d in displacements
            ]
        )
        return cls(correction, tuple(samples), state, numbers, displacements, sizes, kt)

    @property
    def frames(self) -> tuple[Frames, ...]:
        """Of each sample."""
        return tuple(sample.frames[self.state] for sample in self.samples)

    def response(self, targets: Sequence[Target]) -> Fluctuation:
        """Prediction and Jacobian of targets of this state, one after the other in one vector."""
        lengths = [len(f) for f in self.frames]
        ends = np.cumsum(lengths)
        parts = tuple(slice(int(end - n), int(end)) for end, n in zip(ends, lengths, strict=True))
        y = np.concatenate([np.hstack([t.values(f) for t in targets]) for f in self.frames])
        explicit = explicit_slopes(self.frames, targets, self.correction)
        means = np.array([y[part].mean(axis=0) for part in parts])
        dy = np.concatenate([y[part] - mean for part, mean in zip(parts, means, strict=True)])
        dn = np.concatenate([self.numbers[part] - self.numbers[part].mean(axis=0) for part in parts])
        beta = 1.0 / self.kt
        by_sample = [
            inefficiency_of(sample, self.state, targets, y[part])
            for part, sample in zip(parts, self.samples, strict=True)
        ]
        spread = np.array([(dy[part] ** 2).mean(axis=0) for part in parts])
        known = any(sample.inefficiency for sample in self.samples)  # then each g goes with its own sample's variance
        counted = np.array(lengths)[:, None] * (spread + 1e-300 if known else np.ones_like(spread))
        inefficiency = np.average(by_sample, axis=0, weights=counted)
        noise = np.array(
            [
                (own if sample.inefficiency else inefficiency) * one / n
                for one, n, own, sample in zip(spread, lengths, by_sample, self.samples, strict=True)
            ]
        )
        scale = noise[-1] + np.concatenate([np.diag(t.covariance) / t.weight for t in targets])
        # of a frame's share in J: an ensemble about to come apart knows its slope least. None is better known than that
        # of the newest one: small fluctuations are a small slope, too, and would count for their smallness
        wild = np.array(
            [
                float(dy[part] ** 2 @ (own / scale) @ np.sum(dn[part] ** 2, axis=1)) / n
                for part, own, n in zip(parts, by_sample, lengths, strict=True)
            ]
        )
        wild = np.maximum(wild, max(wild[-1], 1e-300))
        slopes = np.array(lengths) / (wild * (1.0 + (self.sizes / LINEAR) ** 2))
        slopes /= slopes.sum()
        slope_weights = np.repeat(slopes / lengths, lengths)
        jacobian = -beta * (dy * slope_weights[:, None]).T @ dn
        for point, of_frames in explicit.items():
            jacobian[point] += slope_weights @ of_frames

        nonlinear = (
            NONLINEAR * np.minimum(1.0, (self.sizes / LINEAR) ** 2)[:, None] * (self.displacements @ jacobian.T) ** 2
        )
        # of J d_i, for each pair of samples, beside what each sample has for itself
        displaced = dn @ self.displacements.T * slope_weights[:, None]
        of_slope = beta**2 * displaced.T @ (displaced * (dy**2 @ (inefficiency / scale) / len(scale))[:, None])
        errors = of_slope + np.diag(((noise + nonlinear) / scale).mean(axis=1))
        shares = np.maximum(np.linalg.solve(errors, np.ones(len(lengths))), 0.0)
        shares /= shares.sum()
        displacement = shares @ self.displacements
        carried = Carried(slope_weights, displacement, parts, shares**2 @ nonlinear)
        weights = np.repeat(shares / lengths, lengths)
        return Fluctuation(
            shares @ means + jacobian @ displacement, jacobian, beta, weights, dy, dn, inefficiency, carried, explicit
        )


def explicit_slopes(
    frames: Sequence[Frames], targets: Sequence[Target], correction: PairCorrection
) -> dict[int, Array]:
    """dy_f/d theta at fixed atoms, (all frames, len(theta)), of every point of the targets that has one.

    Keys are places among the points of the targets, one after the other.
    """
    slopes: dict[int, Array] = {}
    start = 0
    for target in targets:
        parts = [target.observable.explicit(f, correction) for f in frames]
        of_points = [part for part in parts if part is not None]
        if of_points:
            joined = np.concatenate(of_points)
            slopes |= {start + k: joined[:, k] for k in range(joined.shape[1])}
        start += len(target.y)
    return slopes


def fluctuation(
    problem: Problem, samples: Sequence[Sample], state: int, correction: PairCorrection, targets: Sequence[Target]
) -> Fluctuation:
    """The response of targets of one state about a correction that `samples[-1]` was sampled with."""
    return Extrapolation.build(problem, samples, state, correction).response(targets)
