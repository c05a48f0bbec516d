"""g(r) of a liquid after a change of its pair potentials, from its own g(r) alone.

With ĥ_ij(k) the transforms of g - 1, w_ij = sqrt(ρ_i ρ_j) and S = 1 + w ĥ the matrix of partial structure factors,
the Ornstein-Zernike relation is S^-1 = 1 - w ĉ, and it defines the direct correlation functions c. Exact is also

    ln g = -βu + h - c + b

where b, the bridge functions, holds everything else, also whatever is not a sum of pair functions. The closure: keep
the b of the liquid (Y. Rosenfeld and N. W. Ashcroft, Phys. Rev. A 20, 1208 (1979), for why it may be kept; D. Levesque,
J. J. Weis and L. Reatto, Phys. Rev. Lett. 54, 451 (1985), for its use in the inverse problem). Then neither u nor b nor
c has to be known: when the potentials change by φ,

    g = g0 exp(-βφ + γ),   γ = Δh - Δc,   S^-1 = S0^-1 - w Δĉ.

A Coulomb tail is in S0. Δc is of short range, and zero beyond the range of g0 here. The equations are solved for γ by
Newton's method, along a path of smaller changes where the whole is too far, and the same matrix gives the derivative.

When not to use it: for a solid, or a liquid that is not in equilibrium; near the solution in a network, whose bridge
functions follow the potential.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct, dst
from scipy.linalg import hankel, lu_factor, lu_solve, toeplitz

from refine.errors import RefineError

Array = NDArray[np.float64]

SMALLEST = 0.02
"""Smallest eigenvalue of S0 that is believed: a charged melt has S_ZZ -> 0 for small k, where a sample is noise."""

STABLE = 1e-3
"""Smallest eigenvalue of S^-1 of a liquid that does not come apart."""

TAPER = 2.5
"""Å over which g0 - 1 goes to zero before the end of its range."""

COUNTED, CORE = 10.0, 0.03
"""Pairs in a bin, all frames together, above which its g is known; of the highest peak, where no counts are given."""

CORE_WIDTH, CORE_CURVATURE = 0.25, 0.3
"""Å: of the flank that ln g is continued inwards from, and over which its slope doubles at the latest."""

FORBIDDEN = -15.0
"""ln g of a continuation below which no change of a potential brings pairs."""

LOW = 2.0, 4.0
"""k in units of π/r_max: below the first, S0 is taken to be its mean up to the second. What g lacks beyond r_max, and
its noise, is larger than S0 there, and goes up and down once between the two."""

DILUTE = 0.5
"""Smallest eigenvalue of S0 at such k above which S follows there, to first order. Below it stays: the long waves of a
liquid hardly change, and their S0 is not known well enough to say by how much."""

SOFT = 0.7
"""Largest eigenvalue of S0 there above which a mixture might come apart. Nothing is asked of a salt, whose long waves
cost charge or volume: its S0 there is noise, for which steps would be refused."""

LONG = 1.1
"""1/Å: waves that are longer than any structure of a liquid; a small box has none, and nothing is said of them."""

DOUBT = 1.5
"""What S0^-1 of those wave vectors may be larger by than what is taken for it."""

TOLERANCE = 1e-9
STEPS = 5
"""Times that Newton's matrix is made at the most."""

SHORTEST = 0.05
"""Of the way to changed potentials, where Newton's method does not converge from one end to the other."""


class Demixing(RefineError):
    """No homogeneous liquid has these potentials."""


class Solution:
    """The liquid under changed potentials.

    Attributes:
        bphi: (pairs, n) βφ.
        g: (pairs, n).
        gamma: (pairs, n) the change of h - c.
    """

    def __init__(self, liquid: OrnsteinZernike, bphi: Array, g: Array, gamma: Array, s: Array) -> None:
        self.bphi, self.g, self.gamma = bphi, g, gamma
        self._liquid, self._s = liquid, s

    @cached_property
    def system(self) -> tuple[Array, tuple[Array, Array]]:
        """K, and the factors of 1 + K h: what derivatives follow from."""
        return self._liquid.factored(self.g, self._s)


class OrnsteinZernike:
    """A homogeneous liquid, known by its partial g(r).

    Args:
        g: (pairs, n) at the centres of n bins of equal width from zero, corrected for the box; pairs (0,0), (0,1), ...
        width: of a bin, Å.
        densities: (species,) atoms/Å^3.
        counts: (pairs, n) pairs that were counted in each bin, all frames together; None: g is exact.

    A dilute gas, in which nothing but two atoms meet, has g exp(-βφ):

    >>> r = 0.05 * (np.arange(200) + 0.5)
    >>> gas = OrnsteinZernike(np.ones((1, 200)), 0.05, [1e-6])
    >>> bump = 0.5 * np.exp(-((r - 4.0) ** 2))[None]
    >>> bool(np.allclose(gas.solve(bump).g, np.exp(-bump), atol=1e-4))
    True
    """

    def __init__(self, g: Array, width: float, densities: ArrayLike, counts: Array | None = None) -> None:
        self.width, self.bins = width, g.shape[1]
        self.grid = 2 * self.bins
        self.r = width * (np.arange(self.bins) + 0.5)
        self.k = np.pi * (np.arange(self.grid) + 0.5) / (self.grid * width)
        rho = np.asarray(densities, float)
        self.species = len(rho)
        self.pairs = [(i, j) for i in range(self.species) for j in range(i, self.species)]
        self.weight = np.array([np.sqrt(rho[i] * rho[j]) for i, j in self.pairs])
        fade = np.clip((self.r[-1] + 0.5 * width - self.r) / TAPER, 0.0, 1.0)
        tapered = 1.0 + (g - 1.0) * fade**2 * (3.0 - 2.0 * fade)
        self.log_g0 = log_g_with_core(tapered, width, counts)
        self.g0 = np.exp(self.log_g0)
        self.low = 0 if counts is None else int(np.searchsorted(self.k, LOW[0] * np.pi / (self.bins * width)))
        values, vectors = np.linalg.eigh(self._structure_of(self.g0, exact=counts is None))
        values = np.maximum(values, SMALLEST)
        self.dilute = bool(values[: self.low].min(initial=1.0) > DILUTE)
        reaches = LOW[1] * np.pi / (self.bins * width) < LONG
        self.soft = reaches and bool(values[: self.low].max(initial=0.0) > SOFT)
        # as of a salt, whose long waves have no charge: the structure factor of all atoms at fixed composition
        self.composition = np.sqrt(rho / rho.sum())
        first = int(np.searchsorted(self.k, np.pi / (self.bins * width))) if reaches else self.low
        self.long = slice(min(first, self.low), self.low)
        self.s0 = np.einsum("kia,ka,kja->kij", vectors, values, vectors)
        self.inverse0 = np.einsum("kia,ka,kja->kij", vectors, 1.0 / values, vectors)

    # ---- transforms

    def transform(self, f: Array) -> Array:
        """4π/k ∫ r f sin(kr) dr, (pairs, grid), Å^3, of functions (pairs, n) that are zero beyond."""
        padded = np.zeros((len(f), self.grid))
        padded[:, : self.bins] = self.r * f
        return np.asarray(2.0 * np.pi * self.width / self.k * dst(padded, type=4, axis=-1))

    def inverse(self, f: Array) -> Array:
        """1/(2π^2 r) ∫ k f sin(kr) dk on r, (pairs, n): the inverse of `transform`."""
        spacing = np.pi / (self.grid * self.width)
        return np.asarray(spacing / (4.0 * np.pi**2) * dst(self.k * f, type=4, axis=-1)[:, : self.bins] / self.r)

    def _matrices(self, f: Array) -> Array:
        """w f as symmetric matrices over species, (grid, species, species)."""
        matrices = np.zeros((self.grid, self.species, self.species))
        for (i, j), weight, row in zip(self.pairs, self.weight, f, strict=True):
            matrices[:, i, j] = matrices[:, j, i] = weight * row
        return matrices

    def _rows(self, matrices: Array) -> Array:
        """The inverse of `_matrices`."""
        return np.array([matrices[:, i, j] / w for (i, j), w in zip(self.pairs, self.weight, strict=True)])

    def _structure_of(self, g: Array, exact: bool) -> Array:
        """S (grid, species, species) of g (pairs, n)."""
        s = np.eye(self.species) + self._matrices(self.transform(g - 1.0))
        if not exact:
            end = int(np.searchsorted(self.k, LOW[1] * np.pi / (self.bins * self.width)))
            s[: self.low] = s[self.low : end].mean(axis=0)
        return s

    # ---- the equations

    def _structure(self, direct: Array) -> Array:
        """S (grid, species, species) when c changes by `direct` (pairs, n). Raises Demixing."""
        change, low = self._matrices(self.transform(direct)), self.low
        inverse = self.inverse0[low:] - change[low:]
        self._check(inverse)
        s0 = self.s0[:low]
        slow = s0 + s0 @ change[:low] @ s0 if self.dilute else s0
        return np.concatenate([slow, np.linalg.inv(inverse)])

    @staticmethod
    def _check(inverse: Array) -> None:
        """Raises Demixing where an S^-1 (..., species, species) is none of a liquid."""
        if np.linalg.eigvalsh(inverse)[:, 0].min(initial=1.0) < STABLE:
            raise Demixing("the liquid comes apart", where="the step", fix="shorten it")

    def _check_long(self, change: Array) -> None:
        """The same where S does not move, of w Δĉ in the longest waves that the box has: a liquid comes apart in them
        first, into two of other compositions, or into liquid and gas."""
        v, s0 = self.composition, self.s0[self.long]
        self._check((DOUBT / np.einsum("i,kij,j->k", v, s0, v) - np.einsum("i,kij,j->k", v, change, v))[:, None, None])
        if self.soft:
            self._check(DOUBT * self.inverse0[self.long] - change)

    def _residual(self, bphi: Array, gamma: Array) -> tuple[Array, Array, Array]:
        """What is not yet solved, (pairs, n), g and S."""
        g = np.exp(np.minimum(self.log_g0 - bphi + gamma, LARGEST))
        direct = g - self.g0 - gamma
        s = self._structure(direct)
        return self.inverse(self._rows(s - self.s0)) - direct - gamma, g, s

    def _response(self, s: Array) -> Array:
        """K = F^-1 (1 - L) F on the n bins, (pairs n, pairs n), with L the change of ĥ by ĉ: dĥ = S dĉ S.

        F^-1 λ F of a function λ of k has the elements [C(i - j) - C(i + j + 1)] r_j / (N r_i),
        C(d) = Σ_m λ_m cos(π (m + 1/2) d / N).
        """
        n, pairs = self.bins, len(self.pairs)
        s = np.concatenate([self.dilute * self.s0[: self.low], s[self.low :]])
        kernel = np.zeros((pairs, n, pairs, n))
        ratio = self.r[None, :] / self.r[:, None] / self.grid
        for p, (i, j) in enumerate(self.pairs):
            for q, (a, b) in enumerate(self.pairs):
                change = s[:, i, a] * s[:, b, j]
                if a != b:
                    change = change + s[:, i, b] * s[:, a, j]
                cosines = 0.5 * dct((p == q) - change * (self.weight[q] / self.weight[p]), type=2)
                kernel[p, :, q] = (toeplitz(cosines[:n]) - hankel(cosines[1 : n + 1], cosines[n : 2 * n])) * ratio
        return kernel.reshape(pairs * n, pairs * n)

    def solve(self, bphi: Array, start: Solution | None = None) -> Solution:
        """The liquid when potentials change by φ; bphi: βφ (pairs, n).

        start: of a potential near by; None: no change.

        Raises:
            Demixing: there is no homogeneous liquid there, or none was found on the way.
        """
        if not bphi.any():
            return self.unchanged
        step, at, solution = 1.0, 0.0, start or self.unchanged
        began = solution.bphi
        while True:
            share = min(step, 1.0 - at)
            try:
                solution = self._newton(began + (at + share) * (bphi - began), solution)
            except Demixing:
                step *= 0.5
                if step < SHORTEST:
                    raise
                continue
            at += share
            if at >= 1.0:
                return solution

    @cached_property
    def unchanged(self) -> Solution:
        """The liquid as it is."""
        zero = np.zeros_like(self.g0)
        return Solution(self, zero, self.g0, zero, self.s0)

    def factored(self, g: Array, s: Array) -> tuple[Array, tuple[Array, Array]]:
        """K and the factors of 1 + K h, minus the derivative of the residual by γ."""
        kernel = self._response(s)
        matrix = kernel * (g - 1.0).ravel()
        matrix[np.diag_indices_from(matrix)] += 1.0
        return kernel, lu_factor(matrix, overwrite_a=True, check_finite=False)

    def _newton(self, bphi: Array, near: Solution) -> Solution:
        """From the tangent of a solution near by. Its factors serve as long as they help, and are made again then."""
        gamma = near.gamma + self.slopes(near, (bphi - near.bphi)[:, :, None])[1][:, :, 0]
        factors, before, fresh = near.system[1], np.inf, 0
        while True:
            residual, g, s = self._residual(bphi, gamma)
            size = float(np.abs(residual * np.minimum(g, 1.0)).max())  # gamma counts only where there are atoms
            if size < TOLERANCE:
                # one step more, for derivatives by differences; no test of it, as rounding may be all that is left
                gamma = gamma + lu_solve(factors, residual.ravel(), check_finite=False).reshape(gamma.shape)
                _, g, s = self._residual(bphi, gamma)
                self._check_long(self._matrices(self.transform(g - self.g0 - gamma))[self.long])
                return Solution(self, bphi, g, gamma, s)
            if size > 0.3 * before:
                if fresh == STEPS or size > 10.0 * before:
                    raise Demixing("no liquid was found for these potentials", where="the step", fix="shorten it")
                factors, fresh = self.factored(g, s)[1], fresh + 1
            before = size
            gamma = gamma + lu_solve(factors, residual.ravel(), check_finite=False).reshape(gamma.shape)

    def slopes(self, solution: Solution, directions: Array) -> tuple[Array, Array]:
        """Derivatives of g and of γ, (pairs, n, m) each, by m changes of βφ, directions (pairs, n, m)."""
        kernel, factors = solution.system
        g = solution.g.reshape(-1, 1)
        flat = directions.reshape(len(g), -1)
        moved = lu_solve(factors, kernel @ (g * flat), check_finite=False)
        shape = (*solution.g.shape, directions.shape[2])
        return (g * (moved - flat)).reshape(shape), moved.reshape(shape)


LARGEST = 6.0
"""Of ln g, on the way."""


def log_g_with_core(g: Array, width: float, counts: Array | None = None) -> Array:
    """ln g (pairs, n), continued inwards by a parabola from where it is steep and known; 0 for a pair without atoms.

    Args:
        g: (pairs, n) in bins of equal width, Å.
        counts: (pairs, n) pairs that were counted in each, all frames together; None: g is exact.

    >>> r = 0.05 * (np.arange(200) + 0.5)
    >>> log_g = log_g_with_core((np.where(r < 3.0, 0.0, np.exp(-20.0 * (r - 3.4) ** 2)) + (r > 3.4))[None], 0.05)
    >>> bool(np.isfinite(log_g).all() and log_g[0, 0] < -50.0)
    True
    """
    return np.array([_continued(row, width, None if counts is None else counts[p]) for p, row in enumerate(g)])


def _continued(g: Array, width: float, counts: Array | None) -> Array:
    if not (g > 0.0).any():
        return np.zeros_like(g)
    log_g = np.log(np.maximum(g, 1e-12))
    highest = float(g.max())
    peak = int(np.argmax(g > 0.9 * highest))
    known = g > CORE * highest if counts is None else counts >= COUNTED
    unknown = np.flatnonzero(~known[:peak])
    if not len(unknown):
        return log_g
    first = int(unknown[-1]) + 1
    last = min(first + max(3, round(CORE_WIDTH / width)), max(peak, first + 3))
    flank = width * np.arange(last - first)
    weights = None if counts is None else np.sqrt(counts[first:last])
    curvature, slope = np.polyfit(flank, log_g[first:last], 2, w=weights)[:2] if len(flank) > 3 else (0.0, -1.0)
    if slope <= 0.0:  # no parabola of a flank
        curvature, slope = 0.0, max(float(log_g[last - 1] - log_g[first]) / float(flank[-1]), 0.0)
    inside = width * (first - np.arange(first))
    log_g[:first] = log_g[first] - slope * inside - max(-curvature, 0.5 * slope / CORE_CURVATURE) * inside**2
    forbidden = np.flatnonzero(log_g[:first] < FORBIDDEN)
    if len(forbidden):
        log_g[: forbidden[-1] + 1] = NOTHING
    return log_g


NOTHING = -200.0
"""ln g where there are never pairs."""
