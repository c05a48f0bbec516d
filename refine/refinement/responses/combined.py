"""The closure beside fluctuations, mended by what earlier samples said.

The closure (`responses.closure`) follows g(r) where it changes by factors and is wrong by some share of what it says;
the linear response of fluctuations (`responses.fluctuation`) is exact for a small change, and noisy. The one that
predicted the samples so far better (`responses.beliefs`) is believed. Where that is linear response a step is solved
with it alone: it rests on all samples as it is, and what they said must not count twice. Else the curves are said to
change by c(delta), of the closure, or of fluctuations for observables that are not counted from pairs, with an error of
the variance v(delta) at each point:

    closure         v = share^2 <c^2> + BENT^2 <b^2>         b = c_c - J_c delta: what is not linear
    fluctuations    v = factor^2 Var(J_f delta) + <b^2>

<> is a mean over the points of the same target. share and factor are learnt from the samples, too. The error is taken
to be alike where the changes are alike: for two ways delta and delta' of the correlation of c(delta) with c(delta')
over the points of a target. Then earlier samples i, whose curves differ by r_i from what c(delta_i) says, correct the
prediction point by point as of a Gaussian process,

    y(delta) = <y> + c(delta) + k' (K + T)^-1 r,     K_ij = k(delta_i, delta_j),  k_i = k(delta, delta_i),

T the sampling variances: a secant condition, as far as noise allows. (C. E. Rasmussen and C. K. I. Williams, Gaussian
Processes for Machine Learning, MIT Press (2006), chapter 2.)

When not to use it: for solids, of which the closure says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from refine.potentials.correction import PairCorrection
from refine.refinement.inference.statistics import averages
from refine.refinement.problem import Problem, Sample, Target
from refine.refinement.responses.beliefs import BENT, Belief, Opinion
from refine.refinement.responses.closure import Closure
from refine.refinement.responses.fluctuation import Fluctuation, fluctuation
from refine.refinement.responses.ornstein_zernike import Demixing

Array = NDArray[np.float64]

SECANTS = 4
"""Earlier samples that correct a prediction: the newest ones."""

SMALL = 0.02
"""kT, of the change that is added to delta where errors are compared."""

SMOOTHED = 0.5
"""Share of a point's Var(J_f delta) that is replaced by the mean over its target: of few frames it is hardly known."""


@dataclass(frozen=True)
class Change:
    """What happens to the curves on a way delta.

    Attributes:
        change: (n,) c(delta).
        variance: (n,) v.
        slope, variance_slope: (n, len(theta)) their derivatives; None where they were not asked for.
    """

    change: Array
    variance: Array
    slope: Array | None = None
    variance_slope: Array | None = None


class Combined:
    """A `Curved` response (`responses.protocol`) of one state about the correction of its newest sample.

    beliefs: by the target's name; others have `Belief()`.
    """

    linear: ClassVar[bool] = False

    def __init__(
        self,
        problem: Problem,
        samples: Sequence[Sample],
        state: int,
        correction: PairCorrection,
        targets: Sequence[Target],
        beliefs: Mapping[str, Belief] | None = None,
    ) -> None:
        self._closure = Closure(problem, samples, state, correction, targets)
        self._sampled = fluctuation(problem, samples, state, correction, targets)
        self._names = [target.name for target in targets]
        self._beliefs = [(beliefs or {}).get(name, Belief()) for name in self._names]
        ends = np.cumsum([len(target.y) for target in targets])
        self._parts = [slice(int(end) - len(t.y), int(end)) for end, t in zip(ends, targets, strict=True)]
        # the closure knows of nothing but pair counts
        self._by_closure = np.repeat([t.counted for t in targets], [len(t.y) for t in targets])
        self._weights = np.concatenate([t.counted * t.weight / np.diag(t.covariance) for t in targets])
        self._zero, self._slope = self._closure.predict(np.zeros(self._sampled.jacobian.shape[1]))
        small = (SMALL * problem.kt(state)) ** 2
        self._small_square = small * np.sum(self._slope**2, axis=1)
        self._small_noise = small * self._sampled.mean_slope_variance()
        self._ways: list[Change] = []
        self._learn(samples, state, targets)

    def _learn(self, samples: Sequence[Sample], state: int, targets: Sequence[Target]) -> None:
        """Secants to earlier samples: where they lie, and (K + T)^-1 (points, ways, ways) of each target."""
        theta, noise = samples[-1].correction.theta, np.diag(self._sampled.noise())
        missed, scatter = [], []
        for sample in samples[:-1][-SECANTS:]:
            try:
                way = self._change(sample.correction.theta - theta)
            except Demixing:
                continue  # it says nothing
            y, own = averages(sample, state, targets)
            self._ways.append(way)
            missed.append(y - self.y - way.change)
            scatter.append(own)
        self._missed, self._gains = np.array(missed), []
        for part in self._parts if self._ways else []:
            kernel = np.array([self._kernel(way, part)[0] for way in self._ways])
            own_noise = np.eye(len(kernel)) * np.array(scatter)[:, part].T[:, None]
            self._gains.append(np.linalg.inv(kernel + own_noise + noise[part][:, None, None]))

    def _kernel(self, way: Change, part: slice) -> tuple[Array, Array | None]:
        """k between a way and those to the earlier samples, (ways,), in one target; its derivative, if it is known."""
        others = np.array([self._wrong(other, part)[0] * other.change[part] for other in self._ways])
        common = others @ way.change[part] / others.shape[1]
        scale, slope = self._wrong(way, part)
        if way.slope is None or slope is None:
            return scale * common, None
        return scale * common, np.outer(common, slope) + scale * others @ way.slope[part] / others.shape[1]

    def _wrong(self, way: Change, part: slice) -> tuple[float, Array | None]:
        """Share of a change that is wrong, and its derivative, if it is known."""
        square = float(np.mean(way.change[part] ** 2 + self._small_square[part]))
        variance = float(np.mean(way.variance[part]))
        if square * variance == 0.0:
            return 0.0, None if way.slope is None else np.zeros(way.slope.shape[1])
        share = float(np.sqrt(variance / square))
        if way.slope is None or way.variance_slope is None:
            return share, None
        d_square = 2.0 * way.change[part] @ way.slope[part] / len(way.change[part])
        return share, 0.5 * share * (way.variance_slope[part].mean(axis=0) / variance - d_square / square)

    def _change(self, delta: Array, *, slope: bool = False) -> Change:
        """Of the believed response. Raises `ornstein_zernike.Demixing`."""
        moved, steep = self._closure.predict(delta) if slope else (self._closure.curves(delta), None)
        by_closure = moved - self._zero
        bent = by_closure - self._slope @ delta
        variance = np.zeros_like(moved)
        linear = not self._by_closure.all()  # somewhere: else its noise is not asked for
        noise = self._sampled.slope_variance(delta) + self._small_noise if linear else variance
        for part, belief, closure in self._each():
            if closure:
                wrong = belief.share**2 * np.mean(by_closure[part] ** 2 + self._small_square[part])
                variance[part] = wrong + BENT**2 * np.mean(bent[part] ** 2)
            else:
                variance[part] = belief.factor**2 * _smooth(noise[part]) + np.mean(bent[part] ** 2)
        change = np.where(self._by_closure, by_closure, self._sampled.jacobian @ delta)
        if steep is None:
            return Change(change, variance)
        d_change = np.where(self._by_closure[:, None], steep, self._sampled.jacobian)
        d_variance = np.zeros_like(steep)
        d_noise = self._sampled.slope_variance_slope(delta) if linear else d_variance
        for part, belief, closure in self._each():
            d_square, d_bent = (
                2.0 * values[part] @ slopes[part] / len(moved[part])
                for values, slopes in ((by_closure, steep), (bent, steep - self._slope))
            )
            if closure:
                d_variance[part] = belief.share**2 * d_square + BENT**2 * d_bent
            else:
                d_variance[part] = belief.factor**2 * _smooth(d_noise[part]) + d_bent
        return Change(change, variance, d_change, d_variance)

    def _each(self) -> Iterator[tuple[slice, Belief, bool]]:
        """Of each target: where its points are, how wrong the two are, and whether the closure is believed."""
        return zip(self._parts, self._beliefs, (bool(self._by_closure[p.start]) for p in self._parts), strict=True)

    def _corrected(self, way: Change) -> tuple[Array, Array | None, Array]:
        """Change (n,), its derivative and its variance (n,), with what earlier samples say."""
        if not self._ways:
            return way.change, way.slope, way.variance
        change, variance = way.change.copy(), way.variance.copy()
        slope = None if way.slope is None else way.slope.copy()
        for part, gain in zip(self._parts, self._gains, strict=True):
            if not self._by_closure[part.start]:
                continue  # fluctuations rest on all samples as it is
            k, d_k = self._kernel(way, part)
            pulled = np.einsum("pij,jp->pi", gain, self._missed[:, part])
            change[part] += pulled @ k
            variance[part] = np.maximum(variance[part] - np.einsum("i,pij,j->p", k, gain, k), 0.0)
            if slope is not None and d_k is not None:
                slope[part] += pulled @ d_k
        return change, slope, variance

    # ---- the response

    @property
    def fluctuations(self) -> Fluctuation:
        """Of all samples."""
        return self._sampled

    @property
    def y(self) -> Array:
        """(n,) the curves of the samples, carried to the correction."""
        return self._sampled.y

    @property
    def jacobian(self) -> Array:
        """(n, len(theta)) at no change."""
        return self.predict(np.zeros(self._slope.shape[1]))[1]

    @property
    def effective_sample_size(self) -> float:
        """Of the samples."""
        return self._sampled.effective_sample_size

    def curves(self, delta: Array) -> Array:
        """The curves (n,) alone. Raises `ornstein_zernike.Demixing`."""
        return np.asarray(self.y + self._corrected(self._change(delta))[0])

    def predict(self, delta: Array) -> tuple[Array, Array]:
        """Curves (n,) and their derivative (n, len(theta)). Raises `ornstein_zernike.Demixing`."""
        change, slope, _ = self._corrected(self._change(delta, slope=True))
        assert slope is not None
        return self.y + change, slope

    def innermost(self, delta: Array) -> Array:
        """(pairs,) Å: the closure's."""
        return self._closure.innermost(delta)

    def largest(self, way: Array, here: Array) -> float:
        """kT: the closure's."""
        return self._closure.largest(way, here)

    def noise(self, delta: Array | None = None) -> Array:
        """Covariance (n, n): of the samples, and of what is left of the errors of both responses."""
        noise = self._sampled.noise()
        if delta is None or not np.any(delta):
            return noise
        return noise + np.diag(self._corrected(self._change(delta))[2])

    def slope_variance(self, delta: Array) -> Array:
        """(n,): that of fluctuations where they are believed."""
        return np.where(self._by_closure, 0.0, self._sampled.slope_variance(delta))

    def gram_noise(self, whiten: Callable[[Array], Array], part: slice = slice(None)) -> Array:
        """That of fluctuations where they are believed."""
        linear = ~self._by_closure[part, None]
        return self._sampled.gram_noise(lambda values: whiten(linear * values), part)

    def bent(self, delta: Array) -> float:
        """What is not linear in the closure's change, in units of what is; inf where the closure refuses it.

        Root mean squares over the points of all counted targets, in their errors.
        """
        linear = self._slope @ delta
        if not self._weights @ linear**2:
            return 0.0
        try:
            bent = self._closure.curves(delta) - self._zero - linear
        except Demixing:
            return np.inf
        return float(np.sqrt((self._weights @ bent**2) / (self._weights @ linear**2)))

    def opinions(self, delta: Array) -> dict[str, Opinion]:
        """What the two say of a way, by the target's name; nothing where the closure refuses it."""
        try:
            by_closure = self._closure.curves(delta) - self._zero
        except Demixing:
            return {}
        linear = self._sampled.jacobian @ delta
        noise, bent = self._sampled.slope_variance(delta), (by_closure - self._slope @ delta) ** 2
        return {
            name: Opinion(self.y[p], by_closure[p], linear[p], float(noise[p].mean()), float(bent[p].mean()))
            for name, p in zip(self._names, self._parts, strict=True)
        }


def _smooth(values: Array) -> Array:
    """Values of points (n, ...), half way to their mean."""
    return np.asarray((1.0 - SMOOTHED) * values + SMOOTHED * values.mean(axis=0))
