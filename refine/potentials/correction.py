"""The pair correction: a cubic B-spline per species pair, linear in its coefficients, walled where no atoms are.

For one species pair

    phi(r) = Σ_k theta_k B_k(r) + w(r)               r >= core:  B_k a cardinal cubic B-spline
    B_k(r) = B_k(core) + (r - core) B_k'(core)       r <  core:  value and slope go on in a straight line
    w(r) = stiffness (wall - r)^2 / 2                r <  wall:  else 0; wall <= core

and, where it may change with temperature (`PairCorrection.slope`), theta = theta_0 + (T - T_0)/span theta_1: phi_0 and
phi_1 on one basis. docs/theory/response.md says why. With a stiffness of 1000 kT/Å^2 an attractive slope of 30 kT/Å is
turned around within 0.03 Å of the wall. No correction yet (`PairCorrection.zero`) has no wall either.

Everything here is float64 numpy; `refine.potentials.pairs.PairForceField` turns it into device tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refine.errors import InputError

Array = NDArray[np.float64]


def bin_average(function: Callable[[Array], Array], edges: Array) -> Array:
    """Averages over bins with weight r^2, (pairs, bins, ...), of a function of r (n,) Å that answers (pairs, n, ...).

    Five Gauss-Legendre points a bin.

    >>> float(bin_average(lambda r: r[None], np.array([0.0, 2.0]))[0, 0].round(6))  # ∫ r^3 dr / ∫ r^2 dr
    1.5
    """
    nodes, weights = np.polynomial.legendre.leggauss(5)
    low, high = edges[:-1, None], edges[1:, None]
    r = 0.5 * (low + high) + 0.5 * (high - low) * nodes
    w = weights * r**2
    values = function(r.ravel())
    values = values.reshape(len(values), *r.shape, *values.shape[2:])
    averages: Array = np.einsum("pbq...,bq->pb...", values, w / w.sum(axis=1, keepdims=True))
    return averages


@dataclass(frozen=True)
class SplineBasis:
    """`size` cardinal cubic B-splines on [r_min, r_cut], all vanishing with slope and curvature at r_cut.

    Knot spacing h = (r_cut - r_min)/size; spline k is centred at r_min + (k - 1) h and is nonzero within 2 h of it, so
    every cubic spline on these knots with phi = phi' = phi'' = 0 at r_cut is a combination of them.

    >>> basis = SplineBasis(2.0, 8.0, 12)
    >>> basis.spacing
    0.5
    >>> basis.values([3.0, 8.0]).sum(axis=1).round(12).tolist()
    [1.0, 0.0]
    """

    r_min: float
    r_cut: float
    size: int

    def __post_init__(self) -> None:
        if not 0.0 <= self.r_min < self.r_cut:
            raise InputError(
                f"r_min = {self.r_min:g} Å must lie between 0 and r_cut = {self.r_cut:g} Å", where="[correction]"
            )
        if self.size < 4:
            raise InputError(f"knots = {self.size} is fewer than 4", where="[correction]", fix="use 4 or more")

    @property
    def spacing(self) -> float:
        """Knot spacing h, Å."""
        return (self.r_cut - self.r_min) / self.size

    @property
    def centres(self) -> Array:
        """Spline centres (size,), Å."""
        return self.r_min + self.spacing * (np.arange(self.size, dtype=np.float64) - 1.0)

    @property
    def knots(self) -> Array:
        """Knots (size + 1,) from r_min to r_cut, Å."""
        return self.r_min + self.spacing * np.arange(self.size + 1, dtype=np.float64)

    def values(self, r: ArrayLike) -> Array:
        """B_k(r): (n, size), dimensionless, for distances r (n,) in Å."""
        x = np.abs((np.asarray(r, float)[:, None] - self.centres) / self.spacing)
        return np.where(x < 1.0, 2.0 / 3.0 - x**2 + x**3 / 2.0, np.where(x < 2.0, (2.0 - x) ** 3 / 6.0, 0.0))

    def derivatives(self, r: ArrayLike) -> Array:
        """dB_k/dr: (n, size), 1/Å, for distances r (n,) in Å."""
        u = (np.asarray(r, float)[:, None] - self.centres) / self.spacing
        x = np.abs(u)
        slope = np.where(x < 1.0, -2.0 * x + 1.5 * x**2, np.where(x < 2.0, -((2.0 - x) ** 2) / 2.0, 0.0))
        return np.sign(u) * slope / self.spacing

    def sums(self, coefficients: Array, r: Array) -> tuple[Array, Array]:
        """Σ_k c_k B_k(r) and its derivative by r, (n,) each, for coefficients (size,) and distances r (n,) in Å.

        Of the four splines alone that are not zero at a distance: the time does not grow with `size`.
        """
        x = (r - self.r_min) / self.spacing
        cell = np.clip(np.floor(x), -4, self.size).astype(np.int64)  # beyond, all four are zero
        t = x - cell
        first, second, third, fourth = np.pad(coefficients, 4)[cell + np.arange(4, 8)[:, None]]
        b, c, d = (third - first) / 2, (first + third) / 2 - second, (fourth - first) / 6 + (second - third) / 2
        value = (first + 4.0 * second + third) / 6 + t * (b + t * (c + t * d))
        return value, (b + t * (2.0 * c + 3.0 * t * d)) / self.spacing


@dataclass(frozen=True)
class PairCorrection:
    """phi(r) for every species pair; immutable, `with_theta` gives the changed one.

    Attributes:
        pairs: all species pairs of the system, i <= j.
        active: which of them are corrected; the others have phi = 0 and no wall.
        basis: the splines, the same for every pair.
        coefficients: theta_0, (pairs, basis.size), eV; zero for pairs that are not active.
        core: (pairs,), Å; below it phi is a straight line.
        wall: (pairs,), Å, at most `core`; below it a harmonic repulsion is added. 0: there is none.
        stiffness: of the wall, eV/Å^2.
        slope: theta_1, (pairs, basis.size), eV: the change of theta when the temperature rises by `span`; None: phi is
            the same at all temperatures. `energy` and the like are those at `reference`; `at` gives the others.
        reference, span: T_0 and the unit of (T - T_0), K.

    >>> phi = PairCorrection.zero((("Ar", "Ar"),), SplineBasis(2.0, 8.0, 12), stiffness=7.0)
    >>> phi = phi.with_theta(np.full(12, 0.01)).with_core([3.0])
    >>> phi.energy([2.9, 4.0, 8.0]).round(4).tolist()
    [[0.045, 0.01, 0.0]]
    """

    pairs: tuple[tuple[str, str], ...]
    active: tuple[bool, ...]
    basis: SplineBasis
    coefficients: Array
    core: Array
    wall: Array
    stiffness: float
    slope: Array | None = None
    reference: float = 0.0
    span: float = 1.0

    @classmethod
    def zero(
        cls,
        pairs: tuple[tuple[str, str], ...],
        basis: SplineBasis,
        *,
        active: tuple[bool, ...] | None = None,
        stiffness: float,
        temperatures: tuple[float, float] | None = None,
    ) -> PairCorrection:
        """No correction yet: all coefficients zero, the core at r_min, and no wall.

        temperatures: (T_0, span) of a correction that changes with temperature.
        """
        nothing = np.zeros((len(pairs), basis.size))
        reference, span = temperatures or (0.0, 1.0)
        return cls(
            pairs,
            active if active is not None else (True,) * len(pairs),
            basis,
            nothing,
            np.full(len(pairs), basis.r_min),
            np.zeros(len(pairs)),
            stiffness,
            None if temperatures is None else nothing,
            reference,
            span,
        )

    @property
    def terms(self) -> int:
        """1, or 2 where phi changes with temperature."""
        return 1 if self.slope is None else 2

    @property
    def theta(self) -> Array:
        """The free parameters: coefficients of the active pairs, term after term, (terms * active * size,), eV."""
        parts = (self.coefficients,) if self.slope is None else (self.coefficients, self.slope)
        return np.concatenate([part[list(self.active)].ravel() for part in parts])

    def factors(self, temperature: float) -> Array:
        """(terms,): what each term of theta is multiplied by at a temperature (K), 1 and (T - T_0)/span."""
        return np.array([1.0, (temperature - self.reference) / self.span][: self.terms])

    def at(self, temperature: float) -> PairCorrection:
        """phi at a temperature (K), as a correction that no longer depends on it.

        >>> pairs, basis = (("Ar", "Ar"),), SplineBasis(2.0, 8.0, 12)
        >>> phi = PairCorrection.zero(pairs, basis, stiffness=7.0, temperatures=(100.0, 200.0))
        >>> phi.terms, phi.factors(150.0).tolist(), phi.at(150.0).terms
        (2, [1.0, 0.25], 1)
        """
        if self.slope is None:
            return self
        coefficients = self.coefficients + self.factors(temperature)[1] * self.slope
        return replace(self, coefficients=coefficients, slope=None)

    @property
    def active_pairs(self) -> tuple[int, ...]:
        """Indices of the corrected pairs in `pairs`."""
        return tuple(np.flatnonzero(self.active))

    def with_theta(self, theta: Array) -> PairCorrection:
        """The same correction with other free parameters (terms * active * size,), eV."""
        parts = np.zeros((self.terms, *self.coefficients.shape))
        parts[:, list(self.active)] = np.reshape(theta, (self.terms, -1, self.basis.size))
        return replace(self, coefficients=parts[0], slope=None if self.slope is None else parts[1])

    def with_core(self, core: ArrayLike, wall: ArrayLike | None = None) -> PairCorrection:
        """The same coefficients with the straight line from `core` (pairs,), Å, inwards (kept within the splines'
        range), and the wall from `wall` (pairs,), Å, which is no further out; None: from the core."""
        limits = self.basis.r_min, self.basis.r_cut - 2.0 * self.basis.spacing
        clipped = np.clip(np.asarray(core, float), *limits)
        start = clipped if wall is None else np.minimum(np.asarray(wall, float), clipped)
        return replace(self, core=clipped, wall=start)

    def basis_values(self, r: ArrayLike) -> Array:
        """d phi/d theta, straight line below the core included: (pairs, n, size), dimensionless."""
        return _basis_values(self.basis, self.core, np.asarray(r, float))

    def basis_derivatives(self, r: ArrayLike) -> Array:
        """d^2 phi/d theta dr, straight line below the core included: (pairs, n, size), 1/Å."""
        r = np.asarray(r, float)
        return np.array([self.basis.derivatives(np.maximum(r, core)) for core in self.core])

    def binned_basis(self, edges: Array) -> Array:
        """d phi/d theta averaged over bins with weight r^2 (uniform density within a bin): (pairs, bins, size).

        With it N_k = Σ_bins h B_k is exact for a g(r) that is flat within each bin.

        >>> phi = PairCorrection.zero((("Ar", "Ar"),), SplineBasis(2.0, 8.0, 12), stiffness=7.0)
        >>> phi.binned_basis(np.linspace(0.0, 8.0, 81)).shape
        (1, 80, 12)
        """
        return _binned_basis(self.basis, tuple(self.core.tolist()), np.asarray(edges, float).tobytes())

    def energy(self, r: ArrayLike) -> Array:
        """phi(r): (pairs, n), eV."""
        splines: Array = np.einsum("pnk,pk->pn", self.basis_values(r), self.coefficients)
        return splines + self.repulsion(r)[0]

    def derivative(self, r: ArrayLike) -> Array:
        """d phi/dr: (pairs, n), eV/Å."""
        splines: Array = np.einsum("pnk,pk->pn", self.basis_derivatives(r), self.coefficients)
        return splines + self.repulsion(r)[1]

    def continued(self, r: ArrayLike) -> tuple[Array, Array]:
        """`energy` and `derivative`, to rounding, many times faster: phi is finite everywhere."""
        r = np.asarray(r, float)
        energy, derivative = self.repulsion(r)
        for p, core in enumerate(self.core):
            inside = np.maximum(r, core)
            value, slope = self.basis.sums(self.coefficients[p], inside)
            energy[p] += value + (r - inside) * slope
            derivative[p] += slope
        return energy, derivative

    def repulsion(self, r: ArrayLike) -> tuple[Array, Array]:
        """Energy of the wall and its derivative by r, (pairs, n) eV and eV/Å; zero for pairs that are not active."""
        depth = np.maximum(self.wall[:, None] - np.asarray(r, float), 0.0) * np.array(self.active)[:, None]
        return 0.5 * self.stiffness * depth**2, -self.stiffness * depth

    @property
    def cutoff(self) -> float:
        """Å."""
        return self.basis.r_cut

    @property
    def inner(self) -> float:
        """Å; phi is finite everywhere."""
        return 0.0


def _basis_values(basis: SplineBasis, cores: Iterable[float], r: Array) -> Array:
    values = []
    for core in cores:
        inside = np.maximum(r, core)
        values.append(basis.values(inside) + (r - inside)[:, None] * basis.derivatives(inside))
    return np.array(values)


@lru_cache(maxsize=16)
def _binned_basis(basis: SplineBasis, cores: tuple[float, ...], edges: bytes) -> Array:
    """An update asks for the same one many times; read-only, as it is shared."""
    averages = bin_average(lambda r: _basis_values(basis, cores, r), np.frombuffer(edges))
    averages.flags.writeable = False
    return averages
