"""What the data determine: directions, species pairs and ranges, and whether the data sets agree with one another.

The directions are those of R^-1 C R^-T, R R' the prior covariance of theta and C the posterior one; the share that the
data decided at each r is 1 - (posterior variance)/(prior variance) of phi(r); two data sets contradict each other when
what one says of phi, prior included, does not predict the other, and the phi of the fit does not describe both.
docs/theory/errors.md has the formulas. Everything is linear about the last sample, so the numbers are those of small
corrections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from refine.curves.quantities import is_q_space
from refine.potentials.correction import PairCorrection
from refine.refinement.fitted import Combination, Determination, DeterminedData, DeterminedPair, Tension
from refine.refinement.inference.posterior import NormalEquations, Posterior, marginal, posterior
from refine.refinement.problem import Target

Array = NDArray[np.float64]

R_STEP = 0.05
"""Å between the points at which shares are given."""

DECIDED = 0.5
"""Share of the prior variance that the data must have removed for phi(r) to count as theirs."""

AT_LIMIT = 3.0
"""|phi| in prior standard deviations beyond which the prior holds the correction back."""

FEWEST_DIRECTIONS = 0.005
"""Singular values whose s^2/(1 + s^2) is smaller are left out of the table."""


@dataclass(frozen=True)
class Linearised:
    """One target as t = J theta + noise.

    Attributes:
        target: whose.
        jacobian: (n, len(theta)), curve units per eV.
        goal: t, (n,): residual + J theta_now.
        noise: (n, n): measurement, sampling, and the spread of the target's own scale and background.
        normal: its share of the normal equations, the noise of the Jacobian taken off.
        theta: theta_now, (len(theta),) eV.
        slope_variance: sampling variance (n,) of J delta, from delta.
    """

    target: Target
    jacobian: Array
    goal: Array
    noise: Array
    normal: NormalEquations
    theta: Array
    slope_variance: Callable[[Array], Array]

    def nyquist(self, length: float) -> float:
        """Directions that a curve can see at all of functions on a `length` (Å): Q_max length/pi; a number sees one.

        Q_max is the largest Q fitted; of a curve in r, whose points lie pi/Q_max apart, it follows from their spacing.
        """
        if len(self.goal) == 1:
            return 1.0
        in_q = is_q_space(self.target.quantity)
        q_max = float(self.target.x[-1] if in_q else np.pi / np.median(np.diff(self.target.x)))
        return float(q_max * length / np.pi)


def determination(
    correction: PairCorrection, curves: Sequence[Linearised], root: Array, covariance: Array, amplitudes: Array
) -> Determination:
    """Everything of the module docstring.

    Args:
        correction: the solution.
        curves: all targets, linear about it.
        root: R, (len(theta),) * 2, lower triangular.
        covariance: C of theta, eV^2.
        amplitudes: (terms * active pairs,) of the prior, eV.
    """
    reduced, directions = _decided(root, covariance)
    values = np.sqrt(reduced / (1.0 - reduced))
    normals = [curve.normal for curve in curves]
    alone = [posterior(normal, root) for normal in normals]
    return Determination(
        parameters=len(root),
        directions=float(reduced.sum()),
        singular_values=tuple(values[reduced > FEWEST_DIRECTIONS].tolist()),
        data=tuple(
            DeterminedData(
                name=curve.target.name,
                points=len(curve.goal),
                alone=one.determined,
                adds=max(0.0, float(reduced.sum()) - _without(normals, k, root)),
                nyquist=curve.nyquist(correction.basis.r_cut - float(correction.core.min())),
            )
            for k, (curve, one) in enumerate(zip(curves, alone, strict=True))
        ),
        pairs=_pairs(correction, root @ root.T, covariance, amplitudes),
        tension=_tension(curves, normals, alone, root, correction.theta),
        combinations=combinations((directions * reduced) @ directions.T, amplitudes),
    )


def singular_values(root: Array, covariance: Array) -> Array:
    """s_k, largest first, from the root of the prior covariance and the posterior covariance.

    Data that leave a quarter of the prior variance of the first parameter, and all of the second's:

    >>> singular_values(np.eye(2), np.diag([0.25, 1.0])).round(3).tolist()
    [1.732, 0.0]
    """
    shares = _decided(root, covariance)[0]
    return np.sqrt(shares / (1.0 - shares))


def _decided(root: Array, covariance: Array) -> tuple[Array, Array]:
    """Shares of the prior variance that the data removed, largest first, and their directions (columns), R^-1 theta."""
    whitened = solve_triangular(root, solve_triangular(root, covariance, lower=True).T, lower=True)
    kept, directions = np.linalg.eigh(0.5 * (whitened + whitened.T))
    return 1.0 - np.clip(kept, 1e-15, 1.0), directions


def combinations(decided: Array, amplitudes: Array) -> tuple[Combination, ...]:
    """Combinations of pairs and terms that the data see, best first.

    Eigenvectors of the (blocks, blocks) traces of `decided`'s blocks, one a pair and term: of all changes that go in
    the same proportions at every distance, in units of the prior, the first are determined in most directions.
    Where the prior's width changes with r, as it follows g(r), the weights of phi hold on the average only.

    Args:
        decided: I - R^-1 C R^-T, (len(theta),) * 2.
        amplitudes: (blocks,) of the prior.

    Data that see the sum of two pairs at both of two distances:

    >>> one, other = combinations(np.kron(np.full((2, 2), 0.5), np.eye(2)), np.array([0.1, 0.2]))
    >>> np.round(one.weights, 3).tolist(), round(one.directions, 3)
    ([0.5, 1.0], 2.0)
    >>> np.round(other.weights, 3).tolist(), round(other.directions, 3)
    ([-0.5, 1.0], 0.0)
    """
    blocks = len(amplitudes)
    traces = np.einsum("akbk->ab", decided.reshape(blocks, len(decided) // blocks, blocks, -1))
    directions, vectors = np.linalg.eigh(traces)
    found = []
    for count, vector in zip(directions[::-1], vectors.T[::-1], strict=True):
        phi = amplitudes * vector
        weights = phi / phi[np.argmax(np.abs(phi))]
        found.append(Combination(tuple(weights.tolist()), max(0.0, float(count))))
    return tuple(found)


def _without(normals: Sequence[NormalEquations], left_out: int, root: Array) -> float:
    """Directions that all data sets but one determine together."""
    rest = [normal for k, normal in enumerate(normals) if k != left_out]
    if not rest:
        return 0.0
    return posterior(_sum(rest), root).determined


def _sum(normals: Sequence[NormalEquations]) -> NormalEquations:
    total = normals[0]
    for normal in normals[1:]:
        total = total + normal
    return total


def _pairs(
    correction: PairCorrection, prior: Array, covariance: Array, amplitudes: Array
) -> tuple[DeterminedPair, ...]:
    """For every pair and term: r, share, and where the data decide; whether the prior holds phi back."""
    entries = []
    active = correction.active_pairs
    terms = [correction.coefficients] if correction.slope is None else [correction.coefficients, correction.slope]
    for t, coefficients in enumerate(terms):
        factors = np.eye(len(terms))[t]
        before, after = (marginal(correction, c, factors) for c in (prior, covariance))
        for k, p in enumerate(active):
            low, high = float(correction.core[p]), correction.basis.r_cut
            r = low + R_STEP * np.arange(int((high - low) / R_STEP))  # at r_cut itself phi is zero for both
            basis = correction.basis_values(r)[p]
            prior_variance = np.einsum("nk,kl,nl->n", basis, before[k], basis)
            variance = np.einsum("nk,kl,nl->n", basis, after[k], basis)
            share = np.clip(1.0 - variance / prior_variance, 0.0, 1.0)
            held = np.abs(basis @ coefficients[p]) / np.sqrt(prior_variance)
            worst = int(np.argmax(held))
            entries.append(
                DeterminedPair(
                    pair=correction.pairs[p],
                    term=t,
                    r=tuple(r.tolist()),
                    share=tuple(share.tolist()),
                    decided=_intervals(r, share >= DECIDED),
                    amplitude_eV=float(amplitudes[t * len(active) + k]),
                    at_limit=(float(r[worst]), float(held[worst])) if held[worst] > AT_LIMIT else None,
                )
            )
    return tuple(entries)


def _intervals(r: NDArray[np.floating], inside: NDArray[np.bool_]) -> tuple[tuple[float, float], ...]:
    """Ranges (low, high) of r in which a condition holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
    return tuple((float(r[a]), float(r[b - 1])) for a, b in zip(edges[::2], edges[1::2], strict=True))


def _tension(
    curves: Sequence[Linearised],
    normals: Sequence[NormalEquations],
    alone: Sequence[Posterior],
    root: Array,
    solution: Array,
) -> tuple[Tension, ...]:
    """How well every data set is predicted by each other one, and by all others together where there are more.

    solution: theta of the fit to all, eV.
    """
    entries = []
    left = [_chi2(curve.goal - curve.jacobian @ solution, curve.noise) for curve in curves]

    @cache
    def together(which: frozenset[int]) -> float:
        """chi^2 that the solution leaves of these, on their points less the directions that they determine."""
        points = sum(len(curves[k].goal) for k in which)
        free = points - posterior(_sum([normals[k] for k in which]), root).determined
        return chi2_sigma(sum(left[k] for k in which), max(1.0, free))

    for k, curve in enumerate(curves):
        givens: list[tuple[str | None, Posterior, frozenset[int]]] = [
            (other.target.name, alone[j], frozenset((k, j))) for j, other in enumerate(curves) if j != k
        ]
        if len(givens) > 1:
            rest = [normal for j, normal in enumerate(normals) if j != k]
            givens.append((None, posterior(_sum(rest), root), frozenset(range(len(curves)))))
        for name, given, all_of in givens:
            misfit = curve.goal - curve.jacobian @ given.mean
            spread = curve.noise + curve.jacobian @ given.covariance @ curve.jacobian.T
            spread += np.diag(curve.slope_variance(curve.theta - given.mean))
            chi2, n = _chi2(misfit, spread), len(misfit)
            entries.append(Tension(curve.target.name, name, chi2, n, chi2_sigma(chi2, n), together(all_of)))
    return tuple(entries)


def _chi2(misfit: Array, covariance: Array) -> float:
    return float(misfit @ cho_solve(cho_factor(covariance), misfit))


def chi2_sigma(chi2: float, n: float) -> float:
    """How many standard deviations a chi^2 on n degrees of freedom lies above its expectation (Wilson-Hilferty).

    >>> round(chi2_sigma(50.0, 50), 2), round(chi2_sigma(80.0, 50), 2)
    (0.07, 2.61)
    """
    width = 2.0 / (9.0 * n)
    return float(((chi2 / n) ** (1.0 / 3.0) - (1.0 - width)) / width**0.5)
