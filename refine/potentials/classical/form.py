"""What all pair functions of classical base potentials have in common: how they end, begin, and carry charges.

docs/theory/potentials.md has a table of them.

A form is a frozen dataclass whose arrays (pairs,) are what `refine.potentials.classical.parameters.ClassicalParameters`
may refine. All add up the same way:

    u(r) = short(r) * switch(r) + Coulomb pair function

with truncation "switch": the short-range part is multiplied by 1 - x^2 (3 - 2x) over the last 0.5 Å before the cutoff,
x the fraction of the way, so that energy and force are continuous; "none": it ends at the cutoff as it stands.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refine.errors import InputError
from refine.potentials.classical.coulomb import Coulomb
from refine.potentials.protocols import Array, Pairs, Terms

SWITCH_WIDTH = 0.5
"""Å over which a truncated pair function is brought to zero with zero slope."""

WALL = 100.0
"""eV: a pair function that is tabulated from here on (`PairForm.inner`) has room for whatever atoms do."""

CLOSEST = 0.1
"""Å; pair functions are looked at from here on."""

Truncation = Literal["switch", "none"]


class PairForm(ABC):
    """Sums of pair functions, which have the attributes below and their own `short`.

    Attributes:
        pairs: species pairs i <= j.
        cutoff: Å.
        truncation: see the module.
        coulomb: of the charges, or None.
    """

    name: ClassVar[str]

    pairs: Pairs
    cutoff: float
    truncation: Truncation
    coulomb: Coulomb | None

    @abstractmethod
    def short(self, r: Array) -> tuple[Array, Array]:
        """The short-range part without end, and its derivative, (pairs, n)."""

    @property
    @abstractmethod
    def interacting(self) -> NDArray[np.bool_]:
        """(pairs,) whether there is any short-range part; the other parameters of a pair without one mean nothing."""

    def energy(self, r: ArrayLike) -> Array:
        """Pair energies (pairs, n), eV, at r (n,) Å: what is tabulated, without the reciprocal part of an Ewald sum."""
        return self._tabulated(np.asarray(r, float))[0]

    def derivative(self, r: ArrayLike) -> Array:
        """d(energy)/dr (pairs, n), eV/Å, at r (n,) Å."""
        return self._tabulated(np.asarray(r, float))[1]

    def interaction(self, r: ArrayLike) -> Array:
        """Energies (pairs, n), eV, of two atoms alone at r (n,) Å: with q_i q_j / r in full where an Ewald sum is."""
        r = np.asarray(r, float)
        if self.coulomb is None or self.coulomb.method != "ewald":
            return self.energy(r)
        return self.short_range(r)[0] + self.coulomb.bare(r)[0]

    def short_range(self, r: ArrayLike) -> tuple[Array, Array]:
        """Without Coulomb, and with the end that `truncation` gives it: energy and derivative, (pairs, n)."""
        r = np.asarray(r, float)
        u, slope = self.short(r)
        if self.truncation == "none":
            # the last node of a table lies on the cutoff, to rounding
            inside = r <= self.cutoff * (1.0 + 1e-12)
            return np.where(inside, u, 0.0), np.where(inside, slope, 0.0)
        x = np.clip((r - self.cutoff + SWITCH_WIDTH) / SWITCH_WIDTH, 0.0, 1.0)
        s, ds = 1.0 - x**2 * (3.0 - 2.0 * x), -6.0 * x * (1.0 - x) / SWITCH_WIDTH
        return u * s, slope * s + u * ds

    def continued(self, r: ArrayLike) -> tuple[Array, Array]:
        """`energy` and `derivative`, below `inner` as the sampler has them: finite, and as repulsive as they are there.

        From `inner` inwards g = -u'/r goes on in a straight line in r^2, or stays as it is where that line would fall
        (`kernels.pair`, whose line is that of its first interval).
        """
        r = np.asarray(r, float)
        u, slope = self._tabulated(np.maximum(r, self.inner))
        below = r < self.inner
        if below.any():
            s, step = self.inner**2, 1e-6 * self.inner**2
            near = np.sqrt([s, s + step])
            energy, derivative = self._tabulated(near)
            g = -derivative / near
            start, rise = g[:, :1], np.maximum(g[:, :1] - g[:, 1:], 0.0) / step
            depth = s - r[below] ** 2
            u[:, below] = energy[:, :1] + start * depth / 2.0 + rise * depth**2 / 4.0
            slope[:, below] = -(start + rise * depth) * r[below]
        return u, slope

    def terms(self, species: tuple[str, ...], n_per_species: tuple[int, ...], precision: str) -> Terms:
        """See `refine.potentials.protocols.Potential`."""
        return Terms(pairs=self, charges=self.coulomb)

    @property
    def inner(self) -> float:
        """Å, where the table of these functions begins: the shortest distance at which a pair that has a short-range
        part is 100 eV up its wall.

        A pair function that falls inside a barrier (a Buckingham) is tabulated to 0.7 of the barrier's distance, into
        the hole: atoms that go over it gain tens of eV, which the sampler sees as a run-away and reports. It is not
        hidden.
        """
        r = np.arange(CLOSEST, self.cutoff, 0.005)
        u, slope = self._whole(r)
        first = []
        for row in np.flatnonzero(self.interacting):
            above = np.flatnonzero(u[row] >= WALL)
            top = barrier(slope[row])
            if len(above) and not (top is not None and above[-1] < top):
                first.append(r[above[-1]])
            elif top is not None:
                first.append(0.7 * r[top])
        return max(min(first, default=0.5), 0.3)

    def _whole(self, r: Array) -> tuple[Array, Array]:
        """Short range and q_i q_j / r, without end."""
        u, slope = self.short(r)
        if self.coulomb is not None:
            more = self.coulomb.bare(r)
            u, slope = u + more[0], slope + more[1]
        return u, slope

    def _tabulated(self, r: Array) -> tuple[Array, Array]:
        u, slope = self.short_range(r)
        if self.coulomb is not None:
            more = self.coulomb.pair(r)
            u, slope = u + more[0], slope + more[1]
        return u, slope


class UniformForm(PairForm):
    """Base of the forms that are one for all pairs, with numbers of their own for each."""

    formula: ClassVar[str]
    """u(r) with its signs, as the reference page and messages have it."""
    scales: ClassVar[dict[str, str]]
    """Parameters that a pair without the interaction has zero of, with their units."""
    lengths: ClassVar[dict[str, str]]
    """The others, above zero, with their units."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Scales that are zero where they are not given."""

    @classmethod
    @abstractmethod
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
        """From the study's [model.parameters]: each a number for all pairs, or a table by "A-B".

        A pair that is in none of the tables interacts through its charges alone, which must repel. InputError for
        anything missing, unknown or out of range.
        """

    @classmethod
    def refuse_unknown(cls, parameters: Mapping[str, Any]) -> None:
        """InputError for a parameter that the form does not have."""
        known = {**cls.scales, **cls.lengths}
        for name in sorted(set(parameters) - set(known)):
            raise InputError(
                f"{cls.name} has no parameter '{name}'",
                where="[model.parameters]",
                fix=f"in u(r) = {cls.formula} it takes "
                + " and ".join(f"{key} ({unit})" for key, unit in known.items()),
            )

    @property
    def interacting(self) -> NDArray[np.bool_]:
        there: NDArray[np.bool_] = np.any([getattr(self, name) != 0.0 for name in self.scales], axis=0)
        return there


class PairwiseForm(UniformForm):
    """A form whose parameters are given pair by pair; its dataclass has them between `pairs` and `cutoff`."""

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
        cls.refuse_unknown(parameters)
        given = {name: _pairwise(parameters, name, pairs) for name in (*cls.scales, *cls.lengths)}
        values = {name: np.zeros(len(pairs)) if name in cls.scales else np.ones(len(pairs)) for name in given}
        for row, (a, b) in enumerate(pairs):
            scales = {name: given[name].get(row) for name in cls.scales}
            if not any(scales.values()):
                if not (coulomb is not None and coulomb.products[row] > 0.0):
                    raise InputError(
                        f"{a}-{b} has no {' and no '.join(cls.scales)}: nothing keeps the two apart",
                        where="[model.parameters]",
                        fix=f'give {", ".join(given)} for "{a}-{b}"',
                    )
                continue  # charges of one sign, which repel
            for name in given:
                value = given[name].get(row)
                if value is None and name not in cls.optional:
                    raise InputError(f"no value for {a}-{b}", where=f"[model.parameters] {name}", fix=f'give "{a}-{b}"')
                if value == 0.0 and name in cls.lengths:
                    raise InputError(f"{a}-{b} = 0 is not above zero", where=f"[model.parameters] {name}")
                values[name][row] = 0.0 if value is None else value
        make: Any = cls  # a dataclass with just these fields
        made: Self = make(pairs=pairs, **values, cutoff=cutoff, truncation=truncation, coulomb=coulomb)
        return made


def barrier(slope: Array) -> int | None:
    """Where a function that rises from the first of its points on falls for the first time; None: it does neither.

    >>> barrier(np.array([-1.0, -0.5, 0.2])), barrier(np.array([1.0, 0.5, -0.2]))
    (None, 2)
    """
    if slope[0] <= 0.0:
        return None
    falling = np.flatnonzero(slope < 0.0)
    return int(falling[0]) if len(falling) else None


def _pairwise(parameters: Mapping[str, Any], key: str, pairs: Pairs) -> dict[int, float]:
    """Numbers by row of `pairs` from a number or a table by "A-B"; those above zero, or zero where that may be."""
    given = parameters.get(key, {})
    if isinstance(given, int | float):
        given = {f"{a}-{b}": given for a, b in pairs}
    where = f"[model.parameters] {key}"
    rows = {name: row for row, (a, b) in enumerate(pairs) for name in (f"{a}-{b}", f"{b}-{a}")}
    found: dict[int, float] = {}
    for name, value in given.items():
        if name not in rows:
            known = ", ".join(f"{a}-{b}" for a, b in pairs)
            raise InputError(f"'{name}' is no pair of the system", where=where, fix=f"the pairs are {known}")
        if not (np.isfinite(value) and value >= 0.0):
            raise InputError(f"{name} = {value} is not a number above zero", where=where)
        if rows[name] in found:
            raise InputError(f"'{name}' is given twice", where=where)
        found[rows[name]] = float(value)
    return found
