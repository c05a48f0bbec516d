"""The Gaussian prior on phi(r), the linear-Gaussian posterior, and the evidence that sets the prior's strength.

Model: t = J theta + noise, noise ~ N(0, Σ), theta ~ N(0, P^-1), solved in x with theta = R x, R R' = P^-1, of unit
variance. Formulas and their source are in docs/theory/errors.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, cho_solve, solve_triangular

from refine.potentials.correction import PairCorrection

Array = NDArray[np.float64]

STEEPNESS_LIMIT = 30.0
"""How many times wider than elsewhere, at the most, the prior is where the system repels."""

FADINGS = (0.0, 0.25, 0.5, 1.0)
"""Rates, 1/Å, at which what a base model gets wrong may fade with distance; the first one: not at all."""

FADED = 0.1
"""Share of the amplitude that is left far away, where it fades."""

JITTER = 1e-6
"""Independent part of the prior's variance, relative; keeps a smooth Gaussian process invertible."""

AMPLITUDE, AMPLITUDE_DECADES = 0.2, 0.5
"""Prior on an amplitude: median in kT and width in decades. A base model worth correcting is off by tenths of kT; where
the data say little, the evidence alone would let an amplitude, and the error bars with it, collapse to nothing."""

ALIKE = 0.8
"""Correlation of the logarithms of two pairs' amplitudes in that prior, a factor of two between them: a base model that
is wrong by kTs in two pairs is no good guide to the third, whose band would be a tenth of kT where the data say little
of it."""


@dataclass(frozen=True)
class SmoothnessPrior:
    """A Gaussian process on phi(r) of each corrected pair, written for the spline coefficients.

    cov(theta_k, theta_l) = a^2 p(r_k) p(r_l) exp(-(r_k - r_l)^2 / 2 length^2), r_k the spline centres (a coefficient
    is the spline's value to second order in the knot spacing), p(r) = 1 + clip(-ln g(r), 0, 30) inside the first
    shell: where atoms are squeezed apart by several kT, a correction of several kT is as likely as one of a part of a
    kT elsewhere. g is the base model's own, so this needs nothing of the base but its sample. From the first g = 1
    outwards, at r_1, p(r) = 1, or where corrections fade at a rate k, p(r) = 0.1 + 0.9 exp(-k^2 (r - r_1)^2 / 2).

    A correction that changes with temperature has the same prior, with amplitudes of their own, on phi_1.

    Attributes:
        correlation: (terms * pairs, size, size), the above with a = 1, for the active pairs, term after term.
        terms: of the correction.
        beyond: (terms * pairs, size) Å, of the spline centres from r_1 outwards; 0 inside, and of pairs whose g does
            not reach one.

    >>> from refine.potentials.correction import SplineBasis
    >>> phi = PairCorrection.zero((("Ar", "Ar"),), SplineBasis(2.0, 8.0, 12), stiffness=7.0)
    >>> r = np.arange(0.05, 10.0, 0.1)
    >>> prior = SmoothnessPrior.build(phi, r, 1.0 * (r > 3.0)[None], length=1.0)
    >>> prior.correlation.shape, prior.correlation[0, -1, -3:].round(3).tolist()
    ((1, 12, 12), [0.607, 0.882, 1.0])
    >>> prior.faded(0.5).correlation[0, -1, -3:].round(3).tolist()
    [0.056, 0.061, 0.052]
    """

    correlation: Array
    terms: int
    beyond: Array

    @cached_property
    def root(self) -> Array:
        """Lower Cholesky factor of the prior covariance at amplitude one, (len(theta), len(theta))."""
        return np.asarray(block_diag(*np.linalg.cholesky(self.correlation)))

    @classmethod
    def build(
        cls, correction: PairCorrection, centres: Array, g: Array, length: float, *, squeezed: bool = True
    ) -> SmoothnessPrior:
        """From the base's g (all pairs, bins) at bin centres (Å) and a correlation length (Å).

        squeezed: whether it is wider inside the first shell.
        """
        r = correction.basis.centres
        kernel = np.exp(-((r[:, None] - r) ** 2) / (2.0 * length**2)) + JITTER * np.eye(len(r))
        blocks, beyond = [], []
        for p in correction.active_pairs:
            reached = bool(np.any(g[p] >= 1.0))
            shell = centres[int(np.argmax(g[p] >= 1.0))] if reached else 0.0
            profile = _profile(r, centres, g[p], shell) if squeezed else np.ones_like(r)
            blocks.append(profile[:, None] * profile * kernel)
            beyond.append(reached * np.maximum(r - shell, 0.0))
        return cls(np.array(blocks * correction.terms), correction.terms, np.array(beyond * correction.terms))

    def faded(self, rate: float, which: NDArray[np.bool_] | None = None) -> SmoothnessPrior:
        """With corrections that fade at a rate, 1/Å; which: (terms * pairs,) of them, default all."""
        rates = rate * (np.ones(len(self.beyond)) if which is None else which)
        profile = FADED + (1.0 - FADED) * np.exp(-0.5 * (rates[:, None] * self.beyond) ** 2)
        return replace(self, correlation=profile[:, :, None] * profile[:, None, :] * self.correlation)

    def scaled_root(self, amplitude: Array) -> Array:
        """Lower Cholesky factor of the prior covariance for amplitudes (terms * pairs,) in eV."""
        return self.root * np.repeat(amplitude, self.correlation.shape[1])


def _profile(r: Array, centres: Array, g: Array, shell: float) -> Array:
    """p(r) of `SmoothnessPrior` where nothing fades: wide inside the first shell."""
    repulsion = -np.log(np.maximum(np.interp(r, centres, g), np.exp(-STEEPNESS_LIMIT)))
    return np.where(r < shell, 1.0 + np.clip(repulsion, 0.0, STEEPNESS_LIMIT), 1.0)


@dataclass(frozen=True)
class Posterior:
    """Mean and covariance of the parameters.

    Attributes:
        mean: mu, (k,).
        covariance: C, (k, k).
        determined: Σ s^2 / (1 + s^2) over the singular values s of Σ^-1/2 J P^-1/2: how many directions the data set.
    """

    mean: Array
    covariance: Array
    determined: float


@dataclass(frozen=True)
class NormalEquations:
    """J'Σ^-1 J, J'Σ^-1 t, t'Σ^-1 t and ln|Σ|: all that posterior and evidence need of the data.

    >>> one = NormalEquations.build(np.ones((2, 1)), np.array([1.0, 3.0]), np.eye(2))
    >>> one.gram.tolist(), (one + one).projection.tolist()
    ([[2.0]], [8.0])
    """

    gram: Array
    projection: Array
    square: float
    log_noise: float

    @classmethod
    def build(cls, jacobian: Array, target: Array, noise: Array) -> NormalEquations:
        """From J (n, k), t (n,) and the noise covariance Σ (n, n)."""
        lower = np.linalg.cholesky(noise)
        jw = solve_triangular(lower, jacobian, lower=True)
        tw = solve_triangular(lower, target, lower=True)
        return cls(jw.T @ jw, jw.T @ tw, float(tw @ tw), 2.0 * float(np.log(np.diag(lower)).sum()))

    def in_units_of(self, root: Array) -> NormalEquations:
        """For parameters x with theta = root x."""
        return replace(self, gram=root.T @ self.gram @ root, projection=root.T @ self.projection)

    def unbiased(self, gram_noise: Array, root: Array) -> NormalEquations:
        """With J'Σ^-1 J as it would be if J were known exactly: for covariances, not for steps.

        An estimated J adds its own noise to J'Σ^-1 J, and the data would seem to determine what they cannot see. With
        e ~ N(J delta, Σ + Var(J) delta^2) the curvature of the likelihood is the Gram matrix less this noise wherever
        the misfit is noise. (For the mean the larger matrix serves as a ridge that keeps a noisy J from overshooting.)
        What then has no positive eigenvalue, in parameters of unit prior variance, counts as not determined. Source: W.
        A. Fuller, Measurement Error Models (Wiley, 1987), section 2.2.

        Args:
            gram_noise: (k, k), see `responses.protocol.Response.gram_noise`.
            root: (k, k) of the prior covariance at any amplitude.
        """
        values, vectors = np.linalg.eigh(root.T @ (self.gram - gram_noise) @ root)
        back = solve_triangular(root, vectors, lower=True, trans=1)  # root^-T V
        return replace(self, gram=(back * np.maximum(values, 0.0)) @ back.T)

    def __add__(self, other: NormalEquations) -> NormalEquations:
        """Independent data taken together."""
        return NormalEquations(
            self.gram + other.gram,
            self.projection + other.projection,
            self.square + other.square,
            self.log_noise + other.log_noise,
        )


def log_amplitude_prior(amplitudes: Array) -> float:
    """Logarithm of the prior density of the amplitudes (pairs,) of one term, kT, but for a constant.

    Normal in their logarithms, about `AMPLITUDE`, any two with the correlation `ALIKE` c: the inverse of their
    correlation matrix is (1 - c J / (1 + (n - 1) c)) / (1 - c), J of ones.

    >>> round(log_amplitude_prior(np.array([0.2 * 10**0.5])), 9)
    -0.5
    >>> both = log_amplitude_prior(np.array([2.0, 2.0]))  # two widths each: likelier than of one alone
    >>> round(both, 3), round(log_amplitude_prior(np.array([2.0, 0.2])), 3)
    (-2.222, -5.556)
    """
    off = np.log10(amplitudes / AMPLITUDE) / AMPLITUDE_DECADES
    common = ALIKE / (1.0 + ALIKE * (len(off) - 1)) * float(off.sum()) ** 2
    return -0.5 * (float(off @ off) - common) / (1.0 - ALIKE)


def log_evidence(normal: NormalEquations, root: Array) -> float:
    """ln p(t) + n/2 ln 2 pi under the prior N(0, R R'), R = root (k, k).

    t = 2 with a variance of 2, half of it the prior's, without the constant of the normal distribution:

    >>> normal = NormalEquations.build(np.ones((1, 1)), np.array([2.0]), np.ones((1, 1)))
    >>> bool(np.isclose(log_evidence(normal, np.ones((1, 1))), -0.5 * (4.0 / 2.0 + np.log(2.0))))
    True
    """
    factor, projection = _whitened(normal, root)
    misfit = normal.square - float(np.sum(solve_triangular(factor, projection, lower=True, check_finite=False) ** 2))
    return -float(np.log(np.diag(factor)).sum()) - 0.5 * (misfit + normal.log_noise)


class Evidence:
    """`log_evidence` as a function of the amplitudes of blocks of parameters, one of them tried at many values.

    With G and b those of parameters of unit amplitude, A = 1 + D G D, D the amplitudes: what depends on the amplitude a
    of one block is in the Schur complement of the others,

        1 + a^2 H,   H = G_pp - G_pr D_r A_rr^-1 D_r G_rp,   a c,   c = b_p - G_pr D_r A_rr^-1 D_r b_r

    so with the eigenvalues of H one Cholesky factor serves all of them.

    Args:
        unit: the normal equations at amplitudes of one.
        block: parameters that share an amplitude; what is beyond the last block has none.
    """

    def __init__(self, unit: NormalEquations, block: int) -> None:
        self._unit, self._block = unit, block

    def along(self, amplitudes: Array, index: int, grid: Array) -> Array:
        """With the amplitude of block `index` at every value of a grid (n,), the others as they are: (n,)."""
        gram, size = self._unit.gram, self._block
        scales = np.ones(len(gram))
        scales[: size * len(amplitudes)] = np.repeat(amplitudes, size)
        own = np.zeros(len(gram), bool)
        own[index * size : (index + 1) * size] = True
        others, d = gram[~own], scales[~own]
        rest = d[:, None] * others[:, ~own] * d
        rest[np.diag_indices_from(rest)] += 1.0
        lower = np.linalg.cholesky(rest)
        columns = np.column_stack([others[:, own], self._unit.projection[~own]]) * d[:, None]
        x = solve_triangular(lower, columns, lower=True, check_finite=False)
        values, vectors = np.linalg.eigh(gram[np.ix_(own, own)] - x[:, :-1].T @ x[:, :-1])
        along = (vectors.T @ (self._unit.projection[own] - x[:, :-1].T @ x[:, -1])) ** 2
        squares = np.asarray(grid, float)[:, None] ** 2
        stretched = 1.0 + squares * np.maximum(values, 0.0)
        misfit = self._unit.square - x[:, -1] @ x[:, -1] - np.sum(squares * along / stretched, axis=1)
        log_det = np.log(np.diag(lower)).sum() + 0.5 * np.log(stretched).sum(axis=1)
        return np.asarray(-log_det - 0.5 * (misfit + self._unit.log_noise))


def posterior(normal: NormalEquations, root: Array) -> Posterior:
    """The posterior of t = J theta + noise under the prior N(0, R R'), R = root (k, k).

    One parameter that is 2 ± 1 in the data, and 0 ± 1 in the prior:

    >>> normal = NormalEquations.build(np.ones((1, 1)), np.array([2.0]), np.ones((1, 1)))
    >>> one = posterior(normal, np.ones((1, 1)))
    >>> one.mean.round(6).tolist(), one.covariance.round(6).tolist(), round(one.determined, 6)
    ([1.0], [[0.5]], 0.5)
    """
    factor, projection = _whitened(normal, root)
    inverse = cho_solve((factor, True), np.eye(len(factor)))
    return Posterior(
        mean=root @ (inverse @ projection),
        covariance=root @ inverse @ root.T,
        determined=float(len(factor) - np.trace(inverse)),
    )


def _whitened(normal: NormalEquations, root: Array) -> tuple[Array, Array]:
    """Cholesky factor of I + R'GR, and R'J'Σ^-1 t: the problem in parameters of unit prior variance."""
    gram = root.T @ normal.gram @ root
    return np.asarray(np.linalg.cholesky(gram + np.eye(len(gram))), dtype=np.float64), root.T @ normal.projection


def band(correction: PairCorrection, covariance: Array, r: Array, temperature: float | None = None) -> Array:
    """Standard error of phi(r), eV: (active pairs, n) = sqrt(diag(B C B')), from the covariance of theta.

    temperature: K, where phi depends on it; default: the reference temperature, where phi is phi_0.

    >>> from refine.potentials.correction import SplineBasis
    >>> phi = PairCorrection.zero((("Ar", "Ar"),), SplineBasis(2.0, 8.0, 12), stiffness=7.0)
    >>> band(phi, 1e-4 * np.eye(12), np.array([4.0, 8.0])).round(4).tolist()
    [[0.0071, 0.0]]
    """
    factors = correction.factors(correction.reference if temperature is None else temperature)
    blocks = marginal(correction, covariance, factors)
    basis = correction.basis_values(r)
    active = enumerate(correction.active_pairs)
    return np.array([np.sqrt(np.einsum("nk,kl,nl->n", basis[p], blocks[k], basis[p])) for k, p in active])


def marginal(correction: PairCorrection, covariance: Array, factors: Array) -> Array:
    """Covariance of each pair's coefficients at factors (terms,) of the terms: (active pairs, size, size), eV^2."""
    terms, pairs, size = len(factors), len(correction.active_pairs), correction.basis.size
    split = covariance.reshape(terms, pairs, size, terms, pairs, size)
    return np.asarray(np.einsum("tpkupl,t,u->pkl", split, factors, factors))
