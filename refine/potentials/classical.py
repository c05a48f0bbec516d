"""Classical base potentials as sums of pair functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from refine.errors import InputError
from refine.potentials.pair import Array, PairPotential

SWITCH_WIDTH = 0.5
"""Å over which a truncated pair function is brought to zero with zero slope."""


@dataclass(frozen=True)
class LennardJones:
    """u(r) = 4 epsilon [(sigma/r)^12 - (sigma/r)^6], switched off smoothly below the cutoff.

    From cutoff - 0.5 Å to cutoff u is multiplied by 1 - x^2 (3 - 2x), x the fraction of the way, so energy and force
    are continuous. Source: J. E. Lennard-Jones, Proc. R. Soc. A 106, 463 (1924).

    Attributes:
        pairs: species pairs i <= j.
        epsilon, sigma: (pairs,), eV and Å.
        cutoff: Å.
    """

    pairs: tuple[tuple[str, str], ...]
    epsilon: Array
    sigma: Array
    cutoff: float

    @classmethod
    def from_parameters(
        cls, species: tuple[str, ...], pairs: tuple[tuple[str, str], ...], parameters: Mapping, cutoff: float
    ) -> LennardJones:
        """From the study's [model.parameters]: `epsilon` and `sigma`, each a number or a table by species or "A-B".

        Unlike pairs that are not given combine by Lorentz (sigma, arithmetic mean) and Berthelot (epsilon, geometric
        mean).
        """
        unknown = sorted(set(parameters) - {"epsilon", "sigma"})
        if unknown:
            raise InputError(
                f"lennard-jones has no parameter '{unknown[0]}'",
                where="[model.parameters]",
                fix="it takes epsilon (eV) and sigma (Å)",
            )
        epsilon = _by_pair(parameters, "epsilon", species, pairs, lambda a, b: float(np.sqrt(a * b)))
        sigma = _by_pair(parameters, "sigma", species, pairs, lambda a, b: 0.5 * (a + b))
        return cls(pairs, epsilon, sigma, cutoff)

    @property
    def inner(self) -> float:
        """Half the smallest sigma, Å: 16128 epsilon up the wall."""
        return 0.5 * float(self.sigma.min())

    def energy(self, r: ArrayLike) -> Array:
        """Pair energies (pairs, n), eV, at r (n,) Å."""
        r = np.asarray(r, float)
        return self._plain(r)[0] * self._switch(r)[0]

    def derivative(self, r: ArrayLike) -> Array:
        """d(energy)/dr (pairs, n), eV/Å, at r (n,) Å."""
        r = np.asarray(r, float)
        (u, du), (s, ds) = self._plain(r), self._switch(r)
        return du * s + u * ds

    def _plain(self, r: Array) -> tuple[Array, Array]:
        s6 = (self.sigma[:, None] / r) ** 6
        epsilon = self.epsilon[:, None]
        return 4.0 * epsilon * (s6**2 - s6), -24.0 * epsilon * (2.0 * s6**2 - s6) / r

    def _switch(self, r: Array) -> tuple[Array, Array]:
        x = np.clip((r - self.cutoff + SWITCH_WIDTH) / SWITCH_WIDTH, 0.0, 1.0)
        return 1.0 - x**2 * (3.0 - 2.0 * x), -6.0 * x * (1.0 - x) / SWITCH_WIDTH


def _by_pair(parameters: Mapping, key: str, species, pairs, combine) -> Array:
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
        if not (np.isfinite(value) and value > 0.0):
            raise InputError(f"{name} = {value} is not a positive number", where=where)
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


BASES = {"lennard-jones": LennardJones.from_parameters}
"""What `[model] base` may name: builders (species, pairs, parameters, cutoff) -> pair potential."""


def base_potential(
    name: str, species: tuple[str, ...], pairs: tuple[tuple[str, str], ...], parameters: Mapping, cutoff: float
) -> PairPotential:
    """The base potential that `[model] base` names."""
    if name not in BASES:
        raise InputError(f"unknown base '{name}'", where="[model] base", fix=f"known: {', '.join(BASES)}")
    return BASES[name](species, pairs, parameters, cutoff)
