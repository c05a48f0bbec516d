"""Coulomb interaction of fixed charges: what of it is a pair function (docs/theory/potentials.md has the whole sums).

- "ewald": q_i q_j erfc(alpha r) / r, which goes into the pair table; the rest is `kernels.ewald.EwaldSum`. Ours and not
  jax-md's: its Ewald sum takes cubic boxes only, its particle mesh has splines of order four and so is far from 1e-6,
  and neither gives energies and virials of atoms.
- "dsf": damped shifted force, q_i q_j [erfc(alpha r)/r - erfc(alpha R)/R + s (r - R)] below the cutoff R, where s is
  minus the slope of erfc(alpha r)/r at R; nothing else. C. J. Fennell and J. D. Gezelter, J. Chem. Phys. 124, 234104
  (2006).

Either way an atom has an energy of its own, so that energies compare with those of other codes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfc

from refine.errors import InputError
from refine.units import COULOMB

if TYPE_CHECKING:
    from kernels.ewald import EwaldSum

Array = NDArray[np.float64]
Method = Literal["ewald", "dsf"]

TOLERANCE = 1e-6
"""What an Ewald sum leaves out: erfc(alpha r) at the cutoff, and exp(-k^2/4 alpha^2) at the largest wave vector."""

DAMPING = 0.25
"""1/Å, alpha of the damped shifted force where none is given."""

NEUTRAL = 1e-4
"""Total charge over the sum of all |q| up to which a cell counts as neutral; a uniform background takes what is left
(numbers of a study file have few digits)."""


@dataclass(frozen=True)
class Coulomb:
    """Charges of the species and how their interaction is summed.

    Attributes:
        species: element symbols.
        charges: (species,), in elementary charges.
        products: (pairs,), q_i q_j e^2 / (4 pi epsilon_0), eV Å.
        cutoff: Å, of the pair function.
        method: "ewald" or "dsf".
        alpha: 1/Å.
        tolerance: of an Ewald sum, see `TOLERANCE`.

    >>> pairs = (("Na", "Na"), ("Na", "Cl"), ("Cl", "Cl"))
    >>> salt = Coulomb.of(("Na", "Cl"), pairs, {"Na": 1.0, "Cl": -1.0}, 10.0, "ewald")
    >>> salt.bare(np.array([2.8]))[0].round(3).ravel().tolist()
    [5.143, -5.143, 5.143]
    """

    species: tuple[str, ...]
    charges: Array
    products: Array
    cutoff: float
    method: Method
    alpha: float
    tolerance: float = TOLERANCE

    @classmethod
    def of(
        cls,
        species: tuple[str, ...],
        pairs: tuple[tuple[str, str], ...],
        charges: Mapping[str, float],
        cutoff: float,
        method: Method,
        *,
        damping: float | None = None,
        tolerance: float = TOLERANCE,
    ) -> Coulomb:
        """charges: by species, each of them; damping: alpha of "dsf", 1/Å."""
        products = np.array([COULOMB * charges[a] * charges[b] for a, b in pairs])
        alpha = (damping or DAMPING) if method == "dsf" else _width(tolerance) / cutoff
        of_species = np.array([charges[name] for name in species])
        return cls(species, of_species, products, cutoff, method, alpha, tolerance)

    def bare(self, r: Array) -> tuple[Array, Array]:
        """q_i q_j / r and its derivative, (pairs, n)."""
        u = self.products[:, None] / r
        return u, -u / r

    def pair(self, r: ArrayLike) -> tuple[Array, Array]:
        """The pair function and its derivative, (pairs, n) eV and eV/Å."""
        r = np.asarray(r, float)
        u, slope = self._screened(r)
        if self.method == "dsf":
            end, end_slope = self._screened(np.array(self.cutoff))
            inside = r < self.cutoff
            u = np.where(inside, u - end - end_slope * (r - self.cutoff), 0.0)
            slope = np.where(inside, slope - end_slope, 0.0)
        return self.products[:, None] * u, self.products[:, None] * slope

    def _screened(self, r: Array) -> tuple[Array, Array]:
        u = erfc(self.alpha * r) / r
        return u, -u / r - 2.0 * self.alpha / math.sqrt(math.pi) * np.exp(-((self.alpha * r) ** 2)) / r

    def self_energy(self) -> Array:
        """(species,) eV, of "dsf": what an atom of each species has by itself, as LAMMPS and jax-md count it,

        -q^2 [(v - v' R) / 2 + alpha / sqrt(pi)],       v = erfc(alpha R) / R, v' its slope
        """
        end, slope = self._screened(np.array(self.cutoff))
        constant = float(end - slope * self.cutoff) / 2.0 + self.alpha / math.sqrt(math.pi)
        return -constant * COULOMB * self.charges**2

    def check_neutral(self, n_per_species: tuple[int, ...]) -> None:
        """InputError where a cell with so many atoms of each species has a charge (see `NEUTRAL`)."""
        each = self.charges * np.array(n_per_species)
        total, size = float(each.sum()), float(np.abs(each).sum())
        if abs(total) > NEUTRAL * size:
            raise InputError(
                f"the box has a charge of {total:+.4g} e: "
                + ", ".join(
                    f"{n} {a} of {q:+g}" for a, n, q in zip(self.species, n_per_species, self.charges, strict=True)
                ),
                where="[model] charges",
                fix=self._remedy(each),
            )

    def _remedy(self, each: Array) -> str:
        """Cations scaled to the charge of the anions: every one takes its share of the electrons that are missing."""
        positive, negative = float(each[each > 0].sum()), float(each[each < 0].sum())
        if positive == 0.0 or negative == 0.0:
            return 'give charges of both signs, or coulomb = "none"'
        scaled = np.where(self.charges > 0, -self.charges * negative / positive, self.charges)
        table = ", ".join(f"{name} = {q:.7g}" for name, q in zip(self.species, scaled, strict=True))
        return f"change the composition, or spread the difference over the cations: charges = {{ {table} }}"

    def reciprocal(self, n_per_species: tuple[int, ...], cell: Array) -> EwaldSum:
        """The rest of an Ewald sum for the atoms of a cell (3, 3) Å, sorted by species."""
        from kernels.ewald import EwaldSum  # with jax, which reading a study does without

        charges = np.repeat(self.charges, n_per_species) * math.sqrt(COULOMB)
        return EwaldSum.for_cell(charges, cell, self.alpha, 2.0 * self.alpha * math.sqrt(-math.log(self.tolerance)))


def _width(tolerance: float) -> float:
    """x with erfc(x) = tolerance."""
    from scipy.special import erfcinv

    return float(erfcinv(tolerance))
