"""Stillinger-Weber and Tersoff: energies of an atom and all of its neighbours, for one element.

Both are evaluated from the vectors to an atom's neighbours, (N, K, 3), as a MACE model is (the protocol is
`refine.potentials.protocols.SiteModel`), and their own derivatives come from jax. The formulas are written here
and not taken from jax-md: its functions want its own lists, sum three-body terms over all pairs of neighbours, and give
no energies of atoms; the tests compare with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from refine.errors import InputError
from refine.formula import element_of
from refine.potentials.protocols import Terms


class ManyBody(Protocol):
    """A many-body potential of one element; its fields are numbers that a study may change."""

    name: ClassVar[str]

    @property
    def cutoff(self) -> float:
        """Å."""

    def site_energies(self, vectors: jax.Array) -> jax.Array:
        """(N,) eV from vectors (N, K, 3) Å, those that are not used longer than the cutoff."""

    def terms(self, species: tuple[str, ...], n_per_species: tuple[int, ...], precision: str) -> Terms:
        """See `refine.potentials.protocols.Potential`; InputError for more than one element."""
        if len({*map(element_of, species)}) > 1:
            raise InputError(f"{self.name} is for one element, and the atoms are {', '.join(species)}")
        return Terms(sites=ManyBodySites(self, species, n_per_species, precision))


@dataclass(frozen=True)
class StillingerWeber(ManyBody):
    """The two- and three-body potential of F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985), silicon:

        U = Σ_{i<j} A epsilon [B (sigma/r)^p - (sigma/r)^q] w_1(r)
          + Σ_i Σ_{j<k} lambda epsilon (cos theta_jik - cos theta_0)^2 w_gamma(r_ij) w_gamma(r_ik)

    with w_g(r) = exp[g sigma / (r - a sigma)] below a sigma, and zero from there on.

    The sum over j and k is one over j: with unit vectors e and M_n = Σ_j w e^n (tensors of rank n),
    Σ_jk w w (e . e - c)^2 = M_2 : M_2 - 2 c M_1 . M_1 + c^2 M_0^2, from which j = k is taken.
    """

    epsilon: float = 2.16826
    sigma: float = 2.0951
    a: float = 1.80
    lambda3: float = 21.0
    gamma: float = 1.20
    cos_theta0: float = -1.0 / 3.0
    A: float = 7.049556277
    B: float = 0.6022245584
    p: float = 4.0
    q: float = 0.0
    name: ClassVar[str] = "stillinger-weber"

    @property
    def cutoff(self) -> float:
        return self.a * self.sigma

    def site_energies(self, vectors: jax.Array) -> jax.Array:
        r2 = jnp.sum(vectors**2, axis=-1)
        inside = r2 < (self.cutoff * (1.0 - 1e-6)) ** 2
        r = jnp.sqrt(jnp.where(inside, r2, 1.0))
        decay = self.sigma / jnp.where(inside, r - self.cutoff, -1.0)
        s = self.sigma / r
        two = self.A * (self.B * s**self.p - s**self.q) * jnp.exp(decay)
        weight = jnp.where(inside, jnp.exp(self.gamma * decay), 0.0)
        unit = vectors / r[..., None]
        first = jnp.einsum("nk,nka->na", weight, unit)
        second = jnp.einsum("nk,nka,nkb->nab", weight, unit, unit)
        c = self.cos_theta0
        both = jnp.sum(second**2, axis=(1, 2)) - 2.0 * c * jnp.sum(first**2, axis=1) + (c * weight.sum(axis=1)) ** 2
        alone = (1.0 - c) ** 2 * jnp.sum(weight**2, axis=1)
        pairs = jnp.sum(jnp.where(inside, two, 0.0), axis=1)
        return 0.5 * self.epsilon * (pairs + self.lambda3 * (both - alone))


@dataclass(frozen=True)
class Tersoff(ManyBody):
    """The bond-order potential of J. Tersoff, Phys. Rev. B 38, 9902 (1988), for silicon ("Si(C)"):

        U = 1/2 Σ_i Σ_j f(r_ij) [A exp(-lambda1 r_ij) - b_ij B exp(-lambda2 r_ij)]
        b_ij = [1 + (beta zeta_ij)^n]^(-1/2n)
        zeta_ij = Σ_{k != j} f(r_ik) g(theta_jik) exp[lambda3^3 (r_ij - r_ik)^3]
        g(theta) = 1 + c^2/d^2 - c^2 / [d^2 + (h - cos theta)^2]

    with f = 1 below R - D, 0 above R + D and 1/2 - 1/2 sin[pi (r - R) / 2D] between.
    """

    A: float = 1830.8
    B: float = 471.18
    lambda1: float = 2.4799
    lambda2: float = 1.7322
    lambda3: float = 1.7322
    beta: float = 1.0999e-6
    n: float = 0.78734
    c: float = 1.0039e5
    d: float = 16.218
    h: float = -0.59826
    R: float = 2.85
    D: float = 0.15
    name: ClassVar[str] = "tersoff"

    @property
    def cutoff(self) -> float:
        return self.R + self.D

    def site_energies(self, vectors: jax.Array) -> jax.Array:
        r2 = jnp.sum(vectors**2, axis=-1)
        inside = r2 < self.cutoff**2
        r = jnp.sqrt(jnp.where(inside, r2, self.cutoff**2))
        angle = jnp.clip((r - self.R) / self.D, -1.0, 1.0)
        f = jnp.where(inside, 0.5 - 0.5 * jnp.sin(0.5 * math.pi * angle), 0.0)

        unit = vectors / r[..., None]
        cosine = jnp.einsum("nja,nka->njk", unit, unit)
        # c and d are so large that the two terms of g must be joined before they are rounded
        off = (self.h - cosine) ** 2
        g = 1.0 + (self.c / self.d) ** 2 * off / (self.d**2 + off)
        stretch = jnp.exp((self.lambda3 * (r[:, :, None] - r[:, None, :])) ** 3)
        others = 1.0 - jnp.eye(r.shape[1], dtype=r.dtype)
        zeta = jnp.sum(f[:, None, :] * g * stretch * others, axis=2)
        # the slope of zeta^n is infinite where an atom has no other neighbour
        met = zeta > 1e-12
        crowd = jnp.where(met, self.beta * jnp.where(met, zeta, 1.0), 0.0)
        order = jnp.where(met, (1.0 + jnp.where(met, crowd, 1.0) ** self.n) ** (-0.5 / self.n), 1.0)
        bond = self.A * jnp.exp(-self.lambda1 * r) - order * self.B * jnp.exp(-self.lambda2 * r)
        return 0.5 * jnp.sum(f * bond, axis=1)


MANY_BODY: dict[str, type[StillingerWeber] | type[Tersoff]] = {
    StillingerWeber.name: StillingerWeber,
    Tersoff.name: Tersoff,
}
"""Many-body potentials by the name that a study has for them; their defaults are silicon's."""

ELEMENT = "Si"


def many_body(name: str, species: tuple[str, ...], parameters: Mapping[str, Any]) -> StillingerWeber | Tersoff:
    """The potential of a study's [model.parameters], numbers that take the place of silicon's.

    InputError for more than one element, for another one than silicon unless all numbers are given, and for what is no
    number of the potential.

    >>> round(many_body("stillinger-weber", ("Si",), {"lambda3": 22.0}).cutoff, 4)  # a sigma
    3.7712
    """
    kind = MANY_BODY[name]
    names = [field.name for field in fields(kind)]
    for key, value in parameters.items():
        where = f"[model.parameters] {key}"
        if key not in names:
            raise InputError(f"{name} has no such parameter", where=where, fix=f"it takes {', '.join(names)}")
        if isinstance(value, Mapping):
            raise InputError("is a table, and there is one element", where=where, fix="give one number")
    missing = [key for key in names if key not in parameters]
    elements = tuple(dict.fromkeys(map(element_of, species)))
    if len(elements) > 1:
        raise InputError(f"{name} is for one element", where="[model] base", fix="use another base")
    if elements != (ELEMENT,) and missing:
        raise InputError(
            f"the numbers of {name} are those of {ELEMENT}, and the system is {elements[0]}",
            where="[model.parameters]",
            fix=f"give all of your own: {', '.join(missing)} missing",
        )
    potential = kind(**parameters)
    if not 0.0 < potential.cutoff <= 50.0:
        raise InputError(f"the cutoff {potential.cutoff:g} Å of {name} is out of range", where="[model.parameters]")
    return potential


class ManyBodySites:
    """A many-body potential for the atoms of a system: a `refine.potentials.protocols.SiteModel`."""

    def __init__(
        self, potential: ManyBody, species: tuple[str, ...], n_per_species: tuple[int, ...], precision: str
    ) -> None:
        self.potential = potential
        self.cutoff, self.precision = potential.cutoff, precision
        self.species, self.n_per_species = species, n_per_species
        self.isolated: NDArray[np.float64] = np.zeros(len(species))
        self.params: Any = ()

    def load(self, changed: Mapping[str, Any]) -> Any:
        """Its numbers are not refined: `ManyBodyBase` refuses it before."""
        raise ValueError("a many-body potential has no parameters that change")

    def energies_and_gradients(
        self, params: Any, vectors: jax.Array, senders: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Site energies (N,) eV, and the derivative of their sum by the vectors, (N, K, 3) eV/Å."""
        sites, pull = jax.vjp(self.potential.site_energies, vectors)
        return sites, pull(jnp.ones_like(sites))[0]
