"""Free scale and background of a curve: what a measurement's normalisation leaves open, in closed form.

    seen = baseline + s (y - baseline) + Σ_j b_j background_j,   s ~ N(1, scale_prior^2),  b_j ~ N(0, prior_j^2)

Both enter linearly (`refine.scattering.instrument`), so for a given model their posterior mean is one small linear
solve. A Gauss-Newton step has them as extra columns of its Jacobian (`columns`); rules without one ask for the best
values (`best`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from refine.refinement.problem import Target
from refine.scattering.instrument import Y, added, by_scale, seen

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Nuisance:
    """Scale s (one if it is not free) and amplitudes b of the background (none likewise), in the declared quantity."""

    scale: float = 1.0
    background: tuple[float, ...] = ()
    scale_stderr: float = 0.0
    background_stderr: tuple[float, ...] = ()

    def apply(self, target: Target, y: Y) -> Y:
        """The model (..., n) as the instrument would report it."""
        background = None if target.background is None else added(target.background, self.background)
        return seen(y, target.baseline, self.scale, background)


def columns(target: Target, y: Array) -> tuple[Array, Array]:
    """d y/d s and d y/d b for those that are free, (n, 0 to 1 + k), and the standard deviations of their priors.

    >>> from refine.refinement.observables.curve import CurveObservable
    >>> from refine.scattering.operator import CurveOperator
    >>> operator = CurveOperator(np.arange(1.0, 4.0), np.eye(3), np.zeros(3), np.ones(3))
    >>> y = np.array([1.0, 2.2, 1.0])
    >>> target = Target("s", 0, "S(Q)", None, y, 0.01 * np.eye(3), True, CurveObservable(operator), free_scale=True)
    >>> derivatives, priors = columns(target, np.array([1.0, 2.0, 1.0]))
    >>> derivatives.ravel().tolist(), priors.tolist()
    ([0.0, 1.0, 0.0], [0.2])
    """
    derivatives, priors = [], []
    if target.free_scale:
        derivatives.append(by_scale(y, target.baseline))
        priors.append(target.scale_prior)
    if target.background is not None:
        derivatives.extend(target.background.T)
        priors.extend(target.background_prior)
    return np.array(derivatives).reshape(len(derivatives), len(y)).T, np.array(priors)


def values(target: Target, free: Array) -> tuple[float, tuple[float, ...]]:
    """(s, b) from what `columns` leaves free, given as departures from one and zero."""
    rest = [float(value) for value in free]
    scale = 1.0 + rest.pop(0) if target.free_scale else 1.0
    return scale, tuple(rest)


def best(target: Target, y: Array) -> Nuisance:
    """The most probable scale and background of a model y (n,), at scale 1 and background 0.

    The noise is the measurement's alone. The errors are those of the posterior.

    >>> from refine.refinement.observables.curve import CurveObservable
    >>> from refine.scattering.operator import CurveOperator
    >>> operator = CurveOperator(np.arange(1.0, 4.0), np.eye(3), np.zeros(3), np.ones(3))
    >>> y = np.array([1.0, 2.2, 1.0])
    >>> target = Target("s", 0, "S(Q)", None, y, 0.01 * np.eye(3), True, CurveObservable(operator), free_scale=True)
    >>> round(best(target, np.array([1.0, 2.0, 1.0])).scale, 2)  # the data say 1.2, the prior 1 ± 0.2
    1.16
    """
    design, priors = columns(target, y)
    if not len(priors):
        return Nuisance()
    weighted, inverse = _solved(target, design, priors)
    scale, background = values(target, inverse @ (weighted.T @ (target.y - y)))
    # as `values`, but of standard errors, which are departures already
    scale_stderr, background_stderr = values(target, np.sqrt(np.diag(inverse)))
    return Nuisance(scale, background, scale_stderr - 1.0 if target.free_scale else 0.0, background_stderr)


def best_derivative(target: Target, y: Array) -> tuple[Array, Array]:
    """ds/dy (n,) and db/dy (k, n) of the `best` scale and background of a model y (n,); zero, empty where not free.

    With x the departures, D their columns, P the covariance of their prior, W = Σ^-1 and e = y_measured - seen,
    x = A^-1 D' W (y_measured - y) with A = D' W D + P^-1, and so dx/dy = A^-1 (E - s D' W), where E has the row (W e)'
    for the scale, whose column moves with y, and zero for the background.
    """
    design, priors = columns(target, y)
    of_scale = np.zeros_like(y)
    if not len(priors):
        return of_scale, np.zeros((0, len(y)))
    weighted, inverse = _solved(target, design, priors)
    free = best(target, y)
    change = -free.scale * weighted.T
    if target.free_scale:
        misfit = target.y - free.apply(target, y)
        change[0] += cho_solve(cho_factor(target.covariance / target.weight), misfit)
    rows = inverse @ change
    return (rows[0], rows[1:]) if target.free_scale else (of_scale, rows)


def count(target: Target) -> int:
    """How many parameters are free: the scale, and one for each mode of the background."""
    return int(target.free_scale) + (0 if target.background is None else target.background.shape[1])


def _solved(target: Target, design: Array, priors: Array) -> tuple[Array, Array]:
    """W D (n, k) and (D' W D + P^-1)^-1 (k, k), with W the inverse of the covariance of the misfit."""
    weighted = cho_solve(cho_factor(target.covariance / target.weight), design)
    return weighted, np.linalg.inv(design.T @ weighted + np.diag(priors**-2.0))
