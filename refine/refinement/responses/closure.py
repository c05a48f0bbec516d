"""The closure response: curves by the Ornstein-Zernike relation and the sample's own bridge functions.

For one thermodynamic state, with the mean counts h of the newest sample and its g0 = h/n (n those of an ideal gas),

    y(delta) = <y> + A n g0 [exp(-βφ + γ) - 1],    φ = D delta,

γ of `responses.ornstein_zernike`. It is not linear, has no sampling noise beyond that of <y>, and predicts pairs where
none were sampled; it is approximate, and for a homogeneous liquid only. Targets that are not linear in the counts, such
as the pressure, have the fluctuation response of the newest sample instead, with its noise. docs/theory/response.md
compares the two.

Assumed: only the newest sample enters; the closure is wrong by `OWN_ERROR` of what it says changes, point by point and
independently, which its noise holds; the wall stays where it is, and φ is the spline down to r_min, where the
correction that is sampled next goes on as a straight line below `innermost`. γ is zero beyond the last whole bin of
`WIDTH`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from refine.potentials.correction import PairCorrection
from refine.refinement.problem import Problem, Sample, Target
from refine.refinement.responses.fluctuation import Extrapolation, Fluctuation
from refine.refinement.responses.ornstein_zernike import OrnsteinZernike, Solution, log_g_with_core

Array = NDArray[np.float64]

WIDTH = 0.1
"""Å, of the bins that γ is solved on: it is smooth, also where g is not."""

SEEN = 0.05
"""g(r) below which a pair hardly matters."""

RECENT = 4
"""Solutions that are kept: the next one is looked for from the nearest."""

OWN_ERROR = 0.25
"""Share of a change of a curve that the closure gets wrong."""


class Closure:
    """A `Response` (`responses.protocol`) of one state about the correction of its newest sample."""

    linear: ClassVar[bool] = False

    def __init__(
        self,
        problem: Problem,
        samples: Sequence[Sample],
        state: int,
        correction: PairCorrection,
        targets: Sequence[Target],
    ) -> None:
        frames = samples[-1].frames[state]
        self._sampled = Extrapolation.build(problem, samples[-1:], state, correction).response(targets)
        coarse = frames.merged(max(1, round(WIDTH * len(frames.centres) / frames.r_max)))
        densities = np.array(frames.n_per_species) / frames.volume
        self._liquid = OrnsteinZernike(
            coarse.pair_distribution(), coarse.edges[1], densities, coarse.counts.sum(axis=0, dtype=np.float64)
        )
        # phi is free down to r_min: with pairs that are predicted, and were not sampled
        free = correction.with_core(np.full(len(correction.pairs), correction.basis.r_min), correction.wall)
        self._directions, self._coarse_directions = (
            self._changes(free, f.edges, problem.temperatures[state]) / problem.kt(state) for f in (frames, coarse)
        )
        spline = CubicSpline(coarse.centres, np.eye(len(coarse.centres)))
        inside = frames.centres < coarse.r_max
        self._to_fine = np.where(inside[:, None], spline(np.minimum(frames.centres, coarse.centres[-1])), 0.0)
        counted = frames.counts.sum(axis=0, dtype=np.float64)
        g0 = np.exp(log_g_with_core(frames.pair_distribution(), float(frames.edges[1]), counted))
        self._counts = g0 * frames.ideal_counts()
        size = self._counts.size
        self._matrices = np.concatenate(
            [t.operator.matrix if t.counted else np.zeros((len(t.y), size)) for t in targets]
        )
        of_counts = np.repeat([t.counted for t in targets], [len(t.y) for t in targets])
        # of the other targets alone
        self._linear = replace(
            self._sampled,
            jacobian=np.where(of_counts[:, None], 0.0, self._sampled.jacobian),
            deviations_y=np.where(of_counts, 0.0, self._sampled.deviations_y),
        )
        self._solved: deque[tuple[Array, Solution]] = deque(maxlen=RECENT)

    @staticmethod
    def _changes(correction: PairCorrection, edges: Array, temperature: float) -> Array:
        """dφ/dtheta in bins, (pairs, bins, len(theta))."""
        basis = correction.binned_basis(edges)
        pairs, bins, size = basis.shape
        active = correction.active_pairs
        changes = np.zeros((pairs, bins, correction.terms, len(active), size))
        for term, factor in enumerate(correction.factors(temperature)):
            for place, p in enumerate(active):
                changes[p, :, term, place] = factor * basis[p]
        return changes.reshape(pairs, bins, -1)

    @property
    def fluctuations(self) -> Fluctuation:
        """Of the newest sample."""
        return self._sampled

    @property
    def y(self) -> Array:
        """(n,) the curves of the sample."""
        return self._sampled.y

    @property
    def jacobian(self) -> Array:
        """(n, len(theta)) at no change."""
        return self.predict(np.zeros(self._directions.shape[2]))[1]

    @property
    def effective_sample_size(self) -> float:
        """Of the newest sample."""
        return self._sampled.effective_sample_size

    def curves(self, delta: Array) -> Array:
        """The curves (n,) alone. Raises `ornstein_zernike.Demixing`."""
        return self._curves(delta, self._solve(delta))[0]

    def predict(self, delta: Array) -> tuple[Array, Array]:
        """Curves (n,) and their derivative (n, len(theta)) when theta changes by delta (len(theta),), eV.

        Raises `ornstein_zernike.Demixing` where no homogeneous liquid has the changed potentials.
        """
        solution = self._solve(delta)
        y, counts = self._curves(delta, solution)
        moved = self._liquid.slopes(solution, self._coarse_directions)[1]
        change = counts[:, :, None] * (self._to_fine @ moved - self._directions)
        return y, self._matrices @ change.reshape(-1, change.shape[2]) + self._linear.jacobian

    def largest(self, way: Array, here: Array) -> float:
        """kT: the largest change of φ by `way` where the liquid at `here` has pairs, both eV as theta."""
        there = self._solve(here).g > SEEN
        return float(np.abs((self._coarse_directions @ way)[there]).max(initial=0.0))

    def innermost(self, delta: Array) -> Array:
        """(pairs,) Å: where g begins after a change of theta; inf of a pair without atoms."""
        seen = self._solve(delta).g > SEEN
        return np.where(seen.any(axis=1), self._liquid.r[seen.argmax(axis=1)], np.inf)

    def _solve(self, delta: Array) -> Solution:
        for at, solution in self._solved:
            if np.array_equal(at, delta):
                return solution
        known = [(float(np.abs(at - delta).max()), number) for number, (at, _) in enumerate(self._solved)]
        start = self._solved[min(known)[1]][1] if known else None
        self._solved.append((np.array(delta), self._liquid.solve(self._coarse_directions @ delta, start)))
        return self._solved[-1][1]

    def _curves(self, delta: Array, solution: Solution) -> tuple[Array, Array]:
        """Curves (n,) and counts (pairs, bins)."""
        exponent = solution.gamma @ self._to_fine.T - self._directions @ delta
        counts = self._counts * np.exp(exponent)
        change = self._matrices @ (counts - self._counts).ravel() + self._linear.jacobian @ delta
        return self.y + change, counts

    def noise(self, delta: Array | None = None) -> Array:
        """Covariance (n, n) of the sample's curves, and what the closure is wrong by."""
        noise = self._sampled.noise()
        if delta is None or not np.any(delta):
            return noise
        of_slopes = np.diag(self._linear.noise(delta)) - np.diag(self._linear.noise())
        return noise + np.diag((OWN_ERROR * (self.curves(delta) - self.y)) ** 2 + np.maximum(of_slopes, 0.0))

    def slope_variance(self, delta: Array) -> Array:
        """(n,): zero but for what follows from fluctuations."""
        return self._linear.slope_variance(delta)

    def gram_noise(self, whiten: Callable[[Array], Array], part: slice = slice(None)) -> Array:
        """That of targets with linear response, (len(theta),) * 2: the closure's slope has none of its own."""
        return self._linear.gram_noise(whiten, part)
