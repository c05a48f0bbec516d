"""Pair functions of classical base potentials, each with its parameters for all pairs of species.

A form is a `UniformForm`; here are its formula, its slope, and how its parameters are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from refine.errors import InputError
from refine.potentials.classical.coulomb import Coulomb
from refine.potentials.classical.form import CLOSEST, PairwiseForm, Truncation, UniformForm, barrier
from refine.potentials.protocols import Array, Pairs


@dataclass(frozen=True)
class LennardJones(UniformForm):
    """4 epsilon [(sigma/r)^12 - (sigma/r)^6]. J. E. Lennard-Jones, Proc. R. Soc. A 106, 463 (1924).

    Attributes:
        epsilon, sigma: (pairs,), eV and Å.

    >>> argon = LennardJones.from_parameters(("Ar",), (("Ar", "Ar"),), {"epsilon": 0.0103, "sigma": 3.4}, 10.0)
    >>> argon.energy([3.4, 2 ** (1 / 6) * 3.4]).round(4).tolist()
    [[0.0, -0.0103]]
    """

    pairs: Pairs
    epsilon: Array
    sigma: Array
    cutoff: float
    truncation: Truncation = "switch"
    coulomb: Coulomb | None = None
    name: ClassVar[str] = "lennard-jones"
    formula: ClassVar[str] = "4 epsilon [(sigma/r)^12 - (sigma/r)^6]"
    scales: ClassVar[dict[str, str]] = {"epsilon": "eV"}
    lengths: ClassVar[dict[str, str]] = {"sigma": "Å"}

    @classmethod
    def from_parameters(
        cls,
        species: tuple[str, ...],
        pairs: Pairs,
        parameters: Mapping[str, Any],
        cutoff: float,
        *,
        truncation: Truncation = "switch",
        coulomb: Coulomb | None = None,
    ) -> Self:
        """From the study's [model.parameters]: `epsilon` and `sigma`, each a number or a table by species or "A-B".

        Unlike pairs that are not given combine by Lorentz (sigma, arithmetic mean) and Berthelot (epsilon, geometric
        mean).
        """
        cls.refuse_unknown(parameters)
        epsilon = _mixed(parameters, "epsilon", species, pairs, lambda a, b: float(np.sqrt(a * b)))
        sigma = _mixed(parameters, "sigma", species, pairs, lambda a, b: 0.5 * (a + b))
        return cls(pairs, epsilon, sigma, cutoff, truncation, coulomb)

    @property
    def inner(self) -> float:
        """Half the smallest sigma, Å: 16128 epsilon up the wall."""
        some = self.sigma[self.sigma > 0.0]
        return 0.5 * float(some.min()) if len(some) else super().inner

    def short(self, r: Array) -> tuple[Array, Array]:
        s6 = (self.sigma[:, None] / r) ** 6
        epsilon = self.epsilon[:, None]
        return 4.0 * epsilon * (s6**2 - s6), -24.0 * epsilon * (2.0 * s6**2 - s6) / r


@dataclass(frozen=True)
class BornMayer(PairwiseForm):
    """A exp(-r/rho). M. Born and J. E. Mayer, Z. Phys. 75, 1 (1932).

    Attributes:
        A, rho: (pairs,), eV and Å.

    >>> numbers = {"A": 1000.0, "rho": 0.3}
    >>> form = BornMayer.from_parameters(("Si", "O"), (("Si", "O"),), numbers, 8.0)
    >>> form.energy([0.8, 1.5, 2.1]).round(3).tolist()
    [[69.483, 6.738, 0.912]]
    """

    pairs: Pairs
    A: Array
    rho: Array
    cutoff: float
    truncation: Truncation = "switch"
    coulomb: Coulomb | None = None
    name: ClassVar[str] = "born-mayer"
    formula: ClassVar[str] = "A exp(-r/rho)"
    scales: ClassVar[dict[str, str]] = {"A": "eV"}
    lengths: ClassVar[dict[str, str]] = {"rho": "Å"}

    def short(self, r: Array) -> tuple[Array, Array]:
        wall = self.A[:, None] * np.exp(-r / self.rho[:, None])
        return wall, -wall / self.rho[:, None]


@dataclass(frozen=True)
class Buckingham(PairwiseForm):
    """A exp(-r/rho) - C/r^6. R. A. Buckingham, Proc. R. Soc. A 168, 264 (1938).

    It falls without end inside a barrier. Atoms that are driven over it (a random packing, a hot melt) end a run with
    an error that says so; `BuckinghamPatched` has no such hole.

    Attributes:
        A, rho, C: (pairs,), eV, Å and eV Å^6.

    >>> numbers = {"A": 18003.76, "rho": 0.2052, "C": 133.54}
    >>> form = Buckingham.from_parameters(("Si", "O"), (("Si", "O"),), numbers, 8.0)
    >>> form.energy([0.8, 1.5, 2.1]).round(3).tolist()
    [[-144.487, 0.318, -0.91]]
    """

    pairs: Pairs
    A: Array
    rho: Array
    C: Array
    cutoff: float
    truncation: Truncation = "switch"
    coulomb: Coulomb | None = None
    name: ClassVar[str] = "buckingham"
    formula: ClassVar[str] = "A exp(-r/rho) - C/r^6"
    scales: ClassVar[dict[str, str]] = {"A": "eV", "C": "eV Å^6"}
    lengths: ClassVar[dict[str, str]] = {"rho": "Å"}
    optional: ClassVar[tuple[str, ...]] = ("C",)

    def short(self, r: Array) -> tuple[Array, Array]:
        wall, well = self.A[:, None] * np.exp(-r / self.rho[:, None]), self.C[:, None] / r**6
        return wall - well, -wall / self.rho[:, None] + 6.0 * well / r


@dataclass(frozen=True)
class BuckinghamPatched(Buckingham):
    """A Buckingham with a harmonic repulsion inside its barrier.

    With w(r) = A exp(-r/rho) - C/r^6 + q_i q_j/r and its innermost maximum at b,

        w(r) = w(b) + |w''(b)| (b - r)^2 / 2      r < b

    and the short-range part there is this less q_i q_j / r. So nothing changes outside of b; energy and force are
    continuous; the force, which a Buckingham turns into an attraction inside of b, is its mirror image, a repulsion at
    all distances whatever the charges are; and there is no parameter. A harmonic repulsion in this place is that of
    K. Vollmayr, W. Kob and K. Binder, Phys. Rev. B 54, 15808 (1996). A pair without a maximum has no patch.

    >>> numbers = {"A": 18003.76, "rho": 0.2052, "C": 133.54}
    >>> form = BuckinghamPatched.from_parameters(("Si", "O"), (("Si", "O"),), numbers, 8.0)
    >>> form.energy([0.8, 1.5, 2.1]).round(3).tolist()
    [[36.941, 0.318, -0.91]]
    """

    name: ClassVar[str] = "buckingham-patched"
    formula: ClassVar[str] = "A exp(-r/rho) - C/r^6 (a parabola inside its barrier)"

    @cached_property
    def _patches(self) -> list[tuple[int, float, float, float]]:
        """Row, b, w(b), |w''(b)| of each pair that has a barrier."""
        r = np.arange(CLOSEST, self.cutoff, 0.005)
        slopes = self._plain(r)[1]
        patches = []
        for row in np.flatnonzero(self.interacting):
            at = barrier(slopes[row])
            if at is None:
                if slopes[row, 0] <= 0.0:
                    continue  # repulsive down to nothing
                raise InputError(
                    f"{'-'.join(self.pairs[row])} attracts at all distances: there is no barrier to patch",
                    where="[model.parameters]",
                    fix="give it a larger A",
                )
            low, high = r[at - 1], r[at]
            for _ in range(60):
                middle = 0.5 * (low + high)
                low, high = (middle, high) if self._plain(np.array([middle]))[1][row, 0] > 0.0 else (low, middle)
            step = 1e-4
            ends = self._plain(np.array([high - step, high + step]))[1][row]
            patches.append(
                (int(row), high, float(self._plain(np.array([high]))[0][row, 0]), abs(ends[1] - ends[0]) / (2 * step))
            )
        return patches

    def _plain(self, r: Array) -> tuple[Array, Array]:
        """Without the patch, with q_i q_j / r."""
        u, slope = super().short(r)
        if self.coulomb is not None:
            more = self.coulomb.bare(r)
            u, slope = u + more[0], slope + more[1]
        return u, slope

    def short(self, r: Array) -> tuple[Array, Array]:
        u, slope = super().short(r)
        bare = (np.zeros_like(u),) * 2 if self.coulomb is None else self.coulomb.bare(r)
        for row, b, top, stiffness in self._patches:
            inside, depth = r < b, b - r
            u[row] = np.where(inside, top + 0.5 * stiffness * depth**2 - bare[0][row], u[row])
            slope[row] = np.where(inside, -stiffness * depth - bare[1][row], slope[row])
        return u, slope


@dataclass(frozen=True)
class BuckinghamR24(PairwiseForm):
    """A exp(-r/rho) - C/r^6 + D/r^24: a Buckingham whose core is closed by a steep repulsion. A. Carré, S. Ispas,
    J. Horbach and W. Kob, Comput. Mater. Sci. 124, 323 (2016).

    Attributes:
        A, rho, C, D: (pairs,), eV, Å, eV Å^6 and eV Å^24.

    >>> numbers = {"A": 18003.76, "rho": 0.2052, "C": 133.54, "D": 10.0}
    >>> form = BuckinghamR24.from_parameters(("Si", "O"), (("Si", "O"),), numbers, 8.0)
    >>> form.energy([0.8, 1.5, 2.1]).round(3).tolist()
    [[1973.096, 0.319, -0.91]]
    """

    pairs: Pairs
    A: Array
    rho: Array
    C: Array
    D: Array
    cutoff: float
    truncation: Truncation = "switch"
    coulomb: Coulomb | None = None
    name: ClassVar[str] = "buckingham-r24"
    formula: ClassVar[str] = "A exp(-r/rho) - C/r^6 + D/r^24"
    scales: ClassVar[dict[str, str]] = {"A": "eV", "C": "eV Å^6", "D": "eV Å^24"}
    lengths: ClassVar[dict[str, str]] = {"rho": "Å"}

    def short(self, r: Array) -> tuple[Array, Array]:
        wall, well = self.A[:, None] * np.exp(-r / self.rho[:, None]), self.C[:, None] / r**6
        core = self.D[:, None] / r**24
        return wall - well + core, -wall / self.rho[:, None] + (6.0 * well - 24.0 * core) / r


@dataclass(frozen=True)
class BuckinghamTeter(PairwiseForm):
    """A exp(-r/rho) - C/r^6 beyond r0 and B/r^n + D r^2 within: a Buckingham whose hole is closed as D. M. Teter and
    after him J. Du and A. N. Cormack close it.

    Energy, slope and curvature are continuous at r0. With u, s = r0 u' and k = r0^2 u'' of the Buckingham there,

        n = (k - s) / (2u - s),     B = r0^n (2u - s) / (n + 2),     D = (n u + s) / (r0^2 (n + 2))

    Papers print B, D (negative) and n beside A, rho and C; they follow from r0, to the digits that it is printed with,
    and are no parameters here. A pair without r0 is the Buckingham alone.

    Attributes:
        A, rho, C, r0: (pairs,), eV, Å, eV Å^6 and Å.

    >>> numbers = {"A": 7060.0, "rho": 0.211, "C": 19.2, "r0": 0.99567}
    >>> form = BuckinghamTeter.from_parameters(("Mg", "O"), (("Mg", "O"),), numbers, 8.0)
    >>> form.energy([0.8, 1.5, 2.1]).round(3).tolist()
    [[94.72, 4.087, 0.112]]
    >>> B, D, n = form.inside
    >>> B.round(3).tolist(), D.round(4).tolist(), n.round(4).tolist()
    ([54.235], [-11.6995], [2.8398])
    """

    pairs: Pairs
    A: Array
    rho: Array
    C: Array
    r0: Array
    cutoff: float
    truncation: Truncation = "switch"
    coulomb: Coulomb | None = None
    name: ClassVar[str] = "buckingham-teter"
    formula: ClassVar[str] = "A exp(-r/rho) - C/r^6 (within r0 B/r^n + D r^2, B, D and n from r0)"
    scales: ClassVar[dict[str, str]] = {"A": "eV", "C": "eV Å^6", "r0": "Å"}
    lengths: ClassVar[dict[str, str]] = {"rho": "Å"}
    optional: ClassVar[tuple[str, ...]] = ("C", "r0")

    @cached_property
    def inside(self) -> tuple[Array, Array, Array]:
        """B (eV Å^n), D (eV/Å^2) and n, (pairs,) each, zero for a pair without r0; InputError where they would not
        repel."""
        B, D, n = np.zeros((3, len(self.pairs)))
        for row in np.flatnonzero(self.r0 > 0.0):
            A, rho, C, r0 = (float(getattr(self, name)[row]) for name in ("A", "rho", "C", "r0"))
            wall, well = A * np.exp(-r0 / rho), C / r0**6
            u, s, k = wall - well, -wall * r0 / rho + 6.0 * well, wall * (r0 / rho) ** 2 - 42.0 * well
            if not (2.0 * u > s and k > s):
                raise InputError(
                    f"{'-'.join(self.pairs[row])} = {r0:g} lies where the Buckingham turns over: nothing repels within",
                    where="[model.parameters] r0",
                    fix="give a larger r0, or a larger A or smaller C",
                )
            n[row] = (k - s) / (2.0 * u - s)
            B[row] = r0 ** n[row] * (2.0 * u - s) / (n[row] + 2.0)
            D[row] = (n[row] * u + s) / (r0**2 * (n[row] + 2.0))
        return B, D, n

    def short(self, r: Array) -> tuple[Array, Array]:
        wall, well = self.A[:, None] * np.exp(-r / self.rho[:, None]), self.C[:, None] / r**6
        B, D, n = (x[:, None] for x in self.inside)
        within, core = r < self.r0[:, None], B / r**n
        u = np.where(within, core + D * r**2, wall - well)
        return u, np.where(within, -n * core / r + 2.0 * D * r, -wall / self.rho[:, None] + 6.0 * well / r)


@dataclass(frozen=True)
class BornMayerHuggins(PairwiseForm):
    """A exp((sigma - r)/rho) - C/r^6 - D/r^8. M. L. Huggins and J. E. Mayer, J. Chem. Phys. 1, 643 (1933).

    C and D are both attractive where they are above zero, as F. G. Fumi and M. P. Tosi have them (LAMMPS' `born` has
    +D/r^8). It falls without end inside a barrier, as `Buckingham` does.

    Attributes:
        A, sigma, rho, C, D: (pairs,), eV, Å, Å, eV Å^6 and eV Å^8.

    >>> numbers = {"A": 0.211, "sigma": 2.755, "rho": 0.317, "C": 6.99, "D": 8.68}
    >>> form = BornMayerHuggins.from_parameters(("Na", "Cl"), (("Na", "Cl"),), numbers, 8.0)
    >>> form.energy([1.5, 2.1, 2.8]).round(3).tolist()
    [[10.105, 1.561, 0.166]]
    """

    pairs: Pairs
    A: Array
    sigma: Array
    rho: Array
    C: Array
    D: Array
    cutoff: float
    truncation: Truncation = "switch"
    coulomb: Coulomb | None = None
    name: ClassVar[str] = "born-mayer-huggins"
    formula: ClassVar[str] = "A exp((sigma - r)/rho) - C/r^6 - D/r^8"
    scales: ClassVar[dict[str, str]] = {"A": "eV", "C": "eV Å^6", "D": "eV Å^8"}
    lengths: ClassVar[dict[str, str]] = {"sigma": "Å", "rho": "Å"}
    optional: ClassVar[tuple[str, ...]] = ("C", "D")

    def short(self, r: Array) -> tuple[Array, Array]:
        wall = self.A[:, None] * np.exp((self.sigma[:, None] - r) / self.rho[:, None])
        sixth, eighth = self.C[:, None] / r**6, self.D[:, None] / r**8
        return wall - sixth - eighth, -wall / self.rho[:, None] + (6.0 * sixth + 8.0 * eighth) / r


@dataclass(frozen=True)
class Morse(PairwiseForm):
    """D {[1 - exp(-a (r - r0))]^2 - 1} + C/r^12. P. M. Morse, Phys. Rev. 34, 57 (1929); with the repulsion that keeps
    ions apart at high temperature, A. Pedone et al., J. Phys. Chem. B 110, 11780 (2006).

    Attributes:
        D, a, r0, C: (pairs,), eV, 1/Å, Å and eV Å^12.

    >>> numbers = {"D": 0.34, "a": 2.0, "r0": 2.1, "C": 1.0}
    >>> form = Morse.from_parameters(("Si", "O"), (("Si", "O"),), numbers, 8.0)
    >>> form.energy([0.8, 1.5, 2.1]).round(3).tolist()
    [[67.029, 1.498, -0.34]]
    """

    pairs: Pairs
    D: Array
    a: Array
    r0: Array
    C: Array
    cutoff: float
    truncation: Truncation = "switch"
    coulomb: Coulomb | None = None
    name: ClassVar[str] = "morse"
    formula: ClassVar[str] = "D {[1 - exp(-a (r - r0))]^2 - 1} + C/r^12"
    scales: ClassVar[dict[str, str]] = {"D": "eV", "C": "eV Å^12"}
    lengths: ClassVar[dict[str, str]] = {"a": "1/Å", "r0": "Å"}
    optional: ClassVar[tuple[str, ...]] = ("C",)

    def short(self, r: Array) -> tuple[Array, Array]:
        depth, a = self.D[:, None], self.a[:, None]
        e = np.exp(-a * (r - self.r0[:, None]))
        core = self.C[:, None] / r**12
        return depth * ((1.0 - e) ** 2 - 1.0) + core, 2.0 * depth * a * e * (1.0 - e) - 12.0 * core / r


FORMS: dict[str, type[UniformForm]] = {
    form.name: form
    for form in (
        LennardJones,
        BornMayer,
        BornMayerHuggins,
        Buckingham,
        BuckinghamPatched,
        BuckinghamR24,
        BuckinghamTeter,
        Morse,
    )
}
"""Forms by the name that a study has for them."""


def _mixed(
    parameters: Mapping[str, Any],
    key: str,
    species: tuple[str, ...],
    pairs: Pairs,
    combine: Callable[[float, float], float],
) -> Array:
    """One number for each pair from a number, a table by species, or a table by "A-B"."""
    where = f"[model.parameters] {key}"
    if key not in parameters:
        raise InputError("is missing", where=where, fix=f"give {key} as a number or a table by species")
    given = parameters[key]
    if isinstance(given, int | float):
        given = {element: given for element in species}
    known = set(species) | {f"{a}-{b}" for a, b in pairs} | {f"{b}-{a}" for a, b in pairs}
    for name, value in given.items():
        if name not in known:
            raise InputError(f"'{name}' is no species or pair of the system", where=where)
        # zero of an element without this interaction, such as the hydrogen of water
        depth = parameters.get("epsilon", 0.0)
        none = value == 0.0 and (depth.get(name) if isinstance(depth, Mapping) else depth) == 0.0
        if not (np.isfinite(value) and (value > 0.0 or none)):
            raise InputError(
                f"{name} = {value} is not above zero",
                where=where,
                fix="only what has no such interaction is zero: with epsilon = 0",
            )
    values = []
    for a, b in pairs:
        if f"{a}-{b}" in given or f"{b}-{a}" in given:
            values.append(float(given.get(f"{a}-{b}", given.get(f"{b}-{a}"))))
        elif a in given and b in given:
            values.append(float(combine(given[a], given[b])))
        else:
            raise InputError(
                f"no value for {a}-{b}", where=where, fix=f'give "{a}-{b}", or one for {a} and one for {b}'
            )
    return np.array(values)
